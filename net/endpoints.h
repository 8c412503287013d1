/* Where the weights are, and what every Welcome says. */
#ifndef POLYAK_NET_ENDPOINTS_H
#define POLYAK_NET_ENDPOINTS_H

#include <stdbool.h>

#include "common/config/config.h"
#include "common/err.h"
#include "proto/wire.h"

/* Connections that wait for libzmq to take them. Its own hundred are too few for a fleet that comes
 * back as one: the kernel drops the others, whose next attempt is seconds later. The kernel may
 * allow fewer (net.core.somaxconn). */
enum { ENDPOINTS_BACKLOG = 4096 };

/* Refuses what a learner cannot listen on, before it is bound: ERR_USAGE for another transport, and
 * for a port outside 1…65534. The port * is any free one. */
int endpoints_check(const char *uplink, Err *err);

/* The weights endpoint beside a bound uplink endpoint: the next port, or for ipc the path and
 * ".weights". ERR_USAGE for other transports and for the last port. */
int endpoints_weights(const char *uplink, char weights[WIRE_ENDPOINT_MAX + 1], Err *err);

/* Whether other machines can reach a bound endpoint. */
bool endpoints_are_public(const char *uplink);

/* Tells actors where the weights are: the port alone for tcp, so that each uses the host that it
 * dialled; the whole endpoint for ipc, or with --advertise. */
int endpoints_advertise(const Config *config, const char *weights, Welcome *welcome, Err *err);

/* Fills what a Welcome says of the run from the configuration; leaves the weights' place alone. */
void endpoints_fill_welcome(const Config *config, Welcome *welcome);

#endif
