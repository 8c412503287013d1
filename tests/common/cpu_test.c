#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cpu.h"
#include "common/fpu.h"
#include "common/fs.h"

static char root[64]; /* of made-up cgroup file systems, new for every test */

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/cpu_test.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void make_file(const char *directory, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, directory);
    assert_int_equal(fs_make_dirs(path, NULL), 0);
    snprintf(path, sizeof path, "%s%s/%s", root, directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_a_cpu_max_line_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(cpu_parse_max("200000 100000\n"), 2);
    assert_int_equal(cpu_parse_max("200001 100000\n"), 3);
    assert_int_equal(cpu_parse_max("1000 100000\n"), 1);
    assert_int_equal(cpu_parse_max("max 100000\n"), 0);
    assert_int_equal(cpu_parse_max("-1 100000"), 0);
    assert_int_equal(cpu_parse_max("100000 0"), 0);
    assert_int_equal(cpu_parse_max("100000"), 0);
    assert_int_equal(cpu_parse_max(""), 0);
    assert_true(cpu_parse_max("9223372036854775807 1") > 1000);
}

static void test_the_tightest_quota_on_the_way_up_counts(void **state)
{
    (void)state;
    make_file("/a/b/c", "cpu.max", "400000 100000\n");
    make_file("/a/b", "cpu.max", "250000 100000\n");
    make_file("/a", "cpu.max", "max 100000\n");
    make_file("/a/other", "cpu.max", "100000 100000\n");
    assert_int_equal(cpu_quota_count("0::/a/b/c\n", root), 3);
    assert_int_equal(cpu_quota_count("0::/a\n", root), 0);
    assert_int_equal(cpu_quota_count("0::/\n", root), 0);
    assert_int_equal(cpu_quota_count("", root), 0);
    assert_int_equal(cpu_quota_count("nonsense\n::\n", root), 0);
}

static void test_a_container_that_sees_no_upper_groups_still_has_its_quota(void **state)
{
    (void)state;
    make_file("", "cpu.max", "150000 100000\n");
    assert_int_equal(cpu_quota_count("0::/docker/0123\n", root), 2);
}

static void test_a_quota_of_version_1_counts(void **state)
{
    (void)state;
    const char *groups = "5:memory:/job\n4:cpu,cpuacct:/job\n3:cpuset:/\n0::/\n";
    make_file("/cpu,cpuacct/job", "cpu.cfs_quota_us", "350000\n");
    make_file("/cpu,cpuacct/job", "cpu.cfs_period_us", "100000\n");
    make_file("/cpu,cpuacct", "cpu.cfs_quota_us", "-1\n");
    make_file("/cpu,cpuacct", "cpu.cfs_period_us", "100000\n");
    make_file("/cpuset", "cpu.cfs_quota_us", "100000\n"); /* of another controller */
    make_file("/cpuset", "cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpu_quota_count(groups, root), 4);
}

static void test_memory_is_what_the_limit_leaves(void **state)
{
    (void)state;
    make_file("/job", "memory.max", "1000000\n");
    make_file("/job", "memory.current", "700000\n");
    assert_int_equal(memory_left_bytes("0::/job\n", root), 300000);
    /* Page cache that the kernel can drop is not in the way. */
    make_file("/job", "memory.stat", "anon 1\ninactive_file 200000\nactive_file 5\n");
    assert_int_equal(memory_left_bytes("0::/job\n", root), 500000);
    make_file("/job", "memory.stat", "inactive_file 900000\n");
    assert_int_equal(memory_left_bytes("0::/job\n", root), 1000000);
    make_file("/job", "memory.stat", "");
    make_file("/job", "memory.current", "1500000\n");
    assert_int_equal(memory_left_bytes("0::/job\n", root), 0);
    make_file("/job", "memory.max", "max\n");
    assert_true(memory_left_bytes("0::/job\n", root) == INT64_MAX);
}

static void test_a_memory_limit_of_version_1_counts(void **state)
{
    (void)state;
    make_file("/memory/job", "memory.limit_in_bytes", "5000\n");
    make_file("/memory/job", "memory.usage_in_bytes", "4000\n");
    make_file("/memory/job", "memory.stat", "cache 9\ninactive_file 7\ntotal_inactive_file 500\n");
    make_file("/memory", "memory.limit_in_bytes", "9223372036854771712\n");
    make_file("/memory", "memory.usage_in_bytes", "4000\n");
    assert_int_equal(memory_left_bytes("7:memory:/job\n", root), 1500);
    assert_true(memory_left_bytes("7:memory:/\n", root) == INT64_MAX);
}

static void test_the_affinity_mask_counts(void **state)
{
    (void)state;
    cpu_set_t all;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    int usable = cpu_usable_count();
    assert_true(usable >= 1 && usable <= CPU_COUNT(&all));
    size_t first = 0;
    while (!CPU_ISSET(first, &all))
        first++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(cpu_usable_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void refused(const char *list, const char *words)
{
    Err err = {""};
    int before = cpu_usable_count();
    assert_int_equal(cpu_pin(list, &err), ERR_USAGE);
    if (!strstr(err.text, words) || !strstr(err.text, list) || strchr(err.text, '\n'))
        fail_msg("%s: %s", list, err.text);
    assert_int_equal(cpu_usable_count(), before);
}

static void test_what_is_no_list_of_processors_is_refused(void **state)
{
    (void)state;
    const char *const lists[] = {",",
                                 "0,",
                                 ",0",
                                 "0,,0",
                                 "a",
                                 "0 ",
                                 "-1",
                                 "0-",
                                 "1-0",
                                 "0x0",
                                 "0;",
                                 " 0",
                                 "0-0-",
                                 "+0",
                                 "70000",
                                 "0-99999999",
                                 "0,99999999999999999999"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        refused(lists[i], "as in 0,4-7");
}

static void test_a_process_is_kept_on_the_processors_named(void **state)
{
    (void)state;
    cpu_set_t all;
    cpu_set_t now;
    Err err = {""};
    char list[64];
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    size_t first = 0;
    size_t missing = 0;
    size_t last = 0;
    for (size_t i = CPU_SETSIZE; i-- > 0;) {
        if (CPU_ISSET(i, &all)) {
            first = i;
            last = i > last ? i : last;
        } else {
            missing = i;
        }
    }
    assert_int_equal(cpu_pin("", &err), 0);
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_EQUAL(&now, &all));
    snprintf(list, sizeof list, "%zu", missing);
    refused(list, "this process may not use");
    snprintf(list, sizeof list, "%zu,%zu", first, missing);
    refused(list, "but only ");

    snprintf(list, sizeof list, "%zu,%zu-%zu", first, last, last);
    assert_int_equal(cpu_pin(list, &err), 0);
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_ISSET(first, &now) && CPU_ISSET(last, &now));
    assert_int_equal(CPU_COUNT(&now), first == last ? 1 : 2);
    assert_int_equal(cpu_usable_count(), first == last ? 1 : 2);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void test_this_machine_has_some_memory(void **state)
{
    (void)state;
    int64_t available = memory_available_bytes();
    assert_true(available > 1 << 20);
    assert_true(available < INT64_C(1) << 50);
}

static void test_denormals_are_flushed(void **state)
{
    (void)state;
#if defined(__SSE__) || defined(__aarch64__)
    volatile float smallest = 1.17549435e-38F; /* the smallest normal number */
    volatile float half = smallest * 0.5F;
    assert_true(half > 0);
    fpu_flush_denormals();
    volatile float flushed = smallest * 0.5F;
    assert_true(flushed == 0);
    volatile float from_denormal = half * 4.0F;
    assert_true(from_denormal == 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cpu_max_line_is_rounded_up),
        cmocka_unit_test_setup_teardown(test_the_tightest_quota_on_the_way_up_counts, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(
            test_a_container_that_sees_no_upper_groups_still_has_its_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_a_quota_of_version_1_counts, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_memory_is_what_the_limit_leaves, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(test_a_memory_limit_of_version_1_counts, make_root,
                                        remove_root),
        cmocka_unit_test(test_the_affinity_mask_counts),
        cmocka_unit_test(test_what_is_no_list_of_processors_is_refused),
        cmocka_unit_test(test_a_process_is_kept_on_the_processors_named),
        cmocka_unit_test(test_this_machine_has_some_memory),
        cmocka_unit_test(test_denormals_are_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
