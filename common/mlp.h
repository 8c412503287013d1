/* A multilayer perceptron: its shape, the layout of its parameters, and the forward pass. Shared by
 * the learner's four networks and the actor's policy.
 *
 * y_l = f_l(y_{l-1} W_l + b_l), f = ReLU inside; the last layer is linear, or tanh for a policy.
 * A network's parameters are one block of floats: per layer W_l (in, out) row-major, then b_l
 * (out). So a forward pass and a weight gradient read whole rows and nothing is transposed for
 * them. Its target, gradient and Adam moments are blocks of the same length. The shape is a plain
 * value, never changed after mlp_shape(); any thread may use it. */
#ifndef POLYAK_COMMON_MLP_H
#define POLYAK_COMMON_MLP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/rng.h"

enum {
    MLP_LAYERS_MAX = 9, /* 8 hidden ones and the output */
    MLP_WIDTH_MAX = 8192,
};

typedef struct Mlp {
    int num_layers;
    int size[MLP_LAYERS_MAX + 1]; /* size[0]: input; size[l + 1]: output of layer l */
    bool tanh_output;
} Mlp;

/* ERR_USAGE when there are too many layers or a size is not in 1…MLP_WIDTH_MAX. */
int mlp_shape(Mlp *mlp, int input_dim, const int *hidden, int num_hidden, int output_dim,
              bool tanh_output, Err *err);

bool mlp_equal(const Mlp *a, const Mlp *b);
int mlp_output_dim(const Mlp *mlp);
size_t mlp_num_params(const Mlp *mlp);
size_t mlp_weight_offset(const Mlp *mlp, int layer); /* of W_layer in the block */
size_t mlp_bias_offset(const Mlp *mlp, int layer);   /* of b_layer in the block */

/* Hidden layers U(±1/√fan_in), the last layer U(±3e-3), weights and biases alike (DDPG paper, §7).
 */
void mlp_init_params(const Mlp *mlp, float *params, Rng *rng);

/* Floats of the outputs of all layers for `batch` rows. */
size_t mlp_num_activations(const Mlp *mlp, int batch);

/* Where the output of layer l, (batch, size[l + 1]) row-major, lies in the activations. */
size_t mlp_activation_offset(const Mlp *mlp, int layer, int batch);

/* Runs x (batch, size[0]), row stride ldx floats, through the network. Fills activations
 * (mlp_num_activations) and returns a pointer to its last part, the output (batch, output_dim). */
const float *mlp_forward(const Mlp *mlp, const float *params, const float *x, int ldx, int batch,
                         float *activations);

/* Copies a block of parameters with every weight matrix transposed: from the layout above to W_l
 * (out, in), which files and other frameworks have, or back. The two blocks do not overlap. */
void mlp_transpose_weights(const Mlp *mlp, const float *from, bool to_out_in, float *to);

#endif
