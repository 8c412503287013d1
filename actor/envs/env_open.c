/* Opening an environment by its name: built in, of a scheme, or the path of a plugin. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor/envs/builtin/env_builtin.h"
#include "actor/envs/env_host.h"
#include "actor/envs/env_kind.h"
#include "actor/envs/env_plugin.h"
#include "common/text.h"

enum { STEP_TIMEOUT_MS = 10000 }; /* the default of the key env_step_timeout_ms */

#define BUILTIN_NAME(name) #name,
static const char *const builtin_names[] = {ENV_BUILTINS(BUILTIN_NAME) NULL};

#define BUILTIN_API(name) &name##_api,
static const PolyakEnvApi *const builtin_apis[] = {ENV_BUILTINS(BUILTIN_API)};

enum { NUM_BUILTINS = sizeof builtin_apis / sizeof builtin_apis[0] };

const char *const *env_builtin_names(void)
{
    return builtin_names;
}

EnvSetup env_setup(const Config *config, int num_envs)
{
    return (EnvSetup){
        .name = config->env,
        .options = config->env_options,
        .num_envs = num_envs,
        .python = config->python,
        .step_timeout_ms = (int)config->env_step_timeout_ms,
        .restarts_max = (int)config->env_restarts_max,
    };
}

/* The built-in that a person may have meant: few changes away, or beginning in the same way. */
static const char *nearest_builtin(const char *name)
{
    const char *nearest = NULL;
    int best = (int)strnlen(name, TEXT_DISTANCE_MAX) / 3 + 2;
    size_t length = strlen(name);
    for (int i = 0; i < NUM_BUILTINS; i++) {
        if (length >= 4 && strncmp(name, builtin_names[i], length) == 0)
            return builtin_names[i];
        int distance = text_distance(name, builtin_names[i]);
        if (distance < best) {
            best = distance;
            nearest = builtin_names[i];
        }
    }
    return nearest;
}

static int unknown_name(const char *name, Err *err)
{
    char known[256] = "";
    for (int i = 0; i < NUM_BUILTINS; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", builtin_names[i]);
    }
    const char *nearest = nearest_builtin(name);
    if (nearest)
        return err_set(err, ERR_USAGE,
                       "unknown environment '%.100s'; did you mean '%s'? Known: %s, or the path of "
                       "a plugin (./mine.so)",
                       name, nearest, known);
    return err_set(err, ERR_USAGE,
                   "unknown environment '%.100s'; known: %s, or the path of a plugin (./mine.so)",
                   name, known);
}

static bool is_path(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 3 && strcmp(name + length - 3, ".so") == 0);
}

/* Makes a kind from a table of functions; takes over the library. */
static int open_table(EnvLibrary *library, const EnvSetup *setup, EnvKind **kind, Err *err)
{
    void *backend_kind = NULL;
    Spec spec;
    int rc = env_plugin_open(library, setup->name, setup->options, &backend_kind, &spec, err);
    if (rc != ERR_OK)
        return rc;
    return env_kind_make(&env_plugin_backend, backend_kind, &spec, kind, err);
}

int env_kind_open(const EnvSetup *given, EnvKind **kind, Err *err)
{
    EnvSetup setup = *given;
    if (setup.num_envs == 0)
        setup.num_envs = 1;
    if (!setup.python)
        setup.python = "python3";
    if (setup.step_timeout_ms == 0)
        setup.step_timeout_ms = STEP_TIMEOUT_MS;

    EnvLibrary library = {0};
    if (is_path(setup.name)) {
        int rc = env_library_load(setup.name, &library, err);
        return rc == ERR_OK ? open_table(&library, &setup, kind, err) : rc;
    }
    for (int i = 0; i < NUM_BUILTINS; i++) {
        if (strcmp(setup.name, builtin_names[i]) == 0) {
            library.api = *builtin_apis[i];
            return open_table(&library, &setup, kind, err);
        }
    }
    return unknown_name(setup.name, err);
}
