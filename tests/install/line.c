/* A plugin in C, built against an installed Polyak by pkg-config: walk along a line to its middle.
 * Observation: the place. Action: the velocity. An episode ends far outside, or after 50 steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <polyak/env.h>

struct PolyakEnv {
    double place;
};

static int create(const char *options, PolyakEnv **env, char *error)
{
    if (options[0]) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "there are no options, so not '%.100s'", options);
        return POLYAK_ENV_BAD_OPTIONS;
    }
    PolyakEnv *made = calloc(1, sizeof *made);
    if (!made)
        return POLYAK_ENV_FAILED;
    *env = made;
    return POLYAK_ENV_OK;
}

static void destroy(PolyakEnv *env)
{
    free(env);
}

static int spec(const PolyakEnv *env, PolyakEnvSpec *out, char *error)
{
    (void)env, (void)error;
    snprintf(out->name, sizeof out->name, "line");
    out->obs_dim = 1;
    out->act_dim = 1;
    out->step_limit = 50;
    out->action_low[0] = -0.2f;
    out->action_high[0] = 0.2f;
    return POLYAK_ENV_OK;
}

static int reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)error;
    env->place = (double)(seed % 2001) / 1000.0 - 1.0;
    obs[0] = (float)env->place;
    return POLYAK_ENV_OK;
}

static int step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                char *error)
{
    (void)error;
    env->place += (double)action[0];
    obs[0] = (float)env->place;
    result->reward = (float)-fabs(env->place);
    result->terminated = fabs(env->place) > 2.0;
    return POLYAK_ENV_OK;
}

static const PolyakEnvApi api = {
    .abi_version = POLYAK_ENV_ABI_VERSION,
    .struct_bytes = sizeof(PolyakEnvApi),
    .create = create,
    .destroy = destroy,
    .spec = spec,
    .reset = reset,
    .step = step,
};

POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void)
{
    return &api;
}
