/* The inside of the fleet. fleet_peers.c (the books) carries the others: fleet_guard.c (who may
 * come in), fleet_relay.c (those that others speak for), fleet_hello.c (joining), fleet_accept.c
 * (segments), fleet_operate.c (set and drain), fleet_faults.c (what environments do wrong),
 * fleet_status.c (how it stands), fleet_send.c (messages out), and fleet.c (messages in, and time).
 * Nobody else includes it. */
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
    STRANGERS_MAX = 1024,      /* links that sent garbage and are remembered for it */
    STRANGER_GARBAGE_MAX = 16, /* from a link that is no peer, before it is not listened to */
    KEYS_UNUSED_MAX = 4096,    /* counted by, beyond one for each peer */
    GUARD_LINES_MAX = 5,       /* logged in an interval; of more only the number is */
    GUARD_INTERVAL_MS = 10000,
    FLEET_CHANNELS_BYTES = 40,
    STATUS_INTERVAL_MS = 100, /* at least, between two Statuses to one peer */
};

/* A peer: a link that said Hello and was welcomed. */
typedef struct Peer {
    Link link;
    Role role;
    char name[WIRE_NAME_MAX + 1];
    char via[WIRE_NAME_MAX + 1];  /* on a channel: the relay that it has dialled; else empty */
    uint32_t num_channels;        /* of a relay: peers on its connection */
    char key[IDENTITY_KEY_BYTES]; /* empty: none */
    int64_t last_heard_ms;
    int64_t last_ack_ms;
    int64_t moved_ms;             /* of an actor: when a step of it came to be known */
    bool has_heartbeat;           /* on this connection */
    Heartbeat heartbeat;          /* the newest */
    int64_t faults_minute_ms;     /* when the present minute began */
    uint64_t faults_in_minute;    /* in the present one */
    int64_t faults_alarm_ms;      /* they are an alarm until then */
    char labels[STATUS_TEXT_MAX]; /* joined by commas */
    ActorSession *session;        /* of an actor; else NULL */
    bool welcome_due;
    bool ack_due;
    bool status_due;
    int64_t status_ms; /* when the last one was made; 0: none was */
    bool bye_due;
    ByeReason bye; /* for this peer alone; or 0 */
    bool outcome_due;
    Outcome outcome; /* of what an operator asked for last */
    bool evaluating; /* of an evaluator: a request was sent and its result did not come yet */
    bool queued;     /* in Fleet.outgoing */
    struct Peer *prev;
    struct Peer *next;
    UT_hash_handle hh;
} Peer;

/* A last word to a link that is no peer. */
typedef struct Refusal {
    Link link;
    ByeReason bye; /* or 0 */
    Reject reject;
} Refusal;

typedef struct PendingEvaluation {
    EvalRequest request;
    Link link; /* of the evaluator that works on it; 0: none yet */
} PendingEvaluation;

/* An accepted segment that waits for the log. */
typedef struct Unlogged {
    ActorSession *session; /* stays as long */
    uint64_t sequence;
} Unlogged;

/* A link that sent what cannot be read. */
typedef struct Stranger {
    Link link;
    uint32_t garbage;
    bool barred; /* what it sends is not looked at */
    UT_hash_handle hh;
} Stranger;

/* What is counted by key. */
typedef struct KeyUse {
    char key[IDENTITY_KEY_BYTES];
    uint32_t peers;
    uint64_t garbage;
    UT_hash_handle hh;
} KeyUse;

/* Lines that could come in a flood: the first of an interval are logged, of the others the number
 * is.
 */
typedef struct GuardLines {
    int64_t since_ms;
    uint32_t said;
    uint64_t unsaid;
} GuardLines;

struct Fleet {
    FleetConfig config;
    FleetSink sink;
    int64_t now_ms;    /* as the last caller said */
    int64_t ticked_ms; /* when fleet_tick() was last called; 0: never */
    bool has_run;
    Spec spec;
    Pacer pacer;
    bool loading; /* the log is read back */
    char loading_text[WIRE_TEXT_MAX + 1];
    uint64_t slots; /* of the hand-over ring */
    FleetProgress progress;
    uint64_t steps_accepted; /* of the run */
    Unlogged *unlogged;      /* (slots) ring, by the number of the accepted segment */
    uint64_t handed;         /* accepted segments, since the run was set */
    uint64_t logged;         /* of these, acknowledged */
    FleetCounts counts;      /* but for the sessions */
    uint64_t grants;
    int64_t next_expiry_ms;

    Peer *peers;            /* uthash by link */
    Peer *outgoing;         /* utlist: peers with something due */
    Stranger *strangers;    /* uthash by link, oldest first */
    KeyUse *keys;           /* uthash */
    GuardLines guard_lines; /* about strangers */
    GuardLines fault_lines; /* about faults of environments */
    char last_fault[STATUS_TEXT_MAX];
    SessionTable sessions;
    ActorSession **actors;    /* (peers_max) connected ones, by actor_index where not NULL */
    uint32_t *incarnations;   /* (peers_max) how often an index was given */
    ActorSession **connected; /* (peers_max) dense scratch for credit */
    uint32_t num_actors;
    uint32_t num_evaluators;
    uint32_t num_relays;
    uint32_t num_relayed_actors; /* on channels of relays */
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
Peer *fleet_find_peer(const Fleet *fleet, Link link);

/* Forgets a peer: what its session did not use of its credit goes back, what an evaluator was
 * working on goes to another, and with a relay go those that it speaks for. */
void fleet_drop_peer(Fleet *fleet, Peer *peer);

/* Whether its coming and going is logged: those that only ask come and go all the time. */
bool fleet_is_watched(const Peer *peer);

/* The peer has something due. */
void fleet_queue(Fleet *fleet, Peer *peer);
void fleet_forget_outgoing(Fleet *fleet, Peer *peer);

/* A last word to a link: it is or will be no peer. */
void fleet_refuse(Fleet *fleet, Link link, RejectReason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void fleet_refuse_with_bye(Fleet *fleet, Link link, ByeReason bye);

/* Lets the evaluators that are free know that there may be work. */
void fleet_offer_evaluations(Fleet *fleet);

/* Gives what credit there is. */
void fleet_credit(Fleet *fleet);

/* --- fleet_guard.c -----------------------------------------------------------------------------
 */

/* Whether another line may be logged in this interval; and at its end, the number of those that
 * were not. */
bool fleet_may_say(const Fleet *fleet, GuardLines *lines);
void fleet_lines_tick(const Fleet *fleet, GuardLines *lines, const char *what);

/* A line about somebody who is not let in; in a flood of them only their number is logged. */
void fleet_note_stranger(Fleet *fleet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says the number of lines that were left out. */
void fleet_guard_tick(Fleet *fleet);

/* Whether this identity may take this role; otherwise it is refused. */
bool fleet_may_join(Fleet *fleet, Link link, const PeerIdentity *identity, const Hello *hello);

/* Whether what the link sends is not looked at any more. */
bool fleet_is_barred(const Fleet *fleet, Link link);

/* Counts a peer under its key. is_counted() makes a place to count it, and is false when there is
 * no memory for it: then nobody may come. has_room() says whether another one may, and join()
 * counts it. */
bool fleet_key_is_counted(Fleet *fleet, const char *key);
bool fleet_key_has_room(const Fleet *fleet, const char *key);
void fleet_key_join(Fleet *fleet, const char *key);
void fleet_key_leave(Fleet *fleet, const char *key);
void fleet_guard_destroy(Fleet *fleet);

/* --- fleet_relay.c -----------------------------------------------------------------------------
 */

/* Whether a link is one on which peers are heard: a connection itself, or a channel of a relay. The
 * connection of any other channel is told to say Hello. */
bool fleet_channel_is_open(Fleet *fleet, Link link);

/* Who says a Hello on a channel, as its relay has made sure: in no role that the relay's own key
 * has not. */
PeerIdentity fleet_origin(const PeerIdentity *relay, const Hello *hello);

/* Counts a peer of a channel under its relay, and no longer. */
void fleet_join_relay(Fleet *fleet, Peer *peer, const Hello *hello);
void fleet_leave_relay(Fleet *fleet, Peer *peer);

/* Drops those that a relay speaks for; does nothing to another peer. Whoever goes through the table
 * calls it before the relay itself is dropped: the next one may be among them. */
void fleet_drop_channels(Fleet *fleet, Peer *relay);

/* ", and with it 200 peers" for the line about a relay that is dropped; else "". Returns `text`. */
const char *fleet_with_channels(const Peer *peer, char text[FLEET_CHANNELS_BYTES]);

/* --- fleet_hello.c -----------------------------------------------------------------------------
 */

void fleet_handle_hello(Fleet *fleet, Link link, const PeerIdentity *identity, const Hello *hello,
                        int64_t now_ms);

/* --- fleet_accept.c ----------------------------------------------------------------------------
 */

void fleet_handle_segment(Fleet *fleet, Peer *peer, const Segment *segment);

/* --- fleet_operate.c ---------------------------------------------------------------------------
 */

void fleet_handle_set(Fleet *fleet, Peer *peer, const Set *set);
void fleet_handle_drain(Fleet *fleet, Peer *peer, const Drain *drain);

/* Tells a draining actor to leave when it has sent all that it has, or does not go on. */
void fleet_drain_tick(Fleet *fleet, Peer *peer);

/* --- fleet_faults.c ----------------------------------------------------------------------------
 */

/* Counts what is new in a heartbeat, and logs what is the first of its kind. */
void fleet_handle_faults(Fleet *fleet, Peer *peer, const Heartbeat *heartbeat);
void fleet_faults_tick(Fleet *fleet);

/* Adds an alarm where an actor has too many. */
void fleet_faults_alarm(const Fleet *fleet, RunStatus *status);

/* --- fleet_status.c ----------------------------------------------------------------------------
 */

/* Why the learner withholds credit from this session; empty when it does not. */
void fleet_reason(const Fleet *fleet, const ActorSession *session, char text[WIRE_TEXT_MAX + 1]);

#endif
