#include "common/rng.h"

#include <math.h>

#include <Random123/threefry.h>

#include "common/check.h"

Rng rng_stream(uint64_t seed, RngUse use, uint64_t a, uint64_t b, uint64_t c)
{
    /* b and `use` share a word: environments and uses are far fewer than 2^32 and 2^8. */
    CHECK(b < (UINT64_C(1) << 56));
    Rng rng = {.key = {seed, (uint64_t)use << 56 | b, a, c}, .counter = 0, .used = 4};
    return rng;
}

uint64_t rng_u64(Rng *rng)
{
    if (rng->used == 4) {
        threefry4x64_ctr_t counter = {{rng->counter++, 0, 0, 0}};
        threefry4x64_key_t key = {{rng->key[0], rng->key[1], rng->key[2], rng->key[3]}};
        threefry4x64_ctr_t block = threefry4x64(counter, key);
        for (int i = 0; i < 4; i++)
            rng->block[i] = block.v[i];
        rng->used = 0;
    }
    return rng->block[rng->used++];
}

uint64_t rng_below(Rng *rng, uint64_t n)
{
    CHECK(n > 0);
    /* Lemire's multiply-shift with rejection of the biased low part. */
    uint64_t threshold = (0 - n) % n;
    for (;;) {
        unsigned __int128 product = (unsigned __int128)rng_u64(rng) * n;
        if ((uint64_t)product >= threshold)
            return (uint64_t)(product >> 64);
    }
}

double rng_uniform(Rng *rng)
{
    return (double)(rng_u64(rng) >> 11) * 0x1.0p-53;
}

double rng_normal(Rng *rng)
{
    double u = 1.0 - rng_uniform(rng); /* in (0, 1]: the logarithm is finite */
    double v = rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(2.0 * 3.14159265358979323846 * v);
}
