/* The uplink socket that peers dial: a ROUTER, its frames to messages and back. A link is the
 * number in the routing id that libzmq gave the connection, with the channel where a message has
 * one; peers that chose an id of their own are not served, so nobody can speak for another
 * connection. The learner has one, and each relay, which passes frames on as they are. Owned by the
 * loop thread. */
#ifndef POLYAK_NET_ROUTER_H
#define POLYAK_NET_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include <zmq.h>

#include "common/err.h"
#include "net/identity.h"
#include "net/link.h"
#include "net/trust.h"
#include "proto/wire.h"

typedef struct Router Router;

/* Binds `endpoint` for messages of at most message_bytes_max. As long as nothing is received, what
 * a connection sends takes at most 128 MiB or 64 messages, whichever is more. `trust` is borrowed;
 * NULL: no keys, and nothing is counted. ERR_BUSY (in use), ERR_USAGE (no endpoint), ERR_NET. */
int router_new(void *zmq_context, const char *endpoint, size_t message_bytes_max, Trust *trust,
               Router **router, Err *err);
void router_destroy(Router **router);

void *router_socket(Router *router);

/* The next message that has arrived. 0, ERR_MISSING when there is none, or the decoder's error with
 * *link set (0 where the sender is not served). */
int router_receive(Router *router, const WireLimits *limits, Link *link, Message *message,
                   Err *err);

/* The same without decoding: `frame`, an initialised message, is replaced. 0, ERR_MISSING when
 * there is none, or ERR_FORMAT for parts that make no message. */
int router_receive_frame(Router *router, Link *link, zmq_msg_t *frame);

/* Who sent what was received last, where that was a Hello or could not be read; nobody with any
 * role otherwise. On a channel it is the one who has connected: the relay. */
const PeerIdentity *router_identity(const Router *router);

/* ERR_MISSING when the connection is gone, ERR_FULL when the message did not fit into its queue and
 * was dropped: most of what the learner says is said again by the next message. */
int router_send(Router *router, Link link, const Message *message);

/* The same with a frame. What was sent leaves it empty; closing it is left to the caller. */
int router_send_frame(Router *router, Link link, zmq_msg_t *frame);

/* The endpoint that is bound, with the port in place of a wildcard. */
const char *router_endpoint(const Router *router);

#endif
