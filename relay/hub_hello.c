/* Who says Hello to a relay: whether it may come in, and what is added to its words. */
#include <stdio.h>
#include <string.h>

#include "relay/hub_internal.h"

#define NO_CONNECTION " has no connection to "

/* Whether there is a parent that can be asked; the peer is told why there is none. Where the parent
 * is a relay without one, its words are passed on: the reason is where the way ends. */
static bool is_open(Hub *hub, Link link)
{
    bool parents_words =
        strncmp(hub->trouble, "relay ", 6) == 0 && strstr(hub->trouble, NO_CONNECTION) != NULL;
    if (hub->state == HUB_OVER)
        hub_tell_bye(hub, link, BYE_FINISHED);
    else if (hub->state == HUB_ALONE && parents_words)
        hub_refuse(hub, link, REJECT_LOADING, "%s", hub->trouble);
    else if (hub->state == HUB_ALONE)
        hub_refuse(hub, link, REJECT_LOADING, "relay %s" NO_CONNECTION "%.60s (%.80s)",
                   hub->config.name, hub->config.parent, hub->trouble);
    return hub->state == HUB_OPEN;
}

/* Whether there is a place: that which the session had on another link, or a free one. */
static bool has_room(Hub *hub, Link link, const char *key, const Hello *hello)
{
    Channel *before = channels_find_session(hub->channels, key, &hello->session);
    if (before && before->relay == (hello->role == ROLE_RELAY)) {
        hub_drop(hub, before);
        return true;
    }
    if (channels_count(hub->channels) >= hub->config.peers_max) {
        hub_refuse(hub, link, REJECT_FULL, "relay %s has its %u peers (--peers-max)",
                   hub->config.name, hub->config.peers_max);
        return false;
    }
    if (key[0] != '\0' && hub_num_peers_of_key(hub, key) >= hub->config.peers_per_key_max) {
        hub_refuse(hub, link, REJECT_FULL,
                   "relay %s has the %u peers of the key \"%s\" (--peers-per-key-max)",
                   hub->config.name, hub->config.peers_per_key_max, key);
        return false;
    }
    return true;
}

/* Another relay has dialled this one, and is welcomed here: the parent knows only its peers. */
static void greet_relay(Hub *hub, Link link, const PeerIdentity *identity, const Hello *hello)
{
    if (link_channel(link) != 0) {
        hub_refuse(hub, link, REJECT_NOT_ALLOWED, "a relay cannot speak for another one");
        return;
    }
    if (!(identity->roles & 1U << ROLE_RELAY)) {
        hub_refuse(hub, link, REJECT_NOT_ALLOWED, "the key \"%s\" has not the role relay",
                   identity->key);
        hub_note(hub, "%s is refused: its key \"%s\" has not the role relay", hello->name,
                 identity->key);
        return;
    }
    if (!is_open(hub, link) || !has_room(hub, link, identity->key, hello))
        return;
    Channel *channel = hub_add(hub, link, identity->key, &hello->session);
    channel->relay = true;
    channel->told_ms = hub->now_ms;
    memcpy(channel->name, hello->name, sizeof channel->name);
    hub->counts.relays++;
    hub_note(hub, "relay %s is connected%s%s", hello->name, identity->key[0] ? ", key " : "",
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

HubWay hub_take_hello(Hub *hub, Link link, const HubFrame *frame, uint32_t *number,
                      HelloOrigin *origin)
{
    const Hello *hello = frame->hello;
    /* Whoever says it begins anew, on a new channel: an answer to its Hello before would else be
     * taken for one to this. */
    Channel *before = channels_find_link(hub->channels, link);
    if (before)
        hub_drop(hub, before);
    if (frame->hello_code != ERR_OK) {
        hub_refuse(hub, link, frame->hello_code == ERR_SPEC ? REJECT_SPEC : REJECT_NOT_ALLOWED,
                   "%s", frame->hello_error);
        return HUB_NOWHERE;
    }
    if (hello->role == ROLE_RELAY) {
        greet_relay(hub, link, frame->identity, hello);
        return HUB_NOWHERE;
    }
    if (!is_open(hub, link))
        return HUB_NOWHERE;
    size_t bytes_max = frame_bytes_max(hub, hello);
    if (bytes_max == 0) {
        hub_refuse(
            hub, link, REJECT_SPEC,
            "segments of this environment may have more than the %d bytes that a relay passes: "
            "choose a smaller segment_steps, or dial the learner itself",
            HUB_FRAME_BYTES_MAX);
        return HUB_NOWHERE;
    }
    make_origin(hub, link, frame, origin);
    if (!has_room(hub, link, origin->key, hello))
        return HUB_NOWHERE;
    Channel *channel = hub_add(hub, link, origin->key, &hello->session);
    channel->frame_bytes_max = bytes_max;
    *number = channel->number;
    hub->counts.up++;
    return HUB_ON_ADDED;
}
