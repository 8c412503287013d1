#include "learner/replay/replay.h"

#include <string.h>
#include <sys/mman.h>

#include <xxhash.h>

#include "common/check.h"
#include "common/cpu.h"

uint64_t replay_rows_for_steps(uint64_t steps, int segment_steps)
{
    uint64_t per_segment = (uint64_t)segment_steps;
    /* One row more per full segment, and room for the segment that overwrites the oldest one. */
    return steps + (steps + per_segment - 1) / per_segment + per_segment + 1;
}

size_t replay_bytes(uint64_t rows, int obs_dim, int act_dim)
{
    return (size_t)rows * (size_t)(obs_dim + act_dim + 2) * sizeof(float);
}

uint64_t replay_rows_for(uint64_t steps, uint64_t bytes, int segment_steps, int obs_dim,
                         int act_dim)
{
    return steps > 0 ? replay_rows_for_steps(steps, segment_steps)
                     : bytes / replay_bytes(1, obs_dim, act_dim);
}

int replay_new(Replay *replay, uint64_t rows, int obs_dim, int act_dim, Err *err)
{
    CHECK(obs_dim > 0 && act_dim > 0 && rows > 1);
    memset(replay, 0, sizeof *replay);
    size_t bytes = replay_bytes(rows, obs_dim, act_dim);
    int64_t available = memory_available_bytes();
    double mib = 1024.0 * 1024.0;
    if (available >= 0 && (int64_t)bytes > available)
        return err_set(err, ERR_NOMEM,
                       "the replay needs %.0f MiB (%llu rows of %d floats), %.0f MiB are free: "
                       "lower --replay-capacity",
                       (double)bytes / mib, (unsigned long long)rows, obs_dim + act_dim + 2,
                       (double)available / mib);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return err_set(err, ERR_NOMEM,
                       "the replay needs %.0f MiB, which the system refuses: "
                       "lower --replay-capacity",
                       (double)bytes / mib);
    /* Samples are random rows: large pages save most of the TLB misses. Only advice. */
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 0, bytes);
    *replay = (Replay){.obs_dim = obs_dim,
                       .act_dim = act_dim,
                       .row_floats = obs_dim + act_dim + 2,
                       .capacity = rows,
                       .rows = memory};
    return ERR_OK;
}

void replay_destroy(Replay *replay)
{
    if (replay->rows)
        munmap(replay->rows, replay_bytes(replay->capacity, replay->obs_dim, replay->act_dim));
    memset(replay, 0, sizeof *replay);
}

/* The place of the next row, with the step that it overwrites no longer counted. */
static float *claim_row(Replay *replay)
{
    float *row = replay->rows + (replay->head % replay->capacity) * (uint64_t)replay->row_floats;
    if (replay->head - replay_tail(replay) == replay->capacity &&
        row[replay->row_floats - 1] != REPLAY_NO_STEP)
        replay->steps--;
    replay->head++;
    return row;
}

void replay_append(Replay *replay, const Segment *segment)
{
    CHECK(segment->num_steps > 0 && (uint64_t)segment->num_steps < replay->capacity);
    size_t obs_dim = (size_t)replay->obs_dim;
    size_t act_dim = (size_t)replay->act_dim;
    size_t num_steps = (size_t)segment->num_steps;
    for (size_t i = 0; i < num_steps; i++) {
        float *row = claim_row(replay);
        memcpy(row, segment->obs + i * obs_dim, sizeof(float) * obs_dim);
        memcpy(row + obs_dim, segment->action + i * act_dim, sizeof(float) * act_dim);
        row[obs_dim + act_dim] = segment->reward[i];
        bool terminal = i + 1 == num_steps && segment->end == SEGMENT_TERMINATED;
        row[obs_dim + act_dim + 1] = terminal ? REPLAY_TERMINATED : REPLAY_BOOTSTRAP;
    }
    float *last = claim_row(replay);
    memcpy(last, segment->obs + num_steps * obs_dim, sizeof(float) * obs_dim);
    memset(last + obs_dim, 0, sizeof(float) * (act_dim + 1));
    last[obs_dim + act_dim + 1] = REPLAY_NO_STEP;
    replay->steps += num_steps;
    /* Row by row, so that the digest does not depend on where the ring wraps. */
    size_t row_bytes = (size_t)replay->row_floats * sizeof(float);
    for (uint64_t r = replay->head - num_steps - 1; r < replay->head; r++)
        replay->digest = XXH3_64bits_withSeed(replay_row(replay, r), row_bytes, replay->digest);
}

void replay_begin_at(Replay *replay, uint64_t row, uint64_t digest)
{
    replay->head = row;
    replay->first = row;
    replay->steps = 0;
    replay->digest = digest;
}

void replay_lose(Replay *replay, uint64_t row)
{
    if (row > replay->head && row - replay->head >= replay->capacity)
        replay_begin_at(replay, row, replay->digest);
    while (replay->head < row)
        claim_row(replay)[replay->row_floats - 1] = REPLAY_NO_STEP;
}

bool replay_append_at(Replay *replay, const Segment *segment, uint64_t row)
{
    if (row < replay->head)
        return false;
    replay_lose(replay, row);
    replay_append(replay, segment);
    return true;
}
