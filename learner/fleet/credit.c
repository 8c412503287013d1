#include "learner/fleet/credit.h"

#include <stddef.h>

enum { ROUNDS_IN_HAND = 2, SLOTS_PER_ENV = 8 };

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t in_hand(const ActorSession *session)
{
    return session->step_limit - session->steps_accepted;
}

static uint64_t slots_in_hand(const ActorSession *session)
{
    return session->send_limit_sequence - session->accepted_sequence;
}

/* Full segments of all environments of the actor. */
static uint64_t round_of(const CreditPool *pool, const ActorSession *session)
{
    return session->num_envs * pool->segment_steps;
}

/* Of the sessions that may have another round, and can send what they step, the one with the least
 * in hand, in rounds; of equals the one that has waited longest. NULL when all have enough. */
static ActorSession *neediest(const CreditPool *pool, ActorSession **sessions,
                              uint32_t num_sessions, const ActorSession *only)
{
    ActorSession *best = NULL;
    double best_rounds = 0;
    for (uint32_t i = 0; i < num_sessions; i++) {
        ActorSession *session = sessions[i];
        double rounds = (double)in_hand(session) / (double)round_of(pool, session);
        if ((only && session != only) || session->draining || rounds > ROUNDS_IN_HAND - 1 ||
            slots_in_hand(session) == 0)
            continue;
        if (!best || rounds < best_rounds ||
            (rounds == best_rounds && session->last_grant < best->last_grant)) {
            best = session;
            best_rounds = rounds;
        }
    }
    return best;
}

static void give_steps(CreditPool *pool, ActorSession **sessions, uint32_t num_sessions,
                       const ActorSession *only, void (*raised)(void *, ActorSession *),
                       void *context)
{
    uint64_t granted = pool->steps_accepted;
    for (uint32_t i = 0; i < num_sessions; i++)
        granted += in_hand(sessions[i]);
    /* A small window is shared out evenly; less than half a part is not worth a message. */
    uint64_t part = max_u64(1, pool->window / max_u64(1, num_sessions));
    while (granted < pool->step_limit) {
        ActorSession *session = neediest(pool, sessions, num_sessions, only);
        if (!session)
            return;
        uint64_t budget = pool->step_limit - granted;
        uint64_t whole = min_u64(round_of(pool, session), part);
        bool end_of_run = pool->step_limit == pool->total_steps;
        if (budget < (whole + 1) / 2 && !end_of_run)
            return;
        uint64_t grant = min_u64(budget, whole);
        session->step_limit += grant;
        session->last_grant = ++pool->grants;
        granted += grant;
        raised(context, session);
        if (only)
            return;
    }
}

/* Who needs a slot most: first those that have steps in hand and cannot send them, then those that
 * have waited longest. NULL when all have enough. */
static ActorSession *neediest_of_slots(ActorSession **sessions, uint32_t num_sessions,
                                       const ActorSession *only, uint64_t share, uint64_t *want)
{
    ActorSession *best = NULL;
    bool best_is_stuck = false;
    for (uint32_t i = 0; i < num_sessions; i++) {
        ActorSession *session = sessions[i];
        uint64_t enough = min_u64(share, SLOTS_PER_ENV * (uint64_t)session->num_envs);
        /* Half-way is soon enough: not every accepted segment need be answered by a new limit. */
        if ((only && session != only) || slots_in_hand(session) > enough / 2)
            continue;
        bool stuck = slots_in_hand(session) == 0 && in_hand(session) > 0;
        if (!best || (stuck && !best_is_stuck) ||
            (stuck == best_is_stuck && session->last_slots < best->last_slots)) {
            best = session;
            best_is_stuck = stuck;
            *want = enough;
        }
    }
    return best;
}

/* Short episodes make short segments, each of which takes a slot: the limit on segments is apart
 * from the one on steps. Where slots are few, those who hold steps must not wait for slots of those
 * who hold none: so steps go to holders of slots alone, and slots first to holders of steps. */
static void give_slots(CreditPool *pool, ActorSession **sessions, uint32_t num_sessions,
                       const ActorSession *only, void (*raised)(void *, ActorSession *),
                       void *context)
{
    uint64_t reserved = 0;
    for (uint32_t i = 0; i < num_sessions; i++)
        reserved += slots_in_hand(sessions[i]);
    uint64_t share = max_u64(1, pool->slots / max_u64(1, num_sessions));
    while (reserved < pool->slots_free) {
        uint64_t want = 0;
        ActorSession *session = neediest_of_slots(sessions, num_sessions, only, share, &want);
        if (!session)
            return;
        uint64_t more = min_u64(want - slots_in_hand(session), pool->slots_free - reserved);
        session->send_limit_sequence += more;
        session->last_slots = ++pool->grants;
        reserved += more;
        raised(context, session);
    }
}

void credit_give(CreditPool *pool, ActorSession **sessions, uint32_t num_sessions,
                 const ActorSession *only, void (*raised)(void *context, ActorSession *session),
                 void *context)
{
    give_slots(pool, sessions, num_sessions, only, raised, context);
    give_steps(pool, sessions, num_sessions, only, raised, context);
}
