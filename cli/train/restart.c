#include "cli/train/restart.h"

int restart_after(Restart *restart, int64_t started_ms, int64_t now_ms, bool worked)
{
    if (worked || now_ms - started_ms >= RESTART_WORKED_MS)
        *restart = (Restart){0};
    else
        restart->failed_ms[restart->failures++ % RESTART_FAILURES_MAX] = now_ms;

    if (restart->failures >= RESTART_FAILURES_MAX) {
        /* The slot that the next failure will take holds the oldest of the last five. */
        int64_t oldest_ms = restart->failed_ms[restart->failures % RESTART_FAILURES_MAX];
        if (now_ms - oldest_ms <= RESTART_WINDOW_MS)
            return -1;
    }
    int delay_ms = restart->delay_ms * 2;
    if (delay_ms < RESTART_DELAY_MIN_MS)
        delay_ms = RESTART_DELAY_MIN_MS;
    if (delay_ms > RESTART_DELAY_MAX_MS)
        delay_ms = RESTART_DELAY_MAX_MS;
    restart->delay_ms = delay_ms;
    return delay_ms;
}
