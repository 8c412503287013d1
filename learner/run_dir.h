/* A run directory: all of a run on disk. Held by one learner at a time.
 *
 *   config.yaml   the effective configuration; what was given, until the environment is known
 *   run.json      how often a learner started (the epoch), version and environment
 *   metrics.csv   one row per interval
 *   checkpoints/  checkpoint-*.safetensors, best.safetensors, best.json
 *   lock          held while a learner runs
 */
#ifndef POLYAK_LEARNER_RUN_DIR_H
#define POLYAK_LEARNER_RUN_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/err.h"
#include "common/fs.h"
#include "learner/agent/checkpoint.h"

typedef struct RunDir {
    char path[FS_PATH_MAX];
    char checkpoints[FS_PATH_MAX];
    int lock_fd;
    uint32_t epoch; /* of this start; from 1 */
    bool resumed;   /* a run was there, and is gone on with */
    bool has_checkpoint;
    char checkpoint[FS_PATH_MAX]; /* the newest sound one */
    RunState run;                 /* of the checkpoint, or empty */
} RunDir;

/* Opens config->run_dir: makes it, locks it, and where a run is there with --resume, completes the
 * configuration with the stored one (config_resume) and finds the newest sound checkpoint.
 * ERR_EXISTS (a run is there and --resume was not given), ERR_BUSY (another learner has it),
 * ERR_IO, ERR_USAGE, each with a line that says what to do. */
int run_dir_open(RunDir *dir, Config *config, Err *err);
void run_dir_close(RunDir *dir);

/* Raises the epoch and writes run.json and config.yaml: from here on the directory holds a run.
 * env_name may be empty while it is not known: then config.yaml has only what was given, so that a
 * resume leaves the rest to the preset of the environment that comes. */
int run_dir_begin(RunDir *dir, const Config *config, const char *env_name, Err *err);

/* Writes config.yaml again, once a preset has completed the configuration. */
int run_dir_write_config(const RunDir *dir, const Config *config, Err *err);

#endif
