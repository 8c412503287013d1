/* The order log: in which order segments were ingested and updates done, so that a run can be done
 * again bit for bit. File order.plog beside the replay log; each later start, and what comes after
 * a failed write or sync, goes on in order-1.plog, and so on. One owner at a time (the trainer).
 *
 * What always holds: records have numbers without holes over all files, and are given to a reader
 * once, in this order. Nothing counts as recorded before order_log_flush() returned ERR_OK, nor as
 * safe from a power loss before order_log_sync(). */
#ifndef POLYAK_LEARNER_LOG_ORDER_LOG_H
#define POLYAK_LEARNER_LOG_ORDER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "learner/log/disk.h"
#include "learner/log/format.h"
#include "learner/log/log_reader.h"

enum { ORDER_UPDATES_MAX = 256, ORDER_TEXT_MAX = 63 };

/* "Ingest up to `position`, then do `count` updates from `first_update` on." */
typedef struct OrderBlock {
    uint64_t first_update;
    uint64_t position;
    uint32_t count;
    uint32_t digests[ORDER_UPDATES_MAX]; /* digests[i] is of update first_update + i */
} OrderBlock;

typedef enum OrderEventType {                       /* part of the format: never renumber */
                              ORDER_START = 1,      /* of a learner: value = epoch */
                              ORDER_CHECKPOINT = 2, /* value = fingerprint of the networks */
                              ORDER_RESUME = 3,     /* value = update of its checkpoint */
                              ORDER_ROLLBACK = 4,   /* value = update of the checkpoint */
                              ORDER_SKIPPED = 5,
                              ORDER_SET = 6, /* text = key=value was old value */
                              ORDER_STOP = 7,
} OrderEventType;

typedef struct OrderEvent {
    OrderEventType type;
    uint64_t update;
    uint64_t position;
    uint64_t value;
    char text[ORDER_TEXT_MAX + 1];
} OrderEvent;

typedef struct OrderLog OrderLog;

/* Begins a new file behind what is there. A torn tail of the newest is cut, with one line through
 * `warn` (may be NULL), and the newest is synced. ERR_SPEC (another run), ERR_VERSION, ERR_IO,
 * ERR_FULL, ERR_NOMEM. */
int order_log_open(const LogDisk *disk, const char *directory, const RunId *run_id,
                   void (*warn)(void *user, const char *line), void *user, OrderLog **out,
                   Err *err);
void order_log_close(OrderLog **log); /* flushes and syncs nothing */

/* Into the buffer; a full one is flushed first. On an error the record was not taken. */
int order_log_block(OrderLog *log, const OrderBlock *block, Err *err);
int order_log_event(OrderLog *log, const OrderEvent *event, Err *err);

/* On an error the log has failed; what is in the buffer stays there. */
int order_log_flush(OrderLog *log, Err *err);
int order_log_sync(OrderLog *log, Err *err); /* of what is flushed */

bool order_log_failed(const OrderLog *log);
int order_log_recover(OrderLog *log, Err *err); /* begins a new file and flushes into it */

/* The number of the last record that was flushed; 0 when there is none. */
uint64_t order_log_flushed_number(const OrderLog *log);

typedef enum OrderItemKind {
    ORDER_ITEM_BLOCK,
    ORDER_ITEM_EVENT,
    ORDER_ITEM_DAMAGE,
    ORDER_ITEM_TORN,
    ORDER_ITEM_END,
} OrderItemKind;

typedef struct OrderItem {
    OrderItemKind kind;
    uint64_t number; /* of a BLOCK or EVENT; a hole means that records before it are lost */
    union {
        OrderBlock block;
        OrderEvent event;
        LogDamage damage;
    };
} OrderItem;

typedef struct OrderReader OrderReader;

/* Gives every record of every file in order, those that were later undone too: a RESUME event says
 * that what follows goes on at its update and position. No files are fine. Changes nothing. */
int order_reader_open(const LogDisk *disk, const char *directory, const RunId *run_id,
                      OrderReader **out, Err *err);
void order_reader_close(OrderReader **reader);
int order_reader_next(OrderReader *reader, OrderItem *item, Err *err);

/* Back to the first record. */
int order_reader_rewind(OrderReader *reader, Err *err);

/* Reads on until behind the last event of this type and update in all files, so that the next item
 * is what follows it. ERR_MISSING when there is none: the reader is then at the end. */
int order_reader_find(OrderReader *reader, OrderEventType type, uint64_t update, Err *err);

#endif
