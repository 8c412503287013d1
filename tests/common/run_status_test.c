#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/run_status.h"

static RunStatus some_status(void)
{
    return (RunStatus){
        .env = "pendulum",
        .phase = "training",
        .env_steps = 12288,
        .total_env_steps = 20000,
        .updates = 11288,
        .episodes = 61,
        .return_mean = -151.234,
        .env_steps_per_s = 1520.4,
        .updates_per_s = 1500,
        .seconds_left = 5,
        .eval_return = NAN,
        .best_return = NAN,
    };
}

static void check_line(const RunStatus *status, const char *expected)
{
    char text[300];
    run_status_line(status, text, sizeof text);
    assert_string_equal(text, expected);
}

static void test_a_moving_run_shows_counts_return_and_rate(void **state)
{
    (void)state;
    RunStatus status = some_status();
    check_line(&status, "12,288/20,000 steps  11,288 updates  61 episodes  return -151.2  "
                        "1,520 steps/s  left 0:05");
    status.eval_return = -148.26;
    check_line(&status, "12,288/20,000 steps  11,288 updates  61 episodes  return -151.2  "
                        "eval -148.3  1,520 steps/s  left 0:05");
}

static void test_what_is_unknown_is_left_out(void **state)
{
    (void)state;
    RunStatus status = some_status();
    status.return_mean = NAN;
    status.seconds_left = NAN;
    status.env_steps_per_s = NAN;
    check_line(&status, "12,288/20,000 steps  11,288 updates  61 episodes");
    status.total_env_steps = 0;
    status.seconds_left = INFINITY;
    status.env_steps_per_s = -1;
    status.return_mean = -INFINITY;
    check_line(&status, "12,288 steps  11,288 updates  61 episodes");
}

static void test_a_wait_comes_first(void **state)
{
    (void)state;
    RunStatus status = {.phase = "waiting for actors",
                        .waiting_for = "no actor has connected yet",
                        .total_env_steps = 500,
                        .return_mean = NAN,
                        .env_steps_per_s = NAN,
                        .seconds_left = NAN,
                        .eval_return = NAN};
    check_line(&status, "waiting for actors: no actor has connected yet  0/500 steps  0 updates  "
                        "0 episodes");
    status.phase[0] = '\0';
    check_line(&status, "no actor has connected yet  0/500 steps  0 updates  0 episodes");
}

static void test_the_time_left_has_minutes_and_hours(void **state)
{
    (void)state;
    const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "left 0:00"},          {59.6, "left 1:00"},    {754, "left 12:34"},
                 {3599.4, "left 59:59"},    {3600, "left 1:00:00"}, {45296, "left 12:34:56"},
                 {360000, "left 100:00:00"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        RunStatus status = some_status();
        char text[300];
        status.seconds_left = cases[i].seconds;
        run_status_line(&status, text, sizeof text);
        assert_string_equal(strstr(text, "left"), cases[i].text);
    }
}

static void test_a_short_buffer_cuts_the_line(void **state)
{
    (void)state;
    RunStatus status = some_status();
    char full[300];
    run_status_line(&status, full, sizeof full);
    for (int bytes = 1; bytes < 120; bytes++) {
        char text[120];
        memset(text, 'x', sizeof text);
        run_status_line(&status, text, bytes);
        assert_true(strlen(text) < (size_t)bytes);
        assert_int_equal(strncmp(text, full, strlen(text)), 0);
        if (bytes < (int)sizeof text - 1)
            assert_int_equal(text[bytes], 'x');
    }
}

static void test_a_long_alarm_keeps_both_ends(void **state)
{
    (void)state;
    RunStatus status = {0};
    char path[500];
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    run_status_alarm(&status, "the log fails: %s", "no space is left");
    run_status_alarm(&status, "the log fails: /%s: no space is left", path);
    assert_int_equal(status.num_alarms, 2);
    assert_string_equal(status.alarms[0], "the log fails: no space is left");
    const char *cut = status.alarms[1];
    assert_int_equal(strlen(cut), STATUS_TEXT_MAX - 1);
    assert_int_equal(strncmp(cut, "the log fails: /ppp", 19), 0);
    assert_string_equal(cut + strlen(cut) - 21, "ppp: no space is left");
    assert_non_null(strstr(cut, "ppp … ppp"));
}

static void test_an_alarm_is_not_cut_inside_a_character(void **state)
{
    (void)state;
    for (int shift = 0; shift < 4; shift++) {
        RunStatus status = {0};
        char text[400] = "";
        for (int i = 0; i < 90; i++)
            strcat(text, "\xf0\x9f\x99\x82");
        run_status_alarm(&status, "%.*s%s", shift, "xxx", text);
        const char *c = status.alarms[0] + shift;
        while (strncmp(c, text, 4) == 0)
            c += 4;
        assert_int_equal(strncmp(c, " … ", 5), 0);
        c += 5;
        assert_int_equal(strlen(c) % 4, 0);
        assert_int_equal(strncmp(c, text, strlen(c)), 0);
    }
}

static void test_faults_are_named_by_kind(void **state)
{
    (void)state;
    char text[STATUS_FAULTS_BYTES];
    const struct {
        EnvFaults faults;
        const char *text;
    } cases[] = {
        {{{0}}, ""},
        {{{12, 3, 0, 1, 0}}, "12 diverged, 3 not finite, 1 lost with a worker that died"},
        {{{1, 1, 1, 1, 1}},
         "1 diverged, 1 not finite, 1 lost by an error in a worker, 1 lost with a worker that "
         "died, 1 lost with a worker that hung"},
        {{{0, 0, 4321, 2, 2}},
         "4,321 lost by an error in a worker, 2 lost with a worker that died, 2 lost with a worker "
         "that hung"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(run_status_faults(&cases[i].faults, text), cases[i].text);
    const EnvFaults all = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    assert_true(strlen(run_status_faults(&all, text)) < sizeof text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_moving_run_shows_counts_return_and_rate),
        cmocka_unit_test(test_what_is_unknown_is_left_out),
        cmocka_unit_test(test_a_wait_comes_first),
        cmocka_unit_test(test_the_time_left_has_minutes_and_hours),
        cmocka_unit_test(test_a_short_buffer_cuts_the_line),
        cmocka_unit_test(test_a_long_alarm_keeps_both_ends),
        cmocka_unit_test(test_an_alarm_is_not_cut_inside_a_character),
        cmocka_unit_test(test_faults_are_named_by_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
