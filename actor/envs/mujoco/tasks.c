/* Gymnasium's MuJoCo tasks, version 5: what gymnasium/envs/mujoco/NAME_v5.py does, as data. The
 * parity test steps each beside its original. */
#include <math.h>

#include "actor/envs/mujoco/task.h"

/* Parts that several tasks share. They name the options by which Gymnasium lets them be changed. */
#define EXCLUDE .exclude_key = "exclude_current_positions_from_observation"
#define FORWARD(quantity, default_weight)                                                          \
    {                                                                                              \
        .form = MUJOCO_VELOCITY, .of = quantity, .weight = (default_weight),                       \
        .weight_key = "forward_reward_weight"                                                      \
    }
#define CONTROL_COST(default_weight, key)                                                          \
    {                                                                                              \
        .form = MUJOCO_SQUARE, .cost = true, .of = {MUJOCO_CTRL}, .weight = (default_weight),      \
        .weight_key = key                                                                          \
    }
#define STAYS_HEALTHY(default_weight)                                                              \
    {                                                                                              \
        .form = MUJOCO_HEALTHY, .weight = (default_weight), .weight_key = "healthy_reward"         \
    }
#define UNIFORM(where, scale, option)                                                              \
    {                                                                                              \
        .source = (where), .low = {-(scale)}, .high = {scale}, .key = option                       \
    }
#define NORMAL(where, scale, option)                                                               \
    {                                                                                              \
        .source = (where), .distribution = MUJOCO_NORMAL, .high = {scale}, .key = option           \
    }
#define START_UNIFORM(scale)                                                                       \
    {                                                                                              \
        UNIFORM(MUJOCO_QPOS, scale, "reset_noise_scale"),                                          \
            UNIFORM(MUJOCO_QVEL, scale, "reset_noise_scale")                                       \
    }
#define START_NORMAL(scale)                                                                        \
    {                                                                                              \
        UNIFORM(MUJOCO_QPOS, scale, "reset_noise_scale"),                                          \
            NORMAL(MUJOCO_QVEL, scale, "reset_noise_scale")                                        \
    }
#define QPOS_X                                                                                     \
    {                                                                                              \
        .source = MUJOCO_QPOS, .first = 0, .count = 1                                              \
    }
#define ONE(where, index)                                                                          \
    {                                                                                              \
        .source = (where), .first = (index), .count = 1                                            \
    }
#define CLIPPED_10(where)                                                                          \
    {                                                                                              \
        .source = (where), .clip = { -10.0, 10.0 }                                                 \
    }
#define BODY(name)                                                                                 \
    {                                                                                              \
        .source = MUJOCO_BODY_POSITION, .object = name                                             \
    }
#define BETWEEN(to, from)                                                                          \
    {                                                                                              \
        .source = MUJOCO_BODY_POSITION, .object = to, .minus = from                                \
    }

/* The humanoids observe everything; the row of the world, which is first, is left out. */
#define HUMANOID_OBSERVATION                                                                       \
    {                                                                                              \
        {.of = {MUJOCO_QPOS, .first = 2}, EXCLUDE}, {.of = {MUJOCO_QVEL}},                         \
            {.of = {MUJOCO_CINERT, .first = 10}, .include_key = "include_cinert_in_observation"},  \
            {.of = {MUJOCO_CVEL, .first = 6}, .include_key = "include_cvel_in_observation"},       \
            {.of = {MUJOCO_QFRC_ACTUATOR, .first = 6},                                             \
             .include_key = "include_qfrc_actuator_in_observation"},                               \
        {                                                                                          \
            .of = {MUJOCO_CFRC_EXT, .first = 6}, .include_key = "include_cfrc_ext_in_observation"  \
        }                                                                                          \
    }

const MujocoTask mujoco_tasks[] = {
    {
        .name = "HalfCheetah-v5",
        .model = "half_cheetah.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {.distance = 4.0},
        .start = START_NORMAL(0.1),
        .observation = {{.of = {MUJOCO_QPOS, .first = 1}, EXCLUDE}, {.of = {MUJOCO_QVEL}}},
        .reward = {FORWARD(QPOS_X, 1.0), CONTROL_COST(0.1, "ctrl_cost_weight")},
    },
    {
        .name = "Ant-v5",
        .model = "ant.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {.distance = 4.0},
        .start = START_NORMAL(0.1),
        .observation = {{.of = {MUJOCO_QPOS, .first = 2}, EXCLUDE},
                        {.of = {MUJOCO_QVEL}},
                        {.of = {MUJOCO_CFRC_EXT, .first = 6, .clip = {-1.0, 1.0},
                                .clip_key = "contact_force_range"},
                         .include_key = "include_cfrc_ext_in_observation"}},
        .reward = {{.form = MUJOCO_VELOCITY,
                    .of = {MUJOCO_BODY_POSITION, .object = "torso", .count = 1},
                    .weight = 1.0,
                    .weight_key = "forward_reward_weight"},
                   STAYS_HEALTHY(1.0),
                   CONTROL_COST(0.5, "ctrl_cost_weight"),
                   {.form = MUJOCO_SQUARE,
                    .cost = true,
                    .of = {MUJOCO_CFRC_EXT, .clip = {-1.0, 1.0}, .clip_key = "contact_force_range"},
                    .weight = 5e-4,
                    .weight_key = "contact_cost_weight"}},
        .health = {{.of = {MUJOCO_QPOS}, .range = {-INFINITY, INFINITY}, .open = true},
                   {.of = {MUJOCO_QVEL}, .range = {-INFINITY, INFINITY}, .open = true},
                   {.of = ONE(MUJOCO_QPOS, 2),
                    .range = {0.2, 1.0},
                    .range_key = "healthy_z_range"}},
    },
    {
        .name = "Hopper-v5",
        .model = "hopper.xml",
        .frame_skip = 4,
        .step_limit = 1000,
        .camera = {.track = "torso",
                   .distance = 3.0,
                   .lookat = {0.0, 0.0, 1.15},
                   .has_lookat = true,
                   .elevation = -20.0},
        .start = START_UNIFORM(5e-3),
        .observation = {{.of = {MUJOCO_QPOS, .first = 1}, EXCLUDE},
                        {.of = CLIPPED_10(MUJOCO_QVEL)}},
        .reward = {FORWARD(QPOS_X, 1.0), STAYS_HEALTHY(1.0),
                   CONTROL_COST(1e-3, "ctrl_cost_weight")},
        .health = {{.of = {MUJOCO_QPOS, .first = 2},
                    .range = {-100.0, 100.0},
                    .open = true,
                    .range_key = "healthy_state_range"},
                   {.of = {MUJOCO_QVEL},
                    .range = {-100.0, 100.0},
                    .open = true,
                    .range_key = "healthy_state_range"},
                   {.of = ONE(MUJOCO_QPOS, 1),
                    .range = {0.7, INFINITY},
                    .open = true,
                    .range_key = "healthy_z_range"},
                   {.of = ONE(MUJOCO_QPOS, 2),
                    .range = {-0.2, 0.2},
                    .open = true,
                    .range_key = "healthy_angle_range"}},
    },
    {
        .name = "Walker2d-v5",
        .model = "walker2d_v5.xml",
        .frame_skip = 4,
        .step_limit = 1000,
        .camera = {.track = "torso",
                   .distance = 4.0,
                   .lookat = {0.0, 0.0, 1.15},
                   .has_lookat = true,
                   .elevation = -20.0},
        .start = START_UNIFORM(5e-3),
        .observation = {{.of = {MUJOCO_QPOS, .first = 1}, EXCLUDE},
                        {.of = CLIPPED_10(MUJOCO_QVEL)}},
        .reward = {FORWARD(QPOS_X, 1.0), STAYS_HEALTHY(1.0),
                   CONTROL_COST(1e-3, "ctrl_cost_weight")},
        .health = {{.of = ONE(MUJOCO_QPOS, 1),
                    .range = {0.8, 2.0},
                    .open = true,
                    .range_key = "healthy_z_range"},
                   {.of = ONE(MUJOCO_QPOS, 2),
                    .range = {-1.0, 1.0},
                    .open = true,
                    .range_key = "healthy_angle_range"}},
    },
    {
        .name = "Swimmer-v5",
        .model = "swimmer.xml",
        .frame_skip = 4,
        .step_limit = 1000,
        .start = START_UNIFORM(0.1),
        .observation = {{.of = {MUJOCO_QPOS, .first = 2}, EXCLUDE}, {.of = {MUJOCO_QVEL}}},
        .reward = {FORWARD(QPOS_X, 1.0), CONTROL_COST(1e-4, "ctrl_cost_weight")},
    },
    {
        .name = "Humanoid-v5",
        .model = "humanoid.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {.track = "torso",
                   .distance = 4.0,
                   .lookat = {0.0, 0.0, 2.0},
                   .has_lookat = true,
                   .elevation = -20.0},
        .start = START_UNIFORM(1e-2),
        .observation = HUMANOID_OBSERVATION,
        .reward = {{.form = MUJOCO_VELOCITY,
                    .of = {MUJOCO_SUBTREE_COM, .object = "world", .count = 1},
                    .weight = 1.25,
                    .weight_key = "forward_reward_weight"},
                   STAYS_HEALTHY(5.0),
                   CONTROL_COST(0.1, "ctrl_cost_weight"),
                   {.form = MUJOCO_SQUARE,
                    .cost = true,
                    .of = {MUJOCO_CFRC_EXT},
                    .weight = 5e-7,
                    .weight_key = "contact_cost_weight",
                    .limit = {-INFINITY, 10.0},
                    .limit_key = "contact_cost_range"}},
        .health = {{.of = ONE(MUJOCO_QPOS, 2),
                    .range = {1.0, 2.0},
                    .open = true,
                    .range_key = "healthy_z_range"}},
    },
    {
        .name = "HumanoidStandup-v5",
        .model = "humanoidstandup.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera = {.track = "torso",
                   .distance = 4.0,
                   .lookat = {0.0, 0.0, 0.8925},
                   .has_lookat = true,
                   .elevation = -20.0},
        .start = START_UNIFORM(1e-2),
        .observation = HUMANOID_OBSERVATION,
        .reward = {{.form = MUJOCO_SUM_PER_TIMESTEP,
                    .of = ONE(MUJOCO_QPOS, 2),
                    .weight = 1.0,
                    .weight_key = "uph_cost_weight"},
                   CONTROL_COST(0.1, "ctrl_cost_weight"),
                   {.form = MUJOCO_SQUARE,
                    .cost = true,
                    .of = {MUJOCO_CFRC_EXT},
                    .weight = 0.5e-6,
                    .weight_key = "impact_cost_weight",
                    .limit = {-INFINITY, 10.0},
                    .limit_key = "impact_cost_range"},
                   {.form = MUJOCO_CONSTANT, .weight = 1.0}},
    },
    {
        .name = "InvertedPendulum-v5",
        .model = "inverted_pendulum.xml",
        .frame_skip = 2,
        .step_limit = 1000,
        .camera = {.fixed = true, .distance = 2.04},
        .start = START_UNIFORM(0.01),
        .observation = {{.of = {MUJOCO_QPOS}}, {.of = {MUJOCO_QVEL}}},
        .reward = {{.form = MUJOCO_HEALTHY, .weight = 1.0}},
        .health = {{.of = {MUJOCO_QPOS}, .range = {-INFINITY, INFINITY}, .open = true},
                   {.of = {MUJOCO_QVEL}, .range = {-INFINITY, INFINITY}, .open = true},
                   {.of = ONE(MUJOCO_QPOS, 1), .range = {-0.2, 0.2}}},
    },
    {
        .name = "InvertedDoublePendulum-v5",
        .model = "inverted_double_pendulum.xml",
        .frame_skip = 5,
        .step_limit = 1000,
        .camera =
            {.fixed = true, .distance = 4.1225, .lookat = {0.0, 0.0, 0.1225}, .has_lookat = true},
        .start = START_NORMAL(0.1),
        .observation = {{.of = {MUJOCO_QPOS, .count = 1}},
                        {.of = {MUJOCO_QPOS, .first = 1, .function = MUJOCO_SIN}},
                        {.of = {MUJOCO_QPOS, .first = 1, .function = MUJOCO_COS}},
                        {.of = CLIPPED_10(MUJOCO_QVEL)},
                        {.of = {MUJOCO_QFRC_CONSTRAINT, .count = 1, .clip = {-10.0, 10.0}}}},
        .reward = {STAYS_HEALTHY(10.0),
                   {.form = MUJOCO_SQUARE,
                    .cost = true,
                    .of = {MUJOCO_SITE_POSITION, .object = "tip", .count = 1},
                    .weight = 0.01},
                   {.form = MUJOCO_SQUARE,
                    .cost = true,
                    .of = {MUJOCO_SITE_POSITION, .object = "tip", .first = 2},
                    .target = 2.0,
                    .weight = 1.0},
                   {MUJOCO_SQUARE, .cost = true, .of = ONE(MUJOCO_QVEL, 1), .weight = 1e-3},
                   {MUJOCO_SQUARE, .cost = true, .of = ONE(MUJOCO_QVEL, 2), .weight = 5e-3}},
        .health = {{.of = {MUJOCO_SITE_POSITION, .object = "tip", .first = 2},
                    .range = {1.0, INFINITY},
                    .open = true}},
    },
    {
        .name = "Pusher-v5",
        .model = "pusher_v5.xml",
        .frame_skip = 5,
        .step_limit = 100,
        .camera = {.fixed = true, .distance = 4.0},
        .start = {{.source = MUJOCO_QPOS,
                   .first = -4,
                   .count = 2,
                   .low = {-0.3, -0.2},
                   .high = {0.0, 0.2},
                   .each = true,
                   .absolute = true,
                   .norm = {0.17, INFINITY}},
                  {.source = MUJOCO_QPOS, .first = -2, .absolute = true},
                  {.source = MUJOCO_QVEL, .count = -4, .low = {-0.005}, .high = {0.005}},
                  {.source = MUJOCO_QVEL, .first = -4, .absolute = true}},
        .observation = {{.of = {MUJOCO_QPOS, .count = 7}},
                        {.of = {MUJOCO_QVEL, .count = 7}},
                        {.of = BODY("tips_arm")},
                        {.of = BODY("object")},
                        {.of = BODY("goal")}},
        .reward = {{MUJOCO_NORM, .cost = true, .of = BETWEEN("object", "goal"), .weight = 1.0,
                    .weight_key = "reward_dist_weight"},
                   CONTROL_COST(0.1, "reward_control_weight"),
                   {MUJOCO_NORM, .cost = true, .of = BETWEEN("object", "tips_arm"), .weight = 0.5,
                    .weight_key = "reward_near_weight"}},
    },
    {
        .name = "Reacher-v5",
        .model = "reacher.xml",
        .frame_skip = 2,
        .step_limit = 50,
        .camera = {.fixed = true},
        .start = {{.source = MUJOCO_QPOS, .count = -2, .low = {-0.1}, .high = {0.1}},
                  {.source = MUJOCO_QPOS,
                   .first = -2,
                   .low = {-0.2, -0.2},
                   .high = {0.2, 0.2},
                   .each = true,
                   .absolute = true,
                   .norm = {-INFINITY, 0.2}},
                  {.source = MUJOCO_QVEL, .count = -2, .low = {-0.005}, .high = {0.005}},
                  {.source = MUJOCO_QVEL, .first = -2, .absolute = true}},
        .observation = {{.of = {MUJOCO_QPOS, .count = 2, .function = MUJOCO_COS}},
                        {.of = {MUJOCO_QPOS, .count = 2, .function = MUJOCO_SIN}},
                        {.of = {MUJOCO_QPOS, .first = 2}},
                        {.of = {MUJOCO_QVEL, .count = 2}},
                        {.of = {MUJOCO_BODY_POSITION, .object = "fingertip", .minus = "target",
                                .count = 2}}},
        .reward = {{MUJOCO_NORM, .cost = true, .of = BETWEEN("fingertip", "target"), .weight = 1.0,
                    .weight_key = "reward_dist_weight"},
                   CONTROL_COST(1.0, "reward_control_weight")},
    },
    {.name = ""},
};
