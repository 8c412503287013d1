/* The logs of a run, from opening to closing: reads back what an earlier start left, fills the
 * replay from it, and starts the log thread. */
#ifndef POLYAK_LEARNER_TRAIN_RUN_LOG_H
#define POLYAK_LEARNER_TRAIN_RUN_LOG_H

#include "common/config/config.h"
#include "common/err.h"
#include "common/fs.h"
#include "learner/log/log_recover.h"
#include "learner/log_thread.h"
#include "learner/train/core.h"
#include "learner/train/history.h"

#define RUN_LOG_DIRECTORY "replay" /* in a run directory */

typedef struct RunLog {
    const LogDisk *disk;
    char directory[FS_PATH_MAX];
    RunId run_id;
    _Atomic(LogThread *) thread; /* NULL until it is open, which the loop may see at any moment */
    LogRecovered recovered;      /* sessions, and where the log ended */
    LogState start;              /* where this start's segments begin */
} RunLog;

/* What was read back besides. */
typedef struct RunLogPast {
    History history;
    LogReader *reader; /* of what was there before this start */
} RunLogPast;

/* Sets the directory of the logs. ERR_USAGE when its path is too long. */
int run_log_init(RunLog *log, const char *run_dir, const RunId *run_id, Err *err);

/* Says what log and checkpoints may take on disk; ERR_USAGE when replay_log_bytes_max is less than
 * the replay needs. */
int run_log_check_space(const Config *config, const char *run_dir, const Replay *replay,
                        uint64_t checkpoint_bytes, Err *err);

/* Where the log ends that an earlier start left; position 1 where there is none. For a start that
 * writes none itself. Its sessions are NULL. */
int run_log_end(const RunLog *log, const Config *config, const Replay *replay, LogState *end,
                Err *err);

/* Reads the log back: cuts torn tails, reports damage, fills the core's replay with what it held
 * when its checkpoint was written. Then begins new files, and starts the log thread on `ring`. May
 * take long: the log is read at the disk's speed. */
int run_log_open(RunLog *log, const Config *config, uint32_t epoch, TrainCore *core,
                 SegmentRing *ring, void (*logged)(void *context), void *context, RunLogPast *past,
                 Err *err);
void run_log_past_free(RunLogPast *past);

/* Stops the thread; frees everything. */
void run_log_close(RunLog *log);

#endif
