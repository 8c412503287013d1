/* The records of the order log: structs to payloads and back (docs/log.md has the bytes). Decoders
 * are total, as in format.h. Pure functions; any thread. Private to the log. */
#ifndef POLYAK_LEARNER_LOG_ORDER_FORMAT_H
#define POLYAK_LEARNER_LOG_ORDER_FORMAT_H

#include "learner/log/order_log.h"

/* The first record of a file. */
typedef struct OrderHead {
    RunId run_id;
    uint64_t base_number; /* of the first record that the file may hold */
} OrderHead;

enum {
    ORDER_HEAD_BYTES = 32,
    ORDER_EVENT_BYTES = 104,
    ORDER_BLOCK_HEADER_BYTES = 32,
    ORDER_PAYLOAD_BYTES_MAX = ORDER_BLOCK_HEADER_BYTES + 4 * ORDER_UPDATES_MAX,
};

size_t order_block_bytes(const OrderBlock *block);

void order_head_encode(const OrderHead *head, uint8_t *payload);
void order_block_encode(uint64_t number, const OrderBlock *block, uint8_t *payload);
void order_event_encode(uint64_t number, const OrderEvent *event, uint8_t *payload);

int order_head_decode(const uint8_t *payload, size_t payload_bytes, OrderHead *head, Err *err);
int order_block_decode(const uint8_t *payload, size_t payload_bytes, uint64_t *number,
                       OrderBlock *block, Err *err);
int order_event_decode(const uint8_t *payload, size_t payload_bytes, uint64_t *number,
                       OrderEvent *event, Err *err);

#endif
