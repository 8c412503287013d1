/* The built-in environments. Each is one file with one table, which env_host reaches in the same
 * way as a plugin's. To add one: write its file, and name it here. */
#ifndef POLYAK_ACTOR_ENVS_BUILTIN_ENV_BUILTIN_H
#define POLYAK_ACTOR_ENVS_BUILTIN_ENV_BUILTIN_H

#include <stdio.h>
#include <stdlib.h>

#include "actor/envs/env.h"

#define ENV_BUILTINS(X)                                                                            \
    X(pendulum)                                                                                    \
    X(mountain_car_continuous)                                                                     \
    X(cartpole_swingup)

#define ENV_DECLARE(name) extern const PolyakEnvApi name##_api;
ENV_BUILTINS(ENV_DECLARE)
#undef ENV_DECLARE

/* create() of an environment whose instance is one plain struct of `bytes`, all zero at first, and
 * which has no options. */
static inline int env_builtin_create(size_t bytes, const char *options, PolyakEnv **env,
                                     char *error)
{
    if (options[0] != '\0') {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "it takes no options, not '%.100s'", options);
        return POLYAK_ENV_BAD_OPTIONS;
    }
    void *made = calloc(1, bytes);
    if (!made) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "out of memory");
        return POLYAK_ENV_FAILED;
    }
    *env = made;
    return POLYAK_ENV_OK;
}

/* Its destroy(). */
static inline void env_builtin_destroy(PolyakEnv *env)
{
    free(env);
}

#endif
