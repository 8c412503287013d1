/* CHECK: a condition that only a programmer can break. Kept in release builds: it prints where it
 * failed and aborts. */
#ifndef POLYAK_COMMON_CHECK_H
#define POLYAK_COMMON_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
