/* Segments whose numbers say where they come from: step i of segment k observes 100 k + i, is
 * rewarded with the same, and leads to 100 k + i + 1. For tests only. */
#ifndef POLYAK_TESTS_LEARNER_REPLAY_NUMBERED_SEGMENTS_H
#define POLYAK_TESTS_LEARNER_REPLAY_NUMBERED_SEGMENTS_H

#include <string.h>

#include "common/check.h"
#include "common/segment.h"

enum { NUMBERED_STEPS_MAX = 64, NUMBERED_OBS_DIM = 2, NUMBERED_ACT_DIM = 1 };

typedef struct NumberedSegment {
    Segment segment;
    float block[(NUMBERED_STEPS_MAX + 1) * NUMBERED_OBS_DIM + NUMBERED_STEPS_MAX * 2];
} NumberedSegment;

static inline const Segment *numbered_segment(NumberedSegment *numbered, int k, int num_steps,
                                              SegmentEnd end)
{
    Segment *segment = &numbered->segment;
    CHECK(num_steps <= NUMBERED_STEPS_MAX);
    memset(segment, 0, sizeof *segment);
    segment_bind(segment, numbered->block, NUMBERED_OBS_DIM, NUMBERED_ACT_DIM, NUMBERED_STEPS_MAX);
    segment->num_steps = num_steps;
    segment->end = end;
    for (int i = 0; i <= num_steps; i++) {
        segment->obs[2 * i] = (float)(100 * k + i);
        segment->obs[2 * i + 1] = -(float)(100 * k + i);
    }
    for (int i = 0; i < num_steps; i++) {
        segment->action[i] = (float)i / 64;
        segment->reward[i] = (float)(100 * k + i);
    }
    return segment;
}

#endif
