#include "learner/log/log_recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "learner/log/log_sessions.h"

enum { WARNINGS_MAX = 100 };

typedef struct Recovery {
    const LogDisk *disk;
    const LogRecoverCallbacks *callbacks;
    LogRecovered *out;
    LogSessionTable sessions;
    uint32_t sessions_max;
    bool started;        /* something said where the log begins */
    uint64_t table_mark; /* number of the table that is being read */
    uint64_t table_left; /* its sessions that are still to come */
    unsigned num_warnings;
    char newest[FS_PATH_MAX]; /* path of the newest file; empty when there is none */
} Recovery;

static void warn(Recovery *recovery, const char *format, const LogDamage *damage)
{
    char line[FS_PATH_MAX + 256];
    if (!recovery->callbacks || !recovery->callbacks->warn ||
        recovery->num_warnings++ >= WARNINGS_MAX)
        return;
    int length = snprintf(line, sizeof line, "%s: %" PRIu64 " bytes at offset %" PRIu64 " ",
                          damage->path, damage->num_bytes, damage->offset);
    if (length > 0 && (size_t)length < sizeof line)
        snprintf(line + length, sizeof line - (size_t)length, "%s%s", format,
                 recovery->num_warnings == WARNINGS_MAX ? " (further lines are left out)" : "");
    recovery->callbacks->warn(recovery->callbacks->user, line);
}

/* --- Sessions
 * -------------------------------------------------------------------------------------- */

static int no_memory(Err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the log's sessions");
}

/* A table that is there whole stands for all sessions: what it does not name has expired. */
static void end_table(Recovery *recovery)
{
    LogSessionTable *table = &recovery->sessions;
    while (table->longest && table->longest->mark != recovery->table_mark)
        log_sessions_remove(table, table->longest);
}

static int take_sessions(Recovery *recovery, const LogSessions *sessions, Err *err)
{
    for (size_t i = 0; i < sessions->num_records; i++) {
        const SessionRecord *record = &sessions->records[i];
        LogSession *session = log_sessions_touch(&recovery->sessions, &record->id, 0);
        if (!session)
            return no_memory(err);
        SessionRecord before = session->record;
        session->record = *record;
        if (before.sequence > record->sequence) {
            session->record.sequence = before.sequence;
            session->record.env_steps = before.env_steps;
        }
        session->mark = recovery->table_mark;
    }
    if (sessions->table && recovery->table_left > 0) {
        recovery->table_left -= sessions->num_records < recovery->table_left ? sessions->num_records
                                                                             : recovery->table_left;
        if (recovery->table_left == 0)
            end_table(recovery);
    }
    return ERR_OK;
}

static int take_segment_session(Recovery *recovery, const SegmentRecord *record, Err *err)
{
    LogSession *session = log_sessions_touch(&recovery->sessions, &record->session, 0);
    if (!session)
        return no_memory(err);
    session->record.idle_s = 0;
    session->mark = recovery->table_mark;
    if (record->segment.sequence > session->record.sequence) {
        session->record.sequence = record->segment.sequence;
        session->record.env_steps = record->session_steps;
    }
    return ERR_OK;
}

/* --- Positions
 * -------------------------------------------------------------------------------------- */

/* The log goes on at `position`: what lies between is lost. */
static void go_on_at(Recovery *recovery, uint64_t position)
{
    LogState *state = &recovery->out->state;
    if (recovery->started && position > state->next_position)
        recovery->out->missing_positions += position - state->next_position;
    recovery->started = true;
    state->next_position = position;
}

static int take_head(Recovery *recovery, const FileHead *head)
{
    LogState *state = &recovery->out->state;
    recovery->table_mark++;
    recovery->table_left = head->num_sessions;
    if (recovery->started && head->base_position < state->next_position)
        return ERR_OK;
    go_on_at(recovery, head->base_position);
    state->row = head->base_row;
    state->env_steps = head->env_steps;
    state->episodes = head->episodes;
    return ERR_OK;
}

static int take_segment(Recovery *recovery, const SegmentRecord *record, Err *err)
{
    LogRecovered *out = recovery->out;
    LogState *state = &out->state;
    const LogRecoverCallbacks *callbacks = recovery->callbacks;
    go_on_at(recovery, record->position);
    if (out->num_segments++ == 0) {
        out->first_position = record->position;
        out->first_row = record->row;
    }
    state->next_position = record->position + 1;
    state->row = record->row + segment_rows(&record->segment);
    state->env_steps = record->env_steps;
    state->episodes += record->segment.end != SEGMENT_CONTINUES;
    int code = take_segment_session(recovery, record, err);
    if (code == ERR_OK && callbacks && callbacks->segment && state->row > callbacks->row)
        code = callbacks->segment(callbacks->user, record, err);
    return code;
}

static int take_gap(Recovery *recovery, const GapRecord *gap)
{
    LogState *state = &recovery->out->state;
    go_on_at(recovery, gap->first_position);
    recovery->out->gap_positions += gap->last_position - gap->first_position + 1;
    state->next_position = gap->last_position + 1;
    state->row = gap->row + gap->rows;
    state->env_steps = gap->env_steps;
    return ERR_OK;
}

/* --- Damage
 * ----------------------------------------------------------------------------------------- */

/* Whether what is at the file's end was never written whole: its writer died, or lost power, in the
 * midst of it. An older file was whole when the next was begun, or was cut back: what is no record
 * there is damage, and is kept for a person to look at, as are first bytes that nobody wrote. */
static int is_unwritten(const Recovery *recovery, const LogDamage *damage, bool *unwritten,
                        Err *err)
{
    static const uint8_t zeros[8];
    uint8_t bytes[sizeof zeros];
    const LogDisk *disk = recovery->disk;
    bool newest = strcmp(damage->path, recovery->newest) == 0;
    *unwritten = newest && (damage->offset > 0 || damage->num_bytes < FILE_HEAD_BYTES);
    if (*unwritten || !newest)
        return ERR_OK;
    int file = disk->open(disk->context, damage->path, DISK_READ);
    if (file < 0)
        return disk_error(err, "read", damage->path, file);
    ssize_t got = disk_read_all(disk, file, bytes, sizeof bytes, 0);
    disk->close(disk->context, file);
    if (got < 0)
        return disk_error(err, "read", damage->path, (int)got);
    *unwritten = got < (ssize_t)sizeof bytes || memcmp(bytes, zeros, sizeof bytes) == 0;
    return ERR_OK;
}

static int cut(Recovery *recovery, const LogDamage *damage, Err *err)
{
    const LogDisk *disk = recovery->disk;
    int file = disk->open(disk->context, damage->path, DISK_APPEND);
    if (file < 0)
        return disk_error(err, "cut", damage->path, file);
    int result = disk->truncate(disk->context, file, damage->offset);
    disk->close(disk->context, file);
    if (result < 0)
        return disk_error(err, "cut", damage->path, result);
    recovery->out->torn_bytes += damage->num_bytes;
    warn(recovery, "were not written whole, and are cut off", damage);
    return ERR_OK;
}

static int take_damage(Recovery *recovery, const LogItem *item, Err *err)
{
    bool unwritten = false;
    int code = ERR_OK;
    if (item->kind == LOG_ITEM_TORN)
        code = is_unwritten(recovery, &item->damage, &unwritten, err);
    if (code != ERR_OK)
        return code;
    if (unwritten)
        return cut(recovery, &item->damage, err);
    recovery->out->damaged_bytes += item->damage.num_bytes;
    warn(recovery, "are damaged; what was in them is lost", &item->damage);
    return ERR_OK;
}

/* --- The whole
 * --------------------------------------------------------------------------------------- */

static int take_item(Recovery *recovery, const LogItem *item, Err *err)
{
    switch (item->kind) {
    case LOG_ITEM_HEAD:
        return take_head(recovery, &item->head);
    case LOG_ITEM_SESSIONS:
        return take_sessions(recovery, &item->sessions, err);
    case LOG_ITEM_SEGMENT:
        return take_segment(recovery, &item->segment, err);
    case LOG_ITEM_GAP:
        return take_gap(recovery, &item->gap);
    case LOG_ITEM_DAMAGE:
    case LOG_ITEM_TORN:
        return take_damage(recovery, item, err);
    default:
        return ERR_OK;
    }
}

static int read_all(Recovery *recovery, LogReader *reader, Err *err)
{
    LogItem item = {.kind = LOG_ITEM_HEAD};
    int code = log_reader_next(reader, &item, err);
    while (code == ERR_OK && item.kind != LOG_ITEM_END) {
        code = take_item(recovery, &item, err);
        if (code == ERR_OK)
            code = log_reader_next(reader, &item, err);
    }
    /* A file whose head is lost may stand after all that could be read. */
    uint64_t base_position = log_reader_base_position(reader);
    if (code == ERR_OK && base_position > recovery->out->state.next_position)
        go_on_at(recovery, base_position);
    return code;
}

/* What a process left in the system's cache when it died was read back, and counts as logged: it
 * must survive the next power loss too. All but the newest file were synced when the next was
 * begun. */
static int sync_newest(const Recovery *recovery, const char *directory, Err *err)
{
    const LogDisk *disk = recovery->disk;
    const char *path = recovery->newest;
    if (!path[0])
        return ERR_OK;
    int file = disk->open(disk->context, path, DISK_APPEND);
    if (file < 0)
        return disk_error(err, "sync", path, file);
    int result = disk->sync(disk->context, file);
    disk->close(disk->context, file);
    if (result == 0)
        result = disk->sync_dir(disk->context, directory);
    return result < 0 ? disk_error(err, "sync", path, result) : ERR_OK;
}

static int give_sessions(Recovery *recovery, Err *err)
{
    LogRecovered *out = recovery->out;
    for (LogSession *s = recovery->sessions.longest; s; s = s->next) {
        s->logged = true;
        s->logged_sequence = s->record.sequence;
    }
    log_sessions_trim(&recovery->sessions, recovery->sessions_max, INT64_MIN);
    size_t count = log_sessions_count(&recovery->sessions);
    if (count == 0)
        return ERR_OK;
    out->sessions = calloc(count, sizeof *out->sessions);
    if (!out->sessions)
        return no_memory(err);
    for (LogSession *s = recovery->sessions.longest; s; s = s->next)
        out->sessions[out->state.num_sessions++] = s->record;
    out->state.sessions = out->sessions;
    return ERR_OK;
}

/* Goes to the file that holds the row, or to the first one when its session table is not whole. */
static int go_to_row(LogReader *reader, uint64_t row, Err *err)
{
    int code = log_reader_seek_file(reader, row, err);
    LogItem item = {.kind = LOG_ITEM_END};
    if (code == ERR_OK)
        code = log_reader_next(reader, &item, err);
    if (code != ERR_OK || item.kind == LOG_ITEM_END)
        return code;
    FileHead head = {0};
    uint64_t num_sessions = 0;
    if (item.kind == LOG_ITEM_HEAD) {
        head = item.head;
        do {
            code = log_reader_next(reader, &item, err);
            if (code == ERR_OK && item.kind == LOG_ITEM_SESSIONS && item.sessions.table)
                num_sessions += item.sessions.num_records;
        } while (code == ERR_OK && (item.kind == LOG_ITEM_GAP ||
                                    (item.kind == LOG_ITEM_SESSIONS && item.sessions.table)));
    }
    if (code != ERR_OK)
        return code;
    bool whole = head.base_position > 0 && num_sessions >= head.num_sessions;
    return whole ? log_reader_seek_file(reader, row, err)
                 : log_reader_seek_position(reader, 0, err);
}

int log_recover(const LogDisk *disk, const char *directory, const RunId *run_id,
                const LogDims *dims, uint32_t sessions_max, const LogRecoverCallbacks *callbacks,
                LogRecovered *recovered, Err *err)
{
    *recovered = (LogRecovered){.state.next_position = 1};
    /* Whoever needs the replay from its first row on misses what the first files do not have. */
    Recovery recovery = {.disk = disk,
                         .callbacks = callbacks,
                         .out = recovered,
                         .sessions_max = sessions_max,
                         .started = callbacks && callbacks->segment && callbacks->row == 0};
    LogReader *reader;
    int code = log_reader_open(disk, directory, run_id, dims, &reader, err);
    if (code == ERR_OK && log_reader_newest(reader))
        code = fs_join(recovery.newest, directory, log_reader_newest(reader), err);
    if (code == ERR_OK) {
        recovered->dims = log_reader_dims(reader);
        code = go_to_row(reader, callbacks ? callbacks->row : 0, err);
    }
    if (code == ERR_OK)
        code = read_all(&recovery, reader, err);
    if (code == ERR_OK)
        code = sync_newest(&recovery, directory, err);
    if (code == ERR_OK)
        code = give_sessions(&recovery, err);
    log_reader_close(&reader);
    log_sessions_free(&recovery.sessions);
    if (code != ERR_OK)
        log_recovered_free(recovered);
    return code;
}

void log_recovered_free(LogRecovered *recovered)
{
    free(recovered->sessions);
    *recovered = (LogRecovered){0};
}
