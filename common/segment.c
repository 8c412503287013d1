#include "common/segment.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/check.h"

enum {
    ONE_BITS = 0x3f800000, /* of 1.0F */
    INFINITY_BITS = 0x7f800000,
};

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

enum { BLOCK = 16 };

static void raise_most(int32_t most[BLOCK], const float x[BLOCK])
{
    int32_t bits[BLOCK];
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < BLOCK; i++) {
        int32_t magnitude = bits[i] & INT32_MAX;
        most[i] = magnitude > most[i] ? magnitude : most[i];
    }
}

/* The bits of the number that is farthest from 0, without its sign: bits of floats are in the order
 * of their magnitudes, and those of infinity and NaN come last. In blocks, and with no way out of
 * the loop, so that it becomes vector instructions: it looks at every number that is learned from.
 */
static int32_t largest_magnitude(const float *x, size_t n)
{
    int32_t most[BLOCK] = {0};
    float rest[BLOCK] = {0};
    size_t whole = n - n % BLOCK;
    for (size_t i = 0; i < whole; i += BLOCK)
        raise_most(most, x + i);
    memcpy(rest, x + whole, sizeof(float) * (n - whole));
    raise_most(most, rest);
    for (int i = 1; i < BLOCK; i++)
        most[0] = most[i] > most[0] ? most[i] : most[0];
    return most[0];
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
        largest_magnitude(segment->obs, (steps + 1) * (size_t)obs_dim) >= INFINITY_BITS ||
        largest_magnitude(segment->reward, steps) >= INFINITY_BITS)
        return err_set(err, ERR_DIVERGED, "segment with an observation or reward not finite");
    if (largest_magnitude(segment->action, steps * (size_t)act_dim) > ONE_BITS)
        return err_set(err, ERR_FORMAT, "segment with an action outside [-1, 1]");
    return ERR_OK;
}
