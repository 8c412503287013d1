#include "learner/log/frame.h"

#include <string.h>
#include <xxhash.h>

#include "common/check.h"
#include "learner/log/bytes.h"

enum { LENGTH_AT = 4, KIND_AT = 8, CHECK_AT = 12, HASH_AT = 16 };

static uint32_t header_check(const uint8_t *header, uint64_t seed)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    memcpy(bytes, header, sizeof bytes);
    put_u32(bytes + CHECK_AT, 0);
    return (uint32_t)XXH3_64bits_withSeed(bytes, sizeof bytes, seed);
}

uint8_t *frame_begin(uint8_t *frame, uint32_t kind, size_t payload_bytes)
{
    CHECK(payload_bytes % FRAME_ALIGN == 0 && payload_bytes <= UINT32_MAX);
    memset(frame, 0, FRAME_HEADER_BYTES);
    put_u32(frame, FRAME_MAGIC);
    put_u32(frame + LENGTH_AT, (uint32_t)payload_bytes);
    put_u32(frame + KIND_AT, kind);
    return frame + FRAME_HEADER_BYTES;
}

void frame_seal(uint8_t *frame, uint64_t seed)
{
    Frame content;
    frame_peek(frame, &content);
    put_u64(frame + HASH_AT, XXH3_64bits(content.payload, content.payload_bytes));
    put_u32(frame + CHECK_AT, header_check(frame, seed));
}

size_t frame_encode(uint8_t *frame, uint32_t kind, const void *payload, size_t payload_bytes,
                    uint64_t seed)
{
    uint8_t *to = frame_begin(frame, kind, payload_bytes);
    if (payload_bytes > 0)
        memcpy(to, payload, payload_bytes);
    frame_seal(frame, seed);
    return frame_bytes(payload_bytes);
}

size_t frame_peek(uint8_t *bytes, Frame *out)
{
    uint32_t length;
    get_u32(bytes + LENGTH_AT, &length);
    get_u32(bytes + KIND_AT, &out->kind);
    out->payload_bytes = length;
    out->payload = bytes + FRAME_HEADER_BYTES;
    return frame_bytes(length);
}

bool frame_header_decode(const uint8_t *bytes, size_t payload_bytes_max, uint64_t seed,
                         uint32_t *kind, size_t *payload_bytes)
{
    uint32_t magic, length, check;
    get_u32(bytes, &magic);
    if (magic != FRAME_MAGIC)
        return false;
    get_u32(bytes + LENGTH_AT, &length);
    get_u32(bytes + KIND_AT, kind);
    get_u32(bytes + CHECK_AT, &check);
    *payload_bytes = length;
    return length % FRAME_ALIGN == 0 && length <= payload_bytes_max &&
           check == header_check(bytes, seed);
}

FrameState frame_decode(uint8_t *bytes, size_t num_bytes, size_t payload_bytes_max, uint64_t seed,
                        Frame *out)
{
    if (num_bytes < FRAME_HEADER_BYTES)
        return FRAME_MORE;
    if (!frame_header_decode(bytes, payload_bytes_max, seed, &out->kind, &out->payload_bytes))
        return FRAME_BAD_HEADER;
    out->payload = bytes + FRAME_HEADER_BYTES;
    if (num_bytes - FRAME_HEADER_BYTES < out->payload_bytes)
        return FRAME_MORE;
    uint64_t hash;
    get_u64(bytes + HASH_AT, &hash);
    return hash == XXH3_64bits(out->payload, out->payload_bytes) ? FRAME_SOUND : FRAME_BAD_PAYLOAD;
}

size_t frame_resync(const uint8_t *bytes, size_t num_bytes, size_t payload_bytes_max, uint64_t salt,
                    uint64_t offset)
{
    CHECK(offset % FRAME_ALIGN == 0);
    uint32_t kind;
    size_t payload_bytes, i = 0;
    for (; i + FRAME_HEADER_BYTES <= num_bytes; i += FRAME_ALIGN) {
        if (frame_header_decode(bytes + i, payload_bytes_max, frame_seed(salt, offset + i), &kind,
                                &payload_bytes))
            break;
    }
    return i;
}
