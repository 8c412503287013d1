/* Little-endian numbers to bytes and back, one after the other. Private to the log. */
#ifndef POLYAK_LEARNER_LOG_BYTES_H
#define POLYAK_LEARNER_LOG_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t num_bytes)
{
    memcpy(at, bytes, num_bytes);
    return at + num_bytes;
}

static inline uint8_t *put_u32(uint8_t *at, uint32_t x)
{
    x = htole32(x);
    return put_bytes(at, &x, sizeof x);
}

static inline uint8_t *put_u64(uint8_t *at, uint64_t x)
{
    x = htole64(x);
    return put_bytes(at, &x, sizeof x);
}

static inline uint8_t *put_f64(uint8_t *at, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return put_u64(at, bits);
}

/* Zeros up to `end`. */
static inline void put_padding(uint8_t *at, const uint8_t *end)
{
    memset(at, 0, (size_t)(end - at));
}

static inline const uint8_t *get_bytes(const uint8_t *at, void *bytes, size_t num_bytes)
{
    memcpy(bytes, at, num_bytes);
    return at + num_bytes;
}

static inline const uint8_t *get_u32(const uint8_t *at, uint32_t *x)
{
    memcpy(x, at, sizeof *x);
    *x = le32toh(*x);
    return at + sizeof *x;
}

static inline const uint8_t *get_u64(const uint8_t *at, uint64_t *x)
{
    memcpy(x, at, sizeof *x);
    *x = le64toh(*x);
    return at + sizeof *x;
}

static inline const uint8_t *get_f64(const uint8_t *at, double *x)
{
    uint64_t bits;
    at = get_u64(at, &bits);
    memcpy(x, &bits, sizeof bits);
    return at;
}

static inline size_t round_up_8(size_t num_bytes)
{
    return (num_bytes + 7) & ~(size_t)7;
}

#endif
