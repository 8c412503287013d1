/* The core of training: what is ingested and what is updated, in an order that somebody else says.
 * The trainer says it live, a resume and a rerun from the record of an earlier run; the same calls
 * in the same order give the same bits. Owned by the thread that trains. */
#ifndef POLYAK_LEARNER_TRAIN_CORE_H
#define POLYAK_LEARNER_TRAIN_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "learner/agent/batch.h"
#include "learner/agent/checkpoint.h"
#include "learner/agent/ddpg.h"
#include "learner/replay/replay.h"

typedef struct TrainCore {
    Replay *replay; /* borrowed, as are */
    Ddpg *ddpg;
    RunState *run; /* its counters are kept up to date here */
    Batch batch;   /* owned */
} TrainCore;

/* ERR_NOMEM. */
int core_init(TrainCore *core, Replay *replay, Ddpg *ddpg, RunState *run, int batch, Err *err);
void core_destroy(TrainCore *core);

/* Takes the next segment. Its number in the log, and the replay row of its first step, are those
 * that follow, but where segments before it were lost. */
void core_ingest(TrainCore *core, const Segment *segment, uint64_t position, uint64_t row);

/* Draws the batch of the next update. */
void core_draw(TrainCore *core);

/* The update of the batch that was drawn. ERR_DIVERGED: it is skipped, and counted; the next one
 * draws another batch. *digest is of what it computed: runs whose digests are equal have equal
 * networks. */
int core_update(TrainCore *core, DdpgStats *stats, uint32_t *digest);

/* Takes the networks of a checkpoint (of update *update); replay and counters go on. Errors of
 * checkpoint_read(). */
int core_roll_back(TrainCore *core, const char *checkpoint_path, uint64_t *update, Err *err);

/* Whether all parameters are finite: others are neither published nor saved. */
bool core_is_finite(const TrainCore *core);

/* Of all networks, targets and moments: equal states have equal fingerprints. */
uint64_t core_fingerprint(const DdpgState *state);

/* Copies networks, targets, moments and the count of updates; the shapes are equal. */
void core_copy_state(DdpgState *to, const DdpgState *from);

#endif
