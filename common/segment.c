#include "common/segment.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/check.h"

size_t segment_block_bytes(int obs_dim, int act_dim, int steps_max)
{
    size_t steps = (size_t)steps_max;
    return sizeof(float) * ((steps + 1) * (size_t)obs_dim + steps * (size_t)act_dim + steps);
}

void segment_bind(Segment *segment, void *block, int obs_dim, int act_dim, int steps_max)
{
    size_t steps = (size_t)steps_max;
    segment->obs = block;
    segment->action = segment->obs + (steps + 1) * (size_t)obs_dim;
    segment->reward = segment->action + steps * (size_t)act_dim;
}

void segment_copy(Segment *to, const Segment *from, int obs_dim, int act_dim)
{
    Segment header = *from;
    header.obs = to->obs;
    header.action = to->action;
    header.reward = to->reward;
    *to = header;
    size_t steps = (size_t)from->num_steps;
    memcpy(to->obs, from->obs, sizeof(float) * (steps + 1) * (size_t)obs_dim);
    memcpy(to->action, from->action, sizeof(float) * steps * (size_t)act_dim);
    memcpy(to->reward, from->reward, sizeof(float) * steps);
}

static bool all_finite(const float *x, size_t n)
{
    /* A sum of x·0 is 0 unless some x is infinite or NaN: one pass that vectorises. */
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * 0.0F;
    return sum == 0.0F;
}

int segment_check(const Segment *segment, int obs_dim, int act_dim, Err *err)
{
    CHECK(obs_dim > 0 && act_dim > 0);
    if (segment->num_steps < 1 || segment->num_steps > SEGMENT_STEPS_MAX)
        return err_set(err, ERR_FORMAT, "segment of %d steps", segment->num_steps);
    if (segment->end > SEGMENT_TRUNCATED)
        return err_set(err, ERR_FORMAT, "segment with the end %d", (int)segment->end);
    size_t steps = (size_t)segment->num_steps;
    if (!isfinite(segment->episode_return) ||
        !all_finite(segment->obs, (steps + 1) * (size_t)obs_dim) ||
        !all_finite(segment->reward, steps))
        return err_set(err, ERR_DIVERGED, "segment with an observation or reward not finite");
    for (size_t i = 0; i < steps * (size_t)act_dim; i++) {
        if (!(segment->action[i] >= -1.0F && segment->action[i] <= 1.0F))
            return err_set(err, ERR_FORMAT, "segment with an action outside [-1, 1]");
    }
    return ERR_OK;
}
