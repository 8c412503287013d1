/* An environment whose step takes a fixed time of computing, for bench/actor_share.py: what an
 * actor takes beyond that time is its own. It is built as a plugin:
 *
 *     cc -O2 -shared -fPIC -I. -o busy.so bench/busy.c
 *
 * A step computes until step_us (the one option, default 50) microseconds have passed on the
 * monotonic clock, as a physics engine would: it does not sleep. The observation, 17 random
 * numbers, is made within that time. Dimensions are those of a walking robot; an episode has 1000
 * steps. A step that the kernel interrupts is not made longer: time that other programs take from
 * it is partly hidden, so measure on an idle machine. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "actor/envs/env.h"

enum { OBS_DIM = 17, ACT_DIM = 6, STEP_LIMIT = 1000, STEP_US_DEFAULT = 50 };

struct PolyakEnv {
    int64_t step_ns;
    uint64_t random; /* state of the generator */
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int create(const char *options, PolyakEnv **env, char *error)
{
    double step_us = STEP_US_DEFAULT;
    if (*options) {
        char *end = NULL;
        if (strncmp(options, "step_us=", 8) == 0)
            step_us = strtod(options + 8, &end);
        if (!end || end == options + 8 || *end || !(step_us >= 1 && step_us <= 1e6)) {
            snprintf(error, POLYAK_ENV_ERROR_BYTES,
                     "the one option is step_us=1…1000000, not '%.60s'", options);
            return POLYAK_ENV_BAD_OPTIONS;
        }
    }
    PolyakEnv *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "out of memory");
        return POLYAK_ENV_FAILED;
    }
    made->step_ns = (int64_t)(step_us * 1e3);
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
    snprintf(out->name, sizeof out->name, "busy");
    out->obs_dim = OBS_DIM;
    out->act_dim = ACT_DIM;
    out->step_limit = STEP_LIMIT;
    for (int i = 0; i < ACT_DIM; i++) {
        out->action_low[i] = -1.0f;
        out->action_high[i] = 1.0f;
    }
    return POLYAK_ENV_OK;
}

/* Numbers in [-1, 1): SplitMix64. */
static void observe(PolyakEnv *env, float *obs)
{
    for (int i = 0; i < OBS_DIM; i++) {
        uint64_t x = env->random += UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        obs[i] = (float)((double)((x ^ x >> 31) >> 11) * 0x1p-52 - 1.0);
    }
}

static int reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)error;
    env->random = seed;
    observe(env, obs);
    return POLYAK_ENV_OK;
}

static int step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                char *error)
{
    (void)error;
    int64_t until_ns = now_ns() + env->step_ns;
    result->reward = -action[0] * action[0];
    observe(env, obs);
    while (now_ns() < until_ns)
        ;
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
