/* Appends frames to one file. Frames are begun in a FrameBuffer, without their place; they are
 * sealed for the place where they are written. Private to the log; one owner. */
#ifndef POLYAK_LEARNER_LOG_FRAME_OUTPUT_H
#define POLYAK_LEARNER_LOG_FRAME_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/fs.h"
#include "learner/log/disk.h"
#include "learner/log/frame.h"

/* Frames one after the other, in memory. */
typedef struct FrameBuffer {
    uint8_t *bytes;
    size_t capacity;
    size_t used;
} FrameBuffer;

int frame_buffer_init(FrameBuffer *buffer, size_t capacity, Err *err);
void frame_buffer_free(FrameBuffer *buffer);

/* Begins a frame, which must fit; returns where its payload goes. */
uint8_t *frame_buffer_add(FrameBuffer *buffer, uint32_t kind, size_t payload_bytes);

/* The frame at *at, which moves on; false at the end. */
bool frame_buffer_next(const FrameBuffer *buffer, size_t *at, Frame *frame);

/* A file that is being written. file < 0: none. */
typedef struct FrameOutput {
    const LogDisk *disk;
    int file;
    uint64_t salt;
    uint64_t bytes;       /* written whole */
    uint64_t bytes_begun; /* more than `bytes` after a write that failed */
    bool dir_synced;
    char path[FS_PATH_MAX];
} FrameOutput;

/* Makes a new file. ERR_EXISTS when the name is taken. */
int frame_output_create(FrameOutput *output, const LogDisk *disk, const char *path, uint64_t salt,
                        Err *err);

/* Seals and writes all frames of the buffer. On an error an unknown part is written, and
 * frame_output_abandon() must follow. */
int frame_output_write(FrameOutput *output, FrameBuffer *buffer, Err *err);

/* Syncs the file, and its directory once. After an error: frame_output_abandon(). */
int frame_output_sync(FrameOutput *output, const char *directory, Err *err);

/* Cuts off what a failed write left, where the disk lets it, and closes the file; one that holds
 * nothing is removed. */
void frame_output_abandon(FrameOutput *output);

void frame_output_close(FrameOutput *output);

#endif
