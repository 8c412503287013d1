/* A learner's two sockets in a test's hands: a ROUTER that reads what an actor says and answers as
 * the test wants, and an XPUB. Over ipc, in a directory of its own. */
#ifndef POLYAK_TESTS_ACTOR_FAKE_LEARNER_H
#define POLYAK_TESTS_ACTOR_FAKE_LEARNER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "proto/wire.h"
#include "tests/common/scratch.h"

enum { FAKE_WAIT_MS = 5000, FAKE_PEER_BYTES = 16 };

typedef struct FakeLearner {
    Scratch scratch;
    void *context;
    void *router;
    void *xpub;
    char endpoint[128];         /* of the router */
    char weights_endpoint[128]; /* of the xpub */
    WireArena *arena;
    WireLimits limits;             /* of segments; zeros: none are taken */
    uint8_t peer[FAKE_PEER_BYTES]; /* that was heard last */
    size_t peer_bytes;
    Message heard;
} FakeLearner;

static inline void *fake_bind(void *context, int type, const char *endpoint)
{
    void *socket = zmq_socket(context, type);
    const int none = 0;
    const int on = 1;
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    if (type == ZMQ_ROUTER)
        zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &on, sizeof on);
    else
        zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &on, sizeof on);
    assert_int_equal(zmq_bind(socket, endpoint), 0);
    return socket;
}

static inline void fake_learner_start(FakeLearner *learner, WireLimits limits)
{
    memset(learner, 0, sizeof *learner);
    learner->scratch = scratch_make();
    learner->limits = limits;
    learner->arena = wire_arena_new(1 << 20);
    learner->context = zmq_ctx_new();
    snprintf(learner->endpoint, sizeof learner->endpoint, "ipc://%s/up", learner->scratch.path);
    snprintf(learner->weights_endpoint, sizeof learner->weights_endpoint, "ipc://%s/weights",
             learner->scratch.path);
    learner->router = fake_bind(learner->context, ZMQ_ROUTER, learner->endpoint);
    learner->xpub = fake_bind(learner->context, ZMQ_XPUB, learner->weights_endpoint);
}

static inline void fake_learner_stop(FakeLearner *learner)
{
    zmq_close(learner->router);
    zmq_close(learner->xpub);
    zmq_ctx_term(learner->context);
    wire_arena_destroy(&learner->arena);
    scratch_remove(&learner->scratch);
}

static inline bool fake_readable(void *socket, long wait_ms)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, wait_ms) == 1;
}

/* The next message of an actor within wait_ms, in learner->heard. */
static inline bool fake_learner_hears(FakeLearner *learner, long wait_ms)
{
    Err err;
    zmq_msg_t frame;
    if (!fake_readable(learner->router, wait_ms))
        return false;
    int bytes = zmq_recv(learner->router, learner->peer, sizeof learner->peer, 0);
    assert_in_range(bytes, 1, FAKE_PEER_BYTES);
    learner->peer_bytes = (size_t)bytes;
    zmq_msg_init(&frame);
    assert_true(zmq_msg_recv(&frame, learner->router, 0) >= 0);
    assert_false(zmq_msg_more(&frame));
    int code = wire_unpack(zmq_msg_data(&frame), zmq_msg_size(&frame), &learner->limits,
                           learner->arena, &learner->heard, &err);
    zmq_msg_close(&frame);
    if (code != 0)
        fail_msg("%s", err.text);
    return true;
}

/* Waits for the next message, which must be of this kind. */
static inline const Message *fake_learner_expects(FakeLearner *learner, MessageKind kind)
{
    assert_true(fake_learner_hears(learner, FAKE_WAIT_MS));
    assert_int_equal(learner->heard.kind, kind);
    return &learner->heard;
}

/* Answers the peer that was heard last. */
static inline void fake_learner_sends_bytes(FakeLearner *learner, const void *bytes, size_t count)
{
    assert_true(zmq_send(learner->router, learner->peer, learner->peer_bytes, ZMQ_SNDMORE) > 0);
    assert_int_equal(zmq_send(learner->router, bytes, count, 0), count);
}

static inline void fake_learner_says(FakeLearner *learner, const Message *message)
{
    size_t bytes = wire_size(message, NULL);
    uint8_t *frame = malloc(bytes);
    assert_non_null(frame);
    wire_pack(message, NULL, frame);
    fake_learner_sends_bytes(learner, frame, bytes);
    free(frame);
}

#endif
