#include "proto/wire_relay.h"

#include <string.h>

#include "common/check.h"
#include "proto/wire_internal.h"

/* Field numbers of polyak.proto. A field is written also where it has its default value, which
 * protobuf-c would leave out: it has to win over what stood there. */
enum {
    HELLO_ORIGIN_KEY = 11,
    HELLO_ORIGIN_ROLES = 12,
    HELLO_VIA = 13,
    WELCOME_WEIGHTS_PORT = 5,
    WELCOME_WEIGHTS_ENDPOINT = 6,
};
enum { TYPE_VARINT = 0, TYPE_BYTES = 2 };

static size_t put_varint(uint8_t *out, uint32_t value)
{
    size_t bytes = 0;
    for (; value >= 0x80; value >>= 7)
        out[bytes++] = (uint8_t)(value | 0x80);
    out[bytes++] = (uint8_t)value;
    return bytes;
}

static size_t put_number(uint8_t *out, uint32_t field, uint32_t value)
{
    size_t bytes = put_varint(out, field << 3 | TYPE_VARINT);
    return bytes + put_varint(out + bytes, value);
}

static size_t put_text(uint8_t *out, uint32_t field, const char *text, size_t text_max)
{
    size_t length = strlen(text);
    CHECK(length <= text_max);
    size_t bytes = put_varint(out, field << 3 | TYPE_BYTES);
    bytes += put_varint(out + bytes, (uint32_t)length);
    /* A field's bytes end with its length. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(out + bytes, text, length);
    return bytes + length;
}

bool wire_may_append(const uint8_t *frame, size_t frame_bytes)
{
    return frame_bytes > 0 && wire_scan_is_whole(frame + 1, frame_bytes - 1);
}

size_t wire_append_origin(const HelloOrigin *origin, uint8_t out[WIRE_APPENDED_BYTES_MAX])
{
    size_t bytes = put_text(out, HELLO_ORIGIN_KEY, origin->key, WIRE_NAME_MAX);
    bytes += put_number(out + bytes, HELLO_ORIGIN_ROLES, origin->roles);
    return bytes + put_text(out + bytes, HELLO_VIA, origin->via, WIRE_NAME_MAX);
}

size_t wire_append_weights(uint32_t port, const char *endpoint,
                           uint8_t out[WIRE_APPENDED_BYTES_MAX])
{
    size_t bytes = put_number(out, WELCOME_WEIGHTS_PORT, port);
    return bytes + put_text(out + bytes, WELCOME_WEIGHTS_ENDPOINT, endpoint, WIRE_ENDPOINT_MAX);
}
