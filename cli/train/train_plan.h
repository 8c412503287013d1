/* What `polyak train` is asked to do, completed and checked before anything is started. For the
 * main thread. */
#ifndef POLYAK_CLI_TRAIN_TRAIN_PLAN_H
#define POLYAK_CLI_TRAIN_TRAIN_PLAN_H

#include <stdbool.h>
#include <time.h>

#include "common/config/config.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/spec.h"

/* Completes a parsed configuration: what the run directory stores (--resume), the environment's
 * preset, a directory for a new run. ERR_USAGE with one line for what a person must mend: no or an
 * unknown environment, a directory that holds a run, values that cannot go together. ERR_BUSY: a
 * learner runs in the directory. */
int train_plan(Config *config, Spec *spec, Err *err);

/* runs/ENV-YYYYmmdd-HHMMSS into path (FS_PATH_MAX bytes), with -2, -3 … where that is taken. */
void train_plan_directory(const char *env_name, time_t now, char *path);

/* Whether a directory holds a run. */
bool train_plan_has_run(const char *run_dir);

#endif
