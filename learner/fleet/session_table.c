#include "learner/fleet/session_table.h"

#include <stdlib.h>
#include <string.h>

ActorSession *session_table_find(SessionTable *table, const Session *id)
{
    ActorSession *session = NULL;
    HASH_FIND(hh, table->by_id, id, sizeof *id, session);
    return session;
}

static void remove_session(SessionTable *table, ActorSession *session)
{
    /* The analyzer loses track of the table's list. */
    HASH_DEL(table->by_id, session); // NOLINT(clang-analyzer-unix.Malloc)
    free(session);
}

/* Whether nobody holds on to it: an accepted segment finds its session when it is logged. */
static bool is_idle(const ActorSession *session)
{
    return session->link == 0 && session->unlogged == 0;
}

static ActorSession *oldest_idle(SessionTable *table)
{
    ActorSession *oldest = NULL;
    for (ActorSession *s = table->by_id; s; s = s->hh.next) {
        if (is_idle(s) && (!oldest || s->last_heard_ms < oldest->last_heard_ms))
            oldest = s;
    }
    return oldest;
}

ActorSession *session_table_add(SessionTable *table, const Session *id, int64_t now_ms)
{
    if (HASH_COUNT(table->by_id) >= table->max) {
        ActorSession *oldest = oldest_idle(table);
        if (!oldest)
            return NULL;
        remove_session(table, oldest);
    }
    ActorSession *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->id = *id;
    session->last_heard_ms = now_ms;
    HASH_ADD(hh, table->by_id, id, sizeof session->id, session);
    return session;
}

void session_table_expire(SessionTable *table, int64_t now_ms)
{
    ActorSession *session = NULL;
    ActorSession *next = NULL;
    HASH_ITER(hh, table->by_id, session, next)
    {
        if (is_idle(session) && now_ms - session->last_heard_ms > table->retention_ms)
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
