/* What `polyak train` starts, and where: the private directory with the learner's endpoint, the
 * programs, and their command lines. Plain values; belongs to the main thread.
 *
 * The private directory has a random name and mode 0700, so nobody else can connect. An ipc path is
 * limited to 107 bytes (sun_path); the longest one in the directory fits. */
#ifndef POLYAK_CLI_TRAIN_LAUNCH_H
#define POLYAK_CLI_TRAIN_LAUNCH_H

#include "common/config/config.h"
#include "common/err.h"
#include "common/fs.h"

enum { LAUNCH_DIRECTORY_MAX = 91, LAUNCH_ENDPOINT_MAX = 120 };

typedef struct Launch {
    char directory[LAUNCH_DIRECTORY_MAX + 1];
    char endpoint[LAUNCH_ENDPOINT_MAX + 1]; /* the learner's: ipc://DIRECTORY/uplink */
    char learner[FS_PATH_MAX];              /* path of polyak-learner */
    char actor[FS_PATH_MAX];                /* path of polyak-actor */
} Launch;

/* Finds the programs beside this one. ERR_MISSING. */
int launch_find_programs(Launch *launch, Err *err);

/* The same, and makes the directory, in the first of $XDG_RUNTIME_DIR,
 * $TMPDIR and /tmp that will do. ERR_MISSING or ERR_IO. */
int launch_open(Launch *launch, Err *err);

/* Removes the directory and the sockets in it. */
void launch_close(Launch *launch);

/* Command lines: NULL-terminated, to be released with launch_free_args(). NULL when out of memory.
 * `index` is -1 for the evaluator. */
char **launch_learner_args(const Launch *launch, const Config *config);
char **launch_actor_args(const Launch *launch, const Config *config, int index);
void launch_free_args(char **args);

#endif
