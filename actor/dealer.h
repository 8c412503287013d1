/* The uplink socket of who dials: a DEALER, made anew for every connection. A relay's carries
 * channels too: messages of two parts, the channel's number and the frame. Owned by one thread. */
#ifndef POLYAK_ACTOR_DEALER_H
#define POLYAK_ACTOR_DEALER_H

#include <stddef.h>
#include <stdint.h>

#include <zmq.h>

#include "actor/dialing.h"
#include "common/err.h"
#include "proto/wire.h"

typedef struct Dealer {
    void *zmq_context;
    void *socket; /* NULL: none */
    WireArena *arena;
    size_t message_bytes_max;
    int queue_messages;                   /* each way */
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

/* Sends a frame as it is, on a channel (0: none), and leaves it empty. ERR_FULL when the socket's
 * queue is full, ERR_MISSING without a socket: nothing was sent, and the frame is as it was. */
int dealer_send_frame(Dealer *dealer, uint32_t channel, zmq_msg_t *frame);

/* Lets what is queued go out for up to linger_ms when the socket is closed: for the last Bye. */
void dealer_linger(Dealer *dealer, int linger_ms);

/* The next message, or ERR_MISSING; ERR_FORMAT and the like for one that cannot be read. What it
 * points to lives until the next call. */
int dealer_receive(Dealer *dealer, Message *message, Err *err);

/* The next frame, undecoded, in place of `frame`, an initialised message; *channel is 0 where it
 * has none. ERR_MISSING, or ERR_FORMAT for parts that make no message. */
int dealer_receive_frame(Dealer *dealer, uint32_t *channel, zmq_msg_t *frame);

/* Decodes a frame that was received; as dealer_receive(). */
int dealer_unpack(Dealer *dealer, zmq_msg_t *frame, Message *message, Err *err);

#endif
