/* The version of a policy: which start of the learner (epoch) and after how many updates.
 *
 * The epoch rises with every start of a learner, so the weights of a restarted learner are newer
 * although its update count went back. Epoch 0 means "no policy". */
#ifndef POLYAK_COMMON_VERSION_H
#define POLYAK_COMMON_VERSION_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Version {
    uint32_t epoch;
    uint64_t update;
} Version;

static inline bool version_is_newer(Version a, Version b)
{
    return a.epoch != b.epoch ? a.epoch > b.epoch : a.update > b.update;
}

static inline bool version_equal(Version a, Version b)
{
    return a.epoch == b.epoch && a.update == b.update;
}

#endif
