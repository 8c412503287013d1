/* The hand-over ring: segments from the loop thread (the one producer) to the trainer thread (the
 * one consumer), without a lock. A bounded ring of preallocated slots; full means full.
 *
 * Producer: reserve, fill, commit. Consumer: peek, use, release. */
#ifndef POLYAK_LEARNER_SEGMENT_RING_H
#define POLYAK_LEARNER_SEGMENT_RING_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/segment.h"

typedef struct SegmentRing {
    int obs_dim;
    int act_dim;
    uint64_t num_slots;
    Segment *slots; /* (num_slots) views into block */
    char *block;
    /* Each index on a cache line of its own: the two threads write one each. */
    _Alignas(64) _Atomic uint64_t head; /* slots ever committed; written by the producer */
    _Alignas(64) _Atomic uint64_t tail; /* slots ever released; written by the consumer */
} SegmentRing;

/* ERR_NOMEM. */
int segment_ring_new(SegmentRing *ring, uint64_t num_slots, int obs_dim, int act_dim,
                     int steps_max);
void segment_ring_destroy(SegmentRing *ring);

/* Producer: the next free slot, or NULL when the ring is full. */
Segment *segment_ring_reserve(SegmentRing *ring);
void segment_ring_commit(SegmentRing *ring);

/* Consumer: the oldest slot, or NULL when the ring is empty. */
const Segment *segment_ring_peek(SegmentRing *ring);
void segment_ring_release(SegmentRing *ring);

/* Slots in use, at least as many as there are for the producer. */
uint64_t segment_ring_used(const SegmentRing *ring);

#endif
