/* Relays: peers that speak for others, each on a channel of its own (docs/wire.md). What is said on
 * a channel is an ordinary peer's; here is who it is, and that it goes when the relay goes. */
#include <stdio.h>

#include "common/check.h"
#include "learner/fleet/fleet_internal.h"

/* The relay on whose connection a channel is; NULL when there is none. */
static Peer *relay_of(const Fleet *fleet, Link link)
{
    Peer *peer = fleet_find_peer(fleet, link_make(link_connection(link), 0));
    return peer && peer->role == ROLE_RELAY ? peer : NULL;
}

bool fleet_channel_is_open(Fleet *fleet, Link link)
{
    if (link_channel(link) == 0)
        return true;
    Peer *relay = relay_of(fleet, link);
    if (relay) {
        relay->last_heard_ms = fleet->now_ms;
        return true;
    }
    /* It may be a relay from before a restart of the learner: it opens another connection. */
    Link connection = link_make(link_connection(link), 0);
    if (!fleet_is_barred(fleet, connection))
        fleet_refuse(fleet, connection, REJECT_HELLO_FIRST, "a relay says Hello first");
    return false;
}

PeerIdentity fleet_origin(const PeerIdentity *relay, const Hello *hello)
{
    PeerIdentity origin = {.roles = hello->origin_roles & relay->roles};
    _Static_assert(sizeof origin.key >= sizeof hello->origin_key, "one length of a key's name");
    snprintf(origin.key, sizeof origin.key, "%s", hello->origin_key);
    return origin;
}

void fleet_join_relay(Fleet *fleet, Peer *peer, const Hello *hello)
{
    Peer *relay = relay_of(fleet, peer->link);
    CHECK(relay); /* the channel is open */
    relay->num_channels++;
    fleet->num_relayed_actors += peer->role == ROLE_ACTOR;
    snprintf(peer->via, sizeof peer->via, "%s", hello->via[0] ? hello->via : relay->name);
}

void fleet_leave_relay(Fleet *fleet, Peer *peer)
{
    Peer *relay = relay_of(fleet, peer->link);
    CHECK(relay && relay->num_channels > 0);
    relay->num_channels--;
    fleet->num_relayed_actors -= peer->role == ROLE_ACTOR;
}

void fleet_drop_channels(Fleet *fleet, Peer *relay)
{
    /* They came after it, and the table keeps the order of coming. */
    Peer *next = NULL;
    for (Peer *peer = relay->hh.next; relay->num_channels > 0; peer = next) {
        CHECK(peer);
        next = peer->hh.next;
        if (link_connection(peer->link) == link_connection(relay->link))
            fleet_drop_peer(fleet, peer);
    }
}

const char *fleet_with_channels(const Peer *peer, char text[FLEET_CHANNELS_BYTES])
{
    text[0] = '\0';
    if (peer->num_channels > 0)
        snprintf(text, FLEET_CHANNELS_BYTES, ", and with it %u peer%s", peer->num_channels,
                 peer->num_channels == 1 ? "" : "s");
    return text;
}

uint32_t fleet_num_relays(const Fleet *fleet)
{
    return fleet->num_relays;
}

uint32_t fleet_num_subscribers(const Fleet *fleet)
{
    return fleet->num_actors - fleet->num_relayed_actors + fleet->num_relays;
}
