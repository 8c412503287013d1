/* A whole actor in a thread, against a learner in the test's hands. For tests of the actor. */
#ifndef POLYAK_TESTS_ACTOR_ACTOR_FIXTURE_H
#define POLYAK_TESTS_ACTOR_ACTOR_FIXTURE_H

#include <pthread.h>

#include "actor/actor.h"
#include "common/segment.h"
#include "tests/actor/fake_learner.h"

enum { NUM_ENVS = 2, OBS_DIM = 3, ACT_DIM = 1, SEGMENT_STEPS = 8, MESSAGES_MAX = 10000 };

static FakeLearner learner;
static Config config;
static volatile sig_atomic_t stop;
static pthread_t thread;
static bool running;
static int result;
static Err result_err;
static Message welcome;

/* What has arrived since the Welcome. */
static uint64_t sequence;
static uint64_t steps;

static inline int setup(void **state)
{
    (void)state;
    fake_learner_start(&learner, (WireLimits){OBS_DIM, ACT_DIM, 4 * SEGMENT_STEPS});
    memset(&config, 0, sizeof config);
    snprintf(config.env, sizeof config.env, "pendulum");
    snprintf(config.connect, sizeof config.connect, "%s", learner.endpoint);
    config.envs_per_actor = NUM_ENVS;
    stop = 0;
    sequence = steps = 0;
    welcome = (Message){.kind = MESSAGE_WELCOME,
                        .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                    .send_limit_sequence = 1000,
                                    .step_limit = 50,
                                    .heartbeat_interval_ms = 2000, /* the test answers sooner */
                                    .segment_steps = SEGMENT_STEPS,
                                    .segment_flush_ms = 1000,
                                    .seed = 1}};
    snprintf(welcome.welcome.weights_endpoint, sizeof welcome.welcome.weights_endpoint, "%s",
             learner.weights_endpoint);
    return 0;
}

static inline void *run_actor(void *unused)
{
    result = actor_run(&config, &stop, &result_err);
    return unused;
}

static inline void start_actor(void)
{
    assert_int_equal(pthread_create(&thread, NULL, run_actor, NULL), 0);
    running = true;
}

static inline int join_actor(void)
{
    pthread_join(thread, NULL);
    running = false;
    return result;
}

static inline int teardown(void **state)
{
    (void)state;
    stop = 1; /* a test that failed leaves it running */
    if (running)
        join_actor();
    fake_learner_stop(&learner);
    return 0;
}

static inline void start_and_welcome(void)
{
    start_actor();
    fake_learner_expects(&learner, MESSAGE_HELLO);
    fake_learner_says(&learner, &welcome);
}

static inline void say_ack(uint64_t acked, uint64_t step_limit)
{
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK,
                                           .ack = {.acked_sequence = acked,
                                                   .step_limit = step_limit,
                                                   .reason = "the test says so"}});
}

static inline void say_bye(ByeReason reason)
{
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_BYE, .bye = reason});
}

/* Takes messages, without an answer, until one of this kind. */
static inline const Message *hear_until(MessageKind kind)
{
    for (int i = 0; i < MESSAGES_MAX; i++) {
        assert_true(fake_learner_hears(&learner, FAKE_WAIT_MS));
        if (learner.heard.kind == MESSAGE_SEGMENT) {
            assert_int_equal(learner.heard.segment.sequence, ++sequence);
            steps += (uint64_t)learner.heard.segment.num_steps;
        }
        if (learner.heard.kind == kind)
            return &learner.heard;
    }
    fail_msg("no %s came", message_kind_name(kind));
    return NULL;
}

/* Takes segments until there are so many steps, and looks whether more come. */
static inline void expect_steps(uint64_t count)
{
    while (steps < count)
        hear_until(MESSAGE_SEGMENT);
    assert_int_equal(steps, count);
    while (fake_learner_hears(&learner, 20))
        assert_int_equal(learner.heard.kind, MESSAGE_HEARTBEAT);
}

/* Takes heartbeats, and answers them, until one says this. */
static inline void expect_heartbeat(uint64_t env_steps, const char *waiting_for)
{
    for (int i = 0; i < 20; i++) {
        const Heartbeat *heartbeat = &hear_until(MESSAGE_HEARTBEAT)->heartbeat;
        if (heartbeat->env_steps == env_steps && strstr(heartbeat->waiting_for, waiting_for))
            return;
        say_ack(0, 0);
    }
    fail_msg("no heartbeat tells of %d steps and '%s'", (int)env_steps, waiting_for);
}

#endif
