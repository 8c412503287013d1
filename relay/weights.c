#include "relay/weights.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

static void send_when_due(RelayWeights *weights, int64_t now_ms)
{
    if (weights->due && now_ms - weights->sent_ms >= weights->interval_ms) {
        weights->due = false;
        weights->sent_ms = now_ms;
        publisher_broadcast(weights->publisher, now_ms);
    }
    publisher_hold(weights->publisher, weights->due);
}

static void keep(RelayWeights *weights, zmq_msg_t *frame, Version version)
{
    const uint8_t *bytes = zmq_msg_data(frame);
    size_t topic_bytes = bytes[0] == 'J' ? WIRE_TOPIC_MAX : 1;
    if (publisher_keep(weights->publisher, bytes + topic_bytes,
                       zmq_msg_size(frame) - topic_bytes) != ERR_OK) {
        log_error("out of memory for the weights: they are not sent on");
        return;
    }
    weights->version = version;
    weights->due = true;
}

static void on_weights(void *context)
{
    RelayWeights *weights = context;
    int64_t now_ms = clock_ms();
    Weights received;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (downlink_receive(&weights->downlink, &frame, &received, now_ms) &&
        version_is_newer(received.version, weights->version))
        keep(weights, &frame, received.version);
    zmq_msg_close(&frame);
    send_when_due(weights, now_ms);
}

static void on_socket(void *context, void *socket)
{
    RelayWeights *weights = context;
    Err err;
    zmq_watch_let_go(&weights->watch);
    if (!socket)
        return;
    weights->watch = calloc(1, sizeof *weights->watch);
    if (!weights->watch ||
        zmq_watch_start(weights->watch, weights->loop, socket, on_weights, weights, &err) != 0)
        log_error("the weights cannot be watched: they come late");
}

int weights_init(RelayWeights *weights, void *zmq_context, uv_loop_t *loop, Publisher *publisher,
                 const DialKeys *keys, Err *err)
{
    *weights = (RelayWeights){.publisher = publisher, .loop = loop};
    int code = downlink_init(&weights->downlink, zmq_context, NULL, err);
    downlink_use_keys(&weights->downlink, keys);
    weights->downlink.on_socket = on_socket;
    weights->downlink.context = weights;
    return code;
}

void weights_close(RelayWeights *weights)
{
    if (weights->loop)
        downlink_destroy(&weights->downlink);
    weights->loop = NULL;
}

void weights_open(RelayWeights *weights, const Welcome *welcome, const char *dialled,
                  const Session *session)
{
    Err err;
    if (version_is_newer(weights->version, welcome->newest)) {
        weights->version = (Version){0, 0};
        weights->due = false;
        publisher_forget(weights->publisher);
    }
    if (downlink_open(&weights->downlink, welcome, dialled, session, &err) != 0)
        log_warn("%s", err.text);
}

void weights_tick(RelayWeights *weights, Version newest, uint32_t publish_interval_ms,
                  uint32_t subscribers, uint64_t bytes_per_s_max, int64_t now_ms)
{
    /* As fast as they come, and no faster than the limit lets them. */
    weights->interval_ms =
        publisher_interval_ms(weights->publisher, subscribers, 0, bytes_per_s_max);
    on_weights(weights);
    downlink_chase_from(&weights->downlink, weights->version, newest, publish_interval_ms, now_ms);
    publisher_tick(weights->publisher, now_ms);
}
