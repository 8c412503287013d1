/* One worker's rows of a batch: what they contribute to the losses and gradients of an update.
 *
 * Rows are taken in blocks whose activations stay in the caches, so memory does not grow with the
 * batch. Between workers nothing is shared but the networks, which are read only here; a worker
 * writes its own DdpgRows and the action columns of its own rows of the batch. */
#ifndef POLYAK_LEARNER_AGENT_DDPG_ROWS_H
#define POLYAK_LEARNER_AGENT_DDPG_ROWS_H

#include "learner/agent/batch.h"
#include "learner/agent/ddpg.h"

typedef struct DdpgRows {
    int begin; /* the rows begin … end - 1 of every batch */
    int end;
    float *actor_activations;  /* of the target actor, then of the actor */
    float *critic_activations; /* of the target critic, then of the critic */
    float *y;                  /* (block) the critic's target */
    float *d_q;                /* (block) gradient of a loss with respect to Q */
    float *d_action;           /* (block, act_dim) and with respect to mu(s) */
    float *scratch;            /* of mlp_grad */
    float *grad;               /* (num_params of the greater network) sum over these rows */
    double loss;               /* sums over these rows */
    double q;
    double grad_squares; /* sum over the parameters that this worker sums up */
} DdpgRows;

/* For the rows begin … end - 1. ERR_NOMEM; ddpg_rows_destroy() is due all the same. */
int ddpg_rows_new(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state, int begin,
                  int end, Err *err);
void ddpg_rows_destroy(DdpgRows *rows);

/* Critic: mean (Q(s, a) - y)^2 with y = r + gamma bootstrap Q'(s', mu'(s')). Fills grad, loss and q
 * and writes mu'(s') into next_obs_action. */
void ddpg_rows_critic(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state,
                      Batch *batch);

/* Actor: mean -Q(s, mu(s)). Fills grad and loss and writes mu(s) into obs_action. */
void ddpg_rows_actor(DdpgRows *rows, const DdpgConfig *config, const DdpgState *state,
                     Batch *batch);

#endif
