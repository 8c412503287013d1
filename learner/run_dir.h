/* A run directory: all of a run on disk. Held by one learner at a time.
 *
 *   config.yaml   the effective configuration; what was given, until the environment is known
 *   run.json      how often a learner started (the epoch), the run's id, version and environment,
 *                 and the machines that it ran on, as far as results depend on them
 *   metrics.csv   one row per interval
 *   replay/       the replay log and the order log
 *   checkpoints/  checkpoint-*.safetensors, best.safetensors, best.json
 *   lock          held while a learner runs
 */
#ifndef POLYAK_LEARNER_RUN_DIR_H
#define POLYAK_LEARNER_RUN_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/config/config.h"
#include "common/err.h"
#include "common/fs.h"
#include "learner/agent/checkpoint.h"
#include "learner/log/format.h"

typedef struct RunDir {
    char path[FS_PATH_MAX];
    char checkpoints[FS_PATH_MAX];
    int lock_fd;
    uint32_t epoch; /* of this start; from 1 */
    char env[CONFIG_TEXT_MAX + 1];
    RunId run_id;     /* made at the first start */
    json_t *machines; /* that the run ran on, each once, the newest last */
    bool resumed;     /* a run was there, and is gone on with */
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

/* Adds this machine to run.json, with the threads that updates are computed by. */
int run_dir_write_machine(RunDir *dir, int threads, Err *err);

/* Reads the run's id and machines (an array, owned by the caller; NULL where there are none) of a
 * directory that holds a run. ERR_MISSING, ERR_IO, ERR_FORMAT. */
int run_dir_read_identity(const char *path, RunId *run_id, json_t **machines, Err *err);

/* Writes config.yaml again, once a preset has completed the configuration. */
int run_dir_write_config(const RunDir *dir, const Config *config, Err *err);

#endif
