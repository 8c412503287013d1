#include "learner/log/frame_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"

int frame_buffer_init(FrameBuffer *buffer, size_t capacity, Err *err)
{
    *buffer = (FrameBuffer){.bytes = malloc(capacity), .capacity = capacity};
    if (!buffer->bytes)
        return err_set(err, ERR_NOMEM, "no memory for a log buffer of %zu bytes", capacity);
    return ERR_OK;
}

void frame_buffer_free(FrameBuffer *buffer)
{
    free(buffer->bytes);
    *buffer = (FrameBuffer){0};
}

uint8_t *frame_buffer_add(FrameBuffer *buffer, uint32_t kind, size_t payload_bytes)
{
    CHECK(buffer->capacity - buffer->used >= frame_bytes(payload_bytes));
    uint8_t *payload = frame_begin(buffer->bytes + buffer->used, kind, payload_bytes);
    buffer->used += frame_bytes(payload_bytes);
    return payload;
}

bool frame_buffer_next(const FrameBuffer *buffer, size_t *at, Frame *frame)
{
    if (*at >= buffer->used)
        return false;
    *at += frame_peek(buffer->bytes + *at, frame);
    return true;
}

int frame_output_create(FrameOutput *output, const LogDisk *disk, const char *path, uint64_t salt,
                        Err *err)
{
    output->disk = disk;
    output->salt = salt;
    output->bytes = 0;
    output->bytes_begun = 0;
    output->dir_synced = false;
    snprintf(output->path, sizeof output->path, "%s", path);
    output->file = disk->open(disk->context, path, DISK_CREATE);
    if (output->file == -EEXIST)
        return err_set(err, ERR_EXISTS, "%s is there already", path);
    return output->file < 0 ? disk_error(err, "make", path, output->file) : ERR_OK;
}

int frame_output_write(FrameOutput *output, FrameBuffer *buffer, Err *err)
{
    CHECK(output->file >= 0 && output->bytes == output->bytes_begun);
    size_t at = 0;
    Frame frame;
    while (at < buffer->used) {
        uint8_t *start = buffer->bytes + at;
        frame_seal(start, frame_seed(output->salt, output->bytes + at));
        at += frame_peek(start, &frame);
    }
    output->bytes_begun = output->bytes + buffer->used;
    int result = disk_write_all(output->disk, output->file, buffer->bytes, buffer->used);
    if (result < 0)
        return disk_error(err, "write", output->path, result);
    output->bytes = output->bytes_begun;
    return ERR_OK;
}

int frame_output_sync(FrameOutput *output, const char *directory, Err *err)
{
    const LogDisk *disk = output->disk;
    CHECK(output->file >= 0);
    int result = disk->sync(disk->context, output->file);
    if (result < 0)
        return disk_error(err, "sync", output->path, result);
    if (!output->dir_synced) {
        result = disk->sync_dir(disk->context, directory);
        if (result < 0)
            return disk_error(err, "sync", directory, result);
    }
    output->dir_synced = true;
    return ERR_OK;
}

void frame_output_abandon(FrameOutput *output)
{
    const LogDisk *disk = output->disk;
    if (output->file < 0)
        return;
    if (output->bytes_begun > output->bytes)
        (void)disk->truncate(disk->context, output->file, output->bytes);
    bool empty = output->bytes == 0;
    frame_output_close(output);
    if (empty)
        (void)disk->remove(disk->context, output->path);
}

void frame_output_close(FrameOutput *output)
{
    if (output->file >= 0)
        (void)output->disk->close(output->disk->context, output->file);
    output->file = -1;
}
