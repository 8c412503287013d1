#include "relay/relay.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>
#include <zmq.h>

#include "actor/connection.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "net/endpoints.h"
#include "net/io_threads.h"
#include "net/publish.h"
#include "net/router.h"
#include "net/trust.h"
#include "net/zmq_watch.h"
#include "proto/wire_relay.h"
#include "relay/hub.h"
#include "relay/parent.h"
#include "relay/weights.h"

enum {
    TICK_MS = 100,
    FRAMES_PER_TURN = 256, /* read before other handles have their turn */
    LINE_INTERVAL_MS = 10000,
    FAREWELL_MS = 1500, /* longest wait for the peers of a finished run to leave */
};

typedef struct Relay {
    Config *config;
    char name[WIRE_NAME_MAX + 1];
    void *zmq_context;
    Trust *trust;
    Router *router;
    Publisher *publisher;
    Welcome place; /* where the weights of this relay are, and nothing else */
    WireArena *arena;
    Hub *hub;
    Parent parent;
    RelayWeights weights;

    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    ZmqWatch router_watch;
    ZmqWatch publisher_watch;

    bool connected;
    uint64_t welcomes; /* of the parent, that were seen */
    uint64_t dropped;  /* Acks for which a slow peer had no place */
    HubCounts shown;   /* in the last line of the log */
    int64_t shown_ms;
    int64_t farewell_ms; /* when the finished relay ends; 0: it is not finished */
    int signal_number;   /* that asked us to stop; 0: none */
    int error;
    Err err;
} Relay;

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

static void on_router(void *context)
{
    Relay *relay = context;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (int i = 0; i < FRAMES_PER_TURN && !parent_is_full(&relay->parent); i++) {
        Link link = LINK_NONE;
        int code = router_receive_frame(relay->router, &link, &frame);
        if (code == ERR_MISSING)
            break;
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

static void take_welcome(Relay *relay)
{
    const Uplink *uplink = &relay->parent.uplink;
    Welcome ours = uplink->welcome;
    ours.weights_port = relay->place.weights_port;
    memcpy(ours.weights_endpoint, relay->place.weights_endpoint, sizeof ours.weights_endpoint);
    hub_connected(relay->hub, &ours);
    weights_open(&relay->weights, &uplink->welcome, relay->parent.dealer.endpoint,
                 &uplink->hello.session);
    log_info("connected to %s as relay %s", relay->parent.dealer.endpoint, relay->name);
}

/* What the parent's state means for those below. */
static void follow_parent(Relay *relay, int64_t now_ms)
{
    const Uplink *uplink = &relay->parent.uplink;
    bool active = uplink->state == UPLINK_ACTIVE;
    if (uplink->state == UPLINK_FINISHED) {
        if (relay->farewell_ms == 0) {
            log_info("the run is finished");
            relay->farewell_ms = now_ms + FAREWELL_MS;
            hub_disconnected(relay->hub, BYE_FINISHED);
        }
        return;
    }
    if (relay->connected && (!active || uplink->welcomes != relay->welcomes)) {
        relay->connected = false;
        hub_disconnected(relay->hub, BYE_RESTARTING);
    }
    if (active && !relay->connected) {
        relay->connected = true;
        relay->welcomes = uplink->welcomes;
        take_welcome(relay);
    }
    if (!active)
        hub_set_trouble(relay->hub, parent_trouble(&relay->parent));
    hub_set_newest(relay->hub, uplink->newest);
    if (uplink->state == UPLINK_REFUSED) {
        Err err;
        int code = err_set(&err, ERR_SPEC, "the learner at %s refuses: %s",
                           relay->parent.dealer.endpoint, uplink->refusal);
        fail(relay, code, &err);
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

static void on_parent(void *context)
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

/* --- What else the loop calls ------------------------------------------------------------------
 */

static void on_subscription(void *context)
{
    Relay *relay = context;
    publisher_receive(relay->publisher);
}

static void on_revoked(void *context, const char *key)
{
    Relay *relay = context;
    hub_revoke_key(relay->hub, key);
    publisher_drop_all(relay->publisher);
}

static void count_peers(void *context, const char *key, uint32_t *peers, uint32_t *peers_of_key)
{
    const Relay *relay = context;
    *peers = hub_num_peers(relay->hub);
    *peers_of_key = hub_num_peers_of_key(relay->hub, key);
}

/* A line now and then, as long as something goes through. */
static void show(Relay *relay, int64_t now_ms)
{
    if (now_ms - relay->shown_ms < LINE_INTERVAL_MS)
        return;
    HubCounts counts = hub_counts(relay->hub);
    double seconds = (double)(now_ms - relay->shown_ms) / 1000.0;
    uint64_t up = counts.up - relay->shown.up;
    uint64_t down = counts.down - relay->shown.down;
    char dropped[64] = "";
    if (relay->dropped > 0)
        snprintf(dropped, sizeof dropped, ", %llu acks dropped",
                 (unsigned long long)relay->dropped);
    if (up + down > 0)
        log_info("%u peers, %u relays, %.0f frames/s up, %.0f down, weights %u:%llu%s",
                 counts.channels, counts.relays, (double)up / seconds, (double)down / seconds,
                 relay->weights.version.epoch, (unsigned long long)relay->weights.version.update,
                 dropped);
    relay->shown = counts;
    relay->shown_ms = now_ms;
}

static void on_tick(uv_timer_t *handle)
{
    Relay *relay = handle->data;
    int64_t now_ms = clock_ms();
    const Uplink *uplink = &relay->parent.uplink;
    /* What has come is read before anybody is said to be silent: this process may have been. */
    on_parent(relay);
    on_router(relay);
    trust_tick(relay->trust, now_ms);
    weights_tick(&relay->weights, uplink->newest, uplink->welcome.publish_interval_ms,
                 hub_num_direct(relay->hub), (uint64_t)relay->config->weights_bytes_per_s_max,
                 now_ms);
    hub_tick(relay->hub, now_ms);
    show(relay, now_ms);
    notify_ready(); /* the parent may be away: a relay waits for it as long as it takes */
    if (notify_tick(now_ms, true))
        notify_status("%s; %u peers", relay->connected ? "connected" : "waiting for the learner",
                      hub_num_peers(relay->hub));
    if (relay->farewell_ms != 0 && (hub_num_peers(relay->hub) == 0 || now_ms >= relay->farewell_ms))
        uv_stop(&relay->loop);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    Relay *relay = handle->data;
    if (relay->signal_number != 0)
        return;
    relay->signal_number = signal_number;
    log_info("stopping");
    hub_disconnected(relay->hub, BYE_RESTARTING);
    uv_stop(&relay->loop);
}

/* --- Life --------------------------------------------------------------------------------------
 */

static int open_sockets(Relay *relay, Err *err)
{
    const Config *config = relay->config;
    char weights[WIRE_ENDPOINT_MAX + 1];
    relay->zmq_context = io_threads_context();
    if (!relay->zmq_context)
        return err_set(err, ERR_NOMEM, "out of memory for ZeroMQ");
    zmq_ctx_set(relay->zmq_context, ZMQ_MAX_SOCKETS, 64);
    int code = trust_new(config, relay->zmq_context, &relay->trust, err);
    if (code == 0)
        code = router_new(relay->zmq_context, config->bind, HUB_FRAME_BYTES_MAX, relay->trust,
                          &relay->router, err);
    if (code == 0)
        code = endpoints_weights(router_endpoint(relay->router), weights, err);
    if (code == 0)
        code = endpoints_advertise(config, weights, &relay->place, err);
    if (code == 0)
        code = publisher_new(relay->zmq_context, weights, relay->trust, &relay->publisher, err);
    return code;
}

static int open_hub(Relay *relay, Err *err)
{
    const Config *config = relay->config;
    HubConfig hub_config = {.peers_max = (uint32_t)config->peers_max,
                            .peers_per_key_max = (uint32_t)config->peers_per_key_max};
    memcpy(hub_config.name, relay->name, sizeof hub_config.name);
    snprintf(hub_config.parent, sizeof hub_config.parent, "%.*s", WIRE_ENDPOINT_MAX,
             config->connect);
    HubSink sink = {relay, tell_peer, tell_parent, note};
    relay->hub = hub_new(&hub_config, &sink);
    relay->arena = wire_arena_new(WIRE_SMALL_BYTES_MAX);
    if (!relay->hub || !relay->arena)
        return err_set(err, ERR_NOMEM, "out of memory for %lld peers",
                       (long long)config->peers_max);
    TrustSink trust_sink = {relay, on_revoked, count_peers};
    trust_set_sink(relay->trust, &trust_sink);
    return ERR_OK;
}

static int open_parent(Relay *relay, Err *err)
{
    Hello hello = {.role = ROLE_RELAY};
    memcpy(hello.name, relay->name, sizeof hello.name);
    int code = connection_labels(relay->config, &hello, err);
    if (code == 0)
        code = parent_open(&relay->parent, relay->zmq_context, &relay->loop, relay->config, &hello,
                           on_parent, relay, err);
    if (code == 0)
        code = weights_init(&relay->weights, relay->zmq_context, &relay->loop, relay->publisher,
                            &relay->parent.dealer.keys, err);
    return code;
}

static int start_loop(Relay *relay, Err *err)
{
    uv_timer_init(&relay->loop, &relay->tick);
    relay->tick.data = relay;
    uv_timer_start(&relay->tick, on_tick, 0, TICK_MS);
    uv_signal_init(&relay->loop, &relay->sigterm);
    relay->sigterm.data = relay;
    uv_signal_start(&relay->sigterm, on_signal, SIGTERM);
    uv_signal_init(&relay->loop, &relay->sigint);
    relay->sigint.data = relay;
    uv_signal_start(&relay->sigint, on_signal, SIGINT);
    int code = zmq_watch_start(&relay->router_watch, &relay->loop, router_socket(relay->router),
                               on_router, relay, err);
    if (code == 0)
        code = zmq_watch_start(&relay->publisher_watch, &relay->loop,
                               publisher_socket(relay->publisher), on_subscription, relay, err);
    if (code == 0)
        code = trust_start(relay->trust, &relay->loop, err);
    return code;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_all(Relay *relay)
{
    weights_close(&relay->weights);
    parent_close(&relay->parent, relay->farewell_ms != 0 ? BYE_FINISHED : BYE_STOPPING);
    zmq_watch_close(&relay->router_watch);
    zmq_watch_close(&relay->publisher_watch);
    trust_close(relay->trust);
    uv_walk(&relay->loop, close_handle, NULL);
    uv_run(&relay->loop, UV_RUN_DEFAULT);
    uv_loop_close(&relay->loop);
    hub_destroy(&relay->hub);
    publisher_destroy(&relay->publisher);
    router_destroy(&relay->router);
    trust_destroy(&relay->trust);
    wire_arena_destroy(&relay->arena);
    if (relay->zmq_context)
        zmq_ctx_term(relay->zmq_context);
}

int relay_run(Config *config, int *signal_number, Err *err)
{
    Relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        return err_set(err, ERR_NOMEM, "out of memory");
    relay->config = config;
    relay->shown_ms = clock_ms();
    connection_name(config, relay->name);
    uv_loop_init(&relay->loop);
    int code = trust_check(config, err);
    if (code == 0)
        code = trust_fit_limits(config, err);
    if (code == 0)
        code = open_sockets(relay, err);
    if (code == 0)
        code = open_hub(relay, err);
    if (code == 0)
        code = open_parent(relay, err);
    if (code == 0)
        code = start_loop(relay, err);
    if (code == 0)
        code = parent_drive(&relay->parent, clock_ms(), err); /* for what can never be dialled */
    if (code == 0) {
        log_info("listening on %s, for %s", router_endpoint(relay->router), config->connect);
        uv_run(&relay->loop, UV_RUN_DEFAULT);
        notify_stopping();
        code = relay->error;
        if (code != 0)
            *err = relay->err;
    }
    *signal_number = relay->signal_number;
    close_all(relay);
    free(relay);
    return code;
}
