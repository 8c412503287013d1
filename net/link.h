/* A link: the way to a peer. A connection to the socket that is listened on, by the routing id that
 * libzmq gave it; and where that connection is a relay's, which speaks for many peers, one of its
 * channels (docs/wire.md). A plain value. */
#ifndef POLYAK_NET_LINK_H
#define POLYAK_NET_LINK_H

#include <stdint.h>

typedef uint64_t Link;

enum { LINK_NONE = 0 };

/* `connection` is not 0; channel 0 is the peer that has connected itself. */
static inline Link link_make(uint32_t connection, uint32_t channel)
{
    return (Link)channel << 32 | connection;
}

static inline uint32_t link_connection(Link link)
{
    return (uint32_t)link;
}

static inline uint32_t link_channel(Link link)
{
    return (uint32_t)(link >> 32);
}

#endif
