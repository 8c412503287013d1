#include "learner/log/log_keeper.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

enum { FLUSHES_PER_TURN = 16 };

static void update_status(LogKeeper *keeper)
{
    LogStatus *status = &keeper->status;
    status->durable = !keeper->failing;
    status->bytes = log_writer_total_bytes(keeper->writer);
    status->position = log_writer_flushed_position(keeper->writer);
    status->synced_position = log_writer_synced_position(keeper->writer);
    status->handed_on = segment_ring_logged(keeper->ring);
    if (!keeper->failing)
        status->failing[0] = '\0';
}

void log_keeper_init(LogKeeper *keeper, LogWriter *writer, OrderLog *order, SegmentRing *ring,
                     LogOnError on_error, int64_t fsync_ms, int64_t now_ms)
{
    *keeper = (LogKeeper){.writer = writer,
                          .order = order,
                          .ring = ring,
                          .on_error = on_error,
                          .fsync_ms = fsync_ms,
                          .synced_ms = now_ms};
    update_status(keeper);
}

/* A write or a sync failed: says so once, and lets segments go on or wait. */
static void fail(LogKeeper *keeper, const Err *err, int64_t now_ms)
{
    bool waits = keeper->on_error == LOG_ON_ERROR_WAIT;
    keeper->retry_ms = now_ms + LOG_RETRY_MS;
    snprintf(keeper->status.failing, sizeof keeper->status.failing, "%.*s", LOG_STATE_TEXT_MAX,
             err->text);
    if (keeper->failing)
        return;
    keeper->failing = true;
    keeper->gap_began = keeper->status.unlogged;
    keeper->status.failures++;
    log_error("the replay log fails: %s. %s", err->text,
              waits ? "Nothing is accepted until it can be written (replay_log_on_error=wait)"
                    : "Training goes on without it: a crash would lose what comes now "
                      "(replay_log_on_error=continue)");
}

static void recovered(LogKeeper *keeper)
{
    uint64_t gap = keeper->status.unlogged - keeper->gap_began;
    keeper->failing = false;
    log_info("the replay log is written again; %llu segments went on without it",
             (unsigned long long)gap);
}

/* What is in the writer's buffer is in the file, or was skipped. */
static bool pass_on_buffered(LogKeeper *keeper)
{
    bool any = keeper->buffered > 0;
    segment_ring_mark_logged(keeper->ring, keeper->buffered);
    keeper->buffered = 0;
    return any;
}

/* Tries new files. Returns whether segments went on. */
static bool try_again(LogKeeper *keeper, int64_t now_ms)
{
    Err err;
    int code = log_writer_recover(keeper->writer, &err);
    if (code == ERR_OK && order_log_failed(keeper->order))
        code = order_log_recover(keeper->order, &err);
    if (code != ERR_OK) {
        fail(keeper, &err, now_ms);
        return false;
    }
    recovered(keeper);
    /* A writer that had failed has its buffer in the file now. */
    return log_writer_buffered_bytes(keeper->writer) == 0 && pass_on_buffered(keeper);
}

static LogEntry entry_of(const Segment *segment, const SegmentOrigin *origin, int64_t now_ms)
{
    return (LogEntry){.segment = segment,
                      .session = origin->session,
                      .session_steps = origin->session_steps,
                      .actor_index = origin->actor_index,
                      .incarnation = origin->incarnation,
                      .num_envs = origin->num_envs,
                      .key = origin->key,
                      .name = origin->name,
                      .now_ms = now_ms};
}

/* Writes what waits, in batches of the writer's buffer: so many at most that syncs and order
 * records have their turn. */
static bool log_segments(LogKeeper *keeper, int64_t now_ms)
{
    Err err;
    bool any = false;
    int flushes = 0;
    while (flushes < FLUSHES_PER_TURN) {
        const SegmentOrigin *origin = NULL;
        const Segment *segment = segment_ring_unlogged(keeper->ring, keeper->buffered, &origin);
        bool full = log_writer_buffered_bytes(keeper->writer) >= LOG_BUFFER_BYTES;
        int code = ERR_OK;
        if (segment && !full) {
            LogEntry entry = entry_of(segment, origin, now_ms);
            code = log_writer_append(keeper->writer, &entry, &err);
            keeper->buffered += code == ERR_OK;
        } else {
            code = log_writer_flush(keeper->writer, &err);
            flushes++;
            if (code == ERR_OK)
                any = pass_on_buffered(keeper) || any;
        }
        if (code != ERR_OK) {
            fail(keeper, &err, now_ms);
            return any;
        }
        if (!segment)
            break;
    }
    return any;
}

/* Lets all that waits go on unlogged. */
static bool skip_segments(LogKeeper *keeper, int64_t now_ms)
{
    const SegmentOrigin *origin = NULL;
    log_writer_skip_buffered(keeper->writer);
    keeper->status.unlogged += keeper->buffered;
    bool any = pass_on_buffered(keeper);
    const Segment *segment;
    while ((segment = segment_ring_unlogged(keeper->ring, 0, &origin)) != NULL) {
        LogEntry entry = entry_of(segment, origin, now_ms);
        log_writer_skip(keeper->writer, &entry);
        keeper->status.unlogged++;
        segment_ring_mark_logged(keeper->ring, 1);
        any = true;
    }
    return any;
}

void log_keeper_block(LogKeeper *keeper, const OrderBlock *block)
{
    Err err;
    if (order_log_block(keeper->order, block, &err) != ERR_OK)
        fail(keeper, &err, keeper->synced_ms);
}

void log_keeper_event(LogKeeper *keeper, const OrderEvent *event)
{
    Err err;
    if (order_log_event(keeper->order, event, &err) != ERR_OK)
        fail(keeper, &err, keeper->synced_ms);
}

bool log_keeper_turn(LogKeeper *keeper, int64_t now_ms)
{
    Err err;
    bool any = false;
    if (keeper->failing && now_ms >= keeper->retry_ms)
        any = try_again(keeper, now_ms);
    if (!keeper->failing)
        any = log_segments(keeper, now_ms) || any;
    if (!keeper->failing && order_log_flush(keeper->order, &err) != ERR_OK)
        fail(keeper, &err, now_ms);
    if (!keeper->failing && now_ms - keeper->synced_ms >= keeper->fsync_ms)
        (void)log_keeper_sync(keeper, now_ms, &err);
    if (keeper->failing && keeper->on_error == LOG_ON_ERROR_CONTINUE)
        any = skip_segments(keeper, now_ms) || any;
    update_status(keeper);
    return any;
}

/* A log that takes nothing more, as at replay_log_bytes_max, may have all on disk that went on:
 * then a checkpoint may refer to it, and what it lets go may be all the room that is missing. */
static bool is_all_on_disk(LogKeeper *keeper)
{
    Err err;
    uint64_t went_on = log_writer_next_position(keeper->writer) - 1 - keeper->buffered;
    return log_writer_synced_position(keeper->writer) == went_on &&
           order_log_flush(keeper->order, &err) == ERR_OK &&
           order_log_sync(keeper->order, &err) == ERR_OK;
}

int log_keeper_sync(LogKeeper *keeper, int64_t now_ms, Err *err)
{
    if (keeper->failing && is_all_on_disk(keeper))
        return ERR_OK;
    if (keeper->failing)
        return err_set(err, ERR_IO, "%s", keeper->status.failing);
    int code = log_writer_sync(keeper->writer, err);
    if (code == ERR_OK)
        code = order_log_sync(keeper->order, err);
    keeper->synced_ms = now_ms;
    if (code != ERR_OK)
        fail(keeper, err, now_ms);
    update_status(keeper);
    return code;
}

int64_t log_keeper_due_ms(const LogKeeper *keeper, int64_t now_ms)
{
    if (keeper->failing)
        return keeper->retry_ms;
    bool synced = keeper->status.synced_position == keeper->status.position;
    return synced ? now_ms + keeper->fsync_ms : keeper->synced_ms + keeper->fsync_ms;
}

void log_keeper_close(LogKeeper *keeper, int64_t now_ms)
{
    Err err;
    keeper->retry_ms = now_ms; /* the last moment to try */
    bool more = true;
    while (more)
        more = log_keeper_turn(keeper, now_ms);
    (void)log_keeper_sync(keeper, now_ms, &err);
    log_writer_destroy(&keeper->writer);
    order_log_close(&keeper->order);
}
