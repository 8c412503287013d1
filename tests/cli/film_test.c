#include "cli/film.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_pace(double step_s, int stride, double frames_per_s)
{
    int got = 0;
    double frame_s = 0;
    film_pace(step_s, &got, &frame_s);
    if (got != stride || fabs(1.0 / frame_s - frames_per_s) > 1e-6)
        fail_msg("a step of %g s: every %d., %g in a second", step_s, got, 1.0 / frame_s);
}

static void test_slow_steps_are_all_shown(void **state)
{
    (void)state;
    assert_pace(0.05, 1, 20);
    assert_pace(1.0, 1, 1);
    assert_pace(0.02, 1, 50);
    assert_pace(1.0 / 50, 1, 50);
}

static void test_of_quick_steps_some_are_shown_in_real_time(void **state)
{
    (void)state;
    assert_pace(0.01, 2, 50);
    assert_pace(0.008, 3, 1.0 / 0.024);
    assert_pace(0.019, 2, 1.0 / 0.038);
    assert_pace(0.002, 10, 50);
}

static void test_steps_without_a_time_are_thirty_in_a_second(void **state)
{
    (void)state;
    assert_pace(0.0, 1, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_steps_are_all_shown),
        cmocka_unit_test(test_of_quick_steps_some_are_shown_in_real_time),
        cmocka_unit_test(test_steps_without_a_time_are_thirty_in_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
