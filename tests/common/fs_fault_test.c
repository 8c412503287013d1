/* A file is replaced whole or not at all, whichever call of it fails, and the next one works. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/common/fault_io.h"
#include "tests/common/scratch.h"

static Scratch scratch;
static char path[256];

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, "file"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static bool holds(const char *text)
{
    size_t num_bytes;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    bool same = num_bytes == strlen(text) && memcmp(bytes, text, num_bytes) == 0;
    free(bytes);
    return same;
}

static int write_text(const char *text, Err *err)
{
    return fs_write_file(path, text, strlen(text), err);
}

/* What to do about it, in words of the message. */
static const struct {
    int error;
    const char *advice;
} faults[] = {{ENOSPC, "free some space"}, {EIO, "the disk may be failing"}};

/* How many calls a replacement takes. */
static int count_calls(void)
{
    assert_int_equal(write_text("old", NULL), ERR_OK);
    fault_io_start(FAULT_NONE, 0, 0);
    assert_int_equal(write_text("old", NULL), ERR_OK);
    int count = fault_io_stop();
    assert_true(count >= 7); /* open, writev, fsync, close, rename; open, fsync of the directory */
    return count;
}

/* Whether call `name` of the last start was done, or failed. */
static bool has_call(int num_calls, const char *name, bool failed)
{
    for (int i = 1; i <= num_calls; i++) {
        if (strcmp(fault_io_call(i)->name, name) == 0 && (fault_io_call(i)->error != 0) == failed)
            return true;
    }
    return false;
}

/* Deletes temporary files, and says how many there were. */
static int delete_temporaries(void)
{
    int count = 0;
    DIR *directory = opendir(scratch.path);
    CHECK(directory);
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        size_t stem;
        if (!fs_is_temporary(entry->d_name, &stem))
            continue;
        CHECK(unlink(scratch_path(&scratch, entry->d_name)) == 0);
        count++;
    }
    closedir(directory);
    return count;
}

static void fail_and_look(FaultWay way, int n, int error, const char *advice)
{
    Err err = {""};
    assert_int_equal(write_text("old", NULL), ERR_OK);
    fault_io_start(way, n, error);
    int code = write_text("the new one", &err);
    int num_calls = fault_io_stop();
    assert_true(num_calls >= n);
    bool renamed = has_call(num_calls, "rename", false);
    assert_true(holds(renamed ? "the new one" : "old"));
    if (code != ERR_OK) {
        assert_int_equal(code, ERR_IO);
        assert_non_null(strstr(err.text, scratch.path));
        assert_non_null(strstr(err.text, advice));
    } else {
        /* The directory's descriptor alone may fail to close: all is written by then. */
        assert_true(renamed && strcmp(fault_io_call(n)->name, "close") == 0);
    }
    assert_false(fault_io_trusted_a_failed_sync());
    assert_int_equal(delete_temporaries(), has_call(num_calls, "unlink", true) ? 1 : 0);
    assert_int_equal(scratch_count(scratch.path), 1);
    assert_int_equal(write_text("the next", NULL), ERR_OK);
    assert_true(holds("the next"));
}

static void test_any_call_may_fail_and_the_file_is_old_or_new(void **state)
{
    (void)state;
    int count = count_calls();
    for (int i = 0; i < 2; i++) {
        for (int n = 1; n <= count; n++) {
            fail_and_look(FAULT_ONCE, n, faults[i].error, faults[i].advice);
            fail_and_look(FAULT_ONWARD, n, faults[i].error, faults[i].advice);
        }
    }
}

static void test_short_writes_lose_nothing(void **state)
{
    (void)state;
    int count = count_calls();
    for (int n = 1; n <= count; n++) {
        assert_int_equal(write_text("old", NULL), ERR_OK);
        fault_io_start(FAULT_SHORT, n, 0);
        assert_int_equal(write_text("the new one", NULL), ERR_OK);
        fault_io_stop();
        assert_true(holds("the new one"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_any_call_may_fail_and_the_file_is_old_or_new),
        TEST(test_short_writes_lose_nothing),
    };
    return cmocka_run_group_tests_name("fs_fault", tests, NULL, NULL);
}
