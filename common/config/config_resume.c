/* Going on with a run: what its directory holds, against what a person asks for now. */
#include <stdio.h>
#include <string.h>

#include "common/config/config.h"
#include "common/config/config_table.h"
#include "common/config/presets.h"
#include "common/text.h"

static bool key_equal(const Config *a, const Config *b, const ConfigKey *key)
{
    ConfigValue value;
    char a_text[CONFIG_VALUE_TEXT_BYTES];
    char b_text[CONFIG_VALUE_TEXT_BYTES];
    config_value_load(a, key, &value);
    config_value_format(key, &value, a_text);
    config_value_load(b, key, &value);
    config_value_format(key, &value, b_text);
    return strcmp(a_text, b_text) == 0;
}

static bool may_change(const ConfigKey *key)
{
    return key->trait == CONFIG_TRAIT_TUNABLE || key->trait == CONFIG_TRAIT_LIVE;
}

/* Whether the run goes on with what a person gave now: the same value, or a plugin or model that
 * has moved, or the environment of a run that took it from its actors. */
static bool may_become(const Config *given, const Config *stored, const ConfigKey *key)
{
    if (may_change(key) || key_equal(given, stored, key))
        return true;
    if (strcmp(key->name, "env") != 0)
        return false;
    return stored->env[0] == '\0' || (presets_file(stored->env) && presets_file(given->env));
}

/* Refuses a value that a person gave for a key of the run which has another one. */
static int contradiction(const Config *given, const Config *stored, const ConfigKey *key, Err *err)
{
    ConfigValue value;
    char text[CONFIG_VALUE_TEXT_BYTES];
    char given_excerpt[24];
    char stored_excerpt[24];
    config_value_load(given, key, &value);
    text_excerpt(config_value_format(key, &value, text), given_excerpt, sizeof given_excerpt);
    config_value_load(stored, key, &value);
    text_excerpt(config_value_format(key, &value, text), stored_excerpt, sizeof stored_excerpt);
    return err_set(
        err, ERR_USAGE,
        "%s is \"%s\" in this run and cannot become \"%s\": leave it out, or name another "
        "--run-dir (docs/config.md marks what may change)",
        key->name, stored_excerpt, given_excerpt);
}

int config_resume(Config *config, const char *path, Err *err)
{
    Config stored;
    config_init(&stored);
    int code = config_read_file(&stored, path, CONFIG_STORED, err);
    if (code != ERR_OK)
        return code;
    bool any = false;
    for (int i = 0; i < config_num_keys(); i++)
        any = any || stored.source[i] == CONFIG_STORED;
    if (!any)
        return err_set(err, ERR_FORMAT, "%s holds no configuration of a run", path);

    bool knows_env = stored.source[config_key_number(config_key_find("env"))] == CONFIG_STORED;
    Config resumed = *config;
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        if (key->trait == CONFIG_TRAIT_LOCAL)
            continue;
        bool explicit = config->source[i] > CONFIG_STORED;
        if (explicit && !may_become(config, &stored, key))
            return contradiction(config, &stored, key, err);
        bool open = !knows_env && stored.source[i] != CONFIG_STORED;
        if (explicit || open)
            continue;
        /* A key that the file does not know is younger than the run, which had its default. */
        ConfigValue value;
        config_value_load(&stored, key, &value);
        config_value_store(&resumed, key, &value);
        resumed.source[i] = CONFIG_STORED;
    }
    *config = resumed;
    return ERR_OK;
}
