/* The table of keys as data, and the values that a key can have. For config*.c only; everybody else
 * uses config.h.
 *
 * The table is constant. A key's number is its place in the table, and its place in
 * Config.source. */
#ifndef POLYAK_COMMON_CONFIG_CONFIG_TABLE_H
#define POLYAK_COMMON_CONFIG_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"

typedef enum ConfigType {
    CONFIG_TYPE_INT,
    CONFIG_TYPE_REAL,
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_TEXT,
    CONFIG_TYPE_CHOICE,
    CONFIG_TYPE_SIZES,
    CONFIG_TYPE_CAPACITY,
} ConfigType;

/* What may happen to a key when a run is resumed; see config_keys.def. */
typedef enum ConfigTrait {
    CONFIG_TRAIT_RUN,
    CONFIG_TRAIT_TUNABLE,
    CONFIG_TRAIT_LIVE,
    CONFIG_TRAIT_LOCAL,
} ConfigTrait;

typedef struct ConfigKey {
    const char *name;
    ConfigType type;
    ConfigTrait trait;
    unsigned programs; /* bit set of ConfigProgram */
    const char *unit;  /* "" where there is none */
    const char *help;
    size_t offset; /* of the field in Config */
    size_t size;   /* of the field */
    int line;      /* in config_keys.def: tells its group */
    union {        /* default and range, by type */
        struct {
            int64_t value, min, max;
        } integer;
        struct {
            double value, min, max;
        } real;
        struct {
            int value;
            const char *words; /* "a|b|c", in the enum's order from 0 */
        } choice;
        bool boolean;
        const char *text; /* TEXT, SIZES, CAPACITY */
    };
} ConfigKey;

/* A value of any key; the member is the key's type. */
typedef union ConfigValue {
    int64_t integer;
    double real;
    bool boolean;
    char text[CONFIG_TEXT_MAX + 1];
    int choice;
    ConfigSizes sizes;
    ConfigCapacity capacity;
} ConfigValue;

enum {
    CONFIG_VALUE_TEXT_BYTES = CONFIG_TEXT_MAX + 1, /* holds any formatted value */
    CONFIG_LABEL_BYTES = 64,                       /* holds any key or flag name */
    CONFIG_EXCERPT_BYTES = 48,                     /* of a value, in a message */
};

int config_num_keys(void);
const ConfigKey *config_key_at(int number);
int config_key_number(const ConfigKey *key);

/* NULL when there is none of that name. */
const ConfigKey *config_key_find(const char *name);

/* The group's title; keys of a group follow each other. */
const char *config_key_group(const ConfigKey *key);

/* The nearest name to a wrong one among the keys that a program takes (0: all keys); '-' and '_'
 * are alike. NULL when nothing is near. */
const ConfigKey *config_key_nearest(const char *name, unsigned programs);

/* "--total-env-steps"; writes CONFIG_LABEL_BYTES and returns `out`. */
const char *config_flag_name(const char *key_name, char *out);

/* "polyak-learner, polyak train" for a bit set; returns `out`. */
const char *config_program_names(unsigned wanted, char *out, size_t out_bytes);

/* Parses text as a value of `key`. ERR_USAGE says "label: what is wrong". */
int config_value_parse(const ConfigKey *key, const char *label, const char *text,
                       ConfigValue *value, Err *err);

void config_value_default(const ConfigKey *key, ConfigValue *value);
void config_value_load(const Config *config, const ConfigKey *key, ConfigValue *value);
void config_value_store(Config *config, const ConfigKey *key, const ConfigValue *value);

/* The shortest text that parses to the same value; CONFIG_VALUE_TEXT_BYTES; returns `out`. */
const char *config_value_format(const ConfigKey *key, const ConfigValue *value, char *out);

/* "1…65536", "a|b", or "" where the type says it all; for documents. Returns `out`. */
const char *config_key_range(const ConfigKey *key, char *out, size_t out_bytes);

#endif
