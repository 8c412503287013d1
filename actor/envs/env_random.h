/* The random numbers of the built-in environments: SplitMix64 (Steele, Lea, Flood 2014), which
 * takes any 64-bit seed and needs 8 bytes of state. Good enough for start states; nothing else
 * depends on it. A plain value, not thread-safe: every instance has its own. */
#ifndef POLYAK_ACTOR_ENVS_ENV_RANDOM_H
#define POLYAK_ACTOR_ENVS_ENV_RANDOM_H

#include <math.h>
#include <stdint.h>

typedef struct EnvRandom {
    uint64_t state; /* the seed, at first */
} EnvRandom;

static inline uint64_t env_random_u64(EnvRandom *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Uniform in [low, high). */
static inline double env_random_uniform(EnvRandom *random, double low, double high)
{
    return low + (high - low) * ((double)(env_random_u64(random) >> 11) * 0x1p-53);
}

/* Standard normal (Box-Muller). */
static inline double env_random_normal(EnvRandom *random)
{
    double u = 1.0 - env_random_uniform(random, 0.0, 1.0); /* in (0, 1]: its logarithm is finite */
    return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * env_random_uniform(random, 0.0, 1.0));
}

#endif
