/* docs/config.md: the table of keys, and the presets, for people. */
#include <string.h>

#include "common/config/config_table.h"
#include "common/config/presets.h"

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "This page is generated from `common/config/config_keys.def` and `common/config/presets.c`; a "
    "test compares\n"
    "it with them.\n"
    "\n"
    "A key `total_env_steps` is the flag `--total-env-steps` and the line `total_env_steps: "
    "20000`\n"
    "of a YAML file that `--config FILE` names. Flags are written `--key=value` or `--key value`,\n"
    "always with the whole name; a boolean may stand alone (`--sync`) or have a value\n"
    "(`--sync=false`). When a flag is repeated, the last one wins. Unknown keys and flags are\n"
    "errors.\n"
    "\n"
    "A value comes from the highest source that has one: flag, `--config` file, the run that is\n"
    "resumed, the preset of the environment, the default. The effective configuration of a run is\n"
    "stored in `config.yaml` of its run directory, with the source of every value; the file can "
    "be\n"
    "given to `--config` again.\n"
    "\n"
    "## Types\n"
    "\n"
    "| type | is written as |\n"
    "|---|---|\n"
    "| whole number | `20000`, or with a positive exponent, `2e4` |\n"
    "| number | `0.001` or `1e-3` |\n"
    "| boolean | `true` or `false` |\n"
    "| text | UTF-8 without control characters, at most 1,023 bytes |\n"
    "| choice | one of the words listed |\n"
    "| sizes | 1 to 8 widths in 1…8192: `400,300`; in YAML also `[400, 300]` |\n"
    "| capacity | steps (`1000000`) or bytes (`4GiB`; units B, KiB, MiB, GiB) |\n"
    "\n"
    "## Resuming a run\n"
    "\n"
    "The last column of the tables says what `--resume` does with a key:\n"
    "\n"
    "- **fixed**: part of what is learned. The run keeps its value, and a flag or file that says\n"
    "  something else is refused. Only `env` may become another path of a plugin, which has to be\n"
    "  the same environment.\n"
    "- **may change**: the run keeps its value unless a flag or file gives another one.\n"
    "- **live**: the same, and `polyak set` changes it while the run goes on.\n"
    "- **local**: says where and how a program runs. It is not stored.\n"
    "\n"
    "## What cannot go together\n"
    "\n"
    "- `warmup_env_steps` must be below `total_env_steps`, and `batch` not above it: nothing "
    "would\n"
    "  be learned.\n"
    "- `replay_capacity` in steps must hold a batch and a segment of `segment_steps`.\n"
    "- `ou_theta` x `ou_dt` must not be above 2 with `noise: ou`: the noise would grow for ever.\n"
    "- `publish_interval_ms` must not be above `policy_age_s_max` (unless that is 0): every actor\n"
    "  would pause before new weights come.\n";

static const char *type_name(ConfigType type)
{
    switch (type) {
    case CONFIG_TYPE_INT:
        return "whole number";
    case CONFIG_TYPE_REAL:
        return "number";
    case CONFIG_TYPE_BOOL:
        return "boolean";
    case CONFIG_TYPE_TEXT:
        return "text";
    case CONFIG_TYPE_CHOICE:
        return "choice";
    case CONFIG_TYPE_SIZES:
        return "sizes";
    case CONFIG_TYPE_CAPACITY:
        return "capacity";
    }
    return "";
}

static const char *trait_name(ConfigTrait trait)
{
    switch (trait) {
    case CONFIG_TRAIT_RUN:
        return "fixed";
    case CONFIG_TRAIT_TUNABLE:
        return "may change";
    case CONFIG_TRAIT_LIVE:
        return "live";
    case CONFIG_TRAIT_LOCAL:
        return "local";
    }
    return "";
}

/* Prints text as a cell: a bar would end it. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputs(" | ", out);
}

static void print_key(FILE *out, const ConfigKey *key)
{
    ConfigValue value;
    char text[CONFIG_VALUE_TEXT_BYTES];
    char range[CONFIG_LABEL_BYTES];
    char names[160];
    config_value_default(key, &value);
    config_value_format(key, &value, text);
    fprintf(out, "| `%s` | %s | %s%s%s | ", key->name, type_name(key->type), text[0] ? "`" : "",
            text, text[0] ? "`" : "");
    print_cell(out, config_key_range(key, range, sizeof range));
    print_cell(out, key->unit);
    print_cell(out, key->help);
    print_cell(out, config_program_names(key->programs, names, sizeof names));
    fprintf(out, "%s |\n", trait_name(key->trait));
}

static void print_keys(FILE *out)
{
    const char *group = "";
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        if (strcmp(group, config_key_group(key)) != 0) {
            group = config_key_group(key);
            fprintf(out,
                    "\n## %s\n"
                    "\n"
                    "| key | type | default | range | unit | meaning | programs | on resume |\n"
                    "|---|---|---|---|---|---|---|---|\n",
                    group);
        }
        print_key(out, key);
    }
}

static void print_values(FILE *out, const PresetValue *values)
{
    fputs("| key | value |\n|---|---|\n", out);
    for (; values->key; values++)
        fprintf(out, "| `%s` | `%s` |\n", values->key, values->text);
}

static void print_preset(FILE *out, const Preset *preset)
{
    fprintf(out, "\n### %s\n\n", preset->env);
    if (preset->also)
        fprintf(out, "Also for `%s`. ", preset->also);
    fprintf(out, "obs_dim %d, act_dim %d.\n\n", preset->obs_dim, preset->act_dim);
    print_values(out, preset->values);
}

/* The presets with the same base as `first`, in one table: most differ in their shapes only. */
static void print_family(FILE *out, int first)
{
    const Preset *preset = preset_at(first);
    const PresetValue *base = preset->base;
    fputs("\n### MuJoCo tasks\n\n", out);
    print_values(out, base);
    fputs("\n| environment | also | obs_dim | act_dim | what differs |\n|---|---|---|---|---|\n",
          out);
    for (int i = first; (preset = preset_at(i)); i++) {
        if (preset->base != base)
            continue;
        fprintf(out, "| `%s` | `%s` | %d | %d |", preset->env, preset->also, preset->obs_dim,
                preset->act_dim);
        for (const PresetValue *value = preset->values; value->key; value++)
            fprintf(out, " `%s` `%s`%s", value->key, value->text, value[1].key ? "," : "");
        fputs(" |\n", out);
    }
}

static void print_presets(FILE *out)
{
    fputs(
        "\n## Presets\n"
        "\n"
        "A preset is applied when the environment has exactly this name; a MuJoCo task or one of\n"
        "Gymnasium also with changed options. Keys that it does not name keep their defaults.\n",
        out);
    const Preset *preset;
    int family = -1;
    for (int i = 0; (preset = preset_at(i)); i++) {
        if (!preset->base)
            print_preset(out, preset);
        else if (family < 0)
            family = i;
    }
    if (family >= 0)
        print_family(out, family);
}

void config_write_docs(FILE *out)
{
    fputs(introduction, out);
    print_keys(out);
    print_presets(out);
}
