/* The log thread: runs a LogKeeper beside the loop thread and the trainer, so that neither waits
 * for a disk. It wakes the trainer and the loop whenever segments are logged.
 *
 * The loop wakes it after it committed segments to the ring. The trainer hands it order records,
 * which go through a bounded queue: a trainer that is far ahead of the disk waits there. */
#ifndef POLYAK_LEARNER_LOG_THREAD_H
#define POLYAK_LEARNER_LOG_THREAD_H

#include "common/config/config.h"
#include "common/err.h"
#include "learner/log/log_keeper.h"

typedef struct LogThread LogThread;

typedef struct LogThreadSetup {
    const LogDisk *disk;
    const char *directory; /* copied */
    LogWriter *writer;     /* owned by the thread from here on, */
    OrderLog *order;       /* also on failure */
    SegmentRing *ring;
    LogOnError on_error;
    int64_t fsync_ms;
    void (*logged)(void *context); /* from the log thread: segments may go on */
    void *context;
} LogThreadSetup;

int log_thread_start(const LogThreadSetup *setup, LogThread **thread, Err *err);

/* Writes and syncs what is there, and ends. */
void log_thread_stop(LogThread **thread);

/* --- Loop side --- */

void log_thread_wake(LogThread *thread);
LogStatus log_thread_status(LogThread *thread);
void log_thread_configure(LogThread *thread, LogOnError on_error, int64_t fsync_ms);

/* --- Trainer side --- */

void log_thread_block(LogThread *thread, const OrderBlock *block);
void log_thread_event(LogThread *thread, const OrderEvent *event);

/* Waits until everything logged, and every order record given, is on disk. ERR_IO while the logs
 * fail. */
int log_thread_sync(LogThread *thread, Err *err);

/* Removes the files that lie wholly before this replay row, some time soon. */
void log_thread_prune(LogThread *thread, uint64_t row_needed);

#endif
