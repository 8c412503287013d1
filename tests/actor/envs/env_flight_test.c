/* What the host adds to environments that work elsewhere: order, finite numbers, faults, and what
 * becomes of something in flight that nobody wants any more. */
#include "actor/envs/env_host.h"

#include <math.h>

#include "tests/actor/fake_worker.h"

static FakeWorker worker;
static FakeInstance *instance;
static EnvKind *kind;
static Env *env;
static EnvOutcome outcome;
static float obs[2];
static Err err;

static int setup(void **state)
{
    (void)state;
    kind = fake_kind(&worker, 0);
    instance = &worker.instance[0];
    return env_new(kind, &env, &err);
}

static int teardown(void **state)
{
    (void)state;
    env_destroy(&env);
    env_kind_close(&kind);
    assert_true(worker.closed);
    return 0;
}

static void test_a_reset_and_a_step_are_in_flight_until_they_are_ready(void **state)
{
    (void)state;
    instance->hold = 2;
    assert_int_equal(env_reset_begin(env, 1007, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(env_finish(env, 5, obs, NULL, &err), ERR_AGAIN);
        assert_true(env_in_flight(env));
    }
    assert_int_equal(env_finish(env, 5, obs, NULL, &err), 0);
    assert_false(env_in_flight(env));
    assert_true(obs[0] == 7);
    instance->hold = 1;
    assert_int_equal(env_step_begin(env, (float[]){0.5F}, &err), 0);
    assert_int_equal(env_finish(env, 0, obs, &outcome, &err), ERR_AGAIN);
    assert_int_equal(env_finish(env, 0, obs, &outcome, &err), 0);
    assert_true(obs[0] == 7.5F && outcome.reward == 1);
    assert_int_equal(outcome.end, SEGMENT_CONTINUES);
}

static void test_step_and_reset_in_one_wait_as_long_as_it_takes(void **state)
{
    (void)state;
    instance->hold = FAKE_FOREVER;
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    instance->hold = FAKE_FOREVER;
    assert_int_equal(env_step(env, (float[]){0}, obs, &outcome, &err), 0);
    assert_int_equal(worker.timeout_ms_max, -1);
}

static void test_what_is_lost_says_why_and_a_reset_comes_next(void **state)
{
    (void)state;
    const EnvFault faults[] = {ENV_FAULT_RAISED, ENV_FAULT_DIED, ENV_FAULT_HUNG};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(env_reset(env, 1, obs, &err), 0);
        fake_lose(&worker, 0, faults[i]);
        assert_int_equal(env_step(env, (float[]){0}, obs, &outcome, &err), ERR_LOST);
        assert_int_equal(env_fault(env), faults[i]);
        fake_lose(&worker, 0, faults[2 - i]);
        assert_int_equal(env_reset(env, 1, obs, &err), ERR_LOST);
        assert_int_equal(env_fault(env), faults[2 - i]);
    }
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    assert_int_equal(env_step(env, (float[]){0}, obs, &outcome, &err), 0);
}

static void test_what_cannot_even_begin_has_died(void **state)
{
    (void)state;
    fake_lose(&worker, 0, ENV_FAULT_DIED);
    instance->lose_begin = true;
    assert_int_equal(env_reset_begin(env, 1, &err), ERR_LOST);
    assert_int_equal(env_fault(env), ENV_FAULT_DIED);
    assert_false(env_in_flight(env));
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    fake_lose(&worker, 0, ENV_FAULT_DIED);
    instance->lose_begin = true;
    assert_int_equal(env_step_begin(env, (float[]){0}, &err), ERR_LOST);
    assert_int_equal(env_fault(env), ENV_FAULT_DIED);
    assert_false(env_in_flight(env));
}

static void test_numbers_that_are_not_finite_are_told_from_physics_that_diverged(void **state)
{
    (void)state;
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    assert_int_equal(env_step_begin(env, (float[]){NAN}, &err), ERR_DIVERGED);
    assert_int_equal(env_fault(env), ENV_FAULT_NOT_FINITE);
    assert_int_equal(instance->steps_begun, 0);
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    instance->place = INFINITY;
    assert_int_equal(env_step(env, (float[]){0}, obs, &outcome, &err), ERR_DIVERGED);
    assert_int_equal(env_fault(env), ENV_FAULT_NOT_FINITE);
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    instance->lose_code = ERR_DIVERGED;
    instance->fault = ENV_FAULT_DIVERGED;
    assert_int_equal(env_step(env, (float[]){0}, obs, &outcome, &err), ERR_DIVERGED);
    assert_int_equal(env_fault(env), ENV_FAULT_DIVERGED);
}

/* Begins a reset while something is in flight: whatever that gives, the reset comes. */
static void reset_instead(int lose_code)
{
    int resets = instance->resets_begun;
    instance->hold = 2;
    assert_int_equal(env_reset_begin(env, 3, &err), 0);
    instance->lose_code = lose_code;
    assert_int_equal(env_reset_begin(env, 4, &err), 0); /* and once more */
    for (int i = 0; i < 2; i++)
        assert_int_equal(env_finish(env, 5, obs, NULL, &err), ERR_AGAIN);
    assert_int_equal(instance->resets_begun, resets);
    assert_int_equal(env_finish(env, 5, obs, NULL, &err), 0);
    assert_int_equal(instance->resets_begun, resets + 1);
    assert_true(obs[0] == 4 && obs[1] == 0);
    assert_false(env_in_flight(env));
    assert_int_equal(env_step(env, (float[]){0.5F}, obs, &outcome, &err), 0);
    assert_true(obs[0] == 4.5F && obs[1] == 1);
}

static void test_a_reset_throws_away_what_is_in_flight(void **state)
{
    (void)state;
    const int codes[] = {0, ERR_LOST, ERR_DIVERGED};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(env_reset(env, 1, obs, &err), 0);
        assert_int_equal(env_step_begin(env, (float[]){0}, &err), 0);
        reset_instead(codes[i]);
        assert_int_equal(env_reset_begin(env, 1, &err), 0);
        reset_instead(codes[i]);
    }
}

static void test_a_reset_does_not_hide_that_an_environment_failed(void **state)
{
    (void)state;
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    assert_int_equal(env_step_begin(env, (float[]){0}, &err), 0);
    assert_int_equal(env_reset_begin(env, 2, &err), 0);
    instance->lose_code = ERR_ENV;
    assert_int_equal(env_finish(env, 5, obs, NULL, &err), ERR_ENV);
    assert_false(env_in_flight(env));
}

static void test_the_step_limit_holds_here_too(void **state)
{
    (void)state;
    Spec spec = *env_kind_spec(kind);
    env_destroy(&env);
    env_kind_close(&kind);
    spec.step_limit = 3;
    worker = (FakeWorker){0};
    assert_int_equal(env_kind_make(&fake_backend, &worker, &spec, &kind, &err), 0);
    assert_int_equal(env_new(kind, &env, &err), 0);
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(env_step(env, (float[]){0}, obs, &outcome, &err), 0);
        assert_int_equal(outcome.end, i < 3 ? SEGMENT_CONTINUES : SEGMENT_TRUNCATED);
    }
}

static void test_an_instance_goes_whatever_it_is_doing(void **state)
{
    (void)state;
    instance->hold = FAKE_FOREVER;
    assert_int_equal(env_reset_begin(env, 1, &err), 0);
    env_destroy(&env);
    assert_int_equal(worker.num_in_flight, 0);
    assert_int_equal(env_new(kind, &env, &err), 0);
}

static void test_an_unsound_spec_closes_what_was_opened(void **state)
{
    (void)state;
    FakeWorker other = {0};
    EnvKind *made = NULL;
    Spec spec = *env_kind_spec(kind);
    spec.action_high[0] = INFINITY;
    assert_int_equal(env_kind_make(&fake_backend, &other, &spec, &made, &err), ERR_SPEC);
    assert_null(made);
    assert_true(other.closed);
}

static void test_a_backend_need_not_save_states_or_draw(void **state)
{
    (void)state;
    uint8_t bytes[64];
    assert_int_equal(env_reset(env, 1, obs, &err), 0);
    assert_int_equal(env_state_bytes(env), 0);
    assert_int_equal(env_state_get(env, bytes, &err), ERR_MISSING);
    assert_int_equal(env_state_set(env, bytes, obs, &err), ERR_MISSING);
    assert_int_equal(env_render(env, bytes, 4, 4, &err), ERR_MISSING);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_reset_and_a_step_are_in_flight_until_they_are_ready),
        CASE(test_step_and_reset_in_one_wait_as_long_as_it_takes),
        CASE(test_what_is_lost_says_why_and_a_reset_comes_next),
        CASE(test_what_cannot_even_begin_has_died),
        CASE(test_numbers_that_are_not_finite_are_told_from_physics_that_diverged),
        CASE(test_a_reset_throws_away_what_is_in_flight),
        CASE(test_a_reset_does_not_hide_that_an_environment_failed),
        CASE(test_the_step_limit_holds_here_too),
        CASE(test_an_instance_goes_whatever_it_is_doing),
        CASE(test_an_unsound_spec_closes_what_was_opened),
        CASE(test_a_backend_need_not_save_states_or_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
