/* Chance for the simulator: small, fast, and the same on every machine (SplitMix64). */
#ifndef POLYAK_TESTS_SIM_SIM_RNG_H
#define POLYAK_TESTS_SIM_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct SimRng {
    uint64_t state;
} SimRng;

static inline uint64_t sim_u64(SimRng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* In [low, high]. */
static inline int sim_range(SimRng *rng, int low, int high)
{
    return low + (int)(sim_u64(rng) % (uint64_t)(high - low + 1));
}

static inline bool sim_chance(SimRng *rng, double probability)
{
    return (double)(sim_u64(rng) >> 11) * 0x1p-53 < probability;
}

#endif
