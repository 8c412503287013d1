#include "learner/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/presets.h"
#include "common/cpu.h"
#include "common/log.h"
#include "proto/wire.h"

enum {
    SLOTS_MIN = 64,
    SLOTS_MAX = 16384,
    SLOTS_PER_PEER = 4, /* segments of an actor that are on their way, or wait for the log */
    SLOT_BYTES_BUDGET = 16 << 20,
    /* With fewer operations a thread, waiting for each other costs a team much of what it wins.
     * Measured: an update of 64-64 and batch 100 (10 million) is 1.5 times as fast with two. */
    UPDATE_FLOPS_PER_THREAD = 4000000,
};

int run_check_env(const Config *config, Err *err)
{
    if (config->env[0] == '\0' || preset_find(config->env) || presets_allow(config->env))
        return ERR_OK;
    return err_set(err, ERR_USAGE,
                   "--env %.100s is no environment: it is one of %s, mujoco:TASK, gymnasium:ID, or "
                   "the path of a plugin",
                   config->env, presets_names());
}

/* Threads of the trainer: what the process may use, less one for the loop and the actors, and no
 * more than an update is worth. */
static int default_threads(const Config *config, int obs_dim, int act_dim)
{
    Mlp critic;
    if (mlp_shape(&critic, obs_dim + act_dim, config->hidden.size, config->hidden.count, 1, false,
                  NULL) != 0)
        return 1;
    double flops = 20.0 * (double)mlp_num_params(&critic) * (double)config->batch;
    int worth = (int)(flops / UPDATE_FLOPS_PER_THREAD);
    /* A private endpoint is that of a `train`, whose actors are here too. */
    int local_actors = strncmp(config->bind, "ipc://", 6) == 0 ? (int)config->actors : 0;
    int usable = cpu_usable_count() - 1 - local_actors;
    int threads = worth < usable ? worth : usable;
    return threads > 1 ? threads : 1;
}

DdpgConfig run_ddpg_config(const Config *config, int obs_dim, int act_dim)
{
    DdpgConfig ddpg = {
        .obs_dim = obs_dim,
        .act_dim = act_dim,
        .num_hidden = config->hidden.count,
        .batch = (int)config->batch,
        .gamma = config->gamma,
        .tau = config->tau,
        .actor_lr = config->actor_lr,
        .critic_lr = config->critic_lr,
        .critic_weight_decay = config->critic_weight_decay,
        .grad_clip = config->grad_clip,
        .threads =
            config->threads > 0 ? (int)config->threads : default_threads(config, obs_dim, act_dim),
        .seed = (uint64_t)config->seed,
    };
    memcpy(ddpg.hidden, config->hidden.size, (size_t)config->hidden.count * sizeof(int));
    return ddpg;
}

uint64_t run_replay_rows(const Config *config, int obs_dim, int act_dim)
{
    const ConfigCapacity *capacity = &config->replay_capacity;
    int segment_steps = (int)config->segment_steps;
    uint64_t rows = replay_rows_for((uint64_t)capacity->steps, (uint64_t)capacity->bytes,
                                    segment_steps, obs_dim, act_dim);
    uint64_t least = 2 * (uint64_t)segment_steps + (uint64_t)config->batch;
    return capacity->steps > 0 || rows > least ? rows : least;
}

int run_reserve(Run *run, int obs_dim, int act_dim, Err *err)
{
    if (run->reserved) {
        if (run->replay.obs_dim == obs_dim && run->replay.act_dim == act_dim)
            return ERR_OK;
        return err_set(err, ERR_SPEC, "the run has obs_dim %d and act_dim %d, not %d and %d",
                       run->replay.obs_dim, run->replay.act_dim, obs_dim, act_dim);
    }
    DdpgConfig config = run_ddpg_config(run->config, obs_dim, act_dim);
    if (config.threads > cpu_usable_count())
        log_warn("--threads %d: only %d cores may be used, so the threads will wait for each other",
                 config.threads, cpu_usable_count());
    int code = replay_new(&run->replay, run_replay_rows(run->config, obs_dim, act_dim), obs_dim,
                          act_dim, err);
    if (code == 0)
        code = ddpg_new(&config, &run->ddpg, err);
    run->state = run->dir->run;
    if (code == 0 && run->dir->has_checkpoint)
        code = checkpoint_read(run->dir->checkpoint, ddpg_state(run->ddpg), &run->state, err);
    if (code != 0) {
        ddpg_destroy(&run->ddpg);
        replay_destroy(&run->replay);
        return code;
    }
    run->reserved = true;
    run->threads = config.threads;
    log_info("replay: %llu rows, %.1f MiB; trainer: %d thread%s",
             (unsigned long long)run->replay.capacity,
             (double)replay_bytes(run->replay.capacity, obs_dim, act_dim) / (1024.0 * 1024.0),
             config.threads, config.threads == 1 ? "" : "s");
    return ERR_OK;
}

int run_reserve_early(Run *run, Err *err)
{
    Config *config = run->config;
    const Preset *preset = preset_find(config->env);
    int code = preset ? config_apply_preset(config, preset->env, err) : ERR_OK;
    /* Without an environment the preset is not known yet, and so neither is what holds. */
    if (code == 0 && config->env[0] != '\0')
        code = config_check(config, err);
    if (code != 0)
        return code;
    const Spec *restored = &run->dir->run.spec;
    if (run->dir->has_checkpoint)
        return run_reserve(run, restored->obs_dim, restored->act_dim, err);
    /* Options may change the shapes that a preset knows: then the first actor says them. */
    bool known = preset && config->env_options[0] == '\0';
    return known ? run_reserve(run, preset->obs_dim, preset->act_dim, err) : ERR_OK;
}

/* A checkpoint of the same shapes can still be of another environment. */
static int check_same_env(const Run *run, const Spec *spec, Err *err)
{
    const Spec *trained = &run->dir->run.spec;
    if (!run->dir->has_checkpoint || spec_equal(trained, spec))
        return ERR_OK;
    char difference[256];
    spec_difference(trained, spec, difference, sizeof difference);
    return err_set(err, ERR_SPEC, "the run was trained in another environment: %s", difference);
}

static int complete_configuration(Run *run, const Spec *spec, Err *err)
{
    int code = config_apply_preset(run->config, spec->name, err);
    if (code == 0)
        code = config_check(run->config, err);
    if (code == 0)
        code = run_dir_write_config(run->dir, run->config, err);
    return code;
}

static void set_state(Run *run, const Spec *spec)
{
    run->state.spec = *spec;
    run->state.seed = (uint64_t)run->config->seed;
    char *yaml = NULL;
    if (config_to_yaml(run->config, true, &yaml, NULL) == 0)
        snprintf(run->state.config_yaml, sizeof run->state.config_yaml, "%s", yaml);
    free(yaml);
}

static uint64_t ring_slots(const Run *run, const Spec *spec)
{
    size_t slot_bytes =
        segment_block_bytes(spec->obs_dim, spec->act_dim, (int)run->config->segment_steps);
    uint64_t slots = SLOT_BYTES_BUDGET / slot_bytes;
    uint64_t wanted = SLOTS_PER_PEER * (uint64_t)run->config->peers_max;
    if (wanted > SLOTS_MAX)
        wanted = SLOTS_MAX;
    if (slots > wanted)
        slots = wanted;
    return slots < SLOTS_MIN ? SLOTS_MIN : slots;
}

static void say_what_resumes(const Run *run)
{
    if (!run->dir->resumed)
        return;
    if (!run->dir->has_checkpoint) {
        log_info("no checkpoint was written yet: the run begins again");
        return;
    }
    log_info("resumed at %llu env steps and %llu updates%s",
             (unsigned long long)run->state.env_steps, (unsigned long long)run->state.updates,
             run->config->replay_log ? "; reading the replay log back"
                                     : "; without the replay log the replay is empty, and updates "
                                       "wait for new steps");
    if (run->config->total_env_steps <= (int64_t)run->state.env_steps)
        log_info("all %lld env steps are done: raise --total-env-steps to go on",
                 (long long)run->config->total_env_steps);
}

/* Where pacing goes on: where the checkpoint left it, where its replay comes back from the log. */
static Pacer make_pacer(const Run *run)
{
    const Config *config = run->config;
    const RunState *state = &run->state;
    bool goes_on = run->dir->has_checkpoint && config->replay_log && state->log_position > 0;
    return (Pacer){
        .total_env_steps = (uint64_t)config->total_env_steps,
        .warmup_env_steps = (uint64_t)config->warmup_env_steps,
        .batch = (uint64_t)config->batch,
        .ratio = config->updates_per_env_step,
        .window_env_steps = (uint64_t)config->pacing_window_env_steps,
        .env_steps_start = goes_on ? state->pacer_env_steps : state->env_steps,
        .updates_start = goes_on ? state->pacer_updates : state->updates,
        .underway = goes_on && state->pacer_underway,
    };
}

int run_begin(Run *run, const Spec *spec, void (*wake_loop)(void *), void *wake_context, Err *err)
{
    CHECK(!run->begun);
    const Config *config = run->config;
    int code = check_same_env(run, spec, err);
    if (code == 0)
        code = complete_configuration(run, spec, err);
    if (code == 0)
        code = run_reserve(run, spec->obs_dim, spec->act_dim, err);
    if (code != 0)
        return code;
    set_state(run, spec);
    run->pacer = make_pacer(run);
    code = run_log_init(&run->log, run->dir->path, &run->dir->run_id, err);
    if (code == 0 && config->replay_log)
        code = run_log_check_space(config, run->dir->path, &run->replay,
                                   checkpoint_bytes(ddpg_state(run->ddpg)), err);
    if (code == 0)
        code = run_dir_write_machine(run->dir, run->threads, err);
    if (code != 0)
        return code;
    const Mlp *policy = &ddpg_state(run->ddpg)->actor.mlp;
    if (exchange_new(&run->exchange, policy, ring_slots(run, spec), spec->obs_dim, spec->act_dim,
                     (int)config->segment_steps) != 0)
        return err_set(err, ERR_NOMEM, "out of memory for the hand-over ring");
    atomic_store(&run->exchange.publish_interval_ms, (uint32_t)config->publish_interval_ms);
    run->exchange.wake_loop = wake_loop;
    run->exchange.wake_context = wake_context;
    say_what_resumes(run);
    TrainerSetup setup = {
        .config = config,
        .dir = run->dir,
        .epoch = run->dir->epoch,
        .resumed = run->dir->has_checkpoint,
        .log = &run->log,
        .run = &run->state,
        .pacer = run->pacer,
        .ddpg = run->ddpg,
        .replay = &run->replay,
        .exchange = &run->exchange,
    };
    code = trainer_start(&setup, &run->trainer, err);
    if (code != 0) {
        run_log_close(&run->log);
        exchange_destroy(&run->exchange);
        return code;
    }
    run->begun = true;
    return ERR_OK;
}

void run_end(Run *run)
{
    if (run->begun) {
        exchange_request_stop(&run->exchange);
        trainer_join(&run->trainer);
        run_log_close(&run->log);
        exchange_destroy(&run->exchange);
    }
    ddpg_destroy(&run->ddpg);
    replay_destroy(&run->replay);
    run->begun = false;
    run->reserved = false;
}
