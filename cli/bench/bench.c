#include "cli/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"

/* --- Figures -----------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_percentile(double *values, int n, double p)
{
    if (n == 0)
        return NAN;
    qsort(values, (size_t)n, sizeof *values, compare);
    double at = p * (n - 1);
    int below = (int)at;
    int above = below + 1 < n ? below + 1 : below;
    return values[below] + (at - below) * (values[above] - values[below]);
}

/* --- Report ------------------------------------------------------------------------------------
 */

void bench_report_begin(BenchReport *report, const Config *config, const char *name,
                        const char *measured)
{
    report->as_json = config->json;
    report->json =
        json_pack("{s:s, s:s, s:i}", "bench", name, "measured", measured, "repeats", BENCH_REPEATS);
    if (!report->as_json)
        printf("%s: %s\n", name, measured);
}

void bench_report_setting(BenchReport *report, const char *key, int64_t value)
{
    json_object_set_new(report->json, key, json_integer(value));
    if (!report->as_json)
        printf("  %-24s %lld\n", key, (long long)value);
}

void bench_report_real(BenchReport *report, const char *key, const char *unit, double value)
{
    json_object_set_new(report->json, key, report_real(value));
    if (!report->as_json)
        printf("  %-24s %.4g %s\n", key, value, unit);
}

void bench_report_text(BenchReport *report, const char *key, const char *value)
{
    json_object_set_new(report->json, key, json_string(value));
    if (!report->as_json)
        printf("  %-24s %s\n", key, value);
}

void bench_report_hidden(BenchReport *report, const Config *config)
{
    for (int i = 0; i < config->hidden.count; i++) {
        char key[32];
        snprintf(key, sizeof key, "hidden_%d", i + 1);
        bench_report_setting(report, key, config->hidden.size[i]);
    }
}

void bench_report_figure(BenchReport *report, const char *key, const char *unit,
                         const BenchFigure *figure)
{
    double sorted[BENCH_REPEATS];
    memcpy(sorted, figure->value, sizeof sorted);
    double median = bench_percentile(sorted, BENCH_REPEATS, 0.5);
    double least = sorted[0], most = sorted[BENCH_REPEATS - 1];
    char name[64];
    json_object_set_new(report->json, key, report_real(median));
    snprintf(name, sizeof name, "%s_min", key);
    json_object_set_new(report->json, name, report_real(least));
    snprintf(name, sizeof name, "%s_max", key);
    json_object_set_new(report->json, name, report_real(most));
    if (!report->as_json)
        printf("  %-24s %.4g %s  (%.4g to %.4g)\n", key, median, unit, least, most);
}

int bench_report_end(BenchReport *report, Err *err)
{
    if (report->as_json)
        return report_json(report->json, err);
    json_decref(report->json);
    return 0;
}

/* --- Command -----------------------------------------------------------------------------------
 */

typedef struct Bench {
    const char *name;
    const char *doc;
    int (*run)(const Config *config, Err *err);
} Bench;

static const Bench benches[] = {
    {"update", "Measures updates of the networks.", bench_update},
    {"act", "Measures what an actor computes between two steps.", bench_act},
    {"replay", "Measures appending to the replay, and drawing batches.", bench_replay},
    {"env",
     "Measures steps of an environment, alone and in a whole actor. Here the default of --hidden "
     "is "
     "256,256.",
     bench_env},
    {"ingest", "Measures segments coming in over loopback TCP.", bench_ingest},
    {"broadcast", "Measures weights going out over loopback TCP.", bench_broadcast},
    {"fleet", "Simulates actors at a learner or relay that runs already, and measures.",
     bench_fleet},
};

static int run_bench(const Bench *bench, int argc, char **argv)
{
    Config config;
    Err err = {""};
    bool done = false;
    char name[32];
    snprintf(name, sizeof name, "polyak bench %s", bench->name);
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_BENCH, name, bench->doc, argc, argv, &done, &err);
    if (!code && !done)
        code = bench->run(&config, &err);
    return code ? report_error("bench", code, &err) : EXIT_DONE;
}

int command_bench(int argc, char **argv)
{
    static const char choice[] = "update, act, replay, env, ingest, broadcast or fleet";
    const char *word = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++)
        if (strcmp(word, benches[i].name) == 0)
            return run_bench(&benches[i], argc - 1, argv + 1);
    if (strcmp(word, "--help") == 0) {
        printf("Usage: polyak bench WHAT [--key=value ...]\n"
               "Measures a part of Polyak on this machine. WHAT is %s;\n"
               "`polyak bench WHAT --help` lists the keys.\n",
               choice);
        return EXIT_DONE;
    }
    fprintf(stderr, "polyak bench: say what to measure: %s\n", choice);
    return EXIT_USAGE;
}
