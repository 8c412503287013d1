#include "actor/downlink.h"

#include <stdio.h>
#include <string.h>

#include <zmq.h>

#include "actor/dialing.h"
#include "common/log.h"

enum {
    ARENA_BYTES = 1 << 20, /* at first: see unpack() */
    FRAMES_IN_PIPE = 2,
    CHASE_MS_MIN = 200,
    PATIENCE_MS = 5000, /* doubled each time that it was in vain: a frame may take long */
    PATIENCE_MAX_MS = 60000,
};

int downlink_init(Downlink *downlink, void *zmq_context, const Spec *spec, Err *err)
{
    *downlink = (Downlink){.zmq_context = zmq_context, .spec = spec, .patience_ms = PATIENCE_MS};
    downlink->arena = wire_arena_new(ARENA_BYTES);
    return downlink->arena ? ERR_OK : err_set(err, ERR_NOMEM, "out of memory");
}

static void close_socket(Downlink *downlink)
{
    if (!downlink->socket)
        return;
    if (downlink->on_socket)
        downlink->on_socket(downlink->context, NULL);
    zmq_close(downlink->socket);
    downlink->socket = NULL;
}

void downlink_destroy(Downlink *downlink)
{
    close_socket(downlink);
    wire_arena_destroy(&downlink->arena);
}

void downlink_use_keys(Downlink *downlink, const DialKeys *keys)
{
    downlink->keys = keys;
}

static int find_endpoint(const Welcome *welcome, const char *dialled,
                         char endpoint[WIRE_ENDPOINT_MAX + 1], Err *err)
{
    if (welcome->weights_endpoint[0] != '\0') {
        snprintf(endpoint, WIRE_ENDPOINT_MAX + 1, "%s", welcome->weights_endpoint);
        return ERR_OK;
    }
    const char *colon = strrchr(dialled, ':');
    if (!colon || strncmp(dialled, "tcp://", 6) != 0 || welcome->weights_port == 0)
        return err_set(err, ERR_USAGE,
                       "the learner does not say where its weights are: give it --advertise");
    int bytes = snprintf(endpoint, WIRE_ENDPOINT_MAX + 1, "%.*s:%u", (int)(colon - dialled),
                         dialled, welcome->weights_port);
    return bytes <= WIRE_ENDPOINT_MAX ? ERR_OK : err_set(err, ERR_USAGE, "--connect is too long");
}

static void subscribe(Downlink *downlink, bool begins)
{
    zmq_setsockopt(downlink->socket, begins ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, downlink->join_topic,
                   sizeof downlink->join_topic);
    downlink->joining = begins;
}

/* Asks for the newest weights again, for this one alone: a subscription that ends and begins anew
 * at once, by which the other side tells who asks again from who joins. */
static void join_again(Downlink *downlink)
{
    if (!downlink->joining)
        subscribe(downlink, true);
    subscribe(downlink, false);
    subscribe(downlink, true);
}

/* Some have come. A subscription that stayed would cost the other side much: when a connection ends
 * libzmq looks through all topics of all, and thousands that end at once would hold it up for
 * minutes. */
static void has_joined(Downlink *downlink)
{
    if (downlink->joining)
        subscribe(downlink, false);
}

/* A new socket for the endpoint and topic that are known. Also where nothing changed: a connection
 * that lost packets to a partition stays silent for as long again, since TCP doubles the time
 * between its attempts. */
static int dial(Downlink *downlink, Err *err)
{
    downlink->behind_ms = 0;
    downlink->silent_ms = 0;
    close_socket(downlink);
    downlink->socket = zmq_socket(downlink->zmq_context, ZMQ_SUB);
    if (!downlink->socket)
        return err_set(err, ERR_NET, "no socket: %s", zmq_strerror(zmq_errno()));
    dialing_prepare(downlink->socket, FRAMES_IN_PIPE, WIRE_POLICY_BYTES_MAX, downlink->keys);
    dialing_set(downlink->socket, ZMQ_RCVBUF, WIRE_WEIGHTS_BUFFER_BYTES);
    zmq_setsockopt(downlink->socket, ZMQ_SUBSCRIBE, "W", 1);
    subscribe(downlink, true);
    if (zmq_connect(downlink->socket, downlink->endpoint) != 0)
        return err_set(err, ERR_NET, "the weights at %s cannot be dialled: %s", downlink->endpoint,
                       zmq_strerror(zmq_errno()));
    if (downlink->on_socket)
        downlink->on_socket(downlink->context, downlink->socket);
    return ERR_OK;
}

int downlink_open(Downlink *downlink, const Welcome *welcome, const char *dialled,
                  const Session *session, Err *err)
{
    char endpoint[WIRE_ENDPOINT_MAX + 1];
    int code = find_endpoint(welcome, dialled, endpoint, err);
    if (code != 0)
        return code;
    memcpy(downlink->endpoint, endpoint, sizeof endpoint);
    downlink->join_topic[0] = 'J';
    memcpy(downlink->join_topic + 1, session->id, sizeof session->id);
    downlink->patience_ms = PATIENCE_MS;
    return dial(downlink, err);
}

/* Decodes a frame; the arena grows to the size of the policy once. */
static int unpack(Downlink *downlink, zmq_msg_t *frame, Weights *weights, Err *err)
{
    const uint8_t *data = zmq_msg_data(frame);
    size_t bytes = zmq_msg_size(frame);
    int code = wire_weights_unpack(data, bytes, downlink->arena, weights, err);
    if (code != ERR_NOMEM)
        return code;
    size_t budget_bytes = 2 * bytes + ARENA_BYTES;
    if (budget_bytes > WIRE_POLICY_BYTES_MAX)
        budget_bytes = WIRE_POLICY_BYTES_MAX;
    WireArena *larger = wire_arena_new(budget_bytes);
    if (!larger)
        return code;
    wire_arena_destroy(&downlink->arena);
    downlink->arena = larger;
    return wire_weights_unpack(data, bytes, downlink->arena, weights, err);
}

bool downlink_receive(Downlink *downlink, zmq_msg_t *frame, Weights *weights, int64_t now_ms)
{
    if (!downlink->socket)
        return false;
    zmq_msg_t next;
    bool any = false;
    zmq_msg_init(&next);
    while (zmq_msg_recv(&next, downlink->socket, ZMQ_DONTWAIT) >= 0) {
        zmq_msg_move(frame, &next);
        any = true;
    }
    zmq_msg_close(&next);
    if (!any)
        return false;
    downlink->silent_ms = now_ms;
    downlink->patience_ms = PATIENCE_MS;
    Err err;
    if (unpack(downlink, frame, weights, &err) != 0) {
        log_warn("weights that cannot be read are left out: %s", err.text);
        return false;
    }
    downlink->received_ms = now_ms;
    has_joined(downlink);
    return true;
}

void downlink_poll(Downlink *downlink, Policy *policy, int64_t now_ms)
{
    zmq_msg_t frame;
    Weights weights;
    Err err;
    zmq_msg_init(&frame);
    if (downlink_receive(downlink, &frame, &weights, now_ms) &&
        version_is_newer(weights.version, policy->version) &&
        policy_set(policy, &weights, downlink->spec, &err) != 0)
        log_warn("weights are left out: %s", err.text);
    zmq_msg_close(&frame);
}

/* Whether nothing has come for so long that another connection is worth a try. */
static bool is_silent(Downlink *downlink, int64_t now_ms)
{
    if (downlink->silent_ms == 0)
        downlink->silent_ms = now_ms;
    if (now_ms - downlink->silent_ms < downlink->patience_ms)
        return false;
    downlink->patience_ms *= 2;
    if (downlink->patience_ms > PATIENCE_MAX_MS)
        downlink->patience_ms = PATIENCE_MAX_MS;
    return true;
}

void downlink_chase(Downlink *downlink, const Policy *policy, Version newest,
                    uint32_t publish_interval_ms, int64_t now_ms)
{
    downlink_chase_from(downlink, policy->version, newest, publish_interval_ms, now_ms);
}

void downlink_chase_from(Downlink *downlink, Version have, Version newest,
                         uint32_t publish_interval_ms, int64_t now_ms)
{
    if (downlink->socket && newest.epoch != 0 && is_silent(downlink, now_ms)) {
        Err err;
        if (dial(downlink, &err) != 0)
            log_warn("%s", err.text);
    }
    if (!downlink->socket || !version_is_newer(newest, have)) {
        downlink->behind_ms = 0;
        return;
    }
    int64_t patience_ms = publish_interval_ms > CHASE_MS_MIN ? publish_interval_ms : CHASE_MS_MIN;
    if (downlink->behind_ms == 0) {
        downlink->behind_ms = now_ms;
    } else if (now_ms - downlink->behind_ms > patience_ms) {
        downlink->behind_ms = now_ms;
        join_again(downlink);
    }
}
