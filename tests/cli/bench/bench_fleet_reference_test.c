#include "cli/bench/bench_fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static FleetShared shared;

static void come(uint32_t epoch, uint64_t update)
{
    uint32_t count = atomic_load(&shared.num_references);
    shared.references[count] = (FleetArrival){{epoch, update}, 1};
    atomic_store(&shared.num_references, count + 1);
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&shared.num_references, 0);
    return 0;
}

static void test_without_references_none_is_found(void **state)
{
    (void)state;
    assert_int_equal(fleet_find_reference(&shared, (Version){1, 1}), -1);
}

static void test_each_version_that_came_is_found(void **state)
{
    (void)state;
    come(1, 10);
    come(1, 30);
    come(1, 31);
    come(2, 5);
    come(2, 40);
    assert_int_equal(fleet_find_reference(&shared, (Version){1, 10}), 0);
    assert_int_equal(fleet_find_reference(&shared, (Version){1, 30}), 1);
    assert_int_equal(fleet_find_reference(&shared, (Version){1, 31}), 2);
    assert_int_equal(fleet_find_reference(&shared, (Version){2, 5}), 3);
    assert_int_equal(fleet_find_reference(&shared, (Version){2, 40}), 4);
}

static void test_a_version_between_before_or_after_them_is_not_found(void **state)
{
    (void)state;
    come(1, 10);
    come(1, 30);
    come(2, 5);
    assert_int_equal(fleet_find_reference(&shared, (Version){1, 9}), -1);
    assert_int_equal(fleet_find_reference(&shared, (Version){1, 20}), -1);
    assert_int_equal(fleet_find_reference(&shared, (Version){1, 31}), -1);
    assert_int_equal(fleet_find_reference(&shared, (Version){2, 6}), -1);
    assert_int_equal(fleet_find_reference(&shared, (Version){3, 1}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_references_none_is_found, setup),
        cmocka_unit_test_setup(test_each_version_that_came_is_found, setup),
        cmocka_unit_test_setup(test_a_version_between_before_or_after_them_is_not_found, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
