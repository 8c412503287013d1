/* An evaluation: a policy run without noise for a number of episodes, a few steps at a time, so
 * that whoever runs it can stay in touch meanwhile. Used by the evaluator process and by `polyak
 * eval`.
 *
 * Episode k starts from the reset seed of stream (seed, RNG_EVAL, k): the same seed, policy and
 * environment give the same returns. Owned by one thread. */
#ifndef POLYAK_ACTOR_EVALUATE_H
#define POLYAK_ACTOR_EVALUATE_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/envs/env_host.h"
#include "common/err.h"
#include "common/mlp.h"

typedef struct EvaluationResult {
    int episodes;
    double return_mean;
    double return_std; /* of the episodes, population */
    double length_mean;
    int diverged; /* of the episodes: cut short, so that their returns are partial */
} EvaluationResult;

typedef struct Evaluation Evaluation;

enum { EVALUATION_STEPS_MAX = 100000 }; /* of an episode, where the environment has no limit */

/* `env` and `params` (of `mlp`) are borrowed until destroyed. ERR_SPEC when the policy does not fit
 * the environment, ERR_DIVERGED when its parameters are not finite, ERR_NOMEM. */
int evaluation_new(Env *env, const Spec *spec, const Mlp *mlp, const float *params, int episodes,
                   uint64_t seed, Evaluation **evaluation, Err *err);
void evaluation_destroy(Evaluation **evaluation);

/* Sees the environment after each reset (step 0) and after each step (1, 2, …), the last of an
 * episode too; for pictures. It must not change the environment. What it returns, unless 0, ends
 * the evaluation. An episode that is repeated begins with step 0 again. */
typedef int (*EvaluationWatch)(void *context, Env *env, int episode, int step, Err *err);
void evaluation_watch(Evaluation *evaluation, EvaluationWatch watch, void *context);

/* Takes up to max_steps steps, fewer where the environment is not ready within 50 ms. *done when
 * all episodes are finished. An episode in which the environment's numbers stop being finite ends
 * there, and is counted: where rewards are costs, a short episode looks good. One that is lost with
 * its worker is repeated from its seed, a few times. ERR_ENV when the
 * environment fails, ERR_DIVERGED when the policy's action is not finite; what the watch returned.
 */
int evaluation_advance(Evaluation *evaluation, int max_steps, bool *done, Err *err);

/* Of the episodes finished so far. */
EvaluationResult evaluation_result(const Evaluation *evaluation);

#endif
