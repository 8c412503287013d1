/* The sessions that the learner knows: what each has sent and may send. Outlives connections: a
 * session stays for a retention time after it was last heard, so that an actor that comes back goes
 * on where it was. Owned by the loop thread. */
#ifndef POLYAK_LEARNER_FLEET_SESSION_TABLE_H
#define POLYAK_LEARNER_FLEET_SESSION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "common/env_fault.h"
#include "net/identity.h"
#include "net/link.h"
#include "proto/wire.h"

/* One actor's session. `link` is 0 while it is not connected; then it holds no grant. */
typedef struct ActorSession {
    Session id;
    Link link;
    uint32_t actor_index;
    uint32_t incarnation;
    uint32_t num_envs;
    uint64_t acked_sequence;      /* the watermark: all up to here are accepted and logged */
    uint64_t accepted_sequence;   /* >= acked_sequence; what the next one must follow */
    uint64_t send_limit_sequence; /* >= accepted_sequence */
    uint64_t unlogged;            /* accepted segments that wait for the log */
    uint64_t steps_accepted;      /* absolute: with those that the learner lost */
    uint64_t step_limit; /* >= steps_accepted; the difference is granted and not yet received */
    uint64_t last_grant; /* number of the grant that it got last: the longest waiting go first */
    uint64_t last_slots; /* the same, of slots */
    uint64_t lost_steps; /* acknowledged, and lost by the learner */
    int64_t last_heard_ms;
    EnvFaults faults;             /* of its process: the highest counts that were told */
    uint32_t faults_said;         /* bit set: this kind was logged */
    bool faults_known;            /* a heartbeat told of them */
    bool restored;                /* of an earlier start of the learner */
    bool draining;                /* gets no more steps, and leaves when it has sent what it has */
    bool drained;                 /* it was told to leave */
    bool rejoined;                /* on another connection: it may hold steps beyond its limit */
    char key[IDENTITY_KEY_BYTES]; /* name of the key that opened it; empty: none */
    char name[WIRE_NAME_MAX + 1];
    bool idle; /* in SessionTable.idle */
    struct ActorSession *prev;
    struct ActorSession *next;
    UT_hash_handle hh;
} ActorSession;

typedef struct SessionTable {
    ActorSession *by_id; /* uthash */
    ActorSession *idle;  /* utlist: those that nobody holds on to, the longest first */
    uint32_t max;
    int64_t retention_ms;
} SessionTable;

/* NULL when it is not there. */
ActorSession *session_table_find(SessionTable *table, const Session *id);

/* Adds a session that is not there. Where the table is full, the session that is idle the longest
 * makes room, neither connected nor waiting for the log; NULL when there is none, or when out of
 * memory. Takes the same time however many there are. */
ActorSession *session_table_add(SessionTable *table, const Session *id, int64_t now_ms);

/* To be called when its `link` was changed, or `unlogged` came to 0: whether it is idle. */
void session_table_update(SessionTable *table, ActorSession *session);

/* Removes disconnected sessions whose retention is over, but for those that wait for the log. */
void session_table_expire(SessionTable *table, int64_t now_ms);

void session_table_destroy(SessionTable *table);

#endif
