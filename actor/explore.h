/* Exploration noise of one environment, added to the policy's action in [-1, 1] and clipped.
 *
 * Gaussian: a + sigma N. Ornstein-Uhlenbeck: x <- x - theta x dt + sigma sqrt(dt) N, a + x, with
 * x = 0 at an episode's start (Lillicrap et al. 2015, after Uhlenbeck & Ornstein 1930). */
#ifndef POLYAK_ACTOR_EXPLORE_H
#define POLYAK_ACTOR_EXPLORE_H

#include "common/config/config.h"
#include "common/rng.h"
#include "common/spec.h"

typedef struct ExploreConfig {
    Noise noise;
    double sigma; /* in half-ranges */
    double ou_theta;
    double ou_dt;
} ExploreConfig;

typedef struct Explore {
    Rng rng;
    double state[SPEC_ACT_DIM_MAX]; /* x of Ornstein-Uhlenbeck */
} Explore;

/* An episode starts: the stream is its own, the state is 0. */
void explore_reset(Explore *explore, Rng rng, int act_dim);

/* Adds noise to action (act_dim) in place. */
void explore_apply(Explore *explore, const ExploreConfig *config, float *action, int act_dim);

/* Fills action (act_dim) uniformly from [-1, 1]: the warm-up. */
void explore_uniform(Explore *explore, float *action, int act_dim);

#endif
