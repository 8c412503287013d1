/* The writer of the replay log, in two files: log_writer.c takes entries, log_writer_file.c has the
 * file under it. Private to them; one owner. */
#ifndef POLYAK_LEARNER_LOG_LOG_WRITER_INTERNAL_H
#define POLYAK_LEARNER_LOG_LOG_WRITER_INTERNAL_H

#include "learner/log/frame_output.h"
#include "learner/log/log_sessions.h"
#include "learner/log/log_writer.h"

struct LogWriter {
    const LogDisk *disk;
    char directory[FS_PATH_MAX];
    LogWriterConfig config;
    LogSessionTable sessions;
    int64_t now_ms;

    LogState ahead;     /* after all that was appended and skipped */
    LogState logged;    /* after all that is in files; `ahead` = logged + gap + buffer */
    LogState after_gap; /* with gap_pending: logged + gap */
    GapRecord gap;
    bool gap_pending; /* it went on unlogged, and no file says so yet */

    FrameBuffer buffer; /* SESSION and SEGMENT frames that are not written yet */
    FrameBuffer head;   /* room for what stands at a file's head */
    SessionRecord piece[LOG_TABLE_SESSIONS_MAX]; /* of the table, while it is written */
    FrameOutput output;
    uint32_t file_number;  /* of the next file: names rise, also where one was removed again */
    bool file_has_records; /* behind its head and table */
    bool failed;
    int failed_code;
    Err failed_why;

    uint64_t synced_position;
    uint64_t suspect_first; /* 0: none */
    uint64_t suspect_last;
    uint64_t total_bytes;
};

/* Begins a file at logged.next_position, with the sessions that are logged or skipped, and the gap.
 * On an error the writer has failed; err is not NULL. */
int log_writer_begin_file(LogWriter *writer, Err *err);

/* Closes the file and remembers why: err has the line. What was flushed and not synced is suspect
 * now, since this file is not synced again. Returns `code`. */
int log_writer_fail(LogWriter *writer, int code, const Err *err);

/* Says again why. Returns the code. */
int log_writer_still_failed(const LogWriter *writer, Err *err);

/* ERR_FULL when the buffer and `num_bytes` more would pass the budget. */
int log_writer_check_budget(const LogWriter *writer, size_t num_bytes, Err *err);

/* The sessions of the buffer's segments are now logged (or skipped) up to them. */
void log_writer_mark_logged(LogWriter *writer);

#endif
