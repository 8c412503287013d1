/* Reading and writing safetensors files: float32 tensors and a map of texts.
 *
 * A file is written to a temporary name, synced, renamed into place, and its directory synced: a
 * reader sees the old file or the new one, whole. Its metadata holds an XXH3-64 checksum ("xxh3")
 * over header and data, taken with the checksum's own 16 digits as zeros. No thread of its own; a
 * SafetensorsFile belongs to whoever opened it. */
#ifndef POLYAK_COMMON_SAFETENSORS_H
#define POLYAK_COMMON_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { TENSOR_NAME_MAX = 127, TENSOR_RANK_MAX = 2 };

typedef struct Tensor {
    char name[TENSOR_NAME_MAX + 1];
    int rank; /* 1 or 2 */
    size_t dim[TENSOR_RANK_MAX];
    const float *data; /* row-major */
} Tensor;

typedef struct TensorMeta {
    const char *key;
    const char *value;
} TensorMeta;

/* Writes the tensors in the order given, straight from where they lie; the same input gives the
 * same bytes. Names and keys are distinct; every dim is at least 1. ERR_IO with the path and the
 * system's reason, ERR_NOMEM, or ERR_USAGE for a text that is not UTF-8 or a header over 1 MiB. */
int safetensors_write(const char *path, const Tensor *tensors, int num_tensors,
                      const TensorMeta *meta, int num_meta, Err *err);

typedef struct SafetensorsFile SafetensorsFile;

/* Reads and verifies a whole file. ERR_MISSING, ERR_IO, ERR_FORMAT (truncated, malformed) or
 * ERR_CHECKSUM, with a line that names the path. A file without "xxh3" is refused: ERR_CHECKSUM. */
int safetensors_open(const char *path, SafetensorsFile **file, Err *err);
void safetensors_destroy(SafetensorsFile **file);

int safetensors_num_tensors(const SafetensorsFile *file);
const Tensor *safetensors_tensor(const SafetensorsFile *file, int index);

/* NULL when there is none of that name. */
const Tensor *safetensors_find(const SafetensorsFile *file, const char *name);
const char *safetensors_meta(const SafetensorsFile *file, const char *key);

#endif
