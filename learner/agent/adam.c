#include "learner/agent/adam.h"

#include <math.h>

#include "common/check.h"

static const double BETA1 = 0.9;
static const double BETA2 = 0.999;
static const double EPSILON = 1e-8;

AdamStep adam_step(uint64_t t, double lr, double weight_decay, double grad_scale)
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
            },
        .weight_decay = (float)weight_decay,
    };
}

double adam_clip_scale(double norm, double norm_max)
{
    return norm_max > 0 && norm > norm_max ? norm_max / norm : 1;
}

/* Steps what [begin, end) and [part_begin, part_end) have in common. */
static void apply_part(const AdamStep *step, float weight_decay, size_t begin, size_t end,
                       size_t part_begin, size_t part_end, const float *grad, float *params,
                       float *m, float *v)
{
    if (begin < part_begin)
        begin = part_begin;
    if (end > part_end)
        end = part_end;
    if (begin < end)
        kernels()->adam_step(end - begin, &step->constants, weight_decay, grad + begin,
                             params + begin, m + begin, v + begin);
}

void adam_apply(const AdamStep *step, const Mlp *mlp, size_t begin, size_t end, const float *grad,
                float *params, float *m, float *v)
{
    if (step->weight_decay == 0.0F) {
        apply_part(step, 0, begin, end, begin, end, grad, params, m, v);
        return;
    }
    for (int l = 0; l < mlp->num_layers; l++) {
        size_t weights = mlp_weight_offset(mlp, l);
        size_t biases = mlp_bias_offset(mlp, l);
        size_t next = mlp_weight_offset(mlp, l + 1);
        apply_part(step, step->weight_decay, begin, end, weights, biases, grad, params, m, v);
        apply_part(step, 0, begin, end, biases, next, grad, params, m, v);
    }
}
