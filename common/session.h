/* The name of a session: random bits, made at each start of an actor process. A plain value. */
#ifndef POLYAK_COMMON_SESSION_H
#define POLYAK_COMMON_SESSION_H

#include <stdint.h>

typedef struct Session {
    uint8_t id[16];
} Session;

#endif
