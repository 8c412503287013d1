/* The pacer: how many updates are owed, and how far actors may run ahead. Pure counters; it knows
 * no other module, and any thread may use it.
 *
 * S env steps ingested, U updates done, W warm-up, all counted from where this start of the learner
 * began (env_steps_start, updates_start). The learner updates while S >= max(W, batch) and
 * U < ratio (S - W). Steps granted and not yet worked off stay within the window, and the sum
 * granted never exceeds total_env_steps. */
#ifndef POLYAK_LEARNER_REPLAY_PACER_H
#define POLYAK_LEARNER_REPLAY_PACER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Pacer {
    uint64_t total_env_steps;
    uint64_t warmup_env_steps;
    uint64_t batch;
    double ratio;              /* updates_per_env_step; 0: both sides run free */
    uint64_t window_env_steps; /* 0: max(2 environments segment_steps, 1024) */
    uint64_t env_steps_start;
    uint64_t updates_start;
    bool underway; /* counting began in the middle of a run: a batch is there already */
} Pacer;

/* Another ratio from now on: what was owed for the steps that are ahead is owed at the new ratio,
 * and what was done stays done. */
void pacer_set_ratio(Pacer *pacer, double ratio, uint64_t env_steps, uint64_t updates);

/* Drops what is owed for more steps than `steps_max`; returns the updates that are dropped. */
uint64_t pacer_drop_debt(Pacer *pacer, uint64_t env_steps, uint64_t updates, uint64_t steps_max);

/* Whether the policy has left the warm-up, so that it is published. */
bool pacer_warmed_up(const Pacer *pacer, uint64_t env_steps);

/* Whether another update may be done now. */
bool pacer_may_update(const Pacer *pacer, uint64_t env_steps, uint64_t updates);

/* Updates that are owed for the steps ingested so far; 0 where the sides run free. */
uint64_t pacer_updates_owed(const Pacer *pacer, uint64_t env_steps, uint64_t updates);

/* Env steps ingested for which updates are still owed. */
uint64_t pacer_steps_ahead(const Pacer *pacer, uint64_t env_steps, uint64_t updates);

/* Whether the run is done: all steps are there, and no update is owed. */
bool pacer_finished(const Pacer *pacer, uint64_t env_steps, uint64_t updates);

/* The window in use with so many environments connected. */
uint64_t pacer_window(const Pacer *pacer, uint64_t environments, uint64_t segment_steps);

/* The number of env steps that may have been granted in all: those worked off and the window. */
uint64_t pacer_grant_limit(const Pacer *pacer, uint64_t env_steps, uint64_t updates,
                           uint64_t window);

#endif
