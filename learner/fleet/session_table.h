/* The sessions that the learner knows: what each has sent and may send. Outlives connections: a
 * session stays for a retention time after it was last heard, so that an actor that comes back goes
 * on where it was. Owned by the loop thread. */
#ifndef POLYAK_LEARNER_FLEET_SESSION_TABLE_H
#define POLYAK_LEARNER_FLEET_SESSION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "proto/wire.h"

/* One actor's session. `link` is 0 while it is not connected; then it holds no grant. */
typedef struct ActorSession {
    Session id;
    uint32_t link;
    uint32_t actor_index;
    uint32_t incarnation;
    uint32_t num_envs;
    uint64_t acked_sequence;      /* the watermark: all up to here are accepted */
    uint64_t send_limit_sequence; /* >= acked_sequence */
    uint64_t steps_accepted;
    uint64_t step_limit; /* >= steps_accepted; the difference is granted and not yet received */
    uint64_t last_grant; /* number of the grant that it got last: the longest waiting go first */
    uint64_t last_slots; /* the same, of slots */
    uint64_t dropped_steps;
    int64_t last_heard_ms;
    char name[WIRE_NAME_MAX + 1];
    char waiting_for[WIRE_TEXT_MAX + 1];
    UT_hash_handle hh;
} ActorSession;

typedef struct SessionTable {
    ActorSession *by_id; /* uthash */
    uint32_t max;
    int64_t retention_ms;
} SessionTable;

/* NULL when it is not there. */
ActorSession *session_table_find(SessionTable *table, const Session *id);

/* Adds a session that is not there. Where the table is full, the disconnected session that was
 * silent the longest makes room; NULL when all are connected, or when out of memory. */
ActorSession *session_table_add(SessionTable *table, const Session *id, int64_t now_ms);

/* Removes disconnected sessions whose retention is over. */
void session_table_expire(SessionTable *table, int64_t now_ms);

void session_table_destroy(SessionTable *table);

#endif
