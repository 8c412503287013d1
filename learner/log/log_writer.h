/* Writes the replay log. One owner at a time; no threads of its own.
 *
 *     append → buffer → flush → file → sync → disk
 *
 * What always holds:
 *   - Nothing counts as logged before log_writer_flush() returned ERR_OK: then it survives the
 * death of any process. After log_writer_sync() it survives a power loss.
 *   - Positions are given out by append and skip, without holes.
 *   - A file is begun at each start, when the last one is full, and after each failure; an older
 * one is never written again. The session table at its head says what was logged before, no more.
 *   - After a failure the writer is `failed`: what was appended and not flushed stays in the
 * buffer. log_writer_recover() begins a new file and flushes it there; or
 * log_writer_skip_buffered() lets it go on unlogged. */
#ifndef POLYAK_LEARNER_LOG_LOG_WRITER_H
#define POLYAK_LEARNER_LOG_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "learner/log/disk.h"
#include "learner/log/format.h"

enum { LOG_BUFFER_BYTES = 256 << 10, LOG_FILE_BYTES_MAX = 64 << 20 };

typedef struct LogWriterConfig {
    RunId run_id;
    uint32_t epoch;
    LogDims dims;
    uint64_t file_bytes_max;      /* a file is closed before it grows beyond; LOG_FILE_BYTES_MAX */
    uint64_t bytes_max;           /* of all logs in the directory; 0: no limit but the disk */
    uint32_t sessions_max;        /* of the table; beyond it the longest silent go */
    int64_t session_retention_ms; /* sessions silent for longer are left out of the next table */
} LogWriterConfig;

/* Where a run stands; what log_recover() gives and a new writer goes on from. */
typedef struct LogState {
    uint64_t next_position; /* 1 in a new run */
    uint64_t row;           /* of the next segment's first step */
    uint64_t env_steps;
    uint64_t episodes; /* finished ones */
    const SessionRecord *sessions;
    size_t num_sessions;
} LogState;

/* A segment that was accepted, and where it comes from. */
typedef struct LogEntry {
    const Segment *segment;
    Session session;
    uint64_t session_steps; /* the session's env steps after it, absolute */
    uint32_t actor_index;
    uint32_t incarnation;
    uint32_t num_envs;
    const char *key;  /* the key's name, or NULL */
    const char *name; /* the actor's, or NULL */
    int64_t now_ms;   /* of clock_ms(); never goes back */
} LogEntry;

typedef struct LogWriter LogWriter;

/* Begins the first file in a directory that is there. `disk` and its context must outlive the
 * writer; all else is copied. ERR_NOMEM, ERR_IO or ERR_FULL, or ERR_SPEC when files are there that
 * `start` knows nothing of, or of a later epoch; *out is then NULL. */
int log_writer_new(const LogDisk *disk, const char *directory, const LogWriterConfig *config,
                   const LogState *start, int64_t now_ms, LogWriter **out, Err *err);

/* Flushes and syncs nothing. */
void log_writer_destroy(LogWriter **writer);

/* Takes a segment into the buffer; its position is log_writer_next_position() before the call.
 * A full buffer is flushed first, so all errors of log_writer_flush() are possible; the entry is
 * then not taken, and nothing has changed for it. */
int log_writer_append(LogWriter *writer, const LogEntry *entry, Err *err);

/* Writes the buffer. ERR_FULL (disk or budget) or ERR_IO: the writer has failed, see above. */
int log_writer_flush(LogWriter *writer, Err *err);

/* fdatasync of what is flushed (not of the buffer). On ERR_IO or ERR_FULL the writer has failed. */
int log_writer_sync(LogWriter *writer, Err *err);

bool log_writer_failed(const LogWriter *writer);

/* After a failure: begins a new file and flushes the buffer into it. On an error the writer is
 * still failed, and it may be tried again later. Fine when the writer has not failed. */
int log_writer_recover(LogWriter *writer, Err *err);

/* The entry goes on unlogged (replay_log_on_error=continue): it takes a position, and its session's
 * watermark moves. What is in the buffer goes on unlogged before it. The next flush that works
 * begins a new file, with a GapRecord and the sessions as they are then. */
void log_writer_skip(LogWriter *writer, const LogEntry *entry);

/* The same for all that is in the buffer. */
void log_writer_skip_buffered(LogWriter *writer);

/* A sign of life: the session is kept longer. Nothing happens when it is not in the table. */
void log_writer_heard(LogWriter *writer, const Session *session, int64_t now_ms);

/* Syncs, so that the session table at the newest file's head is safe, and then removes the files
 * whose records all lie before replay row `row_needed` (log_files_prune). */
int log_writer_prune(LogWriter *writer, uint64_t row_needed, size_t *num_removed, Err *err);

/* Counts the files' bytes again: after files were removed. Happens by itself at each new file. */
int log_writer_recount(LogWriter *writer, Err *err);

/* Positions: the one that the next append or skip takes; all up to here flushed, or named as a gap
 * in a file; all up to here synced but for the suspects. 0 when there is none. */
uint64_t log_writer_next_position(const LogWriter *writer);
uint64_t log_writer_flushed_position(const LogWriter *writer);
uint64_t log_writer_synced_position(const LogWriter *writer);

/* Whether a file was given up, after a failure, with positions that were flushed and not synced;
 * then the span of such positions, which a power loss may lose (of all such failures together). */
bool log_writer_suspect(const LogWriter *writer, uint64_t *first_position, uint64_t *last_position);

/* Replay row, env steps and episodes after all that was appended and skipped. `sessions` is NULL.
 */
LogState log_writer_state(const LogWriter *writer);

/* For status lines: bytes of all logs in the directory, as last counted and written since; bytes in
 * the buffer; path of the current file (empty after a failure). */
uint64_t log_writer_total_bytes(const LogWriter *writer);
size_t log_writer_buffered_bytes(const LogWriter *writer);
const char *log_writer_path(const LogWriter *writer);

#endif
