/* Runs simulated fleets, each from its own seed.
 *
 *   sim.fleet                   some, as ctest does
 *   sim.fleet 10000             more; also by POLYAK_SIM_RUNS
 *   sim.fleet 1 SEED            one again
 *   sim.fleet 1 SEED talk       one again, with all that happens
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/sim.h"

enum {
    RUNS = 1000,
    STANDSTILL_MS = 60000, /* without a step or an update, once the network is good */
    LONGEST_MS = 3600000,
};

bool sim_talks;

static void say(const Sim *sim, const char *format, va_list args)
{
    fprintf(stderr, "%8.2f s  ", (double)sim->now_ms / 1000);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void sim_say(const Sim *sim, const char *format, ...)
{
    if (!sim_talks)
        return;
    va_list args;
    va_start(args, format);
    say(sim, format, args);
    va_end(args);
}

/* What everybody is at, for whoever looks into a failure. */
static void show(const Sim *sim)
{
    const SimLearner *learner = &sim->learner;
    fprintf(stderr,
            "learner %s, epoch %u: %" PRIu64 " steps and %" PRIu64 " updates done, %" PRIu64
            " segments in the ring\n",
            learner->alive ? "alive" : "dead", learner->epoch, learner->env_steps, learner->updates,
            learner->ring_head - learner->ring_tail);
    for (int i = 0; i < sim->num_actors; i++) {
        const SimActor *actor = &sim->actors[i];
        const Uplink *uplink = &actor->uplink;
        const char *why = uplink_why_wait(uplink, actor->policy, actor->weights_ms, sim->now_ms);
        fprintf(stderr,
                "life %d %s, state %d, session %d, %d envs: %" PRIu64 " steps of %" PRIu64
                ", segments: closed %" PRIu64 ", sent %" PRIu64 ", acked %" PRIu64
                ", limit %" PRIu64 "; %s\n",
                actor->life, actor->alive ? "alive" : "dead", (int)uplink->state, actor->session,
                actor->envs, uplink->steps_taken, uplink->step_limit,
                actor->outbox.next_sequence - 1, actor->outbox.sent_sequence,
                actor->outbox.acked_sequence, uplink->send_limit_sequence, why ? why : "steps");
    }
}

void sim_fail(const Sim *sim, const char *file, int line, const char *condition, const char *format,
              ...)
{
    fprintf(stderr, "%s:%d: seed %" PRIu64 ": not so: %s\n", file, line, sim->seed, condition);
    va_list args;
    va_start(args, format);
    say(sim, format, args);
    va_end(args);
    show(sim);
    fprintf(stderr,
            "pacer: total %" PRIu64 ", warm-up %" PRIu64 ", batch %" PRIu64
            ", ratio %g, window %" PRIu64 "; %" PRIu64 " slots, delay %d ms, heartbeat %u ms%s\n",
            sim->pacer.total_env_steps, sim->pacer.warmup_env_steps, sim->pacer.batch,
            sim->pacer.ratio, sim->pacer.window_env_steps, sim->slots, sim->delay_ms_max,
            sim->fleet_config.welcome.heartbeat_interval_ms, sim->sync ? ", lockstep" : "");
    fprintf(stderr, "again: sim.fleet 1 %" PRIu64 " talk\n", sim->seed);
    CHECK(false);
    __builtin_unreachable();
}

/* --- One run -----------------------------------------------------------------------------------
 */

static void draw_pacer(Sim *sim)
{
    static const double ratios[] = {0, 0.001, 0.3, 0.5, 1, 1, 1, 2};
    SimRng *rng = &sim->rng;
    sim->pacer = (Pacer){
        .total_env_steps = (uint64_t)sim_range(rng, 1, 1500),
        .warmup_env_steps = (uint64_t)sim_range(rng, 0, 200),
        .batch = (uint64_t)sim_range(rng, 1, 300),
        .ratio = ratios[sim_range(rng, 0, 7)],
        .window_env_steps = (uint64_t)(sim_chance(rng, 0.7) ? sim_range(rng, 1, 300) : 0),
    };
}

static void draw_network(Sim *sim)
{
    SimRng *rng = &sim->rng;
    bool calm = sim_chance(rng, 0.1);
    sim->faults_until_ms = calm ? 0 : sim_range(rng, 1000, 20000);
    sim->delay_ms_max = sim_range(rng, 0, 1) ? sim_range(rng, 0, 20) : sim_range(rng, 0, 200);
    sim->slow_chance = sim_range(rng, 0, 1) ? 0.002 : 0;
    sim->twice_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->lost_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->full_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->fault_chance = sim_range(rng, 0, 1) ? 0.003 : 0.02;
}

static void draw_fleet(Sim *sim)
{
    SimRng *rng = &sim->rng;
    sim->num_actors = sim_range(rng, 1, SIM_ACTORS_MAX);
    sim->sync = sim->pacer.ratio > 0 && sim_chance(rng, 0.2); /* else config_check refuses */
    sim->slots = (uint64_t)(sim_range(rng, 0, 2) ? sim_range(rng, 1, 8) : SIM_SLOTS_MAX);
    sim->ingest_max = sim_range(rng, 1, 8);
    sim->update_max = sim_range(rng, 2, 60);
    sim->episode_max = sim_range(rng, 0, 3) ? sim_range(rng, 1, 50) : 1;
    sim->drop_chance = sim_range(rng, 0, 1) ? 0.02 : 0;
    sim->spec =
        (Spec){.name = "sim", .obs_dim = 1, .act_dim = 1, .action_low = {-1}, .action_high = {1}};
    sim->fleet_config = (FleetConfig){
        .welcome = {.heartbeat_interval_ms =
                        (uint32_t)(sim_range(rng, 100, 1000) + 2 * sim->delay_ms_max),
                    .segment_steps = (uint32_t)sim_range(rng, 1, SIM_STEPS_MAX),
                    .segment_flush_ms = (uint32_t)sim_range(rng, 10, 1000),
                    .publish_interval_ms = 20,
                    .policy_age_s_max = (uint32_t)sim_range(rng, 0, 3),
                    .sync = sim->sync},
        /* Often too few: then some actors are turned away until others leave. */
        .peers_max = (uint32_t)(sim_range(rng, 0, 1) ? sim_range(rng, 1, SIM_ACTORS_MAX)
                                                     : 2 * SIM_ACTORS_MAX),
        .sessions_max = SIM_SESSIONS_MAX,
        .session_retention_ms = 3600000,
        .obs_dim_max = 8,
        .act_dim_max = 8,
        .actors_awaited = 1,
    };
}

static void strike_actor(Sim *sim, int i)
{
    SimRng *rng = &sim->rng;
    SimActor *actor = &sim->actors[i];
    int64_t until_ms = sim->now_ms + sim_range(rng, 50, 9000);
    if (!actor->alive)
        return;
    switch (sim_range(rng, 0, 6)) {
    case 0:
        sim_say(sim, "life %d crashes", actor->life);
        actor_crash(sim, i);
        break;
    case 1:
        sim_say(sim, "life %d freezes", actor->life);
        actor->frozen_ms = until_ms;
        break;
    case 2:
        sim_say(sim, "life %d is cut off", actor->life);
        actor->up_blocked_ms = until_ms;
        actor->down_blocked_ms = until_ms;
        break;
    case 3:
        actor->up_blocked_ms = until_ms;
        break;
    case 4:
        actor->down_blocked_ms = until_ms;
        break;
    default:
        sim_say(sim, "the connection of life %d breaks", actor->life);
        if (actor->connection)
            sim_break(sim, actor->connection, false);
        break;
    }
}

static void strike(Sim *sim)
{
    SimRng *rng = &sim->rng;
    if (sim->now_ms >= sim->faults_until_ms || !sim_chance(rng, sim->fault_chance))
        return;
    if (!sim_chance(rng, 0.15)) {
        strike_actor(sim, sim_range(rng, 0, sim->num_actors - 1));
    } else if (sim->learner.alive && !sim->learner.bye_said) {
        if (sim_chance(rng, 0.7))
            learner_crash(sim);
        else
            sim->learner.frozen_ms = sim->now_ms + sim_range(rng, 50, 9000);
    }
}

static bool is_over(const Sim *sim)
{
    if (!sim->learner.alive || !sim->learner.bye_said)
        return false;
    for (int i = 0; i < sim->num_actors; i++) {
        if (!sim->actors[i].alive || sim->actors[i].uplink.state != UPLINK_FINISHED)
            return false;
    }
    return true;
}

/* Once nothing fails any more, something must move all the time, and the run must end. */
static void check_progress(Sim *sim)
{
    const SimLearner *learner = &sim->learner;
    uint64_t progress = learner->env_steps + (sim->pacer.ratio > 0 ? learner->updates : 0);
    for (int i = 0; i < sim->num_actors; i++)
        progress += sim->actors[i].uplink.state == UPLINK_FINISHED;
    if (progress != sim->progress || sim->now_ms < sim->faults_until_ms)
        sim->progress_ms = sim->now_ms;
    sim->progress = progress;
    sim_check(sim, sim->now_ms - sim->progress_ms < STANDSTILL_MS, "nothing moves any more");
    sim_check(sim, sim->now_ms < LONGEST_MS, "the run does not end");
}

static void run(uint64_t seed)
{
    static Sim sim;
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.rng.state = seed * 0x2545f4914f6cdd1d;
    draw_pacer(&sim);
    draw_network(&sim);
    draw_fleet(&sim);
    sim.now_ms = 1;
    learner_begin(&sim);
    for (int i = 0; i < sim.num_actors; i++)
        sim.actors[i].begins_ms = sim_range(&sim.rng, 0, 3000);
    for (; !is_over(&sim); sim.now_ms += SIM_TICK_MS) {
        strike(&sim);
        learner_work(&sim);
        for (int i = 0; i < sim.num_actors; i++)
            actor_work(&sim, i);
        check_progress(&sim);
    }
    for (int i = 0; i < sim.num_actors; i++)
        actor_crash(&sim, i);
    learner_end(&sim);
    sim_net_end(&sim);
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : getenv("POLYAK_SIM_RUNS");
    uint64_t runs = wanted ? strtoull(wanted, NULL, 10) : RUNS;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    sim_talks = argc > 3;
    for (uint64_t seed = first; seed < first + runs; seed++)
        run(seed);
    printf("%" PRIu64 " fleets from seed %" PRIu64 "\n", runs, first);
    return 0;
}
