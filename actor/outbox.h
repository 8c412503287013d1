/* The outbox: segments that the learner does not have yet. They are numbered when closed, sent in
 * that order, and kept until acknowledged, so that a new connection can send them again. Bounded:
 * when all places are taken the actor stops stepping. Owned by the actor's one thread. */
#ifndef POLYAK_ACTOR_OUTBOX_H
#define POLYAK_ACTOR_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/segment.h"

enum {
    /* Of an actor's outbox: eight that credit allows at most (learner/fleet/credit.c), and what the
     * learner has taken, and given credit for again, before its acknowledgement is here. */
    OUTBOX_PLACES_PER_ENV = 10,
    OUTBOX_PLACES_MIN = 16,
};

typedef struct Outbox {
    int obs_dim;
    int act_dim;
    int steps_max; /* of a segment */
    int places;
    char *block;
    Segment *segments; /* (places) views into block */
    int *free_places;  /* stack */
    int num_free;
    int *closed;             /* (places) ring of places, in the order of their sequences */
    int *scratch;            /* (places) */
    uint64_t next_sequence;  /* of the next segment that is closed; from 1 */
    uint64_t acked_sequence; /* closed ones are acked + 1 … next - 1 */
    uint64_t acked_steps;    /* env steps of all acknowledged ones, of this session */
    uint64_t sent_sequence;  /* on this connection; >= acked_sequence */
    uint64_t seen_sequence;  /* sent on an earlier connection: the learner may have it */
} Outbox;

/* ERR_NOMEM. */
int outbox_new(Outbox *outbox, int places, int obs_dim, int act_dim, int steps_max);
void outbox_destroy(Outbox *outbox);

/* A place for a segment to fill, or NULL when all are taken. */
Segment *outbox_open(Outbox *outbox);

/* Gives an open segment back unfilled. */
void outbox_discard(Outbox *outbox, const Segment *segment);

/* Numbers a filled segment and queues it. */
void outbox_close(Outbox *outbox, Segment *segment);

/* The next segment to send, up to this sequence; NULL when there is none. It counts as sent. */
const Segment *outbox_next(Outbox *outbox, uint64_t send_limit_sequence);

/* The segment that outbox_next() gave last did not leave: it is given again. */
void outbox_unsend(Outbox *outbox, uint64_t sequence);

/* All up to `sequence` have arrived; what was never sent is not believed. */
void outbox_acknowledge(Outbox *outbox, uint64_t sequence);

/* A new connection: everything unacknowledged is to be sent again. */
void outbox_rewind(Outbox *outbox);

/* A new session: what was sent and not acknowledged is dropped (the learner may have it: sent again
 * it could count twice); what never left is kept and numbered from 1. Returns the number of
 * segments dropped, and adds their steps to *steps_dropped. */
uint64_t outbox_restart(Outbox *outbox, uint64_t *steps_dropped);

/* Whether any segment of this session was ever given to be sent. */
bool outbox_has_sent(const Outbox *outbox);

/* Steps in the segments that are queued and not acknowledged. */
uint64_t outbox_unacked_steps(const Outbox *outbox);

/* Segments queued and not acknowledged; not acknowledged and not sent. */
uint64_t outbox_unacked(const Outbox *outbox);
uint64_t outbox_unsent(const Outbox *outbox);

#endif
