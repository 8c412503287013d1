/* What a person sees of a run: the status that observers get, and the learner's own progress line,
 * live where stderr is a terminal and now and then where it is not. Owned by the loop thread. */
#ifndef POLYAK_LEARNER_WATCH_PROGRESS_H
#define POLYAK_LEARNER_WATCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/run_status.h"
#include "learner/fleet/fleet.h"
#include "learner/run.h"

typedef struct ProgressView {
    bool shown;
    int64_t started_ms;
    int64_t shown_ms;
    int64_t moved_ms; /* when env steps or updates last rose */
    uint64_t env_steps;
    uint64_t updates;
    char said[STATUS_TEXT_MAX]; /* the wait that was logged */
} ProgressView;

void progress_start(ProgressView *progress, bool shown, int64_t now_ms);

/* Fills all but the actors. */
void progress_fill_status(ProgressView *progress, Run *run, const Fleet *fleet, RunStatus *status);

/* To be called every 100 ms or so. Logs a wait once that lasts longer than a few seconds. */
void progress_show(ProgressView *progress, Run *run, const Fleet *fleet, int64_t now_ms);

/* Takes the live line away. */
void progress_end(ProgressView *progress);

#endif
