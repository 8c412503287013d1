#include "learner/log/frame_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 1 << 20, BUFFER_BYTES_MIN = 4096 };

/* Room for any frame that the file can hold: never by what its head says alone. */
static int make_room(FrameInput *input, Err *err)
{
    size_t capacity = frame_bytes(input->payload_bytes_max);
    if (capacity < BUFFER_BYTES)
        capacity = BUFFER_BYTES;
    if (capacity > input->size)
        capacity = input->size < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : (size_t)input->size;
    if (capacity <= input->capacity)
        return ERR_OK;
    free(input->buffer);
    input->buffer = malloc(capacity);
    input->capacity = input->buffer ? capacity : 0;
    return input->buffer
               ? ERR_OK
               : err_set(err, ERR_NOMEM, "no memory to read the log: %zu bytes", capacity);
}

int frame_input_open(FrameInput *input, const LogDisk *disk, const char *path, uint64_t salt,
                     size_t payload_bytes_max, Err *err)
{
    input->disk = disk;
    input->salt = salt;
    input->payload_bytes_max = payload_bytes_max;
    input->buffer_at = 0;
    input->filled = 0;
    input->offset = 0;
    input->bad_from = UINT64_MAX;
    snprintf(input->path, sizeof input->path, "%s", path);
    input->file = disk->open(disk->context, path, DISK_READ);
    if (input->file < 0)
        return disk_error(err, "read", path, input->file);
    int64_t size = disk->size(disk->context, input->file);
    input->size = size < 0 ? 0 : (uint64_t)size;
    int code = size < 0 ? disk_error(err, "read", path, (int)size) : make_room(input, err);
    if (code != ERR_OK)
        frame_input_close(input);
    return code;
}

void frame_input_close(FrameInput *input)
{
    if (input->disk && input->file >= 0)
        (void)input->disk->close(input->disk->context, input->file);
    input->file = -1;
}

void frame_input_free(FrameInput *input)
{
    frame_input_close(input);
    free(input->buffer);
    *input = (FrameInput){.file = -1};
}

/* Brings bytes from input->offset on into the buffer: num_bytes of them, or what the file has.
 * Afterwards the buffer holds `*available`. */
static int fill(FrameInput *input, size_t num_bytes, size_t *available, Err *err)
{
    uint64_t left = input->size - input->offset;
    if (num_bytes > left)
        num_bytes = (size_t)left;
    uint64_t end = input->buffer_at + input->filled;
    if (input->offset + num_bytes > end) {
        size_t kept = input->offset < end ? (size_t)(end - input->offset) : 0;
        memmove(input->buffer, input->buffer + input->filled - kept, kept);
        input->buffer_at = input->offset;
        input->filled = kept;
        ssize_t got = disk_read_all(input->disk, input->file, input->buffer + kept,
                                    input->capacity - kept, input->buffer_at + kept);
        if (got < 0)
            return disk_error(err, "read", input->path, (int)got);
        input->filled += (size_t)got;
        if (input->filled < num_bytes) /* somebody cut it meanwhile */
            input->size = input->buffer_at + input->filled;
    }
    *available = (size_t)(input->buffer_at + input->filled - input->offset);
    return ERR_OK;
}

static void note_damage(FrameInput *input)
{
    if (input->bad_from == UINT64_MAX)
        input->bad_from = input->offset;
}

static int give_damage(FrameInput *input, FrameItemKind kind, FrameItem *item)
{
    item->kind = kind;
    item->offset = input->bad_from;
    item->num_bytes = input->offset > input->bad_from ? input->offset - input->bad_from : 0;
    input->bad_from = UINT64_MAX;
    return ERR_OK;
}

/* Moves on to the next sound header, or as far as the buffer reaches. */
static void resync(FrameInput *input, uint8_t *at, size_t available)
{
    size_t skip = FRAME_ALIGN;
    if (available > FRAME_ALIGN)
        skip += frame_resync(at + FRAME_ALIGN, available - FRAME_ALIGN, input->payload_bytes_max,
                             input->salt, input->offset + FRAME_ALIGN);
    input->offset += skip;
}

int frame_input_next(FrameInput *input, FrameItem *item, Err *err)
{
    *item = (FrameItem){.kind = FRAME_ITEM_END};
    while (input->offset < input->size) {
        size_t available = 0;
        int code = fill(input, FRAME_HEADER_BYTES, &available, err);
        if (code != ERR_OK)
            return code;
        uint64_t seed = frame_seed(input->salt, input->offset);
        uint8_t *at = input->buffer + (input->offset - input->buffer_at);
        FrameState state =
            frame_decode(at, available, input->payload_bytes_max, seed, &item->frame);
        if (state == FRAME_MORE && available >= FRAME_HEADER_BYTES) {
            code = fill(input, frame_bytes(item->frame.payload_bytes), &available, err);
            if (code != ERR_OK)
                return code;
            at = input->buffer + (input->offset - input->buffer_at);
            state = frame_decode(at, available, input->payload_bytes_max, seed, &item->frame);
        }
        if (state == FRAME_SOUND && input->bad_from != UINT64_MAX)
            return give_damage(input, FRAME_ITEM_DAMAGE, item);
        if (state == FRAME_SOUND) {
            item->kind = FRAME_ITEM_FRAME;
            item->offset = input->offset;
            item->num_bytes = frame_bytes(item->frame.payload_bytes);
            input->offset += item->num_bytes;
            return ERR_OK;
        }
        note_damage(input);
        if (state == FRAME_MORE) /* the rest of the file is a part of this frame */
            input->offset = input->size;
        else if (state == FRAME_BAD_PAYLOAD)
            input->offset += frame_bytes(item->frame.payload_bytes);
        else
            resync(input, at, available);
    }
    if (input->offset > input->size)
        input->offset = input->size;
    if (input->bad_from != UINT64_MAX)
        return give_damage(input, FRAME_ITEM_TORN, item);
    *item = (FrameItem){.kind = FRAME_ITEM_END, .offset = input->size};
    return ERR_OK;
}
