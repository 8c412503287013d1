/* What goes through a relay: frames up and down, and what becomes of the parent. */
#include <string.h>

#include <zmq.h>

#include "common/clock.h"
#include "common/log.h"
#include "proto/wire_relay.h"
#include "relay/relay_internal.h"

enum {
    FRAMES_PER_TURN = 256, /* read before other handles have their turn */
    FAREWELL_MS = 1500,    /* longest wait for the peers of a finished run to leave */
};

/* --- What the hub says -------------------------------------------------------------------------
 */

static void tell_peer(void *context, Link link, const Message *message)
{
    Relay *relay = context;
    router_send(relay->router, link, message);
}

static void tell_parent(void *context, uint32_t channel, const Message *message)
{
    Relay *relay = context;
    parent_tell(&relay->parent, channel, message);
}

static void note(void *context, const char *line)
{
    (void)context;
    log_info("%s", line);
}

HubSink relay_sink(Relay *relay)
{
    return (HubSink){relay, tell_peer, tell_parent, note};
}

/* --- Frames up ---------------------------------------------------------------------------------
 */

/* Replaces a frame by one with something more at its end. False where that is not possible. */
static bool append(zmq_msg_t *frame, const uint8_t *bytes, size_t num_bytes)
{
    zmq_msg_t longer;
    size_t frame_bytes = zmq_msg_size(frame);
    if (!wire_may_append(zmq_msg_data(frame), frame_bytes) ||
        zmq_msg_init_size(&longer, frame_bytes + num_bytes) != 0)
        return false;
    uint8_t *data = zmq_msg_data(&longer);
    memcpy(data, zmq_msg_data(frame), frame_bytes);
    memcpy(data + frame_bytes, bytes, num_bytes);
    zmq_msg_move(frame, &longer);
    zmq_msg_close(&longer);
    return true;
}

/* A Hello is read; of one of another version no more than who says it. */
static void read_hello(Relay *relay, zmq_msg_t *frame, HubFrame *described)
{
    static Message message; /* large: kept off the stack */
    static Err err;
    const uint8_t *bytes = zmq_msg_data(frame);
    described->identity = router_identity(relay->router);
    described->hello_code =
        wire_unpack(bytes, described->bytes, NULL, relay->arena, &message, &err);
    if (described->hello_code == ERR_OK && !wire_may_append(bytes, described->bytes))
        described->hello_code = err_set(&err, ERR_FORMAT, "the last field is not whole");
    described->hello = &message.hello;
    described->hello_error = err.text;
}

static void pass_up(Relay *relay, Link link, zmq_msg_t *frame)
{
    HubFrame described = {.kind = wire_kind(zmq_msg_data(frame), zmq_msg_size(frame)),
                          .bytes = zmq_msg_size(frame)};
    if (described.kind == MESSAGE_HELLO)
        read_hello(relay, frame, &described);
    uint32_t channel = 0;
    HelloOrigin origin;
    HubWay way = hub_from_peer(relay->hub, link, &described, clock_ms(), &channel, &origin);
    if (way == HUB_ON_ADDED) {
        uint8_t added[WIRE_APPENDED_BYTES_MAX] = {0};
        size_t bytes = wire_append_origin(&origin, added);
        if (!append(frame, added, bytes))
            return; /* it says Hello again when nobody answers */
    }
    if (way != HUB_NOWHERE)
        parent_send(&relay->parent, channel, frame);
}

void relay_on_router(void *context)
{
    Relay *relay = context;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (int i = 0; i < FRAMES_PER_TURN && !parent_is_full(&relay->parent); i++) {
        Link link = LINK_NONE;
        int code = router_receive_frame(relay->router, &link, &frame);
        if (code == ERR_MISSING) {
            hub_all_read(relay->hub);
            break;
        }
        if (code == ERR_OK && link != LINK_NONE)
            pass_up(relay, link, &frame);
    }
    zmq_msg_close(&frame);
    /* Nothing more is taken from below until the parent takes it: nothing is dropped, and actors
     * wait for credit. */
    if (parent_is_full(&relay->parent))
        zmq_watch_events(&relay->router_watch, 0);
}

/* --- Frames down -------------------------------------------------------------------------------
 */

static void pass_down(Relay *relay, uint32_t channel, zmq_msg_t *frame)
{
    Link link = LINK_NONE;
    unsigned kind = wire_kind(zmq_msg_data(frame), zmq_msg_size(frame));
    HubWay way = hub_from_parent(relay->hub, channel, kind, clock_ms(), &link);
    if (way == HUB_NOWHERE)
        return;
    if (way == HUB_ON_ADDED) {
        uint8_t added[WIRE_APPENDED_BYTES_MAX] = {0};
        size_t bytes =
            wire_append_weights(relay->place.weights_port, relay->place.weights_endpoint, added);
        if (!append(frame, added, bytes))
            return;
    }
    int code = router_send_frame(relay->router, link, frame);
    if (code == ERR_MISSING)
        hub_link_gone(relay->hub, link);
    else if (code == ERR_FULL && kind == MESSAGE_ACK)
        relay->dropped++; /* the next one says it again */
    else if (code != ERR_OK)
        hub_link_full(relay->hub, link);
}

/* --- The parent --------------------------------------------------------------------------------
 */

static void fail(Relay *relay, int code, const Err *err)
{
    if (relay->error != 0)
        return;
    relay->error = code;
    relay->err = *err;
    hub_disconnected(relay->hub, BYE_RESTARTING);
    uv_stop(&relay->loop);
}

/* What the parent's state means for those below. */
static void follow_parent(Relay *relay, int64_t now_ms)
{
    const Uplink *uplink = &relay->parent.uplink;
    const char *endpoint = relay->parent.dealer.endpoint;
    Err err;
    const char *trouble = uplink->state == UPLINK_ACTIVE ? "" : parent_trouble(&relay->parent);
    switch (hub_follow(relay->hub, uplink, &relay->place, trouble)) {
    case HUB_WELCOMED:
        weights_open(&relay->weights, &uplink->welcome, endpoint, &uplink->hello.session);
        log_info("connected to %s as relay %s", endpoint, relay->name);
        break;
    case HUB_FINISHED:
        log_info("the run is finished");
        relay->farewell_ms = now_ms + FAREWELL_MS;
        break;
    case HUB_REFUSED:
        fail(relay, err_set(&err, ERR_SPEC, "%s refuses: %s", endpoint, uplink->refusal), &err);
        break;
    case HUB_NO_NEWS:
        break;
    }
}

static void drive_parent(Relay *relay, int64_t now_ms)
{
    Err err;
    int code = parent_drive(&relay->parent, now_ms, &err);
    if (code != 0)
        fail(relay, code, &err);
    follow_parent(relay, now_ms);
    if (!parent_is_full(&relay->parent))
        zmq_watch_events(&relay->router_watch, ZMQ_POLLIN);
}

void relay_on_parent(void *context)
{
    Relay *relay = context;
    int64_t now_ms = clock_ms();
    int budget = FRAMES_PER_TURN;
    uint32_t channel = 0;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    parent_flush(&relay->parent);
    while (parent_receive(&relay->parent, &budget, &channel, &frame, now_ms))
        pass_down(relay, channel, &frame);
    zmq_msg_close(&frame);
    drive_parent(relay, now_ms);
}
