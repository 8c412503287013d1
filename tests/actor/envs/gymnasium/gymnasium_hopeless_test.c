/* When a Python worker that ends again and again is given up, however long that takes it: time is
 * this test's own. */
#include "gymnasium_fixture.h"

#include <sys/syscall.h>
#include <time.h>

enum { MINUTE_MS = 60000, STEP_TIMEOUT_MS = 20000 };

static int64_t ahead_ms; /* of the kernel's clock */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);
    now->tv_sec += ahead_ms / 1000;
    return rc;
}

/* The worker hangs in a step or a reset that was begun; the next start is a minute away. */
static void let_it_hang(Fixture *f)
{
    assert_int_equal(finish(f, 0, 200), ERR_AGAIN);
    ahead_ms += STEP_TIMEOUT_MS + 1000;
    assert_lost(f, 0, ENV_FAULT_HUNG);
    ahead_ms += MINUTE_MS;
}

static void assert_given_up(Fixture *f, const char *text)
{
    assert_int_equal(backend->reset_begin(f->lanes[0], 1, &f->err), ERR_ENV);
    if (!strstr(f->err.text, text))
        fail_msg("%s", f->err.text);
}

static void test_one_that_always_hangs_is_given_up(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.restarts_max = 2;
    open_count(f, 1, "fault=hang,at=1");
    for (int end = 1; end <= 3; end++) {
        reset(f, 0, 1);
        step_begin(f, 0, 0, 0);
        let_it_hang(f);
    }
    assert_given_up(f, "the Python worker of gymnasium:Count-v0 ended 3 times in a row without a "
                       "finished step; the last time: no step or reset was done within 20 s, and "
                       "the Python worker was ended; --env-step-timeout-ms gives it longer "
                       "(--env-restarts-max 2)");
}

static void test_one_that_hangs_in_its_reset_is_given_up(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.restarts_max = 1;
    open_count(f, 1, "fault=hang,at=0");
    for (int end = 1; end <= 2; end++) {
        reset_begin(f, 0, 1);
        if (end == 2) {
            while (finish(f, 0, 50) == ERR_AGAIN && !strstr(log_of(f), "is ready again"))
                ;
        }
        let_it_hang(f);
    }
    assert_given_up(f, "ended 2 times in a row without a finished step");
}

static void test_one_that_finishes_steps_in_between_is_not(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.restarts_max = 1;
    open_count(f, 1, "fault=kill,at=2");
    for (int end = 1; end <= 4; end++) {
        reset(f, 0, 1);
        step_ok(f, 0);
        step_begin(f, 0, 0, 0);
        assert_lost(f, 0, ENV_FAULT_DIED);
        ahead_ms += MINUTE_MS;
    }
    reset(f, 0, 1);
}

static int count(const char *text, const char *what)
{
    int found = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        found++;
    return found;
}

static void test_each_end_is_logged_once_with_its_reason(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.restarts_max = 20;
    open_count(f, 4, "fault=raise,at=0,only=0");
    for (int end = 1; end <= 15; end++) {
        for (int lane = 0; lane < 4; lane++)
            reset_begin(f, lane, 1);
        for (int lane = 0; lane < 4; lane++)
            assert_lost(f, lane, ENV_FAULT_RAISED);
    }
    reset_begin(f, 0, 1);
    assert_int_equal(count(log_of(f), "gymnasium:Count-v0: reset raised ValueError: the joint is "
                                      "broken (environment 0)\n"),
                     15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_one_that_always_hangs_is_given_up),
        UNIT(test_one_that_hangs_in_its_reset_is_given_up),
        UNIT(test_one_that_finishes_steps_in_between_is_not),
        UNIT(test_each_end_is_logged_once_with_its_reason),
    };
    return cmocka_run_group_tests(tests, find_python, NULL);
}
