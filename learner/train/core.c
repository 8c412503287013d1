#include "learner/train/core.h"

#include <string.h>

#include <xxhash.h>

#include "common/check.h"
#include "learner/replay/sampler.h"

/* The digest of an update that was skipped. */
#define SKIPPED_DIGEST 0x5ca1ab1eU

int core_init(TrainCore *core, Replay *replay, Ddpg *ddpg, RunState *run, int batch, Err *err)
{
    *core = (TrainCore){.replay = replay, .ddpg = ddpg, .run = run};
    if (batch_new(&core->batch, batch, replay->obs_dim, replay->act_dim) != 0)
        return err_set(err, ERR_NOMEM, "out of memory for a batch of %d", batch);
    return ERR_OK;
}

void core_destroy(TrainCore *core)
{
    batch_destroy(&core->batch);
}

void core_ingest(TrainCore *core, const Segment *segment, uint64_t position, uint64_t row)
{
    RunState *run = core->run;
    CHECK(replay_append_at(core->replay, segment, row));
    run->env_steps += (uint64_t)segment->num_steps;
    run->episodes += segment->end != SEGMENT_CONTINUES;
    run->log_position = position;
    run->replay_head = core->replay->head;
    run->replay_digest = core->replay->digest;
}

void core_draw(TrainCore *core)
{
    sampler_draw(core->replay, core->run->seed, core->run->updates, &core->batch);
}

int core_update(TrainCore *core, DdpgStats *stats, uint32_t *digest)
{
    RunState *run = core->run;
    DdpgState *state = ddpg_state(core->ddpg);
    memset(stats, 0, sizeof *stats);
    int code = ddpg_update(core->ddpg, &core->batch, stats);
    if (code == 0) {
        *digest = (uint32_t)XXH3_64bits(stats, sizeof *stats);
    } else {
        /* The count goes on, so that the next update draws another batch. */
        state->updates = run->updates + 1;
        run->skipped_updates++;
        *digest = SKIPPED_DIGEST;
    }
    run->updates = state->updates;
    return code;
}

int core_roll_back(TrainCore *core, const char *checkpoint_path, uint64_t *update, Err *err)
{
    RunState *run = core->run;
    static RunState of_checkpoint; /* large: kept off the stack */
    int code = checkpoint_read(checkpoint_path, ddpg_state(core->ddpg), &of_checkpoint, err);
    if (code != ERR_OK)
        return code;
    *update = of_checkpoint.updates;
    /* The same batches would only diverge again. */
    ddpg_state(core->ddpg)->updates = run->updates;
    run->rollbacks++;
    return ERR_OK;
}

/* A sum of zeros, unless a parameter is Inf or NaN. */
static float sum_of_zeros(const float *params, size_t num_params)
{
    float sum = 0;
    for (size_t i = 0; i < num_params; i++)
        sum += params[i] * 0.0F;
    return sum;
}

bool core_is_finite(const TrainCore *core)
{
    const DdpgState *state = ddpg_state(core->ddpg);
    return sum_of_zeros(state->actor.params, state->actor.num_params) == 0 &&
           sum_of_zeros(state->critic.params, state->critic.num_params) == 0;
}

static uint64_t fingerprint_network(const DdpgNetwork *network, uint64_t seed)
{
    const float *const blocks[] = {network->params, network->target, network->adam_m,
                                   network->adam_v};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        seed = XXH3_64bits_withSeed(blocks[i], network->num_params * sizeof(float), seed);
    return seed;
}

uint64_t core_fingerprint(const DdpgState *state)
{
    return fingerprint_network(&state->critic, fingerprint_network(&state->actor, state->updates));
}

static void copy_network(DdpgNetwork *to, const DdpgNetwork *from)
{
    size_t bytes = from->num_params * sizeof(float);
    memcpy(to->params, from->params, bytes);
    memcpy(to->target, from->target, bytes);
    memcpy(to->adam_m, from->adam_m, bytes);
    memcpy(to->adam_v, from->adam_v, bytes);
    network_params_changed(to);
}

void core_copy_state(DdpgState *to, const DdpgState *from)
{
    copy_network(&to->actor, &from->actor);
    copy_network(&to->critic, &from->critic);
    to->updates = from->updates;
}
