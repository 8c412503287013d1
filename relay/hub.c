#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/hub_internal.h"

enum {
    IDLE_HEARTBEATS = 10, /* a channel on which nothing goes either way is forgotten */
    LOST_HEARTBEATS = 3,  /* a relay that is silent for so long is lost */
    HEARTBEAT_MS = 1000,  /* before the first Welcome */
    REFUSE_AGAIN_MS = 1000,
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

void hub_note(const Hub *hub, const char *format, ...)
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

void hub_tell_bye(Hub *hub, Link link, ByeReason reason)
{
    hub->message.kind = MESSAGE_BYE;
    hub->message.bye = reason;
    hub->sink.tell_peer(hub->sink.context, link, &hub->message);
}

void hub_refuse(Hub *hub, Link link, RejectReason reason, const char *format, ...)
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
    hub_refuse(hub, link, REJECT_HELLO_FIRST,
               "relay %s does not know this connection: say Hello first", hub->config.name);
}

/* --- Who is there ------------------------------------------------------------------------------
 */

static bool is_direct(const Channel *channel)
{
    return link_channel(channel->link) == 0;
}

Channel *hub_add(Hub *hub, Link link, const char *key, const Session *session)
{
    Channel *channel = channels_add(hub->channels, link, key, session);
    if (!channel)
        return NULL;
    channel->heard_ms = hub->now_ms;
    if (is_direct(channel))
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

void hub_drop(Hub *hub, Channel *channel)
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

uint32_t hub_num_peers_of_key(const Hub *hub, const char *key)
{
    return channels_count_of_key(hub->channels, key);
}

bool hub_is_connected(const Hub *hub)
{
    return hub->state == HUB_OPEN;
}

HubCounts hub_counts(const Hub *hub)
{
    HubCounts counts = hub->counts;
    counts.channels = channels_count(hub->channels) - counts.relays;
    return counts;
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
        hub_note(hub, "relay %s takes its leave", channel->name);
    } else {
        hub_note(hub, "relay %s sent a message that it may not send: it is turned away",
                 channel->name);
        hub_refuse(hub, channel->link, REJECT_NOT_ALLOWED,
                   "a relay may send only heartbeats of its own");
    }
    hub_drop(hub, channel);
}

HubWay hub_from_peer(Hub *hub, Link link, const HubFrame *frame, int64_t now_ms, uint32_t *channel,
                     HelloOrigin *origin)
{
    hub->now_ms = now_ms;
    Channel *from = channels_find_link(hub->channels, link);
    bool open = may_begin(hub, link);
    if (frame->kind == MESSAGE_HELLO && open)
        return hub_take_hello(hub, link, frame, channel, origin);
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
        hub_refuse(hub, link, REJECT_NOT_ALLOWED, "a message has %zu bytes, and may have %zu",
                   frame->bytes, bytes_max);
        hub_drop(hub, from);
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
    channel->gone = true;
    hub->any_gone = true;
}

void hub_all_read(Hub *hub)
{
    if (!hub->any_gone)
        return;
    hub->any_gone = false;
    Channel *channel = NULL;
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;) {
        if (!channel->gone)
            continue;
        if (channel->relay)
            hub_note(hub, "relay %s is gone", channel->name);
        hub_drop(hub, channel);
    }
}

void hub_link_full(Hub *hub, Link link)
{
    Channel *channel = channels_find_link(hub->channels, link);
    if (channel)
        hub_drop(hub, channel);
}

void hub_revoke_key(Hub *hub, const char *key)
{
    Channel *channel = NULL;
    uint32_t count = 0;
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;) {
        /* Whom a relay lets in is for its own directory to say. */
        if (!is_direct(channel) || strcmp(channel->key, key) != 0)
            continue;
        hub_refuse(hub, channel->link, REJECT_NOT_ALLOWED, "the key \"%s\" is not allowed any more",
                   key);
        hub_drop(hub, channel);
        count++;
    }
    if (count > 0)
        hub_note(hub, "%u peers are turned away: their key \"%s\" is not allowed any more", count,
                 key);
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
            hub_tell_bye(hub, channel->link, reason);
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

void hub_set_held_up(Hub *hub, bool held_up)
{
    hub->held_up = held_up;
}

/* Who did not look for a while cannot say that others were silent meanwhile. Some may have been
 * heard since. */
static void forgive_silence(Hub *hub, int64_t missed_ms)
{
    Channel *channel = NULL;
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;) {
        channel->heard_ms += missed_ms;
        if (channel->heard_ms > hub->now_ms)
            channel->heard_ms = hub->now_ms;
    }
}

void hub_tick(Hub *hub, int64_t now_ms)
{
    int64_t heartbeat_ms = hub->ours.heartbeat_interval_ms;
    Channel *channel = NULL;
    int64_t missed_ms = hub->ticked_ms != 0 ? now_ms - hub->ticked_ms : 0;
    hub->ticked_ms = now_ms;
    hub->now_ms = now_ms;
    if (hub->held_up || missed_ms > heartbeat_ms)
        forgive_silence(hub, missed_ms);
    for (uint32_t place = 0; (channel = channels_next(hub->channels, &place)) != NULL;) {
        int64_t silent_ms = now_ms - channel->heard_ms;
        if (!channel->relay) {
            if (silent_ms > IDLE_HEARTBEATS * heartbeat_ms)
                hub_drop(hub, channel);
        } else if (silent_ms > LOST_HEARTBEATS * heartbeat_ms) {
            hub_note(hub, "relay %s is lost: silent for %.1f s", channel->name,
                     (double)silent_ms / 1000.0);
            hub_drop(hub, channel);
        } else if (now_ms - channel->told_ms >= heartbeat_ms) {
            tell_ack(hub, channel);
        }
    }
}
