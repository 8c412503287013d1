/* Weights through a relay: subscribed once at the parent, checked once, kept for those that join,
 * and sent on to all that have dialled the relay. The newest wins. Owned by the relay's one thread.
 */
#ifndef POLYAK_RELAY_WEIGHTS_H
#define POLYAK_RELAY_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "actor/downlink.h"
#include "net/publish.h"
#include "net/zmq_watch.h"

typedef struct RelayWeights {
    Downlink downlink;
    Publisher *publisher; /* borrowed */
    uv_loop_t *loop;
    ZmqWatch *watch;      /* of the downlink's socket; NULL: there is none */
    Version version;      /* that is kept; epoch 0: none */
    bool due;             /* it was not sent on yet: the interval is not over */
    int64_t sent_ms;      /* when the last one was sent on */
    uint32_t interval_ms; /* that keeps the traffic within its limit */
} RelayWeights;

/* `publisher` and `keys` are borrowed. The weights must stay where they are. ERR_NOMEM. */
int weights_init(RelayWeights *weights, void *zmq_context, uv_loop_t *loop, Publisher *publisher,
                 const DialKeys *keys, Err *err);
void weights_close(RelayWeights *weights);

/* Subscribes where the parent's Welcome says; `dialled` is the endpoint of the uplink. What is kept
 * of another run is forgotten. */
void weights_open(RelayWeights *weights, const Welcome *welcome, const char *dialled,
                  const Session *session);

/* Time passes: to be called every 100 ms or so. `newest` is what the parent says it is; the traffic
 * to `subscribers` is kept within bytes_per_s_max. */
void weights_tick(RelayWeights *weights, Version newest, uint32_t publish_interval_ms,
                  uint32_t subscribers, uint64_t bytes_per_s_max, int64_t now_ms);

#endif
