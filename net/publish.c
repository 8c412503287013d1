#include "net/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "common/log.h"
#include "net/endpoints.h"
#include "net/io_threads.h"
#include "proto/wire.h"

enum {
    RESEND_MS = 1000,
    JOINS_PER_CALL = 64,
    FRAMES_IN_PIPE = 2,
    /* A subscription has 18 bytes, but libzmq counts the frames of its handshake too. */
    INCOMING_BYTES_MAX = 1024,
    DROP_EVERY_MS = 2000,
    BIND_ALARM_MS = 1000, /* a port that is not free again after this is worth a line, */
    BIND_ALARM_EVERY_MS = 10000,
};

struct Publisher {
    void *socket;
    uint8_t *frame;     /* topic "W", then the newest policy */
    size_t frame_bytes; /* 0: there is none */
    size_t frame_places;
    int64_t sent_ms;
    Trust *trust; /* NULL: none */
    char endpoint[WIRE_ENDPOINT_MAX + 1];
    bool held;                    /* see publisher_hold() */
    uint8_t left[WIRE_TOPIC_MAX]; /* the topic of the newest unsubscription */
    uint8_t came[WIRE_TOPIC_MAX]; /* that of the newest subscription, to be answered; or zeros */
    bool drop_wanted;
    bool unbound; /* all are thrown out, and nobody can come in */
    int64_t dropped_ms;
    int64_t complain_ms; /* when it is said that the endpoint cannot be bound */
};

static int open_socket(Publisher *publisher, void *zmq_context, Err *err)
{
    publisher->socket = zmq_socket(zmq_context, ZMQ_XPUB);
    if (!publisher->socket)
        return err_set(err, ERR_NET, "no socket: %s", zmq_strerror(zmq_errno()));
    const int verbose = 1;
    const int linger_ms = 0;
    const int frames = FRAMES_IN_PIPE;
    const int64_t message_bytes_max = INCOMING_BYTES_MAX;
    const int handshake_ms = 2000;
    const int backlog = ENDPOINTS_BACKLOG;
    io_threads_use(zmq_context, publisher->socket, IO_THREAD_WEIGHTS);
    zmq_setsockopt(publisher->socket, ZMQ_XPUB_VERBOSE, &verbose, sizeof verbose);
    zmq_setsockopt(publisher->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(publisher->socket, ZMQ_SNDHWM, &frames, sizeof frames);
    const int buffer_bytes = WIRE_WEIGHTS_BUFFER_BYTES;
    zmq_setsockopt(publisher->socket, ZMQ_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    zmq_setsockopt(publisher->socket, ZMQ_MAXMSGSIZE, &message_bytes_max, sizeof message_bytes_max);
    zmq_setsockopt(publisher->socket, ZMQ_BACKLOG, &backlog, sizeof backlog);
    zmq_setsockopt(publisher->socket, ZMQ_HANDSHAKE_IVL, &handshake_ms, sizeof handshake_ms);
    return publisher->trust ? trust_secure(publisher->trust, publisher->socket, TRUST_WEIGHTS, err)
                            : ERR_OK;
}

int publisher_new(void *zmq_context, const char *endpoint, Trust *trust,
                  Publisher **publisher_pointer, Err *err)
{
    Publisher *publisher = calloc(1, sizeof *publisher);
    if (!publisher)
        return err_set(err, ERR_NOMEM, "out of memory");
    publisher->trust = trust;
    int code = open_socket(publisher, zmq_context, err);
    if (code == ERR_OK && zmq_bind(publisher->socket, endpoint) != 0) {
        code = zmq_errno() == EADDRINUSE ? ERR_BUSY : ERR_NET;
        err_set(err, code, "cannot bind the weights to %s: %s", endpoint,
                zmq_strerror(zmq_errno()));
    }
    if (code != ERR_OK) {
        publisher_destroy(&publisher);
        return code;
    }
    size_t bytes = sizeof publisher->endpoint;
    zmq_getsockopt(publisher->socket, ZMQ_LAST_ENDPOINT, publisher->endpoint, &bytes);
    *publisher_pointer = publisher;
    return ERR_OK;
}

void publisher_destroy(Publisher **publisher)
{
    if (!*publisher)
        return;
    if ((*publisher)->trust)
        trust_release((*publisher)->trust, TRUST_WEIGHTS);
    if ((*publisher)->socket)
        zmq_close((*publisher)->socket);
    free((*publisher)->frame);
    free(*publisher);
    *publisher = NULL;
}

void *publisher_socket(Publisher *publisher)
{
    return publisher->socket;
}

static void send_frame(Publisher *publisher, const uint8_t *topic, size_t topic_bytes)
{
    /* The body is the same for every topic. */
    size_t body_bytes = publisher->frame_bytes - 1;
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, topic_bytes + body_bytes) != 0)
        return;
    uint8_t *data = zmq_msg_data(&message);
    memcpy(data, topic, topic_bytes);
    memcpy(data + topic_bytes, publisher->frame + 1, body_bytes);
    if (zmq_msg_send(&message, publisher->socket, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&message);
}

/* Makes place for a frame. */
static int reserve(Publisher *publisher, size_t bytes)
{
    if (bytes > publisher->frame_places) {
        uint8_t *frame = realloc(publisher->frame, bytes);
        if (!frame)
            return ERR_NOMEM;
        publisher->frame = frame;
        publisher->frame_places = bytes;
    }
    publisher->frame_bytes = bytes;
    publisher->frame[0] = 'W';
    return ERR_OK;
}

int publisher_keep(Publisher *publisher, const uint8_t *body, size_t body_bytes)
{
    int code = reserve(publisher, 1 + body_bytes);
    if (code == ERR_OK)
        memcpy(publisher->frame + 1, body, body_bytes);
    return code;
}

void publisher_broadcast(Publisher *publisher, int64_t now_ms)
{
    if (publisher->frame_bytes == 0)
        return;
    publisher->sent_ms = now_ms;
    send_frame(publisher, publisher->frame, 1);
}

void publisher_hold(Publisher *publisher, bool held)
{
    publisher->held = held;
}

void publisher_forget(Publisher *publisher)
{
    publisher->frame_bytes = 0;
}

int publisher_send(Publisher *publisher, const Mlp *mlp, const float *params, Version version,
                   int64_t now_ms)
{
    const uint8_t topic = 'W';
    Weights weights = {.version = version, .mlp = *mlp, .params = params};
    int code = reserve(publisher, wire_weights_size(&weights, 1));
    if (code != ERR_OK)
        return code;
    wire_weights_pack(&weights, &topic, 1, publisher->frame);
    publisher_broadcast(publisher, now_ms);
    return ERR_OK;
}

static void answer_join(Publisher *publisher)
{
    if (publisher->came[0] != '\0' && publisher->frame_bytes > 0)
        send_frame(publisher, publisher->came, WIRE_TOPIC_MAX);
    publisher->came[0] = '\0';
}

/* Who asks again ends its subscription and begins it anew, one right after the other; and begins it
 * right before, where it had none. So a join is answered when the next event is known. */
static void take_join(Publisher *publisher, bool begins, const uint8_t topic[WIRE_TOPIC_MAX])
{
    if (!begins) {
        if (memcmp(publisher->came, topic, WIRE_TOPIC_MAX) == 0)
            publisher->came[0] = '\0';
        memcpy(publisher->left, topic, WIRE_TOPIC_MAX);
        return;
    }
    bool again = memcmp(publisher->left, topic, WIRE_TOPIC_MAX) == 0;
    publisher->left[0] = '\0';
    answer_join(publisher);
    if (!(again && publisher->held))
        memcpy(publisher->came, topic, WIRE_TOPIC_MAX);
}

void publisher_receive(Publisher *publisher)
{
    for (int i = 0; i < JOINS_PER_CALL; i++) {
        uint8_t event[1 + WIRE_TOPIC_MAX];
        int bytes = zmq_recv(publisher->socket, event, sizeof event, ZMQ_DONTWAIT);
        if (bytes < 0)
            break;
        if (bytes == 1 + WIRE_TOPIC_MAX && event[0] <= 1 && event[1] == 'J')
            take_join(publisher, event[0] == 1, event + 1);
    }
    answer_join(publisher);
}

void publisher_drop_all(Publisher *publisher)
{
    publisher->drop_wanted = true;
}

/* Ending the listener ends all connections that came through it. It is bound again by a later call:
 * libzmq's thread closes the old one, and would take a new ipc path away with it. */
static void drop_when_due(Publisher *publisher, int64_t now_ms)
{
    if (publisher->unbound) {
        publisher->unbound = zmq_bind(publisher->socket, publisher->endpoint) != 0;
        if (publisher->unbound && now_ms >= publisher->complain_ms) {
            publisher->complain_ms = now_ms + BIND_ALARM_EVERY_MS;
            log_error("the weights cannot be bound to %s again: %s; no actor has new weights",
                      publisher->endpoint, zmq_strerror(zmq_errno()));
        }
        return;
    }
    if (!publisher->drop_wanted || now_ms - publisher->dropped_ms < DROP_EVERY_MS)
        return;
    publisher->drop_wanted = false;
    publisher->dropped_ms = now_ms;
    publisher->complain_ms = now_ms + BIND_ALARM_MS;
    publisher->unbound = zmq_unbind(publisher->socket, publisher->endpoint) == 0;
    if (!publisher->unbound) {
        log_error("the weights cannot be closed: %s; a key that was revoked may still get them",
                  zmq_strerror(zmq_errno()));
        publisher->drop_wanted = true;
    } else if (publisher->trust) {
        trust_forget(publisher->trust, TRUST_WEIGHTS);
    }
}

void publisher_tick(Publisher *publisher, int64_t now_ms)
{
    drop_when_due(publisher, now_ms);
    if (now_ms - publisher->sent_ms >= RESEND_MS)
        publisher_broadcast(publisher, now_ms);
}

uint32_t publisher_interval_ms(const Publisher *publisher, uint32_t subscribers,
                               uint32_t publish_interval_ms, uint64_t bytes_per_s_max)
{
    double bytes = (double)publisher->frame_bytes * (double)subscribers;
    double least_ms = 1000.0 * bytes / (double)bytes_per_s_max;
    return least_ms > publish_interval_ms ? (uint32_t)least_ms + 1 : publish_interval_ms;
}
