#include "actor/envs/env_host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/env_kind.h"
#include "common/check.h"
#include "common/clock.h"

struct EnvKind {
    const EnvBackend *backend;
    void *backend_kind;
    Spec spec;
    int num_envs; /* instances that live */
};

/* What was begun and is not finished. */
typedef enum InFlight {
    NOTHING,
    STEP,
    RESET,
    UNWANTED, /* whatever it is: its result is thrown away, and the reset to env->seed begins */
} InFlight;

struct Env {
    EnvKind *kind;
    const EnvBackend *backend;
    void *instance;
    size_t state_bytes; /* of the environment's own part; 0: it cannot save its state */
    uint64_t seed;      /* of a reset that is to begin */
    int steps;          /* taken in this episode */
    InFlight in_flight;
    bool running; /* the episode goes on: a step may begin */
    EnvFault fault;
    float action[]; /* (act_dim) in the environment's units */
};

/* The host's part of a saved state. */
typedef struct HostState {
    int32_t steps;
    int32_t running;
} HostState;
_Static_assert(sizeof(HostState) == ENV_STATE_HOST_BYTES, "as env_host.h says");

int env_kind_make(const EnvBackend *backend, void *backend_kind, const Spec *spec,
                  EnvKind **kind_pointer, Err *err)
{
    int rc = spec_check(spec, err);
    EnvKind *kind = rc == ERR_OK ? calloc(1, sizeof *kind) : NULL;
    if (!kind) {
        backend->close(backend_kind);
        return rc != ERR_OK ? rc : err_set(err, ERR_NOMEM, "no memory for %s", spec->name);
    }
    kind->backend = backend;
    kind->backend_kind = backend_kind;
    kind->spec = *spec;
    *kind_pointer = kind;
    return ERR_OK;
}

void env_kind_close(EnvKind **kind)
{
    if (!*kind)
        return;
    CHECK((*kind)->num_envs == 0);
    (*kind)->backend->close((*kind)->backend_kind);
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
    int rc = kind->backend->create(kind->backend_kind, &made->instance, err);
    if (rc != ERR_OK) {
        free(made);
        return rc;
    }
    made->kind = kind;
    made->backend = kind->backend;
    if (made->backend->state_bytes)
        made->state_bytes = made->backend->state_bytes(made->instance);
    kind->num_envs++;
    *env = made;
    return ERR_OK;
}

void env_destroy(Env **env)
{
    if (!*env)
        return;
    (*env)->backend->destroy((*env)->instance);
    (*env)->kind->num_envs--;
    free(*env);
    *env = NULL;
}

/* ERR_DIVERGED, for numbers that are not finite. */
static int not_finite(Env *env, const char *what, int index, float value, Err *err)
{
    env->fault = ENV_FAULT_NOT_FINITE;
    return err_set(err, ERR_DIVERGED, "%s: %s %d is %g after %d steps", env->kind->spec.name, what,
                   index, (double)value, env->steps);
}

/* ERR_DIVERGED unless all of obs (obs_dim) is finite. */
static int obs_check(Env *env, const float *obs, Err *err)
{
    int obs_dim = env->kind->spec.obs_dim;
    for (int i = 0; i < obs_dim; i++) {
        if (!isfinite(obs[i]))
            return not_finite(env, "observation", i, obs[i], err);
    }
    return ERR_OK;
}

/* env->action = mid + half * action, per dimension; rounding never leaves the bounds. */
static int map_action(Env *env, const float *action, Err *err)
{
    const Spec *spec = &env->kind->spec;
    for (int i = 0; i < spec->act_dim; i++) {
        if (!isfinite(action[i]))
            return not_finite(env, "action", i, action[i], err);
        double low = (double)spec->action_low[i];
        double high = (double)spec->action_high[i];
        double mapped = 0.5 * (low + high) + 0.5 * (high - low) * (double)action[i];
        env->action[i] = (float)fmin(fmax(mapped, low), high);
    }
    return ERR_OK;
}

/* What a backend's begin said. Where a worker is gone by then, it has died: only finish knows more.
 */
static int begun(Env *env, InFlight what, int rc)
{
    env->in_flight = rc == ERR_OK ? what : NOTHING;
    env->fault = ENV_FAULT_DIED;
    return rc;
}

int env_reset_begin(Env *env, uint64_t seed, Err *err)
{
    env->running = false;
    if (env->in_flight != NOTHING) {
        env->seed = seed;
        env->in_flight = UNWANTED;
        return ERR_OK;
    }
    env->steps = 0;
    return begun(env, RESET, env->backend->reset_begin(env->instance, seed, err));
}

int env_step_begin(Env *env, const float *action, Err *err)
{
    CHECK(env->running && env->in_flight == NOTHING);
    env->running = false; /* until the step has turned out well */
    int rc = map_action(env, action, err);
    if (rc != ERR_OK)
        return rc;
    return begun(env, STEP, env->backend->step_begin(env->instance, env->action, err));
}

bool env_in_flight(const Env *env)
{
    return env->in_flight != NOTHING;
}

/* Waits for what nobody wants any more, and begins the reset that comes instead. Takes the time off
 * *timeout_ms. */
static int finish_unwanted(Env *env, int *timeout_ms, float *obs, Err *err)
{
    PolyakEnvResult result = {0};
    int64_t began_ms = clock_ms();
    int rc = env->backend->finish(env->instance, *timeout_ms, obs, &result, &env->fault, err);
    if (rc == ERR_AGAIN)
        return rc;
    env->in_flight = NOTHING;
    if (rc != ERR_OK && rc != ERR_DIVERGED && rc != ERR_LOST)
        return rc;
    int64_t took_ms = clock_ms() - began_ms;
    if (*timeout_ms >= 0)
        *timeout_ms = took_ms < *timeout_ms ? *timeout_ms - (int)took_ms : 0;
    return env_reset_begin(env, env->seed, err);
}

/* A step that the backend has finished. */
static int finish_step(Env *env, const float *obs, const PolyakEnvResult *result,
                       EnvOutcome *outcome, Err *err)
{
    const Spec *spec = &env->kind->spec;
    CHECK(outcome);
    env->steps++;
    int rc = obs_check(env, obs, err);
    if (rc != ERR_OK)
        return rc;
    if (!isfinite(result->reward)) {
        env->fault = ENV_FAULT_NOT_FINITE;
        return err_set(err, ERR_DIVERGED, "%s: the reward is %g after %d steps", spec->name,
                       (double)result->reward, env->steps);
    }
    bool at_limit = spec->step_limit > 0 && env->steps >= spec->step_limit;
    outcome->reward = result->reward;
    outcome->end = result->terminated              ? SEGMENT_TERMINATED
                   : result->truncated || at_limit ? SEGMENT_TRUNCATED
                                                   : SEGMENT_CONTINUES;
    env->running = outcome->end == SEGMENT_CONTINUES;
    return ERR_OK;
}

int env_finish(Env *env, int timeout_ms, float *obs, EnvOutcome *outcome, Err *err)
{
    CHECK(env->in_flight != NOTHING);
    if (env->in_flight == UNWANTED) {
        int code = finish_unwanted(env, &timeout_ms, obs, err);
        if (code != ERR_OK)
            return code;
    }
    PolyakEnvResult result = {0};
    int rc = env->backend->finish(env->instance, timeout_ms, obs, &result, &env->fault, err);
    if (rc == ERR_AGAIN)
        return rc;
    bool is_step = env->in_flight == STEP;
    env->in_flight = NOTHING;
    if (rc != ERR_OK)
        return rc;
    if (is_step)
        return finish_step(env, obs, &result, outcome, err);
    rc = obs_check(env, obs, err);
    env->running = rc == ERR_OK;
    return rc;
}

EnvFault env_fault(const Env *env)
{
    return env->fault;
}

int env_reset(Env *env, uint64_t seed, float *obs, Err *err)
{
    int rc = env_reset_begin(env, seed, err);
    return rc == ERR_OK ? env_finish(env, -1, obs, NULL, err) : rc;
}

int env_step(Env *env, const float *action, float *obs, EnvOutcome *outcome, Err *err)
{
    int rc = env_step_begin(env, action, err);
    return rc == ERR_OK ? env_finish(env, -1, obs, outcome, err) : rc;
}

size_t env_state_bytes(const Env *env)
{
    return env->state_bytes > 0 ? ENV_STATE_HOST_BYTES + env->state_bytes : 0;
}

int env_state_get(const Env *env, void *state, Err *err)
{
    CHECK(env->in_flight == NOTHING);
    if (env->state_bytes == 0)
        return err_set(err, ERR_MISSING, "%s cannot save its state", env->kind->spec.name);
    HostState host = {env->steps, env->running};
    memcpy(state, &host, sizeof host);
    return env->backend->state_get(env->instance, (char *)state + ENV_STATE_HOST_BYTES, err);
}

int env_state_set(Env *env, const void *state, float *obs, Err *err)
{
    CHECK(env->in_flight == NOTHING);
    const Spec *spec = &env->kind->spec;
    if (env->state_bytes == 0)
        return err_set(err, ERR_MISSING, "%s cannot save its state", spec->name);
    HostState host;
    memcpy(&host, state, sizeof host);
    bool over = spec->step_limit > 0 && host.steps >= spec->step_limit;
    if (host.steps < 0 || host.running < 0 || host.running > 1 || (host.running && over))
        return err_set(err, ERR_FORMAT, "%s: not a saved state: %d steps, running %d", spec->name,
                       host.steps, host.running);

    env->running = false;
    env->fault = ENV_FAULT_DIVERGED;
    int rc = env->backend->state_set(env->instance, (const char *)state + ENV_STATE_HOST_BYTES, obs,
                                     err);
    if (rc != ERR_OK)
        return rc;
    env->steps = host.steps;
    rc = obs_check(env, obs, err);
    env->running = rc == ERR_OK && host.running;
    return rc;
}

int env_render(Env *env, uint8_t *rgb, int width, int height, Err *err)
{
    CHECK(env->in_flight == NOTHING);
    const char *name = env->kind->spec.name;
    if (!env->backend->render)
        return err_set(err, ERR_MISSING, "%s has no picture", name);
    if (width < 1 || width > ENV_RENDER_SIDE_MAX || height < 1 || height > ENV_RENDER_SIDE_MAX)
        return err_set(err, ERR_USAGE, "%s: a picture of %d x %d; each side is 1 to %d", name,
                       width, height, ENV_RENDER_SIDE_MAX);
    return env->backend->render(env->instance, rgb, width, height, err);
}

double env_step_seconds(const Env *env)
{
    double seconds = env->backend->step_seconds ? env->backend->step_seconds(env->instance) : 0.0;
    return isfinite(seconds) && seconds > 0.0 ? seconds : 0.0;
}
