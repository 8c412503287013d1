#include "learner/agent/ddpg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/kernels.h"
#include "learner/agent/ddpg_rows.h"
#include "learner/agent/libraries.h"
#include "learner/agent/team.h"

enum { NETWORK_ACTOR = 0, NETWORK_CRITIC = 1 }; /* names of their first random streams */

struct Ddpg {
    DdpgConfig config;
    DdpgState state;
    Team *team;
    int workers;
    DdpgRows *rows; /* (workers) */

    /* The arguments of the step under way, for the team. */
    Batch *batch;
    DdpgNetwork *network;
    AdamStep adam;
};

/* --- The update ------------------------------------------------------------------------------- */

static void critic_rows(void *arg, int worker, int workers)
{
    (void)workers;
    Ddpg *ddpg = arg;
    ddpg_rows_critic(&ddpg->rows[worker], &ddpg->config, &ddpg->state, ddpg->batch);
}

static void actor_rows(void *arg, int worker, int workers)
{
    (void)workers;
    Ddpg *ddpg = arg;
    ddpg_rows_actor(&ddpg->rows[worker], &ddpg->config, &ddpg->state, ddpg->batch);
}

/* Sums the workers' gradients into the first one's, in their order, for a part of the parameters:
 * whole cache lines, so that no two workers write one. */
static void sum_gradients(void *arg, int worker, int workers)
{
    enum { LINE_FLOATS = 64 / sizeof(float) };
    Ddpg *ddpg = arg;
    size_t num_params = ddpg->network->num_params;
    size_t lines = (num_params + LINE_FLOATS - 1) / LINE_FLOATS;
    size_t begin = lines * (size_t)worker / (size_t)workers * LINE_FLOATS;
    size_t end = lines * ((size_t)worker + 1) / (size_t)workers * LINE_FLOATS;
    if (end > num_params)
        end = num_params;
    float *sum = ddpg->rows[0].grad + begin;
    for (int w = 1; w < workers; w++)
        kernels()->add(end - begin, ddpg->rows[w].grad + begin, sum);
    ddpg->rows[worker].grad_squares = kernels()->sum_squares(end - begin, sum);
}

static void step_network(void *arg, int worker, int workers)
{
    Ddpg *ddpg = arg;
    network_step(ddpg->network, &ddpg->adam, ddpg->rows[0].grad, worker, workers);
}

/* The norm of the gradient that the workers have computed over their rows; sums it up. */
static double grad_norm(Ddpg *ddpg, DdpgNetwork *network)
{
    ddpg->network = network;
    team_run(ddpg->team, sum_gradients, ddpg);
    double squares = 0;
    for (int w = 0; w < ddpg->workers; w++)
        squares += ddpg->rows[w].grad_squares;
    return sqrt(squares);
}

/* Steps a network, and its target after it. */
static void descend(Ddpg *ddpg, DdpgNetwork *network, double lr, double weight_decay, double norm)
{
    ddpg->network = network;
    ddpg->adam = adam_step(ddpg->state.updates + 1, lr, weight_decay,
                           adam_clip_scale(norm, ddpg->config.grad_clip), ddpg->config.tau);
    team_run(ddpg->team, step_network, ddpg);
}

/* Mean over the batch of the losses, and of Q where q_mean is not NULL. */
static double mean_loss(const Ddpg *ddpg, double *q_mean)
{
    double loss = 0;
    double q = 0;
    for (int w = 0; w < ddpg->workers; w++) {
        loss += ddpg->rows[w].loss;
        q += ddpg->rows[w].q;
    }
    if (q_mean)
        *q_mean = q / ddpg->config.batch;
    return loss / ddpg->config.batch;
}

/* Whether a step can be made of this gradient: Adam keeps its square as a float, and one that is
 * infinite would stay so. */
static bool may_step(const DdpgConfig *config, double loss, double norm)
{
    const double norm_max = 1e18;
    return isfinite(loss) && isfinite(norm) &&
           norm * adam_clip_scale(norm, config->grad_clip) <= norm_max;
}

int ddpg_update(Ddpg *ddpg, Batch *batch, DdpgStats *stats)
{
    const DdpgConfig *config = &ddpg->config;
    DdpgState *state = &ddpg->state;
    CHECK(batch->rows == config->batch && batch->obs_dim == config->obs_dim &&
          batch->act_dim == config->act_dim);
    ddpg->batch = batch;
    *stats = (DdpgStats){.actor_loss = NAN, .actor_grad_norm = NAN};

    team_run(ddpg->team, critic_rows, ddpg);
    stats->critic_loss = mean_loss(ddpg, &stats->q_mean);
    stats->critic_grad_norm = grad_norm(ddpg, &state->critic);
    if (!may_step(config, stats->critic_loss, stats->critic_grad_norm))
        return ERR_DIVERGED;
    descend(ddpg, &state->critic, config->critic_lr, config->critic_weight_decay,
            stats->critic_grad_norm);

    team_run(ddpg->team, actor_rows, ddpg);
    stats->actor_loss = mean_loss(ddpg, NULL);
    stats->actor_grad_norm = grad_norm(ddpg, &state->actor);
    if (!may_step(config, stats->actor_loss, stats->actor_grad_norm))
        return ERR_DIVERGED;
    descend(ddpg, &state->actor, config->actor_lr, 0, stats->actor_grad_norm);

    state->updates++;
    return 0;
}

/* --- Making and destroying -------------------------------------------------------------------- */

/* Refuses what no network or team can be made of. */
static int check_config(const DdpgConfig *config, Err *err)
{
    if (config->obs_dim < 1 || config->act_dim < 1 ||
        config->obs_dim > MLP_WIDTH_MAX - config->act_dim)
        return err_set(err, ERR_USAGE,
                       "obs_dim %d and act_dim %d: the critic reads 1 to %d numbers",
                       config->obs_dim, config->act_dim, MLP_WIDTH_MAX);
    if (config->batch < 1)
        return err_set(err, ERR_USAGE, "batch %d: at least 1 transition is needed", config->batch);
    if (config->threads < 1 || config->threads > TEAM_WORKERS_MAX)
        return err_set(err, ERR_USAGE, "threads %d: not in 1 to %d", config->threads,
                       TEAM_WORKERS_MAX);
    return 0;
}

static int make_networks(Ddpg *ddpg, Err *err)
{
    const DdpgConfig *config = &ddpg->config;
    DdpgNetwork *actor = &ddpg->state.actor;
    DdpgNetwork *critic = &ddpg->state.critic;
    int result = mlp_shape(&actor->mlp, config->obs_dim, config->hidden, config->num_hidden,
                           config->act_dim, true, err);
    if (result == 0)
        result = mlp_shape(&critic->mlp, config->obs_dim + config->act_dim, config->hidden,
                           config->num_hidden, 1, false, err);
    if (result != 0)
        return result;
    result = network_new(actor, err);
    if (result == 0)
        result = network_new(critic, err);
    if (result != 0)
        return result;
    network_init(actor, rng_stream(config->seed, RNG_INIT, NETWORK_ACTOR, 0, 0));
    network_init(critic, rng_stream(config->seed, RNG_INIT, NETWORK_CRITIC, 0, 0));
    return 0;
}

/* No more workers than there are rows to share out. */
static int make_team(Ddpg *ddpg, Err *err)
{
    const DdpgConfig *config = &ddpg->config;
    int workers = config->threads < config->batch ? config->threads : config->batch;
    ddpg->rows = calloc((size_t)workers, sizeof *ddpg->rows);
    if (!ddpg->rows)
        return err_set(err, ERR_NOMEM, "no memory for %d threads", workers);
    ddpg->workers = workers;
    for (int w = 0; w < workers; w++) {
        int64_t batch = config->batch;
        int result = ddpg_rows_new(&ddpg->rows[w], config, &ddpg->state, (int)(batch * w / workers),
                                   (int)(batch * (w + 1) / workers), err);
        if (result != 0)
            return result;
    }
    return team_new(workers, &ddpg->team, err);
}

int ddpg_new(const DdpgConfig *config, Ddpg **ddpg, Err *err)
{
    int result = check_config(config, err);
    if (result == 0)
        result = kernels_init(err);
    if (result == 0)
        result = libraries_install(err);
    if (result != 0)
        return result;
    Ddpg *self = calloc(1, sizeof *self);
    if (!self)
        return err_set(err, ERR_NOMEM, "no memory for the agent");
    self->config = *config;
    result = make_networks(self, err);
    if (result == 0)
        result = make_team(self, err);
    if (result != 0) {
        ddpg_destroy(&self);
        return result;
    }
    *ddpg = self;
    return 0;
}

void ddpg_destroy(Ddpg **ddpg)
{
    Ddpg *self = *ddpg;
    if (!self)
        return;
    team_destroy(&self->team);
    for (int w = 0; w < self->workers; w++)
        ddpg_rows_destroy(&self->rows[w]);
    free(self->rows);
    network_destroy(&self->state.actor);
    network_destroy(&self->state.critic);
    free(self);
    *ddpg = NULL;
}

DdpgState *ddpg_state(Ddpg *ddpg)
{
    return &ddpg->state;
}

void ddpg_set_learning_rates(Ddpg *ddpg, double actor_lr, double critic_lr)
{
    ddpg->config.actor_lr = actor_lr;
    ddpg->config.critic_lr = critic_lr;
}
