/* polyak bench env: steps of an environment with random actions and nothing else, beside those of a
 * whole actor with the same environments, that acts with a policy and noise, and sends what it saw.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor/envs/env_host.h"
#include "cli/bench/bench.h"
#include "cli/bench/bench_env_actor.h"
#include "cli/bench/bench_process.h"
#include "common/clock.h"
#include "common/config/config_table.h"
#include "common/cpu.h"
#include "common/rng.h"

enum { LOOK_NS = 100000, HIDDEN = 256 };

/* --- The environments alone --------------------------------------------------------------------
 */

typedef struct Lane {
    Env *env;
    bool in_episode; /* a step comes next, else a reset */
    bool stepping;   /* what is in flight is a step */
} Lane;

typedef struct Walk {
    const Spec *spec;
    Rng rng;
    int num_lanes;
    Lane *lanes;
    float *obs;                     /* (obs_dim) */
    float action[SPEC_ACT_DIM_MAX]; /* (act_dim) */
} Walk;

static void walk_destroy(Walk *walk)
{
    for (int i = 0; walk->lanes && i < walk->num_lanes; i++)
        env_destroy(&walk->lanes[i].env);
    free(walk->lanes);
    free(walk->obs);
}

static int walk_make(Walk *walk, EnvKind *kind, const Config *config, Err *err)
{
    walk->spec = env_kind_spec(kind);
    walk->rng = rng_stream((uint64_t)config->seed, RNG_TEST, 2, 0, 0);
    walk->num_lanes = (int)config->envs_per_actor;
    walk->lanes = calloc((size_t)walk->num_lanes, sizeof *walk->lanes);
    walk->obs = calloc((size_t)walk->spec->obs_dim, sizeof *walk->obs);
    int code = walk->lanes && walk->obs
                   ? ERR_OK
                   : err_set(err, ERR_NOMEM, "not enough memory for the environments");
    for (int i = 0; i < walk->num_lanes && !code; i++)
        code = env_new(kind, &walk->lanes[i].env, err);
    return code;
}

static int lane_begin(Walk *walk, Lane *lane, Err *err)
{
    lane->stepping = lane->in_episode;
    if (!lane->in_episode)
        return env_reset_begin(lane->env, rng_u64(&walk->rng), err);
    for (int i = 0; i < walk->spec->act_dim; i++)
        walk->action[i] = (float)(2 * rng_uniform(&walk->rng) - 1);
    return env_step_begin(lane->env, walk->action, err);
}

/* What diverges or is lost starts again, as in the rollout. */
static int forgive(int code)
{
    return code == ERR_DIVERGED || code == ERR_LOST ? ERR_OK : code;
}

/* One reset or step of all: begun in all before the first is waited for. *steps grows. */
static int walk_round(Walk *walk, uint64_t *steps, Err *err)
{
    int code = ERR_OK;
    for (int i = 0; i < walk->num_lanes && !code; i++) {
        code = lane_begin(walk, &walk->lanes[i], err);
        walk->lanes[i].in_episode = code == ERR_OK;
        code = forgive(code);
    }
    for (int i = 0; i < walk->num_lanes && !code; i++) {
        Lane *lane = &walk->lanes[i];
        EnvOutcome outcome = {.end = SEGMENT_CONTINUES};
        if (!env_in_flight(lane->env))
            continue;
        code = env_finish(lane->env, -1, walk->obs, &outcome, err);
        lane->in_episode = code == ERR_OK && outcome.end == SEGMENT_CONTINUES;
        *steps += code == ERR_OK && lane->stepping;
        code = forgive(code);
    }
    return code;
}

static int walk_measure(Walk *walk, double seconds, BenchRate *rate, Err *err)
{
    double cpu_s = bench_cpu_family_s(getpid());
    int64_t began_ns = clock_ns(), looked_ns = began_ns, now_ns;
    uint64_t steps = 0;
    int rounds_max = 1; /* between two looks at the clock */
    int code = ERR_OK;
    do {
        int rounds = 0;
        do { /* a look at the clock may take longer than a step */
            code = walk_round(walk, &steps, err);
        } while (!code && ++rounds < rounds_max);
        now_ns = clock_ns();
        if (now_ns - looked_ns < LOOK_NS)
            rounds_max *= 2;
        looked_ns = now_ns;
    } while (!code && (double)(now_ns - began_ns) < seconds * 1e9);
    rate->steps_per_s = (double)steps / ((double)(now_ns - began_ns) / 1e9);
    rate->steps_per_cpu_s = (double)steps / (bench_cpu_family_s(getpid()) - cpu_s);
    return code ? code : bench_check_signals(err);
}

/* --- Both --------------------------------------------------------------------------------------
 */

typedef struct Figures {
    BenchFigure bare, actor, ratio; /* steps/s */
    BenchFigure bare_cpu, actor_cpu, ratio_cpu;
} Figures;

/* One after the other, again and again, so that a busy machine is busy for both. */
static int measure_pairs(Walk *walk, BenchActor *actor, double seconds, Figures *figures, Err *err)
{
    BenchRate bare, whole;
    int code = walk_measure(walk, seconds / 10, &bare, err); /* to warm up */
    for (int i = 0; i < BENCH_REPEATS && !code; i++) {
        code = walk_measure(walk, seconds, &bare, err);
        if (!code)
            code = bench_actor_measure(actor, seconds, &whole, err);
        if (code)
            break;
        figures->bare.value[i] = bare.steps_per_s;
        figures->actor.value[i] = whole.steps_per_s;
        figures->ratio.value[i] = whole.steps_per_s / bare.steps_per_s;
        figures->bare_cpu.value[i] = bare.steps_per_cpu_s;
        figures->actor_cpu.value[i] = whole.steps_per_cpu_s;
        figures->ratio_cpu.value[i] = whole.steps_per_cpu_s / bare.steps_per_cpu_s;
    }
    return code;
}

static int report(const Config *config, const Spec *spec, const Figures *figures, Err *err)
{
    BenchReport out;
    bench_report_begin(
        &out, config, "env",
        "steps of the environments alone with uniform random actions, resets included, in one "
        "thread; and those of a whole polyak-actor with as many, with a policy, Gaussian noise of "
        "sigma 1, and "
        "a learner that acknowledges at once over loopback TCP. CPU time is that of the process "
        "that steps, and of a worker that it has; the learner is not in it");
    bench_report_text(&out, "env", spec->name);
    bench_report_setting(&out, "obs_dim", spec->obs_dim);
    bench_report_setting(&out, "act_dim", spec->act_dim);
    bench_report_setting(&out, "envs_per_actor", config->envs_per_actor);
    bench_report_hidden(&out, config);
    bench_report_setting(&out, "cores", cpu_usable_count());
    bench_report_figure(&out, "steps_per_s", "steps/s, alone", &figures->bare);
    bench_report_figure(&out, "actor_steps_per_s", "steps/s, whole actor", &figures->actor);
    bench_report_figure(&out, "ratio", "of alone", &figures->ratio);
    bench_report_figure(&out, "steps_per_cpu_s", "steps/s of CPU, alone", &figures->bare_cpu);
    bench_report_figure(&out, "actor_steps_per_cpu_s", "steps/s of CPU, whole actor",
                        &figures->actor_cpu);
    bench_report_figure(&out, "ratio_per_cpu_s", "of alone", &figures->ratio_cpu);
    return bench_report_end(&out, err);
}

static int check(const Config *config, Err *err)
{
    if (config->env[0] == '\0')
        return err_set(err, ERR_USAGE, "--env is missing: the environment to measure");
    if (config->mode != BENCH_MODE_PLAIN)
        return err_set(err, ERR_USAGE, "--mode belongs to bench ingest and broadcast");
    return ERR_OK;
}

int bench_env(const Config *config, Err *err)
{
    static Config own;
    static BenchActor actor;
    EnvKind *kind = NULL;
    Walk walk = {0};
    Figures figures;
    int code = check(config, err);
    if (code)
        return code;
    own = *config;
    if (own.source[config_key_number(config_key_find("hidden"))] == CONFIG_DEFAULT)
        own.hidden = (ConfigSizes){.count = 2, .size = {HIDDEN, HIDDEN}};
    bench_catch_signals();
    EnvSetup setup = env_setup(&own, (int)own.envs_per_actor);
    code = bench_actor_prepare(&actor, &own, err);
    if (!code)
        code = env_kind_open(&setup, &kind, err);
    if (!code)
        code = walk_make(&walk, kind, &own, err);
    if (!code)
        code = bench_actor_start(&actor, err);
    if (!code)
        code = measure_pairs(&walk, &actor, own.seconds / BENCH_REPEATS, &figures, err);
    bench_actor_end(&actor);
    if (!code)
        code = report(&own, walk.spec, &figures, err);
    walk_destroy(&walk);
    env_kind_close(&kind);
    return code;
}
