/* What a person wants to know of a run, as a snapshot: the learner fills it, `status` and the
 * progress line show it. A plain value; strings are copies. */
#ifndef POLYAK_COMMON_RUN_STATUS_H
#define POLYAK_COMMON_RUN_STATUS_H

#include <stdint.h>

#include "common/spec.h"

enum { STATUS_TEXT_MAX = 200, STATUS_ACTORS_MAX = 4096 };

typedef struct ActorStatus {
    uint32_t actor_index;
    uint32_t incarnation;
    char name[64];
    uint64_t env_steps;     /* accepted from this session */
    uint64_t unused_credit; /* env steps granted and not yet received */
    uint32_t silent_ms;     /* since it was last heard */
    uint64_t dropped_steps; /* not finite, never sent */
    char waiting_for[STATUS_TEXT_MAX];
} ActorStatus;

typedef struct RunStatus {
    char env[SPEC_NAME_MAX + 1];
    char phase[32];                    /* "waiting for actors", "warm-up", "training", … */
    char waiting_for[STATUS_TEXT_MAX]; /* why nothing moves; empty when something does */
    uint32_t epoch;
    uint64_t env_steps;
    uint64_t total_env_steps;
    uint64_t updates;
    uint64_t updates_owed;
    uint64_t episodes;
    double return_mean; /* of the last finished episodes; NaN before the first */
    double env_steps_per_s;
    double updates_per_s;
    double seconds_left;          /* NaN while unknown */
    double eval_return;           /* of the newest evaluation; NaN before the first */
    double best_return;           /* of the best evaluation; NaN before the first */
    uint32_t publish_interval_ms; /* effective */
    uint32_t evaluators;
    uint64_t wall_ms; /* since this start of the learner */
    uint32_t num_actors;
    ActorStatus *actors; /* (num_actors), owned by whoever made the snapshot */
} RunStatus;

/* Writes the one-line progress: env steps, updates, episodes, return, rates, time left. */
void run_status_line(const RunStatus *status, char *text, int text_bytes);

#endif
