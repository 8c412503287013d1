#include "actor/evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/rng.h"

struct Evaluation {
    Env *env;
    Mlp mlp;
    const float *params;
    uint64_t seed;
    int episodes;
    int steps_max; /* of an episode */

    bool in_episode;
    int episode; /* the one that runs, or the next; from 0 */
    int steps;   /* taken in it */
    double episode_return;

    double return_mean; /* of the finished episodes, kept as Welford's sums */
    double return_m2;
    double length_mean;

    EvaluationWatch watch; /* NULL: nobody */
    void *watch_context;

    float *obs;         /* (obs_dim) */
    float *activations; /* mlp_num_activations(mlp, 1) */
};

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

int evaluation_new(Env *env, const Spec *spec, const Mlp *mlp, const float *params, int episodes,
                   uint64_t seed, Evaluation **evaluation, Err *err)
{
    CHECK(episodes >= 1);
    *evaluation = NULL;
    if (mlp->size[0] != spec->obs_dim || mlp_output_dim(mlp) != spec->act_dim)
        return err_set(err, ERR_SPEC,
                       "a policy from %d to %d numbers does not fit %s, which has obs_dim %d and "
                       "act_dim %d",
                       mlp->size[0], mlp_output_dim(mlp), spec->name, spec->obs_dim, spec->act_dim);
    /* Such a policy would end every episode at once, and where rewards are costs, look good. */
    if (!all_finite(params, mlp_num_params(mlp)))
        return err_set(err, ERR_DIVERGED, "the policy holds numbers that are not finite");

    Evaluation *self = calloc(1, sizeof *self);
    if (!self)
        return err_set(err, ERR_NOMEM, "not enough memory for an evaluation");
    self->env = env;
    self->mlp = *mlp;
    self->params = params;
    self->seed = seed;
    self->episodes = episodes;
    self->steps_max = spec->step_limit > 0 ? spec->step_limit : EVALUATION_STEPS_MAX;
    self->obs = calloc((size_t)spec->obs_dim, sizeof *self->obs);
    self->activations = calloc(mlp_num_activations(mlp, 1), sizeof *self->activations);
    if (!self->obs || !self->activations) {
        evaluation_destroy(&self);
        return err_set(err, ERR_NOMEM, "not enough memory for an evaluation");
    }
    *evaluation = self;
    return 0;
}

void evaluation_destroy(Evaluation **evaluation)
{
    Evaluation *self = *evaluation;
    if (!self)
        return;
    free(self->obs);
    free(self->activations);
    free(self);
    *evaluation = NULL;
}

void evaluation_watch(Evaluation *evaluation, EvaluationWatch watch, void *context)
{
    evaluation->watch = watch;
    evaluation->watch_context = context;
}

/* Shows the state that was reached. */
static int show(const Evaluation *self, Err *err)
{
    return self->watch
               ? self->watch(self->watch_context, self->env, self->episode, self->steps, err)
               : 0;
}

static void finish_episode(Evaluation *self)
{
    self->episode++;
    self->in_episode = false;
    double before = self->return_mean;
    self->return_mean += (self->episode_return - before) / self->episode;
    self->return_m2 += (self->episode_return - before) * (self->episode_return - self->return_mean);
    self->length_mean += (self->steps - self->length_mean) / self->episode;
}

static int start_episode(Evaluation *self, Err *err)
{
    Rng rng = rng_stream(self->seed, RNG_EVAL, (uint64_t)self->episode, 0, 0);
    self->steps = 0;
    self->episode_return = 0;
    self->in_episode = true;
    int code = env_reset(self->env, rng_u64(&rng), self->obs, err);
    if (code == ERR_DIVERGED) {
        finish_episode(self);
        return 0;
    }
    return code ? code : show(self, err);
}

static int take_step(Evaluation *self, Err *err)
{
    const float *action =
        mlp_forward(&self->mlp, self->params, self->obs, self->mlp.size[0], 1, self->activations);
    if (!all_finite(action, (size_t)mlp_output_dim(&self->mlp)))
        return err_set(err, ERR_DIVERGED, "the policy's action is not finite");
    EnvOutcome outcome;
    int code = env_step(self->env, action, self->obs, &outcome, err);
    if (code == ERR_DIVERGED) {
        finish_episode(self);
        return 0;
    }
    if (code)
        return code;
    self->episode_return += (double)outcome.reward;
    self->steps++;
    code = show(self, err);
    if (code)
        return code;
    if (outcome.end != SEGMENT_CONTINUES || self->steps >= self->steps_max)
        finish_episode(self);
    return 0;
}

int evaluation_advance(Evaluation *evaluation, int max_steps, bool *done, Err *err)
{
    for (int step = 0; step < max_steps && evaluation->episode < evaluation->episodes; step++) {
        int code = 0;
        if (!evaluation->in_episode)
            code = start_episode(evaluation, err);
        if (!code && evaluation->in_episode)
            code = take_step(evaluation, err);
        if (code)
            return code;
    }
    *done = evaluation->episode >= evaluation->episodes;
    return 0;
}

EvaluationResult evaluation_result(const Evaluation *evaluation)
{
    EvaluationResult result = {.episodes = evaluation->episode};
    if (evaluation->episode > 0) {
        result.return_mean = evaluation->return_mean;
        result.return_std = sqrt(evaluation->return_m2 / evaluation->episode);
        result.length_mean = evaluation->length_mean;
    }
    return result;
}
