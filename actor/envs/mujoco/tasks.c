/* Gymnasium's MuJoCo tasks, version 5: what gymnasium/envs/mujoco/NAME_v5.py does, as data. The
 * parity test steps each beside its original.
 *
 * A `…_key` is the option, named as Gymnasium's keyword, that changes its entry. Of arrays with a
 * row for each body, observations leave out the first, which is the world's. */
#include <math.h>

#include "actor/envs/mujoco/task.h"

/* clang-format off: it would break these braces over many lines */
/* Quantities. */
#define QPOS(i)                                                                                    \
    {                                                                                              \
        MUJOCO_QPOS, .first = (i), .count = 1                                                      \
    }
#define QVEL(i)                                                                                    \
    {                                                                                              \
        MUJOCO_QVEL, .first = (i), .count = 1                                                      \
    }
#define TIP(i)                                                                                     \
    {                                                                                              \
        MUJOCO_SITE_POSITION, "tip", .first = (i), .count = 1                                      \
    }
#define CLIPPED_QVEL                                                                               \
    {                                                                                              \
        MUJOCO_QVEL, .clip = { -10.0, 10.0 }                                                       \
    }

/* Beginnings of entries. */
#define NOISE .key = "reset_noise_scale"
#define QPOS_BUT(n)                                                                                \
    .of = {MUJOCO_QPOS, .first = (n)}, .exclude_key = "exclude_current_positions_from_observation"
#define FORWARD .form = MUJOCO_VELOCITY, .weight_key = "forward_reward_weight"
#define SURVIVE .form = MUJOCO_HEALTHY, .weight_key = "healthy_reward"
#define SQUARE_COST .form = MUJOCO_SQUARE, .cost = true
#define CONTROL_COST SQUARE_COST, .of = {MUJOCO_CTRL}, .weight_key = "ctrl_cost_weight"
#define DISTANCE_COST .form = MUJOCO_NORM, .cost = true
#define FINITE .range = {-INFINITY, INFINITY}, .open = true

/* Both humanoids observe the same. */
#define HUMANOID_OBSERVATION                                                                       \
    {                                                                                              \
        {QPOS_BUT(2)}, {{MUJOCO_QVEL}},                                                            \
            {{MUJOCO_CINERT, .first = 10}, .include_key = "include_cinert_in_observation"},        \
            {{MUJOCO_CVEL, .first = 6}, .include_key = "include_cvel_in_observation"},             \
            {{MUJOCO_QFRC_ACTUATOR, .first = 6},                                                   \
             .include_key = "include_qfrc_actuator_in_observation"},                               \
        {                                                                                          \
            {MUJOCO_CFRC_EXT, .first = 6}, .include_key = "include_cfrc_ext_in_observation"        \
        }                                                                                          \
    }
/* clang-format on */

const MujocoTask mujoco_tasks[] = {
    {
        .name = "Ant-v5",
        .model = "ant.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {"torso", .distance = 4.0, .azimuth = 90.0, .elevation = -45.0},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 0.1},
                  {MUJOCO_QVEL, NOISE, .scale = 0.1, .distribution = MUJOCO_NORMAL}},
        .observation = {{QPOS_BUT(2)},
                        {{MUJOCO_QVEL}},
                        {{MUJOCO_CFRC_EXT, .first = 6, .clip = {-1.0, 1.0},
                          .clip_key = "contact_force_range"},
                         .include_key = "include_cfrc_ext_in_observation"}},
        .reward = {{FORWARD, .of = {MUJOCO_BODY_POSITION, "torso", .count = 1}, .weight = 1.0},
                   {SURVIVE, .weight = 1.0},
                   {CONTROL_COST, .weight = 0.5},
                   {SQUARE_COST,
                    .of = {MUJOCO_CFRC_EXT, .clip = {-1.0, 1.0}, .clip_key = "contact_force_range"},
                    .weight = 5e-4, .weight_key = "contact_cost_weight"}},
        .health = {{{MUJOCO_QPOS}, FINITE},
                   {{MUJOCO_QVEL}, FINITE},
                   {QPOS(2), {0.2, 1.0}, .range_key = "healthy_z_range"}},
    },
    {
        .name = "HalfCheetah-v5",
        .model = "half_cheetah.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {"torso", .distance = 4.0, .azimuth = 90.0, .elevation = -45.0},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 0.1},
                  {MUJOCO_QVEL, NOISE, .scale = 0.1, .distribution = MUJOCO_NORMAL}},
        .observation = {{QPOS_BUT(1)}, {{MUJOCO_QVEL}}},
        .reward = {{FORWARD, .of = QPOS(0), .weight = 1.0}, {CONTROL_COST, .weight = 0.1}},
    },
    {
        .name = "Hopper-v5",
        .model = "hopper.xml",
        .frame_skip = 4,
        .step_limit = 1000,
        .camera = {"torso", 3.0, .azimuth = 90.0, .elevation = -20.0, .lookat = {0.0, 0.0, 1.15}},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 5e-3}, {MUJOCO_QVEL, NOISE, .scale = 5e-3}},
        .observation = {{QPOS_BUT(1)}, {CLIPPED_QVEL}},
        .reward = {{FORWARD, .of = QPOS(0), .weight = 1.0},
                   {SURVIVE, .weight = 1.0},
                   {CONTROL_COST, .weight = 1e-3}},
        .health = {{{MUJOCO_QPOS, .first = 2}, {-100.0, 100.0}, true, "healthy_state_range"},
                   {{MUJOCO_QVEL}, {-100.0, 100.0}, true, "healthy_state_range"},
                   {QPOS(1), {0.7, INFINITY}, true, "healthy_z_range"},
                   {QPOS(2), {-0.2, 0.2}, true, "healthy_angle_range"}},
    },
    {
        .name = "Humanoid-v5",
        .model = "humanoid.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {"torso", 4.0, .azimuth = 90.0, .elevation = -20.0, .lookat = {0.0, 0.0, 2.0}},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 1e-2}, {MUJOCO_QVEL, NOISE, .scale = 1e-2}},
        .observation = HUMANOID_OBSERVATION,
        .reward = {{FORWARD, .of = {MUJOCO_SUBTREE_COM, "world", .count = 1}, .weight = 1.25},
                   {SURVIVE, .weight = 5.0},
                   {CONTROL_COST, .weight = 0.1},
                   {SQUARE_COST, .of = {MUJOCO_CFRC_EXT}, .weight = 5e-7,
                    .weight_key = "contact_cost_weight", .limit = {-INFINITY, 10.0},
                    .limit_key = "contact_cost_range"}},
        .health = {{QPOS(2), {1.0, 2.0}, true, "healthy_z_range"}},
    },
    {
        .name = "HumanoidStandup-v5",
        .model = "humanoidstandup.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {"torso", 4.0, .azimuth = 90.0, .elevation = -20.0, .lookat = {0.0, 0.0, 0.8925}},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 1e-2}, {MUJOCO_QVEL, NOISE, .scale = 1e-2}},
        .observation = HUMANOID_OBSERVATION,
        .reward = {{MUJOCO_SUM_PER_TIMESTEP, .of = QPOS(2), .weight = 1.0,
                    .weight_key = "uph_cost_weight"},
                   {CONTROL_COST, .weight = 0.1},
                   {SQUARE_COST, .of = {MUJOCO_CFRC_EXT}, .weight = 0.5e-6,
                    .weight_key = "impact_cost_weight", .limit = {-INFINITY, 10.0},
                    .limit_key = "impact_cost_range"},
                   {MUJOCO_CONSTANT, .weight = 1.0}},
    },
    {
        .name = "InvertedDoublePendulum-v5",
        .model = "inverted_double_pendulum.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera =
            {.distance = 4.1225, .azimuth = 90.0, .elevation = -45.0, .lookat = {0.0, 0.0, 0.1225}},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 0.1},
                  {MUJOCO_QVEL, NOISE, .scale = 0.1, .distribution = MUJOCO_NORMAL}},
        .observation = {{QPOS(0)},
                        {{MUJOCO_QPOS, .first = 1, .function = MUJOCO_SIN}},
                        {{MUJOCO_QPOS, .first = 1, .function = MUJOCO_COS}},
                        {CLIPPED_QVEL},
                        {{MUJOCO_QFRC_CONSTRAINT, .count = 1, .clip = {-10.0, 10.0}}}},
        .reward = {{SURVIVE, .weight = 10.0},
                   {SQUARE_COST, .of = TIP(0), .weight = 0.01},
                   {SQUARE_COST, .of = TIP(2), .weight = 1.0, .target = 2.0},
                   {SQUARE_COST, .of = QVEL(1), .weight = 1e-3},
                   {SQUARE_COST, .of = QVEL(2), .weight = 5e-3}},
        .health = {{TIP(2), {1.0, INFINITY}, .open = true}},
    },
    {
        .name = "InvertedPendulum-v5",
        .model = "inverted_pendulum.xml",
        .frame_skip = 2,
        .step_limit = 1000,
        .camera = {.distance = 2.04, .azimuth = 90.0, .elevation = -45.0},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 0.01}, {MUJOCO_QVEL, NOISE, .scale = 0.01}},
        .observation = {{{MUJOCO_QPOS}}, {{MUJOCO_QVEL}}},
        .reward = {{MUJOCO_HEALTHY, .weight = 1.0}},
        .health = {{{MUJOCO_QPOS}, FINITE}, {{MUJOCO_QVEL}, FINITE}, {QPOS(1), {-0.2, 0.2}}},
    },
    {
        .name = "Pusher-v5",
        .model = "pusher_v5.xml",
        .frame_skip = 5,
        .step_limit = 100,
        .camera = {.distance = 4.0, .azimuth = 90.0, .elevation = -45.0},
        /* The arm's seven joints, then the object's two and the goal's two. */
        .start = {{MUJOCO_QPOS, .first = -4, .count = 2, .distribution = MUJOCO_BOX,
                   .low = {-0.3, -0.2}, .high = {0.0, 0.2}, .norm = {0.17, INFINITY}},
                  {MUJOCO_QVEL, .count = -4, .scale = 0.005}},
        .observation = {{{MUJOCO_QPOS, .count = 7}},
                        {{MUJOCO_QVEL, .count = 7}},
                        {{MUJOCO_BODY_POSITION, "tips_arm"}},
                        {{MUJOCO_BODY_POSITION, "object"}},
                        {{MUJOCO_BODY_POSITION, "goal"}}},
        .reward = {{DISTANCE_COST, .of = {MUJOCO_BODY_POSITION, "object", "goal"}, .weight = 1.0,
                    .weight_key = "reward_dist_weight"},
                   {SQUARE_COST, .of = {MUJOCO_CTRL}, .weight = 0.1,
                    .weight_key = "reward_control_weight"},
                   {DISTANCE_COST, .of = {MUJOCO_BODY_POSITION, "object", "tips_arm"},
                    .weight = 0.5, .weight_key = "reward_near_weight"}},
    },
    {
        .name = "Reacher-v5",
        .model = "reacher.xml",
        .frame_skip = 2,
        .step_limit = 50,
        .camera = {.azimuth = 90.0, .elevation = -45.0},
        /* The arm's two joints, then the target's two. */
        .start = {{MUJOCO_QPOS, .count = -2, .scale = 0.1},
                  {MUJOCO_QPOS, .first = -2, .distribution = MUJOCO_BOX, .low = {-0.2, -0.2},
                   .high = {0.2, 0.2}, .norm = {-INFINITY, 0.2}},
                  {MUJOCO_QVEL, .count = -2, .scale = 0.005}},
        .observation = {{{MUJOCO_QPOS, .count = 2, .function = MUJOCO_COS}},
                        {{MUJOCO_QPOS, .count = 2, .function = MUJOCO_SIN}},
                        {{MUJOCO_QPOS, .first = 2}},
                        {{MUJOCO_QVEL, .count = 2}},
                        {{MUJOCO_BODY_POSITION, "fingertip", "target", .count = 2}}},
        .reward = {{DISTANCE_COST, .of = {MUJOCO_BODY_POSITION, "fingertip", "target"},
                    .weight = 1.0, .weight_key = "reward_dist_weight"},
                   {SQUARE_COST, .of = {MUJOCO_CTRL}, .weight = 1.0,
                    .weight_key = "reward_control_weight"}},
    },
    {
        .name = "Swimmer-v5",
        .model = "swimmer.xml",
        .frame_skip = 4,
        .step_limit = 1000,
        .camera = {"torso", .azimuth = 90.0, .elevation = -45.0},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 0.1}, {MUJOCO_QVEL, NOISE, .scale = 0.1}},
        .observation = {{QPOS_BUT(2)}, {{MUJOCO_QVEL}}},
        .reward = {{FORWARD, .of = QPOS(0), .weight = 1.0}, {CONTROL_COST, .weight = 1e-4}},
    },
    {
        .name = "Walker2d-v5",
        .model = "walker2d_v5.xml",
        .frame_skip = 4,
        .step_limit = 1000,
        .camera = {"torso", 4.0, .azimuth = 90.0, .elevation = -20.0, .lookat = {0.0, 0.0, 1.15}},
        .start = {{MUJOCO_QPOS, NOISE, .scale = 5e-3}, {MUJOCO_QVEL, NOISE, .scale = 5e-3}},
        .observation = {{QPOS_BUT(1)}, {CLIPPED_QVEL}},
        .reward = {{FORWARD, .of = QPOS(0), .weight = 1.0},
                   {SURVIVE, .weight = 1.0},
                   {CONTROL_COST, .weight = 1e-3}},
        .health = {{QPOS(1), {0.8, 2.0}, true, "healthy_z_range"},
                   {QPOS(2), {-1.0, 1.0}, true, "healthy_angle_range"}},
    },
    {.name = ""},
};
