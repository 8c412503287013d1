/* Uniform sampling of transitions, with replacement: every step that is still in the replay is
 * equally likely. A pure function of the replay's rows, the seed and the update number. */
#ifndef POLYAK_LEARNER_REPLAY_SAMPLER_H
#define POLYAK_LEARNER_REPLAY_SAMPLER_H

#include <stdint.h>

#include "learner/agent/batch.h"
#include "learner/replay/replay.h"

/* Fills all rows of batch (of the replay's dimensions) for update number `update`. The replay holds
 * at least one step. */
void sampler_draw(const Replay *replay, uint64_t seed, uint64_t update, Batch *batch);

#endif
