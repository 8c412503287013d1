/* Relays between actors and the learner: each link of an actor is a channel of one, or none. A
 * relay dies, takes its leave or falls silent, and with it goes what was on its way; the next one
 * has another connection. Its chance is its own, so that runs without relays stay what they were.
 */
#include "tests/sim/sim.h"

enum {
    FIRST_CONNECTION = 1 << 20, /* of relays; those of other links are below */
    HELLO_AGAIN_MS = 300,
};

void relay_draw(Sim *sim)
{
    sim->num_relays = sim->seed % 3 == 1 ? 1 + (int)(sim->seed / 3 % SIM_RELAYS_MAX) : 0;
    sim->relay_rng.state = sim->seed;
    /* They take places too. */
    sim->fleet_config.peers_max += (uint32_t)sim->num_relays;
    for (int i = 0; i < sim->num_relays; i++)
        sim->relays[i].connection = FIRST_CONNECTION + sim->num_relay_connections++;
}

int relay_choose(Sim *sim)
{
    return sim->num_relays > 0 ? sim_range(&sim->relay_rng, 0, sim->num_relays) : 0;
}

void relay_route(Sim *sim, Link link, int relay)
{
    sim->link_relay[link] = relay;
    sim->way[link] =
        relay == 0 ? link : link_make((uint32_t)sim->relays[relay - 1].connection, (uint32_t)link);
}

/* It has to say Hello, on another connection. */
static void reconnect(Sim *sim, SimRelay *relay)
{
    relay->connection = FIRST_CONNECTION + sim->num_relay_connections++;
    relay->joined = false;
}

void relay_lose_learner(Sim *sim)
{
    for (int i = 0; i < sim->num_relays; i++)
        reconnect(sim, &sim->relays[i]);
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

bool relay_passes_up(Sim *sim, Packet *packet, PeerIdentity *identity)
{
    int relay = sim->link_relay[packet->link];
    if (relay == 0)
        return true;
    if (link_connection(sim->way[packet->link]) != sim->relays[relay - 1].connection ||
        sim->now_ms < sim->relays[relay - 1].dead_ms)
        return false;
    sim_tally.relayed++;
    if (packet->message.kind != MESSAGE_HELLO)
        return true;
    Hello *hello = &packet->message.hello;
    snprintf(hello->origin_key, sizeof hello->origin_key, "%s", identity->key);
    hello->origin_roles = identity->roles & ((1U << (ROLE_RELAY + 1)) - 1);
    snprintf(hello->via, sizeof hello->via, "relay%d", relay);
    *identity = relay_identity(sim);
    return true;
}

bool relay_passes_down(Sim *sim, Link way, const Message *message, Link *link)
{
    Link connection = link_connection(way);
    *link = link_channel(way) != 0 ? link_channel(way) : way;
    if (connection < FIRST_CONNECTION)
        return true;
    SimRelay *relay = NULL;
    for (int i = 0; i < sim->num_relays; i++) {
        if (sim->relays[i].connection == connection && sim->now_ms >= sim->relays[i].dead_ms)
            relay = &sim->relays[i];
    }
    if (!relay) { /* the learner finds out, or later, by silence */
        if (sim_chance(&sim->relay_rng, 0.3)) {
            fleet_link_gone(sim->learner.fleet, connection);
            learner_check_grants(sim);
        }
        return false;
    }
    if (link_channel(way) != 0)
        return true;
    if (message->kind == MESSAGE_REJECT)
        reconnect(sim, relay);
    return false;
}

/* Sends the learner a message of the relay's own. */
static void say(Sim *sim, SimRelay *relay, const Message *message)
{
    PeerIdentity identity = relay_identity(sim);
    relay->told_ms = sim->now_ms;
    fleet_receive(sim->learner.fleet, relay->connection, &identity, message, sim->now_ms);
    learner_check_grants(sim);
}

static void die(Sim *sim, SimRelay *relay)
{
    static const Message bye = {.kind = MESSAGE_BYE, .bye = BYE_STOPPING};
    sim_tally.relay_deaths++;
    sim_say(sim, "a relay ends");
    if (sim_range(&sim->relay_rng, 0, 2) == 0)
        say(sim, relay, &bye);
    relay->dead_ms = sim->now_ms + sim_range(&sim->relay_rng, 50, 5000);
    reconnect(sim, relay);
}

void relay_work(Sim *sim)
{
    static const Message heartbeat = {.kind = MESSAGE_HEARTBEAT};
    static Message hello = {.kind = MESSAGE_HELLO};
    for (int i = 0; i < sim->num_relays; i++) {
        SimRelay *relay = &sim->relays[i];
        if (sim->now_ms < sim->faults_until_ms && sim_chance(&sim->relay_rng, 0.001))
            die(sim, relay);
        if (sim->now_ms < relay->dead_ms)
            continue;
        int64_t silent_ms = sim->now_ms - relay->told_ms;
        if (!relay->joined && silent_ms >= HELLO_AGAIN_MS) {
            hello.hello = (Hello){.protocol_version = WIRE_PROTOCOL_VERSION,
                                  .role = ROLE_RELAY,
                                  .oldest_unacked = 1,
                                  .num_envs = 1};
            relay->joined = true; /* unless it is refused */
            say(sim, relay, &hello);
        } else if (relay->joined && silent_ms >= sim->fleet_config.welcome.heartbeat_interval_ms) {
            say(sim, relay, &heartbeat);
        }
    }
}
