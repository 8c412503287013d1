/* Runs simulated fleets, each from its own seed.
 *
 *   sim.fleet                       some; how many POLYAK_SIM_RUNS says too
 *   sim.fleet --seeds 10000         more, from --first 1 on
 *   sim.fleet --shard 1/4           of these the second quarter, as ctest does
 *   sim.fleet --seed 17 --trace     one again, with all that happens
 *   sim.fleet --tally               says how often what happened
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum {
    RUNS = 2000,
    STANDSTILL_MS = 60000, /* without a step or an update, once nothing fails any more */
};

bool sim_talks;
SimTally sim_tally;
static Sim sim; /* large */

/* --- Words -------------------------------------------------------------------------------------
 */

static void say(const Sim *of, const char *format, va_list args)
{
    fprintf(stderr, "%8.2f s  ", (double)of->now_ms / 1000);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void sim_say(const Sim *of, const char *format, ...)
{
    if (!sim_talks)
        return;
    va_list args;
    va_start(args, format);
    say(of, format, args);
    va_end(args);
}

/* What the learner's own code logs belongs to the trace: the linker brings it here (--wrap). */
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*,readability-identifier-naming)
void __wrap_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void __wrap_log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

void __wrap_log_info(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (sim_talks)
        say(&sim, format, args);
    va_end(args);
}

void __wrap_log_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (sim_talks)
        say(&sim, format, args);
    va_end(args);
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl*,readability-identifier-naming)

static void show_learner(const Sim *of)
{
    const SimLearner *learner = &of->learner;
    const SimTrainer *trainer = &learner->trainer;
    fprintf(stderr, "learner %s%s, epoch %u: %llu steps and %llu updates done, %llu steps accepted",
            learner->alive ? "alive" : "dead", learner->open_ms ? " and reading" : "",
            learner->epoch, (Ull)trainer->env_steps, (Ull)trainer->updates, (Ull)learner->accepted);
    if (learner->has_ring)
        fprintf(stderr, ", %llu of %llu places in use", (Ull)segment_ring_used(&learner->ring),
                (Ull)of->slots);
    if (learner->log.open)
        fprintf(stderr, "; log: position %llu, synced %llu, %llu skipped%s%s",
                (Ull)learner->log.reported.position, (Ull)learner->log.reported.synced_position,
                (Ull)learner->log.reported.unlogged,
                learner->log.reported.durable ? "" : ", failing: ", learner->log.reported.failing);
    fputc('\n', stderr);
}

/* What everybody is at, for whoever looks into a failure. */
static void show(const Sim *of)
{
    show_learner(of);
    for (int i = 0; i < of->num_actors; i++) {
        const SimActor *actor = &of->actors[i];
        const Uplink *uplink = &actor->uplink;
        const char *why = uplink_why_wait(uplink, actor->policy, actor->weights_ms, of->now_ms);
        fprintf(stderr,
                "life %d %s, state %d, session %d, %d envs: %llu steps of %llu, segments: closed "
                "%llu, sent %llu, acked %llu, limit %llu; %s\n",
                actor->life, actor->alive ? "alive" : "dead", (int)uplink->state, actor->session,
                actor->envs, (Ull)uplink->steps_taken, (Ull)uplink->step_limit,
                (Ull)actor->outbox.next_sequence - 1, (Ull)actor->outbox.sent_sequence,
                (Ull)actor->outbox.acked_sequence, (Ull)uplink->send_limit_sequence,
                why ? why : "steps");
    }
    const Pacer *pacer = &of->pacer;
    fprintf(stderr,
            "pacer: total %llu, warm-up %llu, batch %llu, ratio %g, window %llu; %llu slots, delay "
            "%d ms, heartbeat %u ms%s; peers %u, sessions %u for %lld ms; log %s, on error %s\n",
            (Ull)pacer->total_env_steps, (Ull)pacer->warmup_env_steps, (Ull)pacer->batch,
            pacer->ratio, (Ull)pacer->window_env_steps, (Ull)of->slots, of->delay_ms_max,
            of->fleet_config.welcome.heartbeat_interval_ms, of->sync ? ", lockstep" : "",
            of->fleet_config.peers_max, of->fleet_config.sessions_max,
            (long long)of->fleet_config.session_retention_ms, of->logged ? "on" : "off",
            of->on_error == LOG_ON_ERROR_WAIT ? "wait" : "continue");
}

void sim_fail(const Sim *of, const char *file, int line, const char *condition, const char *format,
              ...)
{
    fprintf(stderr, "%s:%d: seed %llu: not so: %s\n", file, line, (Ull)of->seed, condition);
    va_list args;
    va_start(args, format);
    say(of, format, args);
    va_end(args);
    show(of);
    fprintf(stderr, "again: sim.fleet --seed %llu --trace\n", (Ull)of->seed);
    fflush(stderr);
    abort();
}

static void show_tally(void)
{
    for (int i = 0; i < SIM_NUM_FAULTS; i++)
        printf("%10llu %s\n", (Ull)sim_tally.faults[i], sim_fault_name((SimFault)i));
    printf("%10llu starts from a log, %llu that failed\n", (Ull)sim_tally.restarts,
           (Ull)sim_tally.failed_starts);
    printf("%10llu failures of the log, %llu segments went on without it, %llu files removed\n",
           (Ull)sim_tally.log_failures, (Ull)sim_tally.skipped, (Ull)sim_tally.pruned_files);
    printf("%10llu segments with %llu steps; lost: %llu counted by the fleet, %llu by the log, "
           "%llu by actors\n",
           (Ull)sim_tally.segments, (Ull)sim_tally.steps, (Ull)sim_tally.given_up,
           (Ull)sim_tally.lost_in_log, (Ull)sim_tally.dropped);
    printf("%10llu steps without a learner, %llu ticks with a full spool\n", (Ull)sim_tally.spooled,
           (Ull)sim_tally.full);
    printf("%10llu sessions expired\n", (Ull)sim_tally.expired);
    printf("%10llu messages through relays, %llu through two; %llu found no place; %llu relays "
           "died\n",
           (Ull)sim_tally.relayed, (Ull)sim_tally.stacked, (Ull)sim_tally.relay_full,
           (Ull)sim_tally.relay_deaths);
    printf("%10.1f hours of their time\n", (double)sim_tally.ms / 3600000);
}

/* --- One run -----------------------------------------------------------------------------------
 */

static bool is_over(void)
{
    if (!sim.learner.alive || !sim.learner.bye_said)
        return false;
    for (int i = 0; i < sim.num_actors; i++) {
        if (!sim.actors[i].alive || sim.actors[i].uplink.state != UPLINK_FINISHED)
            return false;
    }
    return true;
}

/* And nobody is left out, where there is a place for a segment of each. */
static void check_turns(void)
{
    for (int i = 0; i < sim.num_actors && sim.slots >= (uint64_t)sim.num_actors; i++) {
        SimActor *actor = &sim.actors[i];
        uint64_t moved = actor->uplink.steps_taken + actor->outbox.acked_sequence +
                         actor->uplink.welcomes * 1000000;
        if (moved != actor->moved || actor->uplink.state != UPLINK_ACTIVE ||
            sim.now_ms < sim.faults_until_ms + SIM_SETTLE_MS)
            actor->moved_ms = sim.now_ms;
        actor->moved = moved;
        sim_check(&sim, sim.now_ms - actor->moved_ms < STANDSTILL_MS, "life %d has no turn",
                  actor->life);
    }
}

/* Once nothing fails any more, something must move all the time, and the run must end. */
static void check_progress(void)
{
    const SimTrainer *trainer = &sim.learner.trainer;
    uint64_t progress = trainer->env_steps + (sim.pacer.ratio > 0 ? trainer->updates : 0);
    for (int i = 0; i < sim.num_actors; i++)
        progress += sim.actors[i].uplink.state == UPLINK_FINISHED;
    if (progress != sim.progress || sim.now_ms < sim.faults_until_ms)
        sim.progress_ms = sim.now_ms;
    sim.progress = progress;
    sim_check(&sim, sim.now_ms - sim.progress_ms < STANDSTILL_MS, "nothing moves any more");
    sim_check(&sim, sim.now_ms < SIM_LONGEST_MS, "the run does not end");
}

static void end_run(void)
{
    sim_tally.ms += (uint64_t)sim.now_ms;
    truth_at_end(&sim);
    for (int i = 0; i < sim.num_actors; i++)
        actor_end(&sim, i);
    learner_end(&sim);
    if (sim.logged)
        recover_at_end(&sim);
    relay_end(&sim);
    sim_net_end(&sim);
    truth_end(&sim);
    memory_disk_destroy(&sim.disk);
}

static void run(uint64_t seed)
{
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.rng.state = seed * 0x2545f4914f6cdd1d;
    sim_draw(&sim);
    sim.now_ms = 1;
    for (int i = 0; i < sim.num_actors; i++)
        sim.actors[i].begins_ms = sim_range(&sim.rng, 0, 3000);
    for (; !is_over(); sim.now_ms += SIM_TICK_MS) {
        sim_strike(&sim);
        learner_work(&sim);
        relay_work(&sim);
        for (int i = 0; i < sim.num_actors; i++)
            actor_work(&sim, i);
        check_progress();
        check_turns();
    }
    end_run();
}

/* --- The command line --------------------------------------------------------------------------
 */

typedef struct Plan {
    uint64_t first;
    uint64_t runs;
    uint64_t shard;
    uint64_t shards;
    bool tally;
} Plan;

static int usage(const char *word)
{
    fprintf(stderr,
            "sim.fleet: not understood: %s; use [--seeds N] [--first SEED] [--shard I/N] "
            "[--seed SEED] [--trace] [--tally]\n",
            word);
    return 2;
}

static bool take_number(const char *text, uint64_t *number)
{
    char *end = NULL;
    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    *number = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool take_shard(const char *text, Plan *plan)
{
    char *end = NULL;
    plan->shard = text ? strtoull(text, &end, 10) : 0;
    return text && *end == '/' && take_number(end + 1, &plan->shards) && plan->shard < plan->shards;
}

/* Takes one word, and its value; 0, or the number of words. */
static int take_word(char **words, Plan *plan)
{
    const char *word = words[0];
    if (strcmp(word, "--trace") == 0) {
        sim_talks = true;
        return 1;
    }
    if (strcmp(word, "--tally") == 0) {
        plan->tally = true;
        return 1;
    }
    bool understood = false;
    if (strcmp(word, "--seeds") == 0)
        understood = take_number(words[1], &plan->runs);
    else if (strcmp(word, "--first") == 0)
        understood = take_number(words[1], &plan->first);
    else if (strcmp(word, "--shard") == 0)
        understood = take_shard(words[1], plan);
    else if (strcmp(word, "--seed") == 0)
        understood = take_number(words[1], &plan->first) && (plan->runs = 1);
    return understood ? 2 : 0;
}

int main(int argc, char **argv)
{
    Plan plan = {.first = 1, .runs = RUNS, .shards = 1};
    if (getenv("POLYAK_SIM_RUNS") && !take_number(getenv("POLYAK_SIM_RUNS"), &plan.runs))
        return usage(getenv("POLYAK_SIM_RUNS"));
    for (int i = 1; i < argc;) {
        int taken = take_word(argv + i, &plan);
        if (taken == 0)
            return usage(argv[i]);
        i += taken;
    }
    uint64_t done = 0;
    for (uint64_t i = plan.shard; i < plan.runs; i += plan.shards, done++)
        run(plan.first + i);
    printf("%llu fleets of seeds %llu to %llu: all as it must be\n", (Ull)done, (Ull)plan.first,
           (Ull)(plan.first + plan.runs - 1));
    if (plan.tally)
        show_tally();
    return 0;
}
