/* The sessions of a log, as its writer and its recovery know them: found by id, ordered by when
 * they were last heard. Private to the log; one owner. */
#ifndef POLYAK_LEARNER_LOG_LOG_SESSIONS_H
#define POLYAK_LEARNER_LOG_LOG_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "learner/log/format.h"

typedef struct LogSession {
    SessionRecord record; /* with what is only in the writer's buffer */
    uint64_t logged_sequence;
    uint64_t logged_steps;
    bool logged; /* something of it is in a file, or went on unlogged */
    int64_t heard_ms;
    uint64_t mark;                  /* of the table that named it last */
    struct LogSession *prev, *next; /* utlist */
    UT_hash_handle hh;
} LogSession;

typedef struct LogSessionTable {
    LogSession *by_id;   /* uthash */
    LogSession *longest; /* utlist, from the longest silent to the last heard */
} LogSessionTable;

LogSession *log_sessions_find(const LogSessionTable *table, const Session *id);

/* Finds or adds; it is now the last heard. NULL when out of memory. */
LogSession *log_sessions_touch(LogSessionTable *table, const Session *id, int64_t now_ms);

void log_sessions_remove(LogSessionTable *table, LogSession *session);
size_t log_sessions_count(const LogSessionTable *table);

/* Removes from the longest silent on, as long as there are more than `max`, or it has been silent
 * since before `silent_since_ms`. Stops at one with records that are not logged yet. */
void log_sessions_trim(LogSessionTable *table, size_t max, int64_t silent_since_ms);

void log_sessions_free(LogSessionTable *table);

#endif
