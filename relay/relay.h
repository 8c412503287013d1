/* A relay: one process of a rack or site between its actors and the learner (docs/relay.md). */
#ifndef POLYAK_RELAY_RELAY_H
#define POLYAK_RELAY_RELAY_H

#include "common/config/config.h"
#include "common/err.h"

/* Runs until the run is finished (0), or a signal asks it to stop: then *signal_number is that one,
 * else 0. ERR_USAGE for what a person must mend on the command line; `config` may be changed to
 * what the machine allows. */
int relay_run(Config *config, int *signal_number, Err *err);

#endif
