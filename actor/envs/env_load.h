/* Where an environment's table of functions comes from: the list of built-ins, or a plugin that is
 * loaded with dlopen. For env_host.c only. */
#ifndef POLYAK_ACTOR_ENVS_ENV_LOAD_H
#define POLYAK_ACTOR_ENVS_ENV_LOAD_H

#include "actor/envs/env.h"
#include "common/err.h"

typedef struct EnvLibrary {
    PolyakEnvApi api; /* a copy; optional functions that are absent are NULL */
    void *handle;     /* of dlopen; NULL for a built-in */
} EnvLibrary;

/* Finds the table of `name`: a path when it contains a '/' or ends in ".so", else a built-in.
 * ERR_USAGE, ERR_IO, ERR_VERSION or ERR_SPEC (a required function is missing), as env_kind_open. */
int env_library_open(const char *name, EnvLibrary *library, Err *err);

/* Unloads a plugin; none of its functions may be called any more. */
void env_library_close(EnvLibrary *library);

#endif
