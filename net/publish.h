/* Weights out: the XPUB socket, the newest policy as a frame, and the joins of actors that need it
 * now. The learner has one, and each relay. Owned by the loop thread. */
#ifndef POLYAK_NET_PUBLISH_H
#define POLYAK_NET_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mlp.h"
#include "common/version.h"
#include "net/trust.h"

typedef struct Publisher Publisher;

/* Binds `endpoint`. `trust` is borrowed; NULL: no keys, and nothing is counted. ERR_BUSY when it is
 * in use, ERR_NET otherwise. */
int publisher_new(void *zmq_context, const char *endpoint, Trust *trust, Publisher **publisher,
                  Err *err);
void publisher_destroy(Publisher **publisher);

void *publisher_socket(Publisher *publisher);

/* Makes the newest policy known to everybody. ERR_NOMEM. */
int publisher_send(Publisher *publisher, const Mlp *mlp, const float *params, Version version,
                   int64_t now_ms);

/* The same in two steps, for a policy that somebody else has made a frame of: `body` is a frame
 * without its topic, and is copied. From publisher_keep() on joins are answered with it;
 * publisher_broadcast() sends it to everybody. ERR_NOMEM. */
int publisher_keep(Publisher *publisher, const uint8_t *body, size_t body_bytes);
void publisher_broadcast(Publisher *publisher, int64_t now_ms);

/* While another broadcast is due and only held back for the sake of the traffic, those that ask
 * again, because they know of a newer policy than they have, wait for it like everybody. Otherwise
 * they would undo what is saved. Who joins is answered all the same. */
void publisher_hold(Publisher *publisher, bool held);

/* Forgets the newest policy: until there is another one, nobody gets any. */
void publisher_forget(Publisher *publisher);

/* Answers joins; to be called when the socket is readable. */
void publisher_receive(Publisher *publisher);

/* Throws all subscribers out: libzmq cannot throw out one. Those that may come in are back within a
 * second or two, by themselves. Done by the next ticks, and not more often than every 2 s. */
void publisher_drop_all(Publisher *publisher);

/* Sends the newest policy again when it is a second old, for those that missed it; does what
 * publisher_drop_all() asked for. To be called every 100 ms or so. */
void publisher_tick(Publisher *publisher, int64_t now_ms);

/* The interval between two policies that keeps the fleet's traffic within bytes_per_s_max. */
uint32_t publisher_interval_ms(const Publisher *publisher, uint32_t subscribers,
                               uint32_t publish_interval_ms, uint64_t bytes_per_s_max);

#endif
