/* The trainer: the loop that ingests, samples, updates, publishes, evaluates and saves. It runs on
 * a thread of its own, which owns replay, networks and metrics; everything to and from the loop
 * thread goes through the Exchange. */
#ifndef POLYAK_LEARNER_TRAIN_TRAINER_H
#define POLYAK_LEARNER_TRAIN_TRAINER_H

#include <stdint.h>

#include "common/config/config.h"
#include "common/err.h"
#include "learner/agent/checkpoint.h"
#include "learner/agent/ddpg.h"
#include "learner/exchange.h"
#include "learner/replay/pacer.h"
#include "learner/replay/replay.h"
#include "learner/run_dir.h"
#include "learner/train/run_log.h"

typedef struct TrainerSetup {
    const Config *config;
    const RunDir *dir;
    uint32_t epoch;
    bool resumed;  /* a checkpoint was read into ddpg and run: its policy is published at once */
    RunLog *log;   /* not open yet */
    RunState *run; /* counters, kept up to date by the trainer */
    Pacer pacer;
    Ddpg *ddpg;
    Replay *replay;
    Exchange *exchange;
} TrainerSetup;

typedef struct Trainer Trainer;

/* Opens the metrics and the logs, writes the first checkpoint of a new run, and starts the thread.
 * What the setup points to is borrowed until trainer_join(). On a resume the logs are read back by
 * the thread: TrainerProgress.ready says when segments may come. */
int trainer_start(const TrainerSetup *setup, Trainer **trainer, Err *err);

/* Waits for the thread to end: after exchange_request_stop(), or when the run is finished. */
void trainer_join(Trainer **trainer);

#endif
