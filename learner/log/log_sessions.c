#include "learner/log/log_sessions.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

LogSession *log_sessions_find(const LogSessionTable *table, const Session *id)
{
    LogSession *session = NULL;
    HASH_FIND(hh, table->by_id, id, sizeof *id, session);
    return session;
}

LogSession *log_sessions_touch(LogSessionTable *table, const Session *id, int64_t now_ms)
{
    LogSession *session = log_sessions_find(table, id);
    if (!session) {
        session = calloc(1, sizeof *session);
        if (!session)
            return NULL;
        session->record.id = *id;
        HASH_ADD(hh, table->by_id, record.id, sizeof *id, session);
    } else {
        DL_DELETE(table->longest, session);
    }
    session->heard_ms = now_ms;
    DL_APPEND(table->longest, session);
    return session;
}

void log_sessions_remove(LogSessionTable *table, LogSession *session)
{
    DL_DELETE(table->longest, session);
    /* The analyzer loses track of the table's list. */
    HASH_DEL(table->by_id, session); // NOLINT(clang-analyzer-*)
    free(session);
}

size_t log_sessions_count(const LogSessionTable *table)
{
    return HASH_COUNT(table->by_id);
}

void log_sessions_trim(LogSessionTable *table, size_t max, int64_t silent_since_ms)
{
    while (table->longest) {
        LogSession *longest = table->longest;
        bool pending = !longest->logged || longest->logged_sequence != longest->record.sequence;
        if (pending || (log_sessions_count(table) <= max && longest->heard_ms >= silent_since_ms))
            return;
        log_sessions_remove(table, longest);
    }
}

void log_sessions_free(LogSessionTable *table)
{
    HASH_CLEAR(hh, table->by_id);
    while (table->longest) {
        LogSession *longest = table->longest;
        DL_DELETE(table->longest, longest);
        free(longest);
    }
}
