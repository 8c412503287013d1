/* An environment as the rollout sees it: one door to all of them, which maps actions, enforces the
 * step limit and catches numbers that are not finite.
 *
 * An EnvKind is an opened environment (built in, a plugin, or one in a worker process), an Env one
 * instance of it. Both belong to the one thread that uses them. After env_new nothing is allocated
 * by the host.
 *
 * A step or a reset is begun and finished: what one instance does in between may be done by another
 * process, so several instances are begun before the first is finished. */
#ifndef POLYAK_ACTOR_ENVS_ENV_HOST_H
#define POLYAK_ACTOR_ENVS_ENV_HOST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/env_fault.h"
#include "common/err.h"
#include "common/segment.h"
#include "common/spec.h"

typedef struct EnvKind EnvKind;
typedef struct Env Env;

/* Which environment, and how one in a worker process is run. */
typedef struct EnvSetup {
    const char *name;    /* built-in, mujoco:TASK, gymnasium:ID, or the path of a plugin */
    const char *options; /* NULL: none */
    int num_envs;        /* instances that will be made at most; 0 is taken as 1 */
    const char *python;  /* NULL: python3 */
    int step_timeout_ms; /* 0: the key's default */
    int restarts_max;    /* of a worker in a minute */
    /* NULL: none. Once it is set, env_kind_open and env_render do not wait for a worker any longer,
     * and give ERR_STOPPED. It must outlive the kind. */
    const volatile sig_atomic_t *stop;
} EnvSetup;

/* What a step did. */
typedef struct EnvOutcome {
    float reward;
    SegmentEnd end; /* of the episode; CONTINUES while it goes on */
} EnvOutcome;

/* What the configuration says; its texts are borrowed. */
EnvSetup env_setup(const Config *config, int num_envs);

/* Finds an environment by built-in name or scheme (env_open.c), or loads a plugin when the name
 * contains a '/' or ends in ".so", and learns its spec. ERR_USAGE (unknown name, with the known
 * ones; no such plugin; bad options), ERR_MISSING (what it needs is not installed), ERR_VERSION (a
 * plugin of another ABI), ERR_SPEC (unsound spec, infinite bounds), ERR_IO (cannot be loaded),
 * ERR_ENV (cannot be created). */
int env_kind_open(const EnvSetup *setup, EnvKind **kind, Err *err);
void env_kind_close(EnvKind **kind); /* all its instances must be gone */

const Spec *env_kind_spec(const EnvKind *kind);

/* ERR_ENV with the environment's own words when it cannot be created. */
int env_new(EnvKind *kind, Env **env, Err *err);
void env_destroy(Env **env); /* whatever it is doing */

/* Begins an episode. May be called while something is in flight: what that gives is thrown away.
 * ERR_ENV, ERR_LOST. */
int env_reset_begin(Env *env, uint64_t seed, Err *err);

/* Begins a step with action (act_dim) in [-1, 1], mapped to mid + half * a. ERR_DIVERGED when the
 * action is not finite; ERR_ENV, ERR_LOST. Stepping on after an episode's end, or after an error,
 * without a reset is a programmer's error. */
int env_step_begin(Env *env, const float *action, Err *err);

/* Whether something was begun and is not finished. */
bool env_in_flight(const Env *env);

/* Finishes what was begun: obs (obs_dim), and a step's outcome, which may be NULL for a reset.
 * Waits at most timeout_ms (-1: as long as it takes), then ERR_AGAIN: it is still in flight. An
 * environment in this process does its work here and knows no timeout.
 *
 * ERR_DIVERGED when an observation or a reward is not finite, or the environment says that its
 * physics diverged; ERR_LOST when it was lost with the worker that did it. Either way it did not
 * happen for the caller, env_fault() says why, and the next call must be a reset. ERR_ENV when the
 * environment failed for good. After an error obs holds nothing of use. */
int env_finish(Env *env, int timeout_ms, float *obs, EnvOutcome *outcome, Err *err);

/* Why the last ERR_DIVERGED or ERR_LOST. */
EnvFault env_fault(const Env *env);

/* Begin and finish in one, however long it takes. */
int env_reset(Env *env, uint64_t seed, float *obs, Err *err);
int env_step(Env *env, const float *action, float *obs, EnvOutcome *outcome, Err *err);

/* Bytes of a saved state; 0 when the environment cannot save it. A state is the host's part of
 * ENV_STATE_HOST_BYTES (steps taken, whether the episode goes on), then the environment's own. */
enum { ENV_STATE_HOST_BYTES = 8 };
size_t env_state_bytes(const Env *env);

/* Saves the state, and goes back to one: from there equal actions give equal numbers. env_state_set
 * takes a state of any instance of the same kind, and writes its observation, obs (obs_dim).
 * Nothing may be in flight. ERR_MISSING when the environment cannot do it, ERR_FORMAT for a state
 * that no host saved, ERR_ENV, ERR_DIVERGED. */
int env_state_get(const Env *env, void *state, Err *err);
int env_state_set(Env *env, const void *state, float *obs, Err *err);

/* Draws the present state: rgb (height, width, 3), rows from the top. Nothing may be in flight.
 * ERR_MISSING when the environment has no picture, ERR_USAGE for a side outside 1 …
 * ENV_RENDER_SIDE_MAX, ERR_ENV. */
enum { ENV_RENDER_SIDE_MAX = 4096 };
int env_render(Env *env, uint8_t *rgb, int width, int height, Err *err);

/* Seconds of the environment's own time that a step takes; 0: it does not say. */
double env_step_seconds(const Env *env);

/* Names of the built-in environments, NULL-terminated. */
const char *const *env_builtin_names(void);

/* The options of a built-in environment, in a line for a person; NULL: it is none. */
const char *env_builtin_options(const char *name);

/* What `mujoco:` offers here: the names of tasks, NULL-terminated, and one line on the library and
 * its models. They live as long as the program. ERR_MISSING and others of env_kind_open say why
 * not. */
int env_mujoco_tasks(const char *const **tasks, const char **about, Err *err);

#endif
