/* An environment as the rollout sees it: the plugin ABI (env.h) behind one door that maps actions,
 * enforces the step limit and catches numbers that are not finite.
 *
 * An EnvKind is a loaded environment (built in, or a plugin), an Env one instance of it. Both belong
 * to the one thread that uses them. After env_new nothing is allocated by the host. */
#ifndef POLYAK_ACTOR_ENVS_ENV_HOST_H
#define POLYAK_ACTOR_ENVS_ENV_HOST_H

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
 * known ones; bad options), ERR_VERSION (a plugin of another ABI), ERR_SPEC (unsound spec, infinite
 * bounds), ERR_IO (cannot be loaded). */
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
 * did not happen for the caller, and the next call must be env_reset. ERR_ENV when it failed. */
int env_step(Env *env, const float *action, float *obs, EnvOutcome *outcome, Err *err);

/* Names of the built-in environments, NULL-terminated. */
const char *const *env_builtin_names(void);

#endif
