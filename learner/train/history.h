/* What a run did, in the order in which it did it: read from the order log, with all that was
 * undone by a crash left out. Owned by whoever loads it. */
#ifndef POLYAK_LEARNER_TRAIN_HISTORY_H
#define POLYAK_LEARNER_TRAIN_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "learner/log/order_log.h"

/* One thing that was done: updates in a row, or an event. */
typedef struct HistoryItem {
    bool is_event;
    uint64_t position; /* segments ingested before it */
    uint64_t first_update;
    uint32_t count;       /* of updates; 0 for an event */
    size_t first_digest;  /* of updates: in History.digests */
    OrderEventType event; /* of an event: */
    uint64_t value;
    char text[ORDER_TEXT_MAX + 1];
} HistoryItem;

typedef struct History {
    HistoryItem *items;
    size_t num_items;
    size_t items_room;
    uint32_t *digests;
    size_t num_digests;
    size_t digests_room;
    uint64_t damaged; /* places in the order log that cannot be read */
} History;

/* Reads all of the order log in `directory`. ERR_IO, ERR_NOMEM, ERR_SPEC, ERR_VERSION. */
int history_load(History *history, const LogDisk *disk, const char *directory, const RunId *run_id,
                 Err *err);
void history_free(History *history);

/* The number of updates that it reaches to. */
uint64_t history_end(const History *history);

#endif
