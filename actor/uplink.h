/* The uplink: an actor's (or evaluator's) side of the protocol (docs/wire.md). Pure logic: it is
 * handed messages and the time, and says what to do next, so a simulator can run it without
 * sockets. Owned by the actor's one thread.
 *
 * Every connection is a new socket whose first message is Hello. Steps may be taken only while
 * uplink_credit() is positive, and segments leave only within the learner's send limit; so nothing
 * that was stepped is ever without a place. An actor that has a spool goes on without credit when
 * its learner is lost, until so many segments wait; the learner takes them when it is back, and
 * gives credit for new steps once it has worked them off. The waits before new connections grow,
 * and differ from actor to actor: a fleet that lost its learner does not come back as one. */
#ifndef POLYAK_ACTOR_UPLINK_H
#define POLYAK_ACTOR_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/outbox.h"
#include "proto/wire.h"

typedef enum UplinkState {
    UPLINK_CONNECTING, /* Hello is said, Welcome did not come */
    UPLINK_ACTIVE,
    UPLINK_FINISHED, /* the learner said that the run is done */
    UPLINK_REFUSED,  /* for good; `refusal` says why */
} UplinkState;

/* What the caller has to do now. */
typedef enum UplinkAction {
    UPLINK_NOTHING,
    UPLINK_OPEN, /* close the socket, open a new one; uplink_next() then gives the Hello */
    UPLINK_SEND, /* send the message */
} UplinkAction;

typedef struct Uplink {
    Hello hello;
    Outbox *outbox; /* NULL for an evaluator */
    UplinkState state;
    Welcome welcome;   /* the newest; valid once `welcomes` > 0 */
    uint64_t welcomes; /* how often we were welcomed: a change means a new connection */
    uint64_t sessions; /* how many were begun; on a change the caller counts its open steps again */
    bool socket_wanted;
    bool hello_due;
    int64_t heard_ms;  /* when the learner was last heard, or the Hello said */
    int64_t told_ms;   /* when we last sent Hello or a heartbeat */
    int64_t retry_ms;  /* not before */
    uint32_t retries;  /* since the last Welcome: waits grow with them */
    uint64_t waits;    /* drawn from the session's stream */
    int64_t lost_ms;   /* since when there is no connection */
    int64_t silent_ms; /* the learner was silent for so long when it was given up; 0: it was not */
    uint64_t send_limit_sequence;
    uint64_t step_limit;
    uint64_t steps_taken;    /* in this session, recorded ones */
    uint64_t spool_segments; /* set by the caller, whose outbox has the places; 0: no spool */
    uint64_t lost_segments;
    uint64_t lost_steps;
    Version newest;                 /* that the learner has published */
    Version credit_version;         /* that was the newest when credit was last given: lockstep's */
    char reason[WIRE_TEXT_MAX + 1]; /* why credit is withheld */
    char refusal[WIRE_TEXT_MAX + 1]; /* of the newest Reject, until a Welcome */
    /* What heartbeats say: kept by the caller, but for the outbox and what is lost. */
    Heartbeat status;
} Uplink;

/* `hello` without session and oldest_unacked; `session` is fresh randomness. */
void uplink_start(Uplink *uplink, const Hello *hello, Outbox *outbox, const Session *session,
                  int64_t now_ms);

/* Makes the heartbeat of this moment, of `status` and what only the uplink knows. */
void uplink_heartbeat(const Uplink *uplink, Message *message);

/* What to do next; to be called until it says UPLINK_NOTHING. A message points into the outbox. */
UplinkAction uplink_next(Uplink *uplink, int64_t now_ms, Message *message);

/* The message that uplink_next() gave could not be handed to the socket: a segment is given again.
 */
void uplink_not_sent(Uplink *uplink, const Message *message);

/* The socket that UPLINK_OPEN asked for could not be opened: it is asked for again soon. */
void uplink_not_opened(Uplink *uplink, const char *why, int64_t now_ms);

/* Handles a message from the learner. `fresh_session` is taken where a new session begins. */
void uplink_receive(Uplink *uplink, const Message *message, const Session *fresh_session,
                    int64_t now_ms);

/* Whether the learner was there and is lost, and there is a spool. In lockstep there is none. */
bool uplink_spools(const Uplink *uplink);

/* Env steps that may be taken now. While the uplink spools, each may be a segment: so many as there
 * is room for, 0 when the spool is full. */
uint64_t uplink_credit(const Uplink *uplink);

/* Why no step may be taken now, in words for a person; NULL when one may. `policy` is the version
 * that the actor has (epoch 0: none); weights last came at weights_ms. */
const char *uplink_why_wait(const Uplink *uplink, Version policy, int64_t weights_ms,
                            int64_t now_ms);

/* Steps were recorded. */
void uplink_count_steps(Uplink *uplink, uint64_t steps);

/* Milliseconds until uplink_next() may have something to do by itself. */
int uplink_timeout_ms(const Uplink *uplink, int64_t now_ms);

#endif
