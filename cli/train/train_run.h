/* A run on this machine, from the start of its processes to the end of the last one: the event loop
 * of `polyak train`, with progress and signals. Belongs to the main thread. */
#ifndef POLYAK_CLI_TRAIN_TRAIN_RUN_H
#define POLYAK_CLI_TRAIN_TRAIN_RUN_H

#include <stdint.h>

#include "cli/train/launch.h"
#include "common/config/config.h"
#include "common/err.h"

/* Runs learner, actors and, where evaluations are wanted, an evaluator. Returns when all of them
 * are gone: 0 when the learner has ended in good order, at *ended_ms (clock_ms); ERR_STOPPED when
 * the user wanted it; ERR_USAGE when a program was started wrongly; ERR_IO when one failed for
 * good. */
int train_run(const Launch *launch, const Config *config, int64_t *ended_ms, Err *err);

#endif
