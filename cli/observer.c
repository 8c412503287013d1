#include "cli/observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <zmq.h>

#include "common/check.h"
#include "proto/wire.h"

enum {
    OTHER_ARENA_BYTES = 64 << 10,
    QUEUE_MESSAGES = 16,
    REQUEST_BYTES_MAX = 1024, /* a Hello without environment */
    FRAMES_PER_ADVANCE = 64,
};

struct Observer {
    char endpoint[WIRE_ENDPOINT_MAX + 1];
    char name[WIRE_NAME_MAX + 1];
    Session session;
    void *context;
    void *socket;     /* NULL: to be dialled */
    bool said_hello;  /* on this socket */
    bool asked;       /* a request is due */
    bool order_due;   /* on this socket */
    bool unanswered;  /* a request was made, on this connection or an earlier one */
    int64_t heard_ms; /* last, or when it was dialled */
    bool heard;       /* on this socket: the learner's key is the right one */
    DialKeys keys;
    void *monitor;           /* of the socket's handshakes */
    const char *trouble;     /* why no handshake is finished; NULL: not known, or it is */
    WireArena *status_arena; /* so that what comes after a status does not overwrite it */
    WireArena *other_arena;
    RunStatus status;
    bool has_order; /* that was not answered yet */
    Message order;
    bool has_outcome;
    Outcome outcome;
    Role role;
};

/* --- Connection --------------------------------------------------------------------------------
 */

static void close_socket(Observer *self)
{
    if (!self->socket)
        return;
    dialing_unwatch(self->socket, &self->monitor);
    zmq_close(self->socket);
    self->socket = NULL;
}

const char *observer_trouble(Observer *observer)
{
    const char *trouble = dialing_trouble(observer->monitor, observer->keys.used);
    if (trouble)
        observer->trouble = trouble;
    return observer->trouble;
}

/* A new socket for every connection: a reused one could deliver old requests before the Hello. */
static int dial(Observer *self, int64_t now_ms, Err *err)
{
    observer_trouble(self); /* the last words of the connection before */
    close_socket(self);
    self->said_hello = false;
    self->asked = self->unanswered;
    self->order_due = self->has_order;
    self->heard_ms = now_ms;
    self->socket = zmq_socket(self->context, ZMQ_DEALER);
    if (!self->socket)
        return err_set(err, ERR_NET, "no socket: %s", zmq_strerror(zmq_errno()));
    dialing_turn_keys(&self->keys, self->heard);
    self->heard = false;
    dialing_prepare(self->socket, QUEUE_MESSAGES, WIRE_STATUS_BYTES_MAX, &self->keys);
    dialing_set(self->socket, ZMQ_SNDHWM, QUEUE_MESSAGES);
    self->monitor = dialing_watch(self->context, self->socket);
    if (zmq_connect(self->socket, self->endpoint) != 0)
        return err_set(err, ERR_USAGE, "\"%s\" is no endpoint such as tcp://host:5555: %s",
                       self->endpoint, zmq_strerror(zmq_errno()));
    return 0;
}

int observer_new(const char *endpoint, const char *name, const DialKeys *keys, Observer **observer,
                 Err *err)
{
    Observer *self = calloc(1, sizeof *self);
    *observer = self;
    if (!self)
        return err_set(err, ERR_NOMEM, "not enough memory for an observer");
    snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint);
    snprintf(self->name, sizeof self->name, "%s", name);
    self->role = ROLE_OBSERVER;
    self->heard = true; /* the first key is the first one to try */
    if (keys)
        self->keys = *keys;
    self->status_arena = wire_arena_new(WIRE_STATUS_BYTES_MAX);
    self->other_arena = wire_arena_new(OTHER_ARENA_BYTES);
    self->context = zmq_ctx_new();
    int code = 0;
    if (!self->status_arena || !self->other_arena || !self->context)
        code = err_set(err, ERR_NOMEM, "not enough memory for an observer");
    else if (getrandom(self->session.id, sizeof self->session.id, 0) !=
             (ssize_t)sizeof self->session.id)
        code = err_set(err, ERR_IO, "no random numbers");
    else
        code = dial(self, 0, err);
    if (code)
        observer_destroy(observer);
    return code;
}

void observer_destroy(Observer **observer)
{
    Observer *self = *observer;
    if (!self)
        return;
    *observer = NULL;
    close_socket(self);
    dialing_forget_keys(&self->keys);
    if (self->context)
        zmq_ctx_term(self->context);
    wire_arena_destroy(&self->status_arena);
    wire_arena_destroy(&self->other_arena);
    free(self);
}

int observer_fd(const Observer *observer)
{
    int fd = -1;
    size_t fd_bytes = sizeof fd;
    if (observer->socket)
        zmq_getsockopt(observer->socket, ZMQ_FD, &fd, &fd_bytes);
    return fd;
}

/* --- Messages ----------------------------------------------------------------------------------
 */

/* Whether it went out; a full pipe keeps it for later. */
static bool send_message(Observer *self, const Message *message)
{
    uint8_t frame[REQUEST_BYTES_MAX];
    size_t frame_bytes = wire_size(message, NULL);
    CHECK(frame_bytes <= sizeof frame);
    wire_pack(message, NULL, frame);
    return zmq_send(self->socket, frame, frame_bytes, ZMQ_DONTWAIT) >= 0;
}

static void send_what_is_due(Observer *self)
{
    if (!self->asked && !self->order_due)
        return;
    if (!self->said_hello) {
        Message hello = {.kind = MESSAGE_HELLO};
        hello.hello.protocol_version = WIRE_PROTOCOL_VERSION;
        hello.hello.role = self->role;
        hello.hello.session = self->session;
        hello.hello.oldest_unacked = 1;
        snprintf(hello.hello.name, sizeof hello.hello.name, "%s", self->name);
        self->said_hello = send_message(self, &hello);
    }
    if (self->order_due && self->said_hello && send_message(self, &self->order))
        self->order_due = false;
    Message request = {.kind = MESSAGE_STATUS_REQUEST};
    if (self->asked && self->said_hello && send_message(self, &request))
        self->asked = false;
}

static int handle_reject(Observer *self, const Reject *reject, int64_t now_ms, Err *err)
{
    if (reject->reason != REJECT_HELLO_FIRST)
        return err_set(err, reject->reason == REJECT_VERSION ? ERR_VERSION : ERR_NET,
                       "the learner at %s refuses: %s", self->endpoint, reject->text);
    self->unanswered |= !self->has_order;
    return dial(self, now_ms, err);
}

static int handle_frame(Observer *self, const uint8_t *frame, size_t frame_bytes, int64_t now_ms,
                        const RunStatus **status, Err *err)
{
    static const WireLimits no_segments = {0};
    bool is_status = frame_bytes > 0 && frame[0] == MESSAGE_STATUS;
    Message message;
    Err reason;
    int code = wire_unpack(frame, frame_bytes, &no_segments,
                           is_status ? self->status_arena : self->other_arena, &message, &reason);
    if (code)
        return err_set(err, code, "what %s sends is not understood: %s", self->endpoint,
                       reason.text);
    self->heard_ms = now_ms;
    self->heard = true;
    self->trouble = NULL;
    if (message.kind == MESSAGE_REJECT)
        return handle_reject(self, &message.reject, now_ms, err);
    if (message.kind == MESSAGE_OUTCOME && self->has_order) {
        self->has_order = false;
        self->order_due = false;
        self->has_outcome = true;
        self->outcome = message.outcome;
    }
    if (message.kind == MESSAGE_STATUS) {
        self->unanswered = false;
        self->status = message.status;
        *status = &self->status;
    }
    return 0;
}

static int receive(Observer *self, int64_t now_ms, const RunStatus **status, Err *err)
{
    int code = 0;
    for (int i = 0; i < FRAMES_PER_ADVANCE && !code; i++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        int received = zmq_msg_recv(&frame, self->socket, ZMQ_DONTWAIT);
        if (received >= 0)
            code =
                handle_frame(self, zmq_msg_data(&frame), zmq_msg_size(&frame), now_ms, status, err);
        zmq_msg_close(&frame);
        if (received < 0)
            break;
    }
    return code;
}

void observer_ask(Observer *observer)
{
    observer->asked = true;
    observer->unanswered = true;
}

void observer_order(Observer *observer, const Message *order)
{
    CHECK(!observer->said_hello);
    observer->role = ROLE_OPERATOR;
    observer->order = *order;
    observer->has_order = true;
    observer->order_due = true;
}

const Outcome *observer_outcome(const Observer *observer)
{
    return observer->has_outcome ? &observer->outcome : NULL;
}

int observer_advance(Observer *observer, int64_t now_ms, const RunStatus **status, Err *err)
{
    *status = NULL;
    int code = 0;
    if (observer->heard_ms == 0)
        observer->heard_ms = now_ms;
    if (!observer->socket || now_ms - observer->heard_ms > OBSERVER_SILENCE_MS)
        code = dial(observer, now_ms, err);
    if (!code)
        send_what_is_due(observer);
    if (!code)
        code = receive(observer, now_ms, status, err);
    return code;
}
