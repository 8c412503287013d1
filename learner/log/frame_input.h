/* Reads the frames of one file after the other, and steps over damage. Private to the log; one
 * owner. */
#ifndef POLYAK_LEARNER_LOG_FRAME_INPUT_H
#define POLYAK_LEARNER_LOG_FRAME_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/fs.h"
#include "learner/log/disk.h"
#include "learner/log/frame.h"

typedef enum FrameItemKind {
    FRAME_ITEM_FRAME,
    FRAME_ITEM_DAMAGE, /* no sound frame, but one follows */
    FRAME_ITEM_TORN,   /* no sound frame up to the end */
    FRAME_ITEM_END,
} FrameItemKind;

typedef struct FrameItem {
    FrameItemKind kind;
    uint64_t offset;
    uint64_t num_bytes;
    Frame frame; /* its payload is aligned to 8 bytes and valid until the next call */
} FrameItem;

/* Zero it first; open for each file; free at the end. The buffer stays between files. */
typedef struct FrameInput {
    const LogDisk *disk;
    int file;
    char path[FS_PATH_MAX];
    uint64_t size;
    uint64_t salt;
    size_t payload_bytes_max;
    uint8_t *buffer; /* holds the bytes from buffer_at on */
    size_t capacity;
    uint64_t buffer_at; /* a multiple of 8 */
    size_t filled;
    uint64_t offset;   /* of the next frame */
    uint64_t bad_from; /* where the damage begins; UINT64_MAX: none */
} FrameInput;

int frame_input_open(FrameInput *input, const LogDisk *disk, const char *path, uint64_t salt,
                     size_t payload_bytes_max, Err *err);
void frame_input_close(FrameInput *input);
void frame_input_free(FrameInput *input);

/* ERR_IO when the file cannot be read; the next call tries again. */
int frame_input_next(FrameInput *input, FrameItem *item, Err *err);

#endif
