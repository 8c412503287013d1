/* A segment: consecutive steps of one environment, never across an episode's end. The unit of data
 * flow from the rollout to the replay.
 *
 * It has num_steps + 1 observations, so the last one is the true final observation, before any
 * reset: a time limit is handled right by construction. Actions are in [-1, 1]. A Segment is a view
 * into memory that somebody else owns; segment_bind() lays one out in a block. */
#ifndef POLYAK_COMMON_SEGMENT_H
#define POLYAK_COMMON_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/version.h"

enum { SEGMENT_STEPS_MAX = 4096 };

/* How a segment ended. Only termination zeroes the bootstrap. */
typedef enum SegmentEnd {
    SEGMENT_CONTINUES = 0,
    SEGMENT_TERMINATED = 1,
    SEGMENT_TRUNCATED = 2,
} SegmentEnd;

typedef struct Segment {
    uint64_t sequence;   /* in its actor's session, from 1, without holes */
    uint32_t env_index;  /* in its actor */
    uint64_t episode;    /* of this environment, from 0 */
    uint32_t first_step; /* in the episode, from 0 */
    int num_steps;       /* >= 1 */
    SegmentEnd end;
    double episode_return; /* the episode's return up to and with the last step */
    Version version;       /* the policy of the first step; epoch 0: uniform random */
    float *obs;            /* (num_steps + 1, obs_dim) row-major */
    float *action;         /* (num_steps, act_dim) row-major, in [-1, 1] */
    float *reward;         /* (num_steps) */
} Segment;

/* Bytes of a block that holds any segment of up to `steps_max` steps. */
size_t segment_block_bytes(int obs_dim, int act_dim, int steps_max);

/* Points the columns into block, which has segment_block_bytes() bytes and a float's alignment. */
void segment_bind(Segment *segment, void *block, int obs_dim, int act_dim, int steps_max);

/* Copies header and columns; the columns of `to` must have the room. */
void segment_copy(Segment *to, const Segment *from, int obs_dim, int act_dim);

/* ERR_DIVERGED or ERR_FORMAT, with the reason, unless all numbers are finite, all actions are in
 * [-1, 1] and the header is sound. */
int segment_check(const Segment *segment, int obs_dim, int act_dim, Err *err);

#endif
