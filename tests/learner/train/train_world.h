/* Segments that follow from a seed and their position alone, small networks, and a ring that they
 * are put into: what the tests of the log thread and of training share. For tests only. */
#ifndef POLYAK_TESTS_LEARNER_TRAIN_TRAIN_WORLD_H
#define POLYAK_TESTS_LEARNER_TRAIN_TRAIN_WORLD_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/rng.h"
#include "common/spec.h"
#include "learner/log/log_writer.h"
#include "learner/segment_ring.h"

enum { TRAIN_OBS = 3, TRAIN_ACT = 2, TRAIN_STEPS = 6, TRAIN_SESSIONS = 2 };
#define TRAIN_DIRECTORY "run/replay"

typedef struct TrainSegment {
    Segment segment;
    SegmentOrigin origin;
    float block[(TRAIN_STEPS + 1) * TRAIN_OBS + TRAIN_STEPS * (TRAIN_ACT + 1)];
} TrainSegment;

static inline uint64_t train_seed(void)
{
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

static inline int train_num_steps(uint64_t seed, uint64_t position)
{
    Rng rng = rng_stream(seed, RNG_TEST, position, 0, 0);
    return 1 + (int)rng_below(&rng, TRAIN_STEPS);
}

/* Position k is sequence (k + 1) / 2 of the session k % 2. */
static inline void train_segment(uint64_t seed, uint64_t position, TrainSegment *out)
{
    Rng rng = rng_stream(seed, RNG_TEST, position, 1, 0);
    Segment *segment = &out->segment;
    memset(out, 0, sizeof *out);
    segment_bind(segment, out->block, TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS);
    segment->num_steps = train_num_steps(seed, position);
    segment->sequence = (position + 1) / TRAIN_SESSIONS;
    segment->episode = position;
    segment->end = (SegmentEnd)rng_below(&rng, 3);
    segment->episode_return = rng_normal(&rng);
    for (int i = 0; i < (segment->num_steps + 1) * TRAIN_OBS; i++)
        segment->obs[i] = (float)rng_normal(&rng);
    for (int i = 0; i < segment->num_steps * TRAIN_ACT; i++)
        segment->action[i] = (float)(2 * rng_uniform(&rng) - 1);
    for (int i = 0; i < segment->num_steps; i++)
        segment->reward[i] = (float)rng_normal(&rng);
    SegmentOrigin *origin = &out->origin;
    memcpy(origin->session.id, &seed, sizeof seed);
    origin->session.id[15] = (uint8_t)(position % TRAIN_SESSIONS);
    origin->actor_index = (uint32_t)(position % TRAIN_SESSIONS);
    origin->incarnation = 1;
    origin->num_envs = 1;
    for (uint64_t k = position % TRAIN_SESSIONS; k <= position; k += TRAIN_SESSIONS)
        origin->session_steps += k > 0 ? (uint64_t)train_num_steps(seed, k) : 0;
    snprintf(origin->name, sizeof origin->name, "actor %u", origin->actor_index);
}

static inline Spec train_spec(void)
{
    Spec spec = {.name = "test", .obs_dim = TRAIN_OBS, .act_dim = TRAIN_ACT};
    for (int i = 0; i < TRAIN_ACT; i++) {
        spec.action_low[i] = -1;
        spec.action_high[i] = 1;
    }
    return spec;
}

/* As the loop does it; false when the ring is full. */
static inline bool train_put(SegmentRing *ring, const TrainSegment *made)
{
    SegmentOrigin *origin = NULL;
    Segment *slot = segment_ring_reserve(ring, &origin);
    if (!slot)
        return false;
    segment_copy(slot, &made->segment, ring->obs_dim, ring->act_dim);
    *origin = made->origin;
    segment_ring_commit(ring);
    return true;
}

static inline bool train_is(const Segment *segment, uint64_t seed, uint64_t position)
{
    TrainSegment expected;
    train_segment(seed, position, &expected);
    size_t steps = (size_t)expected.segment.num_steps;
    return segment->num_steps == expected.segment.num_steps &&
           segment->sequence == expected.segment.sequence &&
           memcmp(segment->obs, expected.segment.obs, (steps + 1) * TRAIN_OBS * sizeof(float)) ==
               0 &&
           memcmp(segment->reward, expected.segment.reward, steps * sizeof(float)) == 0;
}

#endif
