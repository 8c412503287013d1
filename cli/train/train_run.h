/* A run on this machine, from the start of its processes to the end of the last one: the event loop
 * of `polyak train`, with progress and signals. Belongs to the main thread. */
#ifndef POLYAK_CLI_TRAIN_TRAIN_RUN_H
#define POLYAK_CLI_TRAIN_TRAIN_RUN_H

#include <stdint.h>

#include "cli/train/launch.h"
#include "common/config/config.h"
#include "common/err.h"
#include "common/run_status.h"

/* What was seen of a run. */
typedef struct TrainEnd {
    int64_t learner_done_ms; /* clock_ms */
    EnvFaults faults;        /* of its environments, as the last status had them */
    char last_fault[STATUS_TEXT_MAX];
} TrainEnd;

/* Runs learner, actors and, where evaluations are wanted, an evaluator. Returns when all of them
 * are gone: 0 when the learner has ended in good order; ERR_STOPPED when the user wanted it;
 * ERR_USAGE when a program was started wrongly; ERR_IO when one failed for good. */
int train_run(const Launch *launch, const Config *config, TrainEnd *end, Err *err);

#endif
