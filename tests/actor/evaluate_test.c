/* The evaluation against an environment that this file scripts: it defines the functions of the
 * host that an evaluation calls, so the library's own are not linked. */
#include "actor/evaluate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"

enum { OBS_DIM = 2, ACT_DIM = 1, NUM_PARAMS = 3, EPISODES_MAX = 32 };

/* Episode e gives `reward[e]` at each of `length[e]` steps, and then ends, or diverges or fails. */
struct Env {
    int length[EPISODES_MAX];
    float reward[EPISODES_MAX];
    SegmentEnd end;
    int reset_code; /* of the episode `bad_episode`; 0: fine */
    int step_code;  /* of its step length[e] */
    int bad_episode;
    int resets;
    int steps; /* in the episode */
    int steps_in_all;
    int lost; /* so often ERR_LOST comes of reset_code and step_code */
    int hold; /* so many calls of env_finish, for each reset and step, are too early */
    int waited;
    bool in_flight;
    bool is_reset; /* what is in flight */
    float next_action;
    int repeats; /* resets to the seed of the reset before */
    uint64_t seed[EPISODES_MAX];
    float action[EPISODES_MAX]; /* the first of each episode */
};

int env_reset_begin(Env *env, uint64_t seed, Err *err)
{
    (void)err;
    assert_true(env->resets < EPISODES_MAX);
    int begun = env->resets++ - env->repeats; /* episodes */
    if (begun > 0 && env->seed[begun - 1] == seed)
        env->repeats++;
    else
        env->seed[begun] = seed;
    env->in_flight = env->is_reset = true;
    env->waited = 0;
    return 0;
}

int env_step_begin(Env *env, const float *action, Err *err)
{
    (void)err;
    assert_false(env->in_flight);
    env->next_action = action[0];
    env->in_flight = true;
    env->is_reset = false;
    env->waited = 0;
    return 0;
}

/* What goes wrong in the bad episode; 0: nothing, or not any more. */
static int trouble_of(Env *env, int episode, int code)
{
    if (episode != env->bad_episode || (code == ERR_LOST && env->lost == 0))
        return 0;
    env->lost -= code == ERR_LOST;
    return code;
}

static int finish_reset(Env *env, int episode, float *obs, Err *err)
{
    env->steps = 0;
    obs[0] = 0.5F;
    obs[1] = (float)episode;
    int code = trouble_of(env, episode, env->reset_code);
    return code ? err_set(err, code, "reset") : 0;
}

int env_finish(Env *env, int timeout_ms, float *obs, EnvOutcome *outcome, Err *err)
{
    assert_true(env->in_flight);
    assert_in_range(timeout_ms, 1, 50);
    if (env->waited++ < env->hold)
        return ERR_AGAIN;
    env->in_flight = false;
    int episode = env->resets - env->repeats - 1;
    if (env->is_reset)
        return finish_reset(env, episode, obs, err);
    env->steps_in_all++;
    if (env->steps++ == 0)
        env->action[episode] = env->next_action;
    bool last = env->steps == env->length[episode];
    int code = last ? trouble_of(env, episode, env->step_code) : 0;
    if (code) {
        obs[0] = NAN;
        return err_set(err, code, "step");
    }
    obs[0] = 0.25F;
    outcome->reward = env->reward[episode];
    outcome->end = last ? env->end : SEGMENT_CONTINUES;
    return 0;
}

static Env env;
static Spec spec;
static Mlp mlp;
static float params[NUM_PARAMS];
static Evaluation *evaluation;
static Err err;

static int setup(void **state)
{
    (void)state;
    env = (Env){.end = SEGMENT_TERMINATED, .bad_episode = -1};
    for (int i = 0; i < EPISODES_MAX; i++) {
        env.length[i] = 3 + i;
        env.reward[i] = (float)(1 + i);
    }
    spec = (Spec){.name = "scripted", .obs_dim = OBS_DIM, .act_dim = ACT_DIM, .step_limit = 1000};
    params[0] = 0.4F;
    params[1] = -0.3F;
    params[2] = 0.1F;
    return mlp_shape(&mlp, OBS_DIM, NULL, 0, ACT_DIM, true, &err);
}

static int teardown(void **state)
{
    (void)state;
    evaluation_destroy(&evaluation);
    return 0;
}

static void begin(int episodes, uint64_t seed)
{
    assert_int_equal(evaluation_new(&env, &spec, &mlp, params, episodes, seed, &evaluation, &err),
                     0);
}

static void run_all(void)
{
    bool done = false;
    assert_int_equal(evaluation_advance(evaluation, 1000000, &done, &err), 0);
    assert_true(done);
}

static void test_the_result_is_mean_and_spread_of_the_returns(void **state)
{
    (void)state;
    begin(5, 1);
    run_all();
    double mean = 0, square = 0, length = 0;
    for (int i = 0; i < 5; i++) {
        double total = (3.0 + i) * (1.0 + i);
        mean += total / 5;
        square += total * total / 5;
        length += (3.0 + i) / 5;
    }
    EvaluationResult result = evaluation_result(evaluation);
    assert_int_equal(result.episodes, 5);
    assert_true(fabs(result.return_mean - mean) < 1e-9);
    assert_true(fabs(result.return_std - sqrt(square - mean * mean)) < 1e-9);
    assert_true(fabs(result.length_mean - length) < 1e-9);
    assert_int_equal(result.diverged, 0);
    assert_int_equal(env.resets, 5);
}

static void test_small_advances_come_to_the_same(void **state)
{
    (void)state;
    begin(7, 1);
    run_all();
    EvaluationResult whole = evaluation_result(evaluation);
    evaluation_destroy(&evaluation);
    env.resets = 0;
    begin(7, 1);
    bool done = false;
    for (int calls = 0; !done; calls++) {
        int before = env.steps_in_all;
        assert_true(calls < 1000);
        assert_int_equal(evaluation_advance(evaluation, 2, &done, &err), 0);
        assert_true(env.steps_in_all - before <= 2);
    }
    EvaluationResult pieces = evaluation_result(evaluation);
    assert_int_equal(pieces.episodes, whole.episodes);
    assert_true(pieces.return_mean == whole.return_mean);
    assert_true(pieces.return_std == whole.return_std);
    assert_true(pieces.length_mean == whole.length_mean);
}

static void test_only_finished_episodes_count(void **state)
{
    (void)state;
    bool done = true;
    begin(3, 1);
    assert_int_equal(evaluation_result(evaluation).episodes, 0);
    assert_int_equal(evaluation_advance(evaluation, 2, &done, &err), 0);
    assert_false(done);
    assert_int_equal(evaluation_result(evaluation).episodes, 0);
    assert_int_equal(evaluation_advance(evaluation, 3, &done, &err), 0);
    EvaluationResult result = evaluation_result(evaluation);
    assert_int_equal(result.episodes, 1);
    assert_true(result.return_mean == 3);
    assert_true(result.return_std == 0);
    assert_true(result.length_mean == 3);
}

static void test_the_action_is_the_policys_without_noise(void **state)
{
    (void)state;
    begin(4, 1);
    run_all();
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)env.action[i] - tanh(0.4 * 0.5 - 0.3 * i + 0.1)) < 1e-5);
}

static void test_episode_k_starts_from_stream_k_of_the_seed(void **state)
{
    (void)state;
    begin(6, 77);
    run_all();
    for (uint64_t k = 0; k < 6; k++) {
        Rng rng = rng_stream(77, RNG_EVAL, k, 0, 0);
        assert_true(env.seed[k] == rng_u64(&rng));
    }
}

static void test_a_truncated_episode_is_finished_too(void **state)
{
    (void)state;
    env.end = SEGMENT_TRUNCATED;
    begin(2, 1);
    run_all();
    assert_int_equal(evaluation_result(evaluation).episodes, 2);
}

static void test_an_episode_that_diverges_ends_there_and_is_counted(void **state)
{
    (void)state;
    env.bad_episode = 1;
    env.step_code = ERR_DIVERGED;
    begin(3, 1);
    run_all();
    EvaluationResult result = evaluation_result(evaluation);
    assert_int_equal(result.episodes, 3);
    /* Episode 1 has four steps of 2; the last of them did not happen. */
    assert_true(fabs(result.return_mean - (3 + 6 + 15) / 3.0) < 1e-9);
    assert_true(fabs(result.length_mean - (3 + 3 + 5) / 3.0) < 1e-9);
    assert_int_equal(result.diverged, 1);
}

static void test_an_episode_that_diverges_at_its_start_is_empty_and_is_counted(void **state)
{
    (void)state;
    env.bad_episode = 0;
    env.reset_code = ERR_DIVERGED;
    begin(2, 1);
    run_all();
    EvaluationResult result = evaluation_result(evaluation);
    assert_int_equal(result.episodes, 2);
    assert_true(fabs(result.return_mean - 8 / 2.0) < 1e-9);
    assert_int_equal(result.diverged, 1);
}

static void test_an_episode_that_is_lost_is_repeated_from_its_seed(void **state)
{
    (void)state;
    begin(3, 1);
    run_all();
    EvaluationResult whole = evaluation_result(evaluation);
    for (int at_reset = 0; at_reset < 2; at_reset++) {
        evaluation_destroy(&evaluation);
        env.resets = env.repeats = 0;
        env.bad_episode = 1;
        env.lost = 4;
        env.reset_code = at_reset ? ERR_LOST : 0;
        env.step_code = at_reset ? 0 : ERR_LOST;
        begin(3, 1);
        run_all();
        EvaluationResult result = evaluation_result(evaluation);
        assert_int_equal(env.lost, 0);
        assert_int_equal(env.repeats, 4);
        assert_int_equal(result.episodes, 3);
        assert_true(result.return_mean == whole.return_mean);
        assert_true(result.return_std == whole.return_std);
        assert_true(result.length_mean == whole.length_mean);
        assert_int_equal(result.diverged, 0);
    }
}

static void test_an_episode_that_is_lost_every_time_fails_the_evaluation(void **state)
{
    (void)state;
    bool done = false;
    env.bad_episode = 1;
    env.step_code = ERR_LOST;
    env.lost = 1000;
    begin(3, 1);
    assert_int_equal(evaluation_advance(evaluation, 100000, &done, &err), ERR_ENV);
    assert_non_null(strstr(err.text, "episode 1 of the evaluation was lost 11 times: step"));
    assert_int_equal(evaluation_result(evaluation).episodes, 1);
}

static void test_what_is_not_ready_is_finished_by_a_later_call(void **state)
{
    (void)state;
    begin(4, 1);
    run_all();
    EvaluationResult whole = evaluation_result(evaluation);
    evaluation_destroy(&evaluation);
    env.resets = env.steps_in_all = 0;
    env.hold = 2;
    begin(4, 1);
    bool done = false;
    int calls = 0;
    for (; !done; calls++)
        assert_int_equal(evaluation_advance(evaluation, 1000, &done, &err), 0);
    /* Two calls for each reset and each step are too early. */
    assert_int_equal(calls, 1 + 2 * (4 + 3 + 4 + 5 + 6));
    assert_int_equal(env.steps_in_all, 3 + 4 + 5 + 6);
    assert_true(evaluation_result(evaluation).return_mean == whole.return_mean);
}

static void test_an_evaluation_may_end_while_a_step_is_in_flight(void **state)
{
    (void)state;
    bool done = false;
    env.hold = 1;
    begin(2, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(evaluation_advance(evaluation, 1000, &done, &err), 0);
    assert_true(env.in_flight);
    evaluation_destroy(&evaluation);
    env.hold = env.resets = 0; /* the next one begins with a reset all the same */
    begin(2, 5);
    run_all();
    assert_int_equal(evaluation_result(evaluation).episodes, 2);
}

static void test_an_environment_that_fails_fails_the_evaluation(void **state)
{
    (void)state;
    bool done = false;
    env.bad_episode = 1;
    env.step_code = ERR_ENV;
    begin(3, 1);
    assert_int_equal(evaluation_advance(evaluation, 1000, &done, &err), ERR_ENV);
    assert_int_equal(evaluation_result(evaluation).episodes, 1);
}

static void test_an_endless_episode_is_cut(void **state)
{
    (void)state;
    spec.step_limit = 0;
    env.length[0] = EVALUATION_STEPS_MAX + 5;
    begin(1, 1);
    run_all();
    assert_true(evaluation_result(evaluation).length_mean == EVALUATION_STEPS_MAX);
}

static void test_a_policy_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    spec.obs_dim = OBS_DIM + 1;
    assert_int_equal(evaluation_new(&env, &spec, &mlp, params, 1, 1, &evaluation, &err), ERR_SPEC);
    assert_null(evaluation);
}

static void test_a_policy_that_is_not_finite_is_refused(void **state)
{
    (void)state;
    params[2] = NAN;
    assert_int_equal(evaluation_new(&env, &spec, &mlp, params, 1, 1, &evaluation, &err),
                     ERR_DIVERGED);
    assert_null(evaluation);
}

/* Counts what a watch sees; fails when it sees step `stop_at`. */
typedef struct Seen {
    int stop_at;
    int count;
    int episode; /* the last that was seen */
    int step;
} Seen;

static int watch(void *context, Env *watched, int episode, int step, Err *error)
{
    Seen *seen = context;
    assert_ptr_equal(watched, &env);
    assert_int_equal(watched->steps, step);
    assert_int_equal(watched->resets - 1, episode);
    seen->count++;
    seen->episode = episode;
    seen->step = step;
    return step == seen->stop_at ? err_set(error, ERR_IO, "no more film") : 0;
}

static void test_a_watch_sees_every_state_of_every_episode(void **state)
{
    (void)state;
    Seen seen = {.stop_at = -1};
    begin(3, 5); /* of 3, 4 and 5 steps */
    evaluation_watch(evaluation, watch, &seen);
    run_all();
    assert_int_equal(seen.count, 4 + 5 + 6);
    assert_int_equal(seen.episode, 2);
    assert_int_equal(seen.step, 5);
}

static void test_what_a_watch_returns_ends_the_evaluation(void **state)
{
    (void)state;
    bool done = false;
    Seen seen = {.stop_at = 2};
    begin(3, 5);
    evaluation_watch(evaluation, watch, &seen);
    assert_int_equal(evaluation_advance(evaluation, 1000, &done, &err), ERR_IO);
    assert_string_equal(err.text, "no more film");
    assert_int_equal(seen.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_result_is_mean_and_spread_of_the_returns, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_small_advances_come_to_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_finished_episodes_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_action_is_the_policys_without_noise, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_episode_k_starts_from_stream_k_of_the_seed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_truncated_episode_is_finished_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_episode_that_diverges_ends_there_and_is_counted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_an_episode_that_diverges_at_its_start_is_empty_and_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_episode_that_is_lost_is_repeated_from_its_seed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_an_episode_that_is_lost_every_time_fails_the_evaluation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_ready_is_finished_by_a_later_call, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_evaluation_may_end_while_a_step_is_in_flight, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_environment_that_fails_fails_the_evaluation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_endless_episode_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_watch_sees_every_state_of_every_episode, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_a_watch_returns_ends_the_evaluation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_policy_that_does_not_fit_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_policy_that_is_not_finite_is_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
