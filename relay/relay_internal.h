/* The inside of the relay: relay.c (sockets, loop, life) and relay_frames.c (what goes through it).
 * Nobody else includes it. */
#ifndef POLYAK_RELAY_RELAY_INTERNAL_H
#define POLYAK_RELAY_RELAY_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "common/config/config.h"
#include "net/publish.h"
#include "net/router.h"
#include "net/trust.h"
#include "net/zmq_watch.h"
#include "relay/hub.h"
#include "relay/parent.h"
#include "relay/weights.h"

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

    uint64_t dropped; /* Acks for which a slow peer had no place */
    HubCounts shown;  /* in the last line of the log */
    int64_t shown_ms;
    int64_t farewell_ms; /* when the finished relay ends; 0: it is not finished */
    int signal_number;   /* that asked us to stop; 0: none */
    int error;
    Err err;
} Relay;

/* --- relay_frames.c --- */

/* What the hub says goes out by these sockets. */
HubSink relay_sink(Relay *relay);

/* Something has come from below, or from the parent; `context` is the relay. */
void relay_on_router(void *context);
void relay_on_parent(void *context);

#endif
