/* Plugins that a host must refuse. The option fault=NAME spoils what an instance says; the BAD_…
 * definitions spoil the table itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env.h"

#ifndef BAD_ABI_VERSION
#define BAD_ABI_VERSION POLYAK_ENV_ABI_VERSION
#endif

struct PolyakEnv {
    char fault[32];
};

static int fault_is(const PolyakEnv *env, const char *fault)
{
    return strcmp(env->fault, fault) == 0;
}

static int create(const char *options, PolyakEnv **env, char *error)
{
    PolyakEnv made = {""};
    if (sscanf(options, "fault=%31s", made.fault) != 1) {
        memset(error, 'x', POLYAK_ENV_ERROR_BYTES); /* and no terminating zero */
        return POLYAK_ENV_BAD_OPTIONS;
    }
    if (fault_is(&made, "create")) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "no licence\nfound");
        return POLYAK_ENV_FAILED;
    }
    if (fault_is(&made, "no_instance"))
        return POLYAK_ENV_OK;
    PolyakEnv *memory = malloc(sizeof *memory);
    if (!memory)
        return POLYAK_ENV_FAILED;
    *memory = made;
    *env = memory;
    return POLYAK_ENV_OK;
}

static void destroy(PolyakEnv *env)
{
    free(env);
}

static int spec(const PolyakEnv *env, PolyakEnvSpec *out, char *error)
{
    static int calls; /* what a plugin must not have, for the fault "unequal" */
    *out = (PolyakEnvSpec){
        .name = "bad", .obs_dim = 1, .act_dim = 2, .action_low = {-1, -1}, .action_high = {1, 1}};
    if (fault_is(env, "spec")) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "the model file is gone");
        return POLYAK_ENV_FAILED;
    }
    if (fault_is(env, "infinite_bound"))
        out->action_high[1] = INFINITY;
    if (fault_is(env, "nan_bound"))
        out->action_low[0] = NAN;
    if (fault_is(env, "inverted_bounds"))
        out->action_low[1] = 2;
    if (fault_is(env, "obs_dim_0"))
        out->obs_dim = 0;
    if (fault_is(env, "obs_dim_5000"))
        out->obs_dim = 5000;
    if (fault_is(env, "act_dim_129"))
        out->act_dim = 129;
    if (fault_is(env, "step_limit"))
        out->step_limit = -1;
    if (fault_is(env, "endless_name"))
        memset(out->name, 'a', sizeof out->name);
    if (fault_is(env, "unprintable_name"))
        out->name[1] = '\n';
    if (fault_is(env, "unequal"))
        out->step_limit = ++calls;
    return POLYAK_ENV_OK;
}

static int reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)seed, (void)error;
    obs[0] = fault_is(env, "nan_reset") ? NAN : 0.0f;
    return fault_is(env, "unknown_code") ? 77 : POLYAK_ENV_OK;
}

static int step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                char *error)
{
    (void)env, (void)action, (void)result, (void)error;
    obs[0] = 0.0f;
    return POLYAK_ENV_OK;
}

#ifdef BAD_HALF_STATE
static size_t state_bytes(const PolyakEnv *env)
{
    return sizeof *env;
}
#endif

static const PolyakEnvApi api = {
    .abi_version = BAD_ABI_VERSION,
#ifdef BAD_SHORT_TABLE
    .struct_bytes = offsetof(PolyakEnvApi, step),
#else
    .struct_bytes = sizeof(PolyakEnvApi),
#endif
    .create = create,
    .destroy = destroy,
    .spec = spec,
    .reset = reset,
    .step = step,
#ifdef BAD_HALF_STATE
    .state_bytes = state_bytes,
#endif
};

POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void)
{
    const PolyakEnvApi *table = &api;
#ifdef BAD_NULL_TABLE
    table = NULL;
#endif
    return table;
}
