/* The connection of an actor or evaluator to its learner: the uplink's logic, its socket, and what
 * a person is told about it. Owned by the process's one thread. */
#ifndef POLYAK_ACTOR_CONNECTION_H
#define POLYAK_ACTOR_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/dealer.h"
#include "actor/uplink.h"
#include "common/config/config.h"

typedef struct Connection {
    Uplink uplink;
    Dealer dealer;
    WireLimits dims;
    uint64_t welcomes_seen;
    uint64_t sessions_seen;
    uint64_t losses_said; /* segments */
    bool silence_said;    /* that the learner is lost */
    int64_t next_word_ms; /* when the wait for the learner is logged next */
    void (*on_message)(void *context,
                       const Message *message); /* what is not the protocol's; or NULL */
    void *context;
} Connection;

/* A name for people: --name, or host/pid. */
void connection_name(const Config *config, char name[WIRE_NAME_MAX + 1]);

/* Fills the Hello's labels from --labels. ERR_USAGE. */
int connection_labels(const Config *config, Hello *hello, Err *err);

/* `outbox` may be NULL. ERR_USAGE, ERR_NOMEM. */
int connection_open(Connection *connection, void *zmq_context, const Config *config,
                    const Hello *hello, Outbox *outbox, size_t message_bytes_max, Err *err);
void connection_close(Connection *connection);

/* Receives and sends all there is, without waiting. ERR_USAGE when the endpoint can never be
 * dialled, ERR_SPEC when the learner refuses us for good: err has its words. */
int connection_drive(Connection *connection, int64_t now_ms, Err *err);

/* Whether a new Welcome came since the last call; whether a new session began. */
bool connection_welcomed(Connection *connection);
bool connection_new_session(Connection *connection);

/* Sleeps until something may have arrived on the uplink or on `other` (may be NULL), a signal came,
 * or the time is over. */
void connection_wait(Connection *connection, void *other, int timeout_ms);

/* Random bits for a session, from the kernel. */
int session_make(Session *session, Err *err);

#endif
