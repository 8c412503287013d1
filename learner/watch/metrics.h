/* The learner's metrics: sums over an interval, written as one row of metrics.csv at its end.
 * docs/metrics.md defines every column. Owned by the trainer thread. */
#ifndef POLYAK_LEARNER_WATCH_METRICS_H
#define POLYAK_LEARNER_WATCH_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/env_fault.h"
#include "common/err.h"
#include "common/segment.h"
#include "common/version.h"
#include "learner/agent/ddpg.h"

/* Where the trainer's time goes. */
typedef enum MetricsPhase {
    METRICS_WAITING,
    METRICS_INGESTING,
    METRICS_SAMPLING,
    METRICS_UPDATING,
    METRICS_PUBLISHING,
    METRICS_OTHER, /* checkpoints, metrics */
    METRICS_PHASES,
} MetricsPhase;

enum { METRICS_RECENT_EPISODES = 20, METRICS_PUBLISHED_MAX = 1024 };

/* A mean in the making. */
typedef struct Mean {
    double sum;
    uint64_t count;
} Mean;

/* How the run stands when a row is written. */
typedef struct MetricsCounts {
    uint64_t env_steps;
    uint64_t updates;
    uint64_t episodes;
    uint64_t replay_steps;
    uint64_t skipped_updates;
    uint64_t rollbacks;
    uint64_t log_bytes;
    uint64_t unlogged_segments;
    bool log_failing;
    EnvFaults faults; /* of all environments, since this start of the learner */
} MetricsCounts;

typedef struct Metrics {
    FILE *file;
    bool write_failed; /* the last row; said once */
    int64_t interval_ns;
    int64_t started_ns;
    int64_t row_started_ns;
    int64_t lap_started_ns;
    uint64_t env_steps_at_row;
    uint64_t updates_at_row;

    /* Of this interval. */
    Mean episode_return;
    Mean episode_length;
    Mean critic_loss;
    Mean actor_loss;
    Mean q_mean;
    Mean critic_grad_norm;
    Mean actor_grad_norm;
    Mean lag_versions;
    Mean lag_updates;
    int64_t phase_ns[METRICS_PHASES];
    double eval_return; /* NaN where none came */

    /* Of the last finished episodes, over intervals. */
    double recent_returns[METRICS_RECENT_EPISODES];
    uint64_t episodes_seen;

    /* Updates at which the last policies were published, oldest first: for the lag. */
    uint64_t published[METRICS_PUBLISHED_MAX];
    uint64_t num_published;

    /* Of the last row. */
    double env_steps_per_s;
    double updates_per_s;
} Metrics;

/* Opens path for appending; a new file gets its header line. One with other columns, of another
 * version, is moved aside to path.old. ERR_IO. */
int metrics_open(Metrics *metrics, const char *path, int interval_ms, uint64_t env_steps,
                 uint64_t updates, Err *err);
void metrics_close(Metrics *metrics);

/* Adds the time since the last call (or the opening) to a phase. */
void metrics_lap(Metrics *metrics, MetricsPhase phase);

void metrics_update(Metrics *metrics, const DdpgStats *stats);
void metrics_evaluation(Metrics *metrics, double return_mean);
void metrics_published(Metrics *metrics, Version version);

/* A segment was ingested while the newest policy was `current` (of this learner's epoch). */
void metrics_segment(Metrics *metrics, const Segment *segment, Version current);

/* Mean return of the last finished episodes; NaN before the first. */
double metrics_recent_return(const Metrics *metrics);

/* Whether the interval is over. */
bool metrics_row_due(const Metrics *metrics);

/* Writes a row. */
void metrics_write_row(Metrics *metrics, const MetricsCounts *counts);

#endif
