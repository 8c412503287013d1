/* Frames as released versions wrote them: tests/proto/recorded/v2.txt holds those of protocol
 * version 2, one a line, "NAME HEX". They are written once and never changed. For tests only. */
#ifndef POLYAK_TESTS_PROTO_WIRE_RECORDED_H
#define POLYAK_TESTS_PROTO_WIRE_RECORDED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "proto/wire.h"

enum { RECORDED_FIRST_VERSION = 2, RECORDED_BYTES_MAX = 4096 };

typedef struct Recorded {
    char name[32];
    size_t num_bytes;
    uint8_t bytes[RECORDED_BYTES_MAX];
} Recorded;

/* NULL when nothing of that version is recorded. */
static inline FILE *recorded_open(int version)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/proto/recorded/v%d.txt", POLYAK_SOURCE_DIR, version);
    return fopen(path, "r");
}

static inline int recorded_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = digit ? strchr(digits, digit) : NULL;
    CHECK(found);
    return (int)(found - digits);
}

/* The next line; false at the end. */
static inline bool recorded_next(FILE *file, Recorded *recorded)
{
    static char hex[2 * RECORDED_BYTES_MAX + 1];
    int fields = fscanf(file, "%31s %8192s", recorded->name, hex);
    if (fields == EOF)
        return false;
    CHECK(fields == 2 && strlen(hex) % 2 == 0);
    recorded->num_bytes = strlen(hex) / 2;
    for (size_t i = 0; i < recorded->num_bytes; i++)
        recorded->bytes[i] =
            (uint8_t)(recorded_digit(hex[2 * i]) << 4 | recorded_digit(hex[2 * i + 1]));
    return true;
}

/* The frame of that name; false when nothing of that version is recorded. */
static inline bool recorded_find(int version, const char *name, Recorded *recorded)
{
    FILE *file = recorded_open(version);
    if (!file)
        return false;
    bool found = false;
    while (!found && recorded_next(file, recorded))
        found = strcmp(recorded->name, name) == 0;
    fclose(file);
    CHECK(found);
    return true;
}

/* Decodes a recorded frame of the uplink. What the message points at lives until the next one. */
static inline int recorded_unpack(const Recorded *recorded, const WireLimits *limits,
                                  Message *message, Err *err)
{
    static WireArena *arena;
    wire_arena_destroy(&arena);
    arena = wire_arena_new(1 << 20);
    CHECK(arena);
    return wire_unpack(recorded->bytes, recorded->num_bytes, limits, arena, message, err);
}

/* Whether a text names both protocol versions, as a person needs it who has two. */
static inline bool recorded_names_both(const char *text, int version)
{
    char one[32], other[32];
    snprintf(one, sizeof one, " %d", version);
    snprintf(other, sizeof other, " %d", WIRE_PROTOCOL_VERSION);
    return strstr(text, one) && strstr(text, other) && !strchr(text, '\n');
}

#endif
