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
#include "actor/envs/gymnasium/gymnasium.h"
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

const char *env_builtin_options(const char *name)
{
    for (int i = 0; i < NUM_BUILTINS; i++) {
        if (strcmp(name, builtin_names[i]) == 0)
            return "step_ms=N: a step takes N ms at least, as that of a slow simulator";
    }
    return NULL;
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

/* An environment that is not built in is named PREFIX and the rest, such as mujoco:Hopper-v5. */
typedef struct Scheme {
    const char *prefix;
    const char *rest; /* what it is called in messages */
    const char *example;
    int (*open)(const EnvSetup *setup, const char *rest, EnvKind **kind, Err *err);
} Scheme;

static int open_mujoco(const EnvSetup *setup, const char *task, EnvKind **kind, Err *err);
static int open_gymnasium(const EnvSetup *setup, const char *id, EnvKind **kind, Err *err);

static const Scheme schemes[] = {
    /* MuJoCo's own C library, in a plugin: a build without MuJoCo lacks that one file. */
    {"mujoco:", "TASK", "mujoco:HalfCheetah-v5", open_mujoco},
    /* Whatever gymnasium.make() makes, in a Python process that the actor starts. */
    {"gymnasium:", "ID", "gymnasium:Pendulum-v1", open_gymnasium},
};

enum { NUM_SCHEMES = sizeof schemes / sizeof schemes[0] };

static int unknown_name(const char *name, Err *err)
{
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; i < NUM_BUILTINS && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s, ", builtin_names[i]);
    for (int i = 0; i < NUM_SCHEMES && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s, ", schemes[i].prefix,
                                 schemes[i].rest);
    const char *nearest = nearest_builtin(name);
    return err_set(err, ERR_USAGE,
                   "unknown environment '%.100s'; %s%s%s: %sor the path of a plugin (./mine.so)",
                   name, nearest ? "did you mean '" : "known", nearest ? nearest : "",
                   nearest ? "'? Known" : "", known);
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

/* Where a plugin that belongs to Polyak lies: $POLYAK_PLUGIN_DIR, or beside this program's folder.
 */
static void own_plugin(const char *file, char path[PATH_MAX])
{
    const char *directory = getenv("POLYAK_PLUGIN_DIR");
    char program[PATH_MAX] = "";
    int length = 0;
    if (directory && directory[0] != '\0') {
        length = snprintf(path, PATH_MAX, "%s/%s", directory, file);
    } else if (readlink("/proc/self/exe", program, sizeof program - 1) > 0) {
        char *slash = strrchr(program, '/');
        if (slash)
            *slash = '\0';
        length = snprintf(path, PATH_MAX, "%s/../lib/polyak/%s", program, file);
    }
    if (length <= 0 || length >= PATH_MAX)
        path[0] = '\0';
}

/* `name` is what messages call it. */
static int load_mujoco(const char *name, EnvLibrary *library, Err *err)
{
    char path[PATH_MAX];
    own_plugin("env_mujoco.so", path);
    if (access(path, F_OK) == 0)
        return env_library_load(path, library, err);
    return err_set(err, ERR_MISSING,
                   "%.150s needs MuJoCo, which this build has not: run scripts/setup.sh --mujoco "
                   "and build again (there is no %.200s)",
                   name, path[0] != '\0' ? path : "env_mujoco.so");
}

int env_mujoco_tasks(const char *const **tasks, const char **about, Err *err)
{
    static EnvLibrary library; /* stays loaded: what it lists lives in it */
    int rc = library.handle ? ERR_OK : load_mujoco("mujoco:", &library, err);
    const PolyakEnvList *list = rc == ERR_OK ? env_library_list(&library) : NULL;
    if (rc == ERR_OK && !list)
        rc = err_set(err, ERR_VERSION, "env_mujoco.so is older than this program: build it again");
    if (rc == ERR_OK) {
        *tasks = list->names;
        *about = list->about;
    }
    return rc;
}

static int open_mujoco(const EnvSetup *setup, const char *task, EnvKind **kind, Err *err)
{
    char options[2 * CONFIG_TEXT_MAX];
    EnvLibrary library;
    const char *given = setup->options ? setup->options : "";
    if (strchr(task, ','))
        return err_set(err, ERR_USAGE, "%.200s: a task has no comma in its name", setup->name);
    int length =
        snprintf(options, sizeof options, "task=%s%s%s", task, given[0] != '\0' ? "," : "", given);
    if (length >= (int)sizeof options)
        return err_set(err, ERR_USAGE, "%.200s…: the name and its options are too long",
                       setup->name);
    int rc = load_mujoco(setup->name, &library, err);
    if (rc != ERR_OK)
        return rc;
    EnvSetup inner = *setup;
    inner.options = options;
    return open_table(&library, &inner, kind, err);
}

static int open_gymnasium(const EnvSetup *setup, const char *id, EnvKind **kind, Err *err)
{
    void *backend_kind = NULL;
    Spec spec;
    int rc = gymnasium_open(setup, id, &backend_kind, &spec, err);
    if (rc != ERR_OK)
        return rc;
    return env_kind_make(&gymnasium_backend, backend_kind, &spec, kind, err);
}

static int open_scheme(const Scheme *scheme, const EnvSetup *setup, EnvKind **kind, Err *err)
{
    const char *rest = setup->name + strlen(scheme->prefix);
    if (rest[0] == '\0')
        return err_set(err, ERR_USAGE, "'%s' lacks its %s: such as %s", scheme->prefix,
                       scheme->rest, scheme->example);
    return scheme->open(setup, rest, kind, err);
}

int env_kind_open(const EnvSetup *setup, EnvKind **kind, Err *err)
{
    EnvSetup full = *setup; /* with the defaults */
    if (full.num_envs == 0)
        full.num_envs = 1;
    if (!full.python)
        full.python = "python3";
    if (full.step_timeout_ms == 0)
        full.step_timeout_ms = STEP_TIMEOUT_MS;

    for (int i = 0; i < NUM_SCHEMES; i++) {
        if (strncmp(full.name, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return open_scheme(&schemes[i], &full, kind, err);
    }
    EnvLibrary library = {0};
    if (is_path(full.name)) {
        int rc = env_library_load(full.name, &library, err);
        return rc == ERR_OK ? open_table(&library, &full, kind, err) : rc;
    }
    for (int i = 0; i < NUM_BUILTINS; i++) {
        if (strcmp(full.name, builtin_names[i]) == 0) {
            library.api = *builtin_apis[i];
            return open_table(&library, &full, kind, err);
        }
    }
    return unknown_name(full.name, err);
}
