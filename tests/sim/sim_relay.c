/* Relays between actors and the learner: a real Hub and a real Uplink each, which go through the
 * same motions as relay/relay_frames.c; in some runs one stands behind another. Their connections
 * delay and their queues are full; a relay dies, takes its leave or freezes, and what was on its
 * way through it is lost. Its chance is its own, so that runs without relays stay what they were.
 */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/sim.h"

enum {
    FIRST_CONNECTION = 1 << 20, /* of relays; those of other links are below */
    PEERS_MAX = 64,
    FRAME_BYTES = 100,
};
#define FULL_CHANCE 0.005 /* of a message down, as long as things fail */

void relay_draw(Sim *sim)
{
    sim->num_relays = sim->seed % 3 == 1 ? 1 + (int)(sim->seed / 3 % SIM_RELAYS_MAX) : 0;
    sim->relay_rng.state = sim->seed;
    /* They take places too. */
    sim->fleet_config.peers_max += (uint32_t)sim->num_relays;
    for (int i = 0; i < sim->num_relays; i++) {
        sim->relays[i].sim = sim;
        sim->relays[i].number = i + 1;
    }
    if (sim->num_relays == 2 && sim->seed / 6 % 2 == 1)
        sim->relays[1].above = &sim->relays[0];
}

int relay_choose(Sim *sim)
{
    return sim->num_relays > 0 ? sim_range(&sim->relay_rng, 0, sim->num_relays) : 0;
}

/* The way to the learner is another one, and all that was on the old one is lost. */
static void change_connection(Sim *sim, SimRelay *relay)
{
    sim_pipe_clear(&relay->up);
    sim_pipe_clear(&relay->down);
    relay->connection = FIRST_CONNECTION + sim->num_relay_connections++;
}

void relay_lose_learner(Sim *sim)
{
    for (int i = 0; i < sim->num_relays; i++) {
        if (!sim->relays[i].above)
            change_connection(sim,
                              &sim->relays[i]); /* dialled again underneath: it knows nothing */
    }
}

void relay_revoke(Sim *sim, const char *key)
{
    for (int i = 0; i < sim->num_relays; i++) {
        if (sim->relays[i].hub)
            hub_revoke_key(sim->relays[i].hub, key);
    }
}

static PeerIdentity relay_identity(const Sim *sim)
{
    PeerIdentity identity = identity_without_key(false);
    if (sim->keys) {
        identity.roles = 1U << ROLE_RELAY | 1U << ROLE_ACTOR;
        snprintf(identity.key, sizeof identity.key, "relay");
    }
    return identity;
}

/* --- What the hub says -------------------------------------------------------------------------
 */

/* Once nothing fails any more, nobody is turned away but for want of room: the relay's own, too. */
static void tell_peer(void *context, Link link, const Message *message)
{
    SimRelay *relay = context;
    Sim *sim = relay->sim;
    if (relay_is_way(link)) {
        relay_send_down(sim, link, message);
        return;
    }
    int session = sim->link_session[link] - 1;
    bool revoked = session >= 0 && sim->revoked[sim->sessions[session].key];
    bool crowded = sim->fleet_config.peers_max < (uint32_t)(sim->num_actors + sim->num_relays) &&
                   message->kind == MESSAGE_REJECT && message->reject.reason == REJECT_LOADING;
    sim_check(sim,
              sim->now_ms < sim->faults_until_ms + SIM_SETTLE_MS || revoked || crowded ||
                  (message->kind == MESSAGE_BYE && message->bye == BYE_FINISHED),
              "relay %d says %s (%s)", relay->number, message_kind_name(message->kind),
              message->kind == MESSAGE_REJECT ? message->reject.text : "");
    sim_send_down(sim, link, message);
}

static void tell_parent(void *context, uint32_t channel, const Message *message)
{
    SimRelay *relay = context;
    Packet *packet = sim_packet_new(message);
    packet->channel = channel;
    sim_pipe_send(relay->sim, &relay->up, packet);
}

static void note(void *context, const char *line)
{
    const SimRelay *relay = context;
    sim_say(relay->sim, "relay %d: %s", relay->number, line);
}

/* --- From below --------------------------------------------------------------------------------
 */

/* A frame from an actor or from a relay below; without a relay it is lost. */
static void pass_up(Sim *sim, SimRelay *relay, Link link, const PeerIdentity *identity,
                    Packet *packet)
{
    Hello *hello = &packet->message.hello;
    HubFrame frame = {.kind = packet->message.kind,
                      .bytes = FRAME_BYTES,
                      .identity = identity,
                      .hello = hello,
                      .hello_error = ""};
    HelloOrigin origin;
    HubWay way = HUB_NOWHERE;
    if (relay->hub)
        way = hub_from_peer(relay->hub, link, &frame, sim->now_ms, &packet->channel, &origin);
    if (way == HUB_NOWHERE) {
        sim_packet_free(packet);
        return;
    }
    if (way == HUB_ON_ADDED) {
        snprintf(hello->origin_key, sizeof hello->origin_key, "%s", origin.key);
        hello->origin_roles = origin.roles;
        snprintf(hello->via, sizeof hello->via, "%s", origin.via);
    }
    sim_tally.relayed++;
    sim_tally.stacked += link_channel(link) != 0;
    sim_pipe_send(sim, &relay->up, packet);
}

static void hear_actors(Sim *sim, SimRelay *relay)
{
    for (int i = 0; i < sim->num_connections; i++) {
        Connection *connection = &sim->connections[i];
        if (!connection->used || sim->link_relay[connection->link] != relay->number ||
            sim_blocked(sim, connection, true))
            continue;
        for (Packet *packet; (packet = sim_take(&connection->up, sim->now_ms)) != NULL;) {
            PeerIdentity identity = sim_identity(sim, sim->sessions[packet->session].key);
            if (relay->hub && packet->message.kind == MESSAGE_HELLO)
                sim->link_session[packet->link] = packet->session + 1;
            pass_up(sim, relay, packet->link, &identity, packet);
        }
        sim_free_if_done(connection);
    }
}

static void hear_relays(Sim *sim, SimRelay *relay)
{
    PeerIdentity identity = relay_identity(sim);
    for (int i = 0; i < sim->num_relays; i++) {
        SimRelay *below = &sim->relays[i];
        if (below->above != relay)
            continue;
        for (Packet *packet; (packet = sim_take(&below->up, sim->now_ms)) != NULL;) {
            Link link = link_make((uint32_t)below->connection, packet->channel);
            pass_up(sim, relay, link, &identity, packet);
        }
    }
}

void relay_reach_learner(Sim *sim)
{
    PeerIdentity identity = relay_identity(sim);
    for (int i = 0; i < sim->num_relays; i++) {
        SimRelay *relay = &sim->relays[i];
        if (relay->above)
            continue;
        for (Packet *packet; (packet = sim_take(&relay->up, sim->now_ms)) != NULL;) {
            Link way = link_make((uint32_t)relay->connection, packet->channel);
            if (packet->link != 0) {
                sim->way[packet->link] = way;
                learner_receive(sim, packet, &identity);
            } else {
                fleet_receive(sim->learner.fleet, way, &identity, &packet->message, sim->now_ms);
                learner_check_grants(sim);
            }
            sim_packet_free(packet);
        }
    }
}

/* --- Life --------------------------------------------------------------------------------------
 */

static Session fresh_session(SimRelay *relay)
{
    Session session;
    memset(session.id, 0xff, sizeof session.id);
    session.id[0] = (uint8_t)relay->number;
    memcpy(session.id + 8, &relay->lives, sizeof relay->lives);
    relay->lives++;
    return session;
}

static void begin(Sim *sim, SimRelay *relay)
{
    HubConfig config = {
        .parent = "the learner", .peers_max = PEERS_MAX, .peers_per_key_max = PEERS_MAX};
    HubSink sink = {relay, tell_peer, tell_parent, note};
    Hello hello = {.role = ROLE_RELAY};
    Session session = fresh_session(relay);
    snprintf(config.name, sizeof config.name, "relay%d", relay->number);
    memcpy(hello.name, config.name, sizeof hello.name);
    relay->hub = hub_new(&config, &sink);
    CHECK(relay->hub);
    uplink_start(&relay->uplink, &hello, NULL, &session, sim->now_ms);
}

static void take_leave(Sim *sim, SimRelay *relay)
{
    static const Message bye = {.kind = MESSAGE_BYE, .bye = BYE_STOPPING};
    PeerIdentity identity = relay_identity(sim);
    hub_disconnected(relay->hub, BYE_RESTARTING);
    if (relay->above) {
        Packet *packet = sim_packet_new(&bye);
        pass_up(sim, relay->above, relay->connection, &identity, packet);
    } else if (sim->learner.alive && sim->now_ms >= sim->learner.frozen_ms) {
        fleet_receive(sim->learner.fleet, relay->connection, &identity, &bye, sim->now_ms);
        learner_check_grants(sim);
    }
}

static void die(Sim *sim, SimRelay *relay)
{
    sim_tally.relay_deaths++;
    sim_say(sim, "relay %d ends", relay->number);
    if (sim_range(&sim->relay_rng, 0, 2) == 0)
        take_leave(sim, relay);
    hub_destroy(&relay->hub);
    change_connection(sim, relay);
    relay->begins_ms = sim->now_ms + sim_range(&sim->relay_rng, 50, 5000);
    for (int i = 0; i < sim->num_relays; i++) {
        if (sim->relays[i].above == relay && sim_chance(&sim->relay_rng, 0.5))
            change_connection(sim, &sim->relays[i]);
    }
    /* Some of its actors' sockets notice, and dial again underneath. */
    for (int i = 0; i < sim->num_connections; i++) {
        Connection *connection = &sim->connections[i];
        if (connection->used && !connection->closed &&
            sim->link_relay[connection->link] == relay->number && sim_chance(&sim->relay_rng, 0.5))
            sim_break(sim, connection, true);
    }
}

void relay_end(Sim *sim)
{
    for (int i = 0; i < sim->num_relays; i++) {
        hub_destroy(&sim->relays[i].hub);
        change_connection(sim, &sim->relays[i]);
    }
}

/* --- From above --------------------------------------------------------------------------------
 */

bool relay_is_way(Link way)
{
    return link_connection(way) >= FIRST_CONNECTION;
}

Link relay_link_of(const Sim *sim, Link way)
{
    for (Link link = sim->num_links; link > 0; link--) {
        if (sim->way[link] == way)
            return link;
    }
    return 0;
}

bool relay_send_down(Sim *sim, Link way, const Message *message)
{
    for (int i = 0; i < sim->num_relays; i++) {
        SimRelay *relay = &sim->relays[i];
        if (relay->connection != link_connection(way) || !relay->hub)
            continue;
        Packet *packet = sim_packet_new(message);
        packet->channel = link_channel(way);
        sim_pipe_send(sim, &relay->down, packet);
        return true;
    }
    /* It finds out now, or later, or by silence. */
    return !sim_chance(&sim->relay_rng, 0.3);
}

static void pass_down(Sim *sim, SimRelay *relay, Link link, const Message *message)
{
    if (sim->now_ms < sim->faults_until_ms && sim_chance(&sim->relay_rng, FULL_CHANCE)) {
        sim_tally.relay_full++;
        if (message->kind != MESSAGE_ACK)
            hub_link_full(relay->hub, link);
    } else if (relay_is_way(link) ? !relay_send_down(sim, link, message)
                                  : !sim_send_down(sim, link, message)) {
        hub_link_gone(relay->hub, link);
    }
}

static void hear_parent(Sim *sim, SimRelay *relay)
{
    for (Packet *packet; (packet = sim_take(&relay->down, sim->now_ms)) != NULL;) {
        Link link = 0;
        Session fresh = fresh_session(relay);
        if (packet->channel == 0) {
            uplink_receive(&relay->uplink, &packet->message, &fresh, sim->now_ms);
        } else {
            if (relay->uplink.state == UPLINK_ACTIVE)
                relay->uplink.heard_ms = sim->now_ms;
            HubWay way = hub_from_parent(relay->hub, packet->channel, packet->message.kind,
                                         sim->now_ms, &link);
            if (way != HUB_NOWHERE)
                pass_down(sim, relay, link, &packet->message);
        }
        sim_packet_free(packet);
    }
}

static void drive(Sim *sim, SimRelay *relay)
{
    static Message message;
    for (;;) {
        switch (uplink_next(&relay->uplink, sim->now_ms, &message)) {
        case UPLINK_OPEN:
            change_connection(sim, relay);
            break;
        case UPLINK_SEND:
            sim_pipe_send(sim, &relay->up, sim_packet_new(&message));
            break;
        default:
            return;
        }
    }
}

static void follow(Sim *sim, SimRelay *relay)
{
    static const Welcome place; /* weights take another way here */
    HubNews news = hub_follow(relay->hub, &relay->uplink, &place, "");
    sim_check(sim, news != HUB_REFUSED, "relay %d is refused: %s", relay->number,
              relay->uplink.refusal);
}

/* --- Time --------------------------------------------------------------------------------------
 */

static void strike(Sim *sim, SimRelay *relay)
{
    if (sim->now_ms >= sim->faults_until_ms || !sim_chance(&sim->relay_rng, 0.001))
        return;
    int what = sim_range(&sim->relay_rng, 0, 3);
    if (what == 0)
        relay->frozen_ms = sim->now_ms + sim_range(&sim->relay_rng, 50, 6000);
    else if (what == 1)
        relay->held_up_ms = sim->now_ms + sim_range(&sim->relay_rng, 50, 6000);
    else
        die(sim, relay);
}

void relay_work(Sim *sim)
{
    for (int i = 0; i < sim->num_relays; i++) {
        SimRelay *relay = &sim->relays[i];
        if (!relay->hub && sim->now_ms >= relay->begins_ms)
            begin(sim, relay);
        if (relay->hub)
            strike(sim, relay);
        if (sim->now_ms < relay->frozen_ms && relay->hub)
            continue;
        bool held_up = sim->now_ms < relay->held_up_ms && relay->hub;
        if (!held_up) {
            hear_actors(sim, relay);
            hear_relays(sim, relay);
        }
        if (!relay->hub)
            continue;
        if (!held_up)
            hub_all_read(relay->hub);
        hub_set_held_up(relay->hub, held_up);
        hear_parent(sim, relay);
        drive(sim, relay);
        follow(sim, relay);
        if (sim->now_ms >= relay->next_tick_ms) {
            hub_tick(relay->hub, sim->now_ms);
            relay->next_tick_ms = sim->now_ms + 100;
        }
    }
}
