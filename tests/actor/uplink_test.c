/* The actor's side of the protocol on one connection, message by message and millisecond by
 * millisecond. */
#include "actor/uplink.h"

#include "common/clock.h"
#include "common/rng.h"
#include "tests/actor/uplink_fixture.h"

static void test_the_first_message_is_hello_on_a_new_socket(void **state)
{
    (void)state;
    expect_hello(&first_session, 1);
    assert_int_equal(message.hello.protocol_version, WIRE_PROTOCOL_VERSION);
    assert_int_equal(message.hello.role, ROLE_ACTOR);
    assert_int_equal(message.hello.num_envs, 3);
    assert_string_equal(message.hello.name, "me");
    expect_nothing();
}

static void test_nothing_is_sent_and_no_step_taken_before_the_welcome(void **state)
{
    (void)state;
    close_segments(2, 1);
    expect_hello(&first_session, 1);
    for (int i = 0; i < 3; i++) {
        now_ms += 900;
        expect_nothing();
        assert_int_equal(uplink_credit(&uplink), 0);
    }
    receive_ack(0, 10, 10); /* an Ack is no Welcome */
    expect_nothing();
    assert_int_equal(uplink_credit(&uplink), 0);
    assert_int_equal(uplink.state, UPLINK_CONNECTING);
}

static void test_a_hello_without_an_answer_is_said_again_on_a_new_socket(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        expect_hello(&first_session, 1);
        now_ms += HELLO_MS;
        expect_nothing();
        now_ms++;
    }
}

static void test_a_welcome_gives_the_limits(void **state)
{
    (void)state;
    close_segments(3, 1);
    connect_first(2, 70);
    assert_int_equal(uplink.welcomes, 1);
    assert_int_equal(uplink_credit(&uplink), 70);
    expect_segment(1);
    expect_segment(2);
    expect_nothing();
    receive_ack(0, 3, 70);
    expect_segment(3);
    expect_nothing();
}

static void test_a_second_welcome_on_a_connection_is_ignored(void **state)
{
    (void)state;
    connect_first(5, 70);
    send_segments(1, 1);
    receive_welcome(0, 9, 9);
    assert_int_equal(uplink.welcomes, 1);
    assert_int_equal(uplink_credit(&uplink), 70);
    expect_nothing(); /* and nothing is sent twice */
}

static void test_an_ack_never_lowers_a_limit_and_may_come_twice(void **state)
{
    (void)state;
    connect_first(4, 70);
    send_segments(3, 1);
    for (int i = 0; i < 2; i++) {
        receive_ack(2, 6, 90);
        assert_int_equal(uplink.send_limit_sequence, 6);
        assert_int_equal(uplink_credit(&uplink), 90);
        assert_int_equal(outbox_unacked(&outbox), 1);
    }
    receive_ack(1, 5, 80); /* an older one, late */
    assert_int_equal(uplink.send_limit_sequence, 6);
    assert_int_equal(uplink_credit(&uplink), 90);
    assert_int_equal(outbox_unacked(&outbox), 1);
}

static void test_an_ack_says_why_credit_is_withheld_and_then_no_longer(void **state)
{
    (void)state;
    connect_first(4, 0);
    receive(&(Message){.kind = MESSAGE_ACK, .ack = {.reason = "310 updates owed"}});
    assert_string_equal(uplink.reason, "310 updates owed");
    receive_ack(0, 0, 5);
    assert_string_equal(uplink.reason, "");
}

static void test_credit_is_the_limit_less_the_steps_recorded(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    uplink_count_steps(&uplink, 7);
    assert_int_equal(uplink_credit(&uplink), 3);
    uplink_count_steps(&uplink, 0); /* steps that were dropped use none up */
    assert_int_equal(uplink_credit(&uplink), 3);
    uplink_count_steps(&uplink, 3);
    assert_int_equal(uplink_credit(&uplink), 0);
    receive_ack(0, 0, 12);
    assert_int_equal(uplink_credit(&uplink), 2);
    assert_int_equal(uplink.steps_taken, 10);
}

/* A new connection may find a learner that grants less than was taken: that is no huge credit. */
static void test_a_limit_below_the_steps_taken_is_no_credit(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    uplink_count_steps(&uplink, 10);
    lose_learner();
    expect_hello(&first_session, 1);
    receive_welcome(0, 0, 4);
    assert_int_equal(uplink_credit(&uplink), 0);
    receive_ack(0, 0, 11);
    assert_int_equal(uplink_credit(&uplink), 1);
}

static void test_the_version_of_a_turn_is_that_of_the_message_that_gave_credit(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    assert_int_equal(uplink.credit_version.update, 5);
    uplink.status.version = (Version){1, 5}; /* it has come */
    receive_ack(0, 9, 10);                   /* no more steps */
    assert_int_equal(uplink.newest.update, 6);
    assert_int_equal(uplink.credit_version.update, 5);
    receive_ack(0, 9, 11);
    assert_int_equal(uplink.credit_version.update, 6);
}

/* After a break the learner may have gone on: what the turn was given with comes no more. */
static void test_a_version_that_never_came_is_not_waited_for(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    assert_int_equal(uplink.credit_version.update, 5);
    uplink.status.version = (Version){1, 4};
    receive_ack(0, 9, 10);
    assert_int_equal(uplink.credit_version.update, 6);
}

static void test_a_heartbeat_is_sent_every_interval_whatever_else_is(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    uplink.status.env_steps = 77;
    for (int i = 0; i < 3; i++) {
        now_ms += HEARTBEAT_MS - 1;
        receive_ack(0, 0, 0);
        expect_nothing();
        now_ms++;
        expect_send(MESSAGE_HEARTBEAT);
        assert_int_equal(message.heartbeat.env_steps, 77);
        expect_nothing();
    }
    now_ms += HEARTBEAT_MS - 1;
    receive_ack(0, 0, 0);
    send_segments(1, 1); /* does not say what a heartbeat says */
    now_ms++;
    expect_send(MESSAGE_HEARTBEAT);
    expect_nothing();
}

static const char *why_wait(Version policy, int64_t weights_ms)
{
    const char *reason = uplink_why_wait(&uplink, policy, weights_ms, now_ms);
    return reason ? reason : "";
}

/* As receive_welcome(), with these. */
static void connect_with(bool sync, uint32_t policy_age_s_max, Version newest)
{
    expect_hello(&first_session, 1);
    receive(&(Message){.kind = MESSAGE_WELCOME,
                       .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                   .step_limit = 10,
                                   .heartbeat_interval_ms = HEARTBEAT_MS,
                                   .sync = sync,
                                   .policy_age_s_max = policy_age_s_max,
                                   .newest = newest}});
}

static void test_a_wait_has_a_reason(void **state)
{
    (void)state;
    const Version none = {0, 0};
    assert_string_equal(why_wait(none, 0), "waiting for the learner");
    connect_with(false, 0, none);
    assert_string_equal(why_wait(none, 0), "");
    receive_ack(0, 0, 10); /* a policy was published */
    assert_string_equal(why_wait(none, 0), "waiting for the first policy");
    assert_string_equal(why_wait((Version){1, 1}, 0), "");
    uplink_count_steps(&uplink, 10);
    assert_string_equal(why_wait((Version){1, 1}, 0), "waiting for credit");
    receive(&(Message){.kind = MESSAGE_ACK, .ack = {.reason = "64 updates owed"}});
    assert_string_equal(why_wait((Version){1, 1}, 0), "64 updates owed");
}

static void test_a_policy_may_be_as_old_as_the_learner_says(void **state)
{
    (void)state;
    connect_with(false, 2, (Version){1, 5});
    assert_string_equal(why_wait((Version){1, 5}, now_ms - 2000), "");
    assert_non_null(strstr(why_wait((Version){1, 5}, now_ms - 2001), "policy_age_s_max"));
}

static void test_in_lockstep_the_policy_is_exactly_that_of_the_turn(void **state)
{
    (void)state;
    connect_with(true, 0, (Version){1, 5});
    assert_string_equal(why_wait((Version){1, 5}, 0), "");
    assert_non_null(strstr(why_wait((Version){1, 4}, 0), "lockstep"));
    assert_non_null(strstr(why_wait((Version){1, 6}, 0), "lockstep"));
    receive_ack(0, 0, 11);
    assert_non_null(strstr(why_wait((Version){1, 5}, 0), "lockstep"));
    assert_string_equal(why_wait((Version){1, 6}, 0), "");
}

/* It waits for steps to make a policy of: an actor that has one from before acts with it. */
static void test_a_learner_without_a_policy_is_not_waited_for(void **state)
{
    (void)state;
    connect_with(true, 2, (Version){0, 0});
    assert_string_equal(why_wait((Version){1, 5}, now_ms - 100000), "");
    assert_string_equal(why_wait((Version){0, 0}, 0), "");
}

/* A random message of a learner; the connection may break by it. */
static void receive_something(Rng *rng)
{
    static const RejectReason reasons[] = {REJECT_HELLO_FIRST, REJECT_FULL, REJECT_SESSION_EXPIRED};
    switch (rng_below(rng, 8)) {
    case 0:
        receive_reject(reasons[rng_below(rng, 3)]);
        break;
    case 1:
        receive_bye(BYE_RESTARTING);
        break;
    case 2:
    case 3:
    case 4:
        receive_welcome(outbox.acked_sequence + rng_below(rng, 3), rng_below(rng, 50), 100);
        break;
    default:
        receive_ack(outbox.acked_sequence + rng_below(rng, 3), rng_below(rng, 50), 100);
        break;
    }
}

/* A caller that sleeps as long as it is told wakes neither late nor for nothing. */
static void test_the_timeout_ends_exactly_when_there_is_something_to_do(void **state)
{
    (void)state;
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < 20000; i++) {
        if (outbox.num_free > 0 && rng_below(&rng, 3) == 0)
            close_segments(1, 1);
        while (uplink_next(&uplink, now_ms, &message) != UPLINK_NOTHING)
            continue;
        int timeout_ms = uplink_timeout_ms(&uplink, now_ms);
        assert_in_range(timeout_ms, 1, HELLO_MS + 1);
        if (rng_below(&rng, 3) > 0) { /* something comes earlier */
            now_ms += (int64_t)rng_below(&rng, (uint64_t)timeout_ms);
            expect_nothing();
            receive_something(&rng);
            continue;
        }
        now_ms += timeout_ms - 1;
        expect_nothing();
        now_ms++;
        bool had_socket = !uplink.socket_wanted;
        bool nothing = uplink_next(&uplink, now_ms, &message) == UPLINK_NOTHING;
        assert_true(!nothing || (had_socket && uplink.socket_wanted)); /* or it is given up */
    }
    assert_true(uplink.welcomes > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_first_message_is_hello_on_a_new_socket),
        CASE(test_nothing_is_sent_and_no_step_taken_before_the_welcome),
        CASE(test_a_hello_without_an_answer_is_said_again_on_a_new_socket),
        CASE(test_a_welcome_gives_the_limits),
        CASE(test_a_second_welcome_on_a_connection_is_ignored),
        CASE(test_an_ack_never_lowers_a_limit_and_may_come_twice),
        CASE(test_an_ack_says_why_credit_is_withheld_and_then_no_longer),
        CASE(test_credit_is_the_limit_less_the_steps_recorded),
        CASE(test_a_limit_below_the_steps_taken_is_no_credit),
        CASE(test_the_version_of_a_turn_is_that_of_the_message_that_gave_credit),
        CASE(test_a_version_that_never_came_is_not_waited_for),
        CASE(test_a_heartbeat_is_sent_every_interval_whatever_else_is),
        CASE(test_a_wait_has_a_reason),
        CASE(test_a_policy_may_be_as_old_as_the_learner_says),
        CASE(test_in_lockstep_the_policy_is_exactly_that_of_the_turn),
        CASE(test_a_learner_without_a_policy_is_not_waited_for),
        CASE(test_the_timeout_ends_exactly_when_there_is_something_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
