/* The hand-over ring: full is full, and between two threads nothing is lost, swapped or torn. Run
 * it under ThreadSanitizer too: -DPOLYAK_SANITIZE=thread. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "learner/segment_ring.h"

enum { OBS_DIM = 3, ACT_DIM = 2, STEPS_MAX = 5 };

static void make(SegmentRing *ring, uint64_t slots)
{
    assert_int_equal(segment_ring_new(ring, slots, OBS_DIM, ACT_DIM, STEPS_MAX), 0);
}

/* Fills a slot with what follows from its number alone. */
static void fill(Segment *segment, uint64_t number)
{
    segment->sequence = number;
    segment->num_steps = 1 + (int)(number % STEPS_MAX);
    for (int i = 0; i < (segment->num_steps + 1) * OBS_DIM; i++)
        segment->obs[i] = (float)(number % 10000) + (float)i / 64;
    for (int i = 0; i < segment->num_steps * ACT_DIM; i++)
        segment->action[i] = -(float)(number % 10000);
    for (int i = 0; i < segment->num_steps; i++)
        segment->reward[i] = (float)i;
}

static bool is_filled(const Segment *segment, uint64_t number)
{
    bool same = segment->sequence == number && segment->num_steps == 1 + (int)(number % STEPS_MAX);
    for (int i = 0; same && i < (segment->num_steps + 1) * OBS_DIM; i++)
        same = segment->obs[i] == (float)(number % 10000) + (float)i / 64;
    for (int i = 0; same && i < segment->num_steps * ACT_DIM; i++)
        same = segment->action[i] == -(float)(number % 10000);
    for (int i = 0; same && i < segment->num_steps; i++)
        same = segment->reward[i] == (float)i;
    return same;
}

static Segment *reserve(SegmentRing *ring)
{
    SegmentOrigin *origin = NULL;
    return segment_ring_reserve(ring, &origin);
}

static void test_full_is_full_and_empty_is_empty(void **state)
{
    (void)state;
    SegmentRing ring;
    make(&ring, 3);
    assert_null(segment_ring_peek(&ring));
    for (uint64_t i = 0; i < 3; i++) {
        Segment *slot = reserve(&ring);
        assert_non_null(slot);
        fill(slot, i);
        segment_ring_commit(&ring);
        assert_int_equal(segment_ring_used(&ring), i + 1);
    }
    assert_null(reserve(&ring));
    assert_true(is_filled(segment_ring_peek(&ring), 0));
    assert_null(reserve(&ring)); /* looked at is not released */
    segment_ring_release(&ring);
    assert_int_equal(segment_ring_used(&ring), 2);
    assert_non_null(reserve(&ring));
    segment_ring_destroy(&ring);
    assert_null(ring.slots);
}

static void test_what_is_not_committed_is_not_seen(void **state)
{
    (void)state;
    SegmentRing ring;
    make(&ring, 2);
    assert_non_null(reserve(&ring));
    assert_null(segment_ring_peek(&ring));
    assert_int_equal(segment_ring_used(&ring), 0);
    segment_ring_destroy(&ring);
}

static void test_slots_do_not_overlap(void **state)
{
    (void)state;
    SegmentRing ring;
    make(&ring, 7);
    for (uint64_t i = 0; i < 7; i++) {
        fill(reserve(&ring), 4 + i * STEPS_MAX); /* the longest ones */
        segment_ring_commit(&ring);
    }
    for (uint64_t i = 0; i < 7; i++) {
        assert_true(is_filled(segment_ring_peek(&ring), 4 + i * STEPS_MAX));
        segment_ring_release(&ring);
    }
    segment_ring_destroy(&ring);
}

static void test_with_a_log_only_what_is_logged_is_seen(void **state)
{
    (void)state;
    SegmentRing ring;
    const SegmentOrigin *origin = NULL;
    make(&ring, 4);
    segment_ring_add_log_stage(&ring);
    for (uint64_t i = 0; i < 3; i++) {
        SegmentOrigin *mine = NULL;
        fill(segment_ring_reserve(&ring, &mine), i);
        mine->session_steps = 100 + i;
        segment_ring_commit(&ring);
    }
    assert_null(segment_ring_peek(&ring));
    assert_int_equal(segment_ring_logged(&ring), 0);
    assert_true(is_filled(segment_ring_unlogged(&ring, 2, &origin), 2));
    assert_int_equal(origin->session_steps, 102);
    assert_null(segment_ring_unlogged(&ring, 3, &origin));
    segment_ring_mark_logged(&ring, 2);
    assert_int_equal(segment_ring_logged(&ring), 2);
    for (uint64_t i = 0; i < 2; i++) {
        assert_true(is_filled(segment_ring_peek(&ring), i));
        segment_ring_release(&ring);
    }
    assert_null(segment_ring_peek(&ring));
    assert_int_equal(segment_ring_used(&ring), 1);
    assert_true(is_filled(segment_ring_unlogged(&ring, 0, &origin), 2));
    segment_ring_destroy(&ring);
}

/* --- Two threads -------------------------------------------------------------------------------
 */

enum { HANDED_OVER = 20000 };

typedef struct Handover {
    SegmentRing ring;
    uint64_t seed;
} Handover;

static void *produce(void *argument)
{
    Handover *handover = argument;
    Rng rng = rng_stream(handover->seed, RNG_TEST, 0, 0, 0);
    for (uint64_t i = 0; i < HANDED_OVER;) {
        Segment *slot = reserve(&handover->ring);
        if (!slot || rng_below(&rng, 64) == 0) {
            sched_yield();
            continue;
        }
        fill(slot, i++);
        segment_ring_commit(&handover->ring);
    }
    return NULL;
}

static void test_two_threads_hand_over_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        Handover handover = {.seed = seed};
        make(&handover.ring, 1 + seed * seed); /* 2, 5, 10 */
        pthread_t producer;
        assert_int_equal(pthread_create(&producer, NULL, produce, &handover), 0);
        Rng rng = rng_stream(seed, RNG_TEST, 1, 0, 0);
        int torn = 0;
        bool overfull = false;
        for (uint64_t i = 0; i < HANDED_OVER;) {
            const Segment *slot = segment_ring_peek(&handover.ring);
            overfull = overfull || segment_ring_used(&handover.ring) > handover.ring.num_slots;
            if (!slot || rng_below(&rng, 64) == 0) {
                sched_yield();
                continue;
            }
            torn += !is_filled(slot, i++);
            segment_ring_release(&handover.ring);
        }
        pthread_join(producer, NULL);
        if (torn > 0 || overfull)
            fail_msg("seed %d: %d segments are not what was handed over", (int)seed, torn);
        assert_null(segment_ring_peek(&handover.ring));
        segment_ring_destroy(&handover.ring);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_is_full_and_empty_is_empty),
        cmocka_unit_test(test_what_is_not_committed_is_not_seen),
        cmocka_unit_test(test_slots_do_not_overlap),
        cmocka_unit_test(test_with_a_log_only_what_is_logged_is_seen),
        cmocka_unit_test(test_two_threads_hand_over_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
