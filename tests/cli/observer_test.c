/* The observer against a learner that this file plays on a ROUTER socket. */
#include "cli/observer.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include <cmocka.h>

#include "common/clock.h"
#include "proto/wire.h"

enum { PATIENCE_MS = 10000, NUM_ACTORS = 3 };

typedef struct Learner {
    void *context;
    void *router;
    char endpoint[64];
    uint8_t peer[64]; /* routing id of the newest message */
    size_t peer_bytes;
    WireArena *arena;
} Learner;

static Learner learner;
static Observer *observer;
static int64_t late_ms; /* added to the time that the observer is told */

static int setup(void **state)
{
    (void)state;
    int timeout_ms = PATIENCE_MS, linger_ms = 0;
    size_t endpoint_bytes = sizeof learner.endpoint;
    Err err = {""};
    late_ms = 0;
    learner.context = zmq_ctx_new();
    learner.router = zmq_socket(learner.context, ZMQ_ROUTER);
    learner.arena = wire_arena_new(65536);
    zmq_setsockopt(learner.router, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_setsockopt(learner.router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (zmq_bind(learner.router, "tcp://127.0.0.1:*") != 0)
        return -1;
    zmq_getsockopt(learner.router, ZMQ_LAST_ENDPOINT, learner.endpoint, &endpoint_bytes);
    return observer_new(learner.endpoint, "test", NULL, &observer, &err);
}

static int teardown(void **state)
{
    (void)state;
    observer_destroy(&observer);
    zmq_close(learner.router);
    zmq_ctx_term(learner.context);
    wire_arena_destroy(&learner.arena);
    return 0;
}

static void learner_receive(Message *message)
{
    static const WireLimits limits = {0};
    uint8_t frame[2048];
    Err err = {""};
    int peer_bytes = zmq_recv(learner.router, learner.peer, sizeof learner.peer, 0);
    assert_true(peer_bytes > 0);
    learner.peer_bytes = (size_t)peer_bytes;
    int frame_bytes = zmq_recv(learner.router, frame, sizeof frame, 0);
    assert_true(frame_bytes > 0);
    assert_int_equal(wire_unpack(frame, (size_t)frame_bytes, &limits, learner.arena, message, &err),
                     0);
}

static void learner_send_bytes(const void *bytes, size_t num_bytes)
{
    assert_true(zmq_send(learner.router, learner.peer, learner.peer_bytes, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(learner.router, bytes, num_bytes, 0) >= 0);
}

static void learner_send(const Message *message)
{
    static uint8_t frame[65536];
    size_t frame_bytes = wire_size(message, NULL);
    assert_true(frame_bytes <= sizeof frame);
    wire_pack(message, NULL, frame);
    learner_send_bytes(frame, frame_bytes);
}

static void learner_reject(RejectReason reason)
{
    Message message = {.kind = MESSAGE_REJECT};
    message.reject.reason = reason;
    snprintf(message.reject.text, sizeof message.reject.text, "because of a test");
    learner_send(&message);
}

static void learner_send_status(uint64_t env_steps)
{
    static ActorStatus actors[NUM_ACTORS];
    for (uint32_t i = 0; i < NUM_ACTORS; i++) {
        actors[i].actor_index = i;
        snprintf(actors[i].name, sizeof actors[i].name, "actor-%u", i);
    }
    Message message = {.kind = MESSAGE_STATUS};
    message.status = (RunStatus){.env_steps = env_steps, .num_actors = NUM_ACTORS};
    message.status.actors = actors;
    snprintf(message.status.env, sizeof message.status.env, "pendulum");
    snprintf(message.status.phase, sizeof message.status.phase, "training");
    learner_send(&message);
}

static void learner_expect(MessageKind kind)
{
    Message message;
    learner_receive(&message);
    assert_int_equal(message.kind, kind);
}

/* Lets the observer work until a status or an error comes. */
static int await(const RunStatus **status, Err *err)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    for (;;) {
        int code = observer_advance(observer, clock_ms() + late_ms, status, err);
        if (code || *status)
            return code;
        assert_true(clock_ms() < deadline_ms);
        struct pollfd readable = {.fd = observer_fd(observer), .events = POLLIN};
        poll(&readable, 1, 20);
    }
}

static void advance(void)
{
    const RunStatus *status = NULL;
    Err err = {""};
    assert_int_equal(observer_advance(observer, clock_ms() + late_ms, &status, &err), 0);
    assert_null(status);
}

static void test_it_says_hello_and_asks(void **state)
{
    (void)state;
    const RunStatus *status = NULL;
    Err err = {""};
    Message hello;
    observer_ask(observer);
    advance();
    learner_receive(&hello);
    assert_int_equal(hello.kind, MESSAGE_HELLO);
    assert_int_equal(hello.hello.role, ROLE_OBSERVER);
    assert_int_equal(hello.hello.protocol_version, WIRE_PROTOCOL_VERSION);
    assert_string_equal(hello.hello.name, "test");
    assert_false(hello.hello.has_spec);
    learner_expect(MESSAGE_STATUS_REQUEST);
    learner_send_status(1234);
    assert_int_equal(await(&status, &err), 0);
    assert_int_equal(status->env_steps, 1234);
    assert_string_equal(status->env, "pendulum");
    assert_int_equal(status->num_actors, NUM_ACTORS);
    assert_string_equal(status->actors[2].name, "actor-2");
}

static void test_hello_is_said_once(void **state)
{
    (void)state;
    const RunStatus *status = NULL;
    Err err = {""};
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    for (uint64_t i = 0; i < 3; i++) {
        learner_expect(MESSAGE_STATUS_REQUEST);
        learner_send_status(i);
        assert_int_equal(await(&status, &err), 0);
        assert_int_equal(status->env_steps, i);
        observer_ask(observer);
        advance();
    }
}

static void test_what_comes_behind_a_status_does_not_overwrite_it(void **state)
{
    (void)state;
    const RunStatus *status = NULL;
    Err err = {""};
    Message ack = {.kind = MESSAGE_ACK};
    memset(ack.ack.reason, 'x', sizeof ack.ack.reason - 1);
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_expect(MESSAGE_STATUS_REQUEST);
    learner_send_status(7);
    learner_send(&ack);
    struct pollfd readable = {.fd = observer_fd(observer), .events = POLLIN};
    poll(&readable, 1, 200); /* so that both are there */
    assert_int_equal(await(&status, &err), 0);
    assert_string_equal(status->actors[0].name, "actor-0");
    assert_string_equal(status->actors[2].name, "actor-2");
}

static void test_a_learner_that_has_forgotten_it_is_told_again(void **state)
{
    (void)state;
    const RunStatus *status = NULL;
    Err err = {""};
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_expect(MESSAGE_STATUS_REQUEST);
    learner_reject(REJECT_HELLO_FIRST);
    struct pollfd readable = {.fd = observer_fd(observer), .events = POLLIN};
    poll(&readable, 1, PATIENCE_MS);
    advance();
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_expect(MESSAGE_STATUS_REQUEST);
    learner_send_status(5);
    assert_int_equal(await(&status, &err), 0);
    assert_int_equal(status->env_steps, 5);
}

static void test_a_refusal_is_passed_on_with_its_reason(void **state)
{
    (void)state;
    const RunStatus *status = NULL;
    Err err = {""};
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_reject(REJECT_FULL);
    assert_int_equal(await(&status, &err), ERR_NET);
    assert_non_null(strstr(err.text, "because of a test"));
}

static void test_another_protocol_version_is_named(void **state)
{
    (void)state;
    const RunStatus *status = NULL;
    Err err = {""};
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_reject(REJECT_VERSION);
    assert_int_equal(await(&status, &err), ERR_VERSION);
}

static void test_bytes_that_are_no_message_are_an_error(void **state)
{
    (void)state;
    const RunStatus *status = NULL;
    Err err = {""};
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_send_bytes("\x09\xff\xff\xff", 4);
    assert_int_equal(await(&status, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, learner.endpoint));
}

static void test_after_silence_it_dials_again(void **state)
{
    (void)state;
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_expect(MESSAGE_STATUS_REQUEST);
    late_ms = OBSERVER_SILENCE_MS + 1;
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_expect(MESSAGE_STATUS_REQUEST);
}

/* The order that the learner hears. */
static void expect_order(const char *assignment)
{
    Message message;
    learner_receive(&message);
    assert_int_equal(message.kind, MESSAGE_SET);
    assert_string_equal(message.set.assignment, assignment);
}

static void test_an_order_is_given_by_an_operator_until_it_is_answered(void **state)
{
    (void)state;
    Message hello;
    Message order = {.kind = MESSAGE_SET, .set.assignment = "actor_lr=0.5"};
    Message outcome = {.kind = MESSAGE_OUTCOME, .outcome = {true, "it was 1, it is 0.5"}};
    observer_order(observer, &order);
    advance();
    learner_receive(&hello);
    assert_int_equal(hello.hello.role, ROLE_OPERATOR);
    expect_order("actor_lr=0.5");
    late_ms = OBSERVER_SILENCE_MS + 1; /* the answer is lost */
    advance();
    learner_receive(&hello);
    assert_int_equal(hello.hello.role, ROLE_OPERATOR);
    expect_order("actor_lr=0.5");
    assert_null(observer_outcome(observer));
    learner_send(&outcome);
    for (int i = 0; i < 500 && !observer_outcome(observer); i++) {
        advance();
        poll(NULL, 0, 20);
    }
    assert_non_null(observer_outcome(observer));
    assert_true(observer_outcome(observer)->done);
    assert_string_equal(observer_outcome(observer)->text, "it was 1, it is 0.5");
    late_ms = 2 * (OBSERVER_SILENCE_MS + 1);
    observer_ask(observer);
    advance();
    learner_expect(MESSAGE_HELLO);
    learner_expect(MESSAGE_STATUS_REQUEST); /* it is not given again */
}

static void test_what_is_no_endpoint_is_refused(void **state)
{
    (void)state;
    Observer *other = NULL;
    Err err = {""};
    assert_int_equal(observer_new("learner:5555", "test", NULL, &other, &err), ERR_USAGE);
    assert_null(other);
    assert_non_null(strstr(err.text, "learner:5555"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_says_hello_and_asks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hello_is_said_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_comes_behind_a_status_does_not_overwrite_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_learner_that_has_forgotten_it_is_told_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_refusal_is_passed_on_with_its_reason, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_another_protocol_version_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_are_no_message_are_an_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_after_silence_it_dials_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_order_is_given_by_an_operator_until_it_is_answered,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_endpoint_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
