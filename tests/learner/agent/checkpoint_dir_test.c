/* The directory of checkpoints: keeping, finding, naming. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/fs.h"
#include "learner/agent/checkpoint.h"
#include "tests/common/scratch.h"
#include "tests/learner/agent/checkpoint_states.h"

static Scratch scratch;

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static const char *checkpoint_at(uint64_t updates)
{
    char name[64];
    snprintf(name, sizeof name, "checkpoint-%012" PRIu64 ".safetensors", updates);
    return scratch_path(&scratch, name);
}

/* Saves a filled small state at each of these update numbers. */
static void save_each(const uint64_t *updates, int count, int keep)
{
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    for (int i = 0; i < count; i++) {
        Err err = {""};
        ddpg_fill(&ddpg, updates[i]);
        RunState run = run_make(updates[i]);
        int code = checkpoint_save(scratch.path, &ddpg, &run, keep, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(code, ERR_OK);
    }
    ddpg_free(&ddpg);
}

static void damage(const char *path)
{
    size_t num_bytes;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    bytes[num_bytes / 2] ^= 4;
    scratch_write(path, bytes, num_bytes);
    free(bytes);
}

/* Catches what goes to stderr between the two calls; the caller frees the text. */
static int saved_stderr = -1;

static void capture_start(void)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    int fd = open(scratch_path(&scratch, "stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(saved_stderr >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}

static char *capture_end(void)
{
    fflush(stderr);
    CHECK(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    size_t num_bytes;
    char *text = (char *)scratch_read(scratch_path(&scratch, "stderr"), &num_bytes);
    text[num_bytes] = '\0';
    unlink(scratch_path(&scratch, "stderr"));
    return text;
}

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void test_the_newest_few_are_kept_and_best_is_never_deleted(void **state)
{
    (void)state;
    Err err;
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    RunState run = run_make(1);
    const char *best = scratch_path(&scratch, CHECKPOINT_BEST);
    assert_int_equal(checkpoint_write(best, &ddpg, &run, &err), ERR_OK);
    ddpg_free(&ddpg);
    scratch_write(scratch_path(&scratch, "checkpoint-1.safetensors"), "x", 1);
    scratch_write(scratch_path(&scratch, "checkpoint-000000000001.safetensors.old"), "x", 1);
    const uint64_t updates[] = {5, 40, 300, 1000000000000, 1000000000001};
    save_each(updates, 5, 3);
    assert_false(fs_exists(checkpoint_at(5)));
    assert_false(fs_exists(checkpoint_at(40)));
    assert_true(fs_exists(checkpoint_at(300)));
    assert_true(fs_exists(checkpoint_at(1000000000000)));
    assert_true(fs_exists(checkpoint_at(1000000000001)));
    assert_int_equal(scratch_count(scratch.path), 3 + 3);

    char path[256];
    assert_int_equal(checkpoint_find_newest(scratch.path, path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, checkpoint_at(1000000000001));
}

static void test_files_of_later_updates_do_not_push_out_the_new_one(void **state)
{
    (void)state;
    Err err;
    const uint64_t before[] = {100, 200, 900};
    save_each(before, 3, 3);
    damage(checkpoint_at(900));
    const uint64_t after[] = {300, 400};
    save_each(after, 2, 1);
    assert_true(fs_exists(checkpoint_at(400)));
    assert_true(fs_exists(checkpoint_at(900)));
    assert_int_equal(scratch_count(scratch.path), 2);
    const uint64_t beyond[] = {1000};
    save_each(beyond, 1, 1);
    assert_int_equal(scratch_count(scratch.path), 1);
    char path[256];
    assert_int_equal(checkpoint_find_newest(scratch.path, path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, checkpoint_at(1000));
}

static void test_a_damaged_newest_is_passed_over_with_a_warning(void **state)
{
    (void)state;
    Err err;
    const uint64_t updates[] = {10, 20, 30, 40};
    save_each(updates, 4, 4);
    damage(checkpoint_at(40));
    assert_int_equal(truncate(checkpoint_at(30), 100), 0);
    char path[256];
    capture_start();
    int code = checkpoint_find_newest(scratch.path, path, sizeof path, &err);
    char *log = capture_end();
    assert_int_equal(code, ERR_OK);
    assert_string_equal(path, checkpoint_at(20));
    assert_int_equal(count_lines(log), 2);
    assert_non_null(strstr(log, checkpoint_at(40)));
    assert_non_null(strstr(log, checkpoint_at(30)));
    assert_null(strstr(log, checkpoint_at(20)));
    free(log);
}

static void test_nothing_found_is_not_the_same_as_nothing_sound(void **state)
{
    (void)state;
    Err err;
    char path[256];
    assert_int_equal(
        checkpoint_find_newest(scratch_path(&scratch, "nowhere"), path, sizeof path, &err),
        ERR_MISSING);
    assert_int_equal(checkpoint_find_newest(scratch.path, path, sizeof path, &err), ERR_MISSING);
    const uint64_t updates[] = {10, 20};
    save_each(updates, 2, 2);
    damage(checkpoint_at(10));
    damage(checkpoint_at(20));
    capture_start();
    int code = checkpoint_find_newest(scratch.path, path, sizeof path, &err);
    free(capture_end());
    assert_int_equal(code, ERR_CHECKSUM);
    assert_non_null(strstr(err.text, scratch.path));
}

static void test_a_file_of_a_newer_format_is_not_passed_over(void **state)
{
    (void)state;
    Err err;
    const uint64_t updates[] = {10, 20};
    save_each(updates, 2, 2);
    rewrite(checkpoint_at(20), "polyak_checkpoint", "3", NULL);
    char path[256];
    assert_int_equal(checkpoint_find_newest(scratch.path, path, sizeof path, &err), ERR_VERSION);
    assert_non_null(strstr(err.text, checkpoint_at(20)));
}

static void test_what_a_crash_left_is_cleaned_up_by_the_next_save(void **state)
{
    (void)state;
    Err err;
    const uint64_t updates[] = {10};
    save_each(updates, 1, 3);

    /* A process dies in the middle of the next write. */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        FsReplacement file;
        struct iovec part = {(void *)(uintptr_t) "half of it", 10};
        if (fs_replace_begin(&file, checkpoint_at(20), NULL) != ERR_OK ||
            fs_replace_write(&file, &part, 1, NULL) != ERR_OK)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    scratch_write(scratch_path(&scratch, "best.safetensors.tmp-0123456789abcdef"), "x", 1);
    scratch_write(scratch_path(&scratch, "mine.tmp-0123456789abcdef"), "x", 1);
    assert_int_equal(scratch_count(scratch.path), 4);
    char path[256];
    assert_int_equal(checkpoint_find_newest(scratch.path, path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, checkpoint_at(10));

    const uint64_t next[] = {30};
    save_each(next, 1, 3);
    assert_true(fs_exists(checkpoint_at(10)));
    assert_true(fs_exists(checkpoint_at(30)));
    assert_true(fs_exists(scratch_path(&scratch, "mine.tmp-0123456789abcdef")));
    assert_int_equal(scratch_count(scratch.path), 3);
}

static void test_a_full_disk_leaves_the_old_checkpoints(void **state)
{
    (void)state;
    Err err;
    const uint64_t updates[] = {10};
    save_each(updates, 1, 1);
    DdpgState ddpg = ddpg_make((int[]){100, 100}, 2);
    RunState run = run_make(20);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit small = {20000, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int code = checkpoint_save(scratch.path, &ddpg, &run, 1, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(code, ERR_IO);
    assert_non_null(strstr(err.text, checkpoint_at(20)));
    assert_int_equal(scratch_count(scratch.path), 1);
    char path[256];
    assert_int_equal(checkpoint_find_newest(scratch.path, path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, checkpoint_at(10));
    ddpg_free(&ddpg);
}

static void test_a_directory_is_made_or_the_reason_given(void **state)
{
    (void)state;
    Err err;
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    RunState run = run_make(20);
    scratch_write(scratch_path(&scratch, "file"), "x", 1);
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(checkpoint_save(path, &ddpg, &run, 1, &err), ERR_IO);
    assert_non_null(strstr(err.text, path));
    path = scratch_path(&scratch, "new/checkpoints");
    assert_int_equal(checkpoint_save(path, &ddpg, &run, 1, &err), ERR_OK);
    assert_int_equal(scratch_count(path), 1);
    ddpg_free(&ddpg);
}

static void test_a_checkpoint_is_found_by_the_name_a_person_gives(void **state)
{
    (void)state;
    Err err;
    char path[256];
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    RunState run = run_make(20);
    const char *run_dir = scratch.path;
    assert_int_equal(checkpoint_resolve(run_dir, "newest", path, sizeof path, &err), ERR_MISSING);
    assert_int_equal(checkpoint_resolve(run_dir, "best", path, sizeof path, &err), ERR_MISSING);
    assert_int_equal(checkpoint_resolve("", "newest", path, sizeof path, &err), ERR_USAGE);
    assert_int_equal(checkpoint_resolve(NULL, "best", path, sizeof path, &err), ERR_USAGE);

    char directory[256];
    snprintf(directory, sizeof directory, "%s", scratch_path(&scratch, "checkpoints"));
    assert_int_equal(checkpoint_save(directory, &ddpg, &run, 1, &err), ERR_OK);
    const char *best = scratch_path(&scratch, "checkpoints/best.safetensors");
    assert_int_equal(checkpoint_write(best, &ddpg, &run, &err), ERR_OK);
    ddpg_free(&ddpg);

    static const char name[] = "checkpoint-000000000020.safetensors";
    char file[512];
    snprintf(file, sizeof file, "%s/%s", directory, name);
    assert_int_equal(checkpoint_resolve(run_dir, "newest", path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, file);
    assert_int_equal(checkpoint_resolve(run_dir, "best", path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, best);
    assert_int_equal(checkpoint_resolve(run_dir, name, path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, file);
    assert_int_equal(checkpoint_resolve("", file, path, sizeof path, &err), ERR_OK);
    assert_string_equal(path, file);
    assert_int_equal(checkpoint_resolve(run_dir, "other", path, sizeof path, &err), ERR_MISSING);
    assert_non_null(strstr(err.text, "other"));
    assert_int_equal(checkpoint_resolve("", "other", path, sizeof path, &err), ERR_MISSING);
    assert_int_equal(checkpoint_resolve(run_dir, "best", path, 10, &err), ERR_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_newest_few_are_kept_and_best_is_never_deleted),
        TEST(test_files_of_later_updates_do_not_push_out_the_new_one),
        TEST(test_a_damaged_newest_is_passed_over_with_a_warning),
        TEST(test_nothing_found_is_not_the_same_as_nothing_sound),
        TEST(test_a_file_of_a_newer_format_is_not_passed_over),
        TEST(test_what_a_crash_left_is_cleaned_up_by_the_next_save),
        TEST(test_a_full_disk_leaves_the_old_checkpoints),
        TEST(test_a_directory_is_made_or_the_reason_given),
        TEST(test_a_checkpoint_is_found_by_the_name_a_person_gives),
    };
    return cmocka_run_group_tests_name("checkpoint_dir", tests, NULL, NULL);
}
