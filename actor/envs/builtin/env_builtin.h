/* The built-in environments. Each is one file with one table, which env_host reaches in the same
 * way as a plugin's. To add one: write its file, and name it here. */
#ifndef POLYAK_ACTOR_ENVS_BUILTIN_ENV_BUILTIN_H
#define POLYAK_ACTOR_ENVS_BUILTIN_ENV_BUILTIN_H

#include <stddef.h>

#include "actor/envs/env.h"

#define ENV_BUILTINS(X)                                                                            \
    X(pendulum)                                                                                    \
    X(mountain_car_continuous)                                                                     \
    X(cartpole_swingup)

#define ENV_DECLARE(name) extern const PolyakEnvApi name##_api;
ENV_BUILTINS(ENV_DECLARE)
#undef ENV_DECLARE

typedef int (*EnvBuiltinStep)(PolyakEnv *env, const float *action, float *obs,
                              PolyakEnvResult *result, char *error);

/* create() of an environment whose instance is one plain struct of `bytes`, all zero at first. Its
 * table has env_builtin_step, which calls `step`. There is one option, step_ms: a step takes at
 * least so many milliseconds, so that the environment stands in for a slow simulator. */
int env_builtin_create(size_t bytes, EnvBuiltinStep step, const char *options, PolyakEnv **env,
                       char *error);
int env_builtin_step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                     char *error);
void env_builtin_destroy(PolyakEnv *env);

#endif
