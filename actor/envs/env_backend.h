/* What makes an environment's instances and runs them, behind the host (env_host.c): a plugin's
 * table of functions (env_plugin.c), or a worker process (gymnasium/). For these files only.
 *
 * The host calls in a fixed order, so a backend need not check it: create, then reset_begin, then
 * finish until it is not ERR_AGAIN, then step_begin, finish, and so on; an error or an episode's
 * end is followed by reset_begin, or by destroy, which may come at any time. One thread calls. */
#ifndef POLYAK_ACTOR_ENVS_ENV_BACKEND_H
#define POLYAK_ACTOR_ENVS_ENV_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "actor/envs/env.h"
#include "common/env_fault.h"
#include "common/err.h"
#include "common/spec.h"

typedef struct EnvBackend {
    /* A kind is what a backend opened; it is closed when its last instance is gone. */
    void (*close)(void *kind);

    /* Makes an instance. ERR_ENV with the environment's own words, ERR_NOMEM. */
    int (*create)(void *kind, void **instance, Err *err);
    void (*destroy)(void *instance);

    /* Begins an episode, or a step with action (act_dim) in the environment's units. The work may
     * be done here, by another process meanwhile, or in finish. ERR_ENV, ERR_LOST. */
    int (*reset_begin)(void *instance, uint64_t seed, Err *err);
    int (*step_begin)(void *instance, const float *action, Err *err);

    /* Takes the observation, obs (obs_dim), and a step's result of what was begun. Waits for it at
     * most timeout_ms (-1: as long as it takes), then ERR_AGAIN. ERR_DIVERGED and ERR_LOST: it did
     * not happen, `fault` says why, and reset_begin comes next. ERR_ENV: it cannot go on. Numbers
     * need not be finite; the host looks. */
    int (*finish)(void *instance, int timeout_ms, float *obs, PolyakEnvResult *result,
                  EnvFault *fault, Err *err);

    /* As in env.h; NULL where the backend cannot do it, and state_bytes may say 0. */
    size_t (*state_bytes)(const void *instance);
    int (*state_get)(void *instance, void *state, Err *err);
    int (*state_set)(void *instance, const void *state, float *obs, Err *err);
    int (*render)(void *instance, uint8_t *rgb, int width, int height, Err *err);
    double (*step_seconds)(const void *instance); /* 0: unknown */
} EnvBackend;

#endif
