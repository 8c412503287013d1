#include "common/text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"

const char *text_thousands(uint64_t n, char out[TEXT_NUMBER_BYTES])
{
    char digits[24];
    int num_digits = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    char *to = out;
    for (int i = 0; i < num_digits; i++) {
        if (i > 0 && (num_digits - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

const char *text_excerpt(const char *text, char *out, size_t out_bytes)
{
    CHECK(out_bytes >= 8);
    size_t length = strlen(text);
    bool cut = length >= out_bytes;
    if (cut) {
        length = out_bytes - sizeof "...";
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--; /* never inside a UTF-8 character */
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        out[i] = byte < 0x20 || byte == 0x7F ? '?' : text[i];
    }
    memcpy(out + length, cut ? "..." : "", cut ? 4 : 1);
    return out;
}

int32_t text_utf8_next(const char **text)
{
    const unsigned char *byte = (const unsigned char *)*text;
    if (byte[0] < 0x80) {
        *text += byte[0] != 0;
        return byte[0];
    }
    int num_more;
    int32_t code;
    if (byte[0] >= 0xC2 && byte[0] <= 0xDF) {
        num_more = 1;
        code = byte[0] & 0x1F;
    } else if (byte[0] >= 0xE0 && byte[0] <= 0xEF) {
        num_more = 2;
        code = byte[0] & 0x0F;
    } else if (byte[0] >= 0xF0 && byte[0] <= 0xF4) {
        num_more = 3;
        code = byte[0] & 0x07;
    } else {
        return -1;
    }
    for (int i = 1; i <= num_more; i++) {
        if ((byte[i] & 0xC0) != 0x80) /* also the terminating zero: never reads past it */
            return -1;
        code = code << 6 | (byte[i] & 0x3F);
    }
    bool overlong = (num_more == 2 && code < 0x800) || (num_more == 3 && code < 0x10000);
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (overlong || surrogate || code > 0x10FFFF)
        return -1;
    *text += num_more + 1;
    return code;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

int text_distance(const char *a, const char *b)
{
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    if (a_length > TEXT_DISTANCE_MAX || b_length > TEXT_DISTANCE_MAX)
        return INT_MAX;
    /* Three rows of the table: cost[i % 3][j] turns the first i of a into the first j of b. */
    int cost[3][TEXT_DISTANCE_MAX + 1];
    for (size_t j = 0; j <= b_length; j++)
        cost[0][j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        int *row = cost[i % 3];
        const int *above = cost[(i - 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            int same = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = min_int(min_int(above[j], row[j - 1]) + 1, above[j - 1] + same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min_int(row[j], cost[(i - 2) % 3][j - 2] + 1);
        }
    }
    return cost[a_length % 3][b_length];
}
