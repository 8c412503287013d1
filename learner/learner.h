/* The learner program: the loop thread, which owns every socket, timer and signal, and what hangs
 * on it. It never waits for the trainer, nor for a disk once the run has begun. */
#ifndef POLYAK_LEARNER_LEARNER_H
#define POLYAK_LEARNER_LEARNER_H

#include "common/config/config.h"
#include "common/err.h"

typedef enum LearnerEnd {
    LEARNER_FINISHED, /* all env steps, and all the updates that they owe */
    LEARNER_STOPPED,  /* by a signal: a checkpoint is written, --resume goes on */
} LearnerEnd;

/* Runs a learner to its end. *signal_number is the signal that stopped it. Errors are returned with
 * a line in err: ERR_USAGE and ERR_EXISTS for what a person must mend on the command line. */
int learner_run(Config *config, LearnerEnd *end, int *signal_number, Err *err);

#endif
