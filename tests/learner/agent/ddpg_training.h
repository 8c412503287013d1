/* Agents that train on batches which are a function of the update's number, as they are in a run.
 * For the tests of the agent only; include it after cmocka.h. */
#ifndef POLYAK_TESTS_LEARNER_AGENT_DDPG_TRAINING_H
#define POLYAK_TESTS_LEARNER_AGENT_DDPG_TRAINING_H

#include "common/rng.h"
#include "learner/agent/ddpg.h"

static inline Ddpg *make(const DdpgConfig *config)
{
    Ddpg *ddpg = NULL;
    Err err = {0};
    if (ddpg_new(config, &ddpg, &err) != 0)
        fail_msg("%s", err.text);
    return ddpg;
}

/* A batch for update number `update`; some rows are terminal. */
static inline void fill(Batch *batch, uint64_t update)
{
    Rng rng = rng_stream(3, RNG_TEST, update, 0, 0);
    for (int i = 0; i < batch->rows * (batch->obs_dim + batch->act_dim); i++) {
        batch->obs_action[i] = (float)(2 * rng_uniform(&rng) - 1);
        batch->next_obs_action[i] = (float)(2 * rng_uniform(&rng) - 1);
    }
    for (int i = 0; i < batch->rows; i++) {
        batch->reward[i] = (float)rng_normal(&rng);
        batch->bootstrap[i] = (float)(rng_below(&rng, 4) > 0);
    }
}

static inline void train(Ddpg *ddpg, const DdpgConfig *config, int updates)
{
    Batch batch;
    DdpgStats stats;
    assert_int_equal(batch_new(&batch, config->batch, config->obs_dim, config->act_dim), 0);
    for (int i = 0; i < updates; i++) {
        fill(&batch, ddpg_state(ddpg)->updates);
        assert_int_equal(ddpg_update(ddpg, &batch, &stats), 0);
    }
    batch_destroy(&batch);
}

#endif
