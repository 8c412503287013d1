#include "learner/log/log_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "learner/log/log_files.h"
#include "learner/log/log_writer_internal.h"

/* --- Making and freeing
 * --------------------------------------------------------------------------- */

static void copy_name(char to[WIRE_NAME_MAX + 1], const char *from)
{
    snprintf(to, WIRE_NAME_MAX + 1, "%s", from ? from : "");
}

static int take_sessions(LogWriter *writer, const LogState *start, Err *err)
{
    for (size_t i = 0; i < start->num_sessions; i++) {
        const SessionRecord *record = &start->sessions[i];
        LogSession *session = log_sessions_touch(&writer->sessions, &record->id,
                                                 writer->now_ms - (int64_t)record->idle_s * 1000);
        if (!session)
            return err_set(err, ERR_NOMEM, "no memory for %zu sessions", start->num_sessions);
        session->record = *record;
        session->logged = true;
        session->logged_sequence = record->sequence;
        session->logged_steps = record->env_steps;
    }
    return ERR_OK;
}

/* A file's name says where it begins and in which order; so what is there must lie before. */
static int check_newest(LogWriter *writer, Err *err)
{
    LogFileList list;
    int code = log_files_list(writer->disk, writer->directory, &list, err);
    if (code != ERR_OK || list.num_files == 0)
        return code;
    LogFileName newest = list.files[list.num_files - 1];
    log_files_free(&list);
    uint64_t base_position = writer->logged.next_position;
    if (newest.base_position > base_position ||
        (newest.base_position == base_position && newest.epoch > writer->config.epoch))
        return err_set(err, ERR_SPEC,
                       "the log in %.300s has %s already, later than position %" PRIu64
                       " of epoch %" PRIu32 "; resume the run",
                       writer->directory, newest.text, base_position, writer->config.epoch);
    if (newest.base_position == base_position && newest.epoch == writer->config.epoch)
        writer->file_number = newest.number + 1;
    return ERR_OK;
}

static int set_up(LogWriter *writer, const LogState *start, Err *err)
{
    const LogDims *dims = &writer->config.dims;
    size_t entry_bytes = 2 * frame_bytes(log_payload_bytes_max(dims)); /* SESSION and SEGMENT */
    size_t head_bytes = frame_bytes(FILE_HEAD_BYTES) + frame_bytes(log_payload_bytes_max(dims));
    int code = frame_buffer_init(&writer->buffer, LOG_BUFFER_BYTES + entry_bytes, err);
    if (code == ERR_OK)
        code = frame_buffer_init(&writer->head, head_bytes, err);
    if (code == ERR_OK)
        code = take_sessions(writer, start, err);
    if (code == ERR_OK)
        code = check_newest(writer, err);
    if (code == ERR_OK)
        code = log_writer_begin_file(writer, err);
    return code;
}

int log_writer_new(const LogDisk *disk, const char *directory, const LogWriterConfig *config,
                   const LogState *start, int64_t now_ms, LogWriter **out, Err *err)
{
    CHECK(config->dims.obs_dim > 0 && config->dims.obs_dim <= LOG_DIM_MAX);
    CHECK(config->dims.act_dim > 0 && config->dims.act_dim <= LOG_DIM_MAX);
    CHECK(config->dims.segment_steps > 0 && config->dims.segment_steps <= SEGMENT_STEPS_MAX);
    CHECK(start->next_position > 0 && config->sessions_max > 0);
    *out = NULL;
    LogWriter *writer = calloc(1, sizeof *writer);
    if (!writer)
        return err_set(err, ERR_NOMEM, "no memory for the log's writer");
    writer->disk = disk;
    writer->config = *config;
    writer->output.file = -1;
    writer->now_ms = now_ms;
    writer->ahead = *start;
    writer->ahead.sessions = NULL;
    writer->ahead.num_sessions = 0;
    writer->logged = writer->ahead;
    writer->synced_position = start->next_position - 1;
    snprintf(writer->directory, sizeof writer->directory, "%s", directory);
    Err why = {""};
    int code = set_up(writer, start, &why);
    if (code != ERR_OK) {
        err_set(err, code, "%s", why.text);
        log_writer_destroy(&writer);
        return code;
    }
    *out = writer;
    return ERR_OK;
}

void log_writer_destroy(LogWriter **writer)
{
    if (!*writer)
        return;
    frame_output_close(&(*writer)->output);
    frame_buffer_free(&(*writer)->buffer);
    frame_buffer_free(&(*writer)->head);
    log_sessions_free(&(*writer)->sessions);
    free(*writer);
    *writer = NULL;
}

/* --- Taking entries
 * ------------------------------------------------------------------------------- */

/* The session as this entry leaves it; *changed when readers must be told who it is. NULL when out
 * of memory. */
static LogSession *take_session(LogWriter *writer, const LogEntry *entry, SessionRecord *before,
                                bool *changed)
{
    if (entry->now_ms > writer->now_ms)
        writer->now_ms = entry->now_ms;
    LogSession *session = log_sessions_touch(&writer->sessions, &entry->session, writer->now_ms);
    if (!session)
        return NULL;
    SessionRecord *record = &session->record;
    SessionRecord now = {.id = entry->session,
                         .sequence = entry->segment->sequence,
                         .env_steps = entry->session_steps,
                         .actor_index = entry->actor_index,
                         .incarnation = entry->incarnation,
                         .num_envs = entry->num_envs};
    copy_name(now.key, entry->key);
    copy_name(now.name, entry->name);
    *changed = (!session->logged && record->sequence == 0) ||
               record->actor_index != now.actor_index || record->incarnation != now.incarnation ||
               record->num_envs != now.num_envs || strcmp(record->key, now.key) != 0 ||
               strcmp(record->name, now.name) != 0;
    *before = now;
    before->sequence = record->sequence;
    before->env_steps = record->env_steps;
    *record = now;
    return session;
}

static void advance(LogState *state, const Segment *segment)
{
    state->next_position++;
    state->row += segment_rows(segment);
    state->env_steps += (uint64_t)segment->num_steps;
    state->episodes += segment->end != SEGMENT_CONTINUES;
}

static size_t entry_bytes_max(const LogWriter *writer, const LogEntry *entry)
{
    const SegmentRecord record = {.segment = *entry->segment};
    return frame_bytes(segment_record_bytes(&record, &writer->config.dims)) +
           frame_bytes(SESSION_RECORD_BYTES_MAX);
}

int log_writer_append(LogWriter *writer, const LogEntry *entry, Err *err)
{
    const Segment *segment = entry->segment;
    CHECK(segment->num_steps >= 1 && segment->num_steps <= writer->config.dims.segment_steps);
    if (writer->buffer.used >= LOG_BUFFER_BYTES) {
        int code = log_writer_flush(writer, err);
        if (code != ERR_OK)
            return code;
    }
    Err why = {""};
    if (!writer->failed &&
        log_writer_check_budget(writer, entry_bytes_max(writer, entry), &why) != ERR_OK) {
        /* The file itself is sound: nothing in it needs to become suspect. */
        if (log_writer_sync(writer, err) == ERR_OK)
            log_writer_fail(writer, ERR_FULL, &why);
        return log_writer_still_failed(writer, err);
    }
    SessionRecord before;
    bool changed;
    if (!take_session(writer, entry, &before, &changed))
        return err_set(err, ERR_NOMEM, "no memory for one more session in the log");
    if (changed)
        session_record_encode(&before, frame_buffer_add(&writer->buffer, LOG_KIND_SESSION,
                                                        session_record_bytes(&before)));
    SegmentRecord record = {.position = writer->ahead.next_position,
                            .row = writer->ahead.row,
                            .session = entry->session,
                            .session_steps = entry->session_steps,
                            .segment = *segment};
    advance(&writer->ahead, segment);
    record.env_steps = writer->ahead.env_steps;
    const LogDims *dims = &writer->config.dims;
    segment_record_encode(
        &record, dims,
        frame_buffer_add(&writer->buffer, LOG_KIND_SEGMENT, segment_record_bytes(&record, dims)));
    return ERR_OK;
}

/* --- Skipping
 * ------------------------------------------------------------------------------------- */

/* What lies between `logged` and the given state goes on unlogged. */
static void extend_gap(LogWriter *writer, const LogState *to)
{
    GapRecord *gap = &writer->gap;
    if (!writer->gap_pending)
        *gap =
            (GapRecord){.first_position = writer->logged.next_position, .row = writer->logged.row};
    writer->gap_pending = true;
    gap->last_position = to->next_position - 1;
    gap->rows = to->row - gap->row;
    gap->env_steps = to->env_steps;
    gap->steps = to->env_steps - writer->logged.env_steps;
    writer->after_gap = *to;
}

void log_writer_skip_buffered(LogWriter *writer)
{
    if (writer->buffer.used == 0)
        return;
    log_writer_mark_logged(writer);
    extend_gap(writer, &writer->ahead);
    writer->buffer.used = 0;
}

void log_writer_skip(LogWriter *writer, const LogEntry *entry)
{
    log_writer_skip_buffered(writer);
    SessionRecord before;
    bool changed;
    LogSession *session = take_session(writer, entry, &before, &changed);
    if (session) {
        session->logged = true;
        session->logged_sequence = session->record.sequence;
        session->logged_steps = session->record.env_steps;
    }
    advance(&writer->ahead, entry->segment);
    extend_gap(writer, &writer->ahead);
}

/* --- Questions
 * ------------------------------------------------------------------------------------ */

void log_writer_heard(LogWriter *writer, const Session *session, int64_t now_ms)
{
    if (now_ms > writer->now_ms)
        writer->now_ms = now_ms;
    if (log_sessions_find(&writer->sessions, session))
        log_sessions_touch(&writer->sessions, session, writer->now_ms);
}

bool log_writer_failed(const LogWriter *writer)
{
    return writer->failed;
}

uint64_t log_writer_next_position(const LogWriter *writer)
{
    return writer->ahead.next_position;
}

uint64_t log_writer_flushed_position(const LogWriter *writer)
{
    return writer->logged.next_position - 1;
}

uint64_t log_writer_synced_position(const LogWriter *writer)
{
    return writer->synced_position;
}

bool log_writer_suspect(const LogWriter *writer, uint64_t *first_position, uint64_t *last_position)
{
    *first_position = writer->suspect_first;
    *last_position = writer->suspect_last;
    return writer->suspect_first > 0;
}

LogState log_writer_state(const LogWriter *writer)
{
    return writer->ahead;
}

uint64_t log_writer_total_bytes(const LogWriter *writer)
{
    return writer->total_bytes;
}

size_t log_writer_buffered_bytes(const LogWriter *writer)
{
    return writer->buffer.used;
}

const char *log_writer_path(const LogWriter *writer)
{
    return writer->output.file >= 0 ? writer->output.path : "";
}
