/* Fuzz target: the records of the order log. The first eight bytes say which record the rest is.
 *
 * A record that is taken must survive: encoded and decoded again, it gives the same bytes. */
#include <string.h>

#include "common/check.h"
#include "learner/log/order_format.h"
#include "tests/fuzz/fuzz.h"

enum { PREFIX_BYTES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_BYTES)
        return 0;
    const uint8_t *payload = data + PREFIX_BYTES;
    size_t payload_bytes = size - PREFIX_BYTES;
    uint8_t again[ORDER_PAYLOAD_BYTES_MAX];
    uint64_t number;
    OrderHead head;
    OrderBlock block;
    OrderEvent event;
    Err err = {""};
    int code;
    switch (data[0] % 3) {
    case 0:
        code = order_head_decode(payload, payload_bytes, &head, &err);
        if (code == ERR_OK)
            order_head_encode(&head, again);
        break;
    case 1:
        code = order_block_decode(payload, payload_bytes, &number, &block, &err);
        if (code == ERR_OK)
            order_block_encode(number, &block, again);
        break;
    default:
        code = order_event_decode(payload, payload_bytes, &number, &event, &err);
        if (code == ERR_OK)
            order_event_encode(number, &event, again);
    }
    if (code == ERR_OK)
        CHECK(memcmp(payload, again, payload_bytes) == 0);
    else
        CHECK(err.text[0] != '\0' && (code == ERR_FORMAT || code == ERR_VERSION));
    return 0;
}

size_t fuzz_seed(Rng *rng, uint8_t *input)
{
    memset(input, 0, PREFIX_BYTES);
    input[0] = (uint8_t)rng_below(rng, 3);
    uint8_t *payload = input + PREFIX_BYTES;
    uint64_t number = 1 + rng_below(rng, 1000);
    if (input[0] == 0) {
        OrderHead head = {.base_number = number};
        order_head_encode(&head, payload);
        return PREFIX_BYTES + ORDER_HEAD_BYTES;
    }
    if (input[0] == 1) {
        OrderBlock block = {.first_update = rng_u64(rng), .count = (uint32_t)rng_below(rng, 257)};
        for (uint32_t i = 0; i < block.count; i++)
            block.digests[i] = (uint32_t)rng_u64(rng);
        order_block_encode(number, &block, payload);
        return PREFIX_BYTES + order_block_bytes(&block);
    }
    OrderEvent event = {.type = (OrderEventType)(1 + rng_below(rng, ORDER_STOP)),
                        .update = rng_u64(rng),
                        .text = "sigma=0.2"};
    order_event_encode(number, &event, payload);
    return PREFIX_BYTES + ORDER_EVENT_BYTES;
}
