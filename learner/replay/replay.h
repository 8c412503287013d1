/* The replay: a ring of rows, filled by segments.
 *
 * A row is one record: obs (obs_dim) | action (act_dim) | reward | mark. A segment takes
 * num_steps + 1 rows; the last has an observation only (mark REPLAY_NO_STEP). Row i with row i + 1
 * is a transition, so an observation is stored once and one sample touches one place in memory.
 * Rows are numbered from 0 for ever; row r lies at r mod capacity. Rows that were lost (a damaged
 * part of the log that fills the replay again) keep their numbers, marked REPLAY_NO_STEP: so what a
 * number names does not depend on what was lost. Owned by the trainer thread. */
#ifndef POLYAK_LEARNER_REPLAY_REPLAY_H
#define POLYAK_LEARNER_REPLAY_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/segment.h"

/* What `mark` holds: the bootstrap factor of the transition that starts at this row, or that none
 * does. */
#define REPLAY_NO_STEP (-1.0F)
#define REPLAY_TERMINATED 0.0F
#define REPLAY_BOOTSTRAP 1.0F

typedef struct Replay {
    int obs_dim;
    int act_dim;
    int row_floats;    /* obs_dim + act_dim + 2 */
    uint64_t capacity; /* rows */
    uint64_t head;     /* the next row; rows [replay_tail, head) are there */
    uint64_t first;    /* no row before this one is there */
    uint64_t steps;    /* rows that start a transition and are there */
    uint64_t digest;   /* of all rows ever written, in their order: equal digests, equal contents */
    float *rows;       /* (capacity, row_floats) */
} Replay;

/* Rows that hold `steps` steps in segments of at most segment_steps. */
uint64_t replay_rows_for_steps(uint64_t steps, int segment_steps);

/* Rows of a replay whose capacity is given in steps or, where these are 0, in bytes; from bytes
 * they may be too few to work with. */
uint64_t replay_rows_for(uint64_t steps, uint64_t bytes, int segment_steps, int obs_dim,
                         int act_dim);

/* Bytes of a replay with `rows` rows. */
size_t replay_bytes(uint64_t rows, int obs_dim, int act_dim);

/* Reserves and touches all memory now, so that a replay that does not fit is refused at the start:
 * ERR_NOMEM with the numbers. */
int replay_new(Replay *replay, uint64_t rows, int obs_dim, int act_dim, Err *err);
void replay_destroy(Replay *replay);

/* Copies a segment in over the oldest rows. It has at most capacity - 1 steps. */
void replay_append(Replay *replay, const Segment *segment);

/* Begins an empty replay anew whose first row has this number, and whose digest goes on from this
 * one. */
void replay_begin_at(Replay *replay, uint64_t row, uint64_t digest);

/* The same as replay_append, of a segment whose first row has this number: rows in between were
 * lost. Rows that are there already are passed over: returns whether it was appended. */
bool replay_append_at(Replay *replay, const Segment *segment, uint64_t row);

/* The rows up to this one were lost. */
void replay_lose(Replay *replay, uint64_t row);

/* Rows that a segment takes. */
static inline uint64_t replay_segment_rows(const Segment *segment)
{
    return (uint64_t)segment->num_steps + 1;
}

/* The oldest row that is still there. */
static inline uint64_t replay_tail(const Replay *replay)
{
    uint64_t oldest = replay->head > replay->capacity ? replay->head - replay->capacity : 0;
    return oldest > replay->first ? oldest : replay->first;
}

static inline const float *replay_row(const Replay *replay, uint64_t row)
{
    return replay->rows + (row % replay->capacity) * (uint64_t)replay->row_floats;
}

#endif
