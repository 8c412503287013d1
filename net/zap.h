/* The ZAP handler (RFC 27): libzmq asks it, for each connection that proved to hold a secret key,
 * whether that key may come in. It must be there before the sockets that ask; while it is not, or
 * does not answer, nobody comes in. Only the protocol is here: who is allowed is for the one who
 * decides. Owned by the loop thread. */
#ifndef POLYAK_NET_ZAP_H
#define POLYAK_NET_ZAP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/keys.h"

enum { ZAP_DOMAIN_BYTES = 16, ZAP_ADDRESS_BYTES = 64, ZAP_USER_ID_BYTES = 128 };

typedef struct ZapRequest {
    char domain[ZAP_DOMAIN_BYTES];
    char address[ZAP_ADDRESS_BYTES]; /* of the peer, without its port */
    char mechanism[ZAP_DOMAIN_BYTES];
    bool has_key; /* CURVE, and a key of the right length */
    uint8_t key[KEY_BYTES];
} ZapRequest;

/* True lets the connection in, with `user_id` for its messages. */
typedef bool (*ZapDecide)(void *context, const ZapRequest *request,
                          char user_id[ZAP_USER_ID_BYTES]);

typedef struct Zap Zap;

/* ERR_BUSY when this context has a handler, ERR_NET, ERR_NOMEM. */
int zap_new(void *zmq_context, ZapDecide decide, void *context, Zap **zap, Err *err);
void zap_destroy(Zap **zap);

void *zap_socket(Zap *zap);

/* Answers what was asked, a bounded number at a time; to be called when the socket is readable. */
void zap_serve(Zap *zap);

#endif
