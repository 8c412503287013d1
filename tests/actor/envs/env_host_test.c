/* What the host adds to any environment: mapped actions, the step limit, finite numbers, states. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "actor/envs/env_host.h"

#define NAN_ENV POLYAK_PLUGIN_DIR "/nan_env.so"
#define SLOW_ENV POLYAK_PLUGIN_DIR "/slow_env.so"

enum { DIM_MAX = 8 };

/* A kind with one instance in an episode. */
typedef struct Fixture {
    EnvKind *kind;
    Env *env;
    float obs[DIM_MAX];
    EnvOutcome outcome;
    Err err;
} Fixture;

static void start(Fixture *f, const char *name, const char *options)
{
    *f = (Fixture){0};
    if (env_kind_open(&(EnvSetup){.name = name, .options = options}, &f->kind, &f->err) != ERR_OK ||
        env_new(f->kind, &f->env, &f->err) != ERR_OK ||
        env_reset(f->env, 1, f->obs, &f->err) != ERR_OK)
        fail_msg("%s", f->err.text);
}

static void finish(Fixture *f)
{
    env_destroy(&f->env);
    env_kind_close(&f->kind);
    assert_null(f->env);
    assert_null(f->kind);
}

static int step(Fixture *f, float a0, float a1)
{
    return env_step(f->env, (float[]){a0, a1}, f->obs, &f->outcome, &f->err);
}

/* Steps that go well and do not end the episode. */
static void steps_continue(Fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(step(f, 0.0f, 0.0f), ERR_OK);
        assert_int_equal(f->outcome.end, SEGMENT_CONTINUES);
    }
}

/* The environment's bounds are [-1, 3] and [0.1, 0.7], and it echoes what arrives. */
static void test_actions_are_mapped_to_the_bounds_per_dimension(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "");
    const float maps[][4] = {
        {-1.0f, -1.0f, -1.0f, 0.1f}, {1.0f, 1.0f, 3.0f, 0.7f},    {0.0f, 0.0f, 1.0f, 0.4f},
        {0.5f, -0.5f, 2.0f, 0.25f},  {-0.25f, 0.5f, 0.5f, 0.55f},
    };
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        assert_int_equal(step(&f, maps[i][0], maps[i][1]), ERR_OK);
        assert_float_equal(f.obs[1], maps[i][2], 1e-6);
        assert_float_equal(f.obs[2], maps[i][3], 1e-6);
    }
    finish(&f);
}

static void test_a_mapped_action_never_leaves_the_bounds(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "");
    const Spec *spec = env_kind_spec(f.kind);
    const float wide[] = {-1.0f, 1.0f, -1.0000001f, 1.0000001f, -7.0f, 7.0f};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        assert_int_equal(step(&f, wide[i], wide[i]), ERR_OK);
        for (int d = 0; d < spec->act_dim; d++) {
            float edge = wide[i] > 0.0f ? spec->action_high[d] : spec->action_low[d];
            assert_true(f.obs[1 + d] == edge);
        }
    }
    finish(&f);
}

static void test_the_step_limit_truncates(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "limit=7");
    for (int episode = 0; episode < 2; episode++) {
        steps_continue(&f, 6);
        assert_int_equal(step(&f, 0.0f, 0.0f), ERR_OK);
        assert_int_equal(f.outcome.end, SEGMENT_TRUNCATED);
        assert_int_equal(env_reset(f.env, 1, f.obs, &f.err), ERR_OK);
    }
    finish(&f);
}

static void test_without_a_step_limit_an_episode_goes_on(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "limit=0");
    steps_continue(&f, 1500);
    finish(&f);
}

static void test_termination_wins_over_the_step_limit(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "limit=3,terminate_at=3,truncate_at=3");
    steps_continue(&f, 2);
    assert_int_equal(step(&f, 0.0f, 0.0f), ERR_OK);
    assert_int_equal(f.outcome.end, SEGMENT_TERMINATED);
    finish(&f);
}

static void test_an_environment_may_truncate_by_itself(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "truncate_at=2");
    steps_continue(&f, 1);
    assert_int_equal(step(&f, 0.0f, 0.0f), ERR_OK);
    assert_int_equal(f.outcome.end, SEGMENT_TRUNCATED);
    finish(&f);
}

/* After `options`' third step something goes wrong; the next episode goes well again. */
static void goes_wrong(const char *options, int code, const char *words)
{
    Fixture f;
    start(&f, NAN_ENV, options);
    for (int episode = 0; episode < 2; episode++) {
        steps_continue(&f, 3);
        assert_int_equal(step(&f, 0.0f, 0.0f), code);
        if (!strstr(f.err.text, words) || strchr(f.err.text, '\n'))
            fail_msg("'%s' lacks '%s', or is not one line", f.err.text, words);
        assert_int_equal(env_reset(f.env, 1, f.obs, &f.err), ERR_OK);
    }
    finish(&f);
}

static void test_an_observation_that_is_not_finite_is_divergence(void **state)
{
    (void)state;
    goes_wrong("after=3", ERR_DIVERGED, "observation 0 is nan after 4 steps");
}

static void test_a_reward_that_is_not_finite_is_divergence(void **state)
{
    (void)state;
    goes_wrong("reward_after=3", ERR_DIVERGED, "reward is nan after 4 steps");
}

static void test_physics_that_diverged_are_divergence_in_the_environments_words(void **state)
{
    (void)state;
    goes_wrong("diverge_after=3", ERR_DIVERGED, "the point left the line");
}

static void test_a_step_that_fails_is_an_error_in_the_environments_words(void **state)
{
    (void)state;
    goes_wrong("fail_after=3", ERR_ENV, "step failed: the line?broke");
}

static void test_an_action_that_is_not_finite_never_reaches_the_environment(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "");
    steps_continue(&f, 2);
    assert_int_equal(step(&f, 0.0f, NAN), ERR_DIVERGED);
    assert_non_null(strstr(f.err.text, "action 1 is nan after 2 steps"));
    assert_int_equal(env_reset(f.env, 1, f.obs, &f.err), ERR_OK);
    assert_int_equal(step(&f, INFINITY, 0.0f), ERR_DIVERGED);
    finish(&f);
}

/* Takes one step too many in a child process, which must abort. */
static void stepping_on_aborts(Fixture *f)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        (void)step(f, 0.0f, 0.0f);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_stepping_on_without_a_reset_is_a_programmers_error(void **state)
{
    (void)state;
    Fixture f;
    start(&f, NAN_ENV, "after=1");
    steps_continue(&f, 1);
    assert_int_equal(step(&f, 0.0f, 0.0f), ERR_DIVERGED);
    stepping_on_aborts(&f);
    finish(&f);

    start(&f, NAN_ENV, "limit=1");
    assert_int_equal(step(&f, 0.0f, 0.0f), ERR_OK);
    stepping_on_aborts(&f);
    finish(&f);
}

static void test_what_an_environment_lacks_is_reported_as_missing(void **state)
{
    (void)state;
    Fixture f;
    uint8_t bytes[64];
    start(&f, NAN_ENV, "");
    assert_int_equal(env_state_bytes(f.env), 0);
    assert_int_equal(env_state_get(f.env, bytes, &f.err), ERR_MISSING);
    assert_int_equal(env_state_set(f.env, bytes, f.obs, &f.err), ERR_MISSING);
    assert_int_equal(env_render(f.env, bytes, 4, 4, &f.err), ERR_MISSING);
    steps_continue(&f, 1); /* none of it disturbs the episode */
    finish(&f);
}

static void test_a_saved_state_carries_the_steps_taken(void **state)
{
    (void)state;
    Fixture f;
    char saved[64], at_end[64];
    start(&f, "pendulum", "");
    assert_true(env_state_bytes(f.env) <= sizeof saved);
    steps_continue(&f, 190);
    assert_int_equal(env_state_get(f.env, saved, &f.err), ERR_OK);
    for (int i = 0; i < 2; i++) {
        steps_continue(&f, 9);
        assert_int_equal(step(&f, 0.0f, 0.0f), ERR_OK);
        assert_int_equal(f.outcome.end, SEGMENT_TRUNCATED);
        assert_int_equal(env_state_get(f.env, at_end, &f.err), ERR_OK);
        assert_int_equal(env_state_set(f.env, saved, f.obs, &f.err), ERR_OK);
    }
    /* The state of an ended episode is one of an ended episode. */
    assert_int_equal(env_state_set(f.env, at_end, f.obs, &f.err), ERR_OK);
    stepping_on_aborts(&f);
    finish(&f);
}

static void test_a_state_that_no_host_saved_is_refused(void **state)
{
    (void)state;
    Fixture f;
    char saved[64];
    start(&f, "pendulum", "");
    assert_int_equal(env_state_get(f.env, saved, &f.err), ERR_OK);
    const int32_t headers[][2] = {{-1, 1}, {0, 2}, {0, -1}, {200, 1}};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        memcpy(saved, headers[i], ENV_STATE_HOST_BYTES);
        assert_int_equal(env_state_set(f.env, saved, f.obs, &f.err), ERR_FORMAT);
        steps_continue(&f, 1); /* nothing was touched */
    }
    /* Numbers that are not finite show in the observation. */
    memcpy(saved, (int32_t[]){0, 1}, ENV_STATE_HOST_BYTES);
    memset(saved + ENV_STATE_HOST_BYTES, 0xff, sizeof saved - ENV_STATE_HOST_BYTES);
    assert_int_equal(env_state_set(f.env, saved, f.obs, &f.err), ERR_DIVERGED);
    assert_int_equal(env_reset(f.env, 1, f.obs, &f.err), ERR_OK);
    finish(&f);
}

static void test_a_picture_of_an_impossible_size_is_refused(void **state)
{
    (void)state;
    Fixture f;
    start(&f, "pendulum", "");
    const int sizes[][2] = {{0, 4}, {4, 0}, {-1, 4}, {4, 4097}, {4097, 4}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(env_render(f.env, NULL, sizes[i][0], sizes[i][1], &f.err), ERR_USAGE);
    finish(&f);
}

static void test_a_step_has_the_seconds_that_the_environment_says(void **state)
{
    (void)state;
    Fixture f;
    start(&f, "cartpole_swingup", NULL);
    assert_true(env_step_seconds(f.env) == 0.01);
    finish(&f);
    start(&f, "mountain_car_continuous", NULL); /* has no seconds */
    assert_true(env_step_seconds(f.env) == 0.0);
    finish(&f);
}

static void test_the_slow_environment_takes_its_time(void **state)
{
    (void)state;
    Fixture f;
    start(&f, SLOW_ENV, "us=5000");
    assert_string_equal(env_kind_spec(f.kind)->name, "test_slow_env");
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    steps_continue(&f, 4);
    clock_gettime(CLOCK_MONOTONIC, &after);
    double seconds =
        (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    assert_true(seconds >= 4 * 0.005);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions_are_mapped_to_the_bounds_per_dimension),
        cmocka_unit_test(test_a_mapped_action_never_leaves_the_bounds),
        cmocka_unit_test(test_the_step_limit_truncates),
        cmocka_unit_test(test_without_a_step_limit_an_episode_goes_on),
        cmocka_unit_test(test_termination_wins_over_the_step_limit),
        cmocka_unit_test(test_an_environment_may_truncate_by_itself),
        cmocka_unit_test(test_an_observation_that_is_not_finite_is_divergence),
        cmocka_unit_test(test_a_reward_that_is_not_finite_is_divergence),
        cmocka_unit_test(test_physics_that_diverged_are_divergence_in_the_environments_words),
        cmocka_unit_test(test_a_step_that_fails_is_an_error_in_the_environments_words),
        cmocka_unit_test(test_an_action_that_is_not_finite_never_reaches_the_environment),
        cmocka_unit_test(test_stepping_on_without_a_reset_is_a_programmers_error),
        cmocka_unit_test(test_what_an_environment_lacks_is_reported_as_missing),
        cmocka_unit_test(test_a_saved_state_carries_the_steps_taken),
        cmocka_unit_test(test_a_state_that_no_host_saved_is_refused),
        cmocka_unit_test(test_a_picture_of_an_impossible_size_is_refused),
        cmocka_unit_test(test_a_step_has_the_seconds_that_the_environment_says),
        cmocka_unit_test(test_the_slow_environment_takes_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
