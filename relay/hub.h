/* The logic of a relay: who is behind it, what goes on to whom, and what the relay answers by
 * itself (docs/relay.md). Pure: it is handed the kinds of frames, Hellos, and the time; it says
 * where a frame goes and tells a sink what the relay has to say, so a simulator can run it without
 * sockets. All but Hellos pass undecoded. Owned by the relay's one thread.
 *
 * What holds: a frame goes up only on a channel whose link has said Hello, and no larger than the
 * learner takes, since libzmq would end the whole relay's connection for it. A peer that the relay
 * cannot serve is told so, or told to say Hello again; it keeps what was not acknowledged, and
 * sends that again. So nothing is kept here, and nothing is lost with a relay. */
#ifndef POLYAK_RELAY_HUB_H
#define POLYAK_RELAY_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/uplink.h"
#include "net/identity.h"
#include "net/link.h"
#include "proto/wire.h"
#include "proto/wire_relay.h"

enum {
    HUB_FRAME_BYTES_MAX = 2 << 20,  /* of any frame from below */
    HUB_SMALL_BYTES_MAX = 64 << 10, /* of one before the Welcome: every learner takes so much */
};

typedef struct HubConfig {
    char name[WIRE_NAME_MAX + 1];       /* of this relay */
    char parent[WIRE_ENDPOINT_MAX + 1]; /* where it dials, for people */
    uint32_t peers_max;
    uint32_t peers_per_key_max;
} HubConfig;

/* What the relay has to say itself. Both may fail silently: each is said again, or its absence is
 * noticed by the one who waits for it. */
typedef struct HubSink {
    void *context;
    void (*tell_peer)(void *context, Link link, const Message *message);
    void (*tell_parent)(void *context, uint32_t channel, const Message *message);
    void (*note)(void *context, const char *line);
} HubSink;

/* Where a frame goes. */
typedef enum HubWay {
    HUB_NOWHERE,
    HUB_ON,       /* on, as it is */
    HUB_ON_ADDED, /* on, with something appended: the origin to a Hello, the weights to a Welcome */
} HubWay;

/* A frame from below. */
typedef struct HubFrame {
    unsigned kind; /* wire_kind() */
    size_t bytes;
    /* Of a Hello: who says it, what it says, and the decoder's error and words where that cannot be
     * read. */
    const PeerIdentity *identity;
    const Hello *hello;
    int hello_code;
    const char *hello_error;
} HubFrame;

/* What is new with the parent. */
typedef enum HubNews {
    HUB_NO_NEWS,
    HUB_WELCOMED, /* it is there, or there again */
    HUB_FINISHED, /* the run is over */
    HUB_REFUSED,  /* it refuses this relay for good */
} HubNews;

typedef struct HubCounts {
    uint32_t channels;
    uint32_t relays;
    uint64_t up; /* frames passed on, since the start */
    uint64_t down;
    uint64_t refused; /* peers */
} HubCounts;

typedef struct Hub Hub;

/* `config` and `sink` are copied. NULL when out of memory. */
Hub *hub_new(const HubConfig *config, const HubSink *sink);
void hub_destroy(Hub **hub);

/* --- From below --- */

/* Where a frame of a peer goes: on `*channel`. `origin` is filled where it is to be added. */
HubWay hub_from_peer(Hub *hub, Link link, const HubFrame *frame, int64_t now_ms, uint32_t *channel,
                     HelloOrigin *origin);

/* What was sent to a link could not be delivered: its connection is gone, and with it all that came
 * over it. What it said last, such as its Bye, may still be unread: the parent is told once all is.
 */
void hub_link_gone(Hub *hub, Link link);

/* There is nothing from below any more that was not read. */
void hub_all_read(Hub *hub);

/* What was sent to a link found no place in its queue, and will not be said again: its peer is to
 * begin anew. */
void hub_link_full(Hub *hub, Link link);

/* A key is no longer allowed: its peers are refused. */
void hub_revoke_key(Hub *hub, const char *key);

/* --- From above --- */

/* Where a frame of the parent on a channel goes: to `*link`. */
HubWay hub_from_parent(Hub *hub, uint32_t channel, unsigned kind, int64_t now_ms, Link *link);

/* Follows the connection to the parent: lets peers in, sends them away, and says what is new. To be
 * called whenever the uplink may have changed. `place` says where the weights of this relay are;
 * `trouble` why there is no parent, for those that say Hello meanwhile. */
HubNews hub_follow(Hub *hub, const Uplink *uplink, const Welcome *place, const char *trouble);

/* The parent has welcomed this relay; `ours` is what it says to relays that dial in: its Welcome
 * with the weights of this relay. */
void hub_connected(Hub *hub, const Welcome *ours);

/* The newest version of the weights, which relays below are told. */
void hub_set_newest(Hub *hub, Version newest);

/* There is no parent any more, or not yet: all peers are told to come again, with BYE_RESTARTING;
 * or to end, with BYE_FINISHED. */
void hub_disconnected(Hub *hub, ByeReason reason);

/* Why there is no parent, for those that say Hello meanwhile. */
void hub_set_trouble(Hub *hub, const char *why);

/* --- Time --- */

/* Whether what comes from below lies unread, since the parent takes no more: then nobody is silent.
 */
void hub_set_held_up(Hub *hub, bool held_up);

/* To be called every 100 ms or so; a longer pause is taken for one of this process. */
void hub_tick(Hub *hub, int64_t now_ms);

bool hub_is_connected(const Hub *hub);
HubCounts hub_counts(const Hub *hub);
uint32_t hub_num_peers(const Hub *hub);

/* Those that have dialled this relay itself, and so are sent weights by it. */
uint32_t hub_num_direct(const Hub *hub);
uint32_t hub_num_peers_of_key(const Hub *hub, const char *key);

#endif
