/* Reads the log once, at a start: cuts torn tails, and finds where the run stands. It begins at the
 * file that holds the wanted row, since the session table at its head stands for all before it.
 * What it has read is synced afterwards: it survives a power loss, but for the suspects of an
 * earlier process (log_writer_suspect). One owner; nobody else may have the log open. */
#ifndef POLYAK_LEARNER_LOG_LOG_RECOVER_H
#define POLYAK_LEARNER_LOG_LOG_RECOVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "learner/log/log_reader.h"
#include "learner/log/log_writer.h"

typedef struct LogRecoverCallbacks {
    void *user;
    /* Every segment that ends after `row`, in order; an error of it ends the recovery. May be NULL.
     */
    int (*segment)(void *user, const SegmentRecord *record, Err *err);
    uint64_t row;
    /* One line for a person: a torn tail that was cut, or damage. May be NULL. */
    void (*warn)(void *user, const char *line);
} LogRecoverCallbacks;

typedef struct LogRecovered {
    LogState state;          /* for log_writer_new(); its sessions are owned here */
    LogDims dims;            /* of the newest file; obs_dim 0 when there is none */
    SessionRecord *sessions; /* the same as in state, from the longest silent on; idle_s is 0 for
                              * those heard since the newest table */
    uint64_t first_position; /* of the segments that are there; 0 when there is none */
    uint64_t first_row;      /* its row */
    uint64_t num_segments;
    uint64_t gap_positions;     /* went on unlogged: named by gap records */
    uint64_t missing_positions; /* lost to damage or a failed sync; those before the first file are
                                 * counted where the replay is wanted from row 0 on */
    uint64_t damaged_bytes;
    uint64_t torn_bytes; /* cut */
} LogRecovered;

/* A new run gives position 1 and no sessions. `sessions_max` bounds the table: the last heard stay.
 * `callbacks` may be NULL: the whole log is read then.
 * Errors as log_reader_open() and log_reader_next(). */
int log_recover(const LogDisk *disk, const char *directory, const RunId *run_id,
                const LogDims *dims, uint32_t sessions_max, const LogRecoverCallbacks *callbacks,
                LogRecovered *recovered, Err *err);
void log_recovered_free(LogRecovered *recovered);

#endif
