/* Changing a key while the run goes on. */
#include <stdio.h>
#include <string.h>

#include "common/config/config.h"
#include "common/config/config_table.h"
#include "common/text.h"

static int refuse(const char *name, Err *err)
{
    char excerpt[CONFIG_EXCERPT_BYTES];
    text_excerpt(name, excerpt, sizeof excerpt);
    return err_set(err, ERR_USAGE,
                   "\"%s\" cannot be set while a run goes on; docs/config.md marks those that can "
                   "as live, such as updates_per_env_step",
                   excerpt);
}

int config_set_live(Config *config, const char *assignment, char name[CONFIG_NAME_MAX + 1],
                    Err *err)
{
    const char *equals = strchr(assignment, '=');
    if (!equals)
        return err_set(err, ERR_USAGE, "write KEY=VALUE, such as updates_per_env_step=0.5");
    snprintf(name, CONFIG_NAME_MAX + 1, "%.*s", (int)(equals - assignment), assignment);
    const ConfigKey *key = config_key_find(name);
    Config changed = *config;
    if (key && key->trait != CONFIG_TRAIT_LIVE)
        return refuse(name, err);
    /* Where there is no such key, this names the nearest one. */
    int code = config_set(&changed, name, equals + 1, CONFIG_FLAG, err);
    if (code == ERR_OK)
        code = config_check(&changed, err);
    if (code == ERR_OK)
        *config = changed;
    return code;
}

void config_get(const Config *config, const char *name, char text[CONFIG_TEXT_MAX + 1])
{
    const ConfigKey *key = config_key_find(name);
    ConfigValue value;
    text[0] = '\0';
    if (!key)
        return;
    config_value_load(config, key, &value);
    config_value_format(key, &value, text);
}
