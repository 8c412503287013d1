/* Credit: who may take how many env steps, and send how many segments. Pure: it looks at the
 * pacer's limits and at the connected sessions, and raises their limits.
 *
 * Steps: the sum of all grants never exceeds the pacer's limit. A grant is one round of full
 * segments for all environments of an actor, or what is left of the run; an actor has at most its
 * part of the window in hand, but two rounds where that is less, and eight where it is more.
 * Segments: all send limits together cover no more slots than the hand-over ring
 * has free, so that an accepted segment always has a place. Steps go to those alone that may send a
 * segment. */
#ifndef POLYAK_LEARNER_FLEET_CREDIT_H
#define POLYAK_LEARNER_FLEET_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "learner/fleet/session_table.h"

/* What credit is given from. */
typedef struct CreditPool {
    uint64_t step_limit;     /* that may be granted in all: pacer_grant_limit() */
    uint64_t total_steps;    /* of the run */
    uint64_t steps_accepted; /* of the run */
    uint64_t window;         /* pacer_window() */
    uint64_t segment_steps;
    uint64_t slots_free; /* of the hand-over ring, those reserved not taken off */
    uint64_t slots;      /* of the hand-over ring */
    uint64_t grants;     /* counts grants; kept by the caller between calls */
} CreditPool;

/* Raises the limits of `sessions` (connected ones), which are put into another order. `raised` is
 * called for each that got more. With `only` not NULL, everything goes to that session alone
 * (lockstep). */
void credit_give(CreditPool *pool, ActorSession **sessions, uint32_t num_sessions,
                 const ActorSession *only, void (*raised)(void *context, ActorSession *session),
                 void *context);

#endif
