/* The constants of Adam (Kingma and Ba 2014), with L2 on weights.
 *
 *   g_t = scale * gradient + weight_decay * W      (biases: no decay; scale is that of clipping)
 *   m_t = b1 m_{t-1} + (1 - b1) g_t
 *   v_t = b2 v_{t-1} + (1 - b2) g_t^2
 *   params -= lr * m_t / (1 - b1^t) / (sqrt(v_t / (1 - b2^t)) + eps)
 * with b1 = 0.9, b2 = 0.999, eps = 1e-8. Pure functions of their arguments; the step itself is
 * network_step(). */
#ifndef POLYAK_LEARNER_AGENT_ADAM_H
#define POLYAK_LEARNER_AGENT_ADAM_H

#include <stdint.h>

#include "common/kernels.h"

/* The constants of step t (counted from 1) of one network. */
typedef struct AdamStep {
    KernelsAdam constants;
    float weight_decay;
} AdamStep;

/* tau is that of the target's soft copy, which is done in the same pass. */
AdamStep adam_step(uint64_t t, double lr, double weight_decay, double grad_scale, double tau);

/* What a gradient of this norm is multiplied with so that its norm is at most norm_max; 1 when it
 * is, and always when norm_max is 0. */
double adam_clip_scale(double norm, double norm_max);

#endif
