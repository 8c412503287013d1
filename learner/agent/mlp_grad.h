/* The backward pass of an Mlp: from the gradient of a loss with respect to the network's output to
 * the gradient with respect to its parameters, or to some columns of its input.
 *
 * With z_l = y_{l-1} W_l + b_l and y_l = f_l(z_l):
 *   dz_l = dy_l f_l'(z_l),  dW_l = y_{l-1}^T dz_l,  db_l = sum of the rows of dz_l,
 *   dy_{l-1} = dz_l W_l^T.
 * Pure functions of their arguments; any thread may call them, each with its own scratch. */
#ifndef POLYAK_LEARNER_AGENT_MLP_GRAD_H
#define POLYAK_LEARNER_AGENT_MLP_GRAD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/mlp.h"

/* A forward pass that has been done: the arguments of mlp_forward() and what it filled in. */
typedef struct MlpPass {
    const Mlp *mlp;
    const float *params;
    const float *transposed; /* the same block with every W_l, l >= 1, as (out, in) */
    const float *x;          /* (batch, size[0]), row stride ldx */
    int ldx;
    int batch;
    const float *activations; /* (mlp_num_activations) */
} MlpPass;

/* Floats of scratch that the functions below need. */
size_t mlp_grad_num_scratch(const Mlp *mlp, int batch);

/* grad (mlp_num_params) = the gradient with respect to the parameters, in their layout, added to
 * what is there where `add`; d_output (batch, output_dim) is the gradient with respect to the
 * output (after tanh, if it has one). */
void mlp_grad_params(const MlpPass *pass, const float *d_output, float *scratch, bool add,
                     float *grad);

/* d_input (batch, size[0] - first_column) = the gradient with respect to the columns of the input
 * from first_column on. */
void mlp_grad_input(const MlpPass *pass, const float *d_output, float *scratch, int first_column,
                    float *d_input);

#endif
