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
    atomic_init(&ring->tail, 0);
    ring->slots = calloc(num_slots, sizeof *ring->slots);
    ring->block = calloc(num_slots, slot_bytes);
    if (!ring->slots || !ring->block) {
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
    free(ring->block);
    ring->slots = NULL;
    ring->block = NULL;
}

Segment *segment_ring_reserve(SegmentRing *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head - tail < ring->num_slots ? &ring->slots[head % ring->num_slots] : NULL;
}

void segment_ring_commit(SegmentRing *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

const Segment *segment_ring_peek(SegmentRing *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return head > tail ? &ring->slots[tail % ring->num_slots] : NULL;
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
