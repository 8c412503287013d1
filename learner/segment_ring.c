#include "learner/segment_ring.h"

#include <stdlib.h>

#include "common/check.h"

int segment_ring_new(SegmentRing *ring, uint64_t num_slots, int obs_dim, int act_dim, int steps_max)
{
    CHECK(num_slots > 0);
    size_t slot_bytes = segment_block_bytes(obs_dim, act_dim, steps_max);
    ring->obs_dim = obs_dim;
    ring->act_dim = act_dim;
    ring->num_slots = num_slots;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->logged, 0);
    atomic_init(&ring->tail, 0);
    ring->has_log_stage = false;
    ring->slots = calloc(num_slots, sizeof *ring->slots);
    ring->block = calloc(num_slots, slot_bytes);
    ring->origins = calloc(num_slots, sizeof *ring->origins);
    if (!ring->slots || !ring->block || !ring->origins) {
        segment_ring_destroy(ring);
        return ERR_NOMEM;
    }
    for (uint64_t i = 0; i < num_slots; i++)
        segment_bind(&ring->slots[i], ring->block + i * slot_bytes, obs_dim, act_dim, steps_max);
    return ERR_OK;
}

void segment_ring_destroy(SegmentRing *ring)
{
    free(ring->slots);
    free(ring->origins);
    free(ring->block);
    ring->slots = NULL;
    ring->origins = NULL;
    ring->block = NULL;
}

void segment_ring_add_log_stage(SegmentRing *ring)
{
    CHECK(segment_ring_used(ring) == 0);
    ring->has_log_stage = true;
    atomic_store(&ring->logged, atomic_load(&ring->head));
}

Segment *segment_ring_reserve(SegmentRing *ring, SegmentOrigin **origin)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (head - tail >= ring->num_slots)
        return NULL;
    *origin = &ring->origins[head % ring->num_slots];
    return &ring->slots[head % ring->num_slots];
}

void segment_ring_commit(SegmentRing *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

const Segment *segment_ring_unlogged(const SegmentRing *ring, uint64_t i,
                                     const SegmentOrigin **origin)
{
    uint64_t next = atomic_load_explicit(&ring->logged, memory_order_relaxed) + i;
    if (next >= atomic_load_explicit(&ring->head, memory_order_acquire))
        return NULL;
    *origin = &ring->origins[next % ring->num_slots];
    return &ring->slots[next % ring->num_slots];
}

void segment_ring_mark_logged(SegmentRing *ring, uint64_t count)
{
    uint64_t logged = atomic_load_explicit(&ring->logged, memory_order_relaxed);
    CHECK(logged + count <= atomic_load_explicit(&ring->head, memory_order_acquire));
    atomic_store_explicit(&ring->logged, logged + count, memory_order_release);
}

uint64_t segment_ring_logged(const SegmentRing *ring)
{
    const _Atomic uint64_t *gate = ring->has_log_stage ? &ring->logged : &ring->head;
    return atomic_load_explicit(gate, memory_order_acquire);
}

const Segment *segment_ring_peek(SegmentRing *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    return segment_ring_logged(ring) > tail ? &ring->slots[tail % ring->num_slots] : NULL;
}

void segment_ring_release(SegmentRing *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

uint64_t segment_ring_used(const SegmentRing *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
}
