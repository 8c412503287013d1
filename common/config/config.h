/* The configuration: one struct with a field per key, and one table (config_keys.def) that makes
 * the struct, the flags, the YAML reading, --help and docs/config.md.
 *
 * A value comes from one of several sources, and the higher source wins whatever the order in which
 * they are read: so a preset can be applied after the flags, once the environment is known. A plain
 * value apart from that; the main thread fills it before any other thread starts, and it is
 * constant from then on. */
#ifndef POLYAK_COMMON_CONFIG_CONFIG_H
#define POLYAK_COMMON_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum { CONFIG_TEXT_MAX = 1023, CONFIG_HIDDEN_MAX = 8, CONFIG_NAME_MAX = 63 };

/* Higher wins. */
typedef enum ConfigSource {
    CONFIG_DEFAULT,
    CONFIG_PRESET, /* of the environment */
    CONFIG_STORED, /* of the run directory, on resume */
    CONFIG_FILE,   /* --config FILE */
    CONFIG_FLAG,
} ConfigSource;

/* The programs (and subcommands) that take a key; a bit set. */
typedef enum ConfigProgram {
    CONFIG_LEARNER = 1,
    CONFIG_ACTOR = 2,
    CONFIG_TRAIN = 4,
    CONFIG_EVAL = 8,
    CONFIG_STATUS = 16,
    CONFIG_BENCH = 32,
    CONFIG_OPERATE = 64, /* set, drain */
    CONFIG_RERUN = 128,
    CONFIG_INSPECT = 256,
    CONFIG_ENVS = 512,
    CONFIG_RELAY = 1024,
} ConfigProgram;

typedef enum Noise { NOISE_GAUSSIAN = 0, NOISE_OU = 1 } Noise;
typedef enum ActorRole { ACTOR_ROLE_ACTOR = 0, ACTOR_ROLE_EVALUATOR = 1 } ActorRole;
typedef enum LogKeep { LOG_KEEP_NEEDED = 0, LOG_KEEP_ALL = 1 } LogKeep;
typedef enum LogOnError { LOG_ON_ERROR_CONTINUE = 0, LOG_ON_ERROR_WAIT = 1 } LogOnError;
typedef enum BenchMode {
    BENCH_MODE_PLAIN = 0,
    BENCH_MODE_LOG = 1,
    BENCH_MODE_DISK = 2,
    BENCH_MODE_CURVE = 3,
    BENCH_MODE_STOPPED = 4,
} BenchMode;
typedef enum Progress { PROGRESS_AUTO = 0, PROGRESS_OFF = 1 } Progress;

/* A comma list of layer widths, such as 400,300. */
typedef struct ConfigSizes {
    int count;
    int size[CONFIG_HIDDEN_MAX];
} ConfigSizes;

/* "1000000" is a number of steps, "4GiB" (B, KiB, MiB, GiB) one of bytes; the other one is 0. */
typedef struct ConfigCapacity {
    int64_t steps;
    int64_t bytes;
} ConfigCapacity;

typedef struct Config {
#define KEY_INT(name, value, min, max, unit, traits, programs, help) int64_t name;
#define KEY_REAL(name, value, min, max, unit, traits, programs, help) double name;
#define KEY_BOOL(name, value, traits, programs, help) bool name;
#define KEY_TEXT(name, value, unit, traits, programs, help) char name[CONFIG_TEXT_MAX + 1];
#define KEY_CHOICE(name, type, value, choices, traits, programs, help) type name;
#define KEY_SIZES(name, value, traits, programs, help) ConfigSizes name;
#define KEY_CAPACITY(name, value, traits, programs, help) ConfigCapacity name;
#include "common/config/config_keys.def"
    uint8_t source[128]; /* ConfigSource of each key, in the table's order */
} Config;

/* All keys at their defaults. */
void config_init(Config *config);

/* Sets one key from text; ignored when the key has a value of a higher source. ERR_USAGE names the
 * key, the value, the range, and for an unknown key the nearest known one. */
int config_set(Config *config, const char *key, const char *text, ConfigSource source, Err *err);

/* Reads a YAML mapping of key: value; ERR_USAGE names the file and the line. */
int config_read_file(Config *config, const char *path, ConfigSource source, Err *err);

/* Applies the preset of an environment; does nothing where there is none. */
int config_apply_preset(Config *config, const char *env_name, Err *err);

/* Reads the run directory's file as CONFIG_STORED. A flag or --config value that contradicts a key
 * which must not change on resume is ERR_USAGE; the message says which keys may change. `env` may
 * become another path of a plugin: it is the checkpoint's spec that says whether it fits. In a file
 * without `env`, of config_given_to_yaml(), what is missing stays open. */
int config_resume(Config *config, const char *path, Err *err);

/* Refuses values that are each in range and cannot go together, such as a warm-up that is as long
 * as the run; ERR_USAGE names the keys. For the programs that learn, once all sources are applied.
 */
int config_check(const Config *config, Err *err);

/* Sets a key that may change while the run goes on, from "key=value", and gives its name. ERR_USAGE
 * says where those are that may, or what is wrong with the value; then nothing is changed. */
int config_set_live(Config *config, const char *assignment, char name[CONFIG_NAME_MAX + 1],
                    Err *err);

/* The value of a key as text; empty where there is no such key. */
void config_get(const Config *config, const char *name, char text[CONFIG_TEXT_MAX + 1]);

/* The effective configuration as YAML, in the table's order, with unit and source as comments. Keys
 * that only say where a program runs (run_dir, bind, …) are left out when `run_only`. *text is
 * malloc'ed. */
int config_to_yaml(const Config *config, bool run_only, char **text, Err *err);

/* The same for a run whose environment is not known yet: only what was given or stored, without
 * keys that say where a program runs. The rest is for the environment's preset to say. *text is
 * malloc'ed, and may be empty. */
int config_given_to_yaml(const Config *config, char **text, Err *err);

/* Makes the flags "--key=value" that hand on to `program` all values of `config` from --config and
 * flags that it takes: a NULL-terminated malloc'ed array of malloc'ed strings. */
int config_to_flags(const Config *config, ConfigProgram program, char ***flags, int *num_flags,
                    Err *err);

/* Parses a command line for a program (argp): flags, --config FILE, --help, --version. `name` is
 * what --help calls the program, such as "polyak train"; `doc` is its one-line purpose. --help and
 * --version print to stdout and set *done. ERR_USAGE on bad usage, with one line in err; positional
 * arguments are refused. argv[0] is skipped. */
int config_parse_args(Config *config, ConfigProgram program, const char *name, const char *doc,
                      int argc, char **argv, bool *done, Err *err);

/* Writes docs/config.md: every key with type, default, range, unit, help, and the presets. */
void config_write_docs(FILE *out);

#endif
