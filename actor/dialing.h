/* What every socket of ours that dials out has in common: no lingering, a network that went away is
 * found again within seconds (libzmq's own defaults take far longer), and the keys. One thread. */
#ifndef POLYAK_ACTOR_DIALING_H
#define POLYAK_ACTOR_DIALING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/keys.h"

enum {
    DIAL_LEARNER_KEYS_MAX = 2,
};

/* The keys of a program that dials a learner: its own, and one or two that the learner may have.
 * A plain value; zero is "without keys". Wiped by dialing_forget_keys(). */
typedef struct DialKeys {
    bool used;
    const char *own_path;      /* --key, borrowed */
    const char *learner_paths; /* --learner-key, borrowed */
    SecretKey own;
    PublicKey learner[DIAL_LEARNER_KEYS_MAX];
    int num_learner;
    int current; /* of the learner's keys: the one to dial with */
} DialKeys;

/* Reads --key FILE and --learner-key FILE[,FILE]; both are borrowed, and both are empty where
 * connections are without keys. ERR_USAGE for one without the other, and for files that cannot be
 * read. */
int dialing_read_keys(const char *key, const char *learner_key, DialKeys *keys, Err *err);
void dialing_forget_keys(DialKeys *keys);

/* Before a new connection: reads the learner's keys again, since they may have been changed, and
 * takes the next one where the last one did not work. What cannot be read stays as it was. */
void dialing_turn_keys(DialKeys *keys, bool worked);

/* Sets an option that is an int. */
void dialing_set(void *socket, int option, int value);

/* Sets the common options of a new socket. Its incoming queue has at most `messages_max`, each of
 * at most message_bytes_max: libzmq ends the connection that brings a larger one. `keys` may be
 * NULL. */
void dialing_prepare(void *socket, int messages_max, size_t message_bytes_max,
                     const DialKeys *keys);

/* Watches the handshakes of a socket that has not connected yet: a monitor, to be read by
 * dialing_trouble() and ended by dialing_unwatch() before the socket is closed. NULL when there is
 * none to be had: then nothing is said. */
void *dialing_watch(void *zmq_context, void *socket);
void dialing_unwatch(void *socket, void **monitor);

/* Why the newest handshake failed, for a person, or NULL where nothing new is known. */
const char *dialing_trouble(void *monitor, bool keyed);

#endif
