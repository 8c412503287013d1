/* Reads YAML mappings into structs by a table of fields: what a key is called, what its value must
 * be, and where it goes. Unknown keys name the nearest known one; every message begins with file
 * and line. Used while a task file is read; plain values. */
#ifndef POLYAK_ACTOR_ENVS_MUJOCO_YAML_FIELDS_H
#define POLYAK_ACTOR_ENVS_MUJOCO_YAML_FIELDS_H

#include <stdbool.h>

#include <yaml.h>

#include "common/err.h"

typedef struct YamlFile {
    const char *path; /* for messages */
    yaml_document_t document;
} YamlFile;

typedef enum YamlKind {
    YAML_NUMBER, /* double */
    YAML_RANGE,  /* MujocoRange: [low, high] */
    YAML_VECTOR, /* double (3): a list of up to 3 numbers */
    YAML_INT,    /* int, from `low` to `high` */
    YAML_FLAG,   /* bool */
    YAML_NAME,   /* MujocoName */
    YAML_CHOICE, /* int: the index of the name in `choices` */
    YAML_NODE,   /* yaml_node_t *: whatever it is */
} YamlKind;

typedef struct YamlField {
    const char *key;
    YamlKind kind;
    void *to;
    int low, high;              /* of YAML_INT */
    const char *const *choices; /* of YAML_CHOICE; NULL or "" entries are no names */
    int num_choices;
    int line;  /* where it was given; 0: not given */
    int count; /* of YAML_VECTOR: the numbers given */
} YamlField;

/* ERR_MISSING, ERR_IO, ERR_USAGE for no valid YAML, ERR_NOMEM. Closed by yaml_file_close. */
int yaml_file_open(YamlFile *file, const char *path, Err *err);
void yaml_file_close(YamlFile *file);

/* Reads a mapping. ERR_USAGE. */
int yaml_read_fields(YamlFile *file, const yaml_node_t *node, const char *what, YamlField *fields,
                     int num_fields, Err *err);

/* The field of that key. */
const YamlField *yaml_field(const YamlField *fields, int num_fields, const char *key);

/* ERR_USAGE with "file:line: …". */
int yaml_fail(const YamlFile *file, int line, Err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

int yaml_line(const yaml_node_t *node);

#endif
