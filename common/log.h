/* Log lines on stderr: "12:34:56 learner: text". Any thread may log; a line is written whole.
 *
 * Where stderr is a terminal, a status line (the live progress) may stand at the bottom: log lines
 * are printed above it, and it is drawn again below them. */
#ifndef POLYAK_COMMON_LOG_H
#define POLYAK_COMMON_LOG_H

#include <stdbool.h>

/* The name in front of every line, such as "learner" or "actor 3"; copied, at most 31 bytes. */
void log_set_name(const char *name);

void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints one finished line as it is: for lines that a child process has already formatted. */
void log_raw(const char *line);

/* Sets the status line (copied); NULL takes it away. Does nothing where stderr is no terminal. */
void log_status_line(const char *text);

/* Whether stderr is a terminal that can hold a status line. */
bool log_is_terminal(void);

#endif
