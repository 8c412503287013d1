/* An uplink with its outbox, and a learner that says what a test wants. For tests of the uplink. */
#ifndef POLYAK_TESTS_ACTOR_UPLINK_FIXTURE_H
#define POLYAK_TESTS_ACTOR_UPLINK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/uplink.h"

enum { PLACES = 8, STEPS_MAX = 4, HEARTBEAT_MS = 400, HELLO_MS = 3000, BACKOFF_MAX_MS = 3000 };

#define NO_LIMIT UINT64_MAX

static const Session first_session = {{1, 2, 3}};
static const Session fresh_session = {{9, 8, 7}};

static Outbox outbox;
static Uplink uplink;
static Message message; /* that uplink_next() gave last */
static int64_t now_ms;

static inline int setup(void **state)
{
    (void)state;
    Hello hello = {.role = ROLE_ACTOR, .has_spec = true, .num_envs = 3, .name = "me"};
    now_ms = 1000000;
    int code = outbox_new(&outbox, PLACES, 1, 1, STEPS_MAX);
    uplink_start(&uplink, &hello, &outbox, &first_session, now_ms);
    return code;
}

static inline int teardown(void **state)
{
    (void)state;
    outbox_destroy(&outbox);
    return 0;
}

static inline void expect_nothing(void)
{
    assert_int_equal(uplink_next(&uplink, now_ms, &message), UPLINK_NOTHING);
}

static inline void expect_send(MessageKind kind)
{
    assert_int_equal(uplink_next(&uplink, now_ms, &message), UPLINK_SEND);
    assert_int_equal(message.kind, kind);
}

static inline void expect_segment(uint64_t sequence)
{
    expect_send(MESSAGE_SEGMENT);
    assert_int_equal(message.segment.sequence, sequence);
}

/* A new socket, and the Hello on it, once the wait before it is over. */
static inline void expect_hello(const Session *session, uint64_t oldest_unacked)
{
    UplinkAction action = uplink_next(&uplink, now_ms, &message);
    if (action == UPLINK_NOTHING) {
        assert_true(uplink.socket_wanted);
        int wait_ms = uplink_timeout_ms(&uplink, now_ms);
        assert_in_range(wait_ms, 1, BACKOFF_MAX_MS);
        now_ms += wait_ms;
        action = uplink_next(&uplink, now_ms, &message);
    }
    assert_int_equal(action, UPLINK_OPEN);
    expect_send(MESSAGE_HELLO);
    assert_memory_equal(&message.hello.session, session, sizeof *session);
    assert_int_equal(message.hello.oldest_unacked, oldest_unacked);
    assert_int_equal(uplink.state, UPLINK_CONNECTING);
}

static inline void receive(const Message *from_learner)
{
    uplink_receive(&uplink, from_learner, &fresh_session, now_ms);
}

static inline void receive_welcome(uint64_t acked, uint64_t send_limit, uint64_t step_limit)
{
    receive(&(Message){.kind = MESSAGE_WELCOME,
                       .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                   .acked_sequence = acked,
                                   .send_limit_sequence = send_limit,
                                   .step_limit = step_limit,
                                   .heartbeat_interval_ms = HEARTBEAT_MS,
                                   .newest = {1, 5}}});
}

static inline void receive_ack(uint64_t acked, uint64_t send_limit, uint64_t step_limit)
{
    receive(&(Message){.kind = MESSAGE_ACK,
                       .ack = {.acked_sequence = acked,
                               .send_limit_sequence = send_limit,
                               .step_limit = step_limit,
                               .newest = {1, 6}}});
}

static inline void receive_reject(RejectReason reason)
{
    receive(&(Message){.kind = MESSAGE_REJECT, .reject = {reason, "because"}});
}

static inline void receive_bye(ByeReason reason)
{
    receive(&(Message){.kind = MESSAGE_BYE, .bye = reason});
}

static inline void connect_first(uint64_t send_limit, uint64_t step_limit)
{
    expect_hello(&first_session, 1);
    receive_welcome(0, send_limit, step_limit);
    assert_int_equal(uplink.state, UPLINK_ACTIVE);
}

static inline void close_segments(int count, int num_steps)
{
    for (int i = 0; i < count; i++) {
        Segment *segment = outbox_open(&outbox);
        assert_non_null(segment);
        segment->num_steps = num_steps;
        outbox_close(&outbox, segment);
    }
}

/* Closes `count` segments and has them sent. */
static inline void send_segments(int count, int num_steps)
{
    close_segments(count, num_steps);
    for (int i = 0; i < count; i++)
        expect_send(MESSAGE_SEGMENT);
}

/* The learner falls silent until it is taken as lost. */
static inline void lose_learner(void)
{
    now_ms += 3 * HEARTBEAT_MS + 1;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
