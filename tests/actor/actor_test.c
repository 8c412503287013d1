/* A whole actor in a thread, against a learner in the test's hands. */
#include "actor/actor.h"

#include <fcntl.h>
#include <unistd.h>

#include "actor/outbox.h"
#include "common/clock.h"
#include "common/fs.h"
#include "tests/actor/actor_fixture.h"

static void test_an_actor_takes_exactly_the_steps_granted_and_ends_with_the_run(void **state)
{
    (void)state;
    start_and_welcome();
    expect_steps(50);
    say_ack(sequence, 77);
    expect_steps(77);
    say_bye(BYE_FINISHED);
    assert_int_equal(hear_until(MESSAGE_BYE)->bye, BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
    assert_int_equal(steps, 77);
}

static void test_a_heartbeat_says_what_the_actor_waits_for(void **state)
{
    (void)state;
    welcome.welcome.heartbeat_interval_ms = 500;
    start_and_welcome();
    expect_steps(50);
    say_ack(sequence, 0);
    expect_heartbeat(50, "the test says so");
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

/* The learner may give an environment eight segments in hand, and take some before it acknowledges
 * any: the outbox must not be what holds an actor back then. */
static void test_there_are_places_for_all_that_credit_allows(void **state)
{
    (void)state;
    enum { ENVS = 6, ROUNDS = 9 };
    config.envs_per_actor = ENVS;
    welcome.welcome.step_limit = ENVS * ROUNDS * SEGMENT_STEPS;
    welcome.welcome.segment_flush_ms = 1 << 30;
    welcome.welcome.heartbeat_interval_ms = 500;
    start_and_welcome();
    expect_heartbeat(ENVS * ROUNDS * SEGMENT_STEPS, "the test says so");
    assert_int_equal(sequence, ENVS * ROUNDS);
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

/* The places of the outbox: when they are full and one is given back, one environment takes one
 * step into it before it is the other one's turn, which finds none. */
static void test_an_actor_that_is_stopped_sends_what_it_has(void **state)
{
    (void)state;
    enum { PLACES = NUM_ENVS * OUTBOX_PLACES_PER_ENV };
    welcome.welcome.step_limit = 1 << 30;
    welcome.welcome.segment_flush_ms = 1 << 30;
    welcome.welcome.heartbeat_interval_ms = 500;
    start_and_welcome();
    for (int i = 0; i < PLACES; i++)
        assert_int_equal(hear_until(MESSAGE_SEGMENT)->segment.num_steps, SEGMENT_STEPS);
    say_ack(1, 0);
    expect_heartbeat(PLACES * SEGMENT_STEPS + 1, "the outbox is full");
    stop = 1;
    say_ack(1, 0);
    assert_int_equal(hear_until(MESSAGE_SEGMENT)->segment.num_steps, 1);
    say_ack(sequence, 0); /* it waits for this */
    assert_int_equal(hear_until(MESSAGE_BYE)->bye, BYE_STOPPING);
    assert_int_equal(join_actor(), ERR_STOPPED);
}

static void test_an_actor_that_is_stopped_tells_what_was_not_acknowledged(void **state)
{
    (void)state;
    const char *path = scratch_path(&learner.scratch, "log");
    int kept = dup(STDERR_FILENO);
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_true(kept >= 0 && file >= 0);
    start_and_welcome();
    expect_steps(50);
    say_ack(1, 0);
    dup2(file, STDERR_FILENO);
    stop = 1;
    say_ack(1, 0);
    int code = join_actor();
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(file);
    assert_int_equal(code, ERR_STOPPED);
    char *text = NULL;
    char expected[64];
    size_t bytes = 0;
    Err err;
    assert_int_equal(fs_read_file(path, 1 << 16, &text, &bytes, &err), 0);
    snprintf(expected, sizeof expected, "%d segments (%d steps) are left", (int)sequence - 1,
             50 - SEGMENT_STEPS);
    assert_non_null(strstr(text, expected));
    free(text);
}

/* A step of every environment takes 640 ms, which is longer than three heartbeats. */
static void test_an_actor_of_slow_environments_stays_in_touch(void **state)
{
    (void)state;
    enum { ENVS = 16 };
    snprintf(config.env, sizeof config.env, "%s", POLYAK_PLUGIN_DIR "/nan_env.so");
    snprintf(config.env_options, sizeof config.env_options, "us=40000");
    config.envs_per_actor = ENVS;
    welcome.welcome.heartbeat_interval_ms = 150;
    start_and_welcome();
    uint64_t told = 0;
    while (told == 0) {
        told = hear_until(MESSAGE_HEARTBEAT)->heartbeat.env_steps;
        say_ack(0, 0);
    }
    assert_in_range(told, 1, ENVS - 1);
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

static void test_a_restarted_learner_gets_the_same_session_and_what_it_misses(void **state)
{
    (void)state;
    start_and_welcome();
    Session session = learner.heard.hello.session;
    expect_steps(50);
    uint64_t last = sequence;
    say_ack(2, 0);
    say_bye(BYE_RESTARTING);
    const Message *hello = hear_until(MESSAGE_HELLO);
    assert_memory_equal(&hello->hello.session, &session, sizeof session);
    assert_int_equal(hello->hello.oldest_unacked, 3);
    welcome.welcome.acked_sequence = 2;
    fake_learner_says(&learner, &welcome);
    sequence = 2;
    while (sequence < last)
        hear_until(MESSAGE_SEGMENT);
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

static void test_another_segment_length_after_a_restart_ends_the_actor(void **state)
{
    (void)state;
    const uint32_t other[] = {SEGMENT_STEPS / 2, 2 * SEGMENT_STEPS};
    for (int i = 0; i < 2; i++) {
        sequence = steps = 0;
        welcome.welcome.segment_steps = SEGMENT_STEPS;
        start_and_welcome();
        expect_steps(50);
        say_ack(sequence, 0);
        say_bye(BYE_RESTARTING);
        hear_until(MESSAGE_HELLO);
        welcome.welcome.segment_steps = other[i];
        fake_learner_says(&learner, &welcome);
        assert_int_equal(join_actor(), ERR_SPEC);
        char text[128];
        snprintf(text, sizeof text,
                 "the learner changed segment_steps from %d to %u: restart this actor",
                 SEGMENT_STEPS, other[i]);
        assert_string_equal(result_err.text, text);
        while (fake_learner_hears(&learner, 50)) /* its last words */
            continue;
    }
}

/* Waits for the actor's join, and keeps its topic. */
static void hear_join(uint8_t topic[WIRE_TOPIC_MAX])
{
    uint8_t event[1 + WIRE_TOPIC_MAX] = {0};
    while (event[0] != 1 || event[1] != 'J') {
        assert_true(fake_readable(learner.xpub, FAKE_WAIT_MS));
        zmq_recv(learner.xpub, event, sizeof event, 0);
    }
    memcpy(topic, event + 1, WIRE_TOPIC_MAX);
}

/* On the topic of a join, which is one's own, or to all on W. */
static void publish(const uint8_t *topic, size_t topic_bytes, Version version)
{
    float params[OBS_DIM + 1] = {0.1F};
    Weights weights = {.version = version, .params = params};
    uint8_t frame[512];
    Err err;
    assert_int_equal(mlp_shape(&weights.mlp, OBS_DIM, NULL, 0, ACT_DIM, true, &err), 0);
    size_t bytes = wire_weights_size(&weights, topic_bytes);
    assert_true(bytes <= sizeof frame);
    wire_weights_pack(&weights, topic, topic_bytes, frame);
    assert_int_equal(zmq_send(learner.xpub, frame, bytes, 0), bytes);
}

static void test_weights_are_used_as_soon_as_they_have_come(void **state)
{
    (void)state;
    uint8_t topic[WIRE_TOPIC_MAX];
    start_and_welcome();
    expect_steps(50);
    hear_join(topic);
    publish(topic, sizeof topic, (Version){1, 9});
    /* Step by step, until one is taken with them. */
    uint64_t limit = 50;
    do
        say_ack(sequence, ++limit);
    while (hear_until(MESSAGE_SEGMENT)->segment.version.epoch == 0);
    assert_true(version_equal(learner.heard.segment.version, (Version){1, 9}));
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

/* Credit and the policy of a turn come on two sockets, in any order. */
static void test_in_lockstep_a_turn_waits_for_its_policy(void **state)
{
    (void)state;
    uint8_t topic[WIRE_TOPIC_MAX];
    welcome.welcome.sync = true;
    welcome.welcome.step_limit = 0;
    start_and_welcome();
    hear_join(topic);
    for (uint64_t turn = 1; turn <= 6; turn++) {
        if (turn % 2)
            publish((const uint8_t *)"W", 1, (Version){1, turn});
        fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK,
                                               .ack = {.acked_sequence = sequence,
                                                       .step_limit = 10 * turn,
                                                       .newest = {1, turn}}});
        if (turn % 2 == 0) {
            expect_steps(10 * (turn - 1)); /* none with the policy of the last turn */
            publish((const uint8_t *)"W", 1, (Version){1, turn});
        }
        while (steps < 10 * turn)
            assert_int_equal(hear_until(MESSAGE_SEGMENT)->segment.version.update, turn);
    }
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

static void use_nan_env(const char *options)
{
    snprintf(config.env, sizeof config.env, "%s", POLYAK_PLUGIN_DIR "/nan_env.so");
    snprintf(config.env_options, sizeof config.env_options, "%s", options);
    learner.limits.act_dim = 2;
}

/* Takes messages until the Bye, with all acknowledged; returns what came right before it. */
static Message hear_last_words(void)
{
    Message before;
    do {
        before = learner.heard;
        assert_true(fake_learner_hears(&learner, FAKE_WAIT_MS));
        if (learner.heard.kind == MESSAGE_SEGMENT)
            say_ack(learner.heard.segment.sequence, 0);
    } while (learner.heard.kind != MESSAGE_BYE);
    assert_int_equal(learner.heard.bye, BYE_STOPPING);
    return before;
}

/* Long before a heartbeat is due. */
static void test_an_actor_whose_environment_fails_says_why_before_it_leaves(void **state)
{
    (void)state;
    use_nan_env("fail_after=3");
    start_and_welcome();
    Message last = hear_last_words();
    assert_int_equal(join_actor(), ERR_ENV);
    assert_int_equal(last.kind, MESSAGE_HEARTBEAT);
    assert_string_equal(last.heartbeat.last_fault, "test_nan_env: step failed: the line?broke");
    assert_int_equal(last.heartbeat.env_steps, 2 * 3);
    assert_int_equal(last.heartbeat.outbox_segments, 0);
}

static void test_an_actor_that_is_stopped_tells_of_its_last_faults(void **state)
{
    (void)state;
    use_nan_env("after=1");
    welcome.welcome.step_limit = 12; /* each is a segment, and the outbox has places for all */
    start_and_welcome();
    expect_steps(12);
    stop = 1;
    say_ack(sequence, 0);
    Message last = hear_last_words();
    assert_int_equal(join_actor(), ERR_STOPPED);
    assert_int_equal(last.kind, MESSAGE_HEARTBEAT);
    assert_in_range(last.heartbeat.faults.count[ENV_FAULT_NOT_FINITE], 10, 12);
    assert_non_null(strstr(last.heartbeat.last_fault, "observation 0 is nan"));
}

static void test_an_environment_that_is_not_there_ends_it_at_once(void **state)
{
    (void)state;
    snprintf(config.env, sizeof config.env, "pendulun");
    start_actor();
    assert_int_equal(join_actor(), ERR_USAGE);
    assert_non_null(strstr(result_err.text, "pendulum"));
    assert_false(fake_learner_hears(&learner, 20));
}

static void test_an_actor_that_lost_its_learner_fills_its_spool(void **state)
{
    (void)state;
    enum { SPOOL = 40 }; /* more than the outbox holds without one */
    config.spool_segments = SPOOL;
    start_and_welcome();
    expect_steps(50);
    say_ack(sequence, 0);
    uint64_t before = sequence;
    say_bye(BYE_RESTARTING);
    hear_until(MESSAGE_HELLO);
    usleep(300000); /* its steps take microseconds */
    welcome.welcome.acked_sequence = before;
    welcome.welcome.step_limit = 60;
    fake_learner_says(&learner, &welcome);
    while (sequence < before + SPOOL)
        hear_until(MESSAGE_SEGMENT);
    assert_in_range(steps, 50 + SPOOL, 50 + SPOOL * SEGMENT_STEPS);
    say_ack(sequence, steps);
    /* Credit goes on behind them, and behind the steps in the segments that were not full. */
    uint64_t limit = steps + (uint64_t)NUM_ENVS * SEGMENT_STEPS;
    say_ack(sequence, limit);
    expect_steps(limit);
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_actor_takes_exactly_the_steps_granted_and_ends_with_the_run),
        CASE(test_a_heartbeat_says_what_the_actor_waits_for),
        CASE(test_there_are_places_for_all_that_credit_allows),
        CASE(test_an_actor_that_is_stopped_sends_what_it_has),
        CASE(test_an_actor_that_is_stopped_tells_what_was_not_acknowledged),
        CASE(test_an_actor_of_slow_environments_stays_in_touch),
        CASE(test_a_restarted_learner_gets_the_same_session_and_what_it_misses),
        CASE(test_another_segment_length_after_a_restart_ends_the_actor),
        CASE(test_weights_are_used_as_soon_as_they_have_come),
        CASE(test_in_lockstep_a_turn_waits_for_its_policy),
        CASE(test_an_actor_whose_environment_fails_says_why_before_it_leaves),
        CASE(test_an_actor_that_is_stopped_tells_of_its_last_faults),
        CASE(test_an_environment_that_is_not_there_ends_it_at_once),
        CASE(test_an_actor_that_lost_its_learner_fills_its_spool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
