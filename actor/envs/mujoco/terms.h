/* A task's quantities in one simulation: found once, in the model and its data, then evaluated
 * after every step. All numbers are doubles. Belongs to one MujocoSim; after terms_bind nothing is
 * allocated. */
#ifndef POLYAK_ACTOR_ENVS_MUJOCO_TERMS_H
#define POLYAK_ACTOR_ENVS_MUJOCO_TERMS_H

#include <mujoco/mujoco.h>

#include "actor/envs/mujoco/task.h"

/* Where the elements of a quantity are. */
typedef struct MujocoView {
    const mjtNum *data;  /* (count) into the simulation's mjData */
    const mjtNum *minus; /* (count), or NULL */
    int count;
} MujocoView;

typedef struct MujocoTerms {
    const MujocoTask *task;
    MujocoView observation[MUJOCO_LIST_MAX];
    MujocoView reward[MUJOCO_LIST_MAX];
    MujocoView health[MUJOCO_LIST_MAX];
    double timestep; /* s, of the physics */
    double dt;       /* s, of a step: frame_skip of them */
    int obs_dim;
    bool needs_forces; /* something reads what only mj_rnePostConstraint computes */
} MujocoTerms;

/* Finds a task's quantities. `task`, model and data must outlive the terms. ERR_USAGE when the
 * model has not what the task names. */
int mujoco_terms_bind(MujocoTerms *terms, const MujocoTask *task, const mjModel *model,
                      const mjData *data, Err *err);

/* Elements first … first + count − 1 of `size`, as quantities and draws say them: negative numbers
 * count from the end. False when there are none. */
bool mujoco_slice(int size, int first, int count, int *begin, int *length);

/* Writes obs (obs_dim). */
void mujoco_terms_observe(const MujocoTerms *terms, double *obs);

/* Writes what MUJOCO_VELOCITY compares: before (MUJOCO_LIST_MAX), by reward term. */
void mujoco_terms_before(const MujocoTerms *terms, double *before);

bool mujoco_terms_healthy(const MujocoTerms *terms);

/* The reward of a step: `before` is from before it. */
double mujoco_terms_reward(const MujocoTerms *terms, const double *before, bool healthy);

#endif
