#include "learner/train/history.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for `wanted` elements. */
static bool reserve(void **array, size_t *room, size_t wanted, size_t element_bytes)
{
    if (wanted <= *room)
        return true;
    size_t larger = *room > 0 ? *room * 2 : 1024;
    while (larger < wanted)
        larger *= 2;
    void *grown = realloc(*array, larger * element_bytes);
    if (!grown)
        return false;
    *array = grown;
    *room = larger;
    return true;
}

static HistoryItem *add_item(History *history)
{
    void *items = history->items;
    if (!reserve(&items, &history->items_room, history->num_items + 1, sizeof *history->items))
        return NULL;
    history->items = items;
    HistoryItem *item = &history->items[history->num_items++];
    *item = (HistoryItem){0};
    return item;
}

static int add_block(History *history, const OrderBlock *block, Err *err)
{
    void *digests = history->digests;
    if (!reserve(&digests, &history->digests_room, history->num_digests + block->count,
                 sizeof *history->digests))
        return err_set(err, ERR_NOMEM, "out of memory for the order log");
    history->digests = digests;
    HistoryItem *item = add_item(history);
    if (!item)
        return err_set(err, ERR_NOMEM, "out of memory for the order log");
    item->position = block->position;
    item->first_update = block->first_update;
    item->count = block->count;
    item->first_digest = history->num_digests;
    memcpy(history->digests + history->num_digests, block->digests,
           block->count * sizeof *history->digests);
    history->num_digests += block->count;
    return ERR_OK;
}

static int add_event(History *history, const OrderEvent *event, Err *err)
{
    HistoryItem *item = add_item(history);
    if (!item)
        return err_set(err, ERR_NOMEM, "out of memory for the order log");
    item->is_event = true;
    item->position = event->position;
    item->first_update = event->update;
    item->event = event->type;
    item->value = event->value;
    memcpy(item->text, event->text, sizeof item->text);
    return ERR_OK;
}

/* A resume goes on at this update and position: what the record has beyond was never done for good,
 * or done again by another hand. */
static void cut(History *history, uint64_t update, uint64_t position)
{
    size_t kept = 0;
    for (size_t i = 0; i < history->num_items; i++) {
        HistoryItem item = history->items[i];
        if (item.first_update > update || item.position > position ||
            (!item.is_event && item.first_update == update))
            continue;
        if (item.first_update + item.count > update)
            item.count = (uint32_t)(update - item.first_update);
        history->items[kept++] = item;
    }
    history->num_items = kept;
}

static int take(History *history, const OrderItem *item, Err *err)
{
    if (item->kind == ORDER_ITEM_DAMAGE || item->kind == ORDER_ITEM_TORN) {
        history->damaged++;
        return ERR_OK;
    }
    if (item->kind == ORDER_ITEM_BLOCK)
        return add_block(history, &item->block, err);
    if (item->event.type == ORDER_RESUME)
        cut(history, item->event.update, item->event.position);
    return add_event(history, &item->event, err);
}

int history_load(History *history, const LogDisk *disk, const char *directory, const RunId *run_id,
                 Err *err)
{
    *history = (History){0};
    OrderReader *reader = NULL;
    int code = order_reader_open(disk, directory, run_id, &reader, err);
    while (code == ERR_OK) {
        OrderItem item;
        code = order_reader_next(reader, &item, err);
        if (code == ERR_OK && item.kind == ORDER_ITEM_END)
            break;
        if (code == ERR_OK)
            code = take(history, &item, err);
    }
    if (reader)
        order_reader_close(&reader);
    if (code != ERR_OK)
        history_free(history);
    return code;
}

void history_free(History *history)
{
    free(history->items);
    free(history->digests);
    *history = (History){0};
}

uint64_t history_end(const History *history)
{
    uint64_t end = 0;
    for (size_t i = 0; i < history->num_items; i++) {
        const HistoryItem *item = &history->items[i];
        if (item->first_update + item->count > end)
            end = item->first_update + item->count;
    }
    return end;
}
