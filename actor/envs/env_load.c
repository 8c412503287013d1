#include "actor/envs/env_load.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Copies what this program knows of a plugin's table; a shorter one leaves the rest NULL. */
static int take_table(const char *path, const PolyakEnvApi *table, PolyakEnvApi *api, Err *err)
{
    if (!table)
        return err_set(err, ERR_IO, "plugin %.200s: %s() returned no table", path,
                       POLYAK_ENV_SYMBOL);
    if (table->abi_version != POLYAK_ENV_ABI_VERSION)
        return err_set(
            err, ERR_VERSION,
            "plugin %.200s has version %u of the plugin interface, this program has %u: %s", path,
            table->abi_version, POLYAK_ENV_ABI_VERSION,
            table->abi_version < POLYAK_ENV_ABI_VERSION
                ? "build the plugin again with the env.h of this program"
                : "use a newer Polyak, or build the plugin with this program's env.h");
    *api = (PolyakEnvApi){0};
    size_t bytes = table->struct_bytes;
    memcpy(api, table, bytes < sizeof *api ? bytes : sizeof *api);

    const char *missing = !api->create    ? "create"
                          : !api->destroy ? "destroy"
                          : !api->spec    ? "spec"
                          : !api->reset   ? "reset"
                          : !api->step    ? "step"
                                          : NULL;
    if (missing)
        return err_set(err, ERR_SPEC, "plugin %.200s lacks the required function %s", path,
                       missing);
    int num_state =
        (api->state_bytes != NULL) + (api->state_get != NULL) + (api->state_set != NULL);
    if (num_state != 0 && num_state != 3)
        return err_set(err, ERR_SPEC,
                       "plugin %.200s has %d of state_bytes, state_get and state_set; it needs all "
                       "three or none",
                       path, num_state);
    return ERR_OK;
}

int env_library_load(const char *path, EnvLibrary *library, Err *err)
{
    *library = (EnvLibrary){0};
    if (access(path, F_OK) != 0)
        return err_set(err, ERR_USAGE, "plugin %.200s: there is no such file", path);
    if (access(path, R_OK) != 0)
        return err_set(err, ERR_IO, "plugin %.200s: %s", path, strerror(errno));

    /* A name without a slash would be searched for in the system's library directories. */
    char full[PATH_MAX];
    int length = snprintf(full, sizeof full, "%s%s", strchr(path, '/') ? "" : "./", path);
    if (length >= (int)sizeof full)
        return err_set(err, ERR_IO, "plugin %.200s…: the path is too long", path);
    /* It stays in memory when it is closed: what it may bring along (OpenMP, a physics engine, a GL
     * driver) often does not survive being unloaded. */
    void *handle = dlopen(full, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        return err_set(err, ERR_IO, "plugin cannot be loaded: %s", dlerror());

    /* POSIX lets a symbol's address be a function; ISO C has no cast for it, so it is copied. */
    const PolyakEnvApi *(*get_api)(void) = NULL;
    void *symbol = dlsym(handle, POLYAK_ENV_SYMBOL);
    memcpy(&get_api, &symbol, sizeof get_api);
    int rc = symbol ? take_table(path, get_api(), &library->api, err)
                    : err_set(err, ERR_IO,
                              "%.200s is not an environment plugin: it has no symbol %s (see "
                              "actor/envs/env.h)",
                              path, POLYAK_ENV_SYMBOL);
    if (rc != ERR_OK) {
        dlclose(handle);
        return rc;
    }
    library->handle = handle;
    return ERR_OK;
}

const PolyakEnvList *env_library_list(const EnvLibrary *library)
{
    const PolyakEnvList *(*get_list)(void) = NULL;
    void *symbol = library->handle ? dlsym(library->handle, POLYAK_ENV_LIST_SYMBOL) : NULL;
    memcpy(&get_list, &symbol, sizeof get_list);
    return symbol ? get_list() : NULL;
}

void env_library_close(EnvLibrary *library)
{
    if (library->handle)
        dlclose(library->handle);
    *library = (EnvLibrary){0};
}
