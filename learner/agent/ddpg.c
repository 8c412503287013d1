#include "learner/agent/ddpg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/kernels.h"
#include "learner/agent/adam.h"
#include "learner/agent/mlp_grad.h"
#include "learner/agent/openblas.h"
#include "learner/agent/team.h"

enum { BLOCK_ALIGNMENT = 64, BLOCK_FLOATS = BLOCK_ALIGNMENT / (int)sizeof(float) };

enum { NETWORK_ACTOR = 0, NETWORK_CRITIC = 1 }; /* names of their first random streams */

/* What one worker needs for its rows of the batch. */
typedef struct Rows {
    float *actor_activations;  /* of the target actor, then of the actor */
    float *critic_activations; /* of the target critic, then of the critic */
    float *obs_policy;         /* (rows, obs_dim + act_dim) s | mu(s) */
    float *y;                  /* (rows) the critic's target */
    float *d_q;                /* (rows) gradient of a loss with respect to Q */
    float *d_action;           /* (rows, act_dim) and with respect to mu(s) */
    float *scratch;            /* of mlp_grad */
    float *grad;               /* (num_params of the greater network) over these rows */
    double loss;               /* sums over these rows */
    double q;
    double grad_squares; /* sum over the parameters that this worker sums up */
} Rows;

struct Ddpg {
    DdpgConfig config;
    DdpgState state;
    Team *team;
    int workers;
    Rows *rows; /* (workers) */

    /* The arguments of the step under way, for the team. */
    const Batch *batch;
    DdpgNetwork *network;
    AdamStep adam;
};

/* A worker's share [begin, end) of `count` rows or blocks. */
typedef struct Share {
    size_t begin;
    size_t end;
} Share;

static Share share_of(size_t count, int worker, int workers)
{
    return (Share){count * (size_t)worker / (size_t)workers,
                   count * ((size_t)worker + 1) / (size_t)workers};
}

/* A worker's share of a network's parameters: whole cache lines, so that no two workers write one.
 */
static Share share_of_params(const DdpgNetwork *network, int worker, int workers)
{
    size_t n = network->num_params;
    Share share = share_of((n + BLOCK_FLOATS - 1) / BLOCK_FLOATS, worker, workers);
    share.begin *= BLOCK_FLOATS;
    share.end = share.end * BLOCK_FLOATS < n ? share.end * BLOCK_FLOATS : n;
    return share;
}

/* --- The update ------------------------------------------------------------------------------- */

/* Writes actions (rows, act_dim) behind the observations of obs_action (rows, obs_dim + act_dim).
 */
static void put_actions(const DdpgConfig *config, int rows, const float *action, float *obs_action)
{
    size_t act_dim = (size_t)config->act_dim;
    size_t width = (size_t)config->obs_dim + act_dim;
    for (size_t i = 0; i < (size_t)rows; i++)
        memcpy(obs_action + i * width + config->obs_dim, action + i * act_dim,
               act_dim * sizeof *action);
}

/* The critic's loss is the mean of (Q(s, a) - y)^2 with y = r + gamma bootstrap Q'(s', mu'(s')).
 * Computes its gradient over one worker's rows. */
static void critic_rows(void *arg, int worker, int workers)
{
    Ddpg *ddpg = arg;
    const DdpgConfig *config = &ddpg->config;
    const DdpgNetwork *actor = &ddpg->state.actor;
    const DdpgNetwork *critic = &ddpg->state.critic;
    const Batch *batch = ddpg->batch;
    Rows *rows = &ddpg->rows[worker];
    Share share = share_of((size_t)config->batch, worker, workers);
    int n = (int)(share.end - share.begin);
    int width = config->obs_dim + config->act_dim;
    const float *obs_action = batch->obs_action + share.begin * (size_t)width;
    float *next_obs_action = batch->next_obs_action + share.begin * (size_t)width;
    const float *reward = batch->reward + share.begin;
    const float *bootstrap = batch->bootstrap + share.begin;

    const float *next_action =
        mlp_forward(&actor->mlp, actor->target, next_obs_action, width, n, rows->actor_activations);
    put_actions(config, n, next_action, next_obs_action);
    const float *next_q = mlp_forward(&critic->mlp, critic->target, next_obs_action, width, n,
                                      rows->critic_activations);
    for (int i = 0; i < n; i++)
        rows->y[i] = reward[i] + (float)config->gamma * bootstrap[i] * next_q[i];

    const float *q =
        mlp_forward(&critic->mlp, critic->params, obs_action, width, n, rows->critic_activations);
    rows->loss = 0;
    rows->q = 0;
    for (int i = 0; i < n; i++) {
        float error = q[i] - rows->y[i];
        rows->loss += (double)error * (double)error;
        rows->q += (double)q[i];
        rows->d_q[i] = 2 * error / (float)config->batch;
    }
    MlpPass pass = {&critic->mlp, critic->params, obs_action, width, n, rows->critic_activations};
    mlp_grad_params(&pass, rows->d_q, rows->scratch, rows->grad);
}

/* The actor's loss is the mean of -Q(s, mu(s)). Computes its gradient over one worker's rows: that
 * of Q with respect to the action, carried on through the actor. */
static void actor_rows(void *arg, int worker, int workers)
{
    Ddpg *ddpg = arg;
    const DdpgConfig *config = &ddpg->config;
    const DdpgNetwork *actor = &ddpg->state.actor;
    const DdpgNetwork *critic = &ddpg->state.critic;
    Rows *rows = &ddpg->rows[worker];
    Share share = share_of((size_t)config->batch, worker, workers);
    int n = (int)(share.end - share.begin);
    int width = config->obs_dim + config->act_dim;
    const float *obs = ddpg->batch->obs_action + share.begin * (size_t)width;

    const float *action =
        mlp_forward(&actor->mlp, actor->params, obs, width, n, rows->actor_activations);
    memcpy(rows->obs_policy, obs, (size_t)n * (size_t)width * sizeof *obs);
    put_actions(config, n, action, rows->obs_policy);
    const float *q = mlp_forward(&critic->mlp, critic->params, rows->obs_policy, width, n,
                                 rows->critic_activations);
    rows->loss = 0;
    for (int i = 0; i < n; i++) {
        rows->loss -= (double)q[i];
        rows->d_q[i] = -1 / (float)config->batch;
    }
    MlpPass through_critic = {
        &critic->mlp, critic->params, rows->obs_policy, width, n, rows->critic_activations};
    mlp_grad_input(&through_critic, rows->d_q, rows->scratch, config->obs_dim, rows->d_action);
    MlpPass pass = {&actor->mlp, actor->params, obs, width, n, rows->actor_activations};
    mlp_grad_params(&pass, rows->d_action, rows->scratch, rows->grad);
}

/* Sums the workers' gradients into the first one's, in their order, for a share of the parameters.
 */
static void sum_gradients(void *arg, int worker, int workers)
{
    Ddpg *ddpg = arg;
    Share share = share_of_params(ddpg->network, worker, workers);
    size_t n = share.end - share.begin;
    float *sum = ddpg->rows[0].grad + share.begin;
    for (int w = 1; w < workers; w++)
        kernels()->add(n, ddpg->rows[w].grad + share.begin, sum);
    ddpg->rows[worker].grad_squares = kernels()->sum_squares(n, sum);
}

static void step_params(void *arg, int worker, int workers)
{
    Ddpg *ddpg = arg;
    DdpgNetwork *network = ddpg->network;
    Share share = share_of_params(network, worker, workers);
    adam_apply(&ddpg->adam, &network->mlp, share.begin, share.end, ddpg->rows[0].grad,
               network->params, network->adam_m, network->adam_v);
}

/* theta' <- tau theta + (1 - tau) theta', of both networks. */
static void copy_softly(void *arg, int worker, int workers)
{
    Ddpg *ddpg = arg;
    DdpgNetwork *networks[] = {&ddpg->state.actor, &ddpg->state.critic};
    for (int i = 0; i < 2; i++) {
        Share share = share_of_params(networks[i], worker, workers);
        kernels()->soft_copy(share.end - share.begin, (float)ddpg->config.tau,
                             networks[i]->params + share.begin, networks[i]->target + share.begin);
    }
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

static void descend(Ddpg *ddpg, DdpgNetwork *network, double lr, double weight_decay, double norm)
{
    ddpg->network = network;
    ddpg->adam = adam_step(ddpg->state.updates + 1, lr, weight_decay,
                           adam_clip_scale(norm, ddpg->config.grad_clip));
    team_run(ddpg->team, step_params, ddpg);
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
    if (!isfinite(stats->critic_loss) || !isfinite(stats->critic_grad_norm))
        return ERR_DIVERGED;
    descend(ddpg, &state->critic, config->critic_lr, config->critic_weight_decay,
            stats->critic_grad_norm);

    team_run(ddpg->team, actor_rows, ddpg);
    stats->actor_loss = mean_loss(ddpg, NULL);
    stats->actor_grad_norm = grad_norm(ddpg, &state->actor);
    if (!isfinite(stats->actor_loss) || !isfinite(stats->actor_grad_norm))
        return ERR_DIVERGED;
    descend(ddpg, &state->actor, config->actor_lr, 0, stats->actor_grad_norm);

    team_run(ddpg->team, copy_softly, ddpg);
    state->updates++;
    return 0;
}

/* --- Making and destroying -------------------------------------------------------------------- */

/* A block of n floats, zero. *ok stays as it is, or turns false when there is no memory. */
static float *new_block(size_t n, bool *ok)
{
    size_t bytes = (n * sizeof(float) + BLOCK_ALIGNMENT - 1) / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT;
    float *block = aligned_alloc(BLOCK_ALIGNMENT, bytes);
    if (block)
        memset(block, 0, bytes);
    else
        *ok = false;
    return block;
}

static bool network_new(DdpgNetwork *network)
{
    bool ok = true;
    network->num_params = mlp_num_params(&network->mlp);
    network->params = new_block(network->num_params, &ok);
    network->target = new_block(network->num_params, &ok);
    network->adam_m = new_block(network->num_params, &ok);
    network->adam_v = new_block(network->num_params, &ok);
    return ok;
}

static void network_init(DdpgNetwork *network, uint64_t seed, int index)
{
    Rng rng = rng_stream(seed, RNG_INIT, (uint64_t)index, 0, 0);
    mlp_init_params(&network->mlp, network->params, &rng);
    memcpy(network->target, network->params, network->num_params * sizeof *network->params);
}

static void network_destroy(DdpgNetwork *network)
{
    free(network->params);
    free(network->target);
    free(network->adam_m);
    free(network->adam_v);
}

static bool rows_new(Rows *rows, const Ddpg *ddpg, int n)
{
    const DdpgNetwork *actor = &ddpg->state.actor;
    const DdpgNetwork *critic = &ddpg->state.critic;
    size_t num_rows = (size_t)n;
    size_t act_dim = (size_t)ddpg->config.act_dim;
    size_t actor_scratch = mlp_grad_num_scratch(&actor->mlp, n);
    size_t critic_scratch = mlp_grad_num_scratch(&critic->mlp, n);
    bool ok = true;
    rows->actor_activations = new_block(mlp_num_activations(&actor->mlp, n), &ok);
    rows->critic_activations = new_block(mlp_num_activations(&critic->mlp, n), &ok);
    rows->obs_policy = new_block(num_rows * ((size_t)ddpg->config.obs_dim + act_dim), &ok);
    rows->y = new_block(num_rows, &ok);
    rows->d_q = new_block(num_rows, &ok);
    rows->d_action = new_block(num_rows * act_dim, &ok);
    rows->scratch = new_block(actor_scratch > critic_scratch ? actor_scratch : critic_scratch, &ok);
    rows->grad = new_block(
        actor->num_params > critic->num_params ? actor->num_params : critic->num_params, &ok);
    return ok;
}

static void rows_destroy(Rows *rows)
{
    free(rows->actor_activations);
    free(rows->critic_activations);
    free(rows->obs_policy);
    free(rows->y);
    free(rows->d_q);
    free(rows->d_action);
    free(rows->scratch);
    free(rows->grad);
}

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
    if (!network_new(actor) || !network_new(critic))
        return err_set(err, ERR_NOMEM, "no memory for the networks");
    network_init(actor, config->seed, NETWORK_ACTOR);
    network_init(critic, config->seed, NETWORK_CRITIC);
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
        Share share = share_of((size_t)config->batch, w, workers);
        if (!rows_new(&ddpg->rows[w], ddpg, (int)(share.end - share.begin)))
            return err_set(err, ERR_NOMEM, "no memory for a batch of %d transitions on %d threads",
                           config->batch, workers);
    }
    return team_new(workers, &ddpg->team, err);
}

int ddpg_new(const DdpgConfig *config, Ddpg **ddpg, Err *err)
{
    int result = check_config(config, err);
    if (result == 0)
        result = kernels_init(err);
    if (result == 0)
        result = openblas_install(err);
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
        rows_destroy(&self->rows[w]);
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
