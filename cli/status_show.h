/* A status for a person, and as JSON. No state; for the main thread. */
#ifndef POLYAK_CLI_STATUS_SHOW_H
#define POLYAK_CLI_STATUS_SHOW_H

#include <jansson.h>

#include "common/run_status.h"

/* Prints a page on stdout, alarms first. Lines have at most 120 columns, but for a longer word. */
void status_print(const RunStatus *status);

/* All of it; NULL when out of memory. */
json_t *status_json(const RunStatus *status);

#endif
