/* A whole actor in a thread, whose environments work elsewhere and hang. It defines what opens an
 * environment, so the library's own is not linked. */
#include "actor/actor.h"

#include <pthread.h>

#include "common/clock.h"
#include "tests/actor/fake_learner.h"
#include "tests/actor/fake_worker.h"

enum { NUM_ENVS = 3, SEGMENT_STEPS = 8, HEARTBEAT_MS = 200, LATE_MS = 800, HANGS_AFTER = 12 };

static FakeLearner learner;
static FakeWorker worker;
static Config config;
static volatile sig_atomic_t stop;
static pthread_t thread;
static bool running;
static int result;
static Err result_err;
static uint64_t steps; /* in segments that came */

EnvSetup env_setup(const Config *given, int num_envs)
{
    return (EnvSetup){.name = given->env, .num_envs = num_envs};
}

int env_kind_open(const EnvSetup *setup, EnvKind **kind, Err *err)
{
    (void)err;
    assert_int_equal(setup->num_envs, NUM_ENVS);
    *kind = fake_kind(&worker, 0);
    worker.hangs_after = HANGS_AFTER;
    worker.sleeps = true;
    return ERR_OK;
}

static void *run_actor(void *unused)
{
    result = actor_run(&config, &stop, &result_err);
    return unused;
}

static int setup(void **state)
{
    (void)state;
    fake_learner_start(&learner, (WireLimits){2, 1, SEGMENT_STEPS});
    memset(&config, 0, sizeof config);
    snprintf(config.connect, sizeof config.connect, "%s", learner.endpoint);
    config.envs_per_actor = NUM_ENVS;
    stop = 0;
    steps = 0;
    Message welcome = {.kind = MESSAGE_WELCOME,
                       .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                   .send_limit_sequence = 1000,
                                   .step_limit = 10000,
                                   .heartbeat_interval_ms = HEARTBEAT_MS,
                                   .segment_steps = SEGMENT_STEPS,
                                   .segment_flush_ms = 300,
                                   .seed = 1}};
    snprintf(welcome.welcome.weights_endpoint, sizeof welcome.welcome.weights_endpoint, "%s",
             learner.weights_endpoint);
    assert_int_equal(pthread_create(&thread, NULL, run_actor, NULL), 0);
    running = true;
    fake_learner_expects(&learner, MESSAGE_HELLO);
    fake_learner_says(&learner, &welcome);
    return 0;
}

static int join_actor(void)
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
        join_actor();
    fake_learner_stop(&learner);
    return 0;
}

/* The next heartbeat, which must not be late. It is answered. */
static const Heartbeat *expect_heartbeat(void)
{
    do {
        assert_true(fake_learner_hears(&learner, LATE_MS));
        if (learner.heard.kind == MESSAGE_SEGMENT)
            steps += (uint64_t)learner.heard.segment.num_steps;
    } while (learner.heard.kind != MESSAGE_HEARTBEAT);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK, .ack = {.step_limit = 10000}});
    return &learner.heard.heartbeat;
}

/* The first thing that an instance finishes is its reset. */
static const uint64_t steps_expected = (uint64_t)NUM_ENVS * (HANGS_AFTER - 1);

static void test_an_actor_whose_environments_hang_stays_in_touch_and_says_so(void **state)
{
    (void)state;
    int64_t began_ms = clock_ms();
    const Heartbeat *heartbeat = expect_heartbeat();
    while (strstr(heartbeat->waiting_for, "waiting for the environment: ") == NULL) {
        assert_true(clock_ms() - began_ms < 10000);
        assert_string_equal(heartbeat->waiting_for, "");
        heartbeat = expect_heartbeat();
    }
    assert_true(clock_ms() - began_ms >= 5000);
    assert_int_equal(heartbeat->env_steps, steps_expected);
    assert_int_equal(steps, steps_expected); /* they did not wait for those in flight */
    stop = 1;
    while (fake_learner_hears(&learner, LATE_MS) && learner.heard.kind != MESSAGE_BYE)
        assert_int_equal(learner.heard.kind, MESSAGE_HEARTBEAT);
    assert_int_equal(learner.heard.kind, MESSAGE_BYE);
    assert_int_equal(join_actor(), ERR_STOPPED);
    assert_true(worker.closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_an_actor_whose_environments_hang_stays_in_touch_and_says_so, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
