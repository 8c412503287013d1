/* The actor of `bench env`: polyak-actor as it runs in a fleet, and a learner that takes its
 * segments and acknowledges them at once, each a process of its own. For the main thread.
 *
 * Between two measurements the actor is stopped (SIGSTOP), so that it takes nothing from what is
 * measured beside it. */
#ifndef POLYAK_CLI_BENCH_BENCH_ENV_ACTOR_H
#define POLYAK_CLI_BENCH_BENCH_ENV_ACTOR_H

#include <sys/types.h>

#include "cli/asking.h"
#include "cli/bench/bench_learner.h"

typedef struct BenchActor {
    BenchLearner learner;
    char **args; /* of polyak-actor */
    pid_t pid;
    Asking asking;
} BenchActor;

typedef struct BenchRate {
    double steps_per_s;
    double steps_per_cpu_s; /* of CPU time, of the process and of those that it started */
} BenchRate;

/* Starts the learner; before this process opens anything that a fork should not have. */
int bench_actor_prepare(BenchActor *actor, const Config *config, Err *err);

/* Starts the actor, waits until it acts with a policy, and stops it. */
int bench_actor_start(BenchActor *actor, Err *err);

/* Lets it go on for `seconds`, or as long as two segments take. Counted is what the learner has
 * accepted. ERR_NET with its own reason when it takes no steps. */
int bench_actor_measure(BenchActor *actor, double seconds, BenchRate *rate, Err *err);

/* Ends and removes all of it, at any stage. */
void bench_actor_end(BenchActor *actor);

#endif
