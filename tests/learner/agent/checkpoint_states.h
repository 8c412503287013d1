/* States to save, and ways to spoil what was saved. For the tests of checkpoints only; include it
 * after cmocka.h. */
#ifndef POLYAK_TESTS_LEARNER_AGENT_CHECKPOINT_STATES_H
#define POLYAK_TESTS_LEARNER_AGENT_CHECKPOINT_STATES_H

#include <float.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "common/safetensors.h"
#include "learner/agent/checkpoint.h"

static inline void network_make(DdpgNetwork *network, int in, const int *hidden, int num_hidden,
                                int out, bool tanh_output)
{
    assert_int_equal(mlp_shape(&network->mlp, in, hidden, num_hidden, out, tanh_output, NULL), 0);
    assert_int_equal(network_new(network, NULL), 0);
}

static inline void network_fill(DdpgNetwork *network, Rng *rng)
{
    float *blocks[] = {network->params, network->target, network->adam_m, network->adam_v};
    for (int i = 0; i < 4; i++) {
        for (size_t j = 0; j < network->num_params; j++)
            blocks[i][j] = (float)rng_normal(rng);
    }
    network_params_changed(network);
}

static inline bool network_equal(const DdpgNetwork *a, const DdpgNetwork *b)
{
    size_t bytes = a->num_params * sizeof(float);
    return mlp_equal(&a->mlp, &b->mlp) && memcmp(a->params, b->params, bytes) == 0 &&
           memcmp(a->target, b->target, bytes) == 0 && memcmp(a->adam_m, b->adam_m, bytes) == 0 &&
           memcmp(a->adam_v, b->adam_v, bytes) == 0 &&
           memcmp(a->transposed, b->transposed, bytes) == 0;
}

/* A state for obs_dim 3 and act_dim 2, all zeros. */
static inline DdpgState ddpg_make(const int *hidden, int num_hidden)
{
    DdpgState ddpg = {0};
    network_make(&ddpg.actor, 3, hidden, num_hidden, 2, true);
    network_make(&ddpg.critic, 5, hidden, num_hidden, 1, false);
    return ddpg;
}

static inline void ddpg_fill(DdpgState *ddpg, uint64_t seed)
{
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    network_fill(&ddpg->actor, &rng);
    network_fill(&ddpg->critic, &rng);
    ddpg->updates = 1000 + seed;
}

static inline bool ddpg_equal(const DdpgState *a, const DdpgState *b)
{
    return network_equal(&a->actor, &b->actor) && network_equal(&a->critic, &b->critic) &&
           a->updates == b->updates;
}

static inline void ddpg_free(DdpgState *ddpg)
{
    network_destroy(&ddpg->actor);
    network_destroy(&ddpg->critic);
}

static const int small_hidden[] = {4, 3};

static inline RunState run_make(uint64_t updates)
{
    RunState run = {
        .spec = {.name = "plug/in-1:x.y",
                 .obs_dim = 3,
                 .act_dim = 2,
                 .step_limit = 200,
                 .action_low = {-1.0f / 3, -FLT_MAX},
                 .action_high = {FLT_MIN / 8, 0.1f}},
        .config_yaml = "env: plug  # \"quoted\" \\ \xc3\xa9\nseed: 7\n",
        .env_steps = UINT64_MAX,
        .updates = updates,
        .episodes = 12345678901,
        .best_return = -1234.1 / 3,
        .evals = 17,
        .seed = INT64_MAX,
        .log_position = UINT64_MAX - 1,
        .replay_head = UINT64_MAX - 2,
        .replay_digest = UINT64_MAX - 3,
        .pacer_env_steps = UINT64_MAX - 4,
        .pacer_updates = UINT64_MAX - 5,
        .pacer_underway = true,
        .skipped_updates = 6,
        .rollbacks = 7,
    };
    return run;
}

static inline bool run_equal(const RunState *a, const RunState *b)
{
    return spec_equal(&a->spec, &b->spec) && strcmp(a->config_yaml, b->config_yaml) == 0 &&
           a->env_steps == b->env_steps && a->updates == b->updates && a->episodes == b->episodes &&
           a->evals == b->evals && a->seed == b->seed && a->log_position == b->log_position &&
           a->replay_head == b->replay_head && a->replay_digest == b->replay_digest &&
           a->pacer_env_steps == b->pacer_env_steps && a->pacer_updates == b->pacer_updates &&
           a->pacer_underway == b->pacer_underway && a->skipped_updates == b->skipped_updates &&
           a->rollbacks == b->rollbacks &&
           memcmp(&a->best_return, &b->best_return, sizeof a->best_return) == 0;
}

/* Rewrites a sound checkpoint with one text and one tensor changed; NULL leaves them out. */
static inline void rewrite(const char *path, const char *key, const char *value,
                           const char *tensor_name)
{
    Err err;
    SafetensorsFile *file;
    Tensor tensors[48];
    TensorMeta meta[32];
    static const char *const keys[] = {"polyak_checkpoint",
                                       "env",
                                       "obs_dim",
                                       "act_dim",
                                       "step_limit",
                                       "action_low",
                                       "action_high",
                                       "env_steps",
                                       "updates",
                                       "adam_steps",
                                       "episodes",
                                       "best_return",
                                       "evals",
                                       "seed",
                                       "config",
                                       "log_position",
                                       "replay_head",
                                       "replay_digest",
                                       "pacer_env_steps",
                                       "pacer_updates",
                                       "pacer_underway",
                                       "rollbacks",
                                       "skipped_updates"};
    int num_tensors = 0;
    int num_meta = 0;
    assert_int_equal(safetensors_open(path, &file, &err), ERR_OK);
    for (int i = 0; i < safetensors_num_tensors(file); i++) {
        const Tensor *tensor = safetensors_tensor(file, i);
        if (!tensor_name || strcmp(tensor->name, tensor_name) != 0)
            tensors[num_tensors++] = *tensor;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool changed = key && strcmp(keys[i], key) == 0;
        assert_non_null(safetensors_meta(file, keys[i]));
        if (!changed || value)
            meta[num_meta++] =
                (TensorMeta){keys[i], changed ? value : safetensors_meta(file, keys[i])};
    }
    assert_int_equal(safetensors_write(path, tensors, num_tensors, meta, num_meta, &err), ERR_OK);
    safetensors_destroy(&file);
}

#endif
