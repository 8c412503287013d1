/* The hand-over ring: segments from the loop thread (the one producer) to the trainer thread (the
 * one consumer), without a lock. A bounded ring of preallocated slots; full means full.
 *
 * With a log there is a stage between the two: the log thread writes what the producer committed,
 * and only then does the consumer see it. Nothing is copied for it.
 *
 *     tail <= logged <= head <= tail + num_slots
 *
 * Producer: reserve, fill, commit. Log: unlogged, write, mark. Consumer: peek, use, release. */
#ifndef POLYAK_LEARNER_SEGMENT_RING_H
#define POLYAK_LEARNER_SEGMENT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/segment.h"
#include "common/segment_origin.h"

typedef struct SegmentRing {
    int obs_dim;
    int act_dim;
    uint64_t num_slots;
    bool has_log_stage;
    Segment *slots;         /* (num_slots) views into block */
    SegmentOrigin *origins; /* (num_slots) */
    char *block;
    /* Each index on a cache line of its own: each thread writes one. */
    _Alignas(64) _Atomic uint64_t head;   /* slots ever committed; written by the producer */
    _Alignas(64) _Atomic uint64_t logged; /* slots ever logged; written by the log thread */
    _Alignas(64) _Atomic uint64_t tail;   /* slots ever released; written by the consumer */
} SegmentRing;

/* ERR_NOMEM. */
int segment_ring_new(SegmentRing *ring, uint64_t num_slots, int obs_dim, int act_dim,
                     int steps_max);
void segment_ring_destroy(SegmentRing *ring);

/* Puts the log's stage in; before the first segment. */
void segment_ring_add_log_stage(SegmentRing *ring);

/* Producer: the next free slot, or NULL when the ring is full. *origin is the slot's, to be filled
 * as well. */
Segment *segment_ring_reserve(SegmentRing *ring, SegmentOrigin **origin);
void segment_ring_commit(SegmentRing *ring);

/* Log: the i-th slot that is not logged, or NULL when there are not so many. */
const Segment *segment_ring_unlogged(const SegmentRing *ring, uint64_t i,
                                     const SegmentOrigin **origin);

/* Log: the oldest `count` of them may go on to the consumer. */
void segment_ring_mark_logged(SegmentRing *ring, uint64_t count);

/* Segments ever that went, or may go, to the consumer. */
uint64_t segment_ring_logged(const SegmentRing *ring);

/* Consumer: the oldest slot, or NULL when there is none for it. */
const Segment *segment_ring_peek(SegmentRing *ring);
void segment_ring_release(SegmentRing *ring);

/* Slots in use, at least as many as there are for the producer. */
uint64_t segment_ring_used(const SegmentRing *ring);

#endif
