/* Evaluations, as the trainer sees them: asks for one every so many env steps, keeps a checkpoint
 * of the very networks that are evaluated, and keeps the best one as best.safetensors (with
 * best.json beside it). Owned by the trainer thread. */
#ifndef POLYAK_LEARNER_WATCH_EVALUATIONS_H
#define POLYAK_LEARNER_WATCH_EVALUATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "learner/agent/checkpoint.h"
#include "learner/agent/ddpg.h"
#include "learner/exchange.h"

#define EVALUATIONS_DEADLINE_NS (INT64_C(120) * 1000000000) /* at the end of a run */

typedef struct EvaluationTicket {
    uint64_t eval_id;
    uint64_t env_steps;
    uint64_t updates;
} EvaluationTicket;

typedef struct Evaluations {
    Exchange *exchange;
    const char *directory; /* of the checkpoints */
    uint64_t interval_env_steps;
    uint64_t next_env_steps; /* 0: none any more */
    uint64_t last_env_steps; /* of the newest one asked for */
    uint32_t epoch;
    double newest_return; /* NaN before the first */
    bool skipped_said;
    int num_pending;
    EvaluationTicket pending[EXCHANGE_EVALS_MAX];
} Evaluations;

/* Reads best.json of an earlier start, and removes what an interrupted one left. */
void evaluations_start(Evaluations *evaluations, Exchange *exchange, const char *directory,
                       uint64_t interval_env_steps, uint32_t epoch, RunState *run);

/* Asks for an evaluation where one is due, or at the end of a run. Returns whether it did. */
bool evaluations_ask_if_due(Evaluations *evaluations, bool warmed_up, bool at_end, RunState *run,
                            const DdpgState *ddpg);

/* Takes one result; updates run->best_return. One of which an episode diverged is never the best,
 * since that episode's return is partial. False when there is none. */
bool evaluations_take_result(Evaluations *evaluations, RunState *run, double *return_mean);

int evaluations_pending(const Evaluations *evaluations);

/* Gives up those without a result. */
void evaluations_drop(Evaluations *evaluations);

#endif
