/* Keeps the logs of a run: moves accepted segments from the hand-over ring into the replay log,
 * order records into the order log, syncs both in time, and knows what to do when the disk fails.
 * No threads and no clock of its own, so that a simulator can run it; one owner at a time.
 *
 * When writing fails: with LOG_ON_ERROR_WAIT nothing goes on to the trainer until the log can be
 * written again; with LOG_ON_ERROR_CONTINUE segments go on unlogged, and a gap record names them
 * once it can. Either way a new file is tried every second; a file that failed is not touched
 * again. */
#ifndef POLYAK_LEARNER_LOG_LOG_KEEPER_H
#define POLYAK_LEARNER_LOG_LOG_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/err.h"
#include "learner/log/log_writer.h"
#include "learner/log/order_log.h"
#include "learner/segment_ring.h"

enum { LOG_RETRY_MS = 1000, LOG_STATE_TEXT_MAX = 199 };

/* How the logs stand, for status and metrics. */
typedef struct LogStatus {
    bool durable;                         /* what is acknowledged from now on is in the log */
    uint64_t bytes;                       /* of all files */
    uint64_t position;                    /* logged, or named as a gap */
    uint64_t synced_position;             /* survives a power loss */
    uint64_t handed_on;                   /* segments that went on to the consumer, ever */
    uint64_t unlogged;                    /* of these, without the log */
    uint64_t failures;                    /* times that the logs began to fail */
    char failing[LOG_STATE_TEXT_MAX + 1]; /* why, while it is not durable */
} LogStatus;

typedef struct LogKeeper {
    LogWriter *writer;
    OrderLog *order;
    SegmentRing *ring;
    LogOnError on_error;
    int64_t fsync_ms;
    uint64_t buffered; /* slots of the ring that are in the writer's buffer */
    int64_t synced_ms;
    int64_t retry_ms;   /* while failing */
    uint64_t gap_began; /* `unlogged` when the present failure began */
    bool failing;
    LogStatus status;
} LogKeeper;

/* Takes ownership of writer and order log. */
void log_keeper_init(LogKeeper *keeper, LogWriter *writer, OrderLog *order, SegmentRing *ring,
                     LogOnError on_error, int64_t fsync_ms, int64_t now_ms);

/* Writes and syncs what is left, as far as the disk lets it, and closes both. */
void log_keeper_close(LogKeeper *keeper, int64_t now_ms);

/* An order record. Where it cannot be written it is lost, and the history has a hole. */
void log_keeper_block(LogKeeper *keeper, const OrderBlock *block);
void log_keeper_event(LogKeeper *keeper, const OrderEvent *event);

/* Writes what has come since the last turn. Returns whether segments went on to the consumer. */
bool log_keeper_turn(LogKeeper *keeper, int64_t now_ms);

/* Syncs both logs now. ERR_IO or ERR_FULL while they fail, unless all that went on to the consumer
 * is on disk: a log that has reached its budget fails for what comes next alone. */
int log_keeper_sync(LogKeeper *keeper, int64_t now_ms, Err *err);

/* When the next turn is due by itself. */
int64_t log_keeper_due_ms(const LogKeeper *keeper, int64_t now_ms);

#endif
