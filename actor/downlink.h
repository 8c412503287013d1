/* The downlink: weights in, newest wins. A SUB socket on `W` and on `J<session>`; what has come is
 * drained to the newest. An actor that stays behind what the learner says is the newest asks again.
 * A relay has one too. Owned by one thread. */
#ifndef POLYAK_ACTOR_DOWNLINK_H
#define POLYAK_ACTOR_DOWNLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <zmq.h>

#include "actor/dialing.h"
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
    bool joining;         /* it asks for weights on its own topic, and none have come since */
    int64_t behind_ms;    /* since when the policy is older than the newest; 0: it is not */
    const DialKeys *keys; /* NULL: none */
    int64_t silent_ms;    /* since when nothing came, or since it was dialled; 0: not known yet */
    int64_t patience_ms;  /* then it is dialled again */
    int64_t received_ms;  /* when the newest weights came, or came again; 0: never */
    /* For a loop that watches the socket: called before one is closed, with NULL, and when there is
     * another one. Or NULL. */
    void (*on_socket)(void *context, void *socket);
    void *context;
} Downlink;

/* `spec` is borrowed, and may be NULL where weights are not taken into a policy. ERR_NOMEM. */
int downlink_init(Downlink *downlink, void *zmq_context, const Spec *spec, Err *err);
void downlink_destroy(Downlink *downlink);

/* `keys` are those of the uplink, and borrowed: the learner's key that works there works here. */
void downlink_use_keys(Downlink *downlink, const DialKeys *keys);

/* Subscribes where a Welcome says, with a new socket; `dialled` is the endpoint of the uplink.
 * ERR_NET, ERR_USAGE. */
int downlink_open(Downlink *downlink, const Welcome *welcome, const char *dialled,
                  const Session *session, Err *err);

/* The newest frame that has come, in place of `frame`, an initialised message, and decoded: what
 * `weights` points to lives until the next call. False when none came that can be read. */
bool downlink_receive(Downlink *downlink, zmq_msg_t *frame, Weights *weights, int64_t now_ms);

/* Takes the newest weights that have come into the policy, where they are newer than it. */
void downlink_poll(Downlink *downlink, Policy *policy, int64_t now_ms);

/* Asks for the newest weights again when the policy has been behind for longer than the publishing
 * interval; dials again when nothing at all has come for seconds, though the learner sends what it
 * has every second: libzmq gives up a connection that was refused once. */
void downlink_chase(Downlink *downlink, const Policy *policy, Version newest,
                    uint32_t publish_interval_ms, int64_t now_ms);

/* The same for who has another place for weights, and these ones in it. */
void downlink_chase_from(Downlink *downlink, Version have, Version newest,
                         uint32_t publish_interval_ms, int64_t now_ms);

#endif
