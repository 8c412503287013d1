/* The uplink socket of the learner: a ROUTER, its frames to messages and back. A link is the number
 * in the routing id that libzmq gave the connection; peers that chose an id of their own are not
 * served, so nobody can speak for another connection. Owned by the loop thread. */
#ifndef POLYAK_NET_ROUTER_H
#define POLYAK_NET_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "net/identity.h"
#include "net/trust.h"
#include "proto/wire.h"

typedef struct Router Router;

/* Binds `endpoint` for messages of at most message_bytes_max. `trust` is borrowed; NULL: no keys,
 * and nothing is counted. ERR_BUSY (in use), ERR_USAGE (no endpoint), ERR_NET. */
int router_new(void *zmq_context, const char *endpoint, size_t message_bytes_max, Trust *trust,
               Router **router, Err *err);
void router_destroy(Router **router);

void *router_socket(Router *router);

/* The next message that has arrived. 0, ERR_MISSING when there is none, or the decoder's error with
 * *link set (0 where the sender is not served). */
int router_receive(Router *router, const WireLimits *limits, uint32_t *link, Message *message,
                   Err *err);

/* Who sent the message that router_receive() gave last, where that was a Hello or could not be
 * read; nobody with any role otherwise. */
const PeerIdentity *router_identity(const Router *router);

/* ERR_MISSING when the link is gone, ERR_FULL when the message did not fit into the link's queue
 * and was dropped: most of what the learner says is said again by the next message. */
int router_send(Router *router, uint32_t link, const Message *message);

/* The endpoint that is bound, with the port in place of a wildcard. */
const char *router_endpoint(const Router *router);

#endif
