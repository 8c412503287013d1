#include "cli/train/lines.h"

static void hand_over(Lines *lines, LineTaker take, void *owner)
{
    if (lines->num_bytes > 0 && lines->line[lines->num_bytes - 1] == '\r')
        lines->num_bytes--;
    for (size_t i = 0; i < lines->num_bytes; i++) {
        unsigned char byte = (unsigned char)lines->line[i];
        if (byte == '\t')
            lines->line[i] = ' ';
        else if (byte < 0x20 || byte == 0x7f)
            lines->line[i] = '?';
    }
    lines->line[lines->num_bytes] = '\0';
    lines->num_bytes = 0;
    take(owner, lines->line);
}

void lines_add(Lines *lines, const char *bytes, size_t num_bytes, LineTaker take, void *owner)
{
    for (size_t i = 0; i < num_bytes; i++) {
        if (bytes[i] == '\n') {
            hand_over(lines, take, owner);
            continue;
        }
        if (lines->num_bytes == LINE_BYTES_MAX)
            hand_over(lines, take, owner);
        lines->line[lines->num_bytes++] = bytes[i];
    }
}

void lines_end(Lines *lines, LineTaker take, void *owner)
{
    if (lines->num_bytes > 0)
        hand_over(lines, take, owner);
}
