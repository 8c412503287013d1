#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/common/scratch.h"

/* --- The system calls of the code under test go through these ----------------------------- */

static struct {
    int fsync_fails_at; /* the n-th call fails, from 1; 0: none */
    int fsync_calls;
    bool writev_in_bits;   /* a few bytes at a time, each after an interruption */
    bool writev_interrupt; /* at the next call */
    bool rename_dies;      /* the process ends where the rename would be */
    char calls[64];        /* s: fsync, r: rename, in order */
} sys;

static void note_call(char call)
{
    size_t length = strlen(sys.calls);
    if (length + 1 < sizeof sys.calls)
        sys.calls[length] = call;
}

int fsync(int fd)
{
    note_call('s');
    if (++sys.fsync_calls == sys.fsync_fails_at) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    note_call('r');
    if (sys.rename_dies)
        _exit(7);
    return (int)syscall(SYS_rename, from, to);
}

ssize_t writev(int fd, const struct iovec *parts, int num_parts)
{
    if (!sys.writev_in_bits)
        return syscall(SYS_writev, fd, parts, num_parts);
    sys.writev_interrupt = !sys.writev_interrupt;
    if (sys.writev_interrupt) {
        errno = EINTR;
        return -1;
    }
    while (num_parts > 1 && parts->iov_len == 0)
        parts++, num_parts--;
    size_t bytes = parts->iov_len < 3 ? parts->iov_len : 3;
    return syscall(SYS_write, fd, parts->iov_base, bytes);
}

/* --- Each test has a directory of its own -------------------------------------------------- */

static Scratch scratch;

static int set_up(void **state)
{
    (void)state;
    memset(&sys, 0, sizeof sys);
    scratch = scratch_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memset(&sys, 0, sizeof sys);
    scratch_remove(&scratch);
    return 0;
}

static void assert_holds(const char *path, const char *text)
{
    size_t num_bytes;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    assert_int_equal(num_bytes, strlen(text));
    assert_memory_equal(bytes, text, num_bytes);
    free(bytes);
}

static void test_a_file_is_written_and_replaced_whole(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(fs_write_file(path, "first", 5, &err), ERR_OK);
    assert_holds(path, "first");
    assert_int_equal(fs_write_file(path, "2nd", 3, &err), ERR_OK);
    assert_holds(path, "2nd");
    assert_int_equal(fs_write_file(path, "", 0, &err), ERR_OK);
    assert_holds(path, "");
    assert_int_equal(scratch_count(scratch.path), 1);
}

static void test_data_is_synced_before_the_rename_and_the_directory_after(void **state)
{
    (void)state;
    Err err;
    assert_int_equal(fs_write_file(scratch_path(&scratch, "file"), "text", 4, &err), ERR_OK);
    assert_string_equal(sys.calls, "srs");
}

static void test_short_and_interrupted_writes_lose_nothing(void **state)
{
    (void)state;
    Err err;
    char text[1001];
    for (int i = 0; i < 1000; i++)
        text[i] = (char)('a' + i % 26);
    text[1000] = '\0';
    struct iovec parts[150]; /* more than go into one system call */
    for (int i = 0; i < 150; i++) {
        int begin = i < 100 ? i * 10 : 1000; /* the last 50 are empty */
        parts[i] = (struct iovec){text + begin, i < 100 ? 10 : 0};
    }
    const char *path = scratch_path(&scratch, "file");
    for (int in_bits = 0; in_bits < 2; in_bits++) {
        sys.writev_in_bits = in_bits == 1;
        FsReplacement file;
        assert_int_equal(fs_replace_begin(&file, path, &err), ERR_OK);
        assert_int_equal(fs_replace_write(&file, parts, 150, &err), ERR_OK);
        assert_int_equal(fs_replace_commit(&file, &err), ERR_OK);
        assert_holds(path, text);
    }
}

static void test_a_failed_fsync_is_not_tried_again(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(fs_write_file(path, "old", 3, &err), ERR_OK);
    memset(&sys, 0, sizeof sys);
    sys.fsync_fails_at = 1;
    assert_int_equal(fs_write_file(path, "new", 3, &err), ERR_IO);
    assert_non_null(strstr(err.text, path));
    assert_string_equal(sys.calls, "s");
    assert_holds(path, "old");
    assert_int_equal(scratch_count(scratch.path), 1);
}

static void test_a_directory_that_cannot_be_synced_is_an_error(void **state)
{
    (void)state;
    Err err;
    sys.fsync_fails_at = 2;
    assert_int_equal(fs_write_file(scratch_path(&scratch, "file"), "new", 3, &err), ERR_IO);
    assert_non_null(strstr(err.text, scratch.path));
}

static void test_a_crash_before_the_rename_leaves_the_old_file(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(fs_write_file(path, "old", 3, &err), ERR_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sys.rename_dies = true;
        fs_write_file(path, "new", 3, NULL);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_holds(path, "old");
    assert_int_equal(scratch_count(scratch.path), 2);

    /* What is left has a name that can be told from others. */
    DIR *open = opendir(scratch.path);
    assert_non_null(open);
    struct dirent *entry;
    int leftovers = 0;
    size_t stem;
    while ((entry = readdir(open)) != NULL) {
        if (!fs_is_temporary(entry->d_name, &stem))
            continue;
        leftovers++;
        assert_int_equal(stem, strlen("file"));
    }
    closedir(open);
    assert_int_equal(leftovers, 1);
}

static void test_only_temporary_names_are_taken_for_such(void **state)
{
    (void)state;
    size_t stem = 0;
    assert_true(fs_is_temporary("a.b.tmp-0123456789abcdef", &stem));
    assert_int_equal(stem, 3);
    assert_false(fs_is_temporary("a.b", &stem));
    assert_false(fs_is_temporary(".tmp-0123456789abcdef", &stem));
    assert_false(fs_is_temporary("a.b.tmp-0123456789abcde", &stem));
    assert_false(fs_is_temporary("a.b.tmp-0123456789abcdeg", &stem));
    assert_false(fs_is_temporary("a.b.tmp-0123456789abcdef.gz", &stem));
}

static void test_a_full_disk_leaves_the_old_file_and_nothing_else(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(fs_write_file(path, "old", 3, &err), ERR_OK);
    static char block[20000];
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit small = {10000, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int code = fs_write_file(path, block, sizeof block, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(code, ERR_IO);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, strerror(EFBIG)));
    assert_null(strchr(err.text, '\n'));
    assert_holds(path, "old");
    assert_int_equal(scratch_count(scratch.path), 1);
}

static void test_a_place_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    Err err;
    scratch_write(scratch_path(&scratch, "file"), "x", 1);
    const char *path = scratch_path(&scratch, "file/below");
    assert_int_equal(fs_write_file(path, "new", 3, &err), ERR_IO);
    assert_non_null(strstr(err.text, path));
    path = scratch_path(&scratch, "nowhere/file");
    assert_int_equal(fs_write_file(path, "new", 3, &err), ERR_IO);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(fs_write_file(scratch.path, "new", 3, &err), ERR_IO);
    if (geteuid() != 0) { /* permissions do not bind root */
        chmod(scratch.path, 0500);
        assert_int_equal(fs_write_file(scratch_path(&scratch, "other"), "new", 3, &err), ERR_IO);
        chmod(scratch.path, 0700);
    }
}

static void test_a_device_is_not_replaced_by_a_file(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(fs_write_file(path, "new", 3, &err), ERR_IO);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
}

static void test_an_aborted_replacement_changes_nothing(void **state)
{
    (void)state;
    Err err;
    FsReplacement file;
    struct iovec part = {(void *)(uintptr_t) "new", 3};
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(fs_write_file(path, "old", 3, &err), ERR_OK);
    assert_int_equal(fs_replace_begin(&file, path, &err), ERR_OK);
    assert_int_equal(fs_replace_write(&file, &part, 1, &err), ERR_OK);
    fs_replace_abort(&file);
    fs_replace_abort(&file);
    assert_holds(path, "old");
    assert_int_equal(scratch_count(scratch.path), 1);
}

static void test_a_file_is_read_whole(void **state)
{
    (void)state;
    Err err;
    char *bytes;
    size_t num_bytes;
    const char *path = scratch_path(&scratch, "file");
    for (size_t size = 0; size < 10; size++) {
        scratch_write(path, "123456789", size);
        assert_int_equal(fs_read_file(path, 9, &bytes, &num_bytes, &err), ERR_OK);
        assert_int_equal(num_bytes, size);
        assert_int_equal(strlen(bytes), size); /* the closing zero */
        free(bytes);
    }
    assert_int_equal(fs_read_file(path, 8, &bytes, &num_bytes, &err), ERR_FORMAT);
    assert_null(bytes);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(fs_read_file(scratch.path, 8, &bytes, &num_bytes, &err), ERR_IO);
    assert_null(bytes);
    path = scratch_path(&scratch, "nothing");
    assert_int_equal(fs_read_file(path, 8, &bytes, &num_bytes, &err), ERR_MISSING);
    assert_non_null(strstr(err.text, path));
}

static void test_a_pipe_is_read_to_its_end_within_the_limit(void **state)
{
    (void)state;
    Err err;
    char text[10001];
    for (int i = 0; i < 10000; i++)
        text[i] = (char)('a' + i % 23);
    text[10000] = '\0';
    for (int over = 0; over < 2; over++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], text, 10000), 10000);
        close(ends[1]);
        char path[64];
        snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
        char *bytes;
        size_t num_bytes;
        int code = fs_read_file(path, over ? 9999 : 10000, &bytes, &num_bytes, &err);
        close(ends[0]);
        assert_int_equal(code, over ? ERR_FORMAT : ERR_OK);
        if (!over)
            assert_string_equal(bytes, text);
        free(bytes);
    }
    char *bytes;
    size_t num_bytes;
    assert_int_equal(fs_read_file("/dev/zero", 100, &bytes, &num_bytes, &err), ERR_FORMAT);
    assert_int_equal(fs_read_file("/dev/zero", 100000, &bytes, &num_bytes, &err), ERR_FORMAT);
}

static void test_directories_are_made_with_their_parents(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "a//b/c/");
    assert_int_equal(fs_make_dirs(path, &err), ERR_OK);
    assert_int_equal(fs_make_dirs(path, &err), ERR_OK);
    assert_true(fs_exists(scratch_path(&scratch, "a/b/c")));
    assert_int_equal(fs_make_dirs("/", &err), ERR_OK);
    assert_int_equal(fs_make_dirs(".", &err), ERR_OK);
    assert_int_equal(fs_make_dirs("", &err), ERR_USAGE);

    scratch_write(scratch_path(&scratch, "file"), "x", 1);
    path = scratch_path(&scratch, "file");
    assert_int_equal(fs_make_dirs(path, &err), ERR_IO);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(fs_make_dirs(scratch_path(&scratch, "file/below"), &err), ERR_IO);
}

static void test_a_lock_has_one_holder(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "lock");
    int first;
    int second;
    assert_int_equal(fs_lock(path, &first, &err), ERR_OK);
    assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fs_lock(path, &second, &err), ERR_BUSY);
    assert_int_equal(second, -1);
    assert_non_null(strstr(err.text, path));
    fs_unlock(&first);
    assert_int_equal(first, -1);
    fs_unlock(&first);
    assert_int_equal(fs_lock(path, &second, &err), ERR_OK);
    fs_unlock(&second);
    assert_int_equal(fs_lock(scratch_path(&scratch, "nowhere/lock"), &first, &err), ERR_IO);
}

static void test_a_lock_ends_with_its_process(void **state)
{
    (void)state;
    Err err;
    const char *path = scratch_path(&scratch, "lock");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it must not outlive a failed test */
        char byte = fs_lock(path, &fd, NULL) == ERR_OK ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    int fd;
    assert_int_equal(fs_lock(path, &fd, &err), ERR_BUSY);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(fs_lock(path, &fd, &err), ERR_OK);
    fs_unlock(&fd);
    close(ready[0]);
    close(ready[1]);
}

static void test_paths_are_joined_within_the_limit(void **state)
{
    (void)state;
    Err err;
    static char out[FS_PATH_MAX];
    static char name[FS_PATH_MAX];
    assert_int_equal(fs_join(out, "run", "file", &err), ERR_OK);
    assert_string_equal(out, "run/file");
    assert_int_equal(fs_join(out, "run/", "file", &err), ERR_OK);
    assert_string_equal(out, "run/file");
    assert_int_equal(fs_join(out, "", "file", &err), ERR_OK);
    assert_string_equal(out, "file");
    memset(name, 'x', sizeof name - 1);
    assert_int_equal(fs_join(out, "d", name, &err), ERR_USAGE);
    name[sizeof name - 3] = '\0'; /* d/xxx… fills it to the last byte */
    assert_int_equal(fs_join(out, "d", name, &err), ERR_OK);
    assert_int_equal(strlen(out), FS_PATH_MAX - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_is_written_and_replaced_whole),
        TEST(test_data_is_synced_before_the_rename_and_the_directory_after),
        TEST(test_short_and_interrupted_writes_lose_nothing),
        TEST(test_a_failed_fsync_is_not_tried_again),
        TEST(test_a_directory_that_cannot_be_synced_is_an_error),
        TEST(test_a_crash_before_the_rename_leaves_the_old_file),
        TEST(test_only_temporary_names_are_taken_for_such),
        TEST(test_a_full_disk_leaves_the_old_file_and_nothing_else),
        TEST(test_a_place_that_cannot_be_written_is_an_error),
        TEST(test_a_device_is_not_replaced_by_a_file),
        TEST(test_an_aborted_replacement_changes_nothing),
        TEST(test_a_file_is_read_whole),
        TEST(test_a_pipe_is_read_to_its_end_within_the_limit),
        TEST(test_directories_are_made_with_their_parents),
        TEST(test_a_lock_has_one_holder),
        TEST(test_a_lock_ends_with_its_process),
        TEST(test_paths_are_joined_within_the_limit),
    };
    return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
