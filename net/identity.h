/* Who a peer is, as its connection has proved it: filled by whoever knows the transport, read by
 * the fleet at each Hello. A plain value. */
#ifndef POLYAK_NET_IDENTITY_H
#define POLYAK_NET_IDENTITY_H

#include <stdbool.h>

#include "proto/wire.h"

enum { IDENTITY_KEY_BYTES = 64 };

typedef struct PeerIdentity {
    char key[IDENTITY_KEY_BYTES]; /* name of its key; empty where connections have none */
    unsigned roles;               /* that the key grants at this moment: a set of 1u << role */
    bool local;                   /* it came over ipc or loopback */
} PeerIdentity;

/* Without encryption anybody may do all but operate, which the fleet leaves to those on its own
 * machine. */
enum {
    IDENTITY_OPEN_ROLES =
        1 << ROLE_ACTOR | 1 << ROLE_EVALUATOR | 1 << ROLE_OBSERVER | 1 << ROLE_RELAY
};

static inline PeerIdentity identity_without_key(bool local)
{
    return (PeerIdentity){.roles = IDENTITY_OPEN_ROLES, .local = local};
}

#endif
