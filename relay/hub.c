#include "relay/hub.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/channels.h"

enum {
    IDLE_HEARTBEATS = 10, /* a channel on which nothing goes either way is forgotten */
    LOST_HEARTBEATS = 3,  /* a relay that is silent for so long is lost */
    HEARTBEAT_MS = 1000,  /* before the first Welcome */
    REFUSED_PLACES = 1024,
    REFUSE_AGAIN_MS = 1000,
};

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
    char trouble[WIRE_TEXT_MAX + 1];
    HubCounts counts;
    uint32_t num_direct;
    int64_t now_ms;
    Refused refused[REFUSED_PLACES]; /* by a hash of the link */
    Message message;                 /* that is told: large, so kept off the stack */
};

Hub *hub_new(const HubConfig *config, const HubSink *sink)
{
    Hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return NULL;
    hub->config = *config;
    hub->sink = *sink;
    hub->ours.heartbeat_interval_ms = HEARTBEAT_MS;
    snprintf(hub->trouble, sizeof hub->trouble, "it does not answer");
    hub->channels = channels_new(config->peers_max);
    if (!hub->channels)
        hub_destroy(&hub);
    return hub;
}

void hub_destroy(Hub **hub)
{
    if (!*hub)
        return;
    channels_destroy(&(*hub)->channels);
    free(*hub);
    *hub = NULL;
}

/* --- What the relay says -----------------------------------------------------------------------
 */

static void note(const Hub *hub, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(const Hub *hub, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    hub->sink.note(hub->sink.context, line);
}

static void tell_gone(Hub *hub, uint32_t channel)
{
    hub->message.kind = MESSAGE_GONE;
    hub->sink.tell_parent(hub->sink.context, channel, &hub->message);
}

static void tell_bye(Hub *hub, Link link, ByeReason reason)
{
    hub->message.kind = MESSAGE_BYE;
    hub->message.bye = reason;
    hub->sink.tell_peer(hub->sink.context, link, &hub->message);
}

static void refuse(Hub *hub, Link link, RejectReason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void refuse(Hub *hub, Link link, RejectReason reason, const char *format, ...)
{
    va_list args;
    hub->counts.refused++;
    hub->message.kind = MESSAGE_REJECT;
    hub->message.reject.reason = reason;
    va_start(args, format);
    vsnprintf(hub->message.reject.text, sizeof hub->message.reject.text, format, args);
    va_end(args);
    hub->sink.tell_peer(hub->sink.context, link, &hub->message);
}

/* A link that has no channel goes on sending what it had queued: it is told once, and then once a
 * second. */
static void refuse_stranger(Hub *hub, Link link)
{
    uint64_t mixed = link * UINT64_C(0x9e3779b97f4a7c15);
    Refused *refused = &hub->refused[(mixed >> 32) % REFUSED_PLACES];
    if (refused->link == link && hub->now_ms - refused->at_ms < REFUSE_AGAIN_MS)
        return;
    *refused = (Refused){link, hub->now_ms};
    refuse(hub, link, REJECT_HELLO_FIRST, "relay %s does not know this connection: say Hello first",
           hub->config.name);
}

/* --- Who is there ------------------------------------------------------------------------------
 */

static bool is_direct(const Channel *channel)
{
    return link_channel(channel->link) == 0;
}

static Channel *add(Hub *hub, Link link)
{
    Channel *channel = channels_add(hub->channels, link);
    if (channel && is_direct(channel))
        hub->num_direct++;
    return channel;
}

static void forget(Hub *hub, Channel *channel)
{
    if (is_direct(channel))
        hub->num_direct--;
    if (channel->relay)
        hub->counts.relays--;
    channels_remove(hub->channels, channel);
}

/* The peer is gone, and the parent is told: of a relay, all those that it spoke for. */
static void drop(Hub *hub, Channel *channel)
{
    uint32_t connection = link_connection(channel->link);
    bool relay = channel->relay;
    if (!relay)
        tell_gone(hub, channel->number);
    forget(hub, channel);
    if (!relay)
        return;
    Channel *other = NULL;
    for (uint32_t place = 0; (other = channels_next(hub->channels, &place)) != NULL;) {
        if (link_connection(other->link) != connection)
            continue;
        tell_gone(hub, other->number);
        forget(hub, other);
    }
}

uint32_t hub_num_peers(const Hub *hub)
{
    return channels_count(hub->channels);
}

uint32_t hub_num_direct(const Hub *hub)
{
    return hub->num_direct;
}

uint32_t hub_num_peers_of_key(Hub *hub, const char *key)
{
    uint32_t count = 0;
    const Channel *channel = NULL;
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;)
        count += strcmp(channel->key, key) == 0;
    return count;
}

HubCounts hub_counts(const Hub *hub)
{
    HubCounts counts = hub->counts;
    counts.channels = channels_count(hub->channels) - counts.relays;
    return counts;
}

/* --- Hello -------------------------------------------------------------------------------------
 */

/* Whether there is a parent that can be asked; the peer is told why there is none. */
static bool is_open(Hub *hub, Link link)
{
    if (hub->state == HUB_OVER)
        tell_bye(hub, link, BYE_FINISHED);
    else if (hub->state == HUB_ALONE)
        refuse(hub, link, REJECT_LOADING, "relay %s has no connection to %.60s (%.60s)",
               hub->config.name, hub->config.parent, hub->trouble);
    return hub->state == HUB_OPEN;
}

static bool has_room(Hub *hub, Link link, const char *key)
{
    if (channels_count(hub->channels) >= hub->config.peers_max) {
        refuse(hub, link, REJECT_FULL, "relay %s has its %u peers (--peers-max)", hub->config.name,
               hub->config.peers_max);
        return false;
    }
    if (key[0] != '\0' && hub_num_peers_of_key(hub, key) >= hub->config.peers_per_key_max) {
        refuse(hub, link, REJECT_FULL,
               "relay %s has the %u peers of the key \"%s\" (--peers-per-key-max)",
               hub->config.name, hub->config.peers_per_key_max, key);
        return false;
    }
    return true;
}

/* Another relay has dialled this one, and is welcomed here: the parent knows only its peers. */
static void greet_relay(Hub *hub, Channel *before, Link link, const PeerIdentity *identity,
                        const Hello *hello)
{
    if (before)
        drop(hub, before);
    if (link_channel(link) != 0) {
        refuse(hub, link, REJECT_NOT_ALLOWED, "a relay cannot speak for another one");
        return;
    }
    if (!(identity->roles & 1U << ROLE_RELAY)) {
        refuse(hub, link, REJECT_NOT_ALLOWED, "the key \"%s\" has not the role relay",
               identity->key);
        note(hub, "%s is refused: its key \"%s\" has not the role relay", hello->name,
             identity->key);
        return;
    }
    if (!is_open(hub, link) || !has_room(hub, link, identity->key))
        return;
    Channel *channel = add(hub, link);
    channel->relay = true;
    channel->heard_ms = hub->now_ms;
    channel->told_ms = hub->now_ms;
    memcpy(channel->key, identity->key, sizeof channel->key);
    memcpy(channel->name, hello->name, sizeof channel->name);
    hub->counts.relays++;
    note(hub, "relay %s is connected%s%s", hello->name, identity->key[0] ? ", key " : "",
         identity->key);
    hub->message.kind = MESSAGE_WELCOME;
    hub->message.welcome = hub->ours;
    hub->sink.tell_peer(hub->sink.context, link, &hub->message);
}

/* How large a frame of this peer may be, once the learner has welcomed it with this spec; 0 when
 * that is more than a relay passes. */
static size_t frame_bytes_max(const Hub *hub, const Hello *hello)
{
    size_t bytes = 0;
    if (hello->has_spec && hello->role == ROLE_ACTOR)
        bytes = wire_segment_bytes_max(hello->spec.obs_dim, hello->spec.act_dim,
                                       (int)hub->ours.segment_steps);
    if (bytes > HUB_FRAME_BYTES_MAX)
        return 0;
    return bytes > HUB_SMALL_BYTES_MAX ? bytes : HUB_SMALL_BYTES_MAX;
}

/* Who says it: as its connection has proved; or what a relay below has made sure of, and no more
 * than that relay itself may. */
static void make_origin(const Hub *hub, Link link, const HubFrame *frame, HelloOrigin *origin)
{
    bool direct = link_channel(link) == 0;
    const Hello *hello = frame->hello;
    const PeerIdentity *identity = frame->identity;
    *origin = (HelloOrigin){.roles = identity->roles};
    if (!direct)
        origin->roles &= hello->origin_roles;
    snprintf(origin->key, sizeof origin->key, "%s", direct ? identity->key : hello->origin_key);
    snprintf(origin->via, sizeof origin->via, "%s", direct ? hub->config.name : hello->via);
}

static HubWay take_hello(Hub *hub, Channel *channel, Link link, const HubFrame *frame,
                         uint32_t *number, HelloOrigin *origin)
{
    const Hello *hello = frame->hello;
    if (frame->hello_code != ERR_OK) {
        if (channel)
            drop(hub, channel);
        refuse(hub, link, frame->hello_code == ERR_SPEC ? REJECT_SPEC : REJECT_NOT_ALLOWED, "%s",
               frame->hello_error);
        return HUB_NOWHERE;
    }
    if (hello->role == ROLE_RELAY) {
        greet_relay(hub, channel, link, frame->identity, hello);
        return HUB_NOWHERE;
    }
    if (channel && channel->relay) {
        drop(hub, channel);
        channel = NULL;
    }
    make_origin(hub, link, frame, origin);
    if (!is_open(hub, link) || (!channel && !has_room(hub, link, origin->key)))
        return HUB_NOWHERE;
    size_t bytes_max = frame_bytes_max(hub, hello);
    if (bytes_max == 0) {
        refuse(hub, link, REJECT_SPEC,
               "segments of this environment may have more than the %d bytes that a relay passes: "
               "dial the learner itself",
               HUB_FRAME_BYTES_MAX);
        return HUB_NOWHERE;
    }
    if (!channel)
        channel = add(hub, link);
    snprintf(channel->key, sizeof channel->key, "%s", origin->key);
    channel->welcomed = false;
    channel->frame_bytes_max = bytes_max;
    channel->heard_ms = hub->now_ms;
    *number = channel->number;
    hub->counts.up++;
    return HUB_ON_ADDED;
}

/* --- From below --------------------------------------------------------------------------------
 */

/* Whether a peer may say Hello on this link: for itself, or for others where it is a relay. Whom a
 * relay speaks for shows that it lives, too. */
static bool may_begin(Hub *hub, Link link)
{
    if (link_channel(link) == 0)
        return true;
    Channel *relay = channels_find_link(hub->channels, link_connection(link));
    if (!relay || !relay->relay)
        return false;
    relay->heard_ms = hub->now_ms;
    return true;
}

/* A frame of a link that has said no Hello. A relay that this one does not know has to begin anew
 * itself. */
static void take_strange(Hub *hub, Link link, unsigned kind, bool open)
{
    if (kind != MESSAGE_BYE && kind != MESSAGE_GONE)
        refuse_stranger(hub, open ? link : link_connection(link));
}

/* What a relay says of itself. */
static void take_relays_own(Hub *hub, Channel *channel, unsigned kind)
{
    if (kind == MESSAGE_HEARTBEAT)
        return;
    if (kind == MESSAGE_BYE) {
        note(hub, "relay %s takes its leave", channel->name);
    } else {
        note(hub, "relay %s sent a message that it may not send: it is turned away", channel->name);
        refuse(hub, channel->link, REJECT_NOT_ALLOWED,
               "a relay may send only heartbeats of its own");
    }
    drop(hub, channel);
}

HubWay hub_from_peer(Hub *hub, Link link, const HubFrame *frame, int64_t now_ms, uint32_t *channel,
                     HelloOrigin *origin)
{
    hub->now_ms = now_ms;
    Channel *from = channels_find_link(hub->channels, link);
    bool open = may_begin(hub, link);
    if (frame->kind == MESSAGE_HELLO && open)
        return take_hello(hub, from, link, frame, channel, origin);
    if (!from) {
        take_strange(hub, link, frame->kind, open);
        return HUB_NOWHERE;
    }
    from->heard_ms = now_ms;
    if (from->relay) {
        take_relays_own(hub, from, frame->kind);
        return HUB_NOWHERE;
    }
    size_t bytes_max = from->welcomed ? from->frame_bytes_max : HUB_SMALL_BYTES_MAX;
    if (frame->bytes > bytes_max) {
        refuse(hub, link, REJECT_NOT_ALLOWED, "a message has %zu bytes, and may have %zu",
               frame->bytes, bytes_max);
        drop(hub, from);
        return HUB_NOWHERE;
    }
    *channel = from->number;
    hub->counts.up++;
    if (frame->kind == MESSAGE_BYE || frame->kind == MESSAGE_GONE)
        forget(hub, from); /* it says so itself, and says no more */
    return HUB_ON;
}

void hub_link_gone(Hub *hub, Link link)
{
    Channel *channel = channels_find_link(hub->channels, link_connection(link));
    if (!channel)
        return;
    if (channel->relay)
        note(hub, "relay %s is gone", channel->name);
    drop(hub, channel);
}

void hub_link_full(Hub *hub, Link link)
{
    Channel *channel = channels_find_link(hub->channels, link);
    if (channel)
        drop(hub, channel);
}

void hub_revoke_key(Hub *hub, const char *key)
{
    Channel *channel = NULL;
    uint32_t count = 0;
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;) {
        /* Whom a relay lets in is for its own directory to say. */
        if (!is_direct(channel) || strcmp(channel->key, key) != 0)
            continue;
        refuse(hub, channel->link, REJECT_NOT_ALLOWED, "the key \"%s\" is not allowed any more",
               key);
        drop(hub, channel);
        count++;
    }
    if (count > 0)
        note(hub, "%u peers are turned away: their key \"%s\" is not allowed any more", count, key);
}

/* --- From above --------------------------------------------------------------------------------
 */

HubWay hub_from_parent(Hub *hub, uint32_t channel, unsigned kind, int64_t now_ms, Link *link)
{
    hub->now_ms = now_ms;
    Channel *to = channels_find(hub->channels, channel);
    if (!to || to->relay) {
        if (kind != MESSAGE_REJECT && kind != MESSAGE_BYE)
            tell_gone(hub, channel);
        return HUB_NOWHERE;
    }
    *link = to->link;
    to->heard_ms = now_ms;
    hub->counts.down++;
    if (kind == MESSAGE_REJECT) {
        forget(hub, to); /* it comes again on another connection, if at all */
    } else if (kind == MESSAGE_WELCOME) {
        to->welcomed = true;
        return is_direct(to) ? HUB_ON_ADDED : HUB_ON; /* a relay below adds its own weights */
    }
    return HUB_ON;
}

void hub_connected(Hub *hub, const Welcome *ours)
{
    if (hub->state == HUB_OVER)
        return;
    hub->state = HUB_OPEN;
    hub->ours = *ours;
}

void hub_set_newest(Hub *hub, Version newest)
{
    hub->ours.newest = newest;
}

void hub_set_trouble(Hub *hub, const char *why)
{
    snprintf(hub->trouble, sizeof hub->trouble, "%.*s", WIRE_TEXT_MAX, why);
}

void hub_disconnected(Hub *hub, ByeReason reason)
{
    Channel *channel = NULL;
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;) {
        /* A relay tells those for which it speaks. */
        if (is_direct(channel))
            tell_bye(hub, channel->link, reason);
        if (reason != BYE_FINISHED)
            forget(hub, channel);
    }
    hub->state = reason == BYE_FINISHED ? HUB_OVER : HUB_ALONE;
}

/* --- Time --------------------------------------------------------------------------------------
 */

static void tell_ack(Hub *hub, Channel *relay)
{
    relay->told_ms = hub->now_ms;
    hub->message.kind = MESSAGE_ACK;
    hub->message.ack = (Ack){.newest = hub->ours.newest};
    hub->sink.tell_peer(hub->sink.context, relay->link, &hub->message);
}

void hub_tick(Hub *hub, int64_t now_ms)
{
    int64_t heartbeat_ms = hub->ours.heartbeat_interval_ms;
    Channel *channel = NULL;
    hub->now_ms = now_ms;
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;) {
        int64_t silent_ms = now_ms - channel->heard_ms;
        if (!channel->relay) {
            if (silent_ms > IDLE_HEARTBEATS * heartbeat_ms)
                drop(hub, channel);
        } else if (silent_ms > LOST_HEARTBEATS * heartbeat_ms) {
            note(hub, "relay %s is lost: silent for %.1f s", channel->name,
                 (double)silent_ms / 1000.0);
            drop(hub, channel);
        } else if (now_ms - channel->told_ms >= heartbeat_ms) {
            tell_ack(hub, channel);
        }
    }
}
