/* A plugin for tests: a point on a line that misbehaves when its options say so.
 *
 *     x ← x + 0.1 a₀;  reward = −x²;  observation: x, a₀, a₁ (the action as it arrived)
 *
 * Options, all whole numbers; a step is counted within its episode, from 1:
 *     after=K          step K + 1 observes NaN, the K before it are good
 *     reward_after=K   … has a reward of NaN
 *     diverge_after=K  … says that the physics diverged
 *     fail_after=K     … fails
 *     terminate_at=K, truncate_at=K  step K ends the episode
 *     limit=K          step limit (100; 0: none)
 *     us=N             a step takes N microseconds */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "actor/envs/env.h"

#ifndef TEST_ENV_STEP_US
#define TEST_ENV_STEP_US 0
#endif

enum Option {
    AFTER,
    REWARD_AFTER,
    DIVERGE_AFTER,
    FAIL_AFTER,
    TERMINATE_AT,
    TRUNCATE_AT,
    LIMIT,
    STEP_US,
    NUM_OPTIONS,
};

static const char *const keys[NUM_OPTIONS] = {
    "after",        "reward_after", "diverge_after", "fail_after",
    "terminate_at", "truncate_at",  "limit",         "us",
};

struct PolyakEnv {
    int option[NUM_OPTIONS]; /* -1: never */
    int step;                /* in the episode, from 1 */
    float x;
};

/* Reads "key=value,…" into option. */
static int parse(const char *options, int *option, char *error)
{
    while (*options) {
        int which = 0;
        size_t length = strcspn(options, "=,");
        while (which < NUM_OPTIONS &&
               (strlen(keys[which]) != length || strncmp(keys[which], options, length) != 0))
            which++;
        char *end = NULL;
        long value = options[length] == '=' ? strtol(options + length + 1, &end, 10) : -1;
        if (which == NUM_OPTIONS || !end || (*end != ',' && *end) || value < 0 || value > 1000000) {
            snprintf(error, POLYAK_ENV_ERROR_BYTES, "cannot read '%.60s'", options);
            return POLYAK_ENV_BAD_OPTIONS;
        }
        option[which] = (int)value;
        options = end + (*end == ',');
    }
    return POLYAK_ENV_OK;
}

static int create(const char *options, PolyakEnv **env, char *error)
{
    PolyakEnv made = {.option = {-1, -1, -1, -1, -1, -1, 100, TEST_ENV_STEP_US}};
    int code = parse(options, made.option, error);
    if (code != POLYAK_ENV_OK)
        return code;
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
    (void)error;
    *out = (PolyakEnvSpec){.name = TEST_ENV_NAME,
                           .obs_dim = 3,
                           .act_dim = 2,
                           .step_limit = env->option[LIMIT],
                           .action_low = {-1.0f, 0.1f},
                           .action_high = {3.0f, 0.7f}};
    return POLYAK_ENV_OK;
}

static int reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)error;
    env->step = 0;
    env->x = (float)(seed % 1000) * 0.001f;
    obs[0] = env->x;
    obs[1] = obs[2] = 0.0f;
    return POLYAK_ENV_OK;
}

static int step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                char *error)
{
    const int *option = env->option;
    if (option[STEP_US] > 0)
        nanosleep(&(struct timespec){option[STEP_US] / 1000000, option[STEP_US] % 1000000 * 1000L},
                  NULL);
    int before = env->step++;
    if (before == option[DIVERGE_AFTER]) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "the point left the line");
        return POLYAK_ENV_DIVERGED;
    }
    if (before == option[FAIL_AFTER]) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "the line\nbroke");
        return POLYAK_ENV_FAILED;
    }
    env->x += 0.1f * action[0];
    obs[0] = before == option[AFTER] ? NAN : env->x;
    obs[1] = action[0];
    obs[2] = action[1];
    result->reward = before == option[REWARD_AFTER] ? NAN : -env->x * env->x;
    result->terminated = env->step == option[TERMINATE_AT];
    result->truncated = env->step == option[TRUNCATE_AT];
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
