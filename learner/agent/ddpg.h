/* DDPG (Lillicrap et al. 2015): four networks and one update.
 *
 * All memory is allocated by ddpg_new; the trainer thread owns it, and its team works on it only
 * inside ddpg_update. All state that must survive a restart is in DdpgState, which is what a
 * checkpoint stores: nothing else influences later updates. */
#ifndef POLYAK_LEARNER_AGENT_DDPG_H
#define POLYAK_LEARNER_AGENT_DDPG_H

#include <stdint.h>

#include "common/err.h"
#include "common/mlp.h"
#include "learner/agent/batch.h"
#include "learner/agent/network.h"

typedef struct DdpgConfig {
    int obs_dim;
    int act_dim;
    int num_hidden;
    int hidden[MLP_LAYERS_MAX - 1];
    int batch;
    double gamma;
    double tau;
    double actor_lr;
    double critic_lr;
    double critic_weight_decay;
    double grad_clip; /* norm per network; 0: none */
    int threads;      /* of the team, >= 1 */
    uint64_t seed;    /* of the first parameters */
} DdpgConfig;

typedef struct DdpgState {
    DdpgNetwork actor;  /* obs -> action, tanh */
    DdpgNetwork critic; /* obs | action -> Q */
    uint64_t updates;   /* done; also the step count of both Adams */
} DdpgState;

/* What one update computed, before it changed the parameters. */
typedef struct DdpgStats {
    double critic_loss;      /* mean (Q - y)^2 */
    double actor_loss;       /* mean -Q(s, mu(s)), through the updated critic */
    double q_mean;           /* mean Q(s, a) of the batch */
    double critic_grad_norm; /* before clipping, without weight decay */
    double actor_grad_norm;  /* before clipping */
} DdpgStats;

typedef struct Ddpg Ddpg;

/* ERR_NOMEM or ERR_USAGE. Targets start as exact copies. */
int ddpg_new(const DdpgConfig *config, Ddpg **ddpg, Err *err);
void ddpg_destroy(Ddpg **ddpg);

DdpgState *ddpg_state(Ddpg *ddpg);

/* Between two updates. */
void ddpg_set_learning_rates(Ddpg *ddpg, double actor_lr, double critic_lr);

/* One update: critic step, then actor step through the updated critic; the target of each network
 * takes its soft copy in the pass of its step. `batch` has config.batch rows; its actions are
 * overwritten: mu'(s') behind s', mu(s) in the place of a. ERR_DIVERGED when a loss or a gradient
 * norm is not finite, or larger than Adam can square: the network whose step it was, and what
 * follows it, are left as they were. */
int ddpg_update(Ddpg *ddpg, Batch *batch, DdpgStats *stats);

#endif
