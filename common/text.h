/* Text for a person: separators, excerpts, spelling. Pure functions; any thread. */
#ifndef POLYAK_COMMON_TEXT_H
#define POLYAK_COMMON_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { TEXT_NUMBER_BYTES = 32, TEXT_DISTANCE_MAX = 64 };

/* Writes n with thousands separators ("1,234,567") and returns `out`. */
const char *text_thousands(uint64_t n, char out[TEXT_NUMBER_BYTES]);

/* Copies text as one line that fits: control characters become '?', the rest is cut with "...".
 * Returns `out`. out_bytes >= 8. */
const char *text_excerpt(const char *text, char *out, size_t out_bytes);

/* Reads one UTF-8 character and moves *text behind it. Returns its code point, 0 at the end (*text
 * stays), -1 where the bytes are no UTF-8 (*text stays). */
int32_t text_utf8_next(const char **text);

/* Edit distance: insertions, deletions, substitutions and swaps of neighbours. Words longer than
 * TEXT_DISTANCE_MAX are as far as can be from all others. */
int text_distance(const char *a, const char *b);

#endif
