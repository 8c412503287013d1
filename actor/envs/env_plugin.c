#include "actor/envs/env_plugin.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

_Static_assert(SPEC_NAME_MAX + 1 == POLYAK_ENV_NAME_BYTES, "a plugin's name fits into a Spec");
_Static_assert((int)SPEC_OBS_DIM_MAX == POLYAK_ENV_OBS_DIM_MAX, "obs_dim has one limit");
_Static_assert((int)SPEC_ACT_DIM_MAX == POLYAK_ENV_ACT_DIM_MAX, "act_dim has one limit");

typedef struct PluginKind {
    EnvLibrary library;
    char *options;
    Spec spec;
} PluginKind;

typedef struct Plugin {
    const PluginKind *kind;
    PolyakEnv *env;
    bool is_reset; /* what was begun: a reset to seed, or a step with action */
    uint64_t seed;
    float action[]; /* (act_dim) */
} Plugin;

/* What a plugin wrote into an `error`, made one line that ends. */
static const char *words_of(char *error)
{
    error[POLYAK_ENV_ERROR_BYTES - 1] = '\0';
    char line[POLYAK_ENV_ERROR_BYTES];
    text_excerpt(error, line, sizeof line);
    memcpy(error, line, strlen(line) + 1);
    return error[0] ? error : "it gives no reason";
}

/* The error of a function that did not return OK. */
static int failure(const PluginKind *kind, const char *what, int code, char *error, Err *err)
{
    const char *name = kind->spec.name;
    if (code == POLYAK_ENV_DIVERGED)
        return err_set(err, ERR_DIVERGED, "%s: the physics diverged in %s: %s", name, what,
                       words_of(error));
    if (code == POLYAK_ENV_FAILED)
        return err_set(err, ERR_ENV, "%s: %s failed: %s", name, what, words_of(error));
    return err_set(err, ERR_ENV, "%s: %s failed with the unknown code %d: %s", name, what, code,
                   words_of(error));
}

/* Makes an instance and reads its spec. */
static int make(const PluginKind *kind, const char *name, PolyakEnv **env, Spec *spec, Err *err)
{
    const PolyakEnvApi *api = &kind->library.api;
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    PolyakEnv *made = NULL;
    int code = api->create(kind->options, &made, error);
    if (code == POLYAK_ENV_BAD_OPTIONS)
        return err_set(err, ERR_USAGE, "%.150s: bad options: %s", name, words_of(error));
    if (code != POLYAK_ENV_OK || !made)
        return err_set(err, ERR_ENV, "%.150s cannot be created: %s", name, words_of(error));

    PolyakEnvSpec given = {0};
    error[0] = '\0';
    code = api->spec(made, &given, error);
    if (code != POLYAK_ENV_OK) {
        api->destroy(made);
        return err_set(err, ERR_ENV, "%.150s has no spec: %s", name, words_of(error));
    }
    *spec =
        (Spec){.obs_dim = given.obs_dim, .act_dim = given.act_dim, .step_limit = given.step_limit};
    memcpy(spec->name, given.name, sizeof spec->name);
    memcpy(spec->action_low, given.action_low, sizeof spec->action_low);
    memcpy(spec->action_high, given.action_high, sizeof spec->action_high);
    int rc = spec_check(spec, err);
    if (rc != ERR_OK) {
        api->destroy(made);
        return rc;
    }
    *env = made;
    return ERR_OK;
}

static void plugin_close(void *opaque)
{
    PluginKind *kind = opaque;
    env_library_close(&kind->library);
    free(kind->options);
    free(kind);
}

int env_plugin_open(EnvLibrary *library, const char *name, const char *options, void **kind,
                    Spec *spec, Err *err)
{
    PluginKind *made = calloc(1, sizeof *made);
    if (!made) {
        env_library_close(library);
        return err_set(err, ERR_NOMEM, "no memory for environment %.100s", name);
    }
    made->library = *library;
    *library = (EnvLibrary){0};
    made->options = strdup(options ? options : "");
    PolyakEnv *probe = NULL;
    int rc = made->options ? make(made, name, &probe, &made->spec, err)
                           : err_set(err, ERR_NOMEM, "no memory for environment options");
    if (rc != ERR_OK) {
        plugin_close(made);
        return rc;
    }
    made->library.api.destroy(probe);
    *spec = made->spec;
    *kind = made;
    return ERR_OK;
}

static int plugin_create(void *opaque, void **instance, Err *err)
{
    const PluginKind *kind = opaque;
    Plugin *plugin =
        calloc(1, sizeof *plugin + (size_t)kind->spec.act_dim * sizeof plugin->action[0]);
    if (!plugin)
        return err_set(err, ERR_NOMEM, "no memory for environment %s", kind->spec.name);
    Spec spec;
    int rc = make(kind, kind->spec.name, &plugin->env, &spec, err);
    if (rc == ERR_OK && !spec_equal(&spec, &kind->spec)) {
        kind->library.api.destroy(plugin->env);
        rc = err_set(err, ERR_ENV, "%s: two instances with equal options have different specs",
                     kind->spec.name);
    }
    if (rc != ERR_OK) {
        free(plugin);
        return rc;
    }
    plugin->kind = kind;
    *instance = plugin;
    return ERR_OK;
}

static void plugin_destroy(void *instance)
{
    Plugin *plugin = instance;
    plugin->kind->library.api.destroy(plugin->env);
    free(plugin);
}

static int plugin_reset_begin(void *instance, uint64_t seed, Err *err)
{
    Plugin *plugin = instance;
    plugin->is_reset = true;
    plugin->seed = seed;
    (void)err;
    return ERR_OK;
}

static int plugin_step_begin(void *instance, const float *action, Err *err)
{
    Plugin *plugin = instance;
    plugin->is_reset = false;
    memcpy(plugin->action, action, (size_t)plugin->kind->spec.act_dim * sizeof *action);
    (void)err;
    return ERR_OK;
}

static int plugin_finish(void *instance, int timeout_ms, float *obs, PolyakEnvResult *result,
                         EnvFault *fault, Err *err)
{
    Plugin *plugin = instance;
    const PolyakEnvApi *api = &plugin->kind->library.api;
    char error[POLYAK_ENV_ERROR_BYTES];
    error[0] = '\0';
    (void)timeout_ms;
    int code = plugin->is_reset ? api->reset(plugin->env, plugin->seed, obs, error)
                                : api->step(plugin->env, plugin->action, obs, result, error);
    if (code == POLYAK_ENV_OK)
        return ERR_OK;
    *fault = ENV_FAULT_DIVERGED;
    return failure(plugin->kind, plugin->is_reset ? "reset" : "step", code, error, err);
}

static size_t plugin_state_bytes(const void *instance)
{
    const Plugin *plugin = instance;
    const PolyakEnvApi *api = &plugin->kind->library.api;
    return api->state_bytes ? api->state_bytes(plugin->env) : 0;
}

static int plugin_state_get(void *instance, void *state, Err *err)
{
    Plugin *plugin = instance;
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    int code = plugin->kind->library.api.state_get(plugin->env, state, error);
    return code == POLYAK_ENV_OK ? ERR_OK : failure(plugin->kind, "state_get", code, error, err);
}

static int plugin_state_set(void *instance, const void *state, float *obs, Err *err)
{
    Plugin *plugin = instance;
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    int code = plugin->kind->library.api.state_set(plugin->env, state, obs, error);
    return code == POLYAK_ENV_OK ? ERR_OK : failure(plugin->kind, "state_set", code, error, err);
}

static int plugin_render(void *instance, uint8_t *rgb, int width, int height, Err *err)
{
    Plugin *plugin = instance;
    const PolyakEnvApi *api = &plugin->kind->library.api;
    if (!api->render)
        return err_set(err, ERR_MISSING, "%s has no picture", plugin->kind->spec.name);
    char error[POLYAK_ENV_ERROR_BYTES] = "";
    int code = api->render(plugin->env, rgb, width, height, error);
    return code == POLYAK_ENV_OK ? ERR_OK : failure(plugin->kind, "render", code, error, err);
}

static double plugin_step_seconds(const void *instance)
{
    const Plugin *plugin = instance;
    const PolyakEnvApi *api = &plugin->kind->library.api;
    return api->step_seconds ? api->step_seconds(plugin->env) : 0.0;
}

const EnvBackend env_plugin_backend = {
    .close = plugin_close,
    .create = plugin_create,
    .destroy = plugin_destroy,
    .reset_begin = plugin_reset_begin,
    .step_begin = plugin_step_begin,
    .finish = plugin_finish,
    .state_bytes = plugin_state_bytes,
    .state_get = plugin_state_get,
    .state_set = plugin_state_set,
    .render = plugin_render,
    .step_seconds = plugin_step_seconds,
};
