/* An environment as the rollout sees it: the plugin ABI (env.h) behind one door that maps actions,
 * enforces the step limit and catches numbers that are not finite.
 *
 * An EnvKind is a loaded environment (built in, or a plugin), an Env one instance of it. Both
 * belong to the one thread that uses them. After env_new nothing is allocated by the host. */
#ifndef POLYAK_ACTOR_ENVS_ENV_HOST_H
#define POLYAK_ACTOR_ENVS_ENV_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/segment.h"
#include "common/spec.h"

typedef struct EnvKind EnvKind;
typedef struct Env Env;

/* What a step did. */
typedef struct EnvOutcome {
    float reward;
    SegmentEnd end; /* of the episode; CONTINUES while it goes on */
} EnvOutcome;

/* Finds an environment by built-in name, or loads a plugin when `name` contains a '/' or ends in
 * ".so". Creates one instance with `options` to learn its spec. ERR_USAGE (unknown name, with the
 * known ones; no such plugin; bad options), ERR_VERSION (a plugin of another ABI), ERR_SPEC
 * (unsound spec, infinite bounds), ERR_IO (cannot be loaded), ERR_ENV (cannot be created). */
int env_kind_open(const char *name, const char *options, EnvKind **kind, Err *err);
void env_kind_close(EnvKind **kind); /* all its instances must be gone */

const Spec *env_kind_spec(const EnvKind *kind);

/* ERR_ENV with the environment's own words when it cannot be created. */
int env_new(EnvKind *kind, Env **env, Err *err);
void env_destroy(Env **env);

/* Starts an episode; obs (obs_dim). ERR_ENV, or ERR_DIVERGED when obs is not finite. */
int env_reset(Env *env, uint64_t seed, float *obs, Err *err);

/* Takes one step with action (act_dim) in [-1, 1], mapped to mid + half * a. ERR_DIVERGED when
 * observation or reward is not finite, or the environment says that its physics diverged: the step
 * did not happen for the caller, and the next call must be env_reset; so too when the action is not
 * finite. ERR_ENV when it failed. After an error obs holds nothing of use; after an episode's end,
 * or an error, stepping on without env_reset is a programmer's error. */
int env_step(Env *env, const float *action, float *obs, EnvOutcome *outcome, Err *err);

/* Bytes of a saved state; 0 when the environment cannot save it. A state is the host's part of
 * ENV_STATE_HOST_BYTES (steps taken, whether the episode goes on), then the environment's own. */
enum { ENV_STATE_HOST_BYTES = 8 };
size_t env_state_bytes(const Env *env);

/* Saves the state, and goes back to one: from there equal actions give equal numbers. env_state_set
 * takes a state of any instance of the same kind, and writes its observation, obs (obs_dim).
 * ERR_MISSING when the environment cannot do it, ERR_FORMAT for a state that no host saved,
 * ERR_ENV, ERR_DIVERGED. */
int env_state_get(const Env *env, void *state, Err *err);
int env_state_set(Env *env, const void *state, float *obs, Err *err);

/* Draws the present state: rgb (height, width, 3), rows from the top. ERR_MISSING when the
 * environment has no picture, ERR_USAGE for a side outside 1 … ENV_RENDER_SIDE_MAX, ERR_ENV. */
enum { ENV_RENDER_SIDE_MAX = 4096 };
int env_render(Env *env, uint8_t *rgb, int width, int height, Err *err);

/* Names of the built-in environments, NULL-terminated. */
const char *const *env_builtin_names(void);

#endif
