#include "common/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <xxhash.h>

#include "common/check.h"
#include "common/fs.h"

/* A file is: header length (u64), header (JSON, padded with spaces), tensor data. The data of a
 * tensor is a view into the file's bytes, so both sides store numbers as little-endian float32. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "float columns are little-endian");
_Static_assert(sizeof(float) == 4, "float columns are 32 bits wide");

enum {
    LENGTH_BYTES = 8,
    ALIGNMENT = 8, /* of the data's first byte, so that views of floats are aligned */
    HEADER_BYTES_MAX = 1 << 20,
    TENSORS_MAX = 4096,
    DIGITS = 16, /* of the checksum */
};
static const size_t file_bytes_max = (size_t)64 << 30;

/* The checksum is always the first entry of the header, so its place needs no search. */
static const char header_start[] = "{\"__metadata__\":{\"xxh3\":\"";
enum { DIGITS_OFFSET = LENGTH_BYTES + sizeof header_start - 1 };
static const char zero_digits[] = "0000000000000000";

struct SafetensorsFile {
    char *bytes; /* the whole file */
    json_t *header;
    int num_tensors;
    Tensor *tensors; /* (num_tensors); their data points into bytes */
};

static size_t tensor_bytes(const Tensor *tensor)
{
    size_t count = tensor->dim[0];
    if (tensor->rank == 2)
        count *= tensor->dim[1];
    return count * sizeof(float);
}

static void format_digits(uint64_t checksum, char digits[DIGITS + 1])
{
    snprintf(digits, DIGITS + 1, "%016" PRIx64, checksum);
}

/* --- Writing ------------------------------------------------------------------------------ */

/* Adds a new entry, and takes over `value`; a name given twice is a programmer's error. */
static bool add(json_t *object, const char *key, json_t *value)
{
    CHECK(!json_object_get(object, key));
    return json_object_set_new(object, key, value) == 0;
}

static json_t *describe_tensor(const Tensor *tensor, size_t begin)
{
    CHECK(tensor->rank == 1 || tensor->rank == 2);
    CHECK(tensor->dim[0] > 0 && (tensor->rank == 1 || tensor->dim[1] > 0));
    json_int_t rows = (json_int_t)tensor->dim[0];
    json_t *shape = tensor->rank == 1 ? json_pack("[I]", rows)
                                      : json_pack("[I,I]", rows, (json_int_t)tensor->dim[1]);
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + tensor_bytes(tensor)));
}

/* The header as JSON, its checksum still zeros. NULL when memory is out. */
static json_t *describe_file(const Tensor *tensors, int num_tensors, const TensorMeta *meta,
                             int num_meta)
{
    json_t *header = json_object();
    json_t *metadata = json_object();
    bool ok =
        add(header, "__metadata__", metadata) && add(metadata, "xxh3", json_string(zero_digits));
    for (int i = 0; ok && i < num_meta; i++)
        ok = add(metadata, meta[i].key, json_string(meta[i].value));
    size_t begin = 0;
    for (int i = 0; ok && i < num_tensors; i++) {
        ok = add(header, tensors[i].name, describe_tensor(&tensors[i], begin));
        begin += tensor_bytes(&tensors[i]);
    }
    if (ok)
        return header;
    json_decref(header);
    return NULL;
}

/* Makes length and header as they lie in the file, the checksum still zeros. *block is malloc'ed.
 */
static int make_header(const char *path, const Tensor *tensors, int num_tensors,
                       const TensorMeta *meta, int num_meta, char **block, size_t *block_bytes,
                       Err *err)
{
    for (int i = 0; i < num_meta; i++) {
        json_t *text = json_string(meta[i].value);
        if (!text)
            return err_set(err, ERR_USAGE, "cannot write %s: the text of \"%s\" is not valid UTF-8",
                           path, meta[i].key);
        json_decref(text);
    }
    json_t *header = describe_file(tensors, num_tensors, meta, num_meta);
    char *text = header ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    size_t text_bytes = text ? strlen(text) : 0;
    size_t padded = (text_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    char *out = text ? malloc(LENGTH_BYTES + padded) : NULL;
    if (!out) {
        free(text);
        return err_set(err, ERR_NOMEM, "not enough memory for the header of %s", path);
    }
    uint64_t length = padded;
    memcpy(out, &length, LENGTH_BYTES);
    memcpy(out + LENGTH_BYTES, text, text_bytes);
    memset(out + LENGTH_BYTES + text_bytes, ' ', padded - text_bytes);
    free(text);
    if (padded > HEADER_BYTES_MAX) {
        free(out);
        return err_set(err, ERR_USAGE, "cannot write %s: its header has %zu bytes, at most %d work",
                       path, padded, HEADER_BYTES_MAX);
    }
    CHECK(memcmp(out + LENGTH_BYTES, header_start, sizeof header_start - 1) == 0);
    *block = out;
    *block_bytes = LENGTH_BYTES + padded;
    return ERR_OK;
}

static int write_parts(const char *path, const struct iovec *parts, int num_parts, Err *err)
{
    FsReplacement file;
    int code = fs_replace_begin(&file, path, err);
    if (code != ERR_OK)
        return code;
    code = fs_replace_write(&file, parts, num_parts, err);
    if (code != ERR_OK)
        return code;
    return fs_replace_commit(&file, err);
}

int safetensors_write(const char *path, const Tensor *tensors, int num_tensors,
                      const TensorMeta *meta, int num_meta, Err *err)
{
    CHECK(num_tensors >= 0 && num_tensors <= TENSORS_MAX);
    char *header = NULL;
    size_t header_bytes = 0;
    int code = make_header(path, tensors, num_tensors, meta, num_meta, &header, &header_bytes, err);
    if (code != ERR_OK)
        return code;

    struct iovec *parts = malloc(((size_t)num_tensors + 1) * sizeof *parts);
    XXH3_state_t *hash = XXH3_createState();
    if (parts && hash) {
        XXH3_64bits_reset(hash);
        XXH3_64bits_update(hash, header, header_bytes);
        parts[0] = (struct iovec){header, header_bytes};
        for (int i = 0; i < num_tensors; i++) {
            size_t bytes = tensor_bytes(&tensors[i]);
            XXH3_64bits_update(hash, tensors[i].data, bytes);
            parts[i + 1] = (struct iovec){(void *)(uintptr_t)tensors[i].data, bytes};
        }
        char digits[DIGITS + 1];
        format_digits(XXH3_64bits_digest(hash), digits);
        memcpy(header + DIGITS_OFFSET, digits, DIGITS);
        code = write_parts(path, parts, num_tensors + 1, err);
    } else {
        code = err_set(err, ERR_NOMEM, "not enough memory to write %s", path);
    }
    XXH3_freeState(hash);
    free(parts);
    free(header);
    return code;
}

/* --- Reading ------------------------------------------------------------------------------ */

static int malformed(const char *path, const char *what, Err *err)
{
    return err_set(err, ERR_FORMAT, "%s is damaged: %s", path, what);
}

/* Checks the checksum; leaves its digits in *bytes as they were. */
static int verify(const char *path, char *bytes, size_t num_bytes, Err *err)
{
    char found[DIGITS];
    char wanted[DIGITS + 1];
    memcpy(found, bytes + DIGITS_OFFSET, DIGITS);
    memcpy(bytes + DIGITS_OFFSET, zero_digits, DIGITS);
    format_digits(XXH3_64bits(bytes, num_bytes), wanted);
    memcpy(bytes + DIGITS_OFFSET, found, DIGITS);
    if (memcmp(found, wanted, DIGITS) != 0)
        return err_set(err, ERR_CHECKSUM, "%s is damaged: its checksum is %s, the file says %.16s",
                       path, wanted, found);
    return ERR_OK;
}

/* Reads {"dtype":"F32","shape":[…],"data_offsets":[begin,end]}; begin must be *offset, which goes
 * on to end. */
static int parse_tensor(const char *path, const char *name, json_t *entry, char *data,
                        size_t *offset, size_t data_bytes, Tensor *tensor, Err *err)
{
    if (strlen(name) > TENSOR_NAME_MAX)
        return malformed(path, "a tensor's name is too long", err);
    memcpy(tensor->name, name, strlen(name) + 1);

    const char *dtype;
    json_t *shape;
    json_int_t begin;
    json_int_t end;
    if (json_unpack(entry, "{s:s, s:o, s:[I,I!] !}", "dtype", &dtype, "shape", &shape,
                    "data_offsets", &begin, &end) != 0)
        return malformed(path, "a tensor lacks dtype, shape or data_offsets", err);
    if (strcmp(dtype, "F32") != 0)
        return malformed(path, "a tensor is not of dtype F32", err);
    if (json_array_size(shape) < 1 || json_array_size(shape) > TENSOR_RANK_MAX)
        return malformed(path, "a tensor's rank is not 1 or 2", err);

    size_t left = (data_bytes - *offset) / sizeof(float);
    size_t count = 1;
    tensor->rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor->rank; i++) {
        json_int_t dim = json_integer_value(json_array_get(shape, (size_t)i));
        if (dim < 1 || (uint64_t)dim > left / count)
            return malformed(path, "a tensor's shape does not fit its data", err);
        tensor->dim[i] = (size_t)dim;
        count *= (size_t)dim;
    }
    if (begin < 0 || (size_t)begin != *offset || end < begin ||
        (size_t)(end - begin) != count * sizeof(float))
        return malformed(path,
                         "a tensor's data_offsets leave a hole, overlap, or do not fit its "
                         "shape",
                         err);
    tensor->data = (const float *)(void *)(data + begin);
    *offset = (size_t)end;
    return ERR_OK;
}

/* Reads every tensor and text of the parsed header. */
static int parse_entries(const char *path, SafetensorsFile *file, char *data, size_t data_bytes,
                         Err *err)
{
    size_t num_entries = json_object_size(file->header);
    if (num_entries > TENSORS_MAX + 1)
        return malformed(path, "it has too many tensors", err);
    file->tensors = calloc(num_entries, sizeof *file->tensors);
    if (!file->tensors)
        return err_set(err, ERR_NOMEM, "not enough memory to read %s", path);

    size_t offset = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        int code = parse_tensor(path, name, entry, data, &offset, data_bytes,
                                &file->tensors[file->num_tensors], err);
        if (code != ERR_OK)
            return code;
        file->num_tensors++;
    }
    if (offset != data_bytes)
        return malformed(path, "it has bytes that belong to no tensor", err);

    json_object_foreach(json_object_get(file->header, "__metadata__"), name, entry)
    {
        if (!json_is_string(entry))
            return malformed(path, "a value of its metadata is not a text", err);
    }
    return ERR_OK;
}

/* Where the data ends by the header's word; 0 when the header has no tensors that say so. */
static size_t claimed_data_bytes(json_t *header)
{
    json_int_t largest = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry)
    {
        json_t *end = json_array_get(json_object_get(entry, "data_offsets"), 1);
        if (json_integer_value(end) > largest)
            largest = json_integer_value(end);
    }
    return (size_t)largest;
}

/* The checksum is verified before anything of the header is believed; only whether the file was cut
 * short is said first, for that is what a person can act on. */
static int parse(const char *path, SafetensorsFile *file, size_t num_bytes, Err *err)
{
    uint64_t header_bytes;
    if (num_bytes < LENGTH_BYTES)
        return malformed(path, "it ends before its header", err);
    memcpy(&header_bytes, file->bytes, LENGTH_BYTES);
    if (header_bytes > HEADER_BYTES_MAX || header_bytes % ALIGNMENT != 0)
        return malformed(path, "the length of its header makes no sense", err);
    if (header_bytes > num_bytes - LENGTH_BYTES)
        return malformed(path, "it ends inside its header", err);
    if (header_bytes < sizeof header_start - 1 + DIGITS ||
        memcmp(file->bytes + LENGTH_BYTES, header_start, sizeof header_start - 1) != 0)
        return err_set(err, ERR_CHECKSUM,
                       "%s has no xxh3 checksum at its start: it is damaged, or was not written by "
                       "Polyak",
                       path);

    size_t data_bytes = num_bytes - LENGTH_BYTES - header_bytes;
    file->header =
        json_loadb(file->bytes + LENGTH_BYTES, header_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (file->header && claimed_data_bytes(file->header) > data_bytes)
        return malformed(path, "it ends before the end of its tensors", err);
    int code = verify(path, file->bytes, num_bytes, err);
    if (code != ERR_OK)
        return code;
    if (!file->header)
        return malformed(path, "its header is not valid JSON", err);
    return parse_entries(path, file, file->bytes + LENGTH_BYTES + header_bytes, data_bytes, err);
}

int safetensors_open(const char *path, SafetensorsFile **file, Err *err)
{
    *file = NULL;
    SafetensorsFile *opened = calloc(1, sizeof *opened);
    if (!opened)
        return err_set(err, ERR_NOMEM, "not enough memory to read %s", path);
    size_t num_bytes;
    int code = fs_read_file(path, file_bytes_max, &opened->bytes, &num_bytes, err);
    if (code == ERR_OK)
        code = parse(path, opened, num_bytes, err);
    if (code != ERR_OK) {
        safetensors_destroy(&opened);
        return code;
    }
    *file = opened;
    return ERR_OK;
}

void safetensors_destroy(SafetensorsFile **file)
{
    if (!*file)
        return;
    json_decref((*file)->header);
    free((*file)->tensors);
    free((*file)->bytes);
    free(*file);
    *file = NULL;
}

int safetensors_num_tensors(const SafetensorsFile *file)
{
    return file->num_tensors;
}

const Tensor *safetensors_tensor(const SafetensorsFile *file, int index)
{
    CHECK(index >= 0 && index < file->num_tensors);
    return &file->tensors[index];
}

const Tensor *safetensors_find(const SafetensorsFile *file, const char *name)
{
    for (int i = 0; i < file->num_tensors; i++) {
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    }
    return NULL;
}

const char *safetensors_meta(const SafetensorsFile *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}
