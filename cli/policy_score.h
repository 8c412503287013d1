/* How good the policy of a checkpoint is: an evaluation without noise, in this process. For the
 * main thread of `polyak eval` and `polyak train`. */
#ifndef POLYAK_CLI_POLICY_SCORE_H
#define POLYAK_CLI_POLICY_SCORE_H

#include <stdint.h>

#include "actor/evaluate.h"
#include "cli/film.h"
#include "common/config/config.h"
#include "common/err.h"
#include "learner/agent/checkpoint.h"

typedef struct PolicyTrial {
    const char *checkpoint;  /* path */
    const char *env;         /* name or path; "": the checkpoint's own */
    const char *env_options; /* "": the checkpoint's own, unless env is given */
    const Config *given;     /* its flags say how a worker of the environment is run, and win over
                                what the checkpoint stores */
    int episodes;
    uint64_t seed;
    const FilmPlan *film; /* NULL: none */
} PolicyTrial;

typedef struct PolicyScore {
    EvaluationResult result;
    RunState run;   /* of the checkpoint */
    FilmFacts film; /* where one was wanted */
} PolicyScore;

/* ERR_SPEC when the environment is not the one that the policy was trained in, with the difference;
 * else the errors of checkpoints, environments, evaluations and films. */
int policy_score(const PolicyTrial *trial, PolicyScore *score, Err *err);

#endif
