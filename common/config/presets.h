/* Presets: values of keys that suit an environment, and the shapes of the built-in ones, so that a
 * learner that is told --env knows its dimensions before the first actor comes.
 *
 * A constant table. A preset is chosen by the exact name of the environment's spec. */
#ifndef POLYAK_COMMON_CONFIG_PRESETS_H
#define POLYAK_COMMON_CONFIG_PRESETS_H

#include <stdbool.h>

enum { PRESET_VALUES_MAX = 24 };

typedef struct PresetValue {
    const char *key;
    const char *text; /* as config_set() takes it */
} PresetValue;

typedef struct Preset {
    const char *env;
    int obs_dim;
    int act_dim;
    PresetValue values[PRESET_VALUES_MAX + 1]; /* ends with a NULL key */
} Preset;

/* NULL when there is no preset for this environment. */
const Preset *preset_find(const char *env_name);

/* Whether a name without a preset can be an environment: the path of a plugin. */
bool presets_allow(const char *env_name);

/* The environments with a preset, as "a, b, c". Only for the main thread. */
const char *presets_names(void);

/* The presets one by one, from 0; NULL after the last. */
const Preset *preset_at(int number);

#endif
