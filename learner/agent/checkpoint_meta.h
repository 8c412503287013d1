/* A checkpoint's metadata: the run's counters and identity as texts, and back.
 *
 * Doubles have 17 significant digits and floats 9, so they are read back bit for bit. A
 * CheckpointMeta is a plain value whose texts point into itself and into the RunState that it was
 * made from: do not copy it, and keep both until the file is written. */
#ifndef POLYAK_LEARNER_AGENT_CHECKPOINT_META_H
#define POLYAK_LEARNER_AGENT_CHECKPOINT_META_H

#include <stdint.h>

#include "common/err.h"
#include "common/safetensors.h"
#include "learner/agent/checkpoint.h"

enum {
    CHECKPOINT_META_MAX = 24,
    CHECKPOINT_NUMBER_BYTES = 32,
    CHECKPOINT_BOUNDS_BYTES = SPEC_ACT_DIM_MAX * 16 + 1, /* "-1.23456789e-38," */
};

typedef struct CheckpointMeta {
    int count;
    TensorMeta text[CHECKPOINT_META_MAX];
    char number[CHECKPOINT_META_MAX][CHECKPOINT_NUMBER_BYTES];
    char action_low[CHECKPOINT_BOUNDS_BYTES];
    char action_high[CHECKPOINT_BOUNDS_BYTES];
} CheckpointMeta;

void checkpoint_meta_put(CheckpointMeta *meta, const RunState *run, uint64_t adam_steps);

/* ERR_VERSION for another format version; ERR_FORMAT, naming path and key, when a text is missing
 * or unsound. *run and *adam_steps may be partly filled then. */
int checkpoint_meta_take(const char *path, const SafetensorsFile *file, RunState *run,
                         uint64_t *adam_steps, Err *err);

#endif
