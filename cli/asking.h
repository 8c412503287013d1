/* What the commands that talk to a running learner share: an observer that is waited for. For the
 * main thread. */
#ifndef POLYAK_CLI_ASKING_H
#define POLYAK_CLI_ASKING_H

#include "cli/observer.h"
#include "common/config/config.h"

enum { ASKING_ANSWER_MS = 5000 };

typedef struct Asking {
    Observer *observer;
    char endpoint[WIRE_ENDPOINT_MAX + 1];
} Asking;

/* Dials --connect with --key and --learner-key; `name` is what the learner calls us. ERR_USAGE,
 * ERR_NET, ERR_NOMEM. */
int asking_open(Asking *asking, const Config *config, const char *name, Err *err);
void asking_close(Asking *asking);

/* Waits for a status; it lives until the next call. ERR_NET when nobody answers. */
int asking_status(Asking *asking, const RunStatus **status, Err *err);

/* Gives an order, before anything else, and waits for its outcome. */
int asking_order(Asking *asking, const Message *order, const Outcome **outcome, Err *err);

/* Takes the first word that is neither a flag nor a flag's value off the command line, as in
 * `polyak set --connect … KEY=VALUE`; NULL when there is none. */
const char *asking_word(int *argc, char ***argv);

#endif
