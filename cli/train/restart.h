/* Whether and when a child process that failed is started again. Pure: it is handed the time.
 *
 * The delay starts at RESTART_DELAY_MIN_MS and doubles to RESTART_DELAY_MAX_MS; a process that has
 * worked (lived for RESTART_WORKED_MS, or is known to have delivered) starts over at the shortest.
 * RESTART_FAILURES_MAX failures within RESTART_WINDOW_MS without having worked are given up: what
 * fails every time is not mended by another try. */
#ifndef POLYAK_CLI_TRAIN_RESTART_H
#define POLYAK_CLI_TRAIN_RESTART_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RESTART_DELAY_MIN_MS = 200,
    RESTART_DELAY_MAX_MS = 5000,
    RESTART_WORKED_MS = 60000, /* an actor with a failing environment lives for a while, too */
    RESTART_FAILURES_MAX = 5,
    RESTART_WINDOW_MS = 300000,
};

/* Starts as zeros. */
typedef struct Restart {
    int64_t failed_ms[RESTART_FAILURES_MAX]; /* of the newest failures without having worked */
    int failures;                            /* in a row without having worked */
    int delay_ms;                            /* of the last restart */
} Restart;

/* A process started at started_ms failed at now_ms. Returns the delay in ms after which it is to be
 * started again, or -1 to give up. */
int restart_after(Restart *restart, int64_t started_ms, int64_t now_ms, bool worked);

#endif
