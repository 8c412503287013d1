/* One environment: opened, reset and drawn once, so that what is said of it is so. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "actor/envs/env_host.h"
#include "cli/envs/envs.h"
#include "cli/film.h"
#include "cli/report.h"
#include "common/config/presets.h"
#include "common/text.h"

enum { PICTURE_SIDE = 64 };

/* What is known of it. */
typedef struct Facts {
    Spec spec;
    double step_s; /* 0: unknown */
    bool has_picture;
    Err no_picture; /* why not */
    bool saves_state;
} Facts;

/* --- The nearest name --------------------------------------------------------------------------
 */

/* Ends in a version, as Gymnasium's do: "-v" and digits. */
static bool has_version(const char *name)
{
    const char *dash = strrchr(name, '-');
    if (!dash || dash[1] != 'v' || !dash[2])
        return false;
    for (const char *digit = dash + 2; *digit; digit++)
        if (!isdigit((unsigned char)*digit))
            return false;
    return true;
}

/* The task of MuJoCo that `task` is nearest to; NULL when none is near. */
static const char *nearest_task(const char *task)
{
    const char *const *tasks = NULL;
    const char *about = NULL;
    const char *nearest = NULL;
    size_t length = strlen(task);
    int best = (int)(length / 3) + 1;
    if (env_mujoco_tasks(&tasks, &about, NULL) != 0)
        return NULL;
    for (int i = 0; tasks[i]; i++) {
        if (length >= 3 && strncasecmp(task, tasks[i], length) == 0)
            return tasks[i];
        int distance = text_distance(task, tasks[i]);
        if (distance < best) {
            best = distance;
            nearest = tasks[i];
        }
    }
    return nearest;
}

/* Where a wrong name is near to one of a scheme, says so instead. */
static int suggest(const char *name, int code, Err *err)
{
    static const char scheme[] = "mujoco:";
    bool schemed = strncmp(name, scheme, strlen(scheme)) == 0;
    if (strlen(name) > CONFIG_NAME_MAX || (strchr(name, ':') && !schemed) || strchr(name, '/'))
        return code;
    const char *task = nearest_task(schemed ? name + strlen(scheme) : name);
    if (task && !(schemed && strcmp(name + strlen(scheme), task) == 0))
        return err_set(
            err, code,
            "unknown environment '%s'; did you mean 'mujoco:%s'? `polyak envs` lists all", name,
            task);
    if (!schemed && has_version(name))
        return err_set(err, code,
                       "unknown environment '%s'; did you mean 'gymnasium:%s'? `polyak envs` lists "
                       "all",
                       name, name);
    return code;
}

/* --- Looking at it -----------------------------------------------------------------------------
 */

static int look(EnvKind *kind, Facts *facts, Err *err)
{
    Env *env = NULL;
    facts->spec = *env_kind_spec(kind);
    float *obs = calloc((size_t)facts->spec.obs_dim, sizeof *obs);
    uint8_t *rgb = calloc((size_t)PICTURE_SIDE * PICTURE_SIDE, 3);
    int code = obs && rgb ? env_new(kind, &env, err)
                          : err_set(err, ERR_NOMEM, "not enough memory for an observation");
    if (!code)
        code = env_reset(env, 1, obs, err);
    if (!code) {
        facts->step_s = env_step_seconds(env);
        facts->saves_state = env_state_bytes(env) > 0;
        facts->has_picture =
            env_render(env, rgb, PICTURE_SIDE, PICTURE_SIDE, &facts->no_picture) == 0;
    }
    env_destroy(&env);
    free(obs);
    free(rgb);
    return code;
}

/* Opens it so that it may draw; where that is what makes it fail, without. */
static int open_and_look(const Config *config, const char *name, Facts *facts, Err *err)
{
    char drawing[CONFIG_TEXT_MAX + 64];
    EnvKind *kind = NULL;
    EnvSetup setup = env_setup(config, 1);
    setup.name = name;
    setup.options = film_env_options(name, config->env_options, drawing, sizeof drawing);
    int code = env_kind_open(&setup, &kind, err);
    bool blind = code && setup.options != config->env_options &&
                 (strstr(err->text, "render_mode") || strstr(err->text, "bad options"));
    if (blind) {
        setup.options = config->env_options;
        code = env_kind_open(&setup, &kind, err);
    }
    if (code == ERR_USAGE && config->env_options[0] == '\0')
        return suggest(name, code, err);
    if (!code)
        code = look(kind, facts, err);
    if (!code && blind) /* the hint would be to ask for what was refused */
        err_set(&facts->no_picture, ERR_MISSING, "%s has no picture", facts->spec.name);
    env_kind_close(&kind);
    return code;
}

/* --- Saying it ---------------------------------------------------------------------------------
 */

static json_t *reals(const float *values, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, report_real((double)values[i]));
    return list;
}

static json_t *preset_json(const Preset *preset)
{
    if (!preset)
        return json_null();
    json_t *json = json_object();
    const PresetValue *value = NULL;
    for (int i = 0; (value = preset_value(preset, i)); i++)
        json_object_set_new(json, value->key, json_string(value->text));
    return json;
}

static json_t *facts_json(const char *name, const Facts *facts)
{
    const Spec *spec = &facts->spec;
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:i, s:o, s:o, s:i, s:o, s:o, s:b, s:b}", "env", name, "name",
                  spec->name, "obs_dim", spec->obs_dim, "act_dim", spec->act_dim, "action_low",
                  reals(spec->action_low, spec->act_dim), "action_high",
                  reals(spec->action_high, spec->act_dim), "step_limit", spec->step_limit, "step_s",
                  facts->step_s > 0 ? json_real(facts->step_s) : json_null(), "preset",
                  preset_json(preset_find(spec->name)), "picture", facts->has_picture,
                  "saves_state", facts->saves_state);
    if (json && !facts->has_picture)
        json_object_set_new(json, "no_picture", json_string(facts->no_picture.text));
    return json;
}

/* Neighbours with equal bounds share a line. */
static void print_bounds(const Spec *spec)
{
    for (int first = 0, i = 1; i <= spec->act_dim; i++) {
        if (i < spec->act_dim && spec->action_low[i] == spec->action_low[first] &&
            spec->action_high[i] == spec->action_high[first])
            continue;
        printf("  %-14s ", first == 0 ? "action bounds" : "");
        if (first > 0 || i < spec->act_dim)
            printf("%d to %d: ", first, i - 1);
        printf("%g … %g\n", (double)spec->action_low[first], (double)spec->action_high[first]);
        first = i;
    }
}

static void print_preset(const Preset *preset)
{
    const PresetValue *value = NULL;
    int column = printf("  %-14s", "preset");
    if (!preset)
        printf(" none: the defaults of `polyak train --help`");
    for (int i = 0; preset && (value = preset_value(preset, i)); i++) {
        if (column > 78)
            column = printf("\n  %-14s", "") - 1;
        column += printf(" %s=%s", value->key, value->text);
    }
    printf("\n");
}

static void print_facts(const char *name, const Config *config, const Facts *facts)
{
    const Spec *spec = &facts->spec;
    char limit[TEXT_NUMBER_BYTES];
    printf("%s\n  %-14s %d\n  %-14s %d\n", spec->name, "obs_dim", spec->obs_dim, "act_dim",
           spec->act_dim);
    print_bounds(spec);
    printf("  %-14s %s\n", "step limit",
           spec->step_limit > 0 ? text_thousands((uint64_t)spec->step_limit, limit) : "none");
    if (facts->step_s > 0)
        printf("  %-14s %g s\n", "a step lasts", facts->step_s);
    print_preset(preset_find(spec->name));
    printf("  %-14s %s%s\n", "picture",
           facts->has_picture ? "yes" : "no: ", facts->has_picture ? "" : facts->no_picture.text);
    printf("  %-14s %s\n", "saves states", facts->saves_state ? "yes" : "no");
    const char *options = env_builtin_options(name);
    if (options)
        printf("  %-14s %s\n", "options", options);
    printf("  %-14s polyak train --env %s", "train it", name);
    if (config->env_options[0] != '\0')
        printf(" --env-options %s", config->env_options);
    if (strncmp(name, "gymnasium:", strlen("gymnasium:")) == 0)
        printf(" --python %s", config->python);
    printf("\n");
}

int envs_show(const Config *config, const char *name, Err *err)
{
    static Facts facts;
    int code = open_and_look(config, name, &facts, err);
    if (code)
        return code;
    if (config->json)
        return report_json(facts_json(name, &facts), err);
    print_facts(name, config, &facts);
    return 0;
}
