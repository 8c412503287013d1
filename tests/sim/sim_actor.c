/* An actor: a real Uplink and Outbox, and a rollout whose steps are numbered. It goes through the
 * same motions as actor/actor.c. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/rng.h"
#include "tests/sim/sim.h"

static int new_session(Sim *sim, const SimActor *actor)
{
    sim_check(sim, sim->num_sessions < SIM_SESSIONS_MAX, "too many sessions");
    int index = sim->num_sessions++;
    memcpy(sim->ids[index].id, &index, sizeof index);
    sim->sessions[index].life = actor->life;
    sim->sessions[index].key = actor->key;
    return index;
}

/* A host keeps its key, unless that was revoked: then it is given another one. */
static int key_of(Sim *sim, int old)
{
    if (!sim->keys || (old > 0 && !sim->revoked[old]))
        return old;
    sim_check(sim, sim->num_keys + 1 < SIM_LIVES_MAX, "too many keys");
    return ++sim->num_keys;
}

void actor_begin(Sim *sim, int i)
{
    SimActor *actor = &sim->actors[i];
    SimActor fresh = {
        .alive = true,
        .envs = sim_range(&sim->rng, 1, SIM_ENVS_MAX),
        .speed = sim_range(&sim->rng, 1, 4),
        .spool = sim->spool_max > 0 ? (uint64_t)sim_range(&sim->rng, 0, sim->spool_max) : 0,
        .up_blocked_ms = actor->up_blocked_ms,
        .down_blocked_ms = actor->down_blocked_ms,
        .key = key_of(sim, actor->key)};
    *actor = fresh;
    sim_check(sim, sim->num_lives < SIM_LIVES_MAX, "too many actor processes");
    actor->life = sim->num_lives++;
    actor->session = new_session(sim, actor);
    actor->outbox.next_sequence = 1;
    Hello hello = {
        .role = ROLE_ACTOR, .has_spec = true, .spec = sim->spec, .num_envs = (uint32_t)actor->envs};
    snprintf(hello.name, sizeof hello.name, "life%d", actor->life);
    uplink_start(&actor->uplink, &hello, &actor->outbox, &sim->ids[actor->session], sim->now_ms);
    actor->uplink.spool_segments = actor->spool;
    actor->sessions_seen = actor->uplink.sessions;
}

void actor_end(Sim *sim, int i)
{
    SimActor *actor = &sim->actors[i];
    if (!actor->alive)
        return;
    if (actor->connection)
        sim_close(sim, actor->connection);
    outbox_destroy(&actor->outbox);
    actor->connection = NULL;
    actor->alive = false;
    sim->life_over[actor->life] = true;
    actor->begins_ms = sim->now_ms + sim_range(&sim->rng, 10, 8000);
}

static void close_segment(Sim *sim, SimActor *actor, SimLane *lane, SegmentEnd end)
{
    lane->open->end = end;
    outbox_close(&actor->outbox, lane->open);
    truth_closed(sim, actor->session, lane->open);
    lane->open = NULL;
}

static void flush(Sim *sim, SimActor *actor, bool all)
{
    for (int i = 0; i < actor->envs; i++) {
        SimLane *lane = &actor->lanes[i];
        if (!lane->open ||
            (!all && sim->now_ms - lane->opened_ms < actor->uplink.welcome.segment_flush_ms))
            continue;
        if (lane->open->num_steps > 0) {
            close_segment(sim, actor, lane, SEGMENT_CONTINUES);
        } else if (all) {
            outbox_discard(&actor->outbox, lane->open);
            lane->open = NULL;
        }
    }
}

static uint64_t open_steps(const SimActor *actor)
{
    uint64_t steps = 0;
    for (int i = 0; i < actor->envs; i++)
        steps += actor->lanes[i].open ? (uint64_t)actor->lanes[i].open->num_steps : 0;
    return steps;
}

/* The closed segment with this sequence. */
static const Segment *closed(const SimActor *actor, uint64_t sequence)
{
    const Outbox *outbox = &actor->outbox;
    return &outbox->segments[outbox->closed[sequence % (uint64_t)outbox->places]];
}

/* One step of one environment. False when the outbox has no place. */
static bool step_lane(Sim *sim, SimActor *actor, int i)
{
    SimLane *lane = &actor->lanes[i];
    if (!lane->open) {
        lane->open = outbox_open(&actor->outbox);
        if (!lane->open)
            return false;
        lane->opened_ms = sim->now_ms;
        lane->open->env_index = (uint32_t)i;
        lane->open->episode = lane->episode;
        lane->open->first_step = lane->episode_steps;
        lane->open->version = actor->policy;
        lane->open->obs[0] = (float)actor->life;
    }
    Segment *segment = lane->open;
    bool ends = sim_range(&sim->rng, 1, sim->episode_max) == 1;
    if (sim_chance(&sim->rng, sim->drop_chance)) {
        /* Not finite: it did not happen, and the episode is over. */
        if (segment->num_steps > 0) {
            close_segment(sim, actor, lane, SEGMENT_TRUNCATED);
        } else {
            outbox_discard(&actor->outbox, segment);
            lane->open = NULL;
        }
        ends = true;
    } else {
        segment->reward[segment->num_steps] = (float)lane->steps++;
        segment->action[segment->num_steps] = 0;
        segment->obs[++segment->num_steps] = (float)actor->life;
        lane->episode_steps++;
        uplink_count_steps(&actor->uplink, 1);
        actor->session_steps++;
        bool spools = uplink_spools(&actor->uplink);
        sim_tally.spooled += spools;
        sim_check(sim, spools || actor->session_steps <= actor->step_limit,
                  "life %d takes its step %llu, its limit is %llu", actor->life,
                  (unsigned long long)actor->session_steps, (unsigned long long)actor->step_limit);
        if (ends)
            close_segment(sim, actor, lane,
                          sim_chance(&sim->rng, 0.5) ? SEGMENT_TERMINATED : SEGMENT_TRUNCATED);
        else if (segment->num_steps == (int)actor->uplink.welcome.segment_steps)
            close_segment(sim, actor, lane, SEGMENT_CONTINUES);
    }
    if (ends) {
        lane->episode++;
        lane->episode_steps = 0;
    }
    return true;
}

static void take_steps(Sim *sim, SimActor *actor)
{
    actor->blocked = false;
    int tries = actor->envs * sim_range(&sim->rng, 1, actor->speed);
    bool any = false;
    while (tries-- > 0 && uplink_credit(&actor->uplink) > 0) {
        if (!step_lane(sim, actor, actor->first)) {
            actor->blocked = true;
            break;
        }
        any = true;
        actor->first = (actor->first + 1) % actor->envs;
    }
    sim_check(sim, any || actor->blocked, "an actor does nothing and has no reason");
    if (uplink_credit(&actor->uplink) == 0 && actor->uplink.state == UPLINK_ACTIVE)
        flush(sim, actor, true);
    uint64_t room = actor->spool + (uint64_t)actor->envs; /* a step that is dropped ends one too */
    sim_check(sim, !uplink_spools(&actor->uplink) || outbox_unacked(&actor->outbox) <= room,
              "life %d has %llu segments in a spool of %llu", actor->life,
              (Ull)outbox_unacked(&actor->outbox), (Ull)actor->spool);
}

static void take_welcome(Sim *sim, SimActor *actor)
{
    const Welcome *welcome = &actor->uplink.welcome;
    if (!actor->configured) {
        int places = sim_range(&sim->rng, actor->envs, 6 * actor->envs + 4) + (int)actor->spool;
        CHECK(outbox_new(&actor->outbox, places, 1, 1, SIM_STEPS_MAX) == 0);
    }
    actor->configured = true;
    /* Random streams are named by (index, incarnation): never two sessions with the same. */
    uint64_t stream = rng_actor_key(welcome->actor_index, welcome->incarnation) + 1;
    for (int i = 0; i < sim->num_sessions; i++) {
        sim_check(sim, i == actor->session || sim->stream_of[i] != stream,
                  "the sessions %d and %d were both given index %u and incarnation %u", i,
                  actor->session, welcome->actor_index, welcome->incarnation);
    }
    sim->stream_of[actor->session] = stream;
}

/* The learner does not know its session: it goes on with a new one. What may have arrived is
 * counted as lost, all else is kept. */
static void change_session(Sim *sim, SimActor *actor, const SimActor *before, int session)
{
    SimSession *old = &sim->sessions[actor->session];
    const Outbox *outbox = &before->outbox;
    uint64_t seen = outbox->sent_sequence > outbox->seen_sequence ? outbox->sent_sequence
                                                                  : outbox->seen_sequence;
    uint64_t dropped = seen - outbox->acked_sequence;
    uint64_t steps = truth_steps(old, outbox->acked_sequence + 1, seen);
    sim_check(sim,
              actor->uplink.lost_segments - before->uplink.lost_segments == dropped &&
                  actor->uplink.lost_steps - before->uplink.lost_steps == steps,
              "life %d counts %llu segments and %llu steps as lost, not %llu and %llu", actor->life,
              (Ull)(actor->uplink.lost_segments - before->uplink.lost_segments),
              (Ull)(actor->uplink.lost_steps - before->uplink.lost_steps), (Ull)dropped,
              (Ull)steps);
    for (uint64_t i = outbox->acked_sequence + 1; i <= seen; i++)
        old->segments[i - 1].dropped = true;
    sim_tally.dropped += dropped;
    /* Those that are kept are told of by the new session. */
    uint64_t kept = old->num_segments - seen;
    old->num_segments = seen;
    sim_check(sim, actor->outbox.next_sequence == kept + 1, "life %d keeps %llu segments, not %llu",
              actor->life, (Ull)actor->outbox.next_sequence - 1, (Ull)kept);
    actor->session = session;
    for (uint64_t i = 1; i <= kept; i++)
        truth_closed(sim, session, closed(actor, i));
}

static void receive_packet(Sim *sim, SimActor *actor, const Packet *packet)
{
    static SimActor before;
    before = *actor;
    int fresh = new_session(sim, actor);
    uplink_receive(&actor->uplink, &packet->message, &sim->ids[fresh], sim->now_ms);
    if (actor->uplink.welcomes != before.uplink.welcomes)
        actor->step_limit = packet->message.welcome.step_limit;
    else if (packet->message.kind == MESSAGE_ACK &&
             packet->message.ack.step_limit > actor->step_limit)
        actor->step_limit = packet->message.ack.step_limit;
    if (actor->uplink.sessions != before.uplink.sessions)
        change_session(sim, actor, &before, fresh);
    else
        sim->num_sessions--;
}

static void receive(Sim *sim, SimActor *actor)
{
    while (actor->connection && !sim_blocked(sim, actor->connection, false)) {
        Packet *packet = sim_take(&actor->connection->down, sim->now_ms);
        if (!packet)
            return;
        receive_packet(sim, actor, packet);
        sim_packet_free(packet);
    }
}

static void send(Sim *sim, SimActor *actor, int i)
{
    static Message message;
    for (;;) {
        switch (uplink_next(&actor->uplink, sim->now_ms, &message)) {
        case UPLINK_OPEN:
            if (actor->connection)
                sim_close(sim, actor->connection);
            actor->connection = sim_connect(sim, i);
            break;
        case UPLINK_SEND:
            if (sim->now_ms < sim->faults_until_ms && sim_chance(&sim->rng, sim->full_chance)) {
                uplink_not_sent(&actor->uplink, &message);
                return;
            }
            sim_send_up(sim, actor->connection, &message, actor->session);
            break;
        default:
            return;
        }
    }
}

/* Weights come by another way: late or not, but the newest. */
static void receive_weights(Sim *sim, SimActor *actor)
{
    const SimLearner *learner = &sim->learner;
    Version published = learner->trainer.published;
    if (!actor->configured || !learner->alive || published.epoch == 0 ||
        sim->now_ms < actor->down_blocked_ms || sim_chance(&sim->rng, 0.5))
        return;
    actor->weights_ms = sim->now_ms;
    bool wanted = sim->sync ? version_equal(published, actor->uplink.credit_version)
                            : version_is_newer(published, actor->policy);
    if (wanted)
        actor->policy = published;
}

/* It is told to go: the run is done, it was drained, or its key is not allowed any more. */
static void leave(Sim *sim, int i)
{
    SimActor *actor = &sim->actors[i];
    bool refused = actor->uplink.state == UPLINK_REFUSED;
    sim_check(sim, !refused || sim->revoked[actor->key], "life %d is refused: %s", actor->life,
              actor->uplink.refusal);
    if (refused || !sim->learner.bye_said)
        actor_end(sim, i);
}

void actor_work(Sim *sim, int i)
{
    SimActor *actor = &sim->actors[i];
    if (!actor->alive && sim->now_ms >= actor->begins_ms)
        actor_begin(sim, i);
    if (!actor->alive || sim->now_ms < actor->frozen_ms)
        return;
    Uplink *uplink = &actor->uplink;
    uplink->status.version = actor->policy;
    uplink->status.env_steps = uplink->steps_taken;
    uplink->status.waiting_for[0] = actor->waiting_since_ms > 0 ? '.' : '\0';
    receive(sim, actor);
    send(sim, actor, i);
    if (uplink->state == UPLINK_REFUSED || uplink->state == UPLINK_FINISHED) {
        leave(sim, i);
        return;
    }
    if (uplink->sessions != actor->sessions_seen) {
        actor->sessions_seen = uplink->sessions;
        uplink_count_steps(uplink, open_steps(actor));
        actor->session_steps = open_steps(actor);
        for (uint64_t k = 1; k < actor->outbox.next_sequence; k++)
            actor->session_steps += (uint64_t)closed(actor, k)->num_steps;
    }
    if (uplink->welcomes != actor->welcomes_seen) {
        actor->welcomes_seen = uplink->welcomes;
        take_welcome(sim, actor);
    }
    receive_weights(sim, actor);
    if (actor->configured && uplink->state == UPLINK_ACTIVE)
        flush(sim, actor, false);
    const char *reason =
        actor->configured ? uplink_why_wait(uplink, actor->policy, actor->weights_ms, sim->now_ms)
                          : "waiting for the learner";
    if (!reason && actor->blocked && actor->outbox.num_free == 0)
        reason = "the outbox is full";
    if (reason) {
        sim_check(sim, reason[0] != '\0', "an actor waits without a reason");
        if (actor->waiting_since_ms == 0)
            actor->waiting_since_ms = sim->now_ms;
        sim_tally.full += uplink_spools(uplink) && uplink_credit(uplink) == 0;
        return;
    }
    actor->waiting_since_ms = 0;
    take_steps(sim, actor);
}
