#include "learner/agent/adam.h"

#include <math.h>

#include "common/check.h"

static const double BETA1 = 0.9;
static const double BETA2 = 0.999;
static const double EPSILON = 1e-8;

AdamStep adam_step(uint64_t t, double lr, double weight_decay, double grad_scale, double tau)
{
    CHECK(t >= 1);
    return (AdamStep){
        .constants =
            {
                .beta1 = (float)BETA1,
                .beta2 = (float)BETA2,
                .rest1 = (float)(1 - BETA1),
                .rest2 = (float)(1 - BETA2),
                .step_size = (float)(lr / (1 - pow(BETA1, (double)t))),
                .root_scale = (float)(1 / sqrt(1 - pow(BETA2, (double)t))),
                .epsilon = (float)EPSILON,
                .grad_scale = (float)grad_scale,
                .tau = (float)tau,
            },
        .weight_decay = (float)weight_decay,
    };
}

double adam_clip_scale(double norm, double norm_max)
{
    return norm_max > 0 && norm > norm_max ? norm_max / norm : 1;
}
