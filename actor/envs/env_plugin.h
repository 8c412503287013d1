/* The backend over a table of functions (env.h): the built-in environments, and plugins. They live
 * in this process, so begin only notes what is to be done, and finish does it. For env_open.c. */
#ifndef POLYAK_ACTOR_ENVS_ENV_PLUGIN_H
#define POLYAK_ACTOR_ENVS_ENV_PLUGIN_H

#include "actor/envs/env_backend.h"
#include "actor/envs/env_load.h"

extern const EnvBackend env_plugin_backend;

/* Takes over the library, on failure too, and makes one instance with `options` to learn the spec.
 * `name` is what messages call it. ERR_USAGE (bad options), ERR_ENV, ERR_NOMEM. */
int env_plugin_open(EnvLibrary *library, const char *name, const char *options, void **kind,
                    Spec *spec, Err *err);

#endif
