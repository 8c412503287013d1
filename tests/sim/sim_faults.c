/* What goes wrong, and what operators and thieves do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim.h"

const char *sim_fault_name(SimFault fault)
{
    static const char *const names[SIM_NUM_FAULTS] = {
        [SIM_ACTOR_CRASH] = "actor crashes",
        [SIM_ACTOR_FREEZE] = "actor freezes",
        [SIM_CUT_OFF] = "partitions",
        [SIM_CUT_UP] = "partitions to the learner",
        [SIM_CUT_DOWN] = "partitions from the learner",
        [SIM_BREAK] = "connections broken",
        [SIM_LEARNER_CRASH] = "learner crashes",
        [SIM_LEARNER_FREEZE] = "learner freezes",
        [SIM_LEARNER_RESTART] = "learner restarts",
        [SIM_POWER_LOSS] = "power losses",
        [SIM_DISK_FULL] = "disk full",
        [SIM_DISK_ERROR] = "disk errors",
        [SIM_STALL_LOG] = "disk stalls",
        [SIM_STALL_TRAINER] = "trainer stalls",
        [SIM_THIEF] = "thieves",
        [SIM_REVOKE] = "keys revoked",
        [SIM_DRAIN] = "actors drained",
        [SIM_SET] = "ratios set",
    };
    return names[fault];
}

/* --- Actors ------------------------------------------------------------------------------------
 */

static void strike_actor(Sim *sim, SimFault fault, int i)
{
    SimActor *actor = &sim->actors[i];
    int64_t until_ms = sim->now_ms + sim_range(&sim->rng, 50, 9000);
    if (!actor->alive)
        return;
    sim_say(sim, "life %d: %s", actor->life, sim_fault_name(fault));
    switch (fault) {
    case SIM_ACTOR_CRASH:
        actor_end(sim, i);
        break;
    case SIM_ACTOR_FREEZE:
        actor->frozen_ms = until_ms;
        break;
    case SIM_CUT_OFF:
        actor->up_blocked_ms = until_ms;
        actor->down_blocked_ms = until_ms;
        break;
    case SIM_CUT_UP:
        actor->up_blocked_ms = until_ms;
        break;
    case SIM_CUT_DOWN:
        actor->down_blocked_ms = until_ms;
        break;
    default:
        if (actor->connection)
            sim_break(sim, actor->connection, false);
        break;
    }
}

/* --- The disk ----------------------------------------------------------------------------------
 */

static void fill_disk(Sim *sim)
{
    SimRng *rng = &sim->rng;
    sim->disk_fails_ms = sim->now_ms + sim_range(rng, 50, 6000);
    memory_disk_space(sim->disk, memory_disk_bytes(sim->disk) + (uint64_t)sim_range(rng, 0, 2000));
}

static void break_disk(Sim *sim)
{
    static const uint32_t calls[] = {
        MEMORY_DISK_WRITE, MEMORY_DISK_SYNC,     MEMORY_DISK_WRITE | MEMORY_DISK_SYNC,
        MEMORY_DISK_OPEN,  MEMORY_DISK_SYNC_DIR, MEMORY_DISK_TRUNCATE,
        MEMORY_DISK_READ,  MEMORY_DISK_LIST,     MEMORY_DISK_ANY};
    static const int errors[] = {EIO, EIO, ENOSPC, EROFS, EDQUOT};
    SimRng *rng = &sim->rng;
    MemoryDiskFault fault = {
        .calls = calls[sim_range(rng, 0, 8)],
        .first = (uint64_t)sim_range(rng, 1, 20),
        .count = (uint64_t)(sim_range(rng, 0, 1) ? sim_range(rng, 1, 5) : 1000000),
        .error = errors[sim_range(rng, 0, 4)],
        .short_write = sim_range(rng, 0, 1),
    };
    sim->disk_fails_ms = sim->now_ms + sim_range(rng, 50, 6000);
    memory_disk_fault(sim->disk, &fault);
}

static void mend_disk(Sim *sim)
{
    if (sim->disk_fails_ms == 0 || sim->now_ms < sim->disk_fails_ms)
        return;
    memory_disk_fault(sim->disk, NULL);
    memory_disk_space(sim->disk, UINT64_MAX);
    sim->disk_fails_ms = 0;
    sim_say(sim, "the disk works again");
}

/* --- People ------------------------------------------------------------------------------------
 */

/* Sends the fleet a message on a link of its own, which is then gone. */
static Link say_hello(Sim *sim, Role role, const PeerIdentity *identity, int session,
                      uint64_t oldest_unacked, bool thief)
{
    static Message message;
    memset(&message, 0, sizeof message);
    message.kind = MESSAGE_HELLO;
    message.hello = (Hello){.protocol_version = WIRE_PROTOCOL_VERSION,
                            .role = role,
                            .session = sim->ids[session],
                            .oldest_unacked = oldest_unacked,
                            .num_envs = 1};
    if (role == ROLE_ACTOR) {
        message.hello.has_spec = true;
        message.hello.spec = sim->spec;
    }
    snprintf(message.hello.name, sizeof message.hello.name, "%s", thief ? "thief" : "operator");
    Link link = sim_new_link(sim);
    sim->link_session[link] = thief ? -2 : 0;
    fleet_receive(sim->learner.fleet, link, identity, &message, sim->now_ms);
    return link;
}

/* A session of another key is never touched. The thief does not know a session that the learner
 * does not know either: that would be one of his own. */
static void send_thief(Sim *sim)
{
    Fleet *fleet = sim->learner.fleet;
    static ActorStatus before[SIM_ACTORS_MAX * 2];
    static ActorStatus after[SIM_ACTORS_MAX * 2];
    if (!sim->keys || sim->num_sessions == 0 || !sim->learner.has_ring)
        return;
    int session = sim_range(&sim->rng, 0, sim->num_sessions - 1);
    PeerIdentity identity = identity_without_key(false);
    if (sim_range(&sim->rng, 0, 1))
        snprintf(identity.key, sizeof identity.key, "another");
    uint64_t sequence = sim->sessions[session].accepted + 1;
    memset(before, 0, sizeof before);
    memset(after, 0, sizeof after);
    uint32_t num_before = fleet_actor_status(fleet, before, SIM_ACTORS_MAX * 2, sim->now_ms);
    Link link = say_hello(sim, ROLE_ACTOR, &identity, session, sequence + 2, true);
    float floats[SIM_SEGMENT_FLOATS] = {0};
    Message message = {.kind = MESSAGE_SEGMENT};
    segment_bind(&message.segment, floats, 1, 1, SIM_STEPS_MAX);
    message.segment.sequence = sequence;
    message.segment.num_steps = 1;
    fleet_receive(fleet, link, &identity, &message, sim->now_ms);
    uint32_t num_after = fleet_actor_status(fleet, after, SIM_ACTORS_MAX * 2, sim->now_ms);
    sim_check(sim, num_before == num_after && memcmp(before, after, sizeof before) == 0,
              "a thief has changed session %d", session);
}

static void revoke(Sim *sim, int i)
{
    SimActor *actor = &sim->actors[i];
    char name[IDENTITY_KEY_BYTES];
    if (!actor->alive || actor->key == 0)
        return;
    sim_key_name(actor->key, name);
    sim_say(sim, "the key %s is revoked", name);
    sim->revoked[actor->key] = true;
    relay_revoke(sim, name);
    if (sim->learner.alive) {
        fleet_revoke_key(sim->learner.fleet, name);
        learner_check_grants(sim);
    }
}

static void drain(Sim *sim, int i)
{
    PeerIdentity identity = identity_without_key(true);
    static Message message;
    if (!sim->actors[i].alive || !sim->learner.alive)
        return;
    Link link = say_hello(sim, ROLE_OPERATOR, &identity, 0, 1, false);
    memset(&message, 0, sizeof message);
    message.kind = MESSAGE_DRAIN;
    snprintf(message.drain.name, sizeof message.drain.name, "life%d", sim->actors[i].life);
    fleet_receive(sim->learner.fleet, link, &identity, &message, sim->now_ms);
    fleet_link_gone(sim->learner.fleet, link);
}

/* The trainer takes it; a later start finds it in the configuration. */
static void set_ratio(Sim *sim)
{
    static const double ratios[] = {0.1, 0.3, 1, 2};
    SimTrainer *trainer = &sim->learner.trainer;
    if (!sim->learner.has_ring || sim->learner.log.past || sim->learner.bye_said)
        return;
    sim->ratio_was_set = true;
    sim->pacer.ratio = ratios[sim_range(&sim->rng, 0, 3)];
    pacer_set_ratio(&trainer->pacer, sim->pacer.ratio, trainer->env_steps, trainer->updates);
}

/* --- Chance ------------------------------------------------------------------------------------
 */

static void strike_learner(Sim *sim, SimFault fault)
{
    SimLearner *learner = &sim->learner;
    int64_t until_ms = sim->now_ms + sim_range(&sim->rng, 50, 9000);
    if (fault == SIM_POWER_LOSS && !learner->bye_said)
        learner_lose_power(sim);
    if (!learner->alive || learner->bye_said)
        return;
    switch (fault) {
    case SIM_LEARNER_CRASH:
        learner_crash(sim, "crashes");
        break;
    case SIM_LEARNER_FREEZE:
        learner->frozen_ms = until_ms;
        break;
    case SIM_LEARNER_RESTART:
        learner_restart(sim);
        break;
    case SIM_STALL_LOG:
        learner->log.stalled_ms = until_ms;
        break;
    case SIM_STALL_TRAINER:
        learner->trainer.stalled_ms = until_ms;
        break;
    case SIM_THIEF:
        send_thief(sim);
        break;
    case SIM_SET:
        set_ratio(sim);
        break;
    default:
        break;
    }
}

static SimFault draw_fault(Sim *sim)
{
    int left = sim_range(&sim->rng, 0, sim->weights_sum - 1);
    int fault = 0;
    while (left >= sim->weights[fault])
        left -= sim->weights[fault++];
    return (SimFault)fault;
}

void sim_strike(Sim *sim)
{
    mend_disk(sim);
    if (sim->now_ms >= sim->faults_until_ms || !sim_chance(&sim->rng, sim->fault_chance))
        return;
    SimFault fault = draw_fault(sim);
    int i = sim_range(&sim->rng, 0, sim->num_actors - 1);
    sim_tally.faults[fault]++;
    if (fault > SIM_BREAK)
        sim_say(sim, "%s", sim_fault_name(fault));
    if (fault <= SIM_BREAK)
        strike_actor(sim, fault, i);
    else if (fault == SIM_DISK_FULL && sim->begun)
        fill_disk(sim);
    else if (fault == SIM_DISK_ERROR && sim->begun)
        break_disk(sim);
    else if (fault == SIM_REVOKE)
        revoke(sim, i);
    else if (fault == SIM_DRAIN)
        drain(sim, i);
    else
        strike_learner(sim, fault);
}
