/* An example of an environment plugin: push a puck on a plane to a goal, and stop there.
 *
 *     v ← v + dt · 4 a;  p ← p + dt · v;  reward = −|goal − p| − 0.05 |v|
 *
 * Observation: the way to the goal (2), the velocity (2). An episode has 100 steps and no final
 * state. The one option, reach=R, says how far the goal may be from the start: 0.1 … 10, default 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <polyak/env.h>

/* What a step depends on and changes: this is what state_get saves. */
typedef struct State {
    double position[2];
    double velocity[2];
    double goal[2];
} State;

struct PolyakEnv {
    double reach; /* from the options */
    State state;
};

static int create(const char *options, PolyakEnv **env, char *error)
{
    double reach = 1.0;
    if (*options) {
        char *end = NULL;
        if (strncmp(options, "reach=", 6) == 0)
            reach = strtod(options + 6, &end);
        if (!end || *end || !(reach >= 0.1 && reach <= 10.0)) {
            snprintf(error, POLYAK_ENV_ERROR_BYTES, "the one option is reach=0.1…10, not '%.60s'",
                     options);
            return POLYAK_ENV_BAD_OPTIONS;
        }
    }
    PolyakEnv *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(error, POLYAK_ENV_ERROR_BYTES, "out of memory");
        return POLYAK_ENV_FAILED;
    }
    made->reach = reach;
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
    snprintf(out->name, sizeof out->name, "reacher");
    out->obs_dim = 4;
    out->act_dim = 2;
    out->step_limit = 100;
    for (int i = 0; i < 2; i++) {
        out->action_low[i] = -1.0f;
        out->action_high[i] = 1.0f;
    }
    return POLYAK_ENV_OK;
}

static void observe(const State *s, float *obs)
{
    for (int i = 0; i < 2; i++) {
        obs[i] = (float)(s->goal[i] - s->position[i]);
        obs[2 + i] = (float)s->velocity[i];
    }
}

/* A number in [0, 1) from a seed: the mixing step of SplitMix64. */
static double random_number(uint64_t seed)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((seed ^ seed >> 31) >> 11) * 0x1p-53;
}

static int reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)error;
    double angle = 6.283185307179586 * random_number(seed);
    env->state = (State){.goal = {env->reach * cos(angle), env->reach * sin(angle)}};
    observe(&env->state, obs);
    return POLYAK_ENV_OK;
}

static int step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                char *error)
{
    (void)error;
    const double dt = 0.05;
    State *s = &env->state;
    for (int i = 0; i < 2; i++) {
        s->velocity[i] += dt * 4.0 * action[i];
        s->position[i] += dt * s->velocity[i];
    }
    double distance = hypot(s->goal[0] - s->position[0], s->goal[1] - s->position[1]);
    result->reward = (float)(-distance - 0.05 * hypot(s->velocity[0], s->velocity[1]));
    observe(s, obs);
    return POLYAK_ENV_OK;
}

static size_t state_bytes(const PolyakEnv *env)
{
    return sizeof env->state;
}

static int state_get(const PolyakEnv *env, void *state, char *error)
{
    (void)error;
    memcpy(state, &env->state, sizeof env->state);
    return POLYAK_ENV_OK;
}

static int state_set(PolyakEnv *env, const void *state, float *obs, char *error)
{
    (void)error;
    memcpy(&env->state, state, sizeof env->state);
    observe(&env->state, obs);
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
    .state_bytes = state_bytes,
    .state_get = state_get,
    .state_set = state_set,
};

POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void)
{
    return &api;
}
