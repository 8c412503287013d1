/* The inside of the fleet: fleet_peers.c (the books) carries fleet_hello.c (joining), fleet_send.c
 * (messages out) and fleet.c (messages in, and time). Nobody else includes it. */
#ifndef POLYAK_LEARNER_FLEET_FLEET_INTERNAL_H
#define POLYAK_LEARNER_FLEET_FLEET_INTERNAL_H

#include <uthash.h>

#include "learner/fleet/credit.h"
#include "learner/fleet/fleet.h"
#include "learner/fleet/session_table.h"

enum {
    LOST_AFTER_HEARTBEATS = 3,
    REFUSALS_MAX = 64,    /* waiting to be sent to links that are no peers; more are dropped */
    EVALUATIONS_MAX = 16, /* asked for, without result */
    EXPIRY_INTERVAL_MS = 10000,
};

/* A peer: a link that said Hello and was welcomed. */
typedef struct Peer {
    uint32_t link;
    Role role;
    char name[WIRE_NAME_MAX + 1];
    int64_t last_heard_ms;
    int64_t last_ack_ms;
    ActorSession *session; /* of an actor; else NULL */
    bool welcome_due;
    bool ack_due;
    bool status_due;
    bool bye_due;
    bool evaluating; /* of an evaluator: a request was sent and its result did not come yet */
    bool queued;     /* in Fleet.outgoing */
    struct Peer *prev;
    struct Peer *next;
    UT_hash_handle hh;
} Peer;

/* A last word to a link that is no peer. */
typedef struct Refusal {
    uint32_t link;
    ByeReason bye; /* or 0 */
    Reject reject;
} Refusal;

typedef struct PendingEvaluation {
    EvalRequest request;
    uint32_t link; /* of the evaluator that works on it; 0: none yet */
} PendingEvaluation;

struct Fleet {
    FleetConfig config;
    FleetSink sink;
    bool has_run;
    Spec spec;
    Pacer pacer;
    uint64_t slots; /* of the hand-over ring */
    FleetProgress progress;
    uint64_t steps_accepted; /* of the run */
    uint64_t grants;
    int64_t next_expiry_ms;

    Peer *peers;    /* uthash by link */
    Peer *outgoing; /* utlist: peers with something due */
    SessionTable sessions;
    ActorSession **actors;    /* (peers_max) connected ones, by actor_index where not NULL */
    uint32_t *incarnations;   /* (peers_max) how often an index was given */
    ActorSession **connected; /* (peers_max) dense scratch for credit */
    uint32_t num_actors;
    uint32_t num_evaluators;
    uint32_t num_environments;
    uint32_t turn; /* lockstep: the index after the one whose turn it is */

    Refusal refusals[REFUSALS_MAX];
    uint32_t num_refusals;
    PendingEvaluation evaluations[EVALUATIONS_MAX];
    uint32_t num_evaluations;
    ByeReason bye; /* said to everybody; or 0 */

    uint32_t status_actors_max; /* a Status has no room for more */
    ActorStatus *status_actors; /* (status_actors_max) for outgoing status */
    FleetStatusFill status_fill;
    void *status_context;
};

/* --- fleet_peers.c -----------------------------------------------------------------------------
 */

void fleet_note(const Fleet *fleet, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* NULL when the link is no peer. */
Peer *fleet_find_peer(Fleet *fleet, uint32_t link);

/* Forgets a peer: what its session did not use of its credit goes back, and what an evaluator was
 * working on goes to another. */
void fleet_drop_peer(Fleet *fleet, Peer *peer);

/* The peer has something due. */
void fleet_queue(Fleet *fleet, Peer *peer);
void fleet_forget_outgoing(Fleet *fleet, Peer *peer);

/* A last word to a link: it is or will be no peer. */
void fleet_refuse(Fleet *fleet, uint32_t link, RejectReason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void fleet_refuse_with_bye(Fleet *fleet, uint32_t link);

/* Lets the evaluators that are free know that there may be work. */
void fleet_offer_evaluations(Fleet *fleet);

/* Gives what credit there is. */
void fleet_credit(Fleet *fleet);

/* --- fleet_hello.c -----------------------------------------------------------------------------
 */

void fleet_handle_hello(Fleet *fleet, uint32_t link, const Hello *hello, int64_t now_ms);

#endif
