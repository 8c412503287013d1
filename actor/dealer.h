/* The actor's uplink socket: a DEALER, made anew for every connection. Owned by the actor's one
 * thread. */
#ifndef POLYAK_ACTOR_DEALER_H
#define POLYAK_ACTOR_DEALER_H

#include "actor/dialing.h"
#include "common/err.h"
#include "proto/wire.h"

typedef struct Dealer {
    void *zmq_context;
    void *socket; /* NULL: none */
    WireArena *arena;
    size_t message_bytes_max;
    const char *connect;                  /* an endpoint, or @FILE */
    char endpoint[WIRE_ENDPOINT_MAX + 1]; /* that was dialled last */
    DialKeys keys;
    bool heard;          /* the learner, on this connection: its key is the right one */
    void *monitor;       /* of its handshakes */
    const char *trouble; /* why no handshake is finished; NULL: not known, or it is */
} Dealer;

/* `connect` is borrowed. No message of the learner may be larger than message_bytes_max (one of
 * wire.h's): libzmq ends the connection. ERR_USAGE when `connect` can be no endpoint, ERR_NOMEM. */
int dealer_init(Dealer *dealer, void *zmq_context, const char *connect, size_t message_bytes_max,
                Err *err);
void dealer_destroy(Dealer *dealer);

/* Reads the keys of --key and --learner-key (both borrowed; both empty: none). To be called before
 * the first dealer_open(). ERR_USAGE. */
int dealer_use_keys(Dealer *dealer, const char *key, const char *learner_key, Err *err);

/* Why the learner does not let us in, as far as the handshake tells; NULL where it does not. */
const char *dealer_trouble(Dealer *dealer);

/* Closes the socket, and dials again with a new one; @FILE is read again, and another key of the
 * learner is tried where nothing was heard with the last one. ERR_MISSING when the file
 * is not there yet, ERR_USAGE, ERR_NET. */
int dealer_open(Dealer *dealer, Err *err);

/* ERR_FULL when the socket's queue is full: nothing was sent. */
int dealer_send(Dealer *dealer, const Message *message, const WireLimits *dims);

/* Lets what is queued go out for up to linger_ms when the socket is closed: for the last Bye. */
void dealer_linger(Dealer *dealer, int linger_ms);

/* The next message, or ERR_MISSING; ERR_FORMAT and the like for one that cannot be read. What it
 * points to lives until the next call. */
int dealer_receive(Dealer *dealer, Message *message, Err *err);

#endif
