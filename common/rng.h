/* Counter-based random numbers: Threefry-4x64 of Random123.
 *
 * A stream is named by (seed, use, a, b, c); nothing is shared between streams, and any number of
 * a stream can be reached without drawing those before it. Equal names give equal numbers on every
 * machine. An Rng is a plain value: copy it to repeat it. Not thread-safe; make one per thread. */
#ifndef POLYAK_COMMON_RNG_H
#define POLYAK_COMMON_RNG_H

#include <stdint.h>

/* What a stream is for; the numbers are part of what makes a run repeatable: never renumber. */
typedef enum RngUse {
    RNG_INIT = 1,   /* first parameters: a = network */
    RNG_SAMPLE = 2, /* replay sampling: a = update number */
    RNG_RESET = 3,  /* an environment's reset seed: a = actor and incarnation, b = env, c = start */
    RNG_EXPLORE = 4, /* noise, uniform actions: a = actor and incarnation, b = env, c = start */
    RNG_EVAL = 5,    /* reset seeds of an evaluation: a = episode */
    RNG_TEST = 6,    /* tests and benchmarks */
    RNG_BACKOFF = 7, /* waits before reconnections: seed and a = session, b = number of the wait */
} RngUse;

typedef struct Rng {
    uint64_t key[4];
    uint64_t counter; /* blocks drawn */
    uint64_t block[4];
    int used; /* of block; 4 means empty */
} Rng;

Rng rng_stream(uint64_t seed, RngUse use, uint64_t a, uint64_t b, uint64_t c);

uint64_t rng_u64(Rng *rng);

/* Uniform in [0, n), without bias; n > 0. */
uint64_t rng_below(Rng *rng, uint64_t n);

/* Uniform in [0, 1), 53 bits. */
double rng_uniform(Rng *rng);

/* Standard normal (Box-Muller; one number per call, two draws). */
double rng_normal(Rng *rng);

/* The `a` of the actor streams: a restarted actor never repeats an earlier one's numbers. */
static inline uint64_t rng_actor_key(uint32_t actor_index, uint32_t incarnation)
{
    return (uint64_t)incarnation << 32 | actor_index;
}

#endif
