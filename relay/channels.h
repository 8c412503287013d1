/* The channels of a relay: for each peer behind it a number, under which the parent knows it. The
 * table has a fixed number of places; a number is a place and how often that was given, so one that
 * is gone means nobody for a long time. Peers are found by number, link and session, and counted by
 * key, without a walk through all of them. Owned by the relay's one thread. */
#ifndef POLYAK_RELAY_CHANNELS_H
#define POLYAK_RELAY_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/identity.h"
#include "net/link.h"
#include "proto/wire.h"

enum { CHANNELS_MAX = 65536 };

typedef struct Channel {
    uint32_t number; /* 0: a free place */
    Link link;
    Session session;
    const char *key;              /* the table's; empty: none */
    char name[WIRE_NAME_MAX + 1]; /* of a relay */
    bool relay;             /* that has dialled this one: it speaks for itself, on no channel */
    bool gone;              /* its connection is, and what it said last may not have been read */
    bool welcomed;          /* by the learner, as far as has been seen */
    size_t frame_bytes_max; /* that it may send once it is welcomed */
    int64_t heard_ms;       /* when something went through, either way */
    int64_t told_ms;        /* when this relay said something of its own to it */
    uint32_t turn;          /* how often this place was given: the table's, as all below */
    uint32_t next;          /* the next place in its link's chain, or the next free one */
    uint32_t next_session;  /* the next place in its session's chain */
    uint32_t key_place;
} Channel;

typedef struct Channels Channels;

/* At most CHANNELS_MAX. NULL when out of memory. */
Channels *channels_new(uint32_t places);
void channels_destroy(Channels **channels);

/* The link must not have one; `key` is copied. NULL when all places are taken. */
Channel *channels_add(Channels *channels, Link link, const char *key, const Session *session);
void channels_remove(Channels *channels, Channel *channel);

/* NULL where there is none. */
Channel *channels_find(Channels *channels, uint32_t number);
Channel *channels_find_link(Channels *channels, Link link);

/* Who has said this session with this key, last of all. */
Channel *channels_find_session(Channels *channels, const char *key, const Session *session);

uint32_t channels_count(const Channels *channels);
uint32_t channels_count_of_key(const Channels *channels, const char *key);

/* All of them: *place begins at 0; NULL after the last. The one that was given may be removed. */
Channel *channels_next(Channels *channels, uint32_t *place);

#endif
