#include "learner/fleet/session_table.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

ActorSession *session_table_find(SessionTable *table, const Session *id)
{
    ActorSession *session = NULL;
    HASH_FIND(hh, table->by_id, id, sizeof *id, session);
    return session;
}

static void remove_session(SessionTable *table, ActorSession *session)
{
    if (session->idle)
        DL_DELETE(table->idle, session);
    /* The analyzer loses track of the table's list. */
    HASH_DEL(table->by_id, session); // NOLINT(clang-analyzer-unix.Malloc)
    free(session);
}

/* Whether nobody holds on to it: an accepted segment finds its session when it is logged. */
static bool is_idle(const ActorSession *session)
{
    return session->link == 0 && session->unlogged == 0;
}

void session_table_update(SessionTable *table, ActorSession *session)
{
    bool idle = is_idle(session);
    if (idle == session->idle)
        return;
    session->idle = idle;
    if (idle)
        DL_APPEND(table->idle, session);
    else
        DL_DELETE(table->idle, session);
}

ActorSession *session_table_add(SessionTable *table, const Session *id, int64_t now_ms)
{
    if (HASH_COUNT(table->by_id) >= table->max) {
        if (!table->idle)
            return NULL;
        remove_session(table, table->idle);
    }
    ActorSession *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->id = *id;
    session->last_heard_ms = now_ms;
    HASH_ADD(hh, table->by_id, id, sizeof session->id, session);
    session_table_update(table, session);
    return session;
}

void session_table_expire(SessionTable *table, int64_t now_ms)
{
    ActorSession *session = NULL;
    ActorSession *next = NULL;
    HASH_ITER(hh, table->by_id, session, next)
    {
        if (session->idle && now_ms - session->last_heard_ms > table->retention_ms)
            remove_session(table, session);
    }
}

void session_table_destroy(SessionTable *table)
{
    ActorSession *session = NULL;
    ActorSession *next = NULL;
    HASH_ITER(hh, table->by_id, session, next)
    {
        remove_session(table, session);
    }
}
