#include "net/trust_alarm.h"

#include <stdio.h>

#include "common/log.h"

enum { CALM_MS = 10000 };

void alarm_raise(Alarm *alarm, int64_t now_ms, const char *text)
{
    if (alarm->text[0] == '\0')
        log_error("%s", text);
    snprintf(alarm->text, sizeof alarm->text, "%s", text);
    alarm->seen_ms = now_ms;
}

void alarm_tick(Alarm *alarm, int64_t now_ms)
{
    if (alarm->text[0] == '\0' || now_ms - alarm->seen_ms < CALM_MS)
        return;
    log_info("over: %s", alarm->text);
    alarm->text[0] = '\0';
}
