/* Drive a weak car out of a valley. Equations, reward, goal and step limit of Gymnasium's
 * MountainCarContinuous-v0 (gymnasium/envs/classic_control/continuous_mountain_car.py):
 *
 *     v ← clip(v + 0.0015 a − 0.0025 cos 3x, ±0.07);  x ← clip(x + v, −1.2, 0.6)
 *     reward = −0.1 a², and 100 more at the goal, x ≥ 0.45 and v ≥ 0, where it terminates
 *
 * The left wall stops the car. Observation: x, v. Gymnasium keeps its state in float32; so does
 * this file, operation by operation, so the two agree bit for bit. Only the numbers of reset
 * differ: the distribution is the same, the generator is not. */
#include <math.h>
#include <string.h>

#include "actor/envs/builtin/env_builtin.h"
#include "actor/envs/builtin/env_draw.h"
#include "actor/envs/env_random.h"

struct PolyakEnv { /* is its own state */
    float position;
    float velocity;
};

static const float position_min = -1.2f, position_max = 0.6f, speed_max = 0.07f;
static const float goal_position = 0.45f, goal_velocity = 0.0f, power = 0.0015f;

static int mountain_car_spec(const PolyakEnv *env, PolyakEnvSpec *spec, char *error)
{
    (void)env, (void)error;
    *spec = (PolyakEnvSpec){.name = "mountain_car_continuous",
                            .obs_dim = 2,
                            .act_dim = 1,
                            .step_limit = 999,
                            .action_low = {-1.0f},
                            .action_high = {1.0f}};
    return POLYAK_ENV_OK;
}

static int mountain_car_reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)error;
    EnvRandom random = {seed};
    env->position = (float)env_random_uniform(&random, -0.6, -0.4);
    env->velocity = 0.0f;
    obs[0] = env->position;
    obs[1] = env->velocity;
    return POLYAK_ENV_OK;
}

static int mountain_car_step(PolyakEnv *env, const float *action, float *obs,
                             PolyakEnvResult *result, char *error)
{
    (void)error;
    float slope = (float)(0.0025 * cos((double)(3.0f * env->position)));
    float velocity = env->velocity + (action[0] * power - slope);
    velocity = fminf(fmaxf(velocity, -speed_max), speed_max);
    float position = fminf(fmaxf(env->position + velocity, position_min), position_max);
    if (position == position_min && velocity < 0.0f)
        velocity = 0.0f;

    result->terminated = position >= goal_position && velocity >= goal_velocity;
    double effort = 0.1 * ((double)action[0] * (double)action[0]);
    result->reward = (float)((result->terminated ? 100.0 : 0.0) - effort);
    obs[0] = env->position = position;
    obs[1] = env->velocity = velocity;
    return POLYAK_ENV_OK;
}

static double hill(double x)
{
    return 0.45 * sin(3.0 * x) + 0.55;
}

static int mountain_car_render(PolyakEnv *env, uint8_t *rgb, int32_t width, int32_t height,
                               char *error)
{
    (void)error;
    EnvCanvas canvas = {rgb, width, height, -0.3, 0.55, 0.95};
    env_draw_clear(&canvas, 0xffffff);
    enum { PIECES = 90 };
    const double width_of_piece = (double)(position_max - position_min) / PIECES;
    for (int i = 0; i < PIECES; i++) {
        double left = (double)position_min + i * width_of_piece;
        double right = left + width_of_piece;
        env_draw_line(&canvas, left, hill(left), right, hill(right), 0.01, 0x404040);
    }
    double flag = goal_position;
    env_draw_line(&canvas, flag, hill(flag), flag, hill(flag) + 0.2, 0.01, 0x2a9d3f);
    double x = env->position;
    env_draw_line(&canvas, x, hill(x) + 0.05, x, hill(x) + 0.05, 0.05, 0xcc4d4d);
    return POLYAK_ENV_OK;
}

static size_t mountain_car_state_bytes(const PolyakEnv *env)
{
    return sizeof *env;
}

static int mountain_car_state_get(const PolyakEnv *env, void *state, char *error)
{
    (void)error;
    memcpy(state, env, sizeof *env);
    return POLYAK_ENV_OK;
}

static int mountain_car_state_set(PolyakEnv *env, const void *state, float *obs, char *error)
{
    (void)error;
    memcpy(env, state, sizeof *env);
    obs[0] = env->position;
    obs[1] = env->velocity;
    return POLYAK_ENV_OK;
}

static int mountain_car_create(const char *options, PolyakEnv **env, char *error)
{
    return env_builtin_create(sizeof(PolyakEnv), mountain_car_step, options, env, error);
}

const PolyakEnvApi mountain_car_continuous_api = {
    .abi_version = POLYAK_ENV_ABI_VERSION,
    .struct_bytes = sizeof(PolyakEnvApi),
    .create = mountain_car_create,
    .destroy = env_builtin_destroy,
    .spec = mountain_car_spec,
    .reset = mountain_car_reset,
    .step = env_builtin_step,
    .render = mountain_car_render,
    .state_bytes = mountain_car_state_bytes,
    .state_get = mountain_car_state_get,
    .state_set = mountain_car_state_set,
};
