/* Cuts the bytes that a child process writes into lines. Belongs to the event loop's thread.
 *
 * A line is at most LINE_BYTES_MAX bytes; a longer one comes in several. What could disturb a
 * terminal (control bytes) becomes '?', a tab a blank; the end of a line, "\n" or "\r\n", is taken
 * off. */
#ifndef POLYAK_CLI_TRAIN_LINES_H
#define POLYAK_CLI_TRAIN_LINES_H

#include <stddef.h>

enum { LINE_BYTES_MAX = 2047 };

typedef struct Lines {
    char line[LINE_BYTES_MAX + 1];
    size_t num_bytes; /* of the line that is not ended yet */
} Lines;

typedef void (*LineTaker)(void *owner, const char *line);

/* Hands every line that is ended by these bytes to `take`. `lines` starts as zeros. */
void lines_add(Lines *lines, const char *bytes, size_t num_bytes, LineTaker take, void *owner);

/* Hands over the last line, where the stream ended without a newline. */
void lines_end(Lines *lines, LineTaker take, void *owner);

#endif
