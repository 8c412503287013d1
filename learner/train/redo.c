#include "learner/train/redo.h"

#include "common/log.h"

/* The item behind the checkpoint that the core began with. */
static size_t first_item(const History *history, const RunState *run)
{
    for (size_t i = history->num_items; i > 0; i--) {
        const HistoryItem *item = &history->items[i - 1];
        if (item->is_event && item->event == ORDER_CHECKPOINT &&
            item->first_update == run->updates && item->position == run->log_position)
            return i;
    }
    size_t i = 0;
    while (i < history->num_items &&
           history->items[i].first_update + history->items[i].count <= run->updates)
        i++;
    /* A checkpoint of a start without a log: the record goes on from another one. */
    if (i < history->num_items && history->items[i].position < run->log_position)
        return history->num_items;
    return i;
}

int redo_init(Redo *redo, TrainCore *core, const History *history, LogReader *reader, Err *err)
{
    const RunState *run = core->run;
    *redo = (Redo){.core = core, .history = history, .reader = reader};
    redo->next_item = first_item(history, run);
    if (redo->next_item < history->num_items) {
        const HistoryItem *item = &history->items[redo->next_item];
        if (item->first_update < run->updates && item->first_update + item->count > run->updates)
            redo->next_update = (uint32_t)(run->updates - item->first_update);
    }
    return log_reader_seek_position(reader, run->log_position + 1, err);
}

/* Reads up to the next segment; false at the log's end. */
static int hold_segment(Redo *redo, Err *err)
{
    while (!redo->holding && !redo->at_end) {
        int code = log_reader_next(redo->reader, &redo->held, err);
        if (code != ERR_OK)
            return code;
        redo->holding = redo->held.kind == LOG_ITEM_SEGMENT;
        if (redo->held.kind == LOG_ITEM_DAMAGE || redo->held.kind == LOG_ITEM_TORN)
            log_warn("%s is damaged at byte %llu: %llu bytes are left out", redo->held.damage.path,
                     (unsigned long long)redo->held.damage.offset,
                     (unsigned long long)redo->held.damage.num_bytes);
        redo->at_end = redo->held.kind == LOG_ITEM_END;
    }
    return ERR_OK;
}

static void ingest_held(Redo *redo)
{
    RunState *run = redo->core->run;
    const SegmentRecord *record = &redo->held.segment;
    core_ingest(redo->core, &record->segment, record->position, record->row);
    run->env_steps = record->env_steps; /* those that were lost before it count as well */
    redo->holding = false;
}

/* Ingests up to the position; REDO_LOG_LOST when the log ends before it. */
static RedoStep ingest_to(Redo *redo, uint64_t position, Err *err)
{
    RunState *run = redo->core->run;
    while (run->log_position < position) {
        if (hold_segment(redo, err) != ERR_OK)
            return REDO_FAILED;
        if (redo->at_end)
            return REDO_LOG_LOST;
        if (redo->held.segment.position > position)
            run->log_position = position; /* what was lost in between stays so */
        else
            ingest_held(redo);
    }
    return REDO_UPDATED;
}

static RedoStep update(Redo *redo, const HistoryItem *item, Err *err)
{
    TrainCore *core = redo->core;
    uint64_t number = item->first_update + redo->next_update;
    if (core->run->updates != number)
        return REDO_HOLE;
    RedoStep step = ingest_to(redo, item->position, err);
    if (step != REDO_UPDATED)
        return step;
    if (core->replay->steps == 0)
        return REDO_LOG_LOST;
    DdpgStats stats;
    uint32_t digest = 0;
    core_draw(core);
    (void)core_update(core, &stats, &digest); /* one that was skipped is skipped again */
    if (digest != redo->history->digests[item->first_digest + redo->next_update] &&
        !redo->differs) {
        redo->differs = true;
        redo->first_difference = number;
    }
    redo->next_update++;
    return REDO_UPDATED;
}

RedoStep redo_step(Redo *redo, Err *err)
{
    if (redo->next_item == redo->history->num_items)
        return REDO_END;
    redo->item = &redo->history->items[redo->next_item];
    if (!redo->item->is_event) {
        RedoStep step = update(redo, redo->item, err);
        if (step != REDO_UPDATED || redo->next_update < redo->item->count)
            return step;
        redo->next_item++;
        redo->next_update = 0;
        return step;
    }
    if (redo->item->first_update > redo->core->run->updates)
        return REDO_HOLE;
    RedoStep step = ingest_to(redo, redo->item->position, err);
    if (step != REDO_UPDATED)
        return step;
    redo->next_item++;
    return REDO_EVENT;
}

int64_t redo_ingest_rest(Redo *redo, Err *err)
{
    int64_t count = 0;
    for (;; count++) {
        int code = hold_segment(redo, err);
        if (code != ERR_OK)
            return code;
        if (redo->at_end)
            return count;
        ingest_held(redo);
    }
}
