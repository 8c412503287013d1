#include "learner/fleet/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "proto/wire.h"

enum {
    RESEND_MS = 1000,
    JOINS_PER_CALL = 64,
    FRAMES_IN_PIPE = 2,
    /* A subscription has 18 bytes, but libzmq counts the frames of its handshake too. */
    INCOMING_BYTES_MAX = 1024,
};

struct Publisher {
    void *socket;
    uint8_t *frame; /* topic "W", then the newest policy */
    size_t frame_bytes;
    int64_t sent_ms;
};

int publisher_new(void *zmq_context, const char *endpoint, Publisher **publisher_pointer, Err *err)
{
    Publisher *publisher = calloc(1, sizeof *publisher);
    if (!publisher)
        return err_set(err, ERR_NOMEM, "out of memory");
    publisher->socket = zmq_socket(zmq_context, ZMQ_XPUB);
    if (!publisher->socket) {
        free(publisher);
        return err_set(err, ERR_NET, "no socket: %s", zmq_strerror(zmq_errno()));
    }
    const int verbose = 1;
    const int linger_ms = 0;
    const int frames = FRAMES_IN_PIPE;
    const int64_t message_bytes_max = INCOMING_BYTES_MAX;
    const int handshake_ms = 2000;
    zmq_setsockopt(publisher->socket, ZMQ_XPUB_VERBOSE, &verbose, sizeof verbose);
    zmq_setsockopt(publisher->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(publisher->socket, ZMQ_SNDHWM, &frames, sizeof frames);
    zmq_setsockopt(publisher->socket, ZMQ_MAXMSGSIZE, &message_bytes_max, sizeof message_bytes_max);
    zmq_setsockopt(publisher->socket, ZMQ_HANDSHAKE_IVL, &handshake_ms, sizeof handshake_ms);
    if (zmq_bind(publisher->socket, endpoint) != 0) {
        int code = zmq_errno() == EADDRINUSE ? ERR_BUSY : ERR_NET;
        err_set(err, code, "cannot bind the weights to %s: %s", endpoint,
                zmq_strerror(zmq_errno()));
        publisher_destroy(&publisher);
        return code;
    }
    *publisher_pointer = publisher;
    return ERR_OK;
}

void publisher_destroy(Publisher **publisher)
{
    if (!*publisher)
        return;
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

int publisher_send(Publisher *publisher, const Mlp *mlp, const float *params, Version version,
                   int64_t now_ms)
{
    const uint8_t topic = 'W';
    Weights weights = {.version = version, .mlp = *mlp, .params = params};
    size_t bytes = wire_weights_size(&weights, 1);
    if (bytes > publisher->frame_bytes) {
        uint8_t *frame = realloc(publisher->frame, bytes);
        if (!frame)
            return ERR_NOMEM;
        publisher->frame = frame;
    }
    publisher->frame_bytes = bytes;
    wire_weights_pack(&weights, &topic, 1, publisher->frame);
    publisher->sent_ms = now_ms;
    send_frame(publisher, &topic, 1);
    return ERR_OK;
}

void publisher_receive(Publisher *publisher)
{
    for (int i = 0; i < JOINS_PER_CALL; i++) {
        uint8_t event[1 + WIRE_TOPIC_MAX];
        int bytes = zmq_recv(publisher->socket, event, sizeof event, ZMQ_DONTWAIT);
        if (bytes < 0)
            return;
        bool join = bytes == 1 + WIRE_TOPIC_MAX && event[0] == 1 && event[1] == 'J';
        if (join && publisher->frame)
            send_frame(publisher, event + 1, WIRE_TOPIC_MAX);
    }
}

void publisher_tick(Publisher *publisher, int64_t now_ms)
{
    if (!publisher->frame || now_ms - publisher->sent_ms < RESEND_MS)
        return;
    publisher->sent_ms = now_ms;
    send_frame(publisher, publisher->frame, 1);
}

uint32_t publisher_interval_ms(const Publisher *publisher, uint32_t subscribers,
                               uint32_t publish_interval_ms, uint64_t bytes_per_s_max)
{
    double bytes = (double)publisher->frame_bytes * (double)subscribers;
    double least_ms = 1000.0 * bytes / (double)bytes_per_s_max;
    return least_ms > publish_interval_ms ? (uint32_t)least_ms + 1 : publish_interval_ms;
}
