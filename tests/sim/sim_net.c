/* The network between the models: connections that keep their order, and lose what they lose from
 * the middle of their queue, as a connection over TCP does that is dialled again underneath. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/sim.h"

static Packet *free_packets;

Packet *sim_packet_new(const Message *message)
{
    Packet *packet = free_packets;
    if (packet)
        free_packets = packet->next;
    else
        packet = malloc(sizeof *packet);
    CHECK(packet);
    packet->message = *message;
    packet->next = NULL;
    packet->link = 0;
    packet->channel = 0;
    if (message->kind != MESSAGE_SEGMENT)
        return packet;
    Segment *segment = &packet->message.segment;
    segment_bind(segment, packet->floats, 1, 1, SIM_STEPS_MAX);
    segment_copy(segment, &message->segment, 1, 1);
    return packet;
}

void sim_packet_free(Packet *packet)
{
    packet->next = free_packets;
    free_packets = packet;
}

static void pipe_add(Pipe *pipe, Packet *packet)
{
    if (pipe->tail)
        pipe->tail->next = packet;
    else
        pipe->head = packet;
    pipe->tail = packet;
}

static Packet *pipe_remove(Pipe *pipe)
{
    Packet *packet = pipe->head;
    pipe->head = packet->next;
    if (!pipe->head)
        pipe->tail = NULL;
    packet->next = NULL;
    return packet;
}

void sim_pipe_clear(Pipe *pipe)
{
    while (pipe->head)
        sim_packet_free(pipe_remove(pipe));
}

Packet *sim_take(Pipe *pipe, int64_t now_ms)
{
    return pipe->head && pipe->head->due_ms <= now_ms ? pipe_remove(pipe) : NULL;
}

Link sim_new_link(Sim *sim)
{
    sim_check(sim, sim->num_links + 1 < SIM_LINKS_MAX, "too many connections: %llu",
              (unsigned long long)sim->num_links);
    Link link = ++sim->num_links;
    sim->link_gone_ms[link] = INT64_MAX;
    sim->way[link] = link;
    return link;
}

/* The learner finds out at once, or later, or only by silence. */
static void link_ends(Sim *sim, Link link)
{
    sim->link_gone_ms[link] =
        sim->now_ms + (sim_chance(&sim->rng, 0.5) ? sim_range(&sim->rng, 0, 500)
                                                  : sim_range(&sim->rng, 0, 20000));
}

Connection *sim_connect(Sim *sim, int actor)
{
    for (int i = 0; i < SIM_CONNECTIONS_MAX; i++) {
        Connection *connection = &sim->connections[i];
        if (connection->used)
            continue;
        *connection = (Connection){.used = true, .actor = actor, .link = sim_new_link(sim)};
        sim->link_relay[connection->link] = relay_choose(sim);
        if (sim->num_connections <= i)
            sim->num_connections = i + 1;
        return connection;
    }
    sim_check(sim, false, "no place for a connection");
}

void sim_free_if_done(Connection *connection)
{
    if (connection->closed && !connection->up.head)
        connection->used = false;
}

void sim_close(Sim *sim, Connection *connection)
{
    sim_pipe_clear(&connection->down);
    /* With LINGER 0 some of it is on the wire and some never left. */
    if (sim_chance(&sim->rng, 0.5))
        sim_pipe_clear(&connection->up);
    connection->closed = true;
    link_ends(sim, connection->link);
    sim_free_if_done(connection);
}

void sim_pipe_send(Sim *sim, Pipe *pipe, Packet *packet)
{
    int64_t delay_ms = sim_range(&sim->rng, 0, sim->delay_ms_max);
    if (sim->now_ms < sim->faults_until_ms && sim_chance(&sim->rng, sim->slow_chance))
        delay_ms += sim_range(&sim->rng, 100, 6000);
    packet->due_ms = sim->now_ms + delay_ms;
    if (packet->due_ms < pipe->last_due_ms)
        packet->due_ms = pipe->last_due_ms;
    pipe->last_due_ms = packet->due_ms;
    pipe_add(pipe, packet);
}

void sim_send_up(Sim *sim, Connection *connection, const Message *message, int session)
{
    int times =
        sim->now_ms < sim->faults_until_ms && sim_chance(&sim->rng, sim->twice_chance) ? 2 : 1;
    for (int i = 0; i < times; i++) {
        Packet *packet = sim_packet_new(message);
        packet->link = connection->link;
        packet->session = session;
        sim_pipe_send(sim, &connection->up, packet);
    }
}

bool sim_send_down(Sim *sim, Link link, const Message *message)
{
    if (link == 0 || link > sim->num_links || sim->now_ms >= sim->link_gone_ms[link])
        return false;
    bool faults = sim->now_ms < sim->faults_until_ms;
    for (int i = 0; i < sim->num_connections; i++) {
        Connection *connection = &sim->connections[i];
        if (!connection->used || connection->closed || connection->link != link)
            continue;
        if (faults && sim_chance(&sim->rng, sim->lost_chance))
            return true;
        int times = faults && sim_chance(&sim->rng, sim->twice_chance) ? 2 : 1;
        for (int k = 0; k < times; k++)
            sim_pipe_send(sim, &connection->down, sim_packet_new(message));
        return true;
    }
    return true; /* into a connection that is dead, which the learner does not know */
}

void sim_break(Sim *sim, Connection *connection, bool learner_died)
{
    sim_pipe_clear(&connection->down);
    link_ends(sim, connection->link);
    int relay = sim->link_relay[connection->link];
    connection->link = sim_new_link(sim);
    sim->link_relay[connection->link] = relay;
    /* A part has arrived, a part is lost, the rest goes out over the new connection. */
    int num_packets = 0;
    for (Packet *packet = connection->up.head; packet; packet = packet->next)
        num_packets++;
    int arrived = learner_died ? 0 : sim_range(&sim->rng, 0, num_packets);
    int lost = sim_range(&sim->rng, arrived, num_packets);
    Pipe kept = {.last_due_ms = connection->up.last_due_ms};
    for (int i = 0; i < num_packets; i++) {
        Packet *packet = pipe_remove(&connection->up);
        if (i >= arrived && i < lost) {
            sim_packet_free(packet);
            continue;
        }
        if (i >= lost)
            packet->link = connection->link;
        pipe_add(&kept, packet);
    }
    connection->up = kept;
}

void sim_break_all(Sim *sim)
{
    for (int i = 0; i < sim->num_connections; i++) {
        Connection *connection = &sim->connections[i];
        if (sim->link_relay[connection->link] != 0)
            continue; /* it ends at the relay */
        if (connection->used && !connection->closed)
            sim_break(sim, connection, true);
        else
            sim_pipe_clear(&connection->up);
        sim_free_if_done(connection);
    }
}

bool sim_blocked(const Sim *sim, const Connection *connection, bool up)
{
    const SimActor *actor = &sim->actors[connection->actor];
    return sim->now_ms < (up ? actor->up_blocked_ms : actor->down_blocked_ms);
}

void sim_net_end(Sim *sim)
{
    for (int i = 0; i < sim->num_connections; i++) {
        sim_pipe_clear(&sim->connections[i].up);
        sim_pipe_clear(&sim->connections[i].down);
    }
    while (free_packets) {
        Packet *packet = free_packets;
        free_packets = packet->next;
        free(packet);
    }
}
