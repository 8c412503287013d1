/* Runs a logged run again, without any actor: the same segments in the same order, the same updates
 * between them. With the same code on the same kind of machine every bit is the same. For the main
 * thread. */
#ifndef POLYAK_LEARNER_TRAIN_RERUN_H
#define POLYAK_LEARNER_TRAIN_RERUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/err.h"

typedef struct RerunReport {
    uint64_t first_update; /* where it began: 0, or the update of a checkpoint */
    uint64_t updates;      /* where it ended */
    uint64_t env_steps;
    uint64_t checkpoints;      /* that the run wrote, and were compared */
    uint64_t checkpoint_files; /* of them, those whose file is still there and was read */
    uint64_t damaged_files;    /* of checkpoints, which cannot be compared */
    bool differs;
    uint64_t first_difference; /* the first update whose result is another one */
    bool complete;             /* the record was followed to its end */
    char stopped[256];         /* why not */
    char machine[512];         /* how this machine differs from the run's; empty: not at all */
    double wall_s;
} RerunReport;

/* `config` has run_dir, and threads where others than the run's are wanted. Nothing in the run
 * directory is changed. ERR_MISSING, ERR_BUSY (a learner is at work there), ERR_FORMAT, ERR_NOMEM,
 * ERR_IO. */
int rerun(const Config *config, RerunReport *report, Err *err);

#endif
