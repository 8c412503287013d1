/* Frames: how a record lies in a file, so that damage is found and stepped over.
 *
 *     magic u32 | payload bytes u32 | kind u32 | header check u32 | payload XXH3-64 u64 | payload
 *
 * All little-endian. The header check is the low half of the XXH3-64 of the 24 header bytes (with
 * zero in its own place), seeded with the file's salt + the frame's offset: a frame is sound in the
 * file, and at the offset, where it was written, and nowhere else. At offset 0 the seed is 0, so
 * that a file's head can be read without knowing anything. Payloads are multiples of 8 bytes, so
 * frames lie at multiples of 8. Pure functions; any thread. */
#ifndef POLYAK_LEARNER_LOG_FRAME_H
#define POLYAK_LEARNER_LOG_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAGIC 0x474f4c50U /* "PLOG" */
enum { FRAME_HEADER_BYTES = 24, FRAME_ALIGN = 8 };

typedef struct Frame {
    uint32_t kind;
    size_t payload_bytes;
    uint8_t *payload;
} Frame;

typedef enum FrameState {
    FRAME_SOUND,
    FRAME_MORE,        /* the header is sound or not there whole; the rest is missing */
    FRAME_BAD_PAYLOAD, /* the header is sound: the next frame follows frame_bytes() later */
    FRAME_BAD_HEADER,
} FrameState;

static inline size_t frame_bytes(size_t payload_bytes)
{
    return FRAME_HEADER_BYTES + payload_bytes;
}

static inline uint64_t frame_seed(uint64_t salt, uint64_t offset)
{
    return offset == 0 ? 0 : salt + offset;
}

/* Writes a header without its checks: the payload is not there yet. Returns where it goes. */
uint8_t *frame_begin(uint8_t *frame, uint32_t kind, size_t payload_bytes);

/* Computes the checks of a frame that was begun; again for another place. */
void frame_seal(uint8_t *frame, uint64_t seed);

/* frame_begin, the payload, frame_seal. Returns the frame's bytes. */
size_t frame_encode(uint8_t *frame, uint32_t kind, const void *payload, size_t payload_bytes,
                    uint64_t seed);

/* Reads a frame that was begun by this process; no checks. Returns its bytes. */
size_t frame_peek(uint8_t *bytes, Frame *out);

/* Reads the header alone: false unless it is sound. Needs FRAME_HEADER_BYTES. */
bool frame_header_decode(const uint8_t *bytes, size_t payload_bytes_max, uint64_t seed,
                         uint32_t *kind, size_t *payload_bytes);

FrameState frame_decode(uint8_t *bytes, size_t num_bytes, size_t payload_bytes_max, uint64_t seed,
                        Frame *out);

/* The index of the next sound header in the bytes, which lie at file offset `offset`, a multiple of
 * 8. When there is none, the first index that was not looked at because less than a header's bytes
 * are left. */
size_t frame_resync(const uint8_t *bytes, size_t num_bytes, size_t payload_bytes_max, uint64_t salt,
                    uint64_t offset);

#endif
