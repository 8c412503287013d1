/* The inside of the hub: hub.c (frames, time, who is there) and hub_hello.c (who comes in). Nobody
 * else includes it. */
#ifndef POLYAK_RELAY_HUB_INTERNAL_H
#define POLYAK_RELAY_HUB_INTERNAL_H

#include "relay/channels.h"
#include "relay/hub.h"

enum { REFUSED_PLACES = 1024 };

/* A relay without a parent, with one, and one whose run is over. */
typedef enum HubState { HUB_ALONE, HUB_OPEN, HUB_OVER } HubState;

/* A link without a channel that was told so. */
typedef struct Refused {
    Link link;
    int64_t at_ms;
} Refused;

struct Hub {
    HubConfig config;
    HubSink sink;
    Channels *channels;
    HubState state;
    Welcome ours;
    uint64_t welcomes; /* of the parent, that were seen */
    char trouble[WIRE_TEXT_MAX + 1];
    HubCounts counts;
    uint32_t num_direct;
    int64_t now_ms;
    int64_t ticked_ms;               /* 0: not yet */
    bool held_up;                    /* see hub_set_held_up() */
    bool any_gone;                   /* of the channels */
    Refused refused[REFUSED_PLACES]; /* by a hash of the link */
    Message message;                 /* that is told: large, so kept off the stack */
};

/* --- hub.c --- */

void hub_note(const Hub *hub, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hub_refuse(Hub *hub, Link link, RejectReason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void hub_tell_bye(Hub *hub, Link link, ByeReason reason);

/* NULL when all places are taken. */
Channel *hub_add(Hub *hub, Link link, const char *key, const Session *session);

/* The peer is gone, and the parent is told: of a relay, all those that it spoke for. */
void hub_drop(Hub *hub, Channel *channel);

/* --- hub_hello.c --- */

/* Handles a Hello. As hub_from_peer(). */
HubWay hub_take_hello(Hub *hub, Link link, const HubFrame *frame, uint32_t *number,
                      HelloOrigin *origin);

#endif
