/* A block of floats on its own cache lines. */
#ifndef POLYAK_LEARNER_AGENT_BLOCK_H
#define POLYAK_LEARNER_AGENT_BLOCK_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* n floats, zero, to be freed with free(). *ok stays as it is, or turns false when there is no
 * memory. */
static inline float *block_new(size_t n, bool *ok)
{
    enum { ALIGNMENT = 64 };
    size_t bytes = (n * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    float *block = aligned_alloc(ALIGNMENT, bytes);
    if (block)
        memset(block, 0, bytes);
    else
        *ok = false;
    return block;
}

#endif
