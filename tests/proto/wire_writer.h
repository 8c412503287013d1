/* Protobuf written by hand, for frames that the wire itself would never make. */
#ifndef POLYAK_TESTS_PROTO_WIRE_WRITER_H
#define POLYAK_TESTS_PROTO_WIRE_WRITER_H

#include <stdint.h>
#include <string.h>

#include "common/check.h"

typedef struct Writer {
    size_t length;
    uint8_t bytes[1 << 16];
} Writer;

static inline void write_byte(Writer *writer, unsigned value)
{
    CHECK(writer->length < sizeof writer->bytes);
    writer->bytes[writer->length++] = (uint8_t)value;
}

static inline void write_varint(Writer *writer, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        write_byte(writer, 0x80 | (unsigned)(value & 0x7f));
    write_byte(writer, (unsigned)value);
}

static inline void write_uint(Writer *writer, unsigned field, uint64_t value)
{
    write_varint(writer, (uint64_t)field << 3);
    write_varint(writer, value);
}

static inline void write_double(Writer *writer, unsigned field, double value)
{
    uint8_t bytes[sizeof value];
    memcpy(bytes, &value, sizeof value);
    write_varint(writer, (uint64_t)field << 3 | 1);
    for (size_t i = 0; i < sizeof bytes; i++)
        write_byte(writer, bytes[i]);
}

static inline void write_bytes(Writer *writer, unsigned field, const void *bytes, size_t num_bytes)
{
    write_varint(writer, (uint64_t)field << 3 | 2);
    write_varint(writer, num_bytes);
    for (size_t i = 0; i < num_bytes; i++)
        write_byte(writer, ((const uint8_t *)bytes)[i]);
}

static inline void write_text(Writer *writer, unsigned field, const char *text)
{
    write_bytes(writer, field, text, strlen(text));
}

#endif
