/* polyak bench act: what an actor computes between two steps of its environments: one forward pass
 * of the policy for all of them, and the noise on each action. */
#include <stdlib.h>

#include "actor/explore.h"
#include "actor/policy.h"
#include "cli/bench/bench.h"
#include "common/clock.h"
#include "common/fpu.h"
#include "common/kernels.h"
#include "common/rng.h"

enum { CALLS_PER_LOOK = 64 };

static int make_policy(const Config *config, Policy *policy, Err *err)
{
    Weights weights = {.version = {.epoch = 1}};
    Spec spec = {.obs_dim = (int)config->obs_dim, .act_dim = (int)config->act_dim};
    int code = mlp_shape(&weights.mlp, spec.obs_dim, config->hidden.size, config->hidden.count,
                         spec.act_dim, true, err);
    if (code)
        return code;
    float *params = calloc(mlp_num_params(&weights.mlp), sizeof *params);
    if (!params)
        return err_set(err, ERR_NOMEM, "not enough memory for the policy");
    Rng rng = rng_stream((uint64_t)config->seed, RNG_TEST, 3, 0, 0);
    mlp_init_params(&weights.mlp, params, &rng);
    weights.params = params;
    code = policy_set(policy, &weights, &spec, err);
    free(params);
    return code;
}

/* Microseconds of one forward pass. */
static double time_forward(Policy *policy, const float *obs, int rows, double seconds)
{
    int64_t began_ns = clock_ns(), now_ns;
    double calls = 0;
    do {
        for (int i = 0; i < CALLS_PER_LOOK; i++)
            policy_act(policy, obs, rows);
        calls += CALLS_PER_LOOK;
        now_ns = clock_ns();
    } while ((double)(now_ns - began_ns) < seconds * 1e9);
    return (double)(now_ns - began_ns) / 1e3 / calls;
}

/* Microseconds of the noise on the actions of all rows. */
static double time_noise(Explore *explore, const ExploreConfig *how, float *action, int rows,
                         int act_dim, double seconds)
{
    int64_t began_ns = clock_ns(), now_ns;
    double calls = 0;
    do {
        for (int i = 0; i < CALLS_PER_LOOK; i++)
            for (int row = 0; row < rows; row++)
                explore_apply(explore, how, action + (ptrdiff_t)row * act_dim, act_dim);
        calls += CALLS_PER_LOOK;
        now_ns = clock_ns();
    } while ((double)(now_ns - began_ns) < seconds * 1e9);
    return (double)(now_ns - began_ns) / 1e3 / calls;
}

static int report(const Config *config, const BenchFigure *forward, const BenchFigure *noise,
                  Err *err)
{
    BenchReport out;
    bench_report_begin(&out, config, "act",
                       "one forward pass of the policy for all environments of an actor, and "
                       "Gaussian noise on its actions; caches are warm");
    bench_report_setting(&out, "obs_dim", config->obs_dim);
    bench_report_setting(&out, "act_dim", config->act_dim);
    bench_report_setting(&out, "envs_per_actor", config->envs_per_actor);
    bench_report_hidden(&out, config);
    bench_report_text(&out, "isa", kernels()->isa);
    bench_report_figure(&out, "us_per_forward", "us", forward);
    bench_report_figure(&out, "us_per_noise", "us", noise);
    return bench_report_end(&out, err);
}

int bench_act(const Config *config, Err *err)
{
    int rows = (int)config->envs_per_actor;
    size_t num_obs = (size_t)rows * (size_t)config->obs_dim;
    size_t num_actions = (size_t)rows * (size_t)config->act_dim;
    const ExploreConfig how = {.noise = NOISE_GAUSSIAN, .sigma = 0.1};
    static Explore explore;
    Rng rng = rng_stream((uint64_t)config->seed, RNG_TEST, 4, 0, 0);
    Policy policy;
    BenchFigure forward, noise;
    float *obs = calloc(num_obs, sizeof *obs);
    float *action = calloc(num_actions, sizeof *action);
    int code = obs && action ? kernels_init(err)
                             : err_set(err, ERR_NOMEM, "not enough memory for the observations");
    fpu_flush_denormals();
    policy_init(&policy, rows);
    if (!code)
        code = make_policy(config, &policy, err);
    if (!code) {
        for (size_t i = 0; i < num_obs; i++)
            obs[i] = (float)rng_normal(&rng);
        explore_reset(&explore, rng, (int)config->act_dim);
        time_forward(&policy, obs, rows, config->seconds / 10); /* to warm up */
        for (int i = 0; i < BENCH_REPEATS; i++) {
            double seconds = config->seconds / 2 / BENCH_REPEATS;
            forward.value[i] = time_forward(&policy, obs, rows, seconds);
            noise.value[i] =
                time_noise(&explore, &how, action, rows, (int)config->act_dim, seconds);
        }
        code = report(config, &forward, &noise, err);
    }
    policy_destroy(&policy);
    free(obs);
    free(action);
    return code;
}
