/* The rollout: E environments, stepped together with one batched forward pass, written into
 * segments as they go. The start of the data path. Owned by the actor's one thread; nothing is
 * allocated after rollout_new.
 *
 * An environment in a worker process works while this thread does something else: its steps are
 * begun, are in flight for a while, and are finished in the order of their turns. So what is
 * recorded does not depend on which one is ready first. */
#ifndef POLYAK_ACTOR_ROLLOUT_H
#define POLYAK_ACTOR_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/envs/env_host.h"
#include "actor/explore.h"
#include "actor/outbox.h"
#include "actor/policy.h"

/* What the learner's Welcome says about acting. */
typedef struct RolloutConfig {
    uint64_t seed;
    uint32_t actor_index;
    uint32_t incarnation;
    int segment_steps;
    int segment_flush_ms;
    int64_t call_ns; /* a call of rollout_step that lasted so long leaves the rest in flight; 0: no
                      * limit */
    ExploreConfig explore;
} RolloutConfig;

typedef struct Rollout Rollout;

/* `kind` and `outbox` are borrowed; the outbox has at least one place per environment. ERR_ENV,
 * ERR_NOMEM. */
int rollout_new(EnvKind *kind, int num_envs, Outbox *outbox, Rollout **rollout, Err *err);
void rollout_destroy(Rollout **rollout);

/* Takes the learner's word on how to act. Episodes that run go on; new ones use the new streams. */
void rollout_configure(Rollout *rollout, const RolloutConfig *config);

/* Steps as many environments as there is credit for, at most each once. What an earlier call left
 * in flight comes first, and alone. Returns the number of steps that were recorded (dropped ones
 * are not), never more than the credit, or ERR_ENV; an error that comes after steps of the same
 * call is left for the next one. It is 0 when the outbox is full, and when nothing was ready in
 * time; an environment that does its work in this thread is waited for, however slow it is. The
 * environments take turns: where a call ends early, for want of credit or of time, the next one
 * goes on, so what is recorded does not depend on it. */
int rollout_step(Rollout *rollout, Policy *policy, uint64_t credit_steps, int64_t now_ms, Err *err);

/* Closes open segments that are old enough, or all of them. One whose next step is in flight stays
 * open where there is no place for that step to go to. */
void rollout_flush(Rollout *rollout, int64_t now_ms, bool all);

/* Closes all open segments; steps in flight are forgotten. Only destroy may follow. */
void rollout_stop(Rollout *rollout);

/* Steps in the open segments. */
uint64_t rollout_open_steps(const Rollout *rollout);

/* Whether the last rollout_step found no place in the outbox, and there is none yet. */
bool rollout_is_blocked(const Rollout *rollout);

/* Steps that were dropped, and starts that were not finite. */
uint64_t rollout_dropped_steps(const Rollout *rollout);

/* The same by kind, and starts that were lost with their worker. Valid as long as the rollout. */
const EnvFaults *rollout_faults(const Rollout *rollout);

/* The last of them in words; "" when there was none. */
const char *rollout_last_fault(const Rollout *rollout);

#endif
