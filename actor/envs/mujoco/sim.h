/* One simulation of a task, in doubles: what the plugin's ABI (env_mujoco.c) casts to floats, and
 * what tests compare with Gymnasium.
 *
 * Belongs to one thread at a time; only the model is shared. After mujoco_sim_new nothing is
 * allocated. After an error nothing but reset, set_state or destroy should follow; after ERR_ENV,
 * MuJoCo's own failure, nothing but destroy. */
#ifndef POLYAK_ACTOR_ENVS_MUJOCO_SIM_H
#define POLYAK_ACTOR_ENVS_MUJOCO_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mujoco/mujoco.h>

#include "actor/envs/mujoco/task.h"

typedef struct MujocoSim MujocoSim;

/* ERR_USAGE when model and task do not fit, or an action has no bounds; the errors of
 * mujoco_model_open; ERR_NOMEM. The task is copied. */
int mujoco_sim_new(const MujocoTask *task, MujocoSim **sim, Err *err);
void mujoco_sim_destroy(MujocoSim **sim);

int mujoco_sim_obs_dim(const MujocoSim *sim);
const mjModel *mujoco_sim_model(const MujocoSim *sim);
mjData *mujoco_sim_data(const MujocoSim *sim); /* for pictures: to look at */
const MujocoTask *mujoco_sim_task(const MujocoSim *sim);

/* Starts an episode: draws qpos and qvel from `seed`, or takes them, (nq) and (nv). Writes obs
 * (obs_dim). ERR_DIVERGED, ERR_ENV. */
int mujoco_sim_reset(MujocoSim *sim, uint64_t seed, double *obs, Err *err);
int mujoco_sim_set_state(MujocoSim *sim, const double *qpos, const double *qvel, double *obs,
                         Err *err);

/* frame_skip steps of the physics with action (nu). ERR_DIVERGED with the name of MuJoCo's warning
 * when numbers became bad, ERR_ENV. */
int mujoco_sim_step(MujocoSim *sim, const float *action, double *obs, double *reward,
                    bool *terminated, Err *err);

/* All that the next steps depend on, as doubles: MuJoCo's state, the observation, and what rewards
 * compare with. After a restore equal actions give equal numbers, bit for bit. */
int mujoco_sim_state_count(const MujocoSim *sim);
void mujoco_sim_save(const MujocoSim *sim, double *state);
int mujoco_sim_restore(MujocoSim *sim, const double *state, double *obs, Err *err);

#endif
