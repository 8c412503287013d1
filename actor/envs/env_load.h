/* A plugin's table of functions, loaded with dlopen. For env_open.c and env_plugin.c. */
#ifndef POLYAK_ACTOR_ENVS_ENV_LOAD_H
#define POLYAK_ACTOR_ENVS_ENV_LOAD_H

#include "actor/envs/env.h"
#include "common/err.h"

typedef struct EnvLibrary {
    PolyakEnvApi api; /* a copy; optional functions that are absent are NULL */
    void *handle;     /* of dlopen; NULL for a built-in */
} EnvLibrary;

/* Loads the plugin at `path`, which needs no '/' for a file in the current directory. ERR_USAGE (no
 * such file), ERR_IO, ERR_VERSION or ERR_SPEC (a required function is missing). */
int env_library_load(const char *path, EnvLibrary *library, Err *err);

/* What the library says that it holds; NULL when it does not say. */
const PolyakEnvList *env_library_list(const EnvLibrary *library);

/* None of its functions may be called any more. */
void env_library_close(EnvLibrary *library);

#endif
