/* The actor's copy of the policy: the newest weights that came, and one batched forward pass. It is
 * all that an actor has of the learner: no critic, no targets. Owned by the actor's one thread. */
#ifndef POLYAK_ACTOR_POLICY_H
#define POLYAK_ACTOR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mlp.h"
#include "common/version.h"
#include "proto/wire.h"

typedef struct Policy {
    Version version; /* epoch 0: none yet, act at random */
    Mlp mlp;
    int rows_max;
    float *params;      /* (mlp_num_params) */
    float *activations; /* (mlp_num_activations of rows_max) */
} Policy;

/* For up to rows_max environments at once. */
void policy_init(Policy *policy, int rows_max);
void policy_destroy(Policy *policy);

/* Takes weights of the environment's shape. ERR_SPEC when they have another, ERR_NOMEM. */
int policy_set(Policy *policy, const Weights *weights, const Spec *spec, Err *err);

static inline bool policy_is_set(const Policy *policy)
{
    return policy->version.epoch != 0;
}

/* obs (rows, obs_dim) row-major -> actions (rows, act_dim) in [-1, 1], valid until the next call.
 */
const float *policy_act(Policy *policy, const float *obs, int rows);

#endif
