/* Presets: values of keys that suit an environment, and the shapes of those environments, so that a
 * learner that is told --env knows its dimensions before the first actor comes.
 *
 * A constant table. A preset is chosen by the name of the environment's spec. One that lives
 * elsewhere (mujoco:TASK, gymnasium:ID) ends its name with ":" and 8 hexadecimal digits where
 * options change it; it has the same preset, but its shapes may be others. A task that a file makes
 * (mujoco:./robot.xml) always ends so, and has no preset. */
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
    const char *also; /* a second name with the same preset; NULL: none */
    int obs_dim;      /* without options */
    int act_dim;
    const PresetValue *base; /* shared with others; NULL: nothing. `values` wins over it */
    PresetValue values[PRESET_VALUES_MAX + 1]; /* ends with a NULL key */
} Preset;

/* NULL when there is no preset for this environment. */
const Preset *preset_find(const char *env_name);

/* The values of a preset one by one, from 0, each key once; NULL after the last. */
const PresetValue *preset_value(const Preset *preset, int number);

/* Whether an environment that calls itself env_name may be the one that `asked` (a value of --env)
 * names, as far as names tell: without a preset they tell nothing. */
bool preset_is_of(const char *asked, bool with_options, const char *env_name);

/* Whether a name without a preset can be an environment: one that lives elsewhere, or the path of a
 * plugin. */
bool presets_allow(const char *env_name);

/* The file that a name stands for, a plugin or a model of mujoco:, within env_name; NULL: it is no
 * file. Such a file may move while a run stays the same. */
const char *presets_file(const char *env_name);

/* The built-in environments, which all have a preset, as "a, b, c". Only for the main thread. */
const char *presets_names(void);

/* The presets one by one, from 0; NULL after the last. */
const Preset *preset_at(int number);

#endif
