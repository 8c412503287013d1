/* Whichever call of a save fails, the newest sound checkpoint is the one before or the new one,
 * whole; the error says where and what to do; and the next save works. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/common/fault_io.h"
#include "tests/common/scratch.h"
#include "tests/learner/agent/checkpoint_states.h"

enum { KEEP = 2 };

static const struct {
    int error;
    const char *advice;
} faults[] = {{ENOSPC, "free some space"}, {EIO, "the disk may be failing"}};

static Scratch scratch;
static DdpgState ddpg;
static DdpgState read_back;

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    ddpg = ddpg_make(small_hidden, 2);
    read_back = ddpg_make(small_hidden, 2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ddpg_free(&ddpg);
    ddpg_free(&read_back);
    scratch_remove(&scratch);
    return 0;
}

/* Save number k, of a state that no other save has. */
static int save(const char *directory, uint64_t k, Err *err)
{
    ddpg_fill(&ddpg, k);
    RunState run = run_make(k);
    return checkpoint_save(directory, &ddpg, &run, KEEP, err);
}

/* The number of the newest sound save, which is read whole; 0 when there is none. */
static uint64_t newest(const char *directory)
{
    char path[FS_PATH_MAX];
    RunState run;
    Err err = {""};
    int code = checkpoint_find_newest(directory, path, sizeof path, &err);
    if (code == ERR_MISSING)
        return 0;
    assert_string_equal(err.text, "");
    assert_int_equal(checkpoint_read(path, &read_back, &run, &err), ERR_OK);
    ddpg_fill(&ddpg, run.updates);
    assert_true(ddpg_equal(&read_back, &ddpg));
    RunState wanted = run_make(run.updates);
    assert_true(run_equal(&run, &wanted));
    return run.updates;
}

static bool was_renamed(int num_calls)
{
    for (int i = 1; i <= num_calls; i++) {
        if (strcmp(fault_io_call(i)->name, "rename") == 0 && fault_io_call(i)->error == 0)
            return true;
    }
    return false;
}

/* Saves `before` times, then once with a fault, then soundly. False when the fault came too late to
 * matter: the save has fewer calls. */
static bool fail_and_look(int before, FaultWay way, int n, int error, const char *advice)
{
    static int number;
    char name[32], directory[128];
    snprintf(name, sizeof name, "%d", number++);
    snprintf(directory, sizeof directory, "%s", scratch_path(&scratch, name));
    for (int k = 1; k <= before; k++)
        assert_int_equal(save(directory, (uint64_t)k, NULL), ERR_OK);

    Err err = {""};
    uint64_t failing = (uint64_t)before + 1;
    fault_io_start(way, n, error);
    int code = save(directory, failing, &err);
    int num_calls = fault_io_stop();
    assert_false(fault_io_trusted_a_failed_sync());
    if (code != ERR_OK) {
        assert_int_equal(code, ERR_IO);
        assert_non_null(strstr(err.text, scratch.path));
        assert_null(strchr(err.text, '\n'));
        if (way != FAULT_SHORT)
            assert_non_null(strstr(err.text, advice));
        assert_true(way != FAULT_SHORT);
    }
    bool is_new = was_renamed(num_calls);
    assert_true(is_new || code != ERR_OK);
    assert_int_equal(fs_exists(directory) ? newest(directory) : 0, is_new ? failing : failing - 1);

    /* Nothing that was kept may be gone before the new one is safe. */
    if (code != ERR_OK && before >= KEEP)
        assert_true(scratch_count(directory) >= KEEP);
    assert_int_equal(save(directory, failing + 1, &err), ERR_OK);
    assert_int_equal(newest(directory), failing + 1);
    /* A failed save leaves nothing for good: what could not be deleted then is deleted now. */
    assert_true(scratch_count(directory) <= KEEP);
    return num_calls >= n;
}

static void fail_every_call(int before, FaultWay way, int least_calls)
{
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        int n = 1;
        while (fail_and_look(before, way, n, faults[i].error, faults[i].advice))
            n++;
        assert_true(n > least_calls);
    }
}

/* open, writev, fsync, close, rename; and open, fsync, close of the directory. With more than is
 * kept, unlink of the oldest. Without any, the directory is made, and its parent synced. */
static void test_a_call_that_fails_once(void **state)
{
    (void)state;
    fail_every_call(KEEP, FAULT_ONCE, 9);
    fail_every_call(1, FAULT_ONCE, 8);
    fail_every_call(0, FAULT_ONCE, 11);
}

static void test_a_disk_that_fails_from_a_call_on(void **state)
{
    (void)state;
    fail_every_call(KEEP, FAULT_ONWARD, 9);
    fail_every_call(0, FAULT_ONWARD, 11);
}

static void test_short_writes(void **state)
{
    (void)state;
    fail_every_call(KEEP, FAULT_SHORT, 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_that_fails_once),
        TEST(test_a_disk_that_fails_from_a_call_on),
        TEST(test_short_writes),
    };
    return cmocka_run_group_tests_name("checkpoint_fault", tests, NULL, NULL);
}
