/* How a command ends: its error line, its exit code, its JSON line. No state; for the main thread.
 */
#ifndef POLYAK_CLI_REPORT_H
#define POLYAK_CLI_REPORT_H

#include <jansson.h>

#include "common/err.h"

/* Prints "polyak COMMAND: message" on stderr; returns the exit code that goes with the error. */
int report_error(const char *command, int code, const Err *err);

/* A JSON number; null where the value is not finite. */
json_t *report_real(double value);

/* Prints one line of JSON on stdout and releases it (NULL: out of memory). ERR_IO when stdout does
 * not take it. */
int report_json(json_t *json, Err *err);

#endif
