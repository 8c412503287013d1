#include "learner/fleet/credit.h"

#include <stdbool.h>

enum { ROUNDS_IN_HAND = 2, ROUNDS_IN_HAND_MAX = 8, SLOTS_PER_ENV = 8 };

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

/* --- Who is first ------------------------------------------------------------------------------
 *
 * The candidates are a heap at the front of the array, the neediest at the root: with a thousand
 * actors a search for each grant would take longer than all else. */

typedef bool (*IsNeedier)(const ActorSession *a, const ActorSession *b);

static void swap(ActorSession **a, ActorSession **b)
{
    ActorSession *other = *a;
    *a = *b;
    *b = other;
}

static void sift_down(ActorSession **heap, uint32_t count, uint32_t i, IsNeedier is_needier)
{
    for (;;) {
        uint32_t first = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++) {
            if (is_needier(heap[child], heap[first]))
                first = child;
        }
        if (first == i)
            return;
        swap(&heap[i], &heap[first]);
        i = first;
    }
}

static void make_heap(ActorSession **heap, uint32_t count, IsNeedier is_needier)
{
    for (uint32_t i = count / 2; i-- > 0;)
        sift_down(heap, count, i, is_needier);
}

/* The root has another place now, or none: returns how many are left. */
static uint32_t replace_root(ActorSession **heap, uint32_t count, bool stays, IsNeedier is_needier)
{
    if (!stays)
        swap(&heap[0], &heap[--count]);
    sift_down(heap, count, 0, is_needier);
    return count;
}

/* --- Steps -------------------------------------------------------------------------------------
 */

/* Whether a session may have another round, and can send what it steps. `part` is its part of the
 * window: where that has more than two rounds, so has the session, since over a long link two are
 * stepped before the first word of them is back. */
static bool wants_steps(const CreditPool *pool, const ActorSession *session, uint64_t part)
{
    uint64_t round = round_of(pool, session);
    uint64_t enough = max_u64(ROUNDS_IN_HAND * round, min_u64(part, ROUNDS_IN_HAND_MAX * round));
    return !session->draining && in_hand(session) + round <= enough && slots_in_hand(session) > 0;
}

/* The one with the least in hand, in rounds; of equals the one that has waited longest. */
static bool is_needier_of_steps(const ActorSession *a, const ActorSession *b)
{
    /* Rounds differ by the number of environments alone. */
    uint64_t a_rounds = in_hand(a) * b->num_envs;
    uint64_t b_rounds = in_hand(b) * a->num_envs;
    if (a_rounds != b_rounds)
        return a_rounds < b_rounds;
    if (a->last_grant != b->last_grant)
        return a->last_grant < b->last_grant;
    return a->actor_index < b->actor_index;
}

static uint32_t gather_for_steps(const CreditPool *pool, ActorSession **sessions,
                                 uint32_t num_sessions, const ActorSession *only, uint64_t part)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < num_sessions; i++) {
        if ((!only || sessions[i] == only) && wants_steps(pool, sessions[i], part))
            swap(&sessions[count++], &sessions[i]);
    }
    make_heap(sessions, count, is_needier_of_steps);
    return count;
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
    if (granted >= pool->step_limit)
        return;
    uint32_t count = gather_for_steps(pool, sessions, num_sessions, only, part);
    while (granted < pool->step_limit && count > 0) {
        ActorSession *session = sessions[0];
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
        count =
            replace_root(sessions, count, wants_steps(pool, session, part), is_needier_of_steps);
    }
}

/* --- Slots -------------------------------------------------------------------------------------
 */

/* How many slots a session may have at once. */
static uint64_t enough_slots(const ActorSession *session, uint64_t share)
{
    return min_u64(share, SLOTS_PER_ENV * (uint64_t)session->num_envs);
}

static bool is_stuck(const ActorSession *session)
{
    return slots_in_hand(session) == 0 && in_hand(session) > 0;
}

/* Who needs a slot most: first those that have steps in hand and cannot send them, then those that
 * have waited longest. */
static bool is_needier_of_slots(const ActorSession *a, const ActorSession *b)
{
    if (is_stuck(a) != is_stuck(b))
        return is_stuck(a);
    if (a->last_slots != b->last_slots)
        return a->last_slots < b->last_slots;
    return a->actor_index < b->actor_index;
}

static uint32_t gather_for_slots(ActorSession **sessions, uint32_t num_sessions,
                                 const ActorSession *only, uint64_t share)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < num_sessions; i++) {
        /* Half-way is soon enough: not every accepted segment need be answered by a new limit. */
        if ((!only || sessions[i] == only) &&
            slots_in_hand(sessions[i]) <= enough_slots(sessions[i], share) / 2)
            swap(&sessions[count++], &sessions[i]);
    }
    make_heap(sessions, count, is_needier_of_slots);
    return count;
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
    if (reserved >= pool->slots_free)
        return;
    uint32_t count = gather_for_slots(sessions, num_sessions, only, share);
    while (reserved < pool->slots_free && count > 0) {
        ActorSession *session = sessions[0];
        uint64_t want = enough_slots(session, share) - slots_in_hand(session);
        uint64_t more = min_u64(want, pool->slots_free - reserved);
        session->send_limit_sequence += more;
        session->last_slots = ++pool->grants;
        reserved += more;
        raised(context, session);
        /* It has enough now, or nothing is left. */
        count = replace_root(sessions, count, false, is_needier_of_slots);
    }
}

void credit_give(CreditPool *pool, ActorSession **sessions, uint32_t num_sessions,
                 const ActorSession *only, void (*raised)(void *context, ActorSession *session),
                 void *context)
{
    give_slots(pool, sessions, num_sessions, only, raised, context);
    give_steps(pool, sessions, num_sessions, only, raised, context);
}
