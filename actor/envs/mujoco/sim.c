#include "actor/envs/mujoco/sim.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env.h"
#include "actor/envs/env_random.h"
#include "actor/envs/mujoco/model.h"
#include "actor/envs/mujoco/terms.h"

struct MujocoSim {
    MujocoTask task;
    const mjModel *model;
    mjData *data;
    MujocoTerms terms;
    double before[MUJOCO_LIST_MAX]; /* what velocities are measured from, by reward term */
    double *obs;                    /* (obs_dim) the newest */
    double *qpos;                   /* (nq) the start that is drawn */
    double *qvel;                   /* (nv) */
};

enum { BOX_TRIES_MAX = 10000 };

_Static_assert(sizeof(mjtNum) == sizeof(double), "MuJoCo must be built with double numbers");

/* --- Making one ------------------------------------------------------------------------------ */

static int check_actions(const mjModel *m, Err *err)
{
    if (m->nu < 1 || m->nu > POLYAK_ENV_ACT_DIM_MAX)
        return err_set(err, ERR_USAGE, "the model has %d actuators; 1 to %d are possible",
                       (int)m->nu, POLYAK_ENV_ACT_DIM_MAX);
    for (int i = 0; i < (int)m->nu; i++) {
        const mjtNum *range = m->actuator_ctrlrange + 2 * (ptrdiff_t)i;
        const char *name = mj_id2name(m, mjOBJ_ACTUATOR, i);
        if (!m->actuator_ctrllimited[i] || !((float)range[0] < (float)range[1]))
            return err_set(err, ERR_USAGE,
                           "actuator %d%s%.60s is unlimited: give it a ctrlrange in the model", i,
                           name ? " " : "", name ? name : "");
    }
    return ERR_OK;
}

static int check_draws(const MujocoTask *task, const mjModel *m, Err *err)
{
    for (const MujocoDraw *draw = task->start; draw->source; draw++) {
        bool of_qpos = draw->source == MUJOCO_QPOS;
        int size = (int)(of_qpos ? m->nq : m->nv), begin, length;
        if (!mujoco_slice(size, draw->first, draw->count, &begin, &length))
            return err_set(err, ERR_USAGE, "start: %s has %d elements, not first %d, count %d",
                           of_qpos ? "qpos" : "qvel", size, draw->first, draw->count);
        if (draw->distribution == MUJOCO_BOX && length > MUJOCO_BOX_DIMS_MAX)
            return err_set(err, ERR_USAGE, "start: a box has %d elements at most, not %d",
                           MUJOCO_BOX_DIMS_MAX, length);
    }
    return ERR_OK;
}

static int check_camera(const MujocoTask *task, const mjModel *m, Err *err)
{
    const char *track = task->camera.track;
    if (track[0] == '\0' || mj_name2id(m, mjOBJ_BODY, track) >= 0)
        return ERR_OK;
    return err_set(err, ERR_USAGE, "camera: the model has no body '%s'", track);
}

static void make_data(void *arg)
{
    MujocoSim *sim = arg;
    sim->data = mj_makeData(sim->model);
}

static int build(MujocoSim *sim, Err *err)
{
    int rc = mujoco_model_open(sim->task.model, &sim->model, err);
    if (rc == ERR_OK)
        rc = check_actions(sim->model, err);
    if (rc == ERR_OK)
        rc = check_draws(&sim->task, sim->model, err);
    if (rc == ERR_OK)
        rc = check_camera(&sim->task, sim->model, err);
    if (rc == ERR_OK)
        rc = mujoco_guard(make_data, sim, err);
    if (rc == ERR_OK && !sim->data)
        rc = err_set(err, ERR_NOMEM, "no memory for a simulation");
    if (rc == ERR_OK)
        rc = mujoco_terms_bind(&sim->terms, &sim->task, sim->model, sim->data, err);
    if (rc != ERR_OK)
        return rc;
    if (sim->terms.obs_dim < 1 || sim->terms.obs_dim > POLYAK_ENV_OBS_DIM_MAX)
        return err_set(err, ERR_USAGE, "the observation has %d numbers; 1 to %d are possible",
                       sim->terms.obs_dim, POLYAK_ENV_OBS_DIM_MAX);
    sim->obs = calloc((size_t)sim->terms.obs_dim, sizeof *sim->obs);
    sim->qpos = calloc((size_t)sim->model->nq + 1, sizeof *sim->qpos);
    sim->qvel = calloc((size_t)sim->model->nv + 1, sizeof *sim->qvel);
    if (!sim->obs || !sim->qpos || !sim->qvel)
        return err_set(err, ERR_NOMEM, "no memory for a simulation");
    return ERR_OK;
}

int mujoco_sim_new(const MujocoTask *task, MujocoSim **sim, Err *err)
{
    MujocoSim *made = calloc(1, sizeof *made);
    if (!made)
        return err_set(err, ERR_NOMEM, "no memory for a simulation");
    made->task = *task;
    int rc = build(made, err);
    if (rc == ERR_OK)
        *sim = made;
    else
        mujoco_sim_destroy(&made);
    return rc;
}

void mujoco_sim_destroy(MujocoSim **sim)
{
    MujocoSim *gone = *sim;
    if (!gone)
        return;
    *sim = NULL;
    if (gone->data)
        mj_deleteData(gone->data);
    mujoco_model_close(&gone->model);
    free(gone->obs);
    free(gone->qpos);
    free(gone->qvel);
    free(gone);
}

int mujoco_sim_obs_dim(const MujocoSim *sim)
{
    return sim->terms.obs_dim;
}

const mjModel *mujoco_sim_model(const MujocoSim *sim)
{
    return sim->model;
}

mjData *mujoco_sim_data(const MujocoSim *sim)
{
    return sim->data;
}

const MujocoTask *mujoco_sim_task(const MujocoSim *sim)
{
    return &sim->task;
}

/* --- Running it ------------------------------------------------------------------------------ */

/* The name of what MuJoCo found bad since the reset; NULL when all is well. Too many contacts or
 * constraints (a full buffer) are not here: the physics goes on. */
static const char *bad_numbers(const mjData *d)
{
    static const struct {
        mjtWarning warning;
        const char *name;
    } kinds[] = {
        {mjWARN_BADQPOS, "bad qpos"},
        {mjWARN_BADQVEL, "bad qvel"},
        {mjWARN_BADQACC, "bad qacc"},
        {mjWARN_BADCTRL, "bad ctrl"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (d->warning[kinds[i].warning].number > 0)
            return kinds[i].name;
    return NULL;
}

static int check_numbers(const MujocoSim *sim, Err *err)
{
    const char *bad = bad_numbers(sim->data);
    if (!bad)
        return ERR_OK;
    return err_set(err, ERR_DIVERGED, "the physics diverged: MuJoCo warns of %s", bad);
}

/* Takes what a step left: the observation, and what the next velocities are measured from. */
static void take(MujocoSim *sim, double *obs)
{
    mujoco_terms_before(&sim->terms, sim->before);
    mujoco_terms_observe(&sim->terms, sim->obs);
    memcpy(obs, sim->obs, (size_t)sim->terms.obs_dim * sizeof *obs);
}

static void forward(void *arg)
{
    MujocoSim *sim = arg;
    mj_forward(sim->model, sim->data);
}

int mujoco_sim_set_state(MujocoSim *sim, const double *qpos, const double *qvel, double *obs,
                         Err *err)
{
    mjData *d = sim->data;
    mj_resetData(sim->model, d);
    memcpy(d->qpos, qpos, (size_t)sim->model->nq * sizeof *qpos);
    memcpy(d->qvel, qvel, (size_t)sim->model->nv * sizeof *qvel);
    int rc = mujoco_guard(forward, sim, err);
    if (rc == ERR_OK)
        rc = check_numbers(sim, err);
    if (rc == ERR_OK)
        take(sim, obs);
    return rc;
}

/* Draws a box's elements, once. False when its length is not within the norm's range. */
static bool draw_box(const MujocoDraw *draw, EnvRandom *random, double *values, int length)
{
    double squares = 0.0;
    for (int i = 0; i < length; i++) {
        values[i] = env_random_uniform(random, draw->low[i], draw->high[i]);
        squares += values[i] * values[i];
    }
    double norm = sqrt(squares);
    return draw->norm.low == draw->norm.high || (norm > draw->norm.low && norm < draw->norm.high);
}

/* Draws one part of a start into `values` (size), which hold the model's own. */
static int draw_part(const MujocoDraw *draw, EnvRandom *random, double *values, int size, Err *err)
{
    int begin, length;
    mujoco_slice(size, draw->first, draw->count, &begin, &length);
    values += begin;
    if (draw->distribution == MUJOCO_BOX) {
        int tries = BOX_TRIES_MAX;
        while (!draw_box(draw, random, values, length))
            if (--tries == 0)
                return err_set(err, ERR_ENV, "start: no draw from the box is within its norm");
    }
    for (int i = 0; i < length; i++) {
        if (draw->distribution == MUJOCO_UNIFORM)
            values[i] += env_random_uniform(random, -draw->scale, draw->scale);
        else if (draw->distribution == MUJOCO_NORMAL)
            values[i] += draw->scale * env_random_normal(random);
    }
    return ERR_OK;
}

int mujoco_sim_reset(MujocoSim *sim, uint64_t seed, double *obs, Err *err)
{
    EnvRandom random = {seed};
    const mjModel *m = sim->model;
    memcpy(sim->qpos, m->qpos0, (size_t)m->nq * sizeof *sim->qpos);
    memset(sim->qvel, 0, (size_t)m->nv * sizeof *sim->qvel);
    for (const MujocoDraw *draw = sim->task.start; draw->source; draw++) {
        bool of_qpos = draw->source == MUJOCO_QPOS;
        int rc = draw_part(draw, &random, of_qpos ? sim->qpos : sim->qvel,
                           (int)(of_qpos ? m->nq : m->nv), err);
        if (rc != ERR_OK)
            return rc;
    }
    return mujoco_sim_set_state(sim, sim->qpos, sim->qvel, obs, err);
}

/* Says once that the physics leaves something out; the numbers stay good. */
static void report_full(const mjData *d)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if ((d->warning[mjWARN_CONTACTFULL].number || d->warning[mjWARN_CNSTRFULL].number) &&
        !atomic_flag_test_and_set(&said))
        fprintf(stderr, "mujoco: contacts do not fit into the model's memory, and some are left "
                        "out: give it <size memory=\"…\"/>\n");
}

static void step(void *arg)
{
    MujocoSim *sim = arg;
    for (int i = 0; i < sim->task.frame_skip && !bad_numbers(sim->data); i++)
        mj_step(sim->model, sim->data);
    if (sim->terms.needs_forces)
        mj_rnePostConstraint(sim->model, sim->data);
}

int mujoco_sim_step(MujocoSim *sim, const float *action, double *obs, double *reward,
                    bool *terminated, Err *err)
{
    for (int i = 0; i < (int)sim->model->nu; i++)
        sim->data->ctrl[i] = action[i];
    int rc = mujoco_guard(step, sim, err);
    if (rc == ERR_OK)
        rc = check_numbers(sim, err);
    if (rc != ERR_OK)
        return rc;
    report_full(sim->data);
    bool healthy = mujoco_terms_healthy(&sim->terms);
    *reward = mujoco_terms_reward(&sim->terms, sim->before, healthy);
    *terminated = !healthy && !sim->task.goes_on_unhealthy;
    take(sim, obs);
    return ERR_OK;
}

/* --- States ---------------------------------------------------------------------------------- */

static int physics_count(const MujocoSim *sim)
{
    return (int)mj_stateSize(sim->model, mjSTATE_INTEGRATION);
}

int mujoco_sim_state_count(const MujocoSim *sim)
{
    return physics_count(sim) + MUJOCO_LIST_MAX + sim->terms.obs_dim;
}

void mujoco_sim_save(const MujocoSim *sim, double *state)
{
    mj_getState(sim->model, sim->data, state, mjSTATE_INTEGRATION);
    state += physics_count(sim);
    memcpy(state, sim->before, sizeof sim->before);
    memcpy(state + MUJOCO_LIST_MAX, sim->obs, (size_t)sim->terms.obs_dim * sizeof *state);
}

/* The places of things, for pictures; the state itself is not changed by it. */
static void place(void *arg)
{
    MujocoSim *sim = arg;
    mj_fwdPosition(sim->model, sim->data);
}

int mujoco_sim_restore(MujocoSim *sim, const double *state, double *obs, Err *err)
{
    mj_resetData(sim->model, sim->data);
    mj_setState(sim->model, sim->data, state, mjSTATE_INTEGRATION);
    int rc = mujoco_guard(place, sim, err);
    if (rc != ERR_OK)
        return rc;
    state += physics_count(sim);
    memcpy(sim->before, state, sizeof sim->before);
    memcpy(sim->obs, state + MUJOCO_LIST_MAX, (size_t)sim->terms.obs_dim * sizeof *obs);
    memcpy(obs, sim->obs, (size_t)sim->terms.obs_dim * sizeof *obs);
    return ERR_OK;
}
