/* polyak bench broadcast: how long a new policy takes from the learner to the actors that act with
 * it; and what one actor that stands still does to the others, and to the learner. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench/bench.h"
#include "cli/bench/bench_broadcast_peers.h"
#include "cli/bench/bench_process.h"
#include "common/clock.h"
#include "common/cpu.h"

enum {
    LOOK_MS = 5,
    JOIN_MS = 60000,
    SETTLE_MS = 500,
    MEMORY_LOOK_MS = 100,
    CATCH_UP_MS = 10000, /* longest wait for a subscriber that goes on */
    END_MS = 1000,
    STOPPED_GROUP =
        BROADCAST_PROCESSES,       /* the subscriber that is stopped has a process of its own */
    STOPPED_PHASE = BENCH_REPEATS, /* phases from here on: with one stopped */
};

typedef struct BroadcastRun {
    Broadcast broadcast;
    size_t shared_bytes;
    int peers;
    bool stopping; /* one is stopped now and then */
    pid_t groups[BROADCAST_PROCESSES + 1];
    pid_t feeder;
} BroadcastRun;

typedef struct Figures {
    BenchFigure median_ms, p99_ms, delivered;
    BenchFigure stopped_median_ms, stopped_ratio; /* of the others, while one is stopped */
    BenchFigure memory_kib;                       /* that the learner grows by meanwhile */
    BenchFigure silent_ms, catch_up_ms;           /* until the newest is in use again */
} Figures;

/* --- Processes ---------------------------------------------------------------------------------
 */

static void fill_config(BroadcastRun *run, const Config *bench)
{
    Config *config = &run->broadcast.learner.config;
    config->hidden = bench->hidden;
    config->warmup_env_steps = 0;
    config->batch = bench->segment_steps; /* so the first segment is enough */
    config->updates_per_env_step = 1.0 / (double)bench->segment_steps;
    config->weights_bytes_per_s_max = INT64_C(1000000000000);
    config->threads = 1;
}

static int start_processes(BroadcastRun *run, Err *err)
{
    Broadcast *broadcast = &run->broadcast;
    int others = run->stopping ? run->peers - 1 : run->peers;
    int code = bench_learner_start(&broadcast->learner, err);
    for (int i = 0; i < BROADCAST_PROCESSES && !code; i++) {
        broadcast->groups[i] = (BroadcastGroup){i, BROADCAST_PROCESSES, others};
        if (i < others)
            code = bench_fork(broadcast_subscribers_main, broadcast, i, &run->groups[i], err);
    }
    broadcast->groups[STOPPED_GROUP] = (BroadcastGroup){others, 1, run->peers};
    if (!code && run->stopping)
        code = bench_fork(broadcast_subscribers_main, broadcast, STOPPED_GROUP,
                          &run->groups[STOPPED_GROUP], err);
    if (!code)
        code = bench_fork(broadcast_feeder_main, broadcast, 0, &run->feeder, err);
    return code;
}

static int check_processes(BroadcastRun *run, Err *err)
{
    bool well = !bench_has_ended(&run->broadcast.learner.pid) && !bench_has_ended(&run->feeder);
    for (int i = 0; i <= STOPPED_GROUP && well; i++)
        well = run->groups[i] == 0 || !bench_has_ended(&run->groups[i]);
    if (well)
        return bench_check_signals(err);
    bench_learner_show_log(&run->broadcast.learner);
    return err_set(err, ERR_NET, "a process of the benchmark ended too early");
}

static void end_processes(BroadcastRun *run)
{
    if (run->broadcast.shared)
        atomic_store(&run->broadcast.shared->stop, true);
    for (int i = 0; i <= STOPPED_GROUP; i++)
        bench_end(&run->groups[i], SIGCONT, END_MS);
    bench_end(&run->feeder, 0, END_MS);
    (void)bench_learner_end(&run->broadcast.learner, NULL); /* it has no log to check */
    bench_learner_remove(&run->broadcast.learner);
}

/* --- Measuring ---------------------------------------------------------------------------------
 */

static int pause_ms(BroadcastRun *run, int ms, Err *err)
{
    bench_sleep_ms(ms);
    return check_processes(run, err);
}

/* Until all have a policy that an update made. */
static int await_subscribers(BroadcastRun *run, Err *err)
{
    BroadcastShared *shared = run->broadcast.shared;
    int64_t deadline_ms = clock_ms() + JOIN_MS;
    atomic_store(&shared->phase, -1);
    atomic_store(&shared->feeding, true);
    for (;;) {
        int joined = 0;
        for (int i = 0; i < run->peers; i++)
            joined += atomic_load(&shared->peers[i].in_use) > 0;
        if (joined == run->peers)
            return pause_ms(run, SETTLE_MS, err);
        if (clock_ms() > deadline_ms)
            return err_set(err, ERR_NET, "only %d of %d subscribers have a policy within %d s",
                           joined, run->peers, JOIN_MS / 1000);
        int code = pause_ms(run, LOOK_MS, err);
        if (code)
            return code;
    }
}

/* Publishes for a while. *resident_kib is the most that the learner has meanwhile. */
static int measure_phase(BroadcastRun *run, int phase, double seconds, double *resident_kib,
                         Err *err)
{
    BroadcastShared *shared = run->broadcast.shared;
    int64_t end_ms = clock_ms() + (int64_t)(seconds * 1000);
    int code = ERR_OK;
    *resident_kib = 0;
    atomic_store(&shared->phase, phase);
    while (!code && clock_ms() < end_ms) {
        double kib = bench_resident_kib(run->broadcast.learner.pid);
        *resident_kib = kib > *resident_kib ? kib : *resident_kib;
        code = pause_ms(run, MEMORY_LOOK_MS, err);
    }
    atomic_store(&shared->phase, -1);
    return code ? code : pause_ms(run, BROADCAST_INTERVAL_MS, err);
}

/* Lets the stopped one go on; *ms until it acts with what is the newest now. */
static int catch_up(BroadcastRun *run, double *ms, Err *err)
{
    BroadcastShared *shared = run->broadcast.shared;
    BroadcastPeer *peer = &shared->peers[run->peers - 1];
    uint64_t newest = atomic_load(&shared->sent);
    int64_t began_ns = clock_ns();
    int64_t deadline_ms = clock_ms() + CATCH_UP_MS;
    kill(run->groups[STOPPED_GROUP], SIGCONT);
    while (atomic_load(&peer->in_use) < newest && clock_ms() < deadline_ms) {
        int code = pause_ms(run, 1, err);
        if (code)
            return code;
    }
    *ms = (double)(clock_ns() - began_ns) / 1e6;
    return ERR_OK;
}

/* One repeat with one stopped: first while the others go on being served, and on again while
 * nothing new is published; then for longer than heartbeats allow, and on again while policies
 * come. */
static int measure_stopped(BroadcastRun *run, int repeat, double seconds, Figures *figures,
                           double resident_before_kib, Err *err)
{
    enum { LONG_STOP_MS = 4000 };
    BroadcastShared *shared = run->broadcast.shared;
    pid_t stopped = run->groups[STOPPED_GROUP];
    double resident_kib = 0;
    kill(stopped, SIGSTOP);
    int code = pause_ms(run, SETTLE_MS, err);
    if (!code)
        code = measure_phase(run, STOPPED_PHASE + repeat, seconds, &resident_kib, err);
    figures->memory_kib.value[repeat] = resident_kib - resident_before_kib;
    atomic_store(&shared->feeding, false);
    if (!code)
        code = pause_ms(run, SETTLE_MS, err);
    if (!code)
        code = catch_up(run, &figures->silent_ms.value[repeat], err);
    atomic_store(&shared->feeding, true);
    if (!code)
        code = pause_ms(run, SETTLE_MS, err);
    kill(stopped, SIGSTOP);
    if (!code)
        code = pause_ms(run, LONG_STOP_MS, err);
    if (!code)
        code = catch_up(run, &figures->catch_up_ms.value[repeat], err);
    return code ? code : pause_ms(run, SETTLE_MS, err);
}

static int measure(BroadcastRun *run, double seconds, Figures *figures, Err *err)
{
    double phase_s = seconds / BENCH_REPEATS / (run->stopping ? 2 : 1);
    int code = await_subscribers(run, err);
    for (int i = 0; i < BENCH_REPEATS && !code; i++) {
        double resident_kib = 0;
        code = measure_phase(run, i, phase_s, &resident_kib, err);
        if (!code && run->stopping)
            code = measure_stopped(run, i, phase_s, figures, resident_kib, err);
    }
    return code;
}

/* --- Report ------------------------------------------------------------------------------------
 */

/* The latencies of a phase, of all but the one that is stopped at times; how many there are. */
static int collect(const BroadcastRun *run, int phase, double *all)
{
    int n = 0;
    int others = run->stopping ? run->peers - 1 : run->peers;
    for (int peer = 0; peer < others; peer++) {
        const BroadcastSamples *samples = &run->broadcast.shared->peers[peer].samples[phase];
        for (int i = 0; i < samples->count; i++)
            all[n++] = (double)samples->latency_ms[i];
    }
    return n;
}

static int summarize(const BroadcastRun *run, Figures *figures, Err *err)
{
    int others = run->stopping ? run->peers - 1 : run->peers;
    double *all = malloc((size_t)run->peers * BROADCAST_SAMPLES_MAX * sizeof *all);
    if (!all)
        return err_set(err, ERR_NOMEM, "not enough memory for the latencies");
    for (int i = 0; i < BENCH_REPEATS; i++) {
        int frames = atomic_load(&run->broadcast.shared->frames[i]);
        int n = collect(run, i, all);
        figures->median_ms.value[i] = bench_percentile(all, n, 0.5);
        figures->p99_ms.value[i] = bench_percentile(all, n, 0.99);
        figures->delivered.value[i] = (double)n / ((double)others * frames);
        n = collect(run, STOPPED_PHASE + i, all);
        figures->stopped_median_ms.value[i] = bench_percentile(all, n, 0.5);
        figures->stopped_ratio.value[i] =
            figures->stopped_median_ms.value[i] / figures->median_ms.value[i];
    }
    free(all);
    return ERR_OK;
}

static int report(const BroadcastRun *run, const Figures *figures, Err *err)
{
    const Config *config = run->broadcast.config;
    BenchReport out;
    Mlp mlp;
    int code = mlp_shape(&mlp, (int)config->obs_dim, config->hidden.size, config->hidden.count,
                         (int)config->act_dim, true, err);
    if (code)
        return code;
    bench_report_begin(
        &out, config, "broadcast",
        "a policy from the whole learner over loopback TCP to actors in other processes: from the "
        "leaving of the segment that the update is made from, to the policy being in use; so "
        "ingest and one update are in it too");
    bench_report_setting(&out, "peers", run->peers);
    bench_report_setting(&out, "parameters", (int64_t)mlp_num_params(&mlp));
    bench_report_setting(&out, "interval_ms", BROADCAST_INTERVAL_MS);
    bench_report_text(&out, "curve", config->mode == BENCH_MODE_CURVE ? "yes" : "no");
    bench_report_setting(&out, "cores", cpu_usable_count());
    bench_report_figure(&out, "latency_median_ms", "ms", &figures->median_ms);
    bench_report_figure(&out, "latency_p99_ms", "ms", &figures->p99_ms);
    bench_report_figure(&out, "delivered", "of 1", &figures->delivered);
    if (run->stopping) {
        bench_report_figure(&out, "stopped_median_ms", "ms, of the others, one stopped",
                            &figures->stopped_median_ms);
        bench_report_figure(&out, "stopped_ratio", "to all running", &figures->stopped_ratio);
        bench_report_figure(&out, "memory_kib", "KiB more in the learner, one stopped",
                            &figures->memory_kib);
        bench_report_figure(&out, "catch_up_silent_ms", "ms to the newest, none published since",
                            &figures->silent_ms);
        bench_report_figure(&out, "catch_up_ms", "ms to the newest, after 4 s",
                            &figures->catch_up_ms);
    }
    return bench_report_end(&out, err);
}

/* --- Command -----------------------------------------------------------------------------------
 */

int bench_broadcast(const Config *config, Err *err)
{
    static BroadcastRun run;
    static Figures figures;
    if (config->mode == BENCH_MODE_LOG || config->mode == BENCH_MODE_DISK)
        return err_set(err, ERR_USAGE, "--mode log and disk belong to bench ingest");
    run.peers = (int)config->peers;
    run.stopping = config->mode == BENCH_MODE_STOPPED;
    if (run.stopping && run.peers < 2)
        return err_set(err, ERR_USAGE, "--mode stopped needs --peers 2 or more");
    run.broadcast.config = config;
    run.shared_bytes = sizeof(BroadcastShared) + (size_t)run.peers * sizeof(BroadcastPeer);
    bench_raise_descriptors();
    bench_catch_signals();
    run.broadcast.shared = bench_share(run.shared_bytes, err);
    if (!run.broadcast.shared)
        return ERR_NOMEM;
    int code = bench_learner_prepare(&run.broadcast.learner, config, err);
    if (!code) {
        fill_config(&run, config);
        code = start_processes(&run, err);
    }
    if (!code)
        code = measure(&run, config->seconds, &figures, err);
    end_processes(&run);
    if (!code)
        code = summarize(&run, &figures, err);
    if (!code)
        code = report(&run, &figures, err);
    bench_unshare(run.broadcast.shared, run.shared_bytes);
    return code;
}
