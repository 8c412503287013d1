#include "common/env_fault.h"

#include "common/check.h"

const char *env_fault_name(EnvFault fault)
{
    static const char *const names[ENV_FAULTS] = {"diverged", "not_finite", "raised", "died",
                                                  "hung"};
    CHECK(fault < ENV_FAULTS);
    return names[fault];
}

uint64_t env_faults_sum(const EnvFaults *faults)
{
    uint64_t sum = 0;
    for (int i = 0; i < ENV_FAULTS; i++)
        sum += faults->count[i];
    return sum;
}
