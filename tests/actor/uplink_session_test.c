/* The actor's side of the protocol over many connections: learners that are lost, refuse, forget
 * the session, or say goodbye. */
#include "actor/uplink.h"

#include <limits.h>

#include "tests/actor/uplink_fixture.h"

static void test_a_learner_silent_for_three_intervals_is_lost(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    send_segments(4, 1);
    receive_ack(2, 0, 0);
    now_ms += 3 * HEARTBEAT_MS;
    expect_send(MESSAGE_HEARTBEAT);
    assert_int_equal(uplink.state, UPLINK_ACTIVE);
    now_ms++;
    expect_nothing();
    assert_int_equal(uplink_credit(&uplink), 0);
    assert_int_equal(uplink.lost_ms, now_ms);
    expect_hello(&first_session, 3);
}

static void test_any_message_is_a_sign_of_life(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    const MessageKind kinds[] = {MESSAGE_ACK, MESSAGE_WELCOME, MESSAGE_EVAL_REQUEST,
                                 MESSAGE_STATUS};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        now_ms += 3 * HEARTBEAT_MS;
        receive(&(Message){.kind = kinds[i]});
        expect_send(MESSAGE_HEARTBEAT);
        assert_int_equal(uplink.state, UPLINK_ACTIVE);
    }
}

static void test_a_new_connection_sends_again_what_is_not_acknowledged(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    send_segments(4, 1);
    receive_ack(1, 0, 0);
    lose_learner();
    close_segments(1, 1);
    expect_hello(&first_session, 2);
    expect_nothing();
    receive_welcome(2, 4, 6); /* it had one more, and grants less than before */
    assert_int_equal(uplink_credit(&uplink), 6);
    expect_segment(3);
    expect_segment(4);
    expect_nothing();
    receive_ack(4, 5, 6);
    expect_segment(5);
    assert_int_equal(uplink.sessions, 1);
    assert_int_equal(uplink.lost_segments, 0);
}

static void test_an_unknown_connection_is_made_again_with_the_same_session(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    send_segments(2, 1);
    receive_reject(REJECT_HELLO_FIRST);
    receive_ack(2, 99, 99); /* of the old socket: too late */
    assert_int_equal(outbox_unacked(&outbox), 2);
    expect_nothing();
    now_ms += 49;
    expect_nothing();
    expect_hello(&first_session, 1);
    receive_welcome(0, NO_LIMIT, 10);
    expect_segment(1);
    expect_segment(2);
}

/* A learner that is dead later is not said to refuse: that was before it took us in. */
static void test_a_welcome_ends_what_was_refused_before(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    assert_string_equal(uplink.refusal, "");
    receive(&(Message){.kind = MESSAGE_REJECT,
                       .reject = {.reason = REJECT_HELLO_FIRST, .text = "say Hello first"}});
    assert_string_equal(uplink.refusal, "say Hello first");
    expect_hello(&first_session, 1);
    assert_string_equal(uplink.refusal, "say Hello first");
    receive_welcome(0, NO_LIMIT, 10);
    assert_string_equal(uplink.refusal, "");
    lose_learner();
    assert_string_equal(uplink.refusal, "");
}

/* The wait that follows a Reject{hello_first}. */
static int wait_after_reject(void)
{
    receive_reject(REJECT_HELLO_FIRST);
    int wait_ms = uplink_timeout_ms(&uplink, now_ms);
    expect_hello(&first_session, 1);
    return wait_ms;
}

static void test_waits_grow_with_each_attempt_until_a_welcome(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    for (int round = 0; round < 2; round++) {
        static const int means_ms[] = {100, 200, 400, 800, 1600, 2000, 2000, 2000};
        for (size_t i = 0; i < sizeof means_ms / sizeof means_ms[0]; i++)
            assert_in_range(wait_after_reject(), means_ms[i] / 2, means_ms[i] * 3 / 2);
        receive_welcome(0, NO_LIMIT, 10); /* and the next loss begins anew */
    }
}

static void test_waits_differ_by_session_and_are_repeated_by_it(void **state)
{
    int waits_ms[3][20];
    static const Session sessions[] = {{{1, 2, 3}}, {{1, 2, 4}}, {{1, 2, 3}}};
    for (int s = 0; s < 3; s++) {
        uplink_start(&uplink, &uplink.hello, &outbox, &sessions[s], now_ms);
        for (int i = 0; i < 20; i++) {
            expect_hello(&sessions[s], 1);
            receive_reject(REJECT_FULL);
            waits_ms[s][i] = uplink_timeout_ms(&uplink, now_ms);
        }
    }
    (void)state;
    assert_memory_equal(waits_ms[0], waits_ms[2], sizeof waits_ms[0]);
    assert_memory_not_equal(waits_ms[0], waits_ms[1], sizeof waits_ms[0]);
    int least = INT_MAX, most = 0;
    for (int i = 0; i < 20; i++) {
        least = waits_ms[0][i] < least ? waits_ms[0][i] : least;
        most = waits_ms[0][i] > most ? waits_ms[0][i] : most;
    }
    assert_in_range(least, 125, 249);
    assert_in_range(most, 250, 375);
}

/* So that a learner that lost some of them with the power can go on counting. */
static void test_a_hello_says_the_steps_of_what_is_acknowledged(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 20);
    send_segments(3, 4);
    receive_ack(2, 0, 0);
    lose_learner();
    expect_hello(&first_session, 3);
    assert_int_equal(message.hello.acked_steps, 8);
    assert_true(message.hello.has_sent);
    receive_welcome(3, NO_LIMIT, 20);
    lose_learner();
    expect_hello(&first_session, 4);
    assert_int_equal(message.hello.acked_steps, 12);
    receive_reject(REJECT_SESSION_EXPIRED);
    expect_hello(&fresh_session, 1);
    assert_int_equal(message.hello.acked_steps, 0);
    assert_false(message.hello.has_sent);
}

static void test_a_heartbeat_tells_of_the_outbox_and_of_losses(void **state)
{
    (void)state;
    connect_first(2, 20);
    close_segments(3, 4);
    expect_segment(1);
    expect_segment(2);
    now_ms += HEARTBEAT_MS;
    expect_send(MESSAGE_HEARTBEAT);
    assert_int_equal(message.heartbeat.outbox_segments, 3);
    assert_int_equal(message.heartbeat.lost_segments, 0);
    lose_learner();
    expect_hello(&first_session, 1);
    receive_reject(REJECT_SESSION_EXPIRED);
    expect_hello(&fresh_session, 1);
    receive_welcome(0, 0, 20);
    now_ms += HEARTBEAT_MS;
    expect_send(MESSAGE_HEARTBEAT);
    assert_int_equal(message.heartbeat.outbox_segments, 1);
    assert_int_equal(message.heartbeat.lost_segments, 2);
    assert_int_equal(message.heartbeat.lost_steps, 8);
}

static void test_a_learner_that_is_full_is_asked_again_soon(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        expect_hello(&first_session, 1);
        receive_reject(REJECT_FULL);
        int wait_ms = uplink_timeout_ms(&uplink, now_ms);
        assert_in_range(wait_ms, 125, 375);
        now_ms += wait_ms - 1;
        expect_nothing();
        now_ms++;
    }
    assert_string_equal(uplink.refusal, "because");
}

static void test_a_learner_that_loads_is_asked_again_ever_more_rarely(void **state)
{
    (void)state;
    static const int means_ms[] = {250, 500, 1000, 2000, 2000, 2000};
    for (size_t i = 0; i < sizeof means_ms / sizeof means_ms[0]; i++) {
        expect_hello(&first_session, 1);
        receive_reject(REJECT_LOADING);
        int wait_ms = uplink_timeout_ms(&uplink, now_ms);
        assert_in_range(wait_ms, means_ms[i] / 2, means_ms[i] * 3 / 2);
        now_ms += wait_ms;
    }
}

static void test_other_rejects_are_for_good(void **state)
{
    const RejectReason reasons[] = {REJECT_VERSION, REJECT_SPEC, REJECT_NOT_ALLOWED,
                                    REJECT_OUT_OF_MEMORY};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        expect_hello(&first_session, 1);
        receive_reject(reasons[i]);
        assert_int_equal(uplink.state, UPLINK_REFUSED);
        assert_string_equal(uplink.refusal, "because");
        receive_welcome(0, 9, 9);
        assert_int_equal(uplink.state, UPLINK_REFUSED);
        assert_int_equal(uplink_credit(&uplink), 0);
        now_ms += 100000;
        expect_nothing();
        teardown(state);
        setup(state);
    }
}

static void test_an_expired_session_is_followed_by_a_new_one_that_counts_what_is_lost(void **state)
{
    (void)state;
    connect_first(4, 20);
    close_segments(5, 3);
    for (uint64_t i = 1; i <= 4; i++)
        expect_segment(i);
    receive_ack(1, 0, 0);
    uplink_count_steps(&uplink, 15);
    lose_learner();
    expect_hello(&first_session, 2);
    receive_reject(REJECT_SESSION_EXPIRED);
    assert_int_equal(uplink.sessions, 2);
    assert_int_equal(uplink.lost_segments, 3);
    assert_int_equal(uplink.lost_steps, 9);
    assert_int_equal(uplink_credit(&uplink), 0);
    expect_hello(&fresh_session, 1); /* at once */
    receive_welcome(0, 4, 10);
    /* The segment that never left is the first of the new session, and its steps are in its count.
     */
    assert_int_equal(uplink.steps_taken, 3);
    assert_int_equal(uplink_credit(&uplink), 7);
    expect_segment(1);
    expect_nothing();
}

static void test_a_session_may_expire_again(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 20);
    send_segments(1, 2);
    lose_learner();
    expect_hello(&first_session, 1);
    receive_reject(REJECT_SESSION_EXPIRED);
    expect_hello(&fresh_session, 1);
    receive_welcome(0, NO_LIMIT, 20);
    send_segments(2, 3);
    lose_learner();
    expect_hello(&fresh_session, 1);
    receive_reject(REJECT_SESSION_EXPIRED);
    assert_int_equal(uplink.sessions, 3);
    assert_int_equal(uplink.lost_segments, 3);
    assert_int_equal(uplink.lost_steps, 8);
}

static void test_a_finished_run_is_the_end(void **state)
{
    for (int active = 0; active < 2; active++) {
        expect_hello(&first_session, 1);
        if (active)
            receive_welcome(0, 9, 9);
        receive_bye(BYE_FINISHED);
        assert_int_equal(uplink.state, UPLINK_FINISHED);
        assert_int_equal(uplink_credit(&uplink), 0);
        now_ms += 100000;
        expect_nothing();
        receive_reject(REJECT_SPEC);
        assert_int_equal(uplink.state, UPLINK_FINISHED);
        teardown(state);
        setup(state);
    }
}

static void test_a_learner_that_stops_is_dialled_until_one_answers(void **state)
{
    (void)state;
    const ByeReason reasons[] = {BYE_STOPPING, BYE_RESTARTING};
    connect_first(NO_LIMIT, 10);
    send_segments(1, 1);
    for (int i = 0; i < 2; i++) {
        receive_bye(reasons[i]);
        assert_int_equal(uplink.state, UPLINK_CONNECTING);
        expect_nothing();
        expect_hello(&first_session, 1);
        receive_welcome(0, NO_LIMIT, 10);
        expect_segment(1);
    }
}

static void test_a_socket_that_cannot_be_opened_is_asked_for_again_soon(void **state)
{
    (void)state;
    now_ms = 1000;
    uplink_start(&uplink, &uplink.hello, NULL, &first_session, now_ms);
    assert_int_equal(uplink_next(&uplink, now_ms, &message), UPLINK_OPEN);
    uplink_not_opened(&uplink, "the file is not there yet", now_ms);
    assert_string_equal(uplink.refusal, "the file is not there yet");
    assert_int_equal(uplink_next(&uplink, now_ms, &message), UPLINK_NOTHING);
    now_ms += uplink_timeout_ms(&uplink, now_ms);
    assert_true(now_ms < 2000);
    assert_int_equal(uplink_next(&uplink, now_ms, &message), UPLINK_OPEN);
}

static void test_a_segment_that_the_socket_does_not_take_is_given_again(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    close_segments(2, 1);
    expect_segment(1);
    uplink_not_sent(&uplink, &message);
    expect_segment(1);
    expect_segment(2);
    now_ms += HEARTBEAT_MS;
    expect_send(MESSAGE_HEARTBEAT);
    uplink_not_sent(&uplink, &message);
    expect_nothing();
}

static void test_an_evaluator_needs_no_outbox(void **state)
{
    (void)state;
    Hello hello = {.role = ROLE_EVALUATOR};
    uplink_start(&uplink, &hello, NULL, &first_session, now_ms);
    connect_first(0, 0);
    receive_ack(5, 5, 5);
    expect_nothing();
    now_ms += HEARTBEAT_MS;
    expect_send(MESSAGE_HEARTBEAT);
    receive_bye(BYE_RESTARTING);
    expect_hello(&first_session, 1);
    receive_reject(REJECT_SESSION_EXPIRED);
    expect_hello(&fresh_session, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_learner_silent_for_three_intervals_is_lost),
        CASE(test_any_message_is_a_sign_of_life),
        CASE(test_a_new_connection_sends_again_what_is_not_acknowledged),
        CASE(test_an_unknown_connection_is_made_again_with_the_same_session),
        CASE(test_a_welcome_ends_what_was_refused_before),
        CASE(test_waits_grow_with_each_attempt_until_a_welcome),
        CASE(test_waits_differ_by_session_and_are_repeated_by_it),
        CASE(test_a_hello_says_the_steps_of_what_is_acknowledged),
        CASE(test_a_heartbeat_tells_of_the_outbox_and_of_losses),
        CASE(test_a_learner_that_is_full_is_asked_again_soon),
        CASE(test_a_learner_that_loads_is_asked_again_ever_more_rarely),
        CASE(test_other_rejects_are_for_good),
        CASE(test_an_expired_session_is_followed_by_a_new_one_that_counts_what_is_lost),
        CASE(test_a_session_may_expire_again),
        CASE(test_a_finished_run_is_the_end),
        CASE(test_a_learner_that_stops_is_dialled_until_one_answers),
        CASE(test_a_socket_that_cannot_be_opened_is_asked_for_again_soon),
        CASE(test_a_segment_that_the_socket_does_not_take_is_given_again),
        CASE(test_an_evaluator_needs_no_outbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
