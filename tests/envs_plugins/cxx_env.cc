// The plugin interface from C++: env.h alone, an instance that is a class, and a generator that
// step draws from, which is therefore part of the state.
#include <cstring>
#include <new>

#include "actor/envs/env.h"

struct PolyakEnv {
    float x = 0.0f;
    uint64_t random = 0;

    float noise()
    {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return static_cast<float>(random >> 40) / 16777216.0f - 0.5f;
    }
};

namespace
{

int create(const char *options, PolyakEnv **env, char *error)
{
    if (*options) {
        std::strncpy(error, "it takes no options", POLYAK_ENV_ERROR_BYTES);
        return POLYAK_ENV_BAD_OPTIONS;
    }
    *env = new (std::nothrow) PolyakEnv;
    return *env ? POLYAK_ENV_OK : POLYAK_ENV_FAILED;
}

void destroy(PolyakEnv *env)
{
    delete env;
}

int spec(const PolyakEnv *, PolyakEnvSpec *out, char *)
{
    std::strcpy(out->name, "test_cxx_env");
    out->obs_dim = 1;
    out->act_dim = 1;
    out->action_low[0] = -1.0f;
    out->action_high[0] = 1.0f;
    return POLYAK_ENV_OK;
}

int reset(PolyakEnv *env, uint64_t seed, float *obs, char *)
{
    env->random = seed;
    obs[0] = env->x = env->noise();
    return POLYAK_ENV_OK;
}

int step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result, char *)
{
    env->x = 0.9f * env->x + 0.1f * action[0] + 0.1f * env->noise();
    obs[0] = env->x;
    result->reward = -env->x * env->x;
    return POLYAK_ENV_OK;
}

size_t state_bytes(const PolyakEnv *)
{
    return sizeof(PolyakEnv);
}

int state_get(const PolyakEnv *env, void *state, char *)
{
    std::memcpy(state, env, sizeof *env);
    return POLYAK_ENV_OK;
}

int state_set(PolyakEnv *env, const void *state, float *obs, char *)
{
    std::memcpy(env, state, sizeof *env);
    obs[0] = env->x;
    return POLYAK_ENV_OK;
}

const PolyakEnvApi api = {
    POLYAK_ENV_ABI_VERSION,
    sizeof(PolyakEnvApi),
    create,
    destroy,
    spec,
    reset,
    step,
    nullptr,
    state_bytes,
    state_get,
    state_set,
    nullptr,
};

} // namespace

POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void)
{
    return &api;
}
