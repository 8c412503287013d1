/* The inside of the trainer: trainer.c (the loop) stands on trainer_save.c (checkpoints, going back
 * to one), trainer_log.c (opening the logs, doing a run's end again) and trainer_live.c (keys that
 * change while it runs). Nobody else includes it. */
#ifndef POLYAK_LEARNER_TRAIN_TRAINER_INTERNAL_H
#define POLYAK_LEARNER_TRAIN_TRAINER_INTERNAL_H

#include <pthread.h>

#include "common/fs.h"
#include "learner/train/core.h"
#include "learner/train/recorder.h"
#include "learner/train/redo.h"
#include "learner/train/trainer.h"
#include "learner/watch/evaluations.h"
#include "learner/watch/metrics.h"

struct Trainer {
    TrainerSetup setup;
    Config config; /* the trainer's own copy, which live keys change */
    Pacer pacer;
    pthread_t thread;
    TrainCore core;
    Recorder recorder;
    RunLogPast past; /* what an earlier start left, until it is worked off */
    Metrics metrics;
    Evaluations evaluations;
    TrainerProgress progress;
    int64_t published_ns;
    int64_t loop_woken_ns;
    int64_t checkpoint_ns;
    uint64_t next_position; /* of the next segment from the ring: its number, */
    uint64_t next_row;      /* and its replay row */
    bool undone;            /* stopped while the past was done again: this start leaves no trace */
    int diverged_updates;   /* in a row */
    bool not_finite;        /* a parameter is not: the next thing is to go back */
    int rollbacks;          /* in a row, without a sound update in between */
    char checkpoints[FS_PATH_MAX];
};

/* --- trainer.c --- */

bool trainer_should_stop(const Trainer *trainer);
void trainer_report(Trainer *trainer, bool settled);

/* Lets the loop thread know, but not more often than it can use, unless `now`. */
void trainer_wake_loop(Trainer *trainer, bool now);

/* --- trainer_save.c --- */

/* Writes a checkpoint, once the logs are on disk up to it; logged where it fails. */
int trainer_save(Trainer *trainer);

/* Goes back to the networks of the newest checkpoint. False when there is none, or when that was
 * done too often: the run then ends. */
bool trainer_roll_back(Trainer *trainer);

/* --- trainer_log.c --- */

/* Opens the logs of a new run, or reads those of an earlier start back. */
int trainer_open_log(Trainer *trainer, Err *err);

/* A resume: does again what was done after the checkpoint, and takes what came after that. Without
 * a log there is nothing to do. Where the run is stopped before, it is left as it was: `undone`. */
void trainer_redo_past(Trainer *trainer);

/* --- trainer_live.c --- */

/* Takes the keys that an operator has set. */
void trainer_take_settings(Trainer *trainer);

/* Takes one of them, from "key=value"; what follows a space is left out. */
int trainer_apply_setting(Config *config, Pacer *pacer, Ddpg *ddpg, const RunState *run,
                          const char *assignment, Err *err);

/* The keys that what was done depends on, beside those that never change: a resume begins with
 * their values of the time of its checkpoint, and follows the record from there. */
void trainer_take_checkpoint_settings(Trainer *trainer, const char *config_yaml);

/* The record is followed: where this start was given other values, they hold from here on, and are
 * recorded. */
void trainer_take_wanted_settings(Trainer *trainer, const Config *wanted);

#endif
