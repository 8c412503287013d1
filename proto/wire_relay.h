/* What a relay's messages have beside the frame: the channel's number, in a part of its own; and
 * what a relay adds to a frame that it passes on and does not decode. A protobuf message takes the
 * last value of a field, so what is appended wins over what stood there, and fields that this
 * version does not know stay in the frame. No state; any thread. */
#ifndef POLYAK_PROTO_WIRE_RELAY_H
#define POLYAK_PROTO_WIRE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

/* Who says a Hello, as the relay that it dialled has made sure. */
typedef struct HelloOrigin {
    char key[WIRE_NAME_MAX + 1]; /* name of its key; empty: none */
    uint32_t roles;              /* that the relay's own table grants it: bits 1 << Role */
    char via[WIRE_NAME_MAX + 1]; /* the relay's name */
} HelloOrigin;

/* Bytes that hold what one of the functions appends. */
enum { WIRE_APPENDED_BYTES_MAX = 2 * (2 + WIRE_NAME_MAX) + 2 + WIRE_ENDPOINT_MAX + 16 };

/* Whether what is appended to this frame is read as fields of its own. To be asked before each
 * append: the last field of a hostile frame may claim more bytes than there are, and would swallow
 * what follows, so that an origin which the peer wrote itself would stand. Such a frame is not
 * passed on. */
bool wire_may_append(const uint8_t *frame, size_t frame_bytes);

/* Writes what makes a Hello say this origin, whatever it said; returns the number of bytes. */
size_t wire_append_origin(const HelloOrigin *origin, uint8_t out[WIRE_APPENDED_BYTES_MAX]);

/* Writes what makes a Welcome name these weights: a port of the host that was dialled, or where
 * `endpoint` is not empty, that. */
size_t wire_append_weights(uint32_t port, const char *endpoint,
                           uint8_t out[WIRE_APPENDED_BYTES_MAX]);

/* The part in front of a frame that is on a channel. */
enum { WIRE_CHANNEL_BYTES = 4 };

static inline void wire_put_channel(uint32_t channel, uint8_t part[WIRE_CHANNEL_BYTES])
{
    for (int i = 0; i < WIRE_CHANNEL_BYTES; i++)
        part[i] = (uint8_t)(channel >> 8 * i);
}

/* 0 where that is no channel's number. */
static inline uint32_t wire_get_channel(const uint8_t *part, size_t part_bytes)
{
    if (part_bytes != WIRE_CHANNEL_BYTES)
        return 0;
    return (uint32_t)part[0] | (uint32_t)part[1] << 8 | (uint32_t)part[2] << 16 |
           (uint32_t)part[3] << 24;
}

/* The kind of a frame; 0 for an empty one. */
static inline unsigned wire_kind(const uint8_t *frame, size_t frame_bytes)
{
    return frame_bytes > 0 ? frame[0] : 0;
}

#endif
