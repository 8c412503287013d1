/* The rollout: E environments, stepped together with one batched forward pass, written into
 * segments as they go. The start of the data path. Owned by the actor's one thread; nothing is
 * allocated after rollout_new. */
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
    int64_t call_ns; /* a call of rollout_step that lasted so long leaves the rest; 0: no limit */
    ExploreConfig explore;
} RolloutConfig;

typedef struct Rollout Rollout;

/* `kind` and `outbox` are borrowed; the outbox has at least one place per environment. ERR_ENV,
 * ERR_NOMEM. */
int rollout_new(EnvKind *kind, int num_envs, Outbox *outbox, Rollout **rollout, Err *err);
void rollout_destroy(Rollout **rollout);

/* Takes the learner's word on how to act. Episodes that run go on; new ones use the new streams. */
void rollout_configure(Rollout *rollout, const RolloutConfig *config);

/* Steps as many environments as there is credit for, at most each once, and at least one, however
 * slow it is. Returns the number of steps that were recorded (dropped ones are not), or ERR_ENV. It
 * is 0 when the outbox is full. The environments take turns: where a call ends early, for want of
 * credit or of time, the next one goes on, so what is recorded does not depend on it. */
int rollout_step(Rollout *rollout, Policy *policy, uint64_t credit_steps, int64_t now_ms, Err *err);

/* Closes open segments that are old enough, or all of them. */
void rollout_flush(Rollout *rollout, int64_t now_ms, bool all);

/* Steps in the open segments. */
uint64_t rollout_open_steps(const Rollout *rollout);

/* Whether the last rollout_step found no place in the outbox, and there is none yet. */
bool rollout_is_blocked(const Rollout *rollout);

/* Steps dropped because a number was not finite. */
uint64_t rollout_dropped_steps(const Rollout *rollout);

#endif
