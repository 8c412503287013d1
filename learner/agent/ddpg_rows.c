#include "learner/agent/ddpg_rows.h"

#include <stdlib.h>
#include <string.h>

#include "learner/agent/block.h"
#include "learner/agent/mlp_grad.h"

/* Rows that are taken through the networks at once. Measured: with fewer, the weight gradients are
 * summed up in memory too often; with more, activations leave the second-level cache. */
enum { BLOCK_ROWS = 128 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

int ddpg_rows_new(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state, int begin,
                  int end, Err *err)
{
    const DdpgNetwork *actor = &state->actor;
    const DdpgNetwork *critic = &state->critic;
    int block = least(end - begin, BLOCK_ROWS);
    size_t actor_scratch = mlp_grad_num_scratch(&actor->mlp, block);
    size_t critic_scratch = mlp_grad_num_scratch(&critic->mlp, block);
    bool ok = true;
    rows->begin = begin;
    rows->end = end;
    rows->actor_activations = block_new(mlp_num_activations(&actor->mlp, block), &ok);
    rows->critic_activations = block_new(mlp_num_activations(&critic->mlp, block), &ok);
    rows->y = block_new((size_t)block, &ok);
    rows->d_q = block_new((size_t)block, &ok);
    rows->d_action = block_new((size_t)block * (size_t)config->act_dim, &ok);
    rows->scratch = block_new(actor_scratch > critic_scratch ? actor_scratch : critic_scratch, &ok);
    rows->grad = block_new(
        actor->num_params > critic->num_params ? actor->num_params : critic->num_params, &ok);
    return ok ? 0 : err_set(err, ERR_NOMEM, "no memory for a thread's rows of the batch");
}

void ddpg_rows_destroy(DdpgRows *rows)
{
    free(rows->actor_activations);
    free(rows->critic_activations);
    free(rows->y);
    free(rows->d_q);
    free(rows->d_action);
    free(rows->scratch);
    free(rows->grad);
}

/* Writes actions (rows, act_dim) behind the observations of obs_action (rows, width). */
static void put_actions(const DdpgConfig *config, int rows, const float *action, float *obs_action)
{
    size_t act_dim = (size_t)config->act_dim;
    size_t width = (size_t)config->obs_dim + act_dim;
    for (size_t i = 0; i < (size_t)rows; i++)
        memcpy(obs_action + i * width + config->obs_dim, action + i * act_dim,
               act_dim * sizeof *action);
}

/* The first `n` of the rows from `first` on, as the critic reads them. */
static void critic_block(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state,
                         Batch *batch, int first, int n)
{
    const DdpgNetwork *actor = &state->actor;
    const DdpgNetwork *critic = &state->critic;
    int width = config->obs_dim + config->act_dim;
    const float *obs_action = batch->obs_action + (size_t)first * (size_t)width;
    float *next_obs_action = batch->next_obs_action + (size_t)first * (size_t)width;
    const float *reward = batch->reward + first;
    const float *bootstrap = batch->bootstrap + first;

    const float *next_action =
        mlp_forward(&actor->mlp, actor->target, next_obs_action, width, n, rows->actor_activations);
    put_actions(config, n, next_action, next_obs_action);
    const float *next_q = mlp_forward(&critic->mlp, critic->target, next_obs_action, width, n,
                                      rows->critic_activations);
    for (int i = 0; i < n; i++)
        rows->y[i] = reward[i] + (float)config->gamma * bootstrap[i] * next_q[i];

    const float *q =
        mlp_forward(&critic->mlp, critic->params, obs_action, width, n, rows->critic_activations);
    for (int i = 0; i < n; i++) {
        float error = q[i] - rows->y[i];
        rows->loss += (double)error * (double)error;
        rows->q += (double)q[i];
        rows->d_q[i] = 2 * error / (float)config->batch;
    }
    MlpPass pass = {&critic->mlp,
                    critic->params,
                    critic->transposed,
                    obs_action,
                    width,
                    n,
                    rows->critic_activations};
    mlp_grad_params(&pass, rows->d_q, rows->scratch, first > rows->begin, rows->grad);
}

void ddpg_rows_critic(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state,
                      Batch *batch)
{
    rows->loss = 0;
    rows->q = 0;
    for (int first = rows->begin; first < rows->end; first += BLOCK_ROWS)
        critic_block(rows, config, state, batch, first, least(rows->end - first, BLOCK_ROWS));
}

/* The same of the actor: the gradient of Q with respect to the action, carried on through it. */
static void actor_block(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state,
                        Batch *batch, int first, int n)
{
    const DdpgNetwork *actor = &state->actor;
    const DdpgNetwork *critic = &state->critic;
    int width = config->obs_dim + config->act_dim;
    float *obs_action = batch->obs_action + (size_t)first * (size_t)width;

    const float *action =
        mlp_forward(&actor->mlp, actor->params, obs_action, width, n, rows->actor_activations);
    put_actions(config, n, action, obs_action);
    const float *q =
        mlp_forward(&critic->mlp, critic->params, obs_action, width, n, rows->critic_activations);
    for (int i = 0; i < n; i++) {
        rows->loss -= (double)q[i];
        rows->d_q[i] = -1 / (float)config->batch;
    }
    MlpPass through_critic = {&critic->mlp,
                              critic->params,
                              critic->transposed,
                              obs_action,
                              width,
                              n,
                              rows->critic_activations};
    mlp_grad_input(&through_critic, rows->d_q, rows->scratch, config->obs_dim, rows->d_action);
    MlpPass pass = {&actor->mlp, actor->params,          actor->transposed, obs_action, width,
                    n,           rows->actor_activations};
    mlp_grad_params(&pass, rows->d_action, rows->scratch, first > rows->begin, rows->grad);
}

void ddpg_rows_actor(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state, Batch *batch)
{
    rows->loss = 0;
    for (int first = rows->begin; first < rows->end; first += BLOCK_ROWS)
        actor_block(rows, config, state, batch, first, least(rows->end - first, BLOCK_ROWS));
}
