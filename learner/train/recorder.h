/* Records what the trainer does, in order, for the order log: updates are gathered into blocks, and
 * events stand between them. Does nothing where the run has no log. Owned by the trainer thread. */
#ifndef POLYAK_LEARNER_TRAIN_RECORDER_H
#define POLYAK_LEARNER_TRAIN_RECORDER_H

#include "learner/agent/checkpoint.h"
#include "learner/log_thread.h"

typedef struct Recorder {
    LogThread *log;   /* NULL: nothing is recorded */
    OrderBlock block; /* not yet handed on; count 0: none */
} Recorder;

/* Update number `update` was done after `position` segments were ingested. */
void recorder_update(Recorder *recorder, uint64_t update, uint64_t position, uint32_t digest);

/* Something else was done, at the run's update and position. `text` may be NULL. */
void recorder_event(Recorder *recorder, const RunState *run, OrderEventType type, uint64_t value,
                    const char *text);

/* Hands on what is gathered. */
void recorder_flush(Recorder *recorder);

#endif
