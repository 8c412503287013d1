/* MuJoCo as an environment plugin: Gymnasium's MuJoCo tasks, and any model with a task file beside
 * it. The options say which: "task=HalfCheetah-v5", "task=./robot.xml,step_limit=500".
 *
 * This file is the ABI only: doubles to floats, errors to codes. What a task is: task.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env.h"
#include "actor/envs/mujoco/model.h"
#include "actor/envs/mujoco/picture.h"
#include "actor/envs/mujoco/sim.h"
#include "common/text.h"

struct PolyakEnv {
    MujocoSim *sim;
    MujocoPicture *picture; /* NULL until the first one is asked for */
    bool hashed;            /* its hash is part of its name */
    double *obs;            /* (obs_dim) */
    double *state; /* (state_count) on its way in or out, since the caller's has no alignment */
};

static int code_of(int rc, const Err *err, char *error)
{
    if (rc == ERR_OK)
        return POLYAK_ENV_OK;
    text_excerpt(err->text, error, POLYAK_ENV_ERROR_BYTES);
    switch (rc) {
    case ERR_USAGE:
        return POLYAK_ENV_BAD_OPTIONS;
    case ERR_DIVERGED:
        return POLYAK_ENV_DIVERGED;
    default:
        return POLYAK_ENV_FAILED;
    }
}

static void env_destroy(PolyakEnv *env)
{
    mujoco_picture_destroy(&env->picture);
    mujoco_sim_destroy(&env->sim);
    free(env->obs);
    free(env->state);
    free(env);
}

static int env_create(const char *options, PolyakEnv **env, char *error)
{
    Err err = {""};
    MujocoTask task;
    bool hashed = false;
    int rc = mujoco_task_parse(options, &task, &hashed, &err);
    if (rc != ERR_OK)
        return code_of(rc, &err, error);
    PolyakEnv *made = calloc(1, sizeof *made);
    if (!made)
        return code_of(err_set(&err, ERR_NOMEM, "out of memory"), &err, error);
    made->hashed = hashed;
    rc = mujoco_sim_new(&task, &made->sim, &err);
    if (rc == ERR_OK) {
        made->obs = calloc((size_t)mujoco_sim_obs_dim(made->sim), sizeof *made->obs);
        made->state = calloc((size_t)mujoco_sim_state_count(made->sim), sizeof *made->state);
        if (!made->obs || !made->state)
            rc = err_set(&err, ERR_NOMEM, "out of memory");
    }
    if (rc != ERR_OK) {
        env_destroy(made);
        return code_of(rc, &err, error);
    }
    *env = made;
    return POLYAK_ENV_OK;
}

static int env_spec(const PolyakEnv *env, PolyakEnvSpec *spec, char *error)
{
    (void)error;
    const MujocoTask *task = mujoco_sim_task(env->sim);
    const mjModel *model = mujoco_sim_model(env->sim);
    int length = snprintf(spec->name, sizeof spec->name, "mujoco:%s", task->name);
    if (env->hashed)
        snprintf(spec->name + length, sizeof spec->name - (size_t)length, ":%08x",
                 mujoco_task_hash(task));
    spec->obs_dim = mujoco_sim_obs_dim(env->sim);
    spec->act_dim = (int32_t)model->nu;
    spec->step_limit = task->step_limit;
    for (int i = 0; i < spec->act_dim; i++) {
        const mjtNum *range = model->actuator_ctrlrange + 2 * (ptrdiff_t)i;
        spec->action_low[i] = (float)range[0];
        spec->action_high[i] = (float)range[1];
    }
    return POLYAK_ENV_OK;
}

static void write_obs(const PolyakEnv *env, float *obs)
{
    for (int i = 0; i < mujoco_sim_obs_dim(env->sim); i++)
        obs[i] = (float)env->obs[i];
}

static int env_reset(PolyakEnv *env, uint64_t seed, float *obs, char *error)
{
    Err err = {""};
    int rc = mujoco_sim_reset(env->sim, seed, env->obs, &err);
    if (rc == ERR_OK)
        write_obs(env, obs);
    return code_of(rc, &err, error);
}

static int env_step(PolyakEnv *env, const float *action, float *obs, PolyakEnvResult *result,
                    char *error)
{
    Err err = {""};
    double reward = 0.0;
    bool terminated = false;
    int rc = mujoco_sim_step(env->sim, action, env->obs, &reward, &terminated, &err);
    if (rc != ERR_OK)
        return code_of(rc, &err, error);
    write_obs(env, obs);
    result->reward = (float)reward;
    result->terminated = terminated;
    return POLYAK_ENV_OK;
}

static int env_render(PolyakEnv *env, uint8_t *rgb, int32_t width, int32_t height, char *error)
{
    Err err = {""};
    int rc = env->picture ? ERR_OK : mujoco_picture_new(env->sim, &env->picture, &err);
    if (rc == ERR_OK)
        rc = mujoco_picture_draw(env->picture, rgb, width, height, &err);
    return code_of(rc, &err, error);
}

static size_t env_state_bytes(const PolyakEnv *env)
{
    return (size_t)mujoco_sim_state_count(env->sim) * sizeof(double);
}

static int env_state_get(const PolyakEnv *env, void *state, char *error)
{
    (void)error;
    mujoco_sim_save(env->sim, env->state);
    memcpy(state, env->state, env_state_bytes(env));
    return POLYAK_ENV_OK;
}

static int env_state_set(PolyakEnv *env, const void *state, float *obs, char *error)
{
    Err err = {""};
    memcpy(env->state, state, env_state_bytes(env));
    int rc = mujoco_sim_restore(env->sim, env->state, env->obs, &err);
    if (rc == ERR_OK)
        write_obs(env, obs);
    return code_of(rc, &err, error);
}

static double env_step_seconds(const PolyakEnv *env)
{
    return mujoco_sim_model(env->sim)->opt.timestep * mujoco_sim_task(env->sim)->frame_skip;
}

static const PolyakEnvApi api = {
    .abi_version = POLYAK_ENV_ABI_VERSION,
    .struct_bytes = sizeof(PolyakEnvApi),
    .create = env_create,
    .destroy = env_destroy,
    .spec = env_spec,
    .reset = env_reset,
    .step = env_step,
    .render = env_render,
    .state_bytes = env_state_bytes,
    .state_get = env_state_get,
    .state_set = env_state_set,
    .step_seconds = env_step_seconds,
};

POLYAK_ENV_EXPORT const PolyakEnvApi *polyak_env_api(void)
{
    return &api;
}

/* For `polyak envs`. Not for several threads at once. */
POLYAK_ENV_EXPORT const PolyakEnvList *polyak_env_list(void)
{
    enum { TASKS_MAX = 64 };
    static const char *names[TASKS_MAX + 1];
    static char about[MUJOCO_PATH_BYTES + 64];
    static const PolyakEnvList list = {.about = about, .names = names};
    for (int i = 0; i < TASKS_MAX && mujoco_tasks[i].name[0] != '\0'; i++)
        names[i] = mujoco_tasks[i].name;
    const char *folder = mujoco_assets_folder();
    snprintf(about, sizeof about, "MuJoCo %s%s%.*s", mj_versionString(),
             folder[0] ? " with the models in " : "", MUJOCO_PATH_BYTES, folder);
    return &list;
}
