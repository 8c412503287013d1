/* Values of each type: text to value and back. The only place that knows how a type is written. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config_table.h"
#include "common/mlp.h"
#include "common/text.h"

#define CAPACITY_STEPS_MAX INT64_C(1000000000000)
#define CAPACITY_BYTES_MAX (INT64_C(1) << 50)

/* Largest first, so that the first that divides a number of bytes gives the shortest text. */
static const struct {
    const char *unit;
    int shift;
} byte_units[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}};

_Static_assert((int)CONFIG_HIDDEN_MAX < (int)MLP_LAYERS_MAX,
               "hidden layers and the output must fit an Mlp");

typedef enum Parse { PARSE_OK, PARSE_MALFORMED, PARSE_OVERFLOW } Parse;

static int bad_value(Err *err, const char *label, const char *text, const char *problem)
{
    char excerpt[CONFIG_EXCERPT_BYTES];
    return err_set(err, ERR_USAGE, "%s: \"%s\" %s", label,
                   text_excerpt(text, excerpt, sizeof excerpt), problem);
}

static int out_of_range(Err *err, const char *label, const char *text, const ConfigKey *key)
{
    char excerpt[CONFIG_EXCERPT_BYTES];
    char range[CONFIG_LABEL_BYTES];
    return err_set(err, ERR_USAGE, "%s: %s is out of range %s", label,
                   text_excerpt(text, excerpt, sizeof excerpt),
                   config_key_range(key, range, sizeof range));
}

/* A whole number, decimal, or with a positive exponent as in 1e6. *end is behind it. */
static Parse parse_whole(const char *text, const char **end, int64_t *number)
{
    const char *first_digit = text[0] == '-' ? text + 1 : text;
    if (!isdigit((unsigned char)*first_digit))
        return PARSE_MALFORMED;
    errno = 0;
    char *behind;
    long long value = strtoll(text, &behind, 10);
    bool overflow = errno == ERANGE;
    if (*behind == 'e' && isdigit((unsigned char)behind[1])) {
        long exponent = strtol(behind + 1, &behind, 10);
        while (value != 0 && !overflow && exponent-- > 0)
            overflow = __builtin_mul_overflow(value, 10, &value);
    }
    *end = behind;
    *number = value;
    return overflow ? PARSE_OVERFLOW : PARSE_OK;
}

static int parse_integer(const ConfigKey *key, const char *label, const char *text, int64_t *number,
                         Err *err)
{
    const char *end;
    Parse parse = parse_whole(text, &end, number);
    if (parse == PARSE_MALFORMED || *end != '\0')
        return bad_value(err, label, text, "is not a whole number");
    if (parse == PARSE_OVERFLOW || *number < key->integer.min || *number > key->integer.max)
        return out_of_range(err, label, text, key);
    return ERR_OK;
}

static int parse_real(const ConfigKey *key, const char *label, const char *text, double *number,
                      Err *err)
{
    /* strtod also reads "inf", "nan" and hexadecimal: none of them is wanted here. */
    char *end = NULL;
    bool decimal = text[0] != '\0' && text[strspn(text, "0123456789+-.eE")] == '\0';
    double value = decimal ? strtod(text, &end) : 0;
    if (!decimal || *end != '\0')
        return bad_value(err, label, text, "is not a number");
    if (!(value >= key->real.min && value <= key->real.max))
        return out_of_range(err, label, text, key);
    *number = value + 0.0; /* -0 becomes 0 */
    return ERR_OK;
}

static int parse_boolean(const char *label, const char *text, bool *boolean, Err *err)
{
    *boolean = strcmp(text, "true") == 0;
    if (!*boolean && strcmp(text, "false") != 0)
        return bad_value(err, label, text, "is neither true nor false");
    return ERR_OK;
}

static int parse_text(const char *label, const char *text, char *out, Err *err)
{
    size_t length = strlen(text);
    if (length > CONFIG_TEXT_MAX)
        return err_set(err, ERR_USAGE, "%s: %zu bytes of text are more than %d", label, length,
                       CONFIG_TEXT_MAX);
    const char *rest = text;
    int32_t code;
    while ((code = text_utf8_next(&rest)) != 0) {
        if (code < 0x20 || (code >= 0x7F && code < 0xA0)) /* also -1 */
            return bad_value(err, label, text, "has control characters or is no UTF-8");
    }
    memcpy(out, text, length + 1);
    return ERR_OK;
}

static int parse_choice(const ConfigKey *key, const char *label, const char *text, int *choice,
                        Err *err)
{
    size_t length = strlen(text);
    int number = 0;
    for (const char *word = key->choice.words; *word; number++) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && strncmp(word, text, length) == 0) {
            *choice = number;
            return ERR_OK;
        }
        word += word_length;
        word += *word == '|';
    }
    char excerpt[CONFIG_EXCERPT_BYTES];
    return err_set(err, ERR_USAGE, "%s: \"%s\" is not one of %s", label,
                   text_excerpt(text, excerpt, sizeof excerpt), key->choice.words);
}

static int parse_sizes(const char *label, const char *text, ConfigSizes *sizes, Err *err)
{
    const char *rest = text;
    for (;;) {
        int64_t size;
        rest += strspn(rest, " ");
        Parse parse = parse_whole(rest, &rest, &size);
        if (parse == PARSE_MALFORMED || !strchr(", ", *rest))
            return bad_value(err, label, text, "is not a list of widths such as 400,300");
        if (parse == PARSE_OVERFLOW || size < 1 || size > MLP_WIDTH_MAX)
            return bad_value(err, label, text, "has a width out of range 1…8192");
        if (sizes->count == CONFIG_HIDDEN_MAX)
            return bad_value(err, label, text, "has more than 8 widths");
        sizes->size[sizes->count++] = (int)size;
        rest += strspn(rest, " ");
        if (*rest == '\0')
            return ERR_OK;
        if (*rest++ != ',')
            return bad_value(err, label, text, "is not a list of widths such as 400,300");
    }
}

_Static_assert(MLP_WIDTH_MAX == 8192 && CONFIG_HIDDEN_MAX == 8, "parse_sizes names the limits");

static int parse_capacity(const char *label, const char *text, ConfigCapacity *capacity, Err *err)
{
    const char *unit;
    int64_t number;
    Parse parse = parse_whole(text, &unit, &number);
    if (parse == PARSE_MALFORMED)
        return bad_value(err, label, text, "is neither steps (1000000) nor bytes (4GiB)");
    if (*unit == '\0') {
        if (parse == PARSE_OVERFLOW || number < 1 || number > CAPACITY_STEPS_MAX)
            return bad_value(err, label, text, "is out of range 1…1000000000000 steps");
        capacity->steps = number;
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof byte_units / sizeof byte_units[0]; i++) {
        if (strcmp(unit, byte_units[i].unit) != 0)
            continue;
        if (parse == PARSE_OVERFLOW || number < 1 ||
            number > CAPACITY_BYTES_MAX >> byte_units[i].shift)
            return bad_value(err, label, text, "is out of range 1B…1048576GiB");
        capacity->bytes = number << byte_units[i].shift;
        return ERR_OK;
    }
    return bad_value(err, label, text, "has an unknown unit; known are B, KiB, MiB and GiB");
}

int config_value_parse(const ConfigKey *key, const char *label, const char *text,
                       ConfigValue *value, Err *err)
{
    memset(value, 0, sizeof *value);
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return parse_integer(key, label, text, &value->integer, err);
    case CONFIG_TYPE_REAL:
        return parse_real(key, label, text, &value->real, err);
    case CONFIG_TYPE_BOOL:
        return parse_boolean(label, text, &value->boolean, err);
    case CONFIG_TYPE_TEXT:
        return parse_text(label, text, value->text, err);
    case CONFIG_TYPE_CHOICE:
        return parse_choice(key, label, text, &value->choice, err);
    case CONFIG_TYPE_SIZES:
        return parse_sizes(label, text, &value->sizes, err);
    case CONFIG_TYPE_CAPACITY:
        return parse_capacity(label, text, &value->capacity, err);
    }
    CHECK(key->type <= CONFIG_TYPE_CAPACITY); /* unreachable: every type has its case */
    return ERR_USAGE;
}

void config_value_default(const ConfigKey *key, ConfigValue *value)
{
    memset(value, 0, sizeof *value);
    switch (key->type) {
    case CONFIG_TYPE_INT:
        value->integer = key->integer.value;
        break;
    case CONFIG_TYPE_REAL:
        value->real = key->real.value;
        break;
    case CONFIG_TYPE_BOOL:
        value->boolean = key->boolean;
        break;
    case CONFIG_TYPE_CHOICE:
        value->choice = key->choice.value;
        break;
    case CONFIG_TYPE_TEXT:
    case CONFIG_TYPE_SIZES:
    case CONFIG_TYPE_CAPACITY:
        CHECK(config_value_parse(key, key->name, key->text, value, NULL) == ERR_OK);
        break;
    }
}

/* Every member of the union begins where the union does, and a choice's enum is as wide as int. */
_Static_assert(sizeof(Noise) == sizeof(int) && sizeof(ActorRole) == sizeof(int) &&
                   sizeof(Progress) == sizeof(int),
               "choices are copied as int");

void config_value_load(const Config *config, const ConfigKey *key, ConfigValue *value)
{
    memset(value, 0, sizeof *value);
    memcpy(value, (const char *)config + key->offset, key->size);
}

void config_value_store(Config *config, const ConfigKey *key, const ConfigValue *value)
{
    memcpy((char *)config + key->offset, value, key->size);
}

static void format_real(double value, char *out)
{
    /* %g would write 10 as 1e+01. */
    if (fabs(value) < 1e15 && value == floor(value)) {
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

static void format_choice(const char *words, int number, char *out)
{
    while (number-- > 0)
        words += strcspn(words, "|") + 1;
    snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%.*s", (int)strcspn(words, "|"), words);
}

static void format_sizes(const ConfigSizes *sizes, char *out)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < sizes->count; i++)
        used += (size_t)snprintf(out + used, CONFIG_VALUE_TEXT_BYTES - used, "%s%d",
                                 i > 0 ? "," : "", sizes->size[i]);
}

static void format_capacity(const ConfigCapacity *capacity, char *out)
{
    if (capacity->bytes == 0) {
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRId64, capacity->steps);
        return;
    }
    size_t i = 0;
    while (capacity->bytes & ((INT64_C(1) << byte_units[i].shift) - 1))
        i++;
    snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRId64 "%s", capacity->bytes >> byte_units[i].shift,
             byte_units[i].unit);
}

const char *config_value_format(const ConfigKey *key, const ConfigValue *value, char *out)
{
    switch (key->type) {
    case CONFIG_TYPE_INT:
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%" PRId64, value->integer);
        break;
    case CONFIG_TYPE_REAL:
        format_real(value->real, out);
        break;
    case CONFIG_TYPE_BOOL:
        snprintf(out, CONFIG_VALUE_TEXT_BYTES, "%s", value->boolean ? "true" : "false");
        break;
    case CONFIG_TYPE_TEXT:
        memcpy(out, value->text, sizeof value->text);
        break;
    case CONFIG_TYPE_CHOICE:
        format_choice(key->choice.words, value->choice, out);
        break;
    case CONFIG_TYPE_SIZES:
        format_sizes(&value->sizes, out);
        break;
    case CONFIG_TYPE_CAPACITY:
        format_capacity(&value->capacity, out);
        break;
    }
    return out;
}

const char *config_key_range(const ConfigKey *key, char *out, size_t out_bytes)
{
    char min[CONFIG_VALUE_TEXT_BYTES];
    char max[CONFIG_VALUE_TEXT_BYTES];
    switch (key->type) {
    case CONFIG_TYPE_INT:
        snprintf(out, out_bytes, "%" PRId64 "…%" PRId64, key->integer.min, key->integer.max);
        break;
    case CONFIG_TYPE_REAL:
        format_real(key->real.min, min);
        format_real(key->real.max, max);
        snprintf(out, out_bytes, "%s…%s", min, max);
        break;
    case CONFIG_TYPE_CHOICE:
        snprintf(out, out_bytes, "%s", key->choice.words);
        break;
    default:
        snprintf(out, out_bytes, "%s", "");
        break;
    }
    return out;
}
