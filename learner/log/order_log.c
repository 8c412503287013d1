#include "learner/log/order_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"
#include "learner/log/frame_output.h"
#include "learner/log/order_files.h"

enum { ORDER_BUFFER_BYTES = 64 << 10 };

struct OrderLog {
    const LogDisk *disk;
    char directory[FS_PATH_MAX];
    RunId run_id;
    FrameBuffer buffer;
    FrameBuffer head;
    FrameOutput output;
    uint32_t num_files;
    uint64_t next_number;    /* of the next record */
    uint64_t flushed_number; /* of the last one that is in a file */
    bool failed;
    int failed_code;
    Err failed_why;
};

static int fail(OrderLog *log, int code, const Err *why, Err *err)
{
    frame_output_abandon(&log->output);
    log->failed = true;
    log->failed_code = code;
    log->failed_why = *why;
    return err_set(err, code, "%s", why->text);
}

static int still_failed(const OrderLog *log, Err *err)
{
    return err_set(err, log->failed_code, "%s", log->failed_why.text);
}

/* A new file, whose first record follows the last one that was flushed. */
static int begin_file(OrderLog *log, Err *err)
{
    char path[FS_PATH_MAX];
    Err why = {""};
    int code = ERR_EXISTS;
    while (code == ERR_EXISTS) {
        uint32_t number = log->num_files++;
        code = order_file_path(log->directory, number, path, &why);
        if (code == ERR_OK)
            code = frame_output_create(&log->output, log->disk, path,
                                       order_file_salt(&log->run_id, number), &why);
    }
    if (code != ERR_OK) {
        log->num_files--; /* the name is still free */
        return fail(log, code, &why, err);
    }
    OrderHead head = {.run_id = log->run_id, .base_number = log->flushed_number + 1};
    log->head.used = 0;
    order_head_encode(&head, frame_buffer_add(&log->head, LOG_KIND_ORDER_HEAD, ORDER_HEAD_BYTES));
    code = frame_output_write(&log->output, &log->head, &why);
    return code == ERR_OK ? ERR_OK : fail(log, code, &why, err);
}

/* --- Opening -------------------------------------------------------------------------------------
 */

static void say_cut(const char *path, const OrderEnd *end,
                    void (*warn)(void *user, const char *line), void *user)
{
    char line[FS_PATH_MAX + 128];
    snprintf(line, sizeof line,
             "%s: %" PRIu64 " bytes at offset %" PRIu64 " were not written whole, and are cut off",
             path, end->torn_bytes, end->sound_bytes);
    if (warn)
        warn(user, line);
}

/* Cuts the torn tail of what an earlier start left, and syncs the rest: it was read back, and
 * counts as recorded. Nothing is written behind it: its sync may have failed before. */
static int leave_newest(const OrderLog *log, const OrderEnd *end,
                        void (*warn)(void *user, const char *line), void *user, Err *err)
{
    const LogDisk *disk = log->disk;
    char path[FS_PATH_MAX];
    int code = order_file_path(log->directory, log->num_files - 1, path, err);
    if (code != ERR_OK)
        return code;
    int file = disk->open(disk->context, path, DISK_APPEND);
    if (file < 0)
        return disk_error(err, "sync", path, file);
    const char *what = "cut";
    int result = 0;
    if (end->torn_bytes > 0)
        result = disk->truncate(disk->context, file, end->sound_bytes);
    if (result == 0 && end->torn_bytes > 0)
        say_cut(path, end, warn, user);
    if (result == 0) {
        what = "sync";
        result = disk->sync(disk->context, file);
    }
    disk->close(disk->context, file);
    if (result == 0)
        result = disk->sync_dir(disk->context, log->directory);
    return result < 0 ? disk_error(err, what, path, result) : ERR_OK;
}

static int set_up(OrderLog *log, const char *directory, void (*warn)(void *user, const char *line),
                  void *user, Err *err)
{
    OrderEnd end = {0};
    int code = fs_join(log->directory, directory, "", err);
    if (code == ERR_OK)
        code = frame_buffer_init(&log->buffer,
                                 ORDER_BUFFER_BYTES + frame_bytes(ORDER_PAYLOAD_BYTES_MAX), err);
    if (code == ERR_OK)
        code = frame_buffer_init(&log->head, frame_bytes(ORDER_HEAD_BYTES), err);
    if (code == ERR_OK)
        code = order_files_end(log->disk, log->directory, &log->run_id, &end, err);
    if (code == ERR_OK)
        code = order_files_count(log->disk, log->directory, &log->num_files, err);
    if (code != ERR_OK)
        return code;
    log->flushed_number = end.last_number;
    log->next_number = end.last_number + 1;
    if (end.has_head)
        code = leave_newest(log, &end, warn, user, err);
    return code == ERR_OK ? begin_file(log, err) : code;
}

int order_log_open(const LogDisk *disk, const char *directory, const RunId *run_id,
                   void (*warn)(void *user, const char *line), void *user, OrderLog **out, Err *err)
{
    *out = NULL;
    OrderLog *log = calloc(1, sizeof *log);
    if (!log)
        return err_set(err, ERR_NOMEM, "no memory for the order log");
    log->disk = disk;
    log->run_id = *run_id;
    log->output.file = -1;
    int code = set_up(log, directory, warn, user, err);
    if (code != ERR_OK)
        order_log_close(&log);
    *out = log;
    return code;
}

void order_log_close(OrderLog **log)
{
    if (!*log)
        return;
    frame_output_close(&(*log)->output);
    frame_buffer_free(&(*log)->buffer);
    frame_buffer_free(&(*log)->head);
    free(*log);
    *log = NULL;
}

/* --- Writing -------------------------------------------------------------------------------------
 */

static int make_room(OrderLog *log, Err *err)
{
    return log->buffer.used < ORDER_BUFFER_BYTES ? ERR_OK : order_log_flush(log, err);
}

int order_log_block(OrderLog *log, const OrderBlock *block, Err *err)
{
    CHECK(block->count <= ORDER_UPDATES_MAX);
    int code = make_room(log, err);
    if (code != ERR_OK)
        return code;
    order_block_encode(log->next_number++, block,
                       frame_buffer_add(&log->buffer, LOG_KIND_BLOCK, order_block_bytes(block)));
    return ERR_OK;
}

int order_log_event(OrderLog *log, const OrderEvent *event, Err *err)
{
    CHECK(event->type >= ORDER_START && event->type <= ORDER_STOP);
    int code = make_room(log, err);
    if (code != ERR_OK)
        return code;
    order_event_encode(log->next_number++, event,
                       frame_buffer_add(&log->buffer, LOG_KIND_EVENT, ORDER_EVENT_BYTES));
    return ERR_OK;
}

int order_log_flush(OrderLog *log, Err *err)
{
    Err why = {""};
    if (log->failed)
        return still_failed(log, err);
    if (log->buffer.used == 0)
        return ERR_OK;
    int code = frame_output_write(&log->output, &log->buffer, &why);
    if (code != ERR_OK)
        return fail(log, code, &why, err);
    log->buffer.used = 0;
    log->flushed_number = log->next_number - 1;
    return ERR_OK;
}

int order_log_sync(OrderLog *log, Err *err)
{
    Err why = {""};
    if (log->failed)
        return still_failed(log, err);
    int code = frame_output_sync(&log->output, log->directory, &why);
    return code == ERR_OK ? ERR_OK : fail(log, code, &why, err);
}

bool order_log_failed(const OrderLog *log)
{
    return log->failed;
}

int order_log_recover(OrderLog *log, Err *err)
{
    if (!log->failed)
        return ERR_OK;
    log->failed = false;
    int code = begin_file(log, err);
    return code == ERR_OK ? order_log_flush(log, err) : code;
}

uint64_t order_log_flushed_number(const OrderLog *log)
{
    return log->flushed_number;
}
