/* `polyak bench`: what the measurements share. A figure is the median of BENCH_REPEATS repeats,
 * with the least and the most of them. For the main thread. */
#ifndef POLYAK_CLI_BENCH_BENCH_H
#define POLYAK_CLI_BENCH_BENCH_H

#include <jansson.h>
#include <stdbool.h>

#include "common/config/config.h"
#include "common/err.h"

enum { BENCH_REPEATS = 5 };

/* The measurements; each prints its report. ERR_USAGE when a key is missing. */
int bench_update(const Config *config, Err *err);
int bench_act(const Config *config, Err *err);
int bench_replay(const Config *config, Err *err);
int bench_env(const Config *config, Err *err);
int bench_ingest(const Config *config, Err *err);
int bench_broadcast(const Config *config, Err *err);
int bench_fleet(const Config *config, Err *err);

/* One figure of each repeat. */
typedef struct BenchFigure {
    double value[BENCH_REPEATS];
} BenchFigure;

/* The p-th part (0…1) of n values, which are sorted: 0.5 is the median. NaN for none. */
double bench_percentile(double *values, int n, double p);

/* A report, as text while it goes or as one JSON object at its end. */
typedef struct BenchReport {
    bool as_json;
    json_t *json;
} BenchReport;

/* `measured` says what was measured, and what was not. */
void bench_report_begin(BenchReport *report, const Config *config, const char *name,
                        const char *measured);
void bench_report_setting(BenchReport *report, const char *key, int64_t value);
void bench_report_real(BenchReport *report, const char *key, const char *unit, double value);
void bench_report_hidden(BenchReport *report, const Config *config);
void bench_report_text(BenchReport *report, const char *key, const char *value);

/* The JSON keys are `key` (median), key_min and key_max. */
void bench_report_figure(BenchReport *report, const char *key, const char *unit,
                         const BenchFigure *figure);
int bench_report_end(BenchReport *report, Err *err);

#endif
