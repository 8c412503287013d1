/* A whole evaluator in a thread, against a learner in the test's hands. */
#include "actor/actor.h"

#include <pthread.h>

#include "tests/actor/fake_learner.h"

enum { OBS_DIM = 3, ACT_DIM = 2, HEARTBEAT_MS = 100, EPISODE_STEPS = 40 };

static FakeLearner learner;
static Config config;
static volatile sig_atomic_t stop;
static pthread_t thread;
static bool running;
static int result;
static Err result_err;
static int64_t lifetime_s; /* 0: no end */

static void *run_evaluator(void *unused)
{
    result = evaluator_run(&config, &stop, &result_err);
    return unused;
}

/* The test environment; `*state`, where given, has its options, else it takes 20 ms per step. */
static int setup(void **state)
{
    fake_learner_start(&learner, (WireLimits){0, 0, 0});
    memset(&config, 0, sizeof config);
    snprintf(config.env, sizeof config.env, "%s", POLYAK_PLUGIN_DIR "/nan_env.so");
    snprintf(config.env_options, sizeof config.env_options, "%s,limit=%d",
             *state ? (const char *)*state : "us=20000", EPISODE_STEPS);
    snprintf(config.connect, sizeof config.connect, "%s", learner.endpoint);
    stop = 0;
    config.max_lifetime_s = lifetime_s;
    assert_int_equal(pthread_create(&thread, NULL, run_evaluator, NULL), 0);
    running = true;
    return 0;
}

static int setup_short_life(void **state)
{
    lifetime_s = 1;
    return setup(state);
}

static int join_evaluator(void)
{
    pthread_join(thread, NULL);
    running = false;
    return result;
}

static int teardown(void **state)
{
    (void)state;
    stop = 1; /* a test that failed leaves it running */
    if (running)
        join_evaluator();
    fake_learner_stop(&learner);
    lifetime_s = 0;
    return 0;
}

static void welcome_and_ask(int obs_dim, uint32_t episodes)
{
    static const float params[64];
    Err err;
    Message request = {.kind = MESSAGE_EVAL_REQUEST,
                       .eval_request = {.eval_id = 7, .episodes = episodes, .params = params}};
    assert_int_equal(mlp_shape(&request.eval_request.mlp, obs_dim, NULL, 0, ACT_DIM, true, &err),
                     0);
    assert_int_equal(fake_learner_expects(&learner, MESSAGE_HELLO)->hello.role, ROLE_EVALUATOR);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_WELCOME,
                                           .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                                       .heartbeat_interval_ms = HEARTBEAT_MS,
                                                       .segment_steps = 1}});
    fake_learner_says(&learner, &request);
}

/* An episode takes 800 ms: more than the silence after which either side gives the other up. */
static void test_an_evaluator_of_slow_steps_stays_in_touch(void **state)
{
    (void)state;
    int heartbeats = 0;
    welcome_and_ask(OBS_DIM, 1);
    while (fake_learner_hears(&learner, FAKE_WAIT_MS) && learner.heard.kind == MESSAGE_HEARTBEAT) {
        heartbeats++;
        fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK});
    }
    assert_int_equal(learner.heard.kind, MESSAGE_EVAL_RESULT);
    assert_int_equal(learner.heard.eval_result.eval_id, 7);
    assert_int_equal(learner.heard.eval_result.episodes, 1);
    assert_true(learner.heard.eval_result.length_mean == EPISODE_STEPS);
    assert_in_range(heartbeats, 2, EPISODE_STEPS);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_BYE, .bye = BYE_FINISHED});
    assert_int_equal(join_evaluator(), 0);
}

static void test_episodes_that_diverge_are_told(void **state)
{
    (void)state;
    welcome_and_ask(OBS_DIM, 3);
    assert_true(fake_learner_hears(&learner, FAKE_WAIT_MS));
    assert_int_equal(learner.heard.kind, MESSAGE_EVAL_RESULT);
    assert_int_equal(learner.heard.eval_result.episodes, 3);
    assert_int_equal(learner.heard.eval_result.diverged, 3);
    assert_true(learner.heard.eval_result.length_mean == 5);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_BYE, .bye = BYE_FINISHED});
    assert_int_equal(join_evaluator(), 0);
}

static void test_a_request_that_cannot_be_done_ends_the_evaluator(void **state)
{
    (void)state;
    welcome_and_ask(OBS_DIM + 1, 1);
    assert_int_equal(join_evaluator(), ERR_SPEC);
    assert_non_null(strstr(result_err.text, "an evaluation cannot be done: "));
    assert_non_null(strstr(result_err.text, "obs_dim 4"));
}

/* Its episode takes longer than its lifetime: the result comes all the same, and then the end. */
static void test_an_evaluator_ends_with_its_lifetime_between_evaluations(void **state)
{
    (void)state;
    welcome_and_ask(OBS_DIM, 2);
    while (fake_learner_hears(&learner, FAKE_WAIT_MS) && learner.heard.kind == MESSAGE_HEARTBEAT)
        fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK});
    assert_int_equal(learner.heard.kind, MESSAGE_EVAL_RESULT);
    while (fake_learner_hears(&learner, FAKE_WAIT_MS) && learner.heard.kind == MESSAGE_HEARTBEAT)
        fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK});
    assert_int_equal(learner.heard.kind, MESSAGE_BYE);
    assert_int_equal(learner.heard.bye, BYE_FINISHED);
    assert_int_equal(join_evaluator(), ACTOR_ENDED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_evaluator_of_slow_steps_stays_in_touch),
        cmocka_unit_test_prestate_setup_teardown(test_episodes_that_diverge_are_told, setup,
                                                 teardown, "after=5"),
        CASE(test_a_request_that_cannot_be_done_ends_the_evaluator),
        cmocka_unit_test_setup_teardown(
            test_an_evaluator_ends_with_its_lifetime_between_evaluations, setup_short_life,
            teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
