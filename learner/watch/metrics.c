#include "learner/watch/metrics.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

static const char header[] =
    "time_s,env_steps,updates,episodes,episode_return,episode_length,critic_loss,actor_loss,q_mean,"
    "critic_grad_norm,actor_grad_norm,env_steps_per_s,updates_per_s,policy_lag_versions,"
    "policy_lag_updates,replay_steps,waiting_share,ingesting_share,sampling_share,updating_share,"
    "publishing_share,other_share,eval_return,skipped_updates,rollbacks,log_bytes,"
    "unlogged_segments,log_failing,env_diverged,env_not_finite,env_raised,env_died,env_hung\n";

/* A file of another version has other columns: it is moved aside. */
static void move_other_aside(const char *path)
{
    char line[sizeof header];
    char aside[FS_PATH_MAX];
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    bool other = fgets(line, sizeof line, file) && strncmp(line, "time_s,", 7) == 0 &&
                 strcmp(line, header) != 0;
    fclose(file);
    if (!other || snprintf(aside, sizeof aside, "%s.old", path) >= (int)sizeof aside)
        return;
    if (rename(path, aside) == 0)
        log_info("%s has other columns: it is now %s", path, aside);
}

int metrics_open(Metrics *metrics, const char *path, int interval_ms, uint64_t env_steps,
                 uint64_t updates, Err *err)
{
    memset(metrics, 0, sizeof *metrics);
    move_other_aside(path);
    metrics->file = fopen(path, "ae");
    if (!metrics->file)
        return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    setvbuf(metrics->file, NULL, _IOLBF, 0);
    if (ftell(metrics->file) == 0)
        fputs(header, metrics->file);
    metrics->interval_ns = (int64_t)interval_ms * 1000000;
    metrics->started_ns = clock_ns();
    metrics->row_started_ns = metrics->started_ns;
    metrics->lap_started_ns = metrics->started_ns;
    metrics->env_steps_at_row = env_steps;
    metrics->updates_at_row = updates;
    metrics->eval_return = NAN;
    return ERR_OK;
}

void metrics_close(Metrics *metrics)
{
    if (metrics->file)
        fclose(metrics->file);
    metrics->file = NULL;
}

void metrics_lap(Metrics *metrics, MetricsPhase phase)
{
    int64_t now_ns = clock_ns();
    metrics->phase_ns[phase] += now_ns - metrics->lap_started_ns;
    metrics->lap_started_ns = now_ns;
}

static void mean_add(Mean *mean, double value)
{
    mean->sum += value;
    mean->count++;
}

void metrics_update(Metrics *metrics, const DdpgStats *stats)
{
    mean_add(&metrics->critic_loss, stats->critic_loss);
    mean_add(&metrics->actor_loss, stats->actor_loss);
    mean_add(&metrics->q_mean, stats->q_mean);
    mean_add(&metrics->critic_grad_norm, stats->critic_grad_norm);
    mean_add(&metrics->actor_grad_norm, stats->actor_grad_norm);
}

void metrics_evaluation(Metrics *metrics, double return_mean)
{
    metrics->eval_return = return_mean;
}

void metrics_published(Metrics *metrics, Version version)
{
    metrics->published[metrics->num_published++ % METRICS_PUBLISHED_MAX] = version.update;
}

/* Published policies that are newer than `update`; METRICS_PUBLISHED_MAX where it is older still.
 */
static uint64_t versions_since(const Metrics *metrics, uint64_t update)
{
    uint64_t newer = 0;
    while (newer < metrics->num_published && newer < METRICS_PUBLISHED_MAX &&
           metrics->published[(metrics->num_published - 1 - newer) % METRICS_PUBLISHED_MAX] >
               update)
        newer++;
    return newer;
}

void metrics_segment(Metrics *metrics, const Segment *segment, Version current)
{
    if (segment->version.epoch == current.epoch && current.epoch != 0) {
        mean_add(&metrics->lag_versions, (double)versions_since(metrics, segment->version.update));
        if (current.update >= segment->version.update)
            mean_add(&metrics->lag_updates, (double)(current.update - segment->version.update));
    }
    if (segment->end == SEGMENT_CONTINUES)
        return;
    mean_add(&metrics->episode_return, segment->episode_return);
    mean_add(&metrics->episode_length, (double)segment->first_step + (double)segment->num_steps);
    metrics->recent_returns[metrics->episodes_seen++ % METRICS_RECENT_EPISODES] =
        segment->episode_return;
}

double metrics_recent_return(const Metrics *metrics)
{
    uint64_t n = metrics->episodes_seen < METRICS_RECENT_EPISODES ? metrics->episodes_seen
                                                                  : METRICS_RECENT_EPISODES;
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += metrics->recent_returns[i];
    return n > 0 ? sum / (double)n : NAN;
}

/* A column with a value, or an empty one. */
static void write_number(Metrics *metrics, double value)
{
    fputc(',', metrics->file);
    if (!isnan(value))
        fprintf(metrics->file, "%.6g", value);
}

static void write_mean(Metrics *metrics, Mean *mean)
{
    write_number(metrics, mean->count > 0 ? mean->sum / (double)mean->count : NAN);
    *mean = (Mean){0};
}

/* Of the interval, the means and rates; *seconds long. */
static void write_interval(Metrics *metrics, const MetricsCounts *counts, double seconds)
{
    metrics->env_steps_per_s =
        seconds > 0 ? (double)(counts->env_steps - metrics->env_steps_at_row) / seconds : 0;
    metrics->updates_per_s =
        seconds > 0 ? (double)(counts->updates - metrics->updates_at_row) / seconds : 0;
    write_mean(metrics, &metrics->episode_return);
    write_mean(metrics, &metrics->episode_length);
    write_mean(metrics, &metrics->critic_loss);
    write_mean(metrics, &metrics->actor_loss);
    write_mean(metrics, &metrics->q_mean);
    write_mean(metrics, &metrics->critic_grad_norm);
    write_mean(metrics, &metrics->actor_grad_norm);
    write_number(metrics, metrics->env_steps_per_s);
    write_number(metrics, metrics->updates_per_s);
    write_mean(metrics, &metrics->lag_versions);
    write_mean(metrics, &metrics->lag_updates);
}

static void write_shares(Metrics *metrics)
{
    int64_t total_ns = 0;
    for (int i = 0; i < METRICS_PHASES; i++)
        total_ns += metrics->phase_ns[i];
    for (int i = 0; i < METRICS_PHASES; i++) {
        write_number(metrics, total_ns > 0 ? (double)metrics->phase_ns[i] / (double)total_ns : NAN);
        metrics->phase_ns[i] = 0;
    }
}

bool metrics_row_due(const Metrics *metrics)
{
    return clock_ns() - metrics->row_started_ns >= metrics->interval_ns;
}

void metrics_write_row(Metrics *metrics, const MetricsCounts *counts)
{
    int64_t now_ns = clock_ns();
    double seconds = (double)(now_ns - metrics->row_started_ns) * 1e-9;
    fprintf(metrics->file, "%.3f,%llu,%llu,%llu", (double)(now_ns - metrics->started_ns) * 1e-9,
            (unsigned long long)counts->env_steps, (unsigned long long)counts->updates,
            (unsigned long long)counts->episodes);
    write_interval(metrics, counts, seconds);
    fprintf(metrics->file, ",%llu", (unsigned long long)counts->replay_steps);
    write_shares(metrics);
    write_number(metrics, metrics->eval_return);
    fprintf(metrics->file, ",%llu,%llu,%llu,%llu,%d", (unsigned long long)counts->skipped_updates,
            (unsigned long long)counts->rollbacks, (unsigned long long)counts->log_bytes,
            (unsigned long long)counts->unlogged_segments, counts->log_failing);
    for (int i = 0; i < ENV_FAULTS; i++)
        fprintf(metrics->file, ",%llu", (unsigned long long)counts->faults.count[i]);
    fputc('\n', metrics->file);
    if (ferror(metrics->file) || fflush(metrics->file) != 0) {
        /* Rows are lost, the run is not. */
        if (!metrics->write_failed)
            log_warn("metrics.csv cannot be written: %s", strerror(errno));
        metrics->write_failed = true;
        clearerr(metrics->file);
    } else {
        metrics->write_failed = false;
    }

    metrics->eval_return = NAN;
    metrics->row_started_ns = now_ns;
    metrics->env_steps_at_row = counts->env_steps;
    metrics->updates_at_row = counts->updates;
}
