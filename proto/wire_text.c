#include <string.h>

#include "proto/wire_internal.h"

/* Characters that print nothing, or move what others print: controls, zero-width and bidirectional
 * ones, line separators, the byte order mark. A peer's name must not rewrite a terminal. */
static bool is_invisible(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* Bytes of the character at `text`: 0 when it is no well-formed UTF-8 or must not be shown. */
static size_t printable_bytes(const uint8_t *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* below it: overlong */
    uint32_t c = text[0];
    if (c < 0x80)
        return is_invisible(c) ? 0 : 1;
    size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc0 || c > 0xf4)
        return 0;
    c &= 0x7fU >> length;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) /* also the terminating zero */
            return 0;
        c = c << 6 | (text[i] & 0x3fU);
    }
    bool is_character = c >= least[length] && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
    return is_character && !is_invisible(c) ? length : 0;
}

int wire_text_copy(char *out, size_t out_bytes, const char *text, const char *what, Err *err)
{
    size_t length = strlen(text);
    if (length >= out_bytes)
        return err_set(err, ERR_FORMAT, "%s of %zu bytes; the limit is %zu", what, length,
                       out_bytes - 1);
    for (size_t i = 0; i < length;) {
        size_t bytes = printable_bytes((const uint8_t *)text + i);
        if (bytes == 0)
            out[i++] = '?';
        else
            memcpy(out + i, text + i, bytes);
        i += bytes;
    }
    out[length] = '\0';
    return ERR_OK;
}
