#include "actor/envs/env_host.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env.h"
#include "actor/envs/env_load.h"
#include "common/check.h"
#include "common/text.h"

_Static_assert(SPEC_NAME_MAX + 1 == POLYAK_ENV_NAME_BYTES, "a plugin's name fits into a Spec");
_Static_assert((int)SPEC_OBS_DIM_MAX == POLYAK_ENV_OBS_DIM_MAX, "obs_dim has one limit");
_Static_assert((int)SPEC_ACT_DIM_MAX == POLYAK_ENV_ACT_DIM_MAX, "act_dim has one limit");

struct EnvKind {
    EnvLibrary library;
    char *options;
    Spec spec;
    int num_envs; /* instances that live */
};

struct Env {
    EnvKind *kind;
    PolyakEnv *plugin_env;
    size_t state_bytes; /* of the environment's own part; 0: it cannot save its state */
    int steps;          /* taken in this episode */
    bool running;       /* the episode goes on: env_step may be called */
    float action[];     /* (act_dim) in the environment's units */
};

/* The host's part of a saved state. */
typedef struct HostState {
    int32_t steps;
    int32_t running;
} HostState;
_Static_assert(sizeof(HostState) == ENV_STATE_HOST_BYTES, "as env_host.h says");

/* What a plugin wrote into an `error`, made one line that ends. */
static const char *words_of(char *error)
{
    error[POLYAK_ENV_ERROR_BYTES - 1] = '\0';
    char line[POLYAK_ENV_ERROR_BYTES];
    text_excerpt(error, line, sizeof line);
    memcpy(error, line, strlen(line) + 1);
    return error[0] ? error : "it gives no reason";
}

/* The error of a function that did not return OK. */
static int failure(const EnvKind *kind, const char *what, int code, char *error, Err *err)
{
    const char *name = kind->spec.name;
    if (code == POLYAK_ENV_DIVERGED)
        return err_set(err, ERR_DIVERGED, "%s: the physics diverged in %s: %s", name, what,
                       words_of(error));
    if (code == POLYAK_ENV_FAILED)
        return err_set(err, ERR_ENV, "%s: %s failed: %s", name, what, words_of(error));
    return err_set(err, ERR_ENV, "%s: %s failed with the unknown code %d: %s", name, what, code,
                   words_of(error));
}

/* ERR_DIVERGED unless all of obs (obs_dim) is finite. */
static int obs_check(const Env *env, const float *obs, Err *err)
{
    const Spec *spec = &env->kind->spec;
    for (int i = 0; i < spec->obs_dim; i++) {
        if (!isfinite(obs[i]))
            return err_set(err, ERR_DIVERGED, "%s: observation %d is %g after %d steps", spec->name,
                           i, (double)obs[i], env->steps);
    }
    return ERR_OK;
}

/* Makes an instance and reads its spec. */
static int instance_new(const EnvKind *kind, const char *name, PolyakEnv **env, Spec *spec,
                        Err *err)
{
    const PolyakEnvApi *api = &kind->library.api;
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    PolyakEnv *made = NULL;
    int code = api->create(kind->options, &made, error);
    if (code == POLYAK_ENV_BAD_OPTIONS)
        return err_set(err, ERR_USAGE, "%.150s: bad options: %s", name, words_of(error));
    if (code != POLYAK_ENV_OK || !made)
        return err_set(err, ERR_ENV, "%.150s cannot be created: %s", name, words_of(error));

    PolyakEnvSpec given = {0};
    error[0] = '\0';
    code = api->spec(made, &given, error);
    if (code != POLYAK_ENV_OK) {
        api->destroy(made);
        return err_set(err, ERR_ENV, "%.150s has no spec: %s", name, words_of(error));
    }
    *spec =
        (Spec){.obs_dim = given.obs_dim, .act_dim = given.act_dim, .step_limit = given.step_limit};
    memcpy(spec->name, given.name, sizeof spec->name);
    memcpy(spec->action_low, given.action_low, sizeof spec->action_low);
    memcpy(spec->action_high, given.action_high, sizeof spec->action_high);
    int rc = spec_check(spec, err);
    if (rc != ERR_OK) {
        api->destroy(made);
        return rc;
    }
    *env = made;
    return ERR_OK;
}

int env_kind_open(const char *name, const char *options, EnvKind **kind, Err *err)
{
    EnvKind *made = calloc(1, sizeof *made);
    if (!made)
        return err_set(err, ERR_NOMEM, "no memory for environment %.100s", name);
    int rc = env_library_open(name, &made->library, err);
    if (rc == ERR_OK) {
        made->options = strdup(options ? options : "");
        rc = made->options ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for environment options");
    }
    if (rc == ERR_OK) {
        PolyakEnv *probe = NULL;
        rc = instance_new(made, name, &probe, &made->spec, err);
        if (rc == ERR_OK)
            made->library.api.destroy(probe);
    }
    if (rc != ERR_OK)
        env_kind_close(&made);
    else
        *kind = made;
    return rc;
}

void env_kind_close(EnvKind **kind)
{
    if (!*kind)
        return;
    CHECK((*kind)->num_envs == 0);
    env_library_close(&(*kind)->library);
    free((*kind)->options);
    free(*kind);
    *kind = NULL;
}

const Spec *env_kind_spec(const EnvKind *kind)
{
    return &kind->spec;
}

int env_new(EnvKind *kind, Env **env, Err *err)
{
    Env *made = calloc(1, sizeof *made + (size_t)kind->spec.act_dim * sizeof made->action[0]);
    if (!made)
        return err_set(err, ERR_NOMEM, "no memory for environment %s", kind->spec.name);
    Spec spec;
    int rc = instance_new(kind, kind->spec.name, &made->plugin_env, &spec, err);
    if (rc == ERR_OK && !spec_equal(&spec, &kind->spec)) {
        kind->library.api.destroy(made->plugin_env);
        rc = err_set(err, ERR_ENV, "%s: two instances with equal options have different specs",
                     kind->spec.name);
    }
    if (rc != ERR_OK) {
        free(made);
        return rc;
    }
    if (kind->library.api.state_bytes)
        made->state_bytes = kind->library.api.state_bytes(made->plugin_env);
    made->kind = kind;
    kind->num_envs++;
    *env = made;
    return ERR_OK;
}

void env_destroy(Env **env)
{
    if (!*env)
        return;
    (*env)->kind->library.api.destroy((*env)->plugin_env);
    (*env)->kind->num_envs--;
    free(*env);
    *env = NULL;
}

int env_reset(Env *env, uint64_t seed, float *obs, Err *err)
{
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    env->steps = 0;
    env->running = false;
    int code = env->kind->library.api.reset(env->plugin_env, seed, obs, error);
    if (code != POLYAK_ENV_OK)
        return failure(env->kind, "reset", code, error, err);
    int rc = obs_check(env, obs, err);
    env->running = rc == ERR_OK;
    return rc;
}

/* env->action = mid + half * action, per dimension; rounding never leaves the bounds. */
static int map_action(Env *env, const float *action, Err *err)
{
    const Spec *spec = &env->kind->spec;
    for (int i = 0; i < spec->act_dim; i++) {
        if (!isfinite(action[i]))
            return err_set(err, ERR_DIVERGED, "%s: action %d is %g after %d steps", spec->name, i,
                           (double)action[i], env->steps);
        double low = (double)spec->action_low[i];
        double high = (double)spec->action_high[i];
        double mapped = 0.5 * (low + high) + 0.5 * (high - low) * (double)action[i];
        env->action[i] = (float)fmin(fmax(mapped, low), high);
    }
    return ERR_OK;
}

int env_step(Env *env, const float *action, float *obs, EnvOutcome *outcome, Err *err)
{
    CHECK(env->running);
    const Spec *spec = &env->kind->spec;
    env->running = false; /* until the step has turned out well */
    int rc = map_action(env, action, err);
    if (rc != ERR_OK)
        return rc;

    char error[POLYAK_ENV_ERROR_BYTES] = "";
    PolyakEnvResult result = {0};
    int code = env->kind->library.api.step(env->plugin_env, env->action, obs, &result, error);
    if (code != POLYAK_ENV_OK)
        return failure(env->kind, "step", code, error, err);
    env->steps++;
    rc = obs_check(env, obs, err);
    if (rc != ERR_OK)
        return rc;
    if (!isfinite(result.reward))
        return err_set(err, ERR_DIVERGED, "%s: the reward is %g after %d steps", spec->name,
                       (double)result.reward, env->steps);

    bool at_limit = spec->step_limit > 0 && env->steps >= spec->step_limit;
    outcome->reward = result.reward;
    outcome->end = result.terminated              ? SEGMENT_TERMINATED
                   : result.truncated || at_limit ? SEGMENT_TRUNCATED
                                                  : SEGMENT_CONTINUES;
    env->running = outcome->end == SEGMENT_CONTINUES;
    return ERR_OK;
}

size_t env_state_bytes(const Env *env)
{
    return env->state_bytes > 0 ? ENV_STATE_HOST_BYTES + env->state_bytes : 0;
}

int env_state_get(const Env *env, void *state, Err *err)
{
    if (env->state_bytes == 0)
        return err_set(err, ERR_MISSING, "%s cannot save its state", env->kind->spec.name);
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    HostState host = {env->steps, env->running};
    memcpy(state, &host, sizeof host);
    int code = env->kind->library.api.state_get(env->plugin_env,
                                                (char *)state + ENV_STATE_HOST_BYTES, error);
    return code == POLYAK_ENV_OK ? ERR_OK : failure(env->kind, "state_get", code, error, err);
}

int env_state_set(Env *env, const void *state, float *obs, Err *err)
{
    const Spec *spec = &env->kind->spec;
    if (env->state_bytes == 0)
        return err_set(err, ERR_MISSING, "%s cannot save its state", spec->name);
    HostState host;
    memcpy(&host, state, sizeof host);
    bool over = spec->step_limit > 0 && host.steps >= spec->step_limit;
    if (host.steps < 0 || host.running < 0 || host.running > 1 || (host.running && over))
        return err_set(err, ERR_FORMAT, "%s: not a saved state: %d steps, running %d", spec->name,
                       host.steps, host.running);

    char error[POLYAK_ENV_ERROR_BYTES] = "";
    env->running = false;
    int code = env->kind->library.api.state_set(
        env->plugin_env, (const char *)state + ENV_STATE_HOST_BYTES, obs, error);
    if (code != POLYAK_ENV_OK)
        return failure(env->kind, "state_set", code, error, err);
    env->steps = host.steps;
    int rc = obs_check(env, obs, err);
    env->running = rc == ERR_OK && host.running;
    return rc;
}

int env_render(Env *env, uint8_t *rgb, int width, int height, Err *err)
{
    const char *name = env->kind->spec.name;
    if (!env->kind->library.api.render)
        return err_set(err, ERR_MISSING, "%s has no picture", name);
    if (width < 1 || width > ENV_RENDER_SIDE_MAX || height < 1 || height > ENV_RENDER_SIDE_MAX)
        return err_set(err, ERR_USAGE, "%s: a picture of %d x %d; each side is 1 to %d", name,
                       width, height, ENV_RENDER_SIDE_MAX);
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    int code = env->kind->library.api.render(env->plugin_env, rgb, width, height, error);
    return code == POLYAK_ENV_OK ? ERR_OK : failure(env->kind, "render", code, error, err);
}
