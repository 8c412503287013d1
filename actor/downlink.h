/* The downlink: weights in, newest wins. A SUB socket on `W` and on `J<session>`; what has come is
 * drained to the newest. An actor that stays behind what the learner says is the newest asks again.
 * Owned by the actor's one thread. */
#ifndef POLYAK_ACTOR_DOWNLINK_H
#define POLYAK_ACTOR_DOWNLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/policy.h"
#include "common/err.h"
#include "proto/wire.h"

typedef struct Downlink {
    void *zmq_context;
    void *socket; /* NULL: none */
    WireArena *arena;
    const Spec *spec;
    char endpoint[WIRE_ENDPOINT_MAX + 1];
    uint8_t join_topic[WIRE_TOPIC_MAX];
    int64_t behind_ms;   /* since when the policy is older than the newest; 0: it is not */
    int64_t received_ms; /* when the newest weights came, or came again; 0: never */
} Downlink;

/* `spec` is borrowed. ERR_NOMEM. */
int downlink_init(Downlink *downlink, void *zmq_context, const Spec *spec, Err *err);
void downlink_destroy(Downlink *downlink);

/* Subscribes where a Welcome says, with a new socket; `dialled` is the endpoint of the uplink.
 * ERR_NET, ERR_USAGE. */
int downlink_open(Downlink *downlink, const Welcome *welcome, const char *dialled,
                  const Session *session, Err *err);

/* Takes the newest weights that have come into the policy, where they are newer than it. */
void downlink_poll(Downlink *downlink, Policy *policy, int64_t now_ms);

/* Asks for the newest weights again when the policy has been behind for longer than the publishing
 * interval. */
void downlink_chase(Downlink *downlink, const Policy *policy, Version newest,
                    uint32_t publish_interval_ms, int64_t now_ms);

#endif
