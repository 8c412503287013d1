/* The table of all environments: what is built in at once, then what has to be looked for. */
#include <stdio.h>
#include <string.h>

#include "actor/envs/env_host.h"
#include "cli/envs/envs.h"
#include "cli/report.h"
#include "common/text.h"

enum { NAME_COLUMNS = 36, GROUP_COLUMNS = 18, LINE_COLUMNS = 100 };

/* One environment: what it is, or the reason why it cannot be opened. */
static json_t *describe(const char *name)
{
    EnvKind *kind = NULL;
    EnvSetup setup = {.name = name};
    Err err = {""};
    if (env_kind_open(&setup, &kind, &err) != 0)
        return json_pack("{s:s, s:b, s:s}", "env", name, "available", 0, "reason", err.text);
    const Spec *spec = env_kind_spec(kind);
    json_t *env = json_pack("{s:s, s:i, s:i, s:i}", "env", name, "obs_dim", spec->obs_dim,
                            "act_dim", spec->act_dim, "step_limit", spec->step_limit);
    env_kind_close(&kind);
    return env;
}

/* NULL when the environment can be opened. */
static const char *reason_of(const json_t *env)
{
    return json_string_value(json_object_get(env, "reason"));
}

static void print_row(const json_t *env)
{
    char limit[TEXT_NUMBER_BYTES];
    const char *name = json_string_value(json_object_get(env, "env"));
    json_int_t steps = json_integer_value(json_object_get(env, "step_limit"));
    if (reason_of(env)) {
        printf("%-*s not here: %s\n", NAME_COLUMNS, name, reason_of(env));
        return;
    }
    printf("%-*s %5lld %5lld %12s\n", NAME_COLUMNS, name,
           (long long)json_integer_value(json_object_get(env, "obs_dim")),
           (long long)json_integer_value(json_object_get(env, "act_dim")),
           steps > 0 ? text_thousands((uint64_t)steps, limit) : "none");
}

static void print_rows(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        print_row(json_array_get(list, i));
}

static json_t *unavailable(const char *title, const char *reason, bool as_json)
{
    if (!as_json)
        printf("\n%s: not here: %s\n", title, reason);
    return json_pack("{s:b, s:s}", "available", 0, "reason", reason);
}

/* --- The three kinds ---------------------------------------------------------------------------
 */

static json_t *list_builtins(bool as_json)
{
    json_t *list = json_array();
    for (const char *const *name = env_builtin_names(); *name; name++)
        json_array_append_new(list, describe(*name));
    if (!as_json) {
        printf("%-*s %5s %5s %12s\n", NAME_COLUMNS, "environment", "obs", "act", "step limit");
        print_rows(list);
    }
    return list;
}

/* The tasks with what each is; *reason is why none can be opened, NULL when one can. */
static json_t *describe_tasks(const char *const *tasks, const char **reason)
{
    json_t *list = json_array();
    bool one_opens = false;
    for (int i = 0; tasks[i]; i++) {
        char name[SPEC_NAME_MAX + 1];
        snprintf(name, sizeof name, "mujoco:%s", tasks[i]);
        json_t *env = describe(name);
        one_opens = one_opens || !reason_of(env);
        json_array_append_new(list, env);
    }
    *reason = one_opens ? NULL : reason_of(json_array_get(list, 0));
    return list;
}

static json_t *list_mujoco(bool as_json)
{
    const char *const *tasks = NULL;
    const char *about = "", *reason = NULL;
    Err err = {""};
    if (env_mujoco_tasks(&tasks, &about, &err) != 0)
        return unavailable("MuJoCo", err.text, as_json);
    json_t *list = describe_tasks(tasks, &reason);
    if (reason) { /* said once: it is one cause for all */
        json_t *none = unavailable("MuJoCo", reason, as_json);
        json_decref(list);
        return none;
    }
    if (!as_json) {
        printf("\n%s, or a model of your own: mujoco:./robot.xml (docs/mujoco.md)\n", about);
        print_rows(list);
    }
    return json_pack("{s:b, s:s, s:o}", "available", 1, "about", about, "environments", list);
}

/* The names of a group, in lines of a bearable length. */
static void print_group(const char *name, const json_t *group)
{
    const char *lacks = json_string_value(json_object_get(group, "lacks"));
    const json_t *ids = json_object_get(group, "environments");
    int column = printf("  %-*s", GROUP_COLUMNS, name);
    if (lacks) {
        printf(" %zu, without the Python package %s that they need\n", json_array_size(ids), lacks);
        return;
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (column + (int)strlen(id) >= LINE_COLUMNS && i > 0)
            column = printf("\n  %-*s", GROUP_COLUMNS, "") - 1;
        column += printf(" %s", id);
    }
    printf("\n");
}

static json_t *list_gymnasium(const Config *config)
{
    json_t *registry = NULL;
    Err err = {""};
    fflush(stdout); /* Python takes a second; what there is can be read meanwhile */
    if (gymnasium_registry(config, &registry, &err) != 0)
        return unavailable("Gymnasium", err.text, config->json);
    json_object_set_new(registry, "available", json_true());
    if (config->json)
        return registry;
    printf("\nGymnasium %s of %s. What has Box observations and Box actions fits;\n"
           "`polyak envs gymnasium:ID` says it of one.\n",
           json_string_value(json_object_get(registry, "version")),
           json_string_value(json_object_get(registry, "python")));
    json_t *groups = json_object_get(registry, "groups");
    for (void *at = json_object_iter(groups); at; at = json_object_iter_next(groups, at))
        print_group(json_object_iter_key(at), json_object_iter_value(at));
    return registry;
}

int envs_list(const Config *config, Err *err)
{
    json_t *all = json_object();
    json_object_set_new(all, "builtin", list_builtins(config->json));
    json_object_set_new(all, "mujoco", list_mujoco(config->json));
    json_object_set_new(all, "gymnasium", list_gymnasium(config));
    if (config->json)
        return report_json(all, err);
    json_decref(all);
    printf("\nAnd your own: the path of a plugin, such as ./mine.so (docs/environments.md).\n"
           "`polyak envs NAME` shows more of one.\n");
    return 0;
}
