/* polyak bench env: steps of one instance of an environment with random actions. */
#include "actor/envs/env_host.h"
#include "cli/bench/bench.h"
#include "common/clock.h"
#include "common/rng.h"

enum { STEPS_PER_LOOK = 256 };

typedef struct Walk {
    Env *env;
    const Spec *spec;
    Rng rng;
    bool in_episode;
    float obs[SPEC_OBS_DIM_MAX];
    float action[SPEC_ACT_DIM_MAX];
} Walk;

static int step(Walk *walk, Err *err)
{
    EnvOutcome outcome;
    int code = 0;
    if (!walk->in_episode)
        code = env_reset(walk->env, rng_u64(&walk->rng), walk->obs, err);
    if (code)
        return code;
    for (int i = 0; i < walk->spec->act_dim; i++)
        walk->action[i] = (float)(2 * rng_uniform(&walk->rng) - 1);
    code = env_step(walk->env, walk->action, walk->obs, &outcome, err);
    /* What diverges starts again, as in the rollout. */
    walk->in_episode = code == 0 && outcome.end == SEGMENT_CONTINUES;
    return code == ERR_DIVERGED ? 0 : code;
}

static int measure(Walk *walk, double seconds, BenchFigure *rate, Err *err)
{
    for (int repeat = 0; repeat < BENCH_REPEATS; repeat++) {
        int64_t began_ns = clock_ns(), now_ns;
        uint64_t steps = 0;
        do {
            for (int i = 0; i < STEPS_PER_LOOK; i++, steps++) {
                int code = step(walk, err);
                if (code)
                    return code;
            }
            now_ns = clock_ns();
        } while ((double)(now_ns - began_ns) < seconds * 1e9 / BENCH_REPEATS);
        rate->value[repeat] = (double)steps / ((double)(now_ns - began_ns) / 1e9);
    }
    return 0;
}

int bench_env(const Config *config, Err *err)
{
    if (config->env[0] == '\0')
        return err_set(err, ERR_USAGE, "--env is missing: the environment to measure");
    EnvKind *kind = NULL;
    EnvSetup setup = env_setup(config, 1);
    int code = env_kind_open(&setup, &kind, err);
    if (code)
        return code;
    static Walk walk; /* too large for a stack */
    BenchFigure rate;
    walk.spec = env_kind_spec(kind);
    walk.rng = rng_stream((uint64_t)config->seed, RNG_TEST, 2, 0, 0);
    code = env_new(kind, &walk.env, err);
    if (!code)
        code = measure(&walk, config->seconds, &rate, err);
    if (!code) {
        BenchReport out;
        bench_report_begin(&out, config, "env",
                           "steps of one instance with uniform random actions, resets and the "
                           "drawing of actions included");
        bench_report_setting(&out, "obs_dim", walk.spec->obs_dim);
        bench_report_setting(&out, "act_dim", walk.spec->act_dim);
        bench_report_figure(&out, "steps_per_s", "steps/s", &rate);
        code = bench_report_end(&out, err);
    }
    env_destroy(&walk.env);
    env_kind_close(&kind);
    return code;
}
