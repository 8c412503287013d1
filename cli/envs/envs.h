/* `polyak envs`: what environments there are here, and what one of them is. For the main thread. */
#ifndef POLYAK_CLI_ENVS_ENVS_H
#define POLYAK_CLI_ENVS_ENVS_H

#include <jansson.h>

#include "common/config/config.h"
#include "common/err.h"
#include "common/spec.h"

/* Prints all, with the reason where a kind of them is not there. */
int envs_list(const Config *config, Err *err);

/* Prints one. The errors of env_kind_open(); where the name is wrong, with the nearest one. */
int envs_show(const Config *config, const char *name, Err *err);

/* What the Gymnasium of config->python has: {"version": …, "python": …, "groups": {NAME: {"lacks":
 * a package or null, "environments": [ID, …]}}}, of each environment the newest version. They are
 * listed, not made: whether one fits is seen when it is opened. ERR_MISSING, ERR_IO say why not. */
int gymnasium_registry(const Config *config, json_t **registry, Err *err);

#endif
