#include "actor/explore.h"

#include <math.h>
#include <string.h>

void explore_reset(Explore *explore, Rng rng, int act_dim)
{
    explore->rng = rng;
    memset(explore->state, 0, (size_t)act_dim * sizeof explore->state[0]);
}

static double ou_step(Explore *explore, const ExploreConfig *config, int i)
{
    double x = explore->state[i];
    x += -config->ou_theta * x * config->ou_dt +
         config->sigma * sqrt(config->ou_dt) * rng_normal(&explore->rng);
    explore->state[i] = x;
    return x;
}

void explore_apply(Explore *explore, const ExploreConfig *config, float *action, int act_dim)
{
    for (int i = 0; i < act_dim; i++) {
        double noise = config->noise == NOISE_OU ? ou_step(explore, config, i)
                                                 : config->sigma * rng_normal(&explore->rng);
        double noisy = (double)action[i] + noise;
        action[i] = (float)(noisy < -1.0 ? -1.0 : noisy > 1.0 ? 1.0 : noisy);
    }
}

void explore_uniform(Explore *explore, float *action, int act_dim)
{
    for (int i = 0; i < act_dim; i++)
        action[i] = (float)(2.0 * rng_uniform(&explore->rng) - 1.0);
}
