#include "learner/replay/sampler.h"

#include <string.h>

#include "common/check.h"
#include "common/rng.h"

/* Draws a row that starts a transition. Of the rows of a segment only the last does not, so at
 * least every second row is taken. */
static const float *draw_row(const Replay *replay, Rng *rng, const float **next)
{
    uint64_t tail = replay_tail(replay);
    for (;;) {
        uint64_t index = tail + rng_below(rng, replay->head - tail);
        const float *row = replay_row(replay, index);
        if (row[replay->row_floats - 1] != REPLAY_NO_STEP) {
            *next = replay_row(replay, index + 1);
            return row;
        }
    }
}

void sampler_draw(const Replay *replay, uint64_t seed, uint64_t update, Batch *batch)
{
    CHECK(replay->steps > 0);
    CHECK(batch->obs_dim == replay->obs_dim && batch->act_dim == replay->act_dim);
    Rng rng = rng_stream(seed, RNG_SAMPLE, update, 0, 0);
    size_t obs_dim = (size_t)replay->obs_dim;
    size_t width = obs_dim + (size_t)replay->act_dim;
    for (int i = 0; i < batch->rows; i++) {
        const float *next = NULL;
        const float *row = draw_row(replay, &rng, &next);
        memcpy(batch->obs_action + (size_t)i * width, row, sizeof(float) * width);
        memcpy(batch->next_obs_action + (size_t)i * width, next, sizeof(float) * obs_dim);
        batch->reward[i] = row[width];
        batch->bootstrap[i] = row[width + 1];
    }
}
