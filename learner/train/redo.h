/* Does again what a run did, from its logs: a resume, from the newest checkpoint to where the run
 * was; a rerun, all of it. The digest of every update tells whether it is the same. Owned by the
 * thread that trains. */
#ifndef POLYAK_LEARNER_TRAIN_REDO_H
#define POLYAK_LEARNER_TRAIN_REDO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "learner/log/log_reader.h"
#include "learner/train/core.h"
#include "learner/train/history.h"

typedef enum RedoStep {
    REDO_UPDATED,  /* one update was done again */
    REDO_EVENT,    /* `item` happened at this point: the caller does it again */
    REDO_END,      /* of the record */
    REDO_HOLE,     /* updates are missing in the record: it cannot be followed further */
    REDO_LOG_LOST, /* segments that an update needs are no longer in the log */
    REDO_FAILED,   /* the log cannot be read */
} RedoStep;

typedef struct Redo {
    TrainCore *core;        /* borrowed, as are */
    const History *history; /* and */
    LogReader *reader;
    size_t next_item;
    uint32_t next_update; /* within the item */
    bool holding;         /* a segment was read that is not due yet */
    bool at_end;          /* of the log */
    LogItem held;
    const HistoryItem *item;
    bool differs;
    uint64_t first_difference; /* the update whose digest is another one; valid when `differs` */
} Redo;

/* Goes on from where the core stands: its run->updates and run->log_position. */
int redo_init(Redo *redo, TrainCore *core, const History *history, LogReader *reader, Err *err);

/* Does the next thing. */
RedoStep redo_step(Redo *redo, Err *err);

/* Ingests what the log has beyond the record, as new. Returns the number of segments, or an error.
 */
int64_t redo_ingest_rest(Redo *redo, Err *err);

#endif
