/* Monotonic time. Every timeout and every age uses it; wall time is for log lines only, and no two
 * hosts' clocks are ever compared. */
#ifndef POLYAK_COMMON_CLOCK_H
#define POLYAK_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t clock_ms(void)
{
    return clock_ns() / 1000000;
}

#endif
