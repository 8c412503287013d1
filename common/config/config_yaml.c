/* The configuration as YAML: a flat mapping of key to scalar, or to a list for keys that take one.
 * Every scalar goes through config_set(), so a file obeys the same ranges as the flags. */
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/check.h"
#include "common/config/config_table.h"
#include "common/fs.h"
#include "common/text.h"

enum { FILE_BYTES_MAX = 1 << 20 };

typedef struct Reader {
    yaml_parser_t parser;
    const char *path;
    Config *config;
    ConfigSource source;
    size_t line_of_key[sizeof((Config *)NULL)->source]; /* where each was given; 0: not yet */
    Err *err;
} Reader;

static size_t line_of(const yaml_event_t *event)
{
    return event->start_mark.line + 1;
}

static int fail(Reader *reader, size_t line, const char *problem)
{
    return err_set(reader->err, ERR_USAGE, "%s:%zu: %s", reader->path, line, problem);
}

/* The caller deletes the event when this succeeds. */
static int next_event(Reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return ERR_OK;
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return err_set(reader->err, ERR_NOMEM, "no memory to read %s", reader->path);
    /* A reader error (bad encoding) has no mark; the mark reached so far is near it. */
    bool marked = parser->error != YAML_READER_ERROR;
    size_t line = (marked ? parser->problem_mark.line : parser->mark.line) + 1;
    return err_set(reader->err, ERR_USAGE, "%s:%zu: no valid YAML: %s", reader->path, line,
                   parser->problem ? parser->problem : "unreadable");
}

/* The text of a scalar event; NULL when it has a zero byte inside. */
static const char *scalar_text(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return strlen(text) == event->data.scalar.length ? text : NULL;
}

static bool scalar_is_null(const yaml_event_t *event)
{
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = (const char *)event->data.scalar.value;
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static int set_value(Reader *reader, const ConfigKey *key, size_t line, const char *text)
{
    Err err;
    int code = config_set(reader->config, key->name, text, reader->source, &err);
    return code == ERR_OK ? ERR_OK : fail(reader, line, err.text);
}

/* Appends the list's items to `joined`, with commas between them, up to the list's end. */
static int read_list(Reader *reader, const ConfigKey *key, char joined[CONFIG_VALUE_TEXT_BYTES])
{
    size_t used = 0;
    joined[0] = '\0';
    for (;;) {
        yaml_event_t event;
        int code = next_event(reader, &event);
        if (code != ERR_OK)
            return code;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return ERR_OK;
        }
        const char *text = event.type == YAML_SCALAR_EVENT ? scalar_text(&event) : NULL;
        if (!text) {
            code = err_set(reader->err, ERR_USAGE, "%s:%zu: %s: a list of numbers is expected",
                           reader->path, line_of(&event), key->name);
        } else {
            int length = snprintf(joined + used, CONFIG_VALUE_TEXT_BYTES - used, "%s%s",
                                  used ? "," : "", text);
            used += (size_t)length;
            if (used >= CONFIG_VALUE_TEXT_BYTES)
                code = fail(reader, line_of(&event), "the list is too long");
        }
        yaml_event_delete(&event);
        if (code != ERR_OK)
            return code;
    }
}

static int read_value(Reader *reader, const ConfigKey *key)
{
    yaml_event_t event;
    int code = next_event(reader, &event);
    if (code != ERR_OK)
        return code;
    size_t line = line_of(&event);
    const char *problem = NULL;
    if (event.type == YAML_SCALAR_EVENT) {
        const char *text = scalar_text(&event);
        if (scalar_is_null(&event))
            problem = key->type == CONFIG_TYPE_TEXT ? "has no value; \"\" is an empty text"
                                                    : "has no value";
        else if (!text)
            problem = "has a zero byte in its value";
        else
            code = set_value(reader, key, line, text);
    } else if (event.type == YAML_SEQUENCE_START_EVENT && key->type == CONFIG_TYPE_SIZES) {
        char joined[CONFIG_VALUE_TEXT_BYTES];
        code = read_list(reader, key, joined);
        if (code == ERR_OK)
            code = set_value(reader, key, line, joined);
    } else if (event.type == YAML_SEQUENCE_START_EVENT) {
        problem = "takes one value, not a list";
    } else if (event.type == YAML_MAPPING_START_EVENT) {
        problem = "takes one value, not a mapping";
    } else {
        problem = "takes a value, not a YAML alias";
    }
    if (problem)
        code = err_set(reader->err, ERR_USAGE, "%s:%zu: %s %s", reader->path, line, key->name,
                       problem);
    yaml_event_delete(&event);
    return code;
}

/* Finds the key that a key event names, and refuses a second value for it. */
static int read_key(Reader *reader, const yaml_event_t *event, const ConfigKey **key)
{
    size_t line = line_of(event);
    if (event->type != YAML_SCALAR_EVENT || !scalar_text(event))
        return fail(reader, line, "a key is expected");
    const char *name = scalar_text(event);
    *key = config_key_find(name);
    if (!*key) {
        Err err;
        config_set(reader->config, name, "", reader->source, &err); /* for its message */
        return fail(reader, line, err.text);
    }
    size_t *first = &reader->line_of_key[config_key_number(*key)];
    if (*first != 0)
        return err_set(reader->err, ERR_USAGE, "%s:%zu: %s is given twice, first in line %zu",
                       reader->path, line, name, *first);
    *first = line;
    return ERR_OK;
}

static int read_mapping(Reader *reader)
{
    for (;;) {
        yaml_event_t event;
        int code = next_event(reader, &event);
        if (code != ERR_OK)
            return code;
        bool end = event.type == YAML_MAPPING_END_EVENT;
        const ConfigKey *key = NULL;
        if (!end)
            code = read_key(reader, &event, &key);
        yaml_event_delete(&event);
        if (end || code != ERR_OK)
            return code;
        code = read_value(reader, key);
        if (code != ERR_OK)
            return code;
    }
}

static int read_stream(Reader *reader)
{
    bool document_seen = false;
    for (;;) {
        yaml_event_t event;
        int code = next_event(reader, &event);
        if (code != ERR_OK)
            return code;
        bool end = event.type == YAML_STREAM_END_EVENT;
        switch (event.type) {
        case YAML_DOCUMENT_START_EVENT:
            if (document_seen)
                code = fail(reader, line_of(&event), "a second YAML document begins");
            document_seen = true;
            break;
        case YAML_MAPPING_START_EVENT:
            code = read_mapping(reader);
            break;
        case YAML_SCALAR_EVENT:
            if (!scalar_is_null(&event)) /* nothing but comments is fine */
                code = fail(reader, line_of(&event), "lines of \"key: value\" are expected");
            break;
        case YAML_SEQUENCE_START_EVENT:
        case YAML_ALIAS_EVENT:
            code = fail(reader, line_of(&event), "lines of \"key: value\" are expected");
            break;
        default: /* begin and end of the stream, end of the document */
            break;
        }
        yaml_event_delete(&event);
        if (end || code != ERR_OK)
            return code;
    }
}

int config_read_file(Config *config, const char *path, ConfigSource source, Err *err)
{
    char *bytes;
    size_t num_bytes;
    int code = fs_read_file(path, FILE_BYTES_MAX, &bytes, &num_bytes, err);
    if (code != ERR_OK)
        return code;
    Config read = *config; /* so that a file with an error changes nothing */
    Reader reader = {.path = path, .config = &read, .source = source, .err = err};
    if (yaml_parser_initialize(&reader.parser)) {
        yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, num_bytes);
        code = read_stream(&reader);
        yaml_parser_delete(&reader.parser);
    } else {
        code = err_set(err, ERR_NOMEM, "no memory to read %s", path);
    }
    free(bytes);
    if (code == ERR_OK)
        *config = read;
    return code;
}

/* Prints text as a double-quoted scalar; what YAML would not give back as it is, is escaped. */
static void print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *next = text; *text; text = next) {
        int32_t code = text_utf8_next(&next);
        CHECK(code > 0); /* config_set() let UTF-8 in only */
        if (code == '"' || code == '\\')
            fprintf(out, "\\%c", (int)code);
        else if ((code >= 0x20 && code < 0x7F) || (code >= 0xA0 && code < 0x2028) ||
                 (code > 0x2029 && code < 0xFFFE))
            fwrite(text, 1, (size_t)(next - text), out);
        else
            fprintf(out, "\\U%08X", (unsigned)code);
    }
    fputc('"', out);
}

static void print_key(FILE *out, const Config *config, const ConfigKey *key)
{
    static const char *const source_names[] = {
        [CONFIG_DEFAULT] = "default", [CONFIG_PRESET] = "preset", [CONFIG_STORED] = "stored",
        [CONFIG_FILE] = "file",       [CONFIG_FLAG] = "flag",
    };
    ConfigValue value;
    char text[CONFIG_VALUE_TEXT_BYTES];
    config_value_load(config, key, &value);
    config_value_format(key, &value, text);
    fprintf(out, "%s: ", key->name);
    if (key->type == CONFIG_TYPE_SIZES)
        fprintf(out, "[%s]", text);
    else if (key->type == CONFIG_TYPE_TEXT)
        print_quoted(out, text);
    else
        fputs(text, out);
    fprintf(out, " # %s%s%s\n", key->unit, key->unit[0] ? "; " : "",
            source_names[config->source[config_key_number(key)]]);
}

/* Writes the keys with `traits` (a bit set) whose values come from a source as high as `least`. */
static int write_yaml(const Config *config, unsigned traits, ConfigSource least, char **text,
                      Err *err)
{
    *text = NULL;
    size_t num_bytes = 0;
    FILE *out = open_memstream(text, &num_bytes);
    if (!out)
        return err_set(err, ERR_NOMEM, "no memory for the configuration as YAML");
    const char *group = "";
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        if (!(traits & 1U << key->trait) || config->source[i] < least)
            continue;
        if (strcmp(group, config_key_group(key)) != 0) {
            fprintf(out, "%s# %s\n", group[0] ? "\n" : "", config_key_group(key));
            group = config_key_group(key);
        }
        print_key(out, config, key);
    }
    bool failed = ferror(out) != 0;
    failed = fclose(out) != 0 || failed;
    if (failed) {
        free(*text);
        *text = NULL;
        return err_set(err, ERR_NOMEM, "no memory for the configuration as YAML");
    }
    return ERR_OK;
}

int config_to_yaml(const Config *config, bool run_only, char **text, Err *err)
{
    unsigned stored = 1U << CONFIG_TRAIT_RUN | 1U << CONFIG_TRAIT_TUNABLE | 1U << CONFIG_TRAIT_LIVE;
    unsigned all = stored | 1U << CONFIG_TRAIT_LOCAL;
    return write_yaml(config, run_only ? stored : all, CONFIG_DEFAULT, text, err);
}

int config_given_to_yaml(const Config *config, char **text, Err *err)
{
    unsigned stored = 1U << CONFIG_TRAIT_RUN | 1U << CONFIG_TRAIT_TUNABLE | 1U << CONFIG_TRAIT_LIVE;
    return write_yaml(config, stored, CONFIG_STORED, text, err);
}
