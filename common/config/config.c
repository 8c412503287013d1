/* What the configuration means: sources and their order, presets, handing on, and what cannot go
 * together. */
#include "common/config/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config_table.h"
#include "common/config/presets.h"
#include "common/text.h"

void config_init(Config *config)
{
    memset(config, 0, sizeof *config);
    for (int i = 0; i < config_num_keys(); i++) {
        ConfigValue value;
        config_value_default(config_key_at(i), &value);
        config_value_store(config, config_key_at(i), &value);
    }
}

static int unknown_key(const char *name, Err *err)
{
    char excerpt[CONFIG_EXCERPT_BYTES];
    text_excerpt(name, excerpt, sizeof excerpt);
    const ConfigKey *nearest = config_key_nearest(name, 0);
    if (nearest)
        return err_set(err, ERR_USAGE, "unknown key %s; did you mean %s?", excerpt, nearest->name);
    return err_set(err, ERR_USAGE, "unknown key %s", excerpt);
}

int config_set(Config *config, const char *key_name, const char *text, ConfigSource source,
               Err *err)
{
    const ConfigKey *key = config_key_find(key_name);
    if (!key)
        return unknown_key(key_name, err);
    char flag[CONFIG_LABEL_BYTES];
    const char *label = source == CONFIG_FLAG ? config_flag_name(key->name, flag) : key->name;
    ConfigValue value;
    int code = config_value_parse(key, label, text, &value, err);
    if (code != ERR_OK)
        return code;
    uint8_t *key_source = &config->source[config_key_number(key)];
    if (*key_source <= source) {
        config_value_store(config, key, &value);
        *key_source = (uint8_t)source;
    }
    return ERR_OK;
}

int config_apply_preset(Config *config, const char *env_name, Err *err)
{
    const Preset *preset = preset_find(env_name);
    if (!preset)
        return ERR_OK;
    const PresetValue *value;
    for (int i = 0; (value = preset_value(preset, i)); i++) {
        int code = config_set(config, value->key, value->text, CONFIG_PRESET, err);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

int config_check(const Config *config, Err *err)
{
    int64_t batch = config->batch;
    int64_t total = config->total_env_steps;
    int64_t capacity = config->replay_capacity.steps; /* 0: given in bytes */
    if (config->warmup_env_steps >= total)
        return err_set(err, ERR_USAGE,
                       "warmup_env_steps (%" PRId64 ") must be below total_env_steps (%" PRId64
                       "): nothing would be learned",
                       config->warmup_env_steps, total);
    if (batch > total)
        return err_set(err, ERR_USAGE,
                       "batch (%" PRId64 ") must not be above total_env_steps (%" PRId64
                       "): nothing would be learned",
                       batch, total);
    if (capacity > 0 && capacity < batch)
        return err_set(err, ERR_USAGE,
                       "replay_capacity (%" PRId64 " steps) must hold a batch (%" PRId64 ")",
                       capacity, batch);
    if (capacity > 0 && capacity < config->segment_steps)
        return err_set(err, ERR_USAGE,
                       "replay_capacity (%" PRId64
                       " steps) must hold a segment (segment_steps %" PRId64 ")",
                       capacity, config->segment_steps);
    if (config->sync && config->updates_per_env_step == 0)
        return err_set(
            err, ERR_USAGE,
            "sync needs updates_per_env_step above 0: lockstep has no free-running sides");
    if (config->noise == NOISE_OU && config->ou_theta * config->ou_dt > 2)
        return err_set(err, ERR_USAGE,
                       "ou_theta x ou_dt (%g) must not be above 2: the noise would grow for ever",
                       config->ou_theta * config->ou_dt);
    if (config->policy_age_s_max > 0 &&
        config->policy_age_s_max * 1000 < config->publish_interval_ms)
        return err_set(err, ERR_USAGE,
                       "publish_interval_ms (%" PRId64
                       ") must not be above policy_age_s_max (%" PRId64
                       " s): every actor would pause before new weights come",
                       config->publish_interval_ms, config->policy_age_s_max);
    return ERR_OK;
}

static void free_flags(char **flags)
{
    for (char **flag = flags; *flag; flag++)
        free(*flag);
    free(flags);
}

int config_to_flags(const Config *config, ConfigProgram program, char ***flags, int *num_flags,
                    Err *err)
{
    *flags = NULL;
    *num_flags = 0;
    char **made = calloc((size_t)config_num_keys() + 1, sizeof *made);
    if (!made)
        return err_set(err, ERR_NOMEM, "no memory for the flags of a child process");
    int count = 0;
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        if (config->source[i] < CONFIG_FILE || !(key->programs & (unsigned)program))
            continue;
        ConfigValue value;
        char text[CONFIG_VALUE_TEXT_BYTES];
        char flag[CONFIG_LABEL_BYTES];
        config_value_load(config, key, &value);
        config_value_format(key, &value, text);
        if (asprintf(&made[count], "%s=%s", config_flag_name(key->name, flag), text) < 0) {
            made[count] = NULL;
            free_flags(made);
            return err_set(err, ERR_NOMEM, "no memory for the flags of a child process");
        }
        count++;
    }
    *flags = made;
    *num_flags = count;
    return ERR_OK;
}
