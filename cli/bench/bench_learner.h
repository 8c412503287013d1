/* A whole learner for the network benchmarks, as polyak-learner runs it, in a process of its own on
 * loopback TCP; and the directory that goes with it. For the main thread. */
#ifndef POLYAK_CLI_BENCH_BENCH_LEARNER_H
#define POLYAK_CLI_BENCH_BENCH_LEARNER_H

#include <sys/types.h>

#include "common/config/config.h"
#include "common/err.h"
#include "proto/wire.h"

typedef struct BenchLearner {
    Config config;       /* the learner's: between prepare and start the caller may change it */
    Config actor;        /* of those who dial it */
    char directory[512]; /* holds its run, its keys, and what the processes say */
    pid_t pid;
} BenchLearner;

/* A directory, a port, and the configuration of a learner that never warms up. */
int bench_learner_prepare(BenchLearner *learner, const Config *bench, Err *err);

int bench_learner_start(BenchLearner *learner, Err *err);

/* What the processes said last, for a person. */
void bench_learner_show_log(const BenchLearner *learner);

/* Stops it. ERR_FORMAT where it should have written a log, and did not. */
int bench_learner_end(BenchLearner *learner, Err *err);

/* Removes the directory. */
void bench_learner_remove(BenchLearner *learner);

/* For the processes beside it: their log goes to a file, since only of one that fails it is of
 * interest. */
void bench_learner_redirect_log(const BenchLearner *learner, const char *name);

/* The Hello of an actor of these dimensions. */
void bench_learner_hello(const Config *bench, int num_envs, Hello *hello);

#endif
