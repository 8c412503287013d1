/* Swing a pendulum up and hold it there. Equations, bounds, reward and step limit of Gymnasium's
 * Pendulum-v1 (gymnasium/envs/classic_control/pendulum.py), with its g = 10:
 *
 *     θ' ← clip(θ' + (3g/2l · sin θ + 3/(m l²) · u) dt, ±8);  θ ← θ + θ' dt
 *     reward = −(θ² + 0.1 θ'² + 0.001 u²), of the state before the step, θ taken to [−π, π)
 *
 * θ = 0 is upright. Observation: cos θ, sin θ, θ'. Never terminates. Only the numbers of reset
 * differ from Gymnasium's: the distribution is the same, the generator is not. */
#include <math.h>
#include <string.h>

#include "actor/envs/builtin/env_builtin.h"
#include "actor/envs/builtin/env_draw.h"
#include "actor/envs/env_random.h"

struct PolyakEnv {    /* is its own state */
    double theta;     /* rad, not wrapped */
    double theta_dot; /* rad/s */
};

static const double gravity = 10.0, mass = 1.0, length = 1.0, dt = 0.05, speed_max = 8.0;

static int pendulum_spec(const PolyakEnv *env, PolyakEnvSpec *spec, char *error)
{
    (void)env, (void)error;
    *spec = (PolyakEnvSpec){.name = "pendulum",
                            .obs_dim = 3,
                            .act_dim = 1,
                            .step_limit = 200,
                            .action_low = {-2.0f},
                            .action_high = {2.0f}};
    return POLYAK_ENV_OK;
}

static void observe(const PolyakEnv *env, float *obs)
{
    obs[0] = (float)cos(env->theta);
    obs[1] = (float)sin(env->theta);
    obs[2] = (float)env->theta_dot;
}

static int pendulum_reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)error;
    EnvRandom random = {seed};
    env->theta = env_random_uniform(&random, -M_PI, M_PI);
    env->theta_dot = env_random_uniform(&random, -1.0, 1.0);
    observe(env, obs);
    return POLYAK_ENV_OK;
}

/* θ in [−π, π). */
static double angle_normalize(double theta)
{
    double turned = fmod(theta + M_PI, 2.0 * M_PI);
    return (turned < 0.0 ? turned + 2.0 * M_PI : turned) - M_PI;
}

static int pendulum_step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                         char *error)
{
    (void)error;
    float u = action[0]; /* N m; Gymnasium keeps it, and its products with constants, in float32 */
    double angle = angle_normalize(env->theta);
    result->reward =
        -(float)(angle * angle + 0.1 * env->theta_dot * env->theta_dot + 0.001f * (u * u));

    double torque = (float)(3.0 / (mass * length * length)) * u;
    env->theta_dot += (3.0 * gravity / (2.0 * length) * sin(env->theta) + torque) * dt;
    env->theta_dot = fmin(fmax(env->theta_dot, -speed_max), speed_max);
    env->theta += env->theta_dot * dt;
    observe(env, obs);
    return POLYAK_ENV_OK;
}

static int pendulum_render(PolyakEnv *env, uint8_t *rgb, int32_t width, int32_t height, char *error)
{
    (void)error;
    EnvCanvas canvas = {rgb, width, height, 0.0, 0.0, 1.3};
    double tip_x = -length * sin(env->theta); /* a positive angle turns to the left */
    double tip_y = length * cos(env->theta);
    env_draw_clear(&canvas, 0xffffff);
    env_draw_line(&canvas, 0.0, 0.0, tip_x, tip_y, 0.1, 0xcc4d4d);
    env_draw_line(&canvas, 0.0, 0.0, 0.0, 0.0, 0.05, 0x000000);
    return POLYAK_ENV_OK;
}

static size_t pendulum_state_bytes(const PolyakEnv *env)
{
    return sizeof *env;
}

static int pendulum_state_get(const PolyakEnv *env, void *state, char *error)
{
    (void)error;
    memcpy(state, env, sizeof *env);
    return POLYAK_ENV_OK;
}

static int pendulum_state_set(PolyakEnv *env, const void *state, float *obs, char *error)
{
    (void)error;
    memcpy(env, state, sizeof *env);
    observe(env, obs);
    return POLYAK_ENV_OK;
}

static double pendulum_step_seconds(const PolyakEnv *env)
{
    (void)env;
    return dt;
}

static int pendulum_create(const char *options, PolyakEnv **env, char *error)
{
    return env_builtin_create(sizeof(PolyakEnv), pendulum_step, options, env, error);
}

const PolyakEnvApi pendulum_api = {
    .abi_version = POLYAK_ENV_ABI_VERSION,
    .struct_bytes = sizeof(PolyakEnvApi),
    .create = pendulum_create,
    .destroy = env_builtin_destroy,
    .spec = pendulum_spec,
    .reset = pendulum_reset,
    .step = env_builtin_step,
    .render = pendulum_render,
    .state_bytes = pendulum_state_bytes,
    .state_get = pendulum_state_get,
    .state_set = pendulum_state_set,
    .step_seconds = pendulum_step_seconds,
};
