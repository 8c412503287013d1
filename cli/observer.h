/* An observer of a learner: says Hello on the uplink and asks for the status; or an operator, which
 * gives an order too. Never blocks and never gives up by itself: where nothing is heard it dials
 * again. Belongs to one thread.
 *
 * Its file descriptor is edge-triggered: call observer_advance() when it is readable, and from time
 * to time. */
#ifndef POLYAK_CLI_OBSERVER_H
#define POLYAK_CLI_OBSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/dialing.h"
#include "common/err.h"
#include "common/run_status.h"
#include "proto/wire.h"

enum { OBSERVER_SILENCE_MS = 3000 };

typedef struct Observer Observer;

/* Why the learner does not let us in, as far as the handshake tells; NULL where it does not. */
const char *observer_trouble(Observer *observer);

/* `name` is what the learner calls it; `keys` are copied, NULL: none. ERR_USAGE when the endpoint
 * is none, ERR_NET, ERR_NOMEM. */
int observer_new(const char *endpoint, const char *name, const DialKeys *keys, Observer **observer,
                 Err *err);
void observer_destroy(Observer **observer);

/* The descriptor to poll for readability; another one after a reconnection. */
int observer_fd(const Observer *observer);

/* Asks for a status with the next advance. */
void observer_ask(Observer *observer);

/* Gives an order, a Set or a Drain, and again on each new connection until it is answered: orders
 * may come twice. To be called before the first advance: it makes the observer an operator. */
void observer_order(Observer *observer, const Message *order);

/* The answer to the order; NULL while there is none. */
const Outcome *observer_outcome(const Observer *observer);

/* Sends what is due and receives what is there. *status is the newest status that came in, or NULL;
 * it lives until the next call. ERR_NET with the learner's reason when it refuses observers;
 * ERR_VERSION when it speaks another protocol. */
int observer_advance(Observer *observer, int64_t now_ms, const RunStatus **status, Err *err);

#endif
