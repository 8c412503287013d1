#include "actor/policy.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"

void policy_init(Policy *policy, int rows_max)
{
    *policy = (Policy){.rows_max = rows_max};
}

void policy_destroy(Policy *policy)
{
    free(policy->params);
    free(policy->activations);
    *policy = (Policy){0};
}

/* Makes room for a network of this shape. */
static int resize(Policy *policy, const Mlp *mlp)
{
    float *params = calloc(mlp_num_params(mlp), sizeof(float));
    float *activations = calloc(mlp_num_activations(mlp, policy->rows_max), sizeof(float));
    if (!params || !activations) {
        free(params);
        free(activations);
        return ERR_NOMEM;
    }
    free(policy->params);
    free(policy->activations);
    policy->params = params;
    policy->activations = activations;
    policy->mlp = *mlp;
    return ERR_OK;
}

int policy_set(Policy *policy, const Weights *weights, const Spec *spec, Err *err)
{
    if (weights->mlp.size[0] != spec->obs_dim || mlp_output_dim(&weights->mlp) != spec->act_dim)
        return err_set(err, ERR_SPEC, "a policy of obs_dim %d and act_dim %d came, not %d and %d",
                       weights->mlp.size[0], mlp_output_dim(&weights->mlp), spec->obs_dim,
                       spec->act_dim);
    if ((!policy->params || !mlp_equal(&policy->mlp, &weights->mlp)) &&
        resize(policy, &weights->mlp) != 0)
        return err_set(err, ERR_NOMEM, "out of memory for the policy");
    memcpy(policy->params, weights->params, mlp_num_params(&policy->mlp) * sizeof(float));
    policy->version = weights->version;
    return ERR_OK;
}

const float *policy_act(Policy *policy, const float *obs, int rows)
{
    CHECK(policy_is_set(policy) && rows > 0 && rows <= policy->rows_max);
    return mlp_forward(&policy->mlp, policy->params, obs, policy->mlp.size[0], rows,
                       policy->activations);
}
