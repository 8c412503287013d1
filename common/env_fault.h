/* What can go wrong in an environment without ending its actor: the kinds, and how often each came.
 * A step with a fault did not happen: its episode ends as truncated at the observation before it,
 * and the next thing is a reset. Plain values. */
#ifndef POLYAK_COMMON_ENV_FAULT_H
#define POLYAK_COMMON_ENV_FAULT_H

#include <stdint.h>

typedef enum EnvFault {
    ENV_FAULT_DIVERGED,   /* the environment says that its physics diverged */
    ENV_FAULT_NOT_FINITE, /* an observation, a reward or an action is not finite */
    ENV_FAULT_RAISED,     /* a worker's code raised an error, or gave what does not fit its spec */
    ENV_FAULT_DIED,       /* a worker process ended */
    ENV_FAULT_HUNG,       /* a worker did not answer in time, and was ended */
    ENV_FAULTS,
} EnvFault;

typedef struct EnvFaults {
    uint64_t count[ENV_FAULTS];
} EnvFaults;

/* "diverged", "not_finite", "raised", "died", "hung": in status, logs and the metrics' columns. */
const char *env_fault_name(EnvFault fault);

uint64_t env_faults_sum(const EnvFaults *faults);

#endif
