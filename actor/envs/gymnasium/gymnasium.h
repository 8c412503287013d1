/* Environments of Gymnasium: `gymnasium:ID`. They live in a Python process, the worker, which holds
 * all instances of a kind and exchanges observations and actions through shared memory. The worker
 * is started by gymnasium_open, ends with the kind or with this process, and is started again when
 * it raised an error, died or hung. docs/gymnasium.md says what is supported.
 *
 * All calls come from one thread. No signal handlers, no SIGCHLD. */
#ifndef POLYAK_ACTOR_ENVS_GYMNASIUM_GYMNASIUM_H
#define POLYAK_ACTOR_ENVS_GYMNASIUM_GYMNASIUM_H

#include "actor/envs/env_backend.h"
#include "actor/envs/env_host.h"
#include "common/err.h"
#include "common/spec.h"

/* Opens what gymnasium.make(id, **options) makes: starts a worker with setup->num_envs instances,
 * and waits for its spec. `id` is as Gymnasium has it, "Pendulum-v1" or "module:ID"; setup->name is
 * not looked at. ERR_USAGE (unknown ID, options, a space that is not supported), ERR_MISSING (no
 * Python, no gymnasium, a package that the environment needs), ERR_STOPPED (*setup->stop), ERR_ENV,
 * ERR_NOMEM, ERR_IO. */
int gymnasium_open(const EnvSetup *setup, const char *id, void **kind, Spec *spec, Err *err);

/* For the kinds of gymnasium_open; it draws, and does not save states. */
extern const EnvBackend gymnasium_backend;

#endif
