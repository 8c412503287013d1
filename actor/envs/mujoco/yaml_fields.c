#include "actor/envs/mujoco/yaml_fields.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/mujoco/task.h"
#include "common/text.h"

enum { FILE_BYTES_MAX = 1 << 20 };

int yaml_line(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

int yaml_fail(const YamlFile *file, int line, Err *err, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, ERR_USAGE, "%.200s:%d: %s", file->path, line, text);
}

/* --- The file -------------------------------------------------------------------------------- */

static int parse(YamlFile *file, yaml_parser_t *parser, Err *err)
{
    if (!yaml_parser_load(parser, &file->document)) {
        size_t line =
            parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line;
        return yaml_fail(file, (int)line + 1, err, "no valid YAML: %s",
                         parser->problem ? parser->problem : "unreadable");
    }
    if (yaml_document_get_root_node(&file->document))
        return ERR_OK;
    yaml_document_delete(&file->document);
    return yaml_fail(file, 1, err, "it is empty");
}

int yaml_file_open(YamlFile *file, const char *path, Err *err)
{
    *file = (YamlFile){.path = path};
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return err_set(err, errno == ENOENT ? ERR_MISSING : ERR_IO, "%.200s: %s", path,
                       strerror(errno));
    char *bytes = malloc(FILE_BYTES_MAX);
    yaml_parser_t parser;
    if (!bytes || !yaml_parser_initialize(&parser)) {
        free(bytes);
        fclose(stream);
        return err_set(err, ERR_NOMEM, "no memory to read %.200s", path);
    }
    size_t num_bytes = fread(bytes, 1, FILE_BYTES_MAX, stream);
    int rc = ERR_OK;
    if (ferror(stream))
        rc = err_set(err, ERR_IO, "%.200s: %s", path, strerror(errno));
    else if (num_bytes == FILE_BYTES_MAX)
        rc = err_set(err, ERR_USAGE, "%.200s is too large for a task", path);
    if (rc == ERR_OK) {
        yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, num_bytes);
        rc = parse(file, &parser, err);
    }
    yaml_parser_delete(&parser);
    free(bytes);
    fclose(stream);
    return rc;
}

void yaml_file_close(YamlFile *file)
{
    yaml_document_delete(&file->document);
}

/* --- Values ---------------------------------------------------------------------------------- */

/* The text of a scalar; NULL when it is none. */
static const char *text_of(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE)
        return NULL;
    const char *text = (const char *)node->data.scalar.value;
    return strlen(text) == node->data.scalar.length ? text : NULL;
}

static bool to_number(const char *text, double *number)
{
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    if (strcmp(digits, ".inf") == 0) {
        *number = text[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || isnan(value))
        return false;
    *number = value;
    return true;
}

/* Reads a list of at most `max` numbers. Returns how many, or −1. */
static int to_numbers(YamlFile *file, const yaml_node_t *node, double *numbers, int max)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return -1;
    int count = 0;
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; item < node->data.sequence.items.top; item++) {
        const char *text = text_of(yaml_document_get_node(&file->document, *item));
        if (!text || count == max || !to_number(text, &numbers[count++]))
            return -1;
    }
    return count;
}

static bool to_flag(const char *text, bool *flag)
{
    *flag = strcmp(text, "true") == 0;
    return *flag || strcmp(text, "false") == 0;
}

static bool to_int(const char *text, int low, int high, int *number)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < low || value > high)
        return false;
    *number = (int)value;
    return true;
}

static bool to_name(const char *text, char *name)
{
    size_t length = strlen(text);
    if (length == 0 || length >= MUJOCO_NAME_BYTES)
        return false;
    memcpy(name, text, length + 1);
    return true;
}

/* --- Mappings -------------------------------------------------------------------------------- */

static const char *nearest_of(const char *const *names, int num_names, const char *text)
{
    const char *nearest = "";
    for (int i = 0; i < num_names; i++)
        if (names[i] && names[i][0] &&
            (!nearest[0] || text_distance(names[i], text) < text_distance(nearest, text)))
            nearest = names[i];
    return nearest;
}

static int read_choice(YamlFile *file, const yaml_node_t *node, const YamlField *field, Err *err)
{
    const char *text = text_of(node);
    for (int i = 0; text && i < field->num_choices; i++) {
        if (field->choices[i] && field->choices[i][0] && strcmp(field->choices[i], text) == 0) {
            *(int *)field->to = i;
            return ERR_OK;
        }
    }
    char shown[48];
    return yaml_fail(file, yaml_line(node), err, "%s: there is no '%s', perhaps %s", field->key,
                     text_excerpt(text ? text : "", shown, sizeof shown),
                     nearest_of(field->choices, field->num_choices, text ? text : ""));
}

static int read_range(YamlFile *file, const yaml_node_t *node, const YamlField *field, Err *err)
{
    MujocoRange *range = field->to;
    double ends[2];
    if (to_numbers(file, node, ends, 2) != 2 || !(ends[0] < ends[1]))
        return yaml_fail(file, yaml_line(node), err,
                         "%s is a range [low, high], such as [0.7, .inf]", field->key);
    *range = (MujocoRange){ends[0], ends[1]};
    return ERR_OK;
}

static int read_value(YamlFile *file, const yaml_node_t *node, YamlField *field, Err *err)
{
    const char *text = text_of(node);
    int line = yaml_line(node);
    bool good = text != NULL;
    switch (field->kind) {
    case YAML_NODE:
        *(const yaml_node_t **)field->to = node;
        return ERR_OK;
    case YAML_RANGE:
        return read_range(file, node, field, err);
    case YAML_CHOICE:
        return read_choice(file, node, field, err);
    case YAML_VECTOR:
        field->count = to_numbers(file, node, field->to, 3);
        if (field->count < 1)
            return yaml_fail(file, line, err, "%s is a list of up to 3 numbers", field->key);
        return ERR_OK;
    case YAML_NUMBER:
        good = good && to_number(text, field->to) && isfinite(*(double *)field->to);
        return good ? ERR_OK : yaml_fail(file, line, err, "%s is a number", field->key);
    case YAML_INT:
        good = good && to_int(text, field->low, field->high, field->to);
        return good ? ERR_OK
                    : yaml_fail(file, line, err, "%s is a whole number from %d to %d", field->key,
                                field->low, field->high);
    case YAML_FLAG:
        good = good && to_flag(text, field->to);
        return good ? ERR_OK : yaml_fail(file, line, err, "%s is true or false", field->key);
    default: /* YAML_NAME */
        good = good && to_name(text, field->to);
        return good ? ERR_OK
                    : yaml_fail(file, line, err, "%s is a name of up to %d characters", field->key,
                                MUJOCO_NAME_BYTES - 1);
    }
}

/* The field that a key names; NULL, with a message, when there is none. */
static YamlField *find_field(YamlFile *file, const yaml_node_t *key, const char *what,
                             YamlField *fields, int num_fields, Err *err)
{
    const char *text = text_of(key), *nearest = "";
    if (!text) {
        yaml_fail(file, yaml_line(key), err, "a key is expected");
        return NULL;
    }
    for (int i = 0; i < num_fields; i++) {
        if (strcmp(fields[i].key, text) == 0)
            return &fields[i];
        if (!nearest[0] || text_distance(fields[i].key, text) < text_distance(nearest, text))
            nearest = fields[i].key;
    }
    char shown[48];
    yaml_fail(file, yaml_line(key), err, "%s has no key '%s', perhaps %s", what,
              text_excerpt(text, shown, sizeof shown), nearest);
    return NULL;
}

int yaml_read_fields(YamlFile *file, const yaml_node_t *node, const char *what, YamlField *fields,
                     int num_fields, Err *err)
{
    if (node->type != YAML_MAPPING_NODE)
        return yaml_fail(file, yaml_line(node), err, "%s is keys with values, such as {of: qpos}",
                         what);
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&file->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&file->document, pair->value);
        YamlField *field = find_field(file, key, what, fields, num_fields, err);
        if (!field)
            return ERR_USAGE;
        if (field->line)
            return yaml_fail(file, yaml_line(key), err, "%s is given twice, first in line %d",
                             field->key, field->line);
        field->line = yaml_line(key);
        int rc = read_value(file, value, field, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

const YamlField *yaml_field(const YamlField *fields, int num_fields, const char *key)
{
    for (int i = 0; i < num_fields; i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}
