#include "cli/bench/bench_ingest_leg.h"

#include "cli/bench/bench_process.h"
#include "common/clock.h"
#include "common/rng.h"

enum {
    LOOK_MS = 10,
    BEGIN_MS = 60000, /* longest wait until all senders are connected */
    SENDERS_END_MS = 2000,
    ENVS_MIN = 64, /* of all senders together */
};

void ingest_fill_segment(Segment *segment, int obs_dim, int act_dim, int num_steps, uint64_t seed)
{
    Rng rng = rng_stream(seed, RNG_TEST, 3, 0, 0);
    segment->num_steps = num_steps;
    segment->end = SEGMENT_CONTINUES;
    segment->version = (Version){1, 1};
    for (int i = 0; i < (num_steps + 1) * obs_dim; i++)
        segment->obs[i] = (float)rng_normal(&rng);
    for (int i = 0; i < num_steps * act_dim; i++)
        segment->action[i] = (float)(2 * rng_uniform(&rng) - 1);
    for (int i = 0; i < num_steps; i++)
        segment->reward[i] = (float)rng_normal(&rng);
}

/* --- Begin -------------------------------------------------------------------------------------
 */

static int start_processes(IngestLeg *leg, Err *err)
{
    int code = leg->raw ? bench_fork(ingest_raw_server_main, leg, 0, &leg->raw_server, err)
                        : bench_learner_start(&leg->learner, err);
    for (int i = 0; i < ingest_leg_processes(leg) && !code; i++)
        code = bench_fork(leg->raw ? ingest_raw_sender_main : ingest_sender_main, leg, i,
                          &leg->senders[i], err);
    return code;
}

int ingest_leg_begin(IngestLeg *leg, int connected, Err *err)
{
    leg->shared = bench_share(sizeof *leg->shared, err);
    if (!leg->shared)
        return ERR_NOMEM;
    leg->envs = leg->peers < ENVS_MIN ? ENVS_MIN / leg->peers : 1;
    int code = bench_learner_prepare(&leg->learner, leg->config, err);
    if (!code)
        code = start_processes(leg, err);
    return code ? code : ingest_leg_connect(leg, connected, err);
}

/* --- While it goes -----------------------------------------------------------------------------
 */

static uint64_t acked(const IngestLeg *leg)
{
    uint64_t sum = 0;
    for (int i = 0; i < ingest_leg_processes(leg); i++)
        sum += atomic_load(&leg->shared->counts[i].acked);
    return sum;
}

static int num_connected(const IngestLeg *leg)
{
    uint32_t sum = 0;
    for (int i = 0; i < ingest_leg_processes(leg); i++)
        sum += atomic_load(&leg->shared->counts[i].connected);
    return (int)sum;
}

static int check_processes(IngestLeg *leg, Err *err)
{
    bool well = !bench_has_ended(leg->raw ? &leg->raw_server : &leg->learner.pid);
    for (int i = 0; i < ingest_leg_processes(leg) && well; i++)
        well = !bench_has_ended(&leg->senders[i]);
    if (!well)
        bench_learner_show_log(&leg->learner);
    return well ? bench_check_signals(err)
                : err_set(err, ERR_NET, "a process of the benchmark ended too early");
}

int ingest_leg_connect(IngestLeg *leg, int connected, Err *err)
{
    int64_t deadline_ms = clock_ms() + BEGIN_MS;
    atomic_store(&leg->shared->wanted, connected);
    while (num_connected(leg) < connected) {
        int code = check_processes(leg, err);
        if (code)
            return code;
        if (clock_ms() > deadline_ms)
            return err_set(err, ERR_NET, "only %d of %d senders are connected within %d s",
                           num_connected(leg), connected, BEGIN_MS / 1000);
        bench_sleep_ms(LOOK_MS);
    }
    return ERR_OK;
}

typedef struct Meter {
    int64_t ns;
    double segments;
    double acks;
    double server_s; /* CPU time */
    double senders_s;
} Meter;

static Meter read_meter(const IngestLeg *leg)
{
    Meter meter = {.ns = clock_ns(), .segments = (double)acked(leg)};
    meter.server_s = bench_cpu_s(ingest_leg_server(leg));
    for (int i = 0; i < ingest_leg_processes(leg); i++) {
        meter.senders_s += bench_cpu_s(leg->senders[i]);
        meter.acks += (double)atomic_load(&leg->shared->counts[i].acks);
    }
    return meter;
}

int ingest_leg_measure(IngestLeg *leg, double seconds, IngestRate *rate, Err *err)
{
    Meter before = read_meter(leg);
    bench_sleep_ms((int)(seconds * 1000));
    Meter after = read_meter(leg);
    double segments = after.segments - before.segments;
    double server_s = after.server_s - before.server_s;
    double senders_s = after.senders_s - before.senders_s;
    *rate = (IngestRate){.segments_per_s = segments / ((double)(after.ns - before.ns) / 1e9),
                         .server_us = server_s * 1e6 / segments,
                         .all_us = (server_s + senders_s) * 1e6 / segments,
                         .acks = (after.acks - before.acks) / segments};
    return check_processes(leg, err);
}

/* --- End ---------------------------------------------------------------------------------------
 */

int ingest_leg_end(IngestLeg *leg, Err *err)
{
    if (leg->shared)
        atomic_store(&leg->shared->stop, true);
    for (int i = 0; i < INGEST_PROCESSES_MAX; i++)
        bench_end(&leg->senders[i], 0, SENDERS_END_MS);
    bench_end(&leg->raw_server, 0, SENDERS_END_MS);
    int code = bench_learner_end(&leg->learner, err);
    bench_learner_remove(&leg->learner);
    bench_unshare(leg->shared, sizeof *leg->shared);
    leg->shared = NULL;
    return code;
}
