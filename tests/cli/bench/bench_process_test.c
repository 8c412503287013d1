#include "cli/bench/bench_process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"

static int say_index(const void *arg, int index)
{
    _Atomic int *const *shared = arg;
    atomic_store(*shared, index);
    return 0;
}

static int wait_for_ever(const void *arg, int index)
{
    (void)arg;
    (void)index;
    while (getppid() != 1)
        pause();
    return 0;
}

static void test_a_process_shares_memory(void **state)
{
    (void)state;
    Err err;
    pid_t pid = 0;
    _Atomic int *shared = bench_share(sizeof *shared, &err);
    assert_non_null(shared);
    assert_int_equal(bench_fork(say_index, &shared, 7, &pid, &err), ERR_OK);
    bench_end(&pid, 0, 5000);
    assert_int_equal(pid, 0);
    assert_int_equal(atomic_load(shared), 7);
    bench_unshare(shared, sizeof *shared);
}

static void test_a_process_is_ended_by_its_signal_or_by_force(void **state)
{
    (void)state;
    Err err;
    pid_t pid = 0;
    assert_int_equal(bench_fork(wait_for_ever, NULL, 0, &pid, &err), ERR_OK);
    assert_false(bench_has_ended(&pid));
    assert_true(bench_resident_kib(pid) > 0);
    bench_end(&pid, SIGTERM, 5000);
    assert_true(bench_has_ended(&pid));
    assert_int_equal(bench_fork(wait_for_ever, NULL, 0, &pid, &err), ERR_OK);
    bench_end(&pid, 0, 0);
    assert_true(bench_has_ended(&pid));
}

static void test_ports_are_not_given_twice(void **state)
{
    (void)state;
    Err err;
    int first = 0, second = 0;
    assert_int_equal(bench_free_ports(&first, &err), ERR_OK);
    assert_int_equal(bench_free_ports(&second, &err), ERR_OK);
    assert_true(second > first + 1 || second + 1 < first);
}

static void test_a_directory_goes_with_all_that_is_in_it(void **state)
{
    (void)state;
    Err err;
    char path[512];
    char inner[640];
    assert_int_equal(bench_make_directory("/dev/shm", path, sizeof path, &err), ERR_OK);
    snprintf(inner, sizeof inner, "%s/a/b", path);
    assert_int_equal(fs_make_dirs(inner, &err), ERR_OK);
    snprintf(inner, sizeof inner, "%s/a/b/file", path);
    assert_int_equal(fs_write_file(inner, "x", 1, &err), ERR_OK);
    bench_remove_directory(path);
    assert_false(fs_exists(path));
}

static void test_a_directory_that_cannot_be_made_is_bad_usage(void **state)
{
    (void)state;
    Err err;
    char path[512];
    assert_int_equal(bench_make_directory("/dev/shm/is-not-there", path, sizeof path, &err),
                     ERR_USAGE);
}

static int burn(const void *arg, int index)
{
    volatile unsigned count = 0;
    pid_t child = 0;
    Err err;
    (void)arg;
    if (index == 1)
        bench_fork(burn, NULL, 2, &child, &err);
    while (getppid() != 1 && (index == 2 || child != 0))
        count++;
    return 0;
}

static void test_a_family_takes_the_time_of_its_members(void **state)
{
    (void)state;
    Err err;
    pid_t pid = 0;
    double own_s = 0, family_s = 0;
    assert_int_equal(bench_fork(burn, NULL, 1, &pid, &err), ERR_OK);
    for (int i = 0; i < 1000 && family_s - own_s < 0.02; i++) {
        bench_sleep_ms(10);
        own_s = bench_cpu_s(pid);
        family_s = bench_cpu_family_s(pid);
    }
    assert_true(own_s > 0);
    assert_true(family_s > own_s);
    bench_end(&pid, SIGTERM, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_process_shares_memory),
        cmocka_unit_test(test_a_process_is_ended_by_its_signal_or_by_force),
        cmocka_unit_test(test_ports_are_not_given_twice),
        cmocka_unit_test(test_a_directory_goes_with_all_that_is_in_it),
        cmocka_unit_test(test_a_directory_that_cannot_be_made_is_bad_usage),
        cmocka_unit_test(test_a_family_takes_the_time_of_its_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
