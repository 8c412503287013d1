/* polyak bench fleet: simulated actors that speak the whole protocol, many to a process, against a
 * learner or a relay that runs already. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "actor/dealer.h"
#include "actor/envs/env_host.h"
#include "cli/bench/bench.h"
#include "cli/bench/bench_fleet.h"
#include "cli/bench/bench_process.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    LOOK_MS = 20,
    SAMPLE_MS = 200,       /* of the timeline */
    SAMPLES_MAX = 20000,   /* more than an hour */
    CONNECT_MS = 120000,   /* longest wait until all are connected */
    SETTLE_MS = 1000,      /* after that, before anything is measured */
    LEFT_MS = 30000,       /* longest wait for the processes' end */
    DESCRIPTORS_EACH = 16, /* that an actor takes, also while it dials again */
    DESCRIPTORS_MORE = 64,
};

/* The sums over all processes at one moment. */
typedef struct Sum {
    int64_t ns;
    uint64_t connected, joined, ended, refused, reconnects;
    uint64_t steps, missed_steps, waited_ns, acked_steps, segments, acked_segments, bytes;
    uint64_t resent, lost_segments, lost_steps, unacked_segments, weights;
    double cpu_s;
} Sum;

typedef struct Sample {
    double seconds; /* since the beginning */
    uint64_t connected, acked_steps, weights;
} Sample;

typedef struct FleetRun {
    Fleet fleet;
    size_t sessions_bytes, arrivals_bytes;
    pid_t pids[FLEET_PROCESSES_MAX];
    FleetWatch *watch;
    int64_t began_ns;
    int64_t sampled_ms;
    double connect_s;
    Sum before, after; /* of what is measured */
    Sum last;
    Sample *samples;
    int num_samples;
} FleetRun;

/* --- Counting ----------------------------------------------------------------------------------
 */

static Sum add_up(const FleetRun *run)
{
    Sum sum = {.ns = clock_ns()};
    for (int i = 0; i < run->fleet.processes; i++) {
        FleetCount *count = &run->fleet.shared->counts[i];
        sum.connected += atomic_load(&count->connected);
        sum.joined += atomic_load(&count->joined);
        sum.ended += atomic_load(&count->ended);
        sum.refused += atomic_load(&count->refused);
        sum.reconnects += atomic_load(&count->reconnects);
        sum.steps += atomic_load(&count->steps);
        sum.missed_steps += atomic_load(&count->missed_steps);
        sum.waited_ns += atomic_load(&count->waited_ns);
        sum.acked_steps += atomic_load(&count->acked_steps);
        sum.segments += atomic_load(&count->segments);
        sum.acked_segments += atomic_load(&count->acked_segments);
        sum.bytes += atomic_load(&count->bytes);
        sum.resent += atomic_load(&count->resent);
        sum.lost_segments += atomic_load(&count->lost_segments);
        sum.lost_steps += atomic_load(&count->lost_steps);
        sum.unacked_segments += atomic_load(&count->unacked_segments);
        sum.weights += atomic_load(&count->weights);
        if (run->pids[i] != 0)
            sum.cpu_s += bench_cpu_s(run->pids[i]);
    }
    return sum;
}

static void sample(FleetRun *run)
{
    int64_t now_ms = clock_ms();
    if (now_ms - run->sampled_ms < SAMPLE_MS || run->num_samples == SAMPLES_MAX)
        return;
    run->sampled_ms = now_ms;
    Sum sum = add_up(run);
    run->samples[run->num_samples++] = (Sample){(double)(sum.ns - run->began_ns) / 1e9,
                                                sum.connected, sum.acked_steps, sum.weights};
}

/* Why a process ended, or an actor gave up. */
static int trouble(const FleetRun *run, const char *what, Err *err)
{
    for (int i = 0; i < run->fleet.processes; i++) {
        FleetCount *count = &run->fleet.shared->counts[i];
        if (atomic_load(&count->failed))
            return err_set(err, ERR_NET, "%s: %.300s", what, count->trouble.text);
    }
    return err_set(err, ERR_NET, "%s", what);
}

/* Passes some time. ERR_STOPPED at a signal. */
static int pass(FleetRun *run, int ms, Err *err)
{
    int code = ERR_OK;
    if (run->watch) {
        code = fleet_watch_run(run->watch, ms, err);
    } else {
        bench_sleep_ms(ms);
        code = bench_check_signals(err);
    }
    if (code)
        return code;
    sample(run);
    for (int i = 0; i < run->fleet.processes; i++)
        if (bench_has_ended(&run->pids[i]))
            return trouble(run, "a process of the fleet ended too early", err);
    return ERR_OK;
}

/* --- Phases ------------------------------------------------------------------------------------
 */

static int start(FleetRun *run, Err *err)
{
    const Config *config = run->fleet.config;
    run->began_ns = clock_ns();
    for (int i = 0; i < run->fleet.processes; i++) {
        int code = bench_fork(fleet_process_main, &run->fleet, i, &run->pids[i], err);
        if (code)
            return code;
    }
    return config->reference[0] == '\0'
               ? ERR_OK
               : fleet_watch_new(config, config->reference, run->fleet.shared, &run->watch, err);
}

static int connect_all(FleetRun *run, Err *err)
{
    int64_t deadline_ms = clock_ms() + CONNECT_MS;
    uint64_t peers = (uint64_t)run->fleet.peers;
    for (;;) {
        Sum sum = add_up(run);
        if (sum.refused > 0)
            return trouble(run, "an actor cannot join", err);
        if (sum.joined == peers && sum.connected == peers)
            break;
        if (sum.ended > 0)
            return err_set(err, ERR_NET, "the run of the learner is over");
        if (clock_ms() > deadline_ms)
            return err_set(err, ERR_NET,
                           "only %llu of %d actors are connected after %d s: is --connect %s a "
                           "learner or a relay, and do its --peers-max and --peers-per-key-max "
                           "allow so many?",
                           (unsigned long long)sum.connected, run->fleet.peers, CONNECT_MS / 1000,
                           run->fleet.config->connect);
        int code = pass(run, LOOK_MS, err);
        if (code)
            return code;
    }
    run->connect_s = (double)(clock_ns() - run->began_ns) / 1e9;
    log_info("%d actors are connected after %.1f s", run->fleet.peers, run->connect_s);
    for (int64_t end_ms = clock_ms() + SETTLE_MS; clock_ms() < end_ms;) {
        int code = pass(run, LOOK_MS, err);
        if (code)
            return code;
    }
    return ERR_OK;
}

/* Until its time is over, or the run is. */
static int measure(FleetRun *run, Err *err)
{
    int64_t end_ms = clock_ms() + (int64_t)(run->fleet.config->seconds * 1000);
    int code = ERR_OK;
    atomic_store(&run->fleet.shared->phase, FLEET_MEASURE);
    run->before = run->after = add_up(run);
    while (!code && clock_ms() < end_ms && run->after.ended < (uint64_t)run->fleet.peers) {
        code = pass(run, LOOK_MS, err);
        run->after = add_up(run);
    }
    return code;
}

/* All leave in order, whatever came before. */
static void leave(FleetRun *run, bool in_time)
{
    atomic_store(&run->fleet.shared->in_time, in_time);
    atomic_store(&run->fleet.shared->phase, FLEET_LEAVE);
    int64_t deadline_ms = clock_ms() + LEFT_MS;
    bool left = false;
    Err err; /* of the reference, which does not matter any more */
    while (!left && clock_ms() < deadline_ms) {
        if (run->watch)
            (void)fleet_watch_run(run->watch, LOOK_MS, &err);
        else
            bench_sleep_ms(LOOK_MS);
        left = true;
        for (int i = 0; i < run->fleet.processes; i++)
            left = bench_has_ended(&run->pids[i]) && left;
    }
    for (int i = 0; i < run->fleet.processes; i++)
        bench_end(&run->pids[i], 0, 0);
    run->last = add_up(run);
    fleet_watch_destroy(&run->watch);
}

/* --- Report ------------------------------------------------------------------------------------
 */

/* The first that had each version: of all actors and the reference. Among many subscribers of one
 * learner the reference may be served after others. */
static void find_first(const Fleet *fleet, int64_t *first_ns)
{
    for (uint32_t i = 0; i < atomic_load(&fleet->shared->num_references); i++)
        first_ns[i] = fleet->shared->references[i].ns;
    for (int i = 0; i < fleet->processes; i++) {
        const FleetArrival *arrivals = fleet->arrivals + (size_t)i * FLEET_ARRIVALS_MAX;
        uint64_t count = atomic_load(&fleet->shared->counts[i].num_arrivals);
        for (uint64_t k = 0; k < count; k++) {
            int64_t place = fleet_find_reference(fleet->shared, arrivals[k].version);
            if (place >= 0 && arrivals[k].ns < first_ns[place])
                first_ns[place] = arrivals[k].ns;
        }
    }
}

/* Writes all latencies; returns how many there are. */
static int find_latencies(const Fleet *fleet, const int64_t *first_ns, double *latency_ms,
                          int64_t *unmatched)
{
    int n = 0;
    for (int i = 0; i < fleet->processes; i++) {
        const FleetArrival *arrivals = fleet->arrivals + (size_t)i * FLEET_ARRIVALS_MAX;
        uint64_t count = atomic_load(&fleet->shared->counts[i].num_arrivals);
        for (uint64_t k = 0; k < count; k++) {
            int64_t place = fleet_find_reference(fleet->shared, arrivals[k].version);
            if (place >= 0)
                latency_ms[n++] = (double)(arrivals[k].ns - first_ns[place]) / 1e6;
            else
                ++*unmatched;
        }
    }
    return n;
}

static int report_latency(const FleetRun *run, BenchReport *out, Err *err)
{
    const Fleet *fleet = &run->fleet;
    size_t total = 0;
    for (int i = 0; i < fleet->processes; i++)
        total += (size_t)atomic_load(&fleet->shared->counts[i].num_arrivals);
    double *latency_ms = malloc((total + 1) * sizeof *latency_ms);
    int64_t *first_ns = malloc(FLEET_REFERENCES_MAX * sizeof *first_ns);
    int code = latency_ms && first_ns ? ERR_OK : ERR_NOMEM;
    if (code) {
        (void)err_set(err, code, "not enough memory for the latencies");
    } else {
        int64_t unmatched = 0;
        find_first(fleet, first_ns);
        int n = find_latencies(fleet, first_ns, latency_ms, &unmatched);
        bench_report_setting(out, "weights_versions",
                             (int64_t)atomic_load(&fleet->shared->num_references));
        bench_report_setting(out, "weights_samples", n);
        bench_report_setting(out, "weights_unmatched", unmatched);
        bench_report_real(out, "weights_latency_p50_ms", "ms after the first one had it",
                          bench_percentile(latency_ms, n, 0.5));
        bench_report_real(out, "weights_latency_p99_ms", "ms",
                          bench_percentile(latency_ms, n, 0.99));
        bench_report_real(out, "weights_latency_max_ms", "ms", bench_percentile(latency_ms, n, 1));
    }
    free(latency_ms);
    free(first_ns);
    return code;
}

static void report_rates(const FleetRun *run, BenchReport *out)
{
    const Config *config = run->fleet.config;
    const Sum *a = &run->before, *b = &run->after;
    double seconds = (double)(b->ns - a->ns) / 1e9;
    double envs = (double)run->fleet.peers * (double)config->envs_per_actor;
    double ideal = config->step_ms > 0 ? envs * 1000 / config->step_ms : NAN;
    double acked = (double)(b->acked_steps - a->acked_steps) / seconds;
    double taken = (double)(b->steps - a->steps);
    bench_report_real(out, "connect_s", "s until all were", run->connect_s);
    bench_report_real(out, "measured_s", "s", seconds);
    bench_report_real(out, "ideal_env_steps_per_s", "steps/s", ideal);
    bench_report_real(out, "taken_env_steps_per_s", "steps/s", taken / seconds);
    bench_report_real(out, "env_steps_per_s", "steps/s, acknowledged", acked);
    bench_report_real(out, "of_ideal", "of 1, taken", taken / seconds / ideal);
    bench_report_real(out, "waited", "of 1: actors that could not step",
                      (double)(b->waited_ns - a->waited_ns) / 1e9 / seconds / run->fleet.peers);
    for (int i = 0; i < run->fleet.processes; i++)
        if (run->fleet.shared->counts[i].waiting_for.text[0] != '\0') {
            bench_report_text(out, "waiting_for", run->fleet.shared->counts[i].waiting_for.text);
            break;
        }
    double missed = (double)(b->missed_steps - a->missed_steps);
    bench_report_real(out, "missed", "of 1: steps for which the simulation had no processor time",
                      missed / (missed + taken));
    bench_report_real(out, "segments_per_s", "segments/s, acknowledged",
                      (double)(b->acked_segments - a->acked_segments) / seconds);
    bench_report_real(out, "segment_mb_per_s", "MB/s",
                      (double)(b->bytes - a->bytes) / 1e6 / seconds);
    bench_report_real(out, "bytes_per_step", "bytes of segments",
                      (double)(b->bytes - a->bytes) / taken);
    bench_report_real(out, "weights_per_actor_per_s", "versions/s in use",
                      (double)(b->weights - a->weights) / seconds / run->fleet.peers);
    bench_report_real(out, "fleet_cpu", "processors that the simulation took",
                      (b->cpu_s - a->cpu_s) / seconds);
}

static void report_counts(const Sum *last, BenchReport *out)
{
    bench_report_setting(out, "steps", (int64_t)last->steps);
    bench_report_setting(out, "acked_steps", (int64_t)last->acked_steps);
    bench_report_setting(out, "segments", (int64_t)last->segments);
    bench_report_setting(out, "acked_segments", (int64_t)last->acked_segments);
    bench_report_setting(out, "reconnects", (int64_t)last->reconnects);
    bench_report_setting(out, "resent_segments", (int64_t)last->resent);
    bench_report_setting(out, "refused", (int64_t)last->refused);
    bench_report_setting(out, "lost_segments", (int64_t)last->lost_segments);
    bench_report_setting(out, "lost_steps", (int64_t)last->lost_steps);
    bench_report_setting(out, "unacked_segments", (int64_t)last->unacked_segments);
}

/* For machines alone: what each session had, and how it went over time. */
static void report_lists(const FleetRun *run, BenchReport *out)
{
    json_t *sessions = json_object(), *timeline = json_array();
    for (int i = 0; i < run->fleet.peers; i++) {
        const FleetSession *session = &run->fleet.sessions[i];
        char id[2 * sizeof session->id.id + 1];
        for (size_t b = 0; b < sizeof session->id.id; b++)
            snprintf(id + 2 * b, 3, "%02x", session->id.id[b]);
        json_object_set_new(
            sessions, id,
            json_pack("[I, I]", (json_int_t)session->segments, (json_int_t)session->steps));
    }
    for (int i = 0; i < run->num_samples; i++) {
        const Sample *one = &run->samples[i];
        json_array_append_new(timeline,
                              json_pack("[f, I, I, I]", one->seconds, (json_int_t)one->connected,
                                        (json_int_t)one->acked_steps, (json_int_t)one->weights));
    }
    json_object_set_new(out->json, "sessions", sessions);
    json_object_set_new(out->json, "timeline", timeline);
}

static int report(const FleetRun *run, Err *err)
{
    const Config *config = run->fleet.config;
    BenchReport out;
    bench_report_begin(
        &out, config, "fleet",
        "simulated actors with an actor's own connection, outbox and downlink, without "
        "environments "
        "and forward passes, at a learner or relay that runs already. The latency of weights is "
        "from when the first one had a version, mostly the subscriber directly at --reference, to "
        "its being in use, on one machine; answers to a join are not in it");
    json_object_set_new(out.json, "repeats", json_integer(1));
    bench_report_text(&out, "env", run->fleet.spec.name);
    bench_report_text(&out, "connect", config->connect);
    bench_report_setting(&out, "peers", run->fleet.peers);
    bench_report_setting(&out, "processes", run->fleet.processes);
    bench_report_setting(&out, "envs_per_actor", config->envs_per_actor);
    bench_report_real(&out, "step_ms", "ms", config->step_ms);
    report_rates(run, &out);
    int code = config->reference[0] == '\0' ? ERR_OK : report_latency(run, &out, err);
    report_counts(&run->last, &out);
    if (config->json)
        report_lists(run, &out);
    int ended = bench_report_end(&out, err);
    return code ? code : ended;
}

/* --- Command -----------------------------------------------------------------------------------
 */

/* What can be said without a learner: the keys, and what the environment is. */
static int check(FleetRun *run, const Config *config, Err *err)
{
    static Dealer dealer;
    EnvKind *kind = NULL;
    if (config->env[0] == '\0')
        return err_set(err, ERR_USAGE, "--env is missing: the environment of the learner");
    if (config->mode != BENCH_MODE_PLAIN)
        return err_set(err, ERR_USAGE, "--mode belongs to bench ingest and broadcast");
    int code = dealer_init(&dealer, NULL, config->connect, WIRE_SMALL_BYTES_MAX, err);
    if (!code)
        code = dealer_use_keys(&dealer, config->key, config->learner_key, err);
    dealer_destroy(&dealer);
    EnvSetup setup = env_setup(config, 1);
    if (!code)
        code = env_kind_open(&setup, &kind, err);
    if (!code)
        run->fleet.spec = *env_kind_spec(kind);
    env_kind_close(&kind);
    return code;
}

static int check_descriptors(const Fleet *fleet, Err *err)
{
    struct rlimit limit;
    int each = (fleet->peers + fleet->processes - 1) / fleet->processes;
    rlim_t needed = (rlim_t)each * DESCRIPTORS_EACH + DESCRIPTORS_MORE;
    bench_raise_descriptors();
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return ERR_OK;
    return err_set(err, ERR_USAGE,
                   "%d actors in a process need %llu descriptors, and it gets %llu: give more "
                   "--processes, or raise ulimit -n",
                   each, (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
}

static int prepare(FleetRun *run, Err *err)
{
    Fleet *fleet = &run->fleet;
    run->sessions_bytes = (size_t)fleet->peers * sizeof *fleet->sessions;
    run->arrivals_bytes = (size_t)fleet->processes * FLEET_ARRIVALS_MAX * sizeof *fleet->arrivals;
    int code = check_descriptors(fleet, err);
    if (code)
        return code;
    run->samples = calloc(SAMPLES_MAX, sizeof *run->samples);
    fleet->shared = bench_share(sizeof *fleet->shared, err);
    fleet->sessions = bench_share(run->sessions_bytes, err);
    fleet->arrivals = bench_share(run->arrivals_bytes, err);
    if (!run->samples)
        return err_set(err, ERR_NOMEM, "not enough memory for the timeline");
    return fleet->shared && fleet->sessions && fleet->arrivals ? ERR_OK : ERR_NOMEM;
}

/* What was lost makes the command fail, however well it went otherwise. */
static int judge(const Sum *last, Err *err)
{
    uint64_t lost = last->lost_segments + last->unacked_segments;
    if (lost > 0)
        return err_set(err, ERR_NET,
                       "%llu segments are lost: %llu of expired sessions, %llu that nobody "
                       "acknowledged",
                       (unsigned long long)lost, (unsigned long long)last->lost_segments,
                       (unsigned long long)last->unacked_segments);
    return ERR_OK;
}

int bench_fleet(const Config *config, Err *err)
{
    static FleetRun run;
    Err left = {""};
    int code = check(&run, config, err);
    if (code)
        return code;
    Fleet *fleet = &run.fleet;
    fleet->config = config;
    fleet->peers = (int)config->peers;
    fleet->processes = (int)(config->processes < config->peers ? config->processes : config->peers);
    bench_catch_signals();
    code = prepare(&run, err);
    if (!code) {
        code = start(&run, err);
        if (!code)
            code = connect_all(&run, err);
        bool measured = !code;
        if (!code)
            code = measure(&run, err);
        leave(&run, code == ERR_OK);
        int lost = judge(&run.last, &left);
        if (measured && report(&run, code ? &left : err) && !code)
            code = ERR_IO;
        if (lost && (!code || code == ERR_STOPPED)) {
            code = lost;
            *err = left;
        }
    }
    free(run.samples);
    bench_unshare(fleet->shared, sizeof *fleet->shared);
    bench_unshare(fleet->sessions, run.sessions_bytes);
    bench_unshare(fleet->arrivals, run.arrivals_bytes);
    return code;
}
