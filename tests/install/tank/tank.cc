// A plugin in C++, built against an installed Polyak by CMake: keep the level of a leaking tank at
// the goal. Observation: level and goal. Action: the valve, 0 to 3. It saves its state and draws
// it.
#include <polyak/env.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <random>
#include <string>

namespace
{

struct State {
    double level, goal;
};

} // namespace

struct PolyakEnv {
    double leak = 0.5;
    State state{};
};

namespace
{

void observe(const PolyakEnv &env, float *obs)
{
    obs[0] = static_cast<float>(env.state.level);
    obs[1] = static_cast<float>(env.state.goal);
}

int create(const char *options, PolyakEnv **env, char *error)
{
    // No exception may leave a plugin.
    try {
        const std::string text = options;
        auto made = std::make_unique<PolyakEnv>();
        if (text.rfind("leak=", 0) == 0) {
            made->leak = std::stod(text.substr(5));
        } else if (!text.empty()) {
            std::snprintf(error, POLYAK_ENV_ERROR_BYTES, "the one option is leak=NUMBER");
            return POLYAK_ENV_BAD_OPTIONS;
        }
        *env = made.release();
        return POLYAK_ENV_OK;
    } catch (const std::exception &reason) {
        std::snprintf(error, POLYAK_ENV_ERROR_BYTES, "leak= needs a number: %s", reason.what());
        return POLYAK_ENV_BAD_OPTIONS;
    }
}

void destroy(PolyakEnv *env)
{
    delete env;
}

int spec(const PolyakEnv *, PolyakEnvSpec *out, char *)
{
    std::snprintf(out->name, sizeof out->name, "tank");
    out->obs_dim = 2;
    out->act_dim = 1;
    out->step_limit = 40;
    out->action_low[0] = 0.0f;
    out->action_high[0] = 3.0f;
    return POLYAK_ENV_OK;
}

int reset(PolyakEnv *env, uint64_t seed, float *obs, char *)
{
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> anywhere(0.0, 1.0);
    env->state = {anywhere(random), anywhere(random)};
    observe(*env, obs);
    return POLYAK_ENV_OK;
}

int step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result, char *)
{
    State &state = env->state;
    state.level += 0.1 * (static_cast<double>(action[0]) - env->leak * std::sqrt(state.level));
    state.level = std::clamp(state.level, 0.0, 2.0);
    result->reward = static_cast<float>(-std::abs(state.level - state.goal));
    observe(*env, obs);
    return POLYAK_ENV_OK;
}

int render(PolyakEnv *env, uint8_t *rgb, int32_t width, int32_t height, char *)
{
    for (int32_t y = 0; y < height; y++) {
        const bool water = env->state.level >= 2.0 * (height - y) / height;
        std::memset(rgb + 3 * static_cast<size_t>(y) * static_cast<size_t>(width), water ? 90 : 250,
                    3 * static_cast<size_t>(width));
    }
    return POLYAK_ENV_OK;
}

size_t state_bytes(const PolyakEnv *)
{
    return sizeof(State);
}

int state_get(const PolyakEnv *env, void *state, char *)
{
    std::memcpy(state, &env->state, sizeof env->state);
    return POLYAK_ENV_OK;
}

int state_set(PolyakEnv *env, const void *state, float *obs, char *)
{
    std::memcpy(&env->state, state, sizeof env->state);
    observe(*env, obs);
    return POLYAK_ENV_OK;
}

} // namespace

POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void)
{
    static const PolyakEnvApi api = [] {
        PolyakEnvApi table{};
        table.abi_version = POLYAK_ENV_ABI_VERSION;
        table.struct_bytes = sizeof table;
        table.create = create;
        table.destroy = destroy;
        table.spec = spec;
        table.reset = reset;
        table.step = step;
        table.render = render;
        table.state_bytes = state_bytes;
        table.state_get = state_get;
        table.state_set = state_set;
        return table;
    }();
    return &api;
}
