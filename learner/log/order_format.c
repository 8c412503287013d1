#include "learner/log/order_format.h"

#include <string.h>

#include "common/check.h"
#include "learner/log/bytes.h"

void order_head_encode(const OrderHead *head, uint8_t *payload)
{
    uint8_t *at = put_u32(payload, LOG_FORMAT_VERSION);
    at = put_u32(at, 0);
    at = put_bytes(at, head->run_id.bytes, sizeof head->run_id.bytes);
    put_u64(at, head->base_number);
}

int order_head_decode(const uint8_t *payload, size_t payload_bytes, OrderHead *head, Err *err)
{
    uint32_t version, zero;
    if (payload_bytes < sizeof version)
        return err_set(err, ERR_FORMAT, "a head of the order log of %zu bytes", payload_bytes);
    get_u32(payload, &version);
    if (version != LOG_FORMAT_VERSION)
        return err_set(err, ERR_VERSION,
                       "the order log has format version %u, this program reads version %d; go on "
                       "with the program that wrote it",
                       version, LOG_FORMAT_VERSION);
    if (payload_bytes != ORDER_HEAD_BYTES)
        return err_set(err, ERR_FORMAT, "a head of the order log of %zu bytes", payload_bytes);
    const uint8_t *at = get_u32(payload + sizeof version, &zero);
    at = get_bytes(at, head->run_id.bytes, sizeof head->run_id.bytes);
    get_u64(at, &head->base_number);
    if (zero != 0 || head->base_number == 0)
        return err_set(err, ERR_FORMAT, "a head of the order log with numbers out of range");
    return ERR_OK;
}

size_t order_block_bytes(const OrderBlock *block)
{
    return round_up_8(ORDER_BLOCK_HEADER_BYTES + sizeof(uint32_t) * block->count);
}

void order_block_encode(uint64_t number, const OrderBlock *block, uint8_t *payload)
{
    CHECK(block->count <= ORDER_UPDATES_MAX);
    uint8_t *at = put_u64(payload, number);
    at = put_u64(at, block->first_update);
    at = put_u64(at, block->position);
    at = put_u32(at, block->count);
    at = put_u32(at, 0);
    for (uint32_t i = 0; i < block->count; i++)
        at = put_u32(at, block->digests[i]);
    put_padding(at, payload + order_block_bytes(block));
}

int order_block_decode(const uint8_t *payload, size_t payload_bytes, uint64_t *number,
                       OrderBlock *block, Err *err)
{
    uint32_t zero;
    if (payload_bytes < ORDER_BLOCK_HEADER_BYTES)
        return err_set(err, ERR_FORMAT, "a block of %zu bytes", payload_bytes);
    memset(block, 0, sizeof *block);
    const uint8_t *at = get_u64(payload, number);
    at = get_u64(at, &block->first_update);
    at = get_u64(at, &block->position);
    at = get_u32(at, &block->count);
    at = get_u32(at, &zero);
    if (*number == 0 || zero != 0 || block->count > ORDER_UPDATES_MAX ||
        payload_bytes != order_block_bytes(block))
        return err_set(err, ERR_FORMAT, "a block of %u updates in %zu bytes", block->count,
                       payload_bytes);
    for (uint32_t i = 0; i < block->count; i++)
        at = get_u32(at, &block->digests[i]);
    if (block->count % 2 == 1)
        get_u32(at, &zero);
    return zero == 0 ? ERR_OK : err_set(err, ERR_FORMAT, "a block that is malformed");
}

void order_event_encode(uint64_t number, const OrderEvent *event, uint8_t *payload)
{
    uint8_t *at = put_u64(payload, number);
    at = put_u64(at, event->update);
    at = put_u64(at, event->position);
    at = put_u64(at, event->value);
    at = put_u32(at, (uint32_t)event->type);
    at = put_u32(at, 0);
    size_t text_bytes = strnlen(event->text, ORDER_TEXT_MAX);
    put_padding(put_bytes(at, event->text, text_bytes), payload + ORDER_EVENT_BYTES);
}

int order_event_decode(const uint8_t *payload, size_t payload_bytes, uint64_t *number,
                       OrderEvent *event, Err *err)
{
    uint32_t type, zero;
    if (payload_bytes != ORDER_EVENT_BYTES)
        return err_set(err, ERR_FORMAT, "an event of %zu bytes", payload_bytes);
    memset(event, 0, sizeof *event);
    const uint8_t *at = get_u64(payload, number);
    at = get_u64(at, &event->update);
    at = get_u64(at, &event->position);
    at = get_u64(at, &event->value);
    at = get_u32(at, &type);
    at = get_u32(at, &zero);
    get_bytes(at, event->text, sizeof event->text);
    size_t text_bytes = strnlen(event->text, sizeof event->text);
    if (*number == 0 || zero != 0 || type < ORDER_START || type > ORDER_STOP ||
        text_bytes > ORDER_TEXT_MAX)
        return err_set(err, ERR_FORMAT, "an event of type %u that is malformed", type);
    for (size_t i = text_bytes; i < sizeof event->text; i++) {
        if (event->text[i] != '\0')
            return err_set(err, ERR_FORMAT, "an event whose text is malformed");
    }
    event->type = (OrderEventType)type;
    return ERR_OK;
}
