/* polyak bench update: how long one DDPG update takes, on batches of random numbers. */
#include <stdio.h>

#include "cli/bench/bench.h"
#include "common/clock.h"
#include "common/cpu.h"
#include "common/fpu.h"
#include "common/rng.h"
#include "learner/agent/ddpg.h"
#include "learner/agent/openblas.h"

enum { NUM_BATCHES = 8, WARMUP_UPDATES = 20 };

static void fill_batch(Batch *batch, Rng *rng)
{
    int columns = batch->obs_dim + batch->act_dim;
    float *obs_action = batch->obs_action;
    float *next = batch->next_obs_action;
    for (int row = 0; row < batch->rows; row++, obs_action += columns, next += columns) {
        for (int i = 0; i < columns; i++) {
            bool is_action = i >= batch->obs_dim;
            obs_action[i] = (float)(is_action ? 2 * rng_uniform(rng) - 1 : rng_normal(rng));
            next[i] = is_action ? 0 : (float)rng_normal(rng);
        }
        batch->reward[row] = (float)rng_normal(rng);
        batch->bootstrap[row] = rng_uniform(rng) < 0.01 ? 0.0F : 1.0F;
    }
}

static double num_weights(const Mlp *mlp)
{
    double weights = 0;
    for (int layer = 0; layer < mlp->num_layers; layer++)
        weights += (double)mlp->size[layer] * mlp->size[layer + 1];
    return weights;
}

/* Floating-point operations of the matrix products of one update: what the algorithm needs, which
 * leaves out gradients of inputs that nobody asks for. */
static double update_flops(const Mlp *actor, const Mlp *critic, int obs_dim, int batch)
{
    double actor_first = (double)actor->size[0] * actor->size[1];
    double critic_first = (double)critic->size[0] * critic->size[1];
    double critic_first_obs = (double)obs_dim * critic->size[1];
    double a = num_weights(actor), c = num_weights(critic);
    double targets = a + c;
    double critic_step = c + c + (c - critic_first);
    double actor_step = a + c + (c - critic_first_obs) + a + (a - actor_first);
    return 2.0 * batch * (targets + critic_step + actor_step);
}

static int measure(Ddpg *ddpg, Batch *batches, double seconds, BenchFigure *ms, Err *err)
{
    DdpgStats stats;
    int code = 0;
    uint64_t n = 0;
    for (int i = 0; i < WARMUP_UPDATES && !code; i++)
        code = ddpg_update(ddpg, &batches[n++ % NUM_BATCHES], &stats);
    for (int repeat = 0; repeat < BENCH_REPEATS; repeat++) {
        int64_t began_ns = clock_ns(), now_ns = began_ns;
        int64_t end_ns = began_ns + (int64_t)(seconds * 1e9 / BENCH_REPEATS);
        uint64_t updates = 0;
        while (!code && (now_ns < end_ns || updates == 0)) {
            code = ddpg_update(ddpg, &batches[n++ % NUM_BATCHES], &stats);
            updates++;
            now_ns = clock_ns();
        }
        ms->value[repeat] = (double)(now_ns - began_ns) / 1e6 / (double)updates;
    }
    return code ? err_set(err, code, "an update on random numbers diverged") : 0;
}

static int make_batches(const Config *config, Batch *batches, Err *err)
{
    Rng rng = rng_stream((uint64_t)config->seed, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < NUM_BATCHES; i++) {
        if (batch_new(&batches[i], (int)config->batch, (int)config->obs_dim,
                      (int)config->act_dim) != 0)
            return err_set(err, ERR_NOMEM, "not enough memory for the batches");
        fill_batch(&batches[i], &rng);
    }
    return 0;
}

static int report(const Config *config, int threads, const DdpgState *state, const BenchFigure *ms,
                  Err *err)
{
    double flops = update_flops(&state->actor.mlp, &state->critic.mlp, (int)config->obs_dim,
                                (int)config->batch);
    BenchFigure rate, gflops;
    for (int i = 0; i < BENCH_REPEATS; i++) {
        rate.value[i] = 1000 / ms->value[i];
        gflops.value[i] = flops / ms->value[i] / 1e6;
    }
    BenchReport out;
    bench_report_begin(&out, config, "update",
                       "whole DDPG updates on prepared batches of random numbers; drawing batches "
                       "is not in it. GFLOP/s counts the matrix products that an update needs");
    bench_report_setting(&out, "obs_dim", config->obs_dim);
    bench_report_setting(&out, "act_dim", config->act_dim);
    bench_report_setting(&out, "batch", config->batch);
    for (int i = 0; i < config->hidden.count; i++) {
        char key[32];
        snprintf(key, sizeof key, "hidden_%d", i + 1);
        bench_report_setting(&out, key, config->hidden.size[i]);
    }
    bench_report_setting(&out, "threads", threads);
    bench_report_figure(&out, "ms_per_update", "ms", ms);
    bench_report_figure(&out, "updates_per_s", "1/s", &rate);
    bench_report_figure(&out, "gflop_per_s", "GFLOP/s", &gflops);
    return bench_report_end(&out, err);
}

int bench_update(const Config *config, Err *err)
{
    /* The learner's defaults; learning rates do not change the work. */
    DdpgConfig shape = {
        .obs_dim = (int)config->obs_dim,
        .act_dim = (int)config->act_dim,
        .num_hidden = config->hidden.count,
        .batch = (int)config->batch,
        .gamma = config->gamma,
        .tau = config->tau,
        .actor_lr = config->actor_lr,
        .critic_lr = config->critic_lr,
        .critic_weight_decay = config->critic_weight_decay,
        .threads = config->threads > 0 ? (int)config->threads : cpu_usable_count(),
        .seed = (uint64_t)config->seed,
    };
    for (int i = 0; i < config->hidden.count; i++)
        shape.hidden[i] = config->hidden.size[i];
    Ddpg *ddpg = NULL;
    Batch batches[NUM_BATCHES] = {0};
    BenchFigure ms;
    fpu_flush_denormals();
    int code = openblas_install(err);
    if (!code)
        code = ddpg_new(&shape, &ddpg, err);
    if (!code)
        code = make_batches(config, batches, err);
    if (!code)
        code = measure(ddpg, batches, config->seconds, &ms, err);
    if (!code)
        code = report(config, shape.threads, ddpg_state(ddpg), &ms, err);
    for (int i = 0; i < NUM_BATCHES; i++)
        batch_destroy(&batches[i]);
    ddpg_destroy(&ddpg);
    return code;
}
