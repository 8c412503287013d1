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
#include "relay/relay_internal.h"

enum {
    TICK_MS = 100,
    LINE_INTERVAL_MS = 10000,
};

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
    relay_on_parent(relay);
    relay_on_router(relay);
    trust_tick(relay->trust, now_ms);
    weights_tick(&relay->weights, uplink->newest, uplink->welcome.publish_interval_ms,
                 hub_num_direct(relay->hub), (uint64_t)relay->config->weights_bytes_per_s_max,
                 now_ms);
    hub_set_held_up(relay->hub, parent_is_full(&relay->parent));
    hub_tick(relay->hub, now_ms);
    show(relay, now_ms);
    notify_ready(); /* the parent may be away: a relay waits for it as long as it takes */
    if (notify_tick(now_ms, true))
        notify_status("%s %s; %u peers",
                      hub_is_connected(relay->hub) ? "connected to" : "waiting for",
                      relay->config->connect, hub_num_peers(relay->hub));
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
    HubSink sink = relay_sink(relay);
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
                           relay_on_parent, relay, err);
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
                               relay_on_router, relay, err);
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
    int code = parent_check(config->bind, config->connect, err);
    if (code == 0)
        code = trust_check(config, err);
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
