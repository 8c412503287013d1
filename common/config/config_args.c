/* The command line: glibc argp with options made from the table of keys.
 *
 * argp reads the flags and lays out --help. It would also take abbreviations, and print messages of
 * its own; so check_names() looks at every word first and leaves argp nothing to complain of. */
#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config_table.h"
#include "common/config/presets.h"
#include "common/text.h"

enum {
    OPTION_KEY_FIRST = 256, /* argp takes smaller numbers as short options */
    OPTION_CONFIG = 1000,
    OPTION_HELP,
    OPTION_VERSION,
    NAME_BYTES = 128,
};

/* Flags that are no keys. */
static const char *const own_flags[] = {"config", "help", "version"};

typedef struct Args {
    Config *config;
    ConfigProgram program;
    const char *name; /* of the program */
    Err *err;
} Args;

static bool is_own_flag(const char *name)
{
    for (size_t i = 0; i < sizeof own_flags / sizeof own_flags[0]; i++) {
        if (strcmp(own_flags[i], name) == 0)
            return true;
    }
    return false;
}

/* The key of a flag's name, which has '-' where the key has '_'. NULL when there is none. */
static const ConfigKey *find_flag(const char *name)
{
    char key_name[NAME_BYTES];
    size_t length = strlen(name);
    if (strchr(name, '_') || length >= sizeof key_name)
        return NULL;
    memcpy(key_name, name, length + 1);
    for (char *c = key_name; *c; c++) {
        if (*c == '-')
            *c = '_';
    }
    return config_key_find(key_name);
}

static int unknown_flag(const Args *args, const char *word, const char *name)
{
    char excerpt[CONFIG_EXCERPT_BYTES];
    text_excerpt(word, excerpt, sizeof excerpt);
    excerpt[strcspn(excerpt, "=")] = '\0';
    char nearest[CONFIG_LABEL_BYTES] = "";
    const ConfigKey *key = config_key_nearest(name, (unsigned)args->program);
    if (key)
        config_flag_name(key->name, nearest);
    for (size_t i = 0; i < sizeof own_flags / sizeof own_flags[0]; i++) {
        int distance = text_distance(name, own_flags[i]);
        if (distance <= 2 && (!key || distance < text_distance(name, nearest + 2)))
            config_flag_name(own_flags[i], nearest);
    }
    if (nearest[0])
        return err_set(args->err, ERR_USAGE, "unknown flag %s; did you mean %s?", excerpt, nearest);
    return err_set(args->err, ERR_USAGE, "unknown flag %s; %s --help lists all", excerpt,
                   args->name);
}

static int other_programs_flag(const Args *args, const ConfigKey *key)
{
    char flag[CONFIG_LABEL_BYTES];
    char names[160];
    return err_set(args->err, ERR_USAGE, "%s is a flag of %s, not of %s",
                   config_flag_name(key->name, flag),
                   config_program_names(key->programs, names, sizeof names), args->name);
}

static int positional(const Args *args, const char *word, const char *word_before)
{
    char excerpt[CONFIG_EXCERPT_BYTES];
    text_excerpt(word, excerpt, sizeof excerpt);
    const ConfigKey *before = NULL;
    if (word_before && strncmp(word_before, "--", 2) == 0)
        before = find_flag(word_before + 2);
    if (before && before->type == CONFIG_TYPE_BOOL)
        return err_set(args->err, ERR_USAGE, "unexpected \"%s\"; did you mean %s=%s?", excerpt,
                       word_before, excerpt);
    return err_set(args->err, ERR_USAGE,
                   "unexpected \"%s\"; values belong to a flag, as in "
                   "--key=value",
                   excerpt);
}

/* Checks one flag and its value, and moves *i to its last word. */
static int check_flag(const Args *args, int argc, char **argv, int *i, bool *takes_config)
{
    const char *word = argv[*i];
    const char *equals = strchr(word, '=');
    char name[NAME_BYTES] = "";
    size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    if (length < sizeof name)
        memcpy(name, word + 2, length);
    const ConfigKey *key = find_flag(name);
    bool own = is_own_flag(name);
    if (!key && !own)
        return unknown_flag(args, word, name);
    if (key && !(key->programs & (unsigned)args->program))
        return other_programs_flag(args, key);

    bool optional = key && key->type == CONFIG_TYPE_BOOL;
    *takes_config = own && strcmp(name, "config") == 0;
    bool takes_none = own && !*takes_config;
    if (takes_none && equals)
        return err_set(args->err, ERR_USAGE, "--%s takes no value", name);
    if (equals || optional || takes_none)
        return ERR_OK;
    if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
        return err_set(args->err, ERR_USAGE, "--%s needs a value", name);
    ++*i;
    return ERR_OK;
}

/* Checks all words up to --help or --version, which is returned in *question. */
static int check_names(const Args *args, int argc, char **argv, int *question)
{
    int num_configs = 0;
    const char *word_before = NULL;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || word[1] == '\0')
            return positional(args, word, word_before);
        if (word[1] != '-')
            return unknown_flag(args, word, word + 1);
        if (word[2] == '\0')
            return err_set(args->err, ERR_USAGE, "unexpected \"--\"; there are flags only");
        if (strcmp(word, "--help") == 0 || strcmp(word, "--version") == 0) {
            *question = word[2] == 'h' ? OPTION_HELP : OPTION_VERSION;
            return ERR_OK;
        }
        bool takes_config = false;
        int code = check_flag(args, argc, argv, &i, &takes_config);
        if (code != ERR_OK)
            return code;
        num_configs += takes_config;
        if (num_configs > 1)
            return err_set(args->err, ERR_USAGE, "--config may be given once");
        word_before = argv[i];
    }
    return ERR_OK;
}

/* argp wants an errno; the code of ours and its message are in err already, so any will do. */
static error_t parse_option(int option, char *value, struct argp_state *state)
{
    Args *args = state->input;
    int code;
    if (option == OPTION_CONFIG) {
        code = config_read_file(args->config, value, CONFIG_FILE, args->err);
    } else if (option >= OPTION_KEY_FIRST && option < OPTION_KEY_FIRST + config_num_keys()) {
        const ConfigKey *key = config_key_at(option - OPTION_KEY_FIRST);
        /* Only a boolean may come without a value. */
        code = config_set(args->config, key->name, value ? value : "true", CONFIG_FLAG, args->err);
    } else {
        return ARGP_ERR_UNKNOWN;
    }
    return code == ERR_OK ? 0 : EINVAL;
}

static const char *placeholder(const ConfigKey *key)
{
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return "N";
    case CONFIG_TYPE_REAL:
        return "X";
    case CONFIG_TYPE_BOOL:
        return "true|false";
    case CONFIG_TYPE_TEXT:
        return "TEXT";
    case CONFIG_TYPE_CHOICE:
        return key->choice.words;
    case CONFIG_TYPE_SIZES:
        return "N,N";
    case CONFIG_TYPE_CAPACITY:
        return "N|BYTES";
    }
    return "VALUE";
}

/* What --help says of a key: "help (default …; range unit)"; malloc'ed. */
static char *option_doc(const ConfigKey *key)
{
    ConfigValue value;
    char text[CONFIG_VALUE_TEXT_BYTES];
    char range[CONFIG_LABEL_BYTES];
    config_value_default(key, &value);
    config_value_format(key, &value, text);
    bool number = key->type == CONFIG_TYPE_INT || key->type == CONFIG_TYPE_REAL;
    /* A choice shows its words as the flag's value. */
    bool has_form = number || key->type == CONFIG_TYPE_TEXT;
    config_key_range(key, range, sizeof range);
    char form[2 * CONFIG_LABEL_BYTES] = "";
    if (has_form)
        snprintf(form, sizeof form, "%s%s%s", range, range[0] && key->unit[0] ? " " : "",
                 key->unit);
    bool both = text[0] && form[0];
    bool any = text[0] || form[0];
    char *doc = NULL;
    int length = asprintf(&doc, "%s%s%s%s%s%s%s", key->help, any ? " (" : "",
                          text[0] ? "default " : "", text, both ? "; " : "", form, any ? ")" : "");
    return length < 0 ? NULL : doc;
}

static void free_options(struct argp_option *options, int num_options)
{
    for (int i = 0; options && i < num_options; i++) {
        bool of_key = options[i].key >= OPTION_KEY_FIRST && options[i].key < OPTION_CONFIG;
        if (of_key) {
            free((char *)options[i].name);
            free((char *)options[i].doc);
        }
    }
    free(options);
}

/* The program's options, ended by an empty one; malloc'ed, for free_options(). NULL: no memory. */
static struct argp_option *make_options(ConfigProgram program, int *num_options)
{
    /* At worst every key has a heading, and then come four more and the end. */
    size_t most = 2 * (size_t)config_num_keys() + 5;
    struct argp_option *options = calloc(most, sizeof *options);
    int count = 0;
    const char *group = "";
    for (int i = 0; options && i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        if (!(key->programs & (unsigned)program))
            continue;
        if (strcmp(group, config_key_group(key)) != 0) {
            group = config_key_group(key);
            options[count++] = (struct argp_option){.doc = group};
        }
        char flag[CONFIG_LABEL_BYTES];
        struct argp_option *option = &options[count++];
        option->key = OPTION_KEY_FIRST + i;
        option->name = strdup(config_flag_name(key->name, flag) + 2);
        option->arg = placeholder(key);
        option->flags = key->type == CONFIG_TYPE_BOOL ? OPTION_ARG_OPTIONAL : 0;
        option->doc = option_doc(key);
        if (!option->name || !option->doc) {
            free_options(options, count);
            options = NULL;
        }
    }
    if (!options)
        return NULL;
    options[count++] = (struct argp_option){.doc = "More"};
    options[count++] = (struct argp_option){
        "config", OPTION_CONFIG, "FILE", 0, "YAML file of key: value; flags win over it", 0};
    options[count++] = (struct argp_option){"help", OPTION_HELP, NULL, 0, "this text", 0};
    options[count++] = (struct argp_option){"version", OPTION_VERSION, NULL, 0, "the version", 0};
    *num_options = count;
    return options;
}

/* Prints --help; the programs that learn say at its end what their defaults yield to. */
static int print_help(const struct argp_option *options, const Args *args, const char *doc)
{
    bool learns = args->program & (CONFIG_LEARNER | CONFIG_TRAIN);
    char name[NAME_BYTES];
    char *whole = NULL;
    snprintf(name, sizeof name, "%s", args->name);
    /* argp prints what is behind \v after the options. */
    int length = learns
                     ? asprintf(&whole,
                                "%s\vBuilt-in environments: %s. Each has a preset, as the MuJoCo "
                                "tasks have: values that suit it and replace the defaults "
                                "above, unless a flag or --config gives others. docs/config.md "
                                "lists them.",
                                doc, presets_names())
                     : asprintf(&whole, "%s", doc);
    if (length < 0)
        return err_set(args->err, ERR_NOMEM, "no memory for the help");
    struct argp argp = {.options = options, .parser = parse_option, .doc = whole};
    argp_help(&argp, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_DOC | ARGP_HELP_LONG, name);
    free(whole);
    return ERR_OK;
}

int config_parse_args(Config *config, ConfigProgram program, const char *name, const char *doc,
                      int argc, char **argv, bool *done, Err *err)
{
    *done = false;
    Args args = {.config = config, .program = program, .name = name, .err = err};
    int question = 0;
    int code = check_names(&args, argc, argv, &question);
    if (code != ERR_OK || argc <= 1)
        return code;
    if (question == OPTION_VERSION) {
        printf("%s %s\n", name, POLYAK_VERSION);
        *done = true;
        return ERR_OK;
    }

    int num_options = 0;
    struct argp_option *options = make_options(program, &num_options);
    if (!options)
        return err_set(err, ERR_NOMEM, "no memory for the command line");
    struct argp argp = {.options = options, .parser = parse_option, .doc = doc};
    if (question == OPTION_HELP) {
        code = print_help(options, &args, doc);
        *done = code == ERR_OK;
    } else {
        if (err)
            err->text[0] = '\0';
        error_t failed = argp_parse(&argp, argc, argv, ARGP_SILENT | ARGP_IN_ORDER, NULL, &args);
        if (failed == ENOMEM)
            code = err_set(err, ERR_NOMEM, "no memory for the command line");
        else if (failed)
            code = ERR_USAGE;
    }
    free_options(options, num_options);
    return code;
}
