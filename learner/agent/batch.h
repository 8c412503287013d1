/* A batch of transitions, as the sampler draws it and ddpg_update() reads it.
 *
 * Observation and action of a row lie side by side, ready for the critic; the actor reads the same
 * rows with a row stride of obs_dim + act_dim. */
#ifndef POLYAK_LEARNER_AGENT_BATCH_H
#define POLYAK_LEARNER_AGENT_BATCH_H

typedef struct Batch {
    int rows;
    int obs_dim;
    int act_dim;
    float *obs_action;      /* (rows, obs_dim + act_dim) s | a */
    float *next_obs_action; /* (rows, obs_dim + act_dim) s' | room for the target actor's a' */
    float *reward;          /* (rows) */
    float *bootstrap;       /* (rows) 0 where s' is terminal, else 1 */
} Batch;

/* All zero on failure (ERR_NOMEM). */
int batch_new(Batch *batch, int rows, int obs_dim, int act_dim);
void batch_destroy(Batch *batch);

#endif
