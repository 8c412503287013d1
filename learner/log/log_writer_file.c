#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/text.h"
#include "learner/log/log_files.h"
#include "learner/log/log_writer_internal.h"

/* --- Failing
 * -------------------------------------------------------------------------------------- */

static void note_suspects(LogWriter *writer)
{
    uint64_t last = log_writer_flushed_position(writer);
    if (last <= writer->synced_position)
        return;
    if (writer->suspect_first == 0)
        writer->suspect_first = writer->synced_position + 1;
    writer->suspect_last = last;
}

int log_writer_fail(LogWriter *writer, int code, const Err *err)
{
    /* A file that says nothing new would only take room; one that was synced may be needed for its
     * session table, since older files may have gone. */
    if (!writer->file_has_records && !writer->output.dir_synced)
        writer->output.bytes = 0;
    frame_output_abandon(&writer->output);
    note_suspects(writer);
    writer->failed = true;
    writer->failed_code = code;
    writer->failed_why = *err;
    return code;
}

int log_writer_still_failed(const LogWriter *writer, Err *err)
{
    return err_set(err, writer->failed_code, "%s", writer->failed_why.text);
}

int log_writer_check_budget(const LogWriter *writer, size_t num_bytes, Err *err)
{
    char need[TEXT_NUMBER_BYTES], max[TEXT_NUMBER_BYTES];
    uint64_t bytes = writer->total_bytes + writer->buffer.used + num_bytes;
    if (writer->config.bytes_max == 0 || bytes <= writer->config.bytes_max)
        return ERR_OK;
    return err_set(err, ERR_FULL,
                   "the logs in %.300s would take %s bytes, more than replay_log_bytes_max = %s; "
                   "raise it, or let fewer checkpoints need the log",
                   writer->directory, text_thousands(bytes, need),
                   text_thousands(writer->config.bytes_max, max));
}

/* --- Beginning a file
 * ------------------------------------------------------------------------------ */

static int create_file(LogWriter *writer, Err *err)
{
    char path[FS_PATH_MAX];
    LogFileName name;
    int code = ERR_EXISTS;
    while (code == ERR_EXISTS && writer->file_number < UINT32_MAX) {
        log_file_name(writer->logged.next_position, writer->config.epoch, writer->file_number++,
                      &name);
        code = fs_join(path, writer->directory, name.text, err);
        if (code == ERR_OK)
            code = frame_output_create(&writer->output, writer->disk, path,
                                       log_file_salt(&writer->config.run_id, &name), err);
    }
    return code;
}

static int write_head_buffer(LogWriter *writer, Err *err)
{
    size_t num_bytes = writer->head.used;
    int code = frame_output_write(&writer->output, &writer->head, err);
    writer->head.used = 0;
    writer->total_bytes += code == ERR_OK ? num_bytes : 0;
    return code;
}

static uint32_t idle_s(const LogWriter *writer, const LogSession *session)
{
    int64_t idle = (writer->now_ms - session->heard_ms) / 1000;
    if (idle < 0)
        return 0;
    return idle > UINT32_MAX ? UINT32_MAX : (uint32_t)idle;
}

/* From the longest silent on, so that a reader knows the order. Those that are only in the buffer
 * are named there. */
static int write_table(LogWriter *writer, Err *err)
{
    int code = ERR_OK;
    SessionRecord *piece = writer->piece;
    const LogSession *session = writer->sessions.longest;
    while (code == ERR_OK && session) {
        size_t count = 0;
        for (; session && count < LOG_TABLE_SESSIONS_MAX; session = session->next) {
            if (!session->logged)
                continue;
            piece[count] = session->record;
            piece[count].sequence = session->logged_sequence;
            piece[count].env_steps = session->logged_steps;
            piece[count++].idle_s = idle_s(writer, session);
        }
        if (count == 0)
            break;
        table_record_encode(
            piece, count,
            frame_buffer_add(&writer->head, LOG_KIND_TABLE, table_record_bytes(piece, count)));
        code = write_head_buffer(writer, err);
    }
    return code;
}

static uint32_t count_logged(const LogWriter *writer)
{
    uint32_t count = 0;
    for (const LogSession *s = writer->sessions.longest; s; s = s->next)
        count += s->logged;
    return count;
}

static int write_head(LogWriter *writer, Err *err)
{
    const FileHead head = {.run_id = writer->config.run_id,
                           .epoch = writer->config.epoch,
                           .dims = writer->config.dims,
                           .base_position = writer->logged.next_position,
                           .base_row = writer->logged.row,
                           .env_steps = writer->logged.env_steps,
                           .episodes = writer->logged.episodes,
                           .num_sessions = count_logged(writer)};
    file_head_encode(&head, frame_buffer_add(&writer->head, LOG_KIND_HEAD, FILE_HEAD_BYTES));
    int code = write_head_buffer(writer, err);
    if (code == ERR_OK && writer->gap_pending) {
        gap_record_encode(&writer->gap,
                          frame_buffer_add(&writer->head, LOG_KIND_GAP, GAP_RECORD_BYTES));
        code = write_head_buffer(writer, err);
    }
    /* After the gap, whose segments it speaks for: a file that was cut must not have it alone. */
    if (code == ERR_OK)
        code = write_table(writer, err);
    return code;
}

/* Upper bound of what stands before the records. */
static size_t head_bytes_max(const LogWriter *writer)
{
    size_t num_bytes = frame_bytes(FILE_HEAD_BYTES) + frame_bytes(GAP_RECORD_BYTES);
    size_t count = 0;
    for (const LogSession *s = writer->sessions.longest; s; s = s->next, count++)
        num_bytes += session_record_bytes(&s->record);
    return num_bytes + (count / LOG_TABLE_SESSIONS_MAX + 1) * (frame_bytes(0) + 8);
}

int log_writer_begin_file(LogWriter *writer, Err *err)
{
    int64_t silent_since_ms = writer->now_ms - writer->config.session_retention_ms;
    log_sessions_trim(&writer->sessions, writer->config.sessions_max, silent_since_ms);
    writer->head.used = 0;
    writer->file_has_records = false;
    int code = log_writer_recount(writer, err);
    if (code == ERR_OK)
        code = log_writer_check_budget(writer, head_bytes_max(writer), err);
    if (code == ERR_OK)
        code = create_file(writer, err);
    if (code == ERR_OK)
        code = write_head(writer, err);
    if (code != ERR_OK)
        return log_writer_fail(writer, code, err);
    if (writer->gap_pending) {
        writer->logged = writer->after_gap;
        writer->file_has_records = true;
    }
    writer->gap_pending = false;
    return ERR_OK;
}

int log_writer_recount(LogWriter *writer, Err *err)
{
    uint64_t num_bytes;
    int code = log_files_bytes(writer->disk, writer->directory, &num_bytes, err);
    if (code == ERR_OK)
        writer->total_bytes = num_bytes;
    return code;
}

/* --- Flushing and syncing
 * --------------------------------------------------------------------------- */

void log_writer_mark_logged(LogWriter *writer)
{
    Frame frame;
    SegmentRecord record;
    for (size_t at = 0; frame_buffer_next(&writer->buffer, &at, &frame);) {
        if (frame.kind != LOG_KIND_SEGMENT)
            continue;
        segment_record_peek(frame.payload, &record);
        LogSession *session = log_sessions_find(&writer->sessions, &record.session);
        CHECK(session);
        session->logged = true;
        session->logged_sequence = record.segment.sequence;
        session->logged_steps = record.session_steps;
    }
}

/* The next file, when there is none, when this one would grow too large, or when a gap is to be
 * named, which stands at a file's head. */
static int begin_file_if_due(LogWriter *writer, Err *err)
{
    bool open = writer->output.file >= 0;
    bool full = writer->file_has_records &&
                writer->output.bytes + writer->buffer.used > writer->config.file_bytes_max;
    if (open && !full && !writer->gap_pending)
        return ERR_OK;
    if (open) {
        int code = log_writer_sync(writer, err);
        if (code != ERR_OK)
            return code;
        frame_output_close(&writer->output);
    }
    return log_writer_begin_file(writer, err);
}

int log_writer_flush(LogWriter *writer, Err *err)
{
    Err why = {""};
    if (writer->failed)
        return log_writer_still_failed(writer, err);
    if (writer->buffer.used == 0 && !writer->gap_pending)
        return ERR_OK;
    int code = begin_file_if_due(writer, &why);
    if (code == ERR_OK && writer->buffer.used > 0) {
        code = frame_output_write(&writer->output, &writer->buffer, &why);
        if (code != ERR_OK)
            log_writer_fail(writer, code, &why);
    }
    if (code != ERR_OK)
        return log_writer_still_failed(writer, err);
    if (writer->buffer.used > 0) {
        log_writer_mark_logged(writer);
        writer->total_bytes += writer->buffer.used;
        writer->file_has_records = true;
        writer->buffer.used = 0;
        writer->logged = writer->ahead;
        log_sessions_trim(&writer->sessions, writer->config.sessions_max, INT64_MIN);
    }
    return ERR_OK;
}

int log_writer_sync(LogWriter *writer, Err *err)
{
    Err why = {""};
    if (writer->failed)
        return log_writer_still_failed(writer, err);
    int code = frame_output_sync(&writer->output, writer->directory, &why);
    if (code != ERR_OK) {
        log_writer_fail(writer, code, &why);
        return log_writer_still_failed(writer, err);
    }
    writer->synced_position = log_writer_flushed_position(writer);
    return ERR_OK;
}

int log_writer_recover(LogWriter *writer, Err *err)
{
    if (!writer->failed)
        return ERR_OK;
    Err why = {""};
    writer->failed = false;
    int code = log_writer_begin_file(writer, &why);
    if (code != ERR_OK)
        return log_writer_still_failed(writer, err);
    return log_writer_flush(writer, err);
}

int log_writer_prune(LogWriter *writer, uint64_t row_needed, size_t *num_removed, Err *err)
{
    uint64_t bytes_removed;
    *num_removed = 0;
    int code = log_writer_sync(writer, err);
    if (code == ERR_OK)
        code = log_files_prune(writer->disk, writer->directory, row_needed, num_removed,
                               &bytes_removed, err);
    if (code == ERR_OK && *num_removed > 0)
        code = log_writer_recount(writer, err);
    return code;
}
