#include "learner/replay/sampler.h"

#include <string.h>

#include "common/check.h"
#include "common/rng.h"

enum {
    AHEAD = 16,
    LINE_FLOATS = 16,
    PREFETCH_FLOATS_MAX = 128, /* of longer rows the processor sees by itself what follows */
};

/* Rows in the order in which they are drawn. Which rows these are does not depend on what is in
 * them, so some are on their way from memory while earlier ones are copied. */
typedef struct Draws {
    const Replay *replay;
    Rng rng;
    uint64_t rows[AHEAD];
    unsigned next;
} Draws;

static void prefetch(const float *row, int row_floats)
{
    int count = row_floats < PREFETCH_FLOATS_MAX ? row_floats : PREFETCH_FLOATS_MAX;
    for (int i = 0; i < count; i += LINE_FLOATS)
        __builtin_prefetch(row + i);
}

static void draw_ahead(Draws *draws, unsigned place)
{
    const Replay *replay = draws->replay;
    uint64_t tail = replay_tail(replay);
    uint64_t index = tail + rng_below(&draws->rng, replay->head - tail);
    draws->rows[place] = index;
    prefetch(replay_row(replay, index), replay->row_floats);
    prefetch(replay_row(replay, index + 1), replay->row_floats);
}

/* The next row that starts a transition. Of the rows of a segment only the last does not, so at
 * least every second row is taken. */
static const float *draw_row(Draws *draws, const float **next)
{
    const Replay *replay = draws->replay;
    for (;;) {
        uint64_t index = draws->rows[draws->next];
        draw_ahead(draws, draws->next);
        draws->next = (draws->next + 1) % AHEAD;
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
    Draws draws = {.replay = replay, .rng = rng_stream(seed, RNG_SAMPLE, update, 0, 0)};
    for (unsigned i = 0; i < AHEAD; i++)
        draw_ahead(&draws, i);
    size_t obs_dim = (size_t)replay->obs_dim;
    size_t width = obs_dim + (size_t)replay->act_dim;
    for (int i = 0; i < batch->rows; i++) {
        const float *next = NULL;
        const float *row = draw_row(&draws, &next);
        memcpy(batch->obs_action + (size_t)i * width, row, sizeof(float) * width);
        memcpy(batch->next_obs_action + (size_t)i * width, next, sizeof(float) * obs_dim);
        batch->reward[i] = row[width];
        batch->bootstrap[i] = row[width + 1];
    }
}
