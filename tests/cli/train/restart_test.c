#include "cli/train/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_the_delay_doubles_up_to_its_most(void **state)
{
    (void)state;
    static const int expected[] = {200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    Restart restart = {0};
    for (int i = 0; i < 8; i++) {
        /* Too seldom to be given up. */
        int64_t now_ms = (int64_t)i * RESTART_WINDOW_MS;
        assert_int_equal(restart_after(&restart, now_ms, now_ms + 4000, false), expected[i]);
    }
}

static void test_five_failures_that_each_take_a_while_are_given_up_too(void **state)
{
    (void)state;
    Restart restart = {0};
    int64_t now_ms = 0;
    for (int i = 0; i < 4; i++, now_ms += 35000)
        assert_true(restart_after(&restart, now_ms, now_ms + 30000, false) > 0);
    assert_int_equal(restart_after(&restart, now_ms, now_ms + 30000, false), -1);
}

static void test_five_failures_at_once_are_given_up(void **state)
{
    (void)state;
    Restart restart = {0};
    int64_t now_ms = 0;
    for (int i = 0; i < 4; i++) {
        int delay_ms = restart_after(&restart, now_ms, now_ms + 10, false);
        assert_true(delay_ms > 0);
        now_ms += 10 + delay_ms;
    }
    assert_int_equal(restart_after(&restart, now_ms, now_ms + 10, false), -1);
}

static void test_five_failures_spread_over_more_than_the_window_are_not(void **state)
{
    (void)state;
    const int64_t step_ms = RESTART_WINDOW_MS / (RESTART_FAILURES_MAX - 1) + 1;
    Restart restart = {0};
    for (int64_t i = 0; i < 100; i++)
        assert_true(restart_after(&restart, i * step_ms, i * step_ms + 1, false) > 0);
}

static void test_the_window_is_of_the_newest_failures(void **state)
{
    (void)state;
    Restart restart = {0};
    for (int64_t i = 0; i < 7; i++)
        assert_true(
            restart_after(&restart, i * RESTART_WINDOW_MS, i * RESTART_WINDOW_MS + 1, false) > 0);
    int64_t now_ms = 100 * (int64_t)RESTART_WINDOW_MS;
    for (int i = 0; i < 4; i++)
        assert_true(restart_after(&restart, now_ms + i, now_ms + i, false) > 0);
    assert_int_equal(restart_after(&restart, now_ms + 4, now_ms + 4, false), -1);
}

static void test_work_forgives_what_was_before(void **state)
{
    (void)state;
    Restart restart = {0};
    for (int i = 0; i < 4; i++)
        restart_after(&restart, i, i, false);
    assert_int_equal(restart_after(&restart, 5, 6, true), RESTART_DELAY_MIN_MS);
    for (int i = 0; i < 4; i++)
        assert_true(restart_after(&restart, 10 + i, 10 + i, false) > 0);
}

static void test_living_for_long_is_work(void **state)
{
    (void)state;
    Restart restart = {0};
    for (int i = 0; i < 3; i++)
        restart_after(&restart, i, i, false);
    assert_int_equal(restart_after(&restart, 100, 100 + RESTART_WORKED_MS, false),
                     RESTART_DELAY_MIN_MS);
    assert_int_equal(restart.failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_delay_doubles_up_to_its_most),
        cmocka_unit_test(test_five_failures_at_once_are_given_up),
        cmocka_unit_test(test_five_failures_that_each_take_a_while_are_given_up_too),
        cmocka_unit_test(test_five_failures_spread_over_more_than_the_window_are_not),
        cmocka_unit_test(test_the_window_is_of_the_newest_failures),
        cmocka_unit_test(test_work_forgives_what_was_before),
        cmocka_unit_test(test_living_for_long_is_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
