#include "cli/bench/bench.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_the_median_of_an_odd_number_is_the_middle_one(void **state)
{
    (void)state;
    double values[] = {5, 1, 9, 3, 7};
    assert_true(bench_percentile(values, 5, 0.5) == 5);
}

static void test_the_median_of_an_even_number_lies_between_two(void **state)
{
    (void)state;
    double values[] = {4, 1, 3, 2};
    assert_true(bench_percentile(values, 4, 0.5) == 2.5);
}

static void test_the_ends_are_the_least_and_the_most(void **state)
{
    (void)state;
    double values[] = {2, -8, 4};
    assert_true(bench_percentile(values, 3, 0) == -8);
    assert_true(bench_percentile(values, 3, 1) == 4);
}

static void test_one_value_is_every_percentile(void **state)
{
    (void)state;
    double value = 6;
    assert_true(bench_percentile(&value, 1, 0.99) == 6);
}

static void test_nothing_has_no_median(void **state)
{
    (void)state;
    assert_true(isnan(bench_percentile(NULL, 0, 0.5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_median_of_an_odd_number_is_the_middle_one),
        cmocka_unit_test(test_the_median_of_an_even_number_lies_between_two),
        cmocka_unit_test(test_the_ends_are_the_least_and_the_most),
        cmocka_unit_test(test_one_value_is_every_percentile),
        cmocka_unit_test(test_nothing_has_no_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
