/* A multilayer perceptron in double precision, written from the definition: what the float networks
 * are compared with. */
#ifndef POLYAK_TESTS_COMMON_MLP_REFERENCE_H
#define POLYAK_TESTS_COMMON_MLP_REFERENCE_H

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/mlp.h"

enum { MLP_REFERENCE_WIDTH_MAX = 128 };

/* Runs one row through the network; params in the layout of mlp.h. *margin, where not NULL, falls
 * to the least |z| of a ReLU: near 0 the network has no derivative, and float may take the other
 * side. */
static inline void mlp_reference(const Mlp *mlp, const double *params, const double *x,
                                 double *output, double *margin)
{
    double y[2][MLP_REFERENCE_WIDTH_MAX];
    for (int l = 0; l <= mlp->num_layers; l++)
        assert(mlp->size[l] <= MLP_REFERENCE_WIDTH_MAX);
    memcpy(y[0], x, (size_t)mlp->size[0] * sizeof *x);
    const double *next = params;
    for (int l = 0; l < mlp->num_layers; l++) {
        int in = mlp->size[l];
        int out = mlp->size[l + 1];
        const double *weight = next;
        const double *bias = weight + (ptrdiff_t)in * out;
        next = bias + out;
        bool last = l == mlp->num_layers - 1;
        for (int o = 0; o < out; o++) {
            double z = bias[o];
            for (int i = 0; i < in; i++)
                z += weight[i * out + o] * y[l % 2][i];
            if (!last && margin)
                *margin = fmin(*margin, fabs(z));
            double activated = z > 0 ? z : 0;
            if (last)
                activated = mlp->tanh_output ? tanh(z) : z;
            y[(l + 1) % 2][o] = activated;
        }
    }
    memcpy(output, y[mlp->num_layers % 2], (size_t)mlp_output_dim(mlp) * sizeof *output);
}

#endif
