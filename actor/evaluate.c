#include "actor/evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/log.h"
#include "common/rng.h"

enum {
    WAIT_MS = 50,     /* for one reset or step */
    REPEATS_MAX = 10, /* of an episode whose worker is lost again and again */
};

struct Evaluation {
    Env *env;
    Mlp mlp;
    const float *params;
    uint64_t seed;
    int episodes;
    int steps_max; /* of an episode */

    bool in_episode;
    bool in_flight; /* a step of it, or else its reset */
    int episode;    /* the one that runs, or the next; from 0 */
    int steps;      /* taken in it */
    int repeats;    /* of it, since it was lost */
    int diverged;   /* of the finished ones */
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
    self->repeats = 0;
    double before = self->return_mean;
    self->return_mean += (self->episode_return - before) / self->episode;
    self->return_m2 += (self->episode_return - before) * (self->episode_return - self->return_mean);
    self->length_mean += (self->steps - self->length_mean) / self->episode;
}

/* A reset or a step that did not happen. Where its worker was lost, the episode is run once more
 * from its seed: one that was cut short must not count. */
static int handle_trouble(Evaluation *self, int code, Err *err)
{
    if (code == ERR_DIVERGED) {
        if (self->diverged++ == 0)
            log_warn("episode %d of the evaluation diverged at step %d, and ends there with the "
                     "return so far, %.1f: %s",
                     self->episode, self->steps, self->episode_return, err->text);
        finish_episode(self);
        return 0;
    }
    if (code != ERR_LOST)
        return code;
    self->in_episode = false;
    log_warn("episode %d of the evaluation is repeated, it was lost at step %d: %s", self->episode,
             self->steps, err->text);
    if (++self->repeats <= REPEATS_MAX)
        return 0;
    Err last = *err;
    return err_set(err, ERR_ENV, "episode %d of the evaluation was lost %d times: %.400s",
                   self->episode, self->repeats, last.text);
}

/* ERR_AGAIN while the reset is in flight. */
static int start_episode(Evaluation *self, Err *err)
{
    int code = 0;
    if (!self->in_flight) {
        Rng rng = rng_stream(self->seed, RNG_EVAL, (uint64_t)self->episode, 0, 0);
        self->steps = 0;
        self->episode_return = 0;
        code = env_reset_begin(self->env, rng_u64(&rng), err);
    }
    if (!code)
        code = env_finish(self->env, WAIT_MS, self->obs, NULL, err);
    self->in_flight = code == ERR_AGAIN;
    if (code == ERR_AGAIN)
        return code;
    if (code)
        return handle_trouble(self, code, err);
    self->in_episode = true;
    return show(self, err);
}

static int begin_step(Evaluation *self, Err *err)
{
    const float *action =
        mlp_forward(&self->mlp, self->params, self->obs, self->mlp.size[0], 1, self->activations);
    if (!all_finite(action, (size_t)mlp_output_dim(&self->mlp)))
        return err_set(err, ERR_DIVERGED, "the policy's action is not finite");
    return env_step_begin(self->env, action, err);
}

/* ERR_AGAIN while the step is in flight. */
static int take_step(Evaluation *self, Err *err)
{
    EnvOutcome outcome = {0};
    int code = self->in_flight ? 0 : begin_step(self, err);
    if (code == ERR_DIVERGED)
        return code;
    if (!code)
        code = env_finish(self->env, WAIT_MS, self->obs, &outcome, err);
    self->in_flight = code == ERR_AGAIN;
    if (code == ERR_AGAIN)
        return code;
    if (code)
        return handle_trouble(self, code, err);
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
    int code = 0;
    for (int step = 0; !code && step < max_steps && evaluation->episode < evaluation->episodes;
         step++) {
        if (!evaluation->in_episode)
            code = start_episode(evaluation, err);
        if (!code && evaluation->in_episode)
            code = take_step(evaluation, err);
    }
    *done = evaluation->episode >= evaluation->episodes;
    return code == ERR_AGAIN ? 0 : code;
}

EvaluationResult evaluation_result(const Evaluation *evaluation)
{
    EvaluationResult result = {.episodes = evaluation->episode};
    if (evaluation->episode > 0) {
        result.return_mean = evaluation->return_mean;
        result.return_std = sqrt(evaluation->return_m2 / evaluation->episode);
        result.length_mean = evaluation->length_mean;
        result.diverged = evaluation->diverged;
    }
    return result;
}
