/* Where an accepted segment comes from, beside what it says itself: what the log needs to recognise
 * its session after a restart. A plain value; texts are copies. */
#ifndef POLYAK_COMMON_SEGMENT_ORIGIN_H
#define POLYAK_COMMON_SEGMENT_ORIGIN_H

#include <stdint.h>

#include "common/session.h"

enum { ORIGIN_NAME_BYTES = 64 };

typedef struct SegmentOrigin {
    Session session;
    uint32_t actor_index;
    uint32_t incarnation; /* of the index */
    uint32_t num_envs;
    uint64_t session_steps;       /* env steps of the session in all, with this segment */
    char key[ORIGIN_NAME_BYTES];  /* the name of the key that opened the session; empty: none */
    char name[ORIGIN_NAME_BYTES]; /* of the actor, for people */
} SegmentOrigin;

#endif
