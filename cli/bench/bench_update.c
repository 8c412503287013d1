/* polyak bench update: how long one DDPG update takes, on batches of random numbers. */
#include <math.h>

#include "cli/bench/bench.h"
#include "common/clock.h"
#include "common/cpu.h"
#include "common/fpu.h"
#include "common/log.h"
#include "common/matmul.h"
#include "common/rng.h"
#include "learner/agent/ddpg.h"
#include "learner/agent/team.h"

enum { NUM_BATCHES = 8 };

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

/* --- The peak --------------------------------------------------------------------------------- */

typedef struct Peak {
    size_t rounds;
    float sum[TEAM_WORKERS_MAX]; /* what the workers computed: kept, so that it is computed */
} Peak;

static void peak_rounds(void *arg, int worker, int workers)
{
    (void)workers;
    Peak *peak = arg;
    peak->sum[worker] = kernels()->peak(peak->rounds, 0.75F);
}

/* GFLOP/s of multiply-adds on all threads of a team, for about `seconds`. */
static double measure_peak(Team *team, int threads, double seconds)
{
    static Peak peak;
    peak.rounds = 1 << 16;
    double flops = 2.0 * KERNELS_PEAK_CHAINS * kernels()->lanes * (double)peak.rounds * threads;
    int64_t began_ns = clock_ns(), now_ns;
    double done = 0;
    do {
        team_run(team, peak_rounds, &peak);
        done += flops;
        now_ns = clock_ns();
    } while ((double)(now_ns - began_ns) < seconds * 1e9);
    return done / (double)(now_ns - began_ns);
}

/* --- The update ------------------------------------------------------------------------------- */

/* An agent, a team like its own for the peak, and what was measured of them. */
typedef struct Subject {
    int threads;
    Ddpg *ddpg;
    Team *team;
    BenchFigure us;
    BenchFigure gflops;
    BenchFigure peak_gflops;
} Subject;

static int subject_new(Subject *subject, const DdpgConfig *shape, int threads, Err *err)
{
    DdpgConfig config = *shape;
    config.threads = threads;
    subject->threads = threads;
    int code = ddpg_new(&config, &subject->ddpg, err);
    return code ? code : team_new(threads, &subject->team, err);
}

static void subject_destroy(Subject *subject)
{
    ddpg_destroy(&subject->ddpg);
    team_destroy(&subject->team);
}

static int run_updates(Subject *subject, Batch *batches, double seconds, double *us)
{
    DdpgStats stats;
    int64_t began_ns = clock_ns(), now_ns;
    uint64_t updates = 0;
    do {
        int code = ddpg_update(subject->ddpg, &batches[updates % NUM_BATCHES], &stats);
        if (code)
            return code;
        updates++;
        now_ns = clock_ns();
    } while ((double)(now_ns - began_ns) < seconds * 1e9);
    *us = (double)(now_ns - began_ns) / 1e3 / (double)updates;
    return 0;
}

/* The peak is taken before and after the updates of a repeat: the machine's clock and its other
 * users change from one moment to the next. */
static int measure_repeat(Subject *subject, Batch *batches, double seconds, int repeat)
{
    const DdpgState *state = ddpg_state(subject->ddpg);
    double flops =
        update_flops(&state->actor.mlp, &state->critic.mlp, batches->obs_dim, batches->rows);
    double before = measure_peak(subject->team, subject->threads, seconds / 8);
    double us = 0;
    int code = run_updates(subject, batches, seconds * 3 / 4, &us);
    double after = measure_peak(subject->team, subject->threads, seconds / 8);
    subject->us.value[repeat] = us;
    subject->gflops.value[repeat] = flops / us / 1e3;
    subject->peak_gflops.value[repeat] = fmax(before, after);
    return code;
}

/* The peak is what the machine can do: the best of all repeats. In one of them another program may
 * have had the core. */
static double best_peak(const Subject *subject)
{
    double best = 0;
    for (int i = 0; i < BENCH_REPEATS; i++)
        best = fmax(best, subject->peak_gflops.value[i]);
    return best;
}

/* The subjects take turns. */
static int measure(Subject *subjects, int num_subjects, Batch *batches, double seconds, Err *err)
{
    double us = 0;
    int code = 0;
    for (int i = 0; i < num_subjects && !code; i++)
        code = run_updates(&subjects[i], batches, seconds / 50, &us);
    for (int repeat = 0; repeat < BENCH_REPEATS; repeat++)
        for (int i = 0; i < num_subjects && !code; i++)
            code = measure_repeat(&subjects[i], batches, seconds / BENCH_REPEATS / num_subjects,
                                  repeat);
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

/* What more threads gain, beside what the peak gains from them. */
static void report_scaling(BenchReport *out, const Subject *one, const Subject *all)
{
    BenchFigure speedup, peak_speedup, share;
    for (int i = 0; i < BENCH_REPEATS; i++) {
        speedup.value[i] = one->us.value[i] / all->us.value[i];
        peak_speedup.value[i] = best_peak(all) / best_peak(one);
        share.value[i] = speedup.value[i] / peak_speedup.value[i];
    }
    bench_report_figure(out, "us_per_update_one_thread", "us", &one->us);
    bench_report_figure(out, "speedup", "times one thread", &speedup);
    bench_report_figure(out, "peak_speedup", "times one thread", &peak_speedup);
    bench_report_figure(out, "speedup_of_peak_speedup", "", &share);
}

static const char *library_name(const MatmulLibrary *library)
{
    return library ? library->name : "kernels";
}

static int report(const Config *config, const Subject *subjects, int num_subjects, Err *err)
{
    const Subject *all = &subjects[0];
    BenchFigure rate, fraction_of_peak;
    for (int i = 0; i < BENCH_REPEATS; i++) {
        rate.value[i] = 1e6 / all->us.value[i];
        fraction_of_peak.value[i] = all->gflops.value[i] / best_peak(all);
    }
    BenchReport out;
    bench_report_begin(
        &out, config, "update",
        "whole DDPG updates on prepared batches of random numbers (their actions are "
        "the policy's after the first pass); drawing batches is not in it. GFLOP/s counts the "
        "matrix products that an update needs; the "
        "peak is multiply-adds in registers, on as many threads, in the same run; "
        "fractions are of its best repeat");
    bench_report_setting(&out, "obs_dim", config->obs_dim);
    bench_report_setting(&out, "act_dim", config->act_dim);
    bench_report_setting(&out, "batch", config->batch);
    bench_report_hidden(&out, config);
    bench_report_setting(&out, "threads", all->threads);
    bench_report_text(&out, "isa", kernels()->isa);
    bench_report_text(&out, "small_products", library_name(matmul_in_use()->small));
    bench_report_text(&out, "large_products", library_name(matmul_in_use()->large));
    bench_report_figure(&out, "us_per_update", "us", &all->us);
    bench_report_figure(&out, "updates_per_s", "1/s", &rate);
    bench_report_figure(&out, "gflops", "GFLOP/s", &all->gflops);
    bench_report_figure(&out, "peak_gflops", "GFLOP/s", &all->peak_gflops);
    bench_report_figure(&out, "fraction_of_peak", "", &fraction_of_peak);
    if (num_subjects > 1)
        report_scaling(&out, &subjects[1], all);
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
        .seed = (uint64_t)config->seed,
    };
    for (int i = 0; i < config->hidden.count; i++)
        shape.hidden[i] = config->hidden.size[i];
    int threads = config->threads > 0 ? (int)config->threads : cpu_usable_count();
    int num_subjects = threads > 1 ? 2 : 1;
    if (threads > cpu_usable_count())
        log_warn("%d threads on %d cores wait for each other", threads, cpu_usable_count());
    static Subject subjects[2]; /* with all threads, and with one */
    Batch batches[NUM_BATCHES] = {0};
    fpu_flush_denormals();
    int code = subject_new(&subjects[0], &shape, threads, err);
    if (!code && num_subjects > 1)
        code = subject_new(&subjects[1], &shape, 1, err);
    if (!code)
        code = make_batches(config, batches, err);
    if (!code)
        code = measure(subjects, num_subjects, batches, config->seconds, err);
    if (!code)
        code = report(config, subjects, num_subjects, err);
    for (int i = 0; i < NUM_BATCHES; i++)
        batch_destroy(&batches[i]);
    for (int i = 0; i < num_subjects; i++)
        subject_destroy(&subjects[i]);
    return code;
}
