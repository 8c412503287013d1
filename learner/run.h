/* A run: replay, networks, trainer and exchange, made when the environment is known.
 *
 * With --env, or on resume, the dimensions are known at the start and all memory is reserved then;
 * otherwise at the first actor's Hello. Owned by the loop thread, until run_begin() hands replay
 * and networks to the trainer. */
#ifndef POLYAK_LEARNER_RUN_H
#define POLYAK_LEARNER_RUN_H

#include <stdbool.h>

#include "learner/exchange.h"
#include "learner/replay/pacer.h"
#include "learner/replay/replay.h"
#include "learner/run_dir.h"
#include "learner/train/trainer.h"

typedef struct Run {
    Config *config;
    RunDir *dir;
    RunState state;
    Ddpg *ddpg;
    Replay replay;
    Pacer pacer;
    Exchange exchange;
    RunLog log;
    Trainer *trainer;
    int threads; /* of the trainer's team */
    bool reserved;
    bool begun;
} Run;

/* ERR_USAGE for an --env that can be no environment, before anything is made. */
int run_check_env(const Config *config, Err *err);

/* Reserves memory for these dimensions, and reads the checkpoint of a resumed run. ERR_NOMEM with
 * the numbers, ERR_SPEC when the checkpoint has other ones. Does nothing the second time, but
 * ERR_SPEC for other dimensions. */
int run_reserve(Run *run, int obs_dim, int act_dim, Err *err);

/* The same at the start, where --env or a checkpoint tells the dimensions; checks the configuration
 * as far as it is known. */
int run_reserve_early(Run *run, Err *err);

/* Applies the environment's preset, stores the effective configuration, reserves what is not
 * reserved, and starts the trainer. wake_loop is called from the trainer's thread. */
int run_begin(Run *run, const Spec *spec, void (*wake_loop)(void *), void *wake_context, Err *err);

/* What the networks and the replay of a configuration are like, for these dimensions. */
DdpgConfig run_ddpg_config(const Config *config, int obs_dim, int act_dim);
uint64_t run_replay_rows(const Config *config, int obs_dim, int act_dim);

/* Stops the trainer, which writes a last checkpoint, and frees everything. */
void run_end(Run *run);

#endif
