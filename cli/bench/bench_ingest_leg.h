/* One leg of `bench ingest`: a server, which is the whole learner or the raw one, and up to
 * INGEST_PROCESSES_MAX processes with senders; all on loopback TCP. For the main thread. */
#ifndef POLYAK_CLI_BENCH_BENCH_INGEST_LEG_H
#define POLYAK_CLI_BENCH_BENCH_INGEST_LEG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/bench/bench_learner.h"
#include "common/config/config.h"
#include "common/err.h"
#include "common/segment.h"

enum {
    INGEST_PROCESSES_MAX = 4,
    INGEST_ROUNDS_IN_HAND = 2, /* credit of a sender, in segments of each environment */
    INGEST_ACKS_EVERY = 256,   /* messages that a server reads before it acknowledges */
};

/* What the senders of one process have seen. */
typedef struct IngestCount {
    _Alignas(64) _Atomic uint64_t acked; /* segments */
    _Atomic uint64_t acks;               /* messages that said so, or gave credit */
    _Atomic uint32_t connected;          /* senders that have had an acknowledgement */
} IngestCount;

typedef struct IngestShared {
    _Atomic bool stop;
    _Atomic int wanted; /* senders that shall connect */
    IngestCount counts[INGEST_PROCESSES_MAX];
} IngestShared;

typedef struct IngestLeg {
    const Config *config;
    bool raw;
    int peers;
    int envs; /* of each sender: how many segments may be on their way */
    BenchLearner learner;
    IngestShared *shared;
    pid_t raw_server; /* in place of the learner's process */
    pid_t senders[INGEST_PROCESSES_MAX];
} IngestLeg;

/* Starts the processes of a leg whose config, raw and peers are set, and waits until
 * `connected` senders are, and send. */
int ingest_leg_begin(IngestLeg *leg, int connected, Err *err);

/* Lets more connect, until so many are. */
int ingest_leg_connect(IngestLeg *leg, int connected, Err *err);

typedef struct IngestRate {
    double segments_per_s; /* acknowledged */
    double server_us;      /* CPU time of the server for each of them, */
    double all_us;         /* and of all processes */
    double acks;           /* acknowledgements for each of them */
} IngestRate;

/* Measures for a while. */
int ingest_leg_measure(IngestLeg *leg, double seconds, IngestRate *rate, Err *err);

/* Ends it, also one that failed to begin. ERR_FORMAT where it left no log, and should have. */
int ingest_leg_end(IngestLeg *leg, Err *err);

static inline pid_t ingest_leg_server(const IngestLeg *leg)
{
    return leg->raw ? leg->raw_server : leg->learner.pid;
}

static inline int ingest_leg_processes(const IngestLeg *leg)
{
    return leg->peers < INGEST_PROCESSES_MAX ? leg->peers : INGEST_PROCESSES_MAX;
}

/* Fills a segment with numbers as an environment could make them. */
void ingest_fill_segment(Segment *segment, int obs_dim, int act_dim, int num_steps, uint64_t seed);

/* The lives of the processes, whose arg is the leg; each returns its exit code. */
int ingest_sender_main(const void *arg, int index);
int ingest_raw_server_main(const void *arg, int index);
int ingest_raw_sender_main(const void *arg, int index);

#endif
