#include "learner/agent/mlp_grad.h"

#include <string.h>

#include "common/check.h"
#include "common/kernels.h"
#include "common/matmul.h"

/* The widest dz that is kept. */
static size_t width_max(const Mlp *mlp)
{
    int width = 0;
    for (int l = 1; l <= mlp->num_layers; l++)
        width = mlp->size[l] > width ? mlp->size[l] : width;
    return (size_t)width;
}

size_t mlp_grad_num_scratch(const Mlp *mlp, int batch)
{
    return 2 * (size_t)batch * width_max(mlp);
}

/* The output of a layer of the forward pass. */
static const float *layer_output(const MlpPass *pass, int layer)
{
    return pass->activations + mlp_activation_offset(pass->mlp, layer, pass->batch);
}

/* dz of the last layer; tanh' = 1 - tanh^2. */
static void output_backward(const MlpPass *pass, const float *d_output, float *dz)
{
    const float *y = layer_output(pass, pass->mlp->num_layers - 1);
    size_t n = (size_t)pass->batch * (size_t)mlp_output_dim(pass->mlp);
    if (pass->mlp->tanh_output) {
        for (size_t i = 0; i < n; i++)
            dz[i] = d_output[i] * (1.0F - y[i] * y[i]);
    } else {
        memcpy(dz, d_output, n * sizeof *dz);
    }
}

static void layer_grad(const MlpPass *pass, int layer, const float *dz, float *grad)
{
    const Mlp *mlp = pass->mlp;
    int in = mlp->size[layer];
    int out = mlp->size[layer + 1];
    const float *x = layer == 0 ? pass->x : layer_output(pass, layer - 1);
    int ldx = layer == 0 ? pass->ldx : in;
    matmul_tn(out, in, pass->batch, dz, out, x, ldx, grad + mlp_weight_offset(mlp, layer), in);
    kernels()->column_sums(pass->batch, out, dz, grad + mlp_bias_offset(mlp, layer));
}

/* Walks from the output to the first layer and returns its dz, which lies in scratch. Fills grad
 * on the way unless it is NULL. */
static const float *backward(const MlpPass *pass, const float *d_output, float *scratch,
                             float *grad)
{
    const Mlp *mlp = pass->mlp;
    float *dz = scratch;
    float *dy = scratch + (size_t)pass->batch * width_max(mlp);
    output_backward(pass, d_output, dz);
    for (int l = mlp->num_layers - 1; l > 0; l--) {
        int in = mlp->size[l];
        int out = mlp->size[l + 1];
        if (grad)
            layer_grad(pass, l, dz, grad);
        matmul_nn(pass->batch, in, out, dz, out, pass->params + mlp_weight_offset(mlp, l), in, dy,
                  in);
        kernels()->relu_backward((size_t)pass->batch * (size_t)in, layer_output(pass, l - 1), dy);
        float *swap = dz;
        dz = dy;
        dy = swap;
    }
    if (grad)
        layer_grad(pass, 0, dz, grad);
    return dz;
}

void mlp_grad_params(const MlpPass *pass, const float *d_output, float *scratch, float *grad)
{
    backward(pass, d_output, scratch, grad);
}

void mlp_grad_input(const MlpPass *pass, const float *d_output, float *scratch, int first_column,
                    float *d_input)
{
    const Mlp *mlp = pass->mlp;
    int columns = mlp->size[0] - first_column;
    CHECK(first_column >= 0 && columns > 0);
    const float *dz = backward(pass, d_output, scratch, NULL);
    matmul_nn(pass->batch, columns, mlp->size[1], dz, mlp->size[1],
              pass->params + mlp_weight_offset(mlp, 0) + first_column, mlp->size[0], d_input,
              columns);
}
