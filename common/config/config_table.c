#include "common/config/config_table.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/text.h"

/* What every row has, whatever its type. */
#define ROW(name_, type_, unit_, traits_, programs_, help_)                                        \
    .name = #name_, .type = type_, .trait = CONFIG_TRAIT_##traits_, .programs = (programs_),       \
    .unit = unit_, .help = help_, .offset = offsetof(Config, name_),                               \
    .size = sizeof(((Config *)NULL)->name_), .line = __LINE__

static const ConfigKey table[] = {
#define KEY_INT(name_, value_, min_, max_, unit_, traits_, programs_, help_)                       \
    {ROW(name_, CONFIG_TYPE_INT, unit_, traits_, programs_, help_),                                \
     .integer = {value_, min_, max_}},
#define KEY_REAL(name_, value_, min_, max_, unit_, traits_, programs_, help_)                      \
    {ROW(name_, CONFIG_TYPE_REAL, unit_, traits_, programs_, help_), .real = {value_, min_, max_}},
#define KEY_BOOL(name_, value_, traits_, programs_, help_)                                         \
    {ROW(name_, CONFIG_TYPE_BOOL, "", traits_, programs_, help_), .boolean = value_},
#define KEY_TEXT(name_, value_, unit_, traits_, programs_, help_)                                  \
    {ROW(name_, CONFIG_TYPE_TEXT, unit_, traits_, programs_, help_), .text = value_},
#define KEY_CHOICE(name_, type_, value_, words_, traits_, programs_, help_)                        \
    {ROW(name_, CONFIG_TYPE_CHOICE, "", traits_, programs_, help_), .choice = {value_, words_}},
#define KEY_SIZES(name_, value_, traits_, programs_, help_)                                        \
    {ROW(name_, CONFIG_TYPE_SIZES, "units", traits_, programs_, help_), .text = value_},
#define KEY_CAPACITY(name_, value_, traits_, programs_, help_)                                     \
    {ROW(name_, CONFIG_TYPE_CAPACITY, "steps or bytes", traits_, programs_, help_), .text = value_},
#include "common/config/config_keys.def"
};

/* A group begins at its line of config_keys.def. */
static const struct {
    const char *title;
    int line;
} groups[] = {
#define KEY_GROUP(title_) {title_, __LINE__},
#include "common/config/config_keys.def"
};

static const struct {
    ConfigProgram program;
    const char *name;
} programs[] = {
    {CONFIG_LEARNER, "polyak-learner"},
    {CONFIG_ACTOR, "polyak-actor"},
    {CONFIG_TRAIN, "polyak train"},
    {CONFIG_EVAL, "polyak eval"},
    {CONFIG_STATUS, "polyak status"},
    {CONFIG_BENCH, "polyak bench"},
    {CONFIG_OPERATE, "polyak set, polyak drain"},
    {CONFIG_RERUN, "polyak rerun"},
    {CONFIG_INSPECT, "polyak inspect"},
    {CONFIG_ENVS, "polyak envs"},
    {CONFIG_RELAY, "polyak-relay"},
};

enum {
    NUM_KEYS = sizeof table / sizeof table[0],
    NUM_GROUPS = sizeof groups / sizeof groups[0],
    NUM_PROGRAMS = sizeof programs / sizeof programs[0],
};

_Static_assert(NUM_KEYS <= sizeof((Config *)NULL)->source, "Config.source is too short");

int config_num_keys(void)
{
    return NUM_KEYS;
}

const ConfigKey *config_key_at(int number)
{
    CHECK(number >= 0 && number < NUM_KEYS);
    return &table[number];
}

int config_key_number(const ConfigKey *key)
{
    return (int)(key - table);
}

const ConfigKey *config_key_find(const char *name)
{
    for (int i = 0; i < NUM_KEYS; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

const char *config_key_group(const ConfigKey *key)
{
    const char *title = "";
    for (int i = 0; i < NUM_GROUPS && groups[i].line < key->line; i++)
        title = groups[i].title;
    return title;
}

/* Copies a name with '_' for '-'; longer names are cut, and so are far from all keys. */
static void normalize(const char *name, char out[TEXT_DISTANCE_MAX])
{
    snprintf(out, TEXT_DISTANCE_MAX, "%s", name);
    for (char *c = out; *c; c++) {
        if (*c == '-')
            *c = '_';
    }
}

/* Whether `longer` is `shorter` with more words before or more letters after it, as "batchsize" and
 * "actor_lr" are to "batch" and "lr". */
static bool name_extends(const char *longer, const char *shorter)
{
    size_t long_length = strlen(longer);
    size_t short_length = strlen(shorter);
    if (short_length < 2 || long_length <= short_length)
        return false;
    if (strncmp(longer, shorter, short_length) == 0)
        return true;
    size_t at = long_length - short_length;
    return longer[at - 1] == '_' && strcmp(longer + at, shorter) == 0;
}

const ConfigKey *config_key_nearest(const char *name, unsigned programs_wanted)
{
    char given[TEXT_DISTANCE_MAX];
    normalize(name, given);
    int limit = (int)strlen(given) / 3;
    if (limit < 1)
        limit = 1;
    const ConfigKey *nearest = NULL;
    int nearest_distance = INT_MAX;
    for (int i = 0; i < NUM_KEYS; i++) {
        const ConfigKey *key = &table[i];
        if (programs_wanted != 0 && !(key->programs & programs_wanted))
            continue;
        int distance = text_distance(given, key->name);
        bool near = distance <= limit && distance < (int)strlen(key->name);
        if (!near && !name_extends(given, key->name) && !name_extends(key->name, given))
            continue;
        if (distance < nearest_distance) {
            nearest = key;
            nearest_distance = distance;
        }
    }
    return nearest;
}

const char *config_flag_name(const char *key_name, char *out)
{
    snprintf(out, CONFIG_LABEL_BYTES, "--%s", key_name);
    for (char *c = out; *c; c++) {
        if (*c == '_')
            *c = '-';
    }
    return out;
}

const char *config_program_names(unsigned wanted, char *out, size_t out_bytes)
{
    CHECK(out_bytes > 0);
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < NUM_PROGRAMS; i++) {
        if (!(wanted & programs[i].program) || used >= out_bytes)
            continue;
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? ", " : "",
                                 programs[i].name);
    }
    return out;
}
