#include "learner/agent/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/kernels.h"
#include "common/safetensors.h"
#include "learner/agent/checkpoint_meta.h"

/* --- The tensors: eight blocks, a tensor per layer and kind ------------------------------- */

enum { NUM_BLOCKS = 8, TENSORS_MAX = NUM_BLOCKS * 2 * MLP_LAYERS_MAX };

static const char *const actor_blocks[] = {"actor", "target_actor", "actor_adam_m", "actor_adam_v"};
static const char *const critic_blocks[] = {"critic", "target_critic", "critic_adam_m",
                                            "critic_adam_v"};

/* A block of mlp_num_params() floats and the name that its tensors begin with. */
typedef struct Block {
    const char *name;
    const Mlp *mlp;
    float *params;
} Block;

static void network_blocks(const DdpgNetwork *network, const char *const names[4], Block *blocks)
{
    float *const params[] = {network->params, network->target, network->adam_m, network->adam_v};
    for (int i = 0; i < 4; i++)
        blocks[i] = (Block){names[i], &network->mlp, params[i]};
}

static void ddpg_blocks(const DdpgState *ddpg, Block blocks[NUM_BLOCKS])
{
    network_blocks(&ddpg->actor, actor_blocks, blocks);
    network_blocks(&ddpg->critic, critic_blocks, blocks + 4);
}

static void weight_name(char name[TENSOR_NAME_MAX + 1], const char *block, int layer)
{
    snprintf(name, TENSOR_NAME_MAX + 1, "%s.%d.weight", block, layer);
}

static void bias_name(char name[TENSOR_NAME_MAX + 1], const char *block, int layer)
{
    snprintf(name, TENSOR_NAME_MAX + 1, "%s.%d.bias", block, layer);
}

/* Describes layer `layer` of a block: tensors[0] its weight (out, in), tensors[1] its bias. */
static void layer_tensors(const Block *block, int layer, Tensor tensors[2])
{
    const Mlp *mlp = block->mlp;
    size_t in = (size_t)mlp->size[layer];
    size_t out = (size_t)mlp->size[layer + 1];
    tensors[0] = (Tensor){.rank = 2, .dim = {out, in}};
    tensors[1] = (Tensor){.rank = 1, .dim = {out}};
    weight_name(tensors[0].name, block->name, layer);
    bias_name(tensors[1].name, block->name, layer);
    if (block->params) {
        tensors[0].data = block->params + mlp_weight_offset(mlp, layer);
        tensors[1].data = block->params + mlp_bias_offset(mlp, layer);
    }
}

/* --- Writing ------------------------------------------------------------------------------ */

/* Files have weights as (out, in), as PyTorch does. Points the blocks to such copies, which lie in
 * the returned memory; NULL when there is none. */
static float *turn_blocks(Block blocks[NUM_BLOCKS])
{
    size_t total = 0;
    for (int i = 0; i < NUM_BLOCKS; i++)
        total += mlp_num_params(blocks[i].mlp);
    float *turned = malloc(total * sizeof *turned);
    float *next = turned;
    for (int i = 0; turned && i < NUM_BLOCKS; i++) {
        mlp_transpose_weights(blocks[i].mlp, blocks[i].params, true, next);
        blocks[i].params = next;
        next += mlp_num_params(blocks[i].mlp);
    }
    return turned;
}

int checkpoint_write(const char *path, const DdpgState *ddpg, const RunState *run, Err *err)
{
    Block blocks[NUM_BLOCKS];
    Tensor tensors[TENSORS_MAX];
    int num_tensors = 0;
    ddpg_blocks(ddpg, blocks);
    float *turned = turn_blocks(blocks);
    if (!turned)
        return err_set(err, ERR_NOMEM, "not enough memory to write %s", path);
    for (int i = 0; i < NUM_BLOCKS; i++) {
        for (int layer = 0; layer < blocks[i].mlp->num_layers; layer++) {
            layer_tensors(&blocks[i], layer, &tensors[num_tensors]);
            num_tensors += 2;
        }
    }
    CheckpointMeta meta;
    checkpoint_meta_put(&meta, run, ddpg->updates);
    int code = safetensors_write(path, tensors, num_tensors, meta.text, meta.count, err);
    free(turned);
    return code;
}

/* --- Reading ------------------------------------------------------------------------------ */

/* An open checkpoint, everything in it verified. */
typedef struct Checkpoint {
    SafetensorsFile *file;
    RunState run;
    uint64_t adam_steps;
    Mlp actor;
    Mlp critic;
} Checkpoint;

static int malformed(const char *path, const char *what, const char *name, Err *err)
{
    return err_set(err, ERR_FORMAT, "%s is no sound checkpoint: %s%s", path, what, name);
}

/* Learns a network's shape from the weights of the block `name`. */
static int infer_mlp(const char *path, const SafetensorsFile *file, const char *name,
                     bool tanh_output, Mlp *mlp, Err *err)
{
    int size[MLP_LAYERS_MAX + 1];
    int num_layers = 0;
    char tensor_name[TENSOR_NAME_MAX + 1];
    weight_name(tensor_name, name, 0);
    const Tensor *weight = safetensors_find(file, tensor_name);
    while (weight) {
        size_t out = weight->dim[0];
        size_t in = weight->dim[1];
        if (num_layers == MLP_LAYERS_MAX || weight->rank != 2 || in > MLP_WIDTH_MAX ||
            out > MLP_WIDTH_MAX || (num_layers > 0 && (size_t)size[num_layers] != in))
            return malformed(path, "no network has the shape of ", tensor_name, err);
        size[num_layers] = (int)in;
        size[++num_layers] = (int)out;
        weight_name(tensor_name, name, num_layers);
        weight = safetensors_find(file, tensor_name);
    }
    if (num_layers == 0)
        return malformed(path, "it lacks ", tensor_name, err);
    Err reason;
    if (mlp_shape(mlp, size[0], size + 1, num_layers - 1, size[num_layers], tanh_output, &reason) !=
        ERR_OK)
        return malformed(path, "", reason.text, err);
    return ERR_OK;
}

static int check_block(const char *path, const SafetensorsFile *file, const char *name,
                       const Mlp *mlp, Err *err)
{
    const Block block = {name, mlp, NULL};
    for (int layer = 0; layer < mlp->num_layers; layer++) {
        Tensor wanted[2];
        layer_tensors(&block, layer, wanted);
        for (int i = 0; i < 2; i++) {
            const Tensor *found = safetensors_find(file, wanted[i].name);
            if (!found)
                return malformed(path, "it lacks ", wanted[i].name, err);
            if (found->rank != wanted[i].rank || found->dim[0] != wanted[i].dim[0] ||
                (found->rank == 2 && found->dim[1] != wanted[i].dim[1]))
                return malformed(path, "the networks differ in the shape of ", wanted[i].name, err);
        }
    }
    return ERR_OK;
}

static const float *tensor_data(const SafetensorsFile *file, const char *name)
{
    const Tensor *tensor = safetensors_find(file, name);
    CHECK(tensor); /* check_block() has seen it */
    return tensor->data;
}

/* Copies a block that check_block() has found whole. */
static void copy_block(const SafetensorsFile *file, const Block *block)
{
    const Mlp *mlp = block->mlp;
    for (int layer = 0; layer < mlp->num_layers; layer++) {
        char name[TENSOR_NAME_MAX + 1];
        int in = mlp->size[layer];
        int out = mlp->size[layer + 1];
        weight_name(name, block->name, layer);
        kernels()->transpose(out, in, tensor_data(file, name), in,
                             block->params + mlp_weight_offset(mlp, layer), out);
        bias_name(name, block->name, layer);
        memcpy(block->params + mlp_bias_offset(mlp, layer), tensor_data(file, name),
               (size_t)out * sizeof *block->params);
    }
}

static int take_networks(const char *path, Checkpoint *checkpoint, Err *err)
{
    const SafetensorsFile *file = checkpoint->file;
    const Spec *spec = &checkpoint->run.spec;
    Mlp *actor = &checkpoint->actor;
    Mlp *critic = &checkpoint->critic;
    int code = infer_mlp(path, file, actor_blocks[0], true, actor, err);
    if (code == ERR_OK)
        code = infer_mlp(path, file, critic_blocks[0], false, critic, err);
    for (int i = 0; i < 4 && code == ERR_OK; i++) {
        code = check_block(path, file, actor_blocks[i], actor, err);
        if (code == ERR_OK)
            code = check_block(path, file, critic_blocks[i], critic, err);
    }
    if (code != ERR_OK)
        return code;
    if (actor->size[0] != spec->obs_dim || mlp_output_dim(actor) != spec->act_dim ||
        critic->size[0] != spec->obs_dim + spec->act_dim || mlp_output_dim(critic) != 1)
        return malformed(path, "its networks do not fit its environment", "", err);
    return ERR_OK;
}

static int checkpoint_open(const char *path, Checkpoint *checkpoint, Err *err)
{
    memset(checkpoint, 0, sizeof *checkpoint);
    int code = safetensors_open(path, &checkpoint->file, err);
    if (code == ERR_OK)
        code = checkpoint_meta_take(path, checkpoint->file, &checkpoint->run,
                                    &checkpoint->adam_steps, err);
    if (code == ERR_OK)
        code = take_networks(path, checkpoint, err);
    if (code != ERR_OK)
        safetensors_destroy(&checkpoint->file);
    return code;
}

int checkpoint_read_run(const char *path, RunState *run, Err *err)
{
    Checkpoint checkpoint;
    int code = checkpoint_open(path, &checkpoint, err);
    if (code != ERR_OK)
        return code;
    *run = checkpoint.run;
    safetensors_destroy(&checkpoint.file);
    return ERR_OK;
}

/* Writes "3-400-300-1". */
static void shape_text(const Mlp *mlp, char *text, int text_bytes)
{
    int used = 0;
    for (int i = 0; i <= mlp->num_layers && used < text_bytes; i++)
        used +=
            snprintf(text + used, (size_t)(text_bytes - used), i == 0 ? "%d" : "-%d", mlp->size[i]);
}

static int check_same_shape(const char *path, const char *name, const Mlp *in_file,
                            const Mlp *wanted, Err *err)
{
    if (mlp_equal(in_file, wanted))
        return ERR_OK;
    char file_text[80];
    char wanted_text[80];
    shape_text(in_file, file_text, sizeof file_text);
    shape_text(wanted, wanted_text, sizeof wanted_text);
    return err_set(err, ERR_SPEC,
                   "%s has the %s %s, this run has %s; use the environment and `hidden` of the run "
                   "that wrote it",
                   path, name, file_text, wanted_text);
}

int checkpoint_read(const char *path, DdpgState *ddpg, RunState *run, Err *err)
{
    Checkpoint checkpoint;
    int code = checkpoint_open(path, &checkpoint, err);
    if (code != ERR_OK)
        return code;
    code = check_same_shape(path, "actor", &checkpoint.actor, &ddpg->actor.mlp, err);
    if (code == ERR_OK)
        code = check_same_shape(path, "critic", &checkpoint.critic, &ddpg->critic.mlp, err);
    if (code == ERR_OK) {
        /* Nothing can fail from here on. */
        Block blocks[NUM_BLOCKS];
        ddpg_blocks(ddpg, blocks);
        for (int i = 0; i < NUM_BLOCKS; i++)
            copy_block(checkpoint.file, &blocks[i]);
        network_params_changed(&ddpg->actor);
        network_params_changed(&ddpg->critic);
        ddpg->updates = checkpoint.adam_steps;
        *run = checkpoint.run;
    }
    safetensors_destroy(&checkpoint.file);
    return code;
}

int checkpoint_read_policy(const char *path, Mlp *mlp, float **params, RunState *run, Err *err)
{
    Checkpoint checkpoint;
    int code = checkpoint_open(path, &checkpoint, err);
    if (code != ERR_OK)
        return code;
    float *block = malloc(mlp_num_params(&checkpoint.actor) * sizeof *block);
    if (block) {
        const Block actor = {actor_blocks[0], &checkpoint.actor, block};
        copy_block(checkpoint.file, &actor);
        *mlp = checkpoint.actor;
        *params = block;
        *run = checkpoint.run;
    } else {
        code = err_set(err, ERR_NOMEM, "not enough memory for the policy of %s", path);
    }
    safetensors_destroy(&checkpoint.file);
    return code;
}
