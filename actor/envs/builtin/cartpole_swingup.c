/* Swing a pole up by moving its cart, and keep both still in the middle. Physics, reward, start and
 * step limit of dm_control's cartpole swingup (dm_control/suite/cartpole.py, cartpole.xml):
 *
 *     (M + m) x″ + m l cos θ · θ″ = m l sin θ · θ′² + 10 a − d₀ x′ + rail
 *     m l cos θ · x″ + (I + m l²) θ″ = m g l sin θ − d₁ θ′
 *
 * θ = 0 is upright; x, l in metres, l to the pole's centre. Runge–Kutta of order 4 with dt 0.01 s.
 * Observation: x, cos θ, sin θ, x′, θ′. Never terminates; its reward is in [0, 1].
 *
 * Against MuJoCo: the same numbers but for rounding. The rail's end is MuJoCo's soft limit, which
 * one constraint row allows in closed form (rail_force). Left out are MuJoCo's reset of a diverged
 * state and its clipping of actions, which the host does. Reset has dm_control's distribution, with
 * another generator. */
#include <math.h>
#include <string.h>

#include "actor/envs/builtin/env_builtin.h"
#include "actor/envs/builtin/env_draw.h"
#include "actor/envs/env_random.h"

typedef struct Motion {
    double x;     /* m, of the cart */
    double theta; /* rad, of the pole, 0 upright, not wrapped */
    double x_dot;
    double theta_dot;
} Motion;

struct PolyakEnv { /* is its own state */
    Motion now;
};

static const double gravity = 9.81, dt = 0.01, gear = 10.0;
static const double cart_mass = 1.0, pole_mass = 0.1, pole_length = 1.0, pole_radius = 0.045;
static const double cart_damping = 5e-4, pole_damping = 2e-6;

/* The rail's soft limit: range, solreflimit and MuJoCo's default solimplimit. */
static const double rail_end = 1.8, rail_time = 0.08, rail_damping_ratio = 1.0;
static const double impedance_min = 0.9, impedance_max = 0.95, impedance_width = 0.001;

/* Moment of inertia of the pole about its joint: a capsule, of a cylinder and two half balls, whose
 * masses are as their volumes. */
static double pole_inertia(void)
{
    double r = pole_radius, h = pole_length;
    double ball = pole_mass * 4.0 * r / (4.0 * r + 3.0 * h);
    double cylinder = pole_mass - ball;
    double own = cylinder * (3.0 * r * r + h * h) / 12.0 +
                 ball * (2.0 / 5.0 * r * r + h * (3.0 * r + 2.0 * h) / 8.0);
    return own + pole_mass * 0.25 * h * h;
}

/* The force of the rail's end on the cart, whose acceleration is `free` without it. MuJoCo's soft
 * constraint (documentation, "Computation"): past the end by `depth`, moving outwards at `speed`,
 * the wanted acceleration is −b·speed − k·d·depth, with impedance d rising from 0.9 to 0.95 in the
 * first millimetre; the force is what comes nearest, (1 − d)/d softer than rigid, and never pulls.
 * `inverse` is the inverse inertia of the cart here, `inverse_upright` with the pole upright. */
static double rail_force(const Motion *m, double free, double inverse, double inverse_upright)
{
    double side = m->x > 0.0 ? 1.0 : -1.0;
    double depth = side * m->x - rail_end;
    if (depth <= 0.0)
        return 0.0;
    double in = fmin(depth / impedance_width, 1.0);
    double rise = in <= 0.5 ? 2.0 * in * in : 1.0 - 2.0 * (1.0 - in) * (1.0 - in);
    double d = impedance_min + rise * (impedance_max - impedance_min);
    double b = 2.0 / (impedance_max * rail_time);
    double k = pow(1.0 / (impedance_max * rail_time * rail_damping_ratio), 2.0);
    double wanted = -b * side * m->x_dot - k * d * depth;
    double softness = (1.0 - d) / d * inverse_upright;
    double push = fmax((side * free - wanted) / (inverse + softness), 0.0);
    return -side * push;
}

/* The time derivative of a motion under `force` on the cart. */
static Motion derivative(const Motion *m, double force)
{
    const double l = 0.5 * pole_length;
    const double a = cart_mass + pole_mass, c = pole_inertia();
    double b = pole_mass * l * cos(m->theta); /* inertia: (a b; b c) */
    double det = a * c - b * b;
    double torque = pole_mass * gravity * l * sin(m->theta) - pole_damping * m->theta_dot;
    force += pole_mass * l * sin(m->theta) * m->theta_dot * m->theta_dot - cart_damping * m->x_dot;

    double free = (c * force - b * torque) / det;
    double upright = a * c - pole_mass * l * pole_mass * l;
    force += rail_force(m, free, c / det, c / upright);
    return (Motion){m->x_dot, m->theta_dot, (c * force - b * torque) / det,
                    (a * torque - b * force) / det};
}

/* m + h · rate */
static Motion advance(const Motion *m, const Motion *rate, double h)
{
    return (Motion){m->x + h * rate->x, m->theta + h * rate->theta, m->x_dot + h * rate->x_dot,
                    m->theta_dot + h * rate->theta_dot};
}

static Motion runge_kutta(const Motion *m, double force)
{
    Motion at, k1 = derivative(m, force);
    at = advance(m, &k1, 0.5 * dt);
    Motion k2 = derivative(&at, force);
    at = advance(m, &k2, 0.5 * dt);
    Motion k3 = derivative(&at, force);
    at = advance(m, &k3, dt);
    Motion k4 = derivative(&at, force);
    at = advance(m, &k1, dt / 6.0);
    at = advance(&at, &k2, dt / 3.0);
    at = advance(&at, &k3, dt / 3.0);
    return advance(&at, &k4, dt / 6.0);
}

/* dm_control's tolerance() around 0 with the Gaussian sigmoid: 1 at 0, 0.1 at the margin. */
static double tolerance(double x, double margin)
{
    return pow(0.1, (x / margin) * (x / margin));
}

static double reward(const Motion *m, double action)
{
    double upright = (1.0 + cos(m->theta)) / 2.0;
    double centered = (1.0 + tolerance(m->x, 2.0)) / 2.0;
    double small_control = (4.0 + fmax(1.0 - action * action, 0.0)) / 5.0;
    double small_velocity = (1.0 + tolerance(m->theta_dot, 5.0)) / 2.0;
    return upright * centered * small_control * small_velocity;
}

static void observe(const Motion *m, float *obs)
{
    obs[0] = (float)m->x;
    obs[1] = (float)cos(m->theta);
    obs[2] = (float)sin(m->theta);
    obs[3] = (float)m->x_dot;
    obs[4] = (float)m->theta_dot;
}

static int cartpole_spec(const PolyakEnv *env, PolyakEnvSpec *spec, char *error)
{
    (void)env, (void)error;
    *spec = (PolyakEnvSpec){.name = "cartpole_swingup",
                            .obs_dim = 5,
                            .act_dim = 1,
                            .step_limit = 1000,
                            .action_low = {-1.0f},
                            .action_high = {1.0f}};
    return POLYAK_ENV_OK;
}

static int cartpole_reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    (void)error;
    EnvRandom random = {seed};
    env->now.x = 0.01 * env_random_normal(&random);
    env->now.theta = M_PI + 0.01 * env_random_normal(&random);
    env->now.x_dot = 0.01 * env_random_normal(&random);
    env->now.theta_dot = 0.01 * env_random_normal(&random);
    observe(&env->now, obs);
    return POLYAK_ENV_OK;
}

static int cartpole_step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                         char *error)
{
    (void)error;
    env->now = runge_kutta(&env->now, gear * (double)action[0]);
    result->reward = (float)reward(&env->now, (double)action[0]);
    observe(&env->now, obs);
    return POLYAK_ENV_OK;
}

static int cartpole_render(PolyakEnv *env, uint8_t *rgb, int32_t width, int32_t height, char *error)
{
    (void)error;
    EnvCanvas canvas = {rgb, width, height, 0.0, 0.0, 2.1};
    double x = env->now.x;
    double tip_x = x + pole_length * sin(env->now.theta);
    env_draw_clear(&canvas, 0xffffff);
    env_draw_line(&canvas, -rail_end - 0.2, 0.0, rail_end + 0.2, 0.0, 0.02, 0xa0a0a0);
    env_draw_line(&canvas, x - 0.1, 0.0, x + 0.1, 0.0, 0.1, 0x404040);
    env_draw_line(&canvas, x, 0.0, tip_x, pole_length * cos(env->now.theta), pole_radius, 0xcc4d4d);
    return POLYAK_ENV_OK;
}

static size_t cartpole_state_bytes(const PolyakEnv *env)
{
    return sizeof *env;
}

static int cartpole_state_get(const PolyakEnv *env, void *state, char *error)
{
    (void)error;
    memcpy(state, env, sizeof *env);
    return POLYAK_ENV_OK;
}

static int cartpole_state_set(PolyakEnv *env, const void *state, float *obs, char *error)
{
    (void)error;
    memcpy(env, state, sizeof *env);
    observe(&env->now, obs);
    return POLYAK_ENV_OK;
}

static double cartpole_step_seconds(const PolyakEnv *env)
{
    (void)env;
    return dt;
}

static int cartpole_create(const char *options, PolyakEnv **env, char *error)
{
    return env_builtin_create(sizeof(PolyakEnv), cartpole_step, options, env, error);
}

const PolyakEnvApi cartpole_swingup_api = {
    .abi_version = POLYAK_ENV_ABI_VERSION,
    .struct_bytes = sizeof(PolyakEnvApi),
    .create = cartpole_create,
    .destroy = env_builtin_destroy,
    .spec = cartpole_spec,
    .reset = cartpole_reset,
    .step = env_builtin_step,
    .render = cartpole_render,
    .state_bytes = cartpole_state_bytes,
    .state_get = cartpole_state_get,
    .state_set = cartpole_state_set,
    .step_seconds = cartpole_step_seconds,
};
