/* One network of the agent with its target and its optimizer: blocks of mlp_num_params() floats in
 * the layout of mlp.h.
 *
 * Owned by the trainer thread; inside an update the team steps it, each worker its own part. */
#ifndef POLYAK_LEARNER_AGENT_NETWORK_H
#define POLYAK_LEARNER_AGENT_NETWORK_H

#include <stddef.h>

#include "common/err.h"
#include "common/mlp.h"
#include "common/rng.h"
#include "learner/agent/adam.h"

typedef struct DdpgNetwork {
    Mlp mlp;
    size_t num_params;
    float *params;
    float *target;
    float *adam_m;
    float *adam_v;
    float *transposed; /* derived: params with every W_l, l >= 1, as (out, in), for mlp_grad */
} DdpgNetwork;

/* Allocates the blocks of network->mlp, all zero. ERR_NOMEM; network_destroy() is due all the same.
 */
int network_new(DdpgNetwork *network, Err *err);
void network_destroy(DdpgNetwork *network);

/* Draws the first parameters; the target starts as their exact copy. */
void network_init(DdpgNetwork *network, Rng rng);

/* To be called after params were written by anybody but network_step(). */
void network_params_changed(DdpgNetwork *network);

/* A worker's part of the block: per layer some rows of W_l, and with the last of them b_l. */
typedef struct NetworkPart {
    int first_row;
    int num_rows;
    size_t begin;       /* in the block */
    size_t weights_end; /* behind the rows */
    size_t end;         /* behind the biases, where they belong to it */
} NetworkPart;

/* 0 <= worker < workers. The parts of all workers are the whole layer, without overlap. */
NetworkPart network_part(const Mlp *mlp, int layer, int worker, int workers);

/* One step of a worker's part, in one pass over it: Adam with weight decay on the weights, and
 * target <- target + tau (params - target). grad is a block of the same layout. */
void network_step(DdpgNetwork *network, const AdamStep *step, const float *grad, int worker,
                  int workers);

#endif
