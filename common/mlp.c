#include "common/mlp.h"

#include <math.h>
#include <string.h>

#include "common/check.h"
#include "common/kernels.h"
#include "common/matmul.h"

static const double LAST_LAYER_BOUND = 3e-3;

int mlp_shape(Mlp *mlp, int input_dim, const int *hidden, int num_hidden, int output_dim,
              bool tanh_output, Err *err)
{
    if (num_hidden < 0 || num_hidden > MLP_LAYERS_MAX - 1)
        return err_set(err, ERR_USAGE, "%d hidden layers: a network has 0 to %d", num_hidden,
                       MLP_LAYERS_MAX - 1);
    Mlp shape = {.num_layers = num_hidden + 1, .tanh_output = tanh_output};
    shape.size[0] = input_dim;
    for (int l = 0; l < num_hidden; l++)
        shape.size[l + 1] = hidden[l];
    shape.size[num_hidden + 1] = output_dim;
    for (int i = 0; i <= shape.num_layers; i++)
        if (shape.size[i] < 1 || shape.size[i] > MLP_WIDTH_MAX)
            return err_set(err, ERR_USAGE, "a network layer of width %d: widths are 1 to %d",
                           shape.size[i], MLP_WIDTH_MAX);
    *mlp = shape;
    return 0;
}

bool mlp_equal(const Mlp *a, const Mlp *b)
{
    return a->num_layers == b->num_layers && a->tanh_output == b->tanh_output &&
           memcmp(a->size, b->size, (size_t)(a->num_layers + 1) * sizeof a->size[0]) == 0;
}

int mlp_output_dim(const Mlp *mlp)
{
    return mlp->size[mlp->num_layers];
}

size_t mlp_num_params(const Mlp *mlp)
{
    return mlp_weight_offset(mlp, mlp->num_layers);
}

size_t mlp_weight_offset(const Mlp *mlp, int layer)
{
    size_t offset = 0;
    for (int l = 0; l < layer; l++)
        offset += ((size_t)mlp->size[l] + 1) * (size_t)mlp->size[l + 1];
    return offset;
}

size_t mlp_bias_offset(const Mlp *mlp, int layer)
{
    return mlp_weight_offset(mlp, layer) + (size_t)mlp->size[layer] * (size_t)mlp->size[layer + 1];
}

void mlp_init_params(const Mlp *mlp, float *params, Rng *rng)
{
    for (int l = 0; l < mlp->num_layers; l++) {
        bool last = l == mlp->num_layers - 1;
        double bound = last ? LAST_LAYER_BOUND : 1 / sqrt(mlp->size[l]);
        size_t end = mlp_weight_offset(mlp, l + 1);
        for (size_t i = mlp_weight_offset(mlp, l); i < end; i++)
            params[i] = (float)(bound * (2 * rng_uniform(rng) - 1));
    }
}

size_t mlp_num_activations(const Mlp *mlp, int batch)
{
    return mlp_activation_offset(mlp, mlp->num_layers, batch);
}

size_t mlp_activation_offset(const Mlp *mlp, int layer, int batch)
{
    size_t width = 0;
    for (int l = 0; l < layer; l++)
        width += (size_t)mlp->size[l + 1];
    return width * (size_t)batch;
}

const float *mlp_forward(const Mlp *mlp, const float *params, const float *x, int ldx, int batch,
                         float *activations)
{
    CHECK(mlp->num_layers >= 1 && ldx >= mlp->size[0]);
    float *y = NULL;
    for (int l = 0; l < mlp->num_layers; l++) {
        int in = mlp->size[l];
        int out = mlp->size[l + 1];
        bool relu = l < mlp->num_layers - 1;
        y = activations + mlp_activation_offset(mlp, l, batch);
        matmul_forward(batch, in, out, x, ldx, params + mlp_weight_offset(mlp, l),
                       params + mlp_bias_offset(mlp, l), relu, y);
        x = y;
        ldx = out;
    }
    if (mlp->tanh_output)
        kernels()->tanh((size_t)batch * (size_t)mlp_output_dim(mlp), y);
    return y;
}

void mlp_transpose_weights(const Mlp *mlp, const float *from, bool to_out_in, float *to)
{
    for (int l = 0; l < mlp->num_layers; l++) {
        int in = mlp->size[l];
        int out = mlp->size[l + 1];
        int rows = to_out_in ? in : out;
        int columns = to_out_in ? out : in;
        size_t weights = mlp_weight_offset(mlp, l);
        size_t biases = mlp_bias_offset(mlp, l);
        kernels()->transpose(rows, columns, from + weights, columns, to + weights, rows);
        memcpy(to + biases, from + biases, (size_t)out * sizeof *to);
    }
}
