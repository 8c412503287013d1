/* Environments in a Python worker that goes wrong: what raises, dies and hangs, what is lost with
 * it and what is not, starting again, and that nothing is left behind. */
#include "gymnasium_fixture.h"

#include "actor/envs/gymnasium/worker.h"

/* --- Faults ----------------------------------------------------------------------------------- */

typedef struct Trouble {
    const char *options;
    EnvFault fault;
    const char *text;
} Trouble;

static const Trouble troubles[] = {
    {"fault=raise", ENV_FAULT_RAISED,
     "gymnasium:Count-v0: step raised ValueError: the joint is broken"},
    {"fault=exit", ENV_FAULT_RAISED, "gymnasium:Count-v0: step raised SystemExit: 3"},
    {"fault=wrong", ENV_FAULT_RAISED,
     "gymnasium:Count-v0: step gave an observation of shape (3,), and its space has (4,)"},
    {"fault=one", ENV_FAULT_RAISED,
     "gymnasium:Count-v0: step gave an observation of shape (1,), and its space has (4,)"},
    {"fault=text", ENV_FAULT_RAISED,
     "gymnasium:Count-v0: step gave an observation that is a str, no array"},
    {"fault=words", ENV_FAULT_RAISED, "gymnasium:Count-v0: step gave an observation of dtype <U1"},
    {"fault=four", ENV_FAULT_RAISED,
     "gymnasium:Count-v0: step raised ValueError: not enough values to unpack (expected 5, got 4)"},
    {"fault=reward", ENV_FAULT_RAISED,
     "gymnasium:Count-v0: step gave a reward that is no number, but a str"},
    {"fault=die", ENV_FAULT_DIED, "gymnasium:Count-v0: the Python worker ended with exit code 7"},
    {"fault=kill", ENV_FAULT_DIED,
     "gymnasium:Count-v0: the Python worker was killed by signal 9 (Killed)"},
    {"fault=crash", ENV_FAULT_DIED,
     "gymnasium:Count-v0: the Python worker was killed by signal 11 (Segmentation fault)"},
    {"fault=fork", ENV_FAULT_DIED, "gymnasium:Count-v0: the Python worker ended with exit code 9"},
};

/* In a step and in a reset; the worker is started again, and goes on. */
static void test_each_trouble_loses_its_episode_and_no_more(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        const Trouble *trouble = &troubles[i];
        char options[128];
        snprintf(options, sizeof options, "%s,at=2,once=@/%zu", trouble->options, i);
        open_count(f, 1, options);
        reset(f, 0, 1);
        pid_t pid = worker_pid(f, 0);
        step_ok(f, 0);
        step_begin(f, 0, 0, 0);
        assert_lost(f, 0, trouble->fault);
        assert_string_equal(f->err.text, trouble->text);
        assert_false(is_running(pid));
        reset(f, 0, 2);
        assert_true(f->obs[0][0] == 0.0f && f->obs[0][1] == 2.0f && worker_pid(f, 0) != pid);
        for (int k = 1; k <= 5; k++)
            step_ok(f, 0);
        assert_true(f->obs[0][0] == 5.0f);
        close_kind(f);
    }
}

static void test_a_reset_may_be_in_trouble_too(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=raise,at=0,once=@/once");
    reset_begin(f, 0, 1);
    assert_lost(f, 0, ENV_FAULT_RAISED);
    assert_string_equal(f->err.text,
                        "gymnasium:Count-v0: reset raised ValueError: the joint is broken");
    reset(f, 0, 1);
    step_ok(f, 0);
}

static void test_a_traceback_is_logged_whole(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=raise,at=1");
    reset(f, 0, 1);
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_RAISED);
    assert_logged(f, "warning: gymnasium:Count-v0: Traceback (most recent call last):\n");
    assert_logged(f, "in do_raise\n");
    assert_logged(f, "warning: gymnasium:Count-v0: ValueError: the joint is\n");
    assert_logged(f, "warning: gymnasium:Count-v0: broken\n");
    assert_null(strstr(log_of(f), "polyak-worker"));
}

static void test_a_crash_leaves_a_traceback(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=crash,at=1");
    reset(f, 0, 1);
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    assert_logged(f, "gymnasium:Count-v0: Fatal Python error: Segmentation fault\n");
    assert_logged(f, "in do_crash\n");
}

static void test_a_worker_that_hangs_is_ended_and_says_where(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.step_timeout_ms = 500;
    open_count(f, 2, "fault=hang,at=2,once=@/once,only=1");
    for (int i = 0; i < 2; i++)
        reset(f, i, 1);
    pid_t pid = worker_pid(f, 0);
    for (int i = 0; i < 2; i++)
        step_ok(f, i);
    for (int i = 0; i < 2; i++)
        step_begin(f, i, 0, 0);
    int64_t began_ms = clock_ms();
    while (finish(f, 1, 50) == ERR_AGAIN)
        assert_true(clock_ms() - began_ms < DEADLINE_MS);
    assert_in_range(clock_ms() - began_ms, 500, DEADLINE_MS);
    assert_int_equal(f->fault, ENV_FAULT_HUNG);
    assert_string_equal(f->err.text,
                        "gymnasium:Count-v0: no step or reset was done within 0.5 s, and the "
                        "Python worker was ended; --env-step-timeout-ms gives it longer");
    assert_false(is_running(pid));
    assert_logged(f, "in do_hang\n");
    finish_ok(f, 0); /* its step was done before */
    assert_true(f->obs[0][0] == 2.0f);
    reset(f, 1, 1);
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_HUNG);
}

static void test_a_slow_worker_does_not_hang(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    f->setup.step_timeout_ms = 1000;
    open_count(f, 4, "slow_ms=400"); /* together longer than the timeout */
    for (int i = 0; i < 4; i++)
        reset(f, i, 1);
    for (int i = 0; i < 4; i++)
        step_begin(f, i, 0, 0);
    assert_int_equal(finish(f, 3, 0), ERR_AGAIN);
    usleep(1200000); /* and this program had no time to look */
    for (int i = 0; i < 4; i++)
        finish_ok(f, i);
}

static void test_a_start_that_hangs_is_ended(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    WorkerConfig config = {.python = test_python,
                           .id = "Count-v0",
                           .options = "fault=hang,at=-1",
                           .name = "gymnasium:Count-v0",
                           .num_lanes = 1,
                           .step_timeout_ms = 100,
                           .start_timeout_ms = 2000};
    Worker *worker = NULL;
    assert_int_equal(worker_new(&config, &worker, &f->err), ERR_OK);
    assert_int_equal(worker_start(worker, &f->err), ERR_OK);
    while (worker->state == WORKER_STARTING)
        worker_wait(worker, FOREVER);
    assert_int_equal(worker->state, WORKER_ENDED);
    assert_int_equal(worker->fault, ENV_FAULT_HUNG);
    assert_string_equal(
        worker->ending.text,
        "gymnasium:Count-v0: the Python worker did not start within 2 s, and was ended");
    worker_destroy(&worker);
}

/* --- What is lost, and what is not ------------------------------------------------------------ */

static void test_steps_done_before_an_error_are_given_and_all_lanes_are_lost_once(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 8, "fault=raise,at=3,only=3,once=@/once");
    for (int i = 0; i < 8; i++)
        reset(f, i, 1);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 8; i++)
            step_begin(f, i, 0, 0);
        for (int i = 0; i < 8 && round < 3; i++)
            finish_ok(f, i);
    }
    for (int i = 0; i < 3; i++) {
        finish_ok(f, i);
        assert_true(f->obs[i][0] == 3.0f);
    }
    for (int i = 3; i < 8; i++)
        assert_lost(f, i, ENV_FAULT_RAISED);
    assert_non_null(strstr(f->err.text, "broken (environment 3)"));
    reset_begin(f, 5, 1); /* a new worker is on its way */
    for (int i = 0; i < 3; i++) {
        step_begin(f, i, 0, 0);
        assert_lost(f, i, ENV_FAULT_RAISED);
    }
    for (int i = 0; i < 8; i++) {
        if (i != 5)
            reset_begin(f, i, 1);
    }
    for (int round = 0; round <= 6; round++) {
        for (int i = 0; i < 8; i++)
            finish_ok(f, i);
        for (int i = 0; i < 8; i++) {
            assert_true(f->obs[i][0] == (float)round);
            step_begin(f, i, 0, 0);
        }
    }
}

static void test_a_worker_is_killed_between_begin_and_finish(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 8, "slow_ms=100");
    for (int i = 0; i < 8; i++)
        reset(f, i, 1);
    pid_t pid = worker_pid(f, 0);
    for (int i = 0; i < 8; i++)
        step_begin(f, i, 0, 0);
    finish_ok(f, 0); /* the first of them: the others are in flight */
    assert_int_equal(finish(f, 7, 0), ERR_AGAIN);
    kill_worker(pid);
    int lost = 0;
    for (int i = 1; i < 8; i++) {
        int code = finish(f, i, FOREVER);
        if (code == ERR_OK)
            assert_true(lost == 0 && f->obs[i][0] == 1.0f);
        else
            lost += code == ERR_LOST && f->fault == ENV_FAULT_DIED;
    }
    assert_in_range(lost, 1, 7);
    for (int i = 0; i < 8; i++)
        reset(f, i, 1);
    assert_int_not_equal(worker_pid(f, 7), pid);
}

static void test_a_worker_is_killed_while_nobody_looks(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 2, "");
    reset(f, 0, 1);
    reset(f, 1, 1);
    kill_worker(worker_pid(f, 0));
    step_begin(f, 0, 0, 0);
    step_begin(f, 1, 0, 0);
    assert_lost(f, 1, ENV_FAULT_DIED);
    assert_lost(f, 0, ENV_FAULT_DIED);
    reset(f, 1, 1);
    kill_worker(worker_pid(f, 1));
    reset_begin(f, 1, 1); /* of a dead worker, which it does not know yet */
    assert_lost(f, 1, ENV_FAULT_DIED);
    reset(f, 0, 1);
    step_ok(f, 0);
}

/* --- A stop while it hangs ---------------------------------------------------------------------
 */

static volatile sig_atomic_t stop;

static void on_alarm(int number)
{
    stop = number;
}

/* Sets `stop` when something hangs. */
static void stop_soon(Fixture *f)
{
    struct sigaction action = {.sa_handler = on_alarm};
    stop = 0;
    f->setup.stop = &stop;
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
}

static void test_a_stop_ends_the_wait_for_the_first_start(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    stop_soon(f);
    assert_int_equal(try_open(f, "Count-v0", 1, "fault=hang,at=-1"), ERR_STOPPED);
    assert_int_equal(stop, SIGALRM);
}

static void test_a_stop_ends_the_wait_for_a_picture(void **state)
{
    Fixture *f = *state;
    uint8_t rgb[8 * 4 * 3];
    NEEDS_PYTHON();
    stop = 0;
    f->setup.stop = &stop;
    open_count(f, 1, "picture=hangs,render_mode=rgb_array");
    reset(f, 0, 1);
    stop_soon(f);
    assert_int_equal(backend->render(f->lanes[0], rgb, 8, 4, &f->err), ERR_STOPPED);
    assert_int_equal(stop, SIGALRM);
}

/* --- A memory that is written over --------------------------------------------------------------
 */

static void test_a_worker_that_writes_over_the_header_harms_itself_alone(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 2, "fault=wreck,once=@/once,only=0");
    reset(f, 0, 1);
    reset(f, 1, 1);
    step_begin(f, 0, 0, 0);
    assert_lost(f, 0, ENV_FAULT_DIED);
    reset(f, 0, 2);
    step_ok(f, 0);
    assert_true(f->obs[0][0] == 1.0f && f->obs[0][1] == 2.0f);
}

static void test_a_picture_lies_where_the_header_was_written_over(void **state)
{
    Fixture *f = *state;
    uint8_t rgb[8 * 4 * 3];
    NEEDS_PYTHON();
    open_count(f, 1, "fault=scribble,render_mode=rgb_array");
    reset(f, 0, 1);
    step_ok(f, 0);
    assert_int_equal(backend->render(f->lanes[0], rgb, 8, 4, &f->err), ERR_OK);
    assert_true(rgb[0] == 0 && rgb[sizeof rgb - 1] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_each_trouble_loses_its_episode_and_no_more),
        UNIT(test_a_reset_may_be_in_trouble_too),
        UNIT(test_a_traceback_is_logged_whole),
        UNIT(test_a_crash_leaves_a_traceback),
        UNIT(test_a_worker_that_hangs_is_ended_and_says_where),
        UNIT(test_a_slow_worker_does_not_hang),
        UNIT(test_a_start_that_hangs_is_ended),
        UNIT(test_steps_done_before_an_error_are_given_and_all_lanes_are_lost_once),
        UNIT(test_a_worker_is_killed_between_begin_and_finish),
        UNIT(test_a_worker_is_killed_while_nobody_looks),
        UNIT(test_a_stop_ends_the_wait_for_the_first_start),
        UNIT(test_a_stop_ends_the_wait_for_a_picture),
        UNIT(test_a_worker_that_writes_over_the_header_harms_itself_alone),
        UNIT(test_a_picture_lies_where_the_header_was_written_over),
    };
    return cmocka_run_group_tests(tests, find_python, NULL);
}
