/* An alarm: what an operator must know now. It is logged when it begins and when it is over, which
 * is when all was well for a while. A plain value; zero is "none". Owned by the loop thread. */
#ifndef POLYAK_NET_TRUST_ALARM_H
#define POLYAK_NET_TRUST_ALARM_H

#include <stdint.h>

enum { ALARM_BYTES = 512 };

typedef struct Alarm {
    char text[ALARM_BYTES]; /* empty: none */
    int64_t seen_ms;        /* when it last held */
} Alarm;

/* It holds, with these words. */
void alarm_raise(Alarm *alarm, int64_t now_ms, const char *text);

/* Time passes. */
void alarm_tick(Alarm *alarm, int64_t now_ms);

#endif
