/* polyak bench ingest: what the learner takes in over loopback TCP, beside what the same sockets
 * carry without it; or with many connections, beside the rate of a few. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench/bench.h"
#include "cli/bench/bench_ingest_leg.h"
#include "cli/bench/bench_process.h"
#include "common/cpu.h"

enum {
    FEW_PEERS = 4,
    MEMORY_PEERS = 64, /* the growth is counted from here */
    MEMORY_LOOKS = 15,
    LOOK_MS = 100,
};

static const double warmup_s = 0.4;

/* --- Legs --------------------------------------------------------------------------------------
 */

/* Rates of the pairs: the first of a pair is what the second is measured against. */
typedef struct Pairs {
    BenchFigure base; /* segments/s */
    BenchFigure rate;
    BenchFigure ratio;
    BenchFigure base_us; /* CPU time of a segment in all processes */
    BenchFigure rate_us;
    BenchFigure learner_us;
    BenchFigure acks; /* of a segment */
    BenchFigure base_acks;
} Pairs;

typedef struct Memory {
    double few_kib; /* resident, with MEMORY_PEERS connections */
    double all_kib;
    double tcp_few_kib;
    double tcp_all_kib;
} Memory;

static int run_leg(const Config *config, bool raw, int peers, IngestRate *rate, Err *err)
{
    IngestLeg leg = {.config = config, .raw = raw, .peers = peers};
    int code = ingest_leg_begin(&leg, peers, err);
    if (!code)
        code = ingest_leg_measure(&leg, warmup_s, rate, err);
    if (!code)
        code = ingest_leg_measure(&leg, config->seconds / BENCH_REPEATS, rate, err);
    int end = ingest_leg_end(&leg, code ? NULL : err);
    return code ? code : end;
}

static int run_pairs(const Config *config, bool raw_base, int base_peers, Pairs *pairs, Err *err)
{
    int code = ERR_OK;
    for (int i = 0; i < BENCH_REPEATS && !code; i++) {
        IngestRate base = {0}, rate = {0};
        code = run_leg(config, raw_base, base_peers, &base, err);
        if (!code)
            code = run_leg(config, false, (int)config->peers, &rate, err);
        pairs->base.value[i] = base.segments_per_s;
        pairs->rate.value[i] = rate.segments_per_s;
        pairs->ratio.value[i] = rate.segments_per_s / base.segments_per_s;
        pairs->base_us.value[i] = base.all_us;
        pairs->rate_us.value[i] = rate.all_us;
        pairs->learner_us.value[i] = rate.server_us;
        pairs->acks.value[i] = rate.acks;
        pairs->base_acks.value[i] = base.acks;
    }
    return code;
}

/* Medians of some looks while segments flow. */
static int look_at_memory(IngestLeg *leg, double *resident_kib, double *tcp_kib, Err *err)
{
    double resident[MEMORY_LOOKS], tcp[MEMORY_LOOKS];
    IngestRate unused;
    int code = ERR_OK;
    for (int i = 0; i < MEMORY_LOOKS && !code; i++) {
        code = ingest_leg_measure(leg, LOOK_MS / 1000.0, &unused, err);
        resident[i] = bench_resident_kib(ingest_leg_server(leg));
        tcp[i] = bench_tcp_kib();
    }
    *resident_kib = bench_percentile(resident, MEMORY_LOOKS, 0.5);
    *tcp_kib = bench_percentile(tcp, MEMORY_LOOKS, 0.5);
    return code;
}

/* One learner, and more and more connections. */
static int measure_memory(const Config *config, Memory *memory, Err *err)
{
    int peers = (int)config->peers;
    IngestLeg leg = {.config = config, .peers = peers};
    int code = ingest_leg_begin(&leg, peers < MEMORY_PEERS ? peers : MEMORY_PEERS, err);
    if (!code)
        code = look_at_memory(&leg, &memory->few_kib, &memory->tcp_few_kib, err);
    if (!code)
        code = ingest_leg_connect(&leg, peers, err);
    if (!code)
        code = look_at_memory(&leg, &memory->all_kib, &memory->tcp_all_kib, err);
    int end = ingest_leg_end(&leg, code ? NULL : err);
    return code ? code : end;
}

/* --- Report ------------------------------------------------------------------------------------
 */

static void scale(BenchFigure *figure, const BenchFigure *from, double factor)
{
    for (int i = 0; i < BENCH_REPEATS; i++)
        figure->value[i] = from->value[i] * factor;
}

static void report_rates(BenchReport *out, const Config *config, const Pairs *pairs)
{
    BenchFigure figure;
    size_t bytes =
        segment_block_bytes((int)config->obs_dim, (int)config->act_dim, (int)config->segment_steps);
    scale(&figure, &pairs->rate, (double)bytes / 1e6);
    bench_report_figure(out, "mb_per_s", "MB/s", &figure);
    bench_report_figure(out, "segments_per_s", "1/s", &pairs->rate);
    scale(&figure, &pairs->rate, (double)config->segment_steps);
    bench_report_figure(out, "env_steps_per_s", "1/s", &figure);
    scale(&figure, &pairs->base, (double)bytes / 1e6);
    bench_report_figure(out, "base_mb_per_s", "MB/s", &figure);
    bench_report_figure(out, "ratio", "of the base", &pairs->ratio);
    bench_report_figure(out, "learner_cpu_us", "us a segment", &pairs->learner_us);
    bench_report_figure(out, "cpu_us", "us a segment, all processes", &pairs->rate_us);
    bench_report_figure(out, "acks_per_segment", "", &pairs->acks);
    bench_report_figure(out, "base_acks_per_segment", "", &pairs->base_acks);
    bench_report_figure(out, "base_cpu_us", "us a segment, all processes", &pairs->base_us);
}

static void report_memory(BenchReport *out, const Config *config, const Memory *memory)
{
    double more = (double)config->peers - MEMORY_PEERS;
    bench_report_setting(out, "learner_kib", (int64_t)memory->all_kib);
    bench_report_setting(out, "tcp_kib", (int64_t)memory->tcp_all_kib);
    if (more <= 0)
        return;
    bench_report_real(out, "learner_kib_per_peer", "KiB",
                      (memory->all_kib - memory->few_kib) / more);
    bench_report_real(out, "tcp_kib_per_peer", "KiB, of both ends",
                      (memory->tcp_all_kib - memory->tcp_few_kib) / more);
}

static const char *mode_name(BenchMode mode)
{
    switch (mode) {
    case BENCH_MODE_LOG:
        return "with the log, in memory";
    case BENCH_MODE_DISK:
        return "with the log, on disk";
    case BENCH_MODE_CURVE:
        return "without the log, with CURVE";
    default:
        return "without the log";
    }
}

static void begin_report(BenchReport *out, const Config *config, bool raw_base)
{
    bench_report_begin(
        out, config, "ingest",
        "the whole learner, which takes segments from actors' connections in other processes over "
        "loopback TCP into its replay, and acknowledges them; their numbers are ready made. "
        "Counted "
        "is what the senders see acknowledged. The base has as many segments on their way; each "
        "repeat measures base and learner one after the other");
    bench_report_text(out, "mode", mode_name(config->mode));
    bench_report_text(out, "base",
                      raw_base ? "ROUTER and DEALER, same frames, credit and acknowledgements, "
                                 "nothing decoded"
                               : "the same with 4 peers");
    bench_report_setting(out, "peers", config->peers);
    bench_report_setting(out, "obs_dim", config->obs_dim);
    bench_report_setting(out, "act_dim", config->act_dim);
    bench_report_setting(out, "segment_steps", config->segment_steps);
    bench_report_setting(out, "cores", cpu_usable_count());
}

int bench_ingest(const Config *config, Err *err)
{
    bool many = config->peers > FEW_PEERS;
    Pairs pairs;
    Memory memory = {0};
    BenchReport out;
    if (config->mode == BENCH_MODE_STOPPED)
        return err_set(err, ERR_USAGE, "--mode stopped belongs to bench broadcast");
    bench_raise_descriptors();
    bench_catch_signals();
    int code = many ? measure_memory(config, &memory, err) : ERR_OK;
    if (!code)
        code = run_pairs(config, !many, many ? FEW_PEERS : (int)config->peers, &pairs, err);
    if (code)
        return code;
    begin_report(&out, config, !many);
    report_rates(&out, config, &pairs);
    if (many)
        report_memory(&out, config, &memory);
    return bench_report_end(&out, err);
}
