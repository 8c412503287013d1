#include "learner/agent/mlp_grad.h"

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

/* dz of the last layer, in scratch or, where it is d_output itself, there; tanh' = 1 - tanh^2. */
static const float *output_backward(const MlpPass *pass, const float *d_output, float *scratch)
{
    if (!pass->mlp->tanh_output)
        return d_output;
    const float *y = layer_output(pass, pass->mlp->num_layers - 1);
    size_t n = (size_t)pass->batch * (size_t)mlp_output_dim(pass->mlp);
    for (size_t i = 0; i < n; i++)
        scratch[i] = d_output[i] * (1.0F - y[i] * y[i]);
    return scratch;
}

static void layer_grad(const MlpPass *pass, int layer, const float *dz, bool add, float *grad)
{
    const Mlp *mlp = pass->mlp;
    int in = mlp->size[layer];
    int out = mlp->size[layer + 1];
    const float *x = layer == 0 ? pass->x : layer_output(pass, layer - 1);
    int ldx = layer == 0 ? pass->ldx : in;
    matmul_grad_weight(pass->batch, in, out, x, ldx, dz, add, grad + mlp_weight_offset(mlp, layer));
    kernels()->column_sums(pass->batch, out, add, dz, grad + mlp_bias_offset(mlp, layer));
}

/* Walks from the output to the first layer and returns its dz. Fills grad on the way unless it is
 * NULL. */
static const float *backward(const MlpPass *pass, const float *d_output, float *scratch, bool add,
                             float *grad)
{
    const Mlp *mlp = pass->mlp;
    float *halves[] = {scratch, scratch + (size_t)pass->batch * width_max(mlp)};
    const float *dz = output_backward(pass, d_output, halves[0]);
    for (int l = mlp->num_layers - 1; l > 0; l--) {
        int in = mlp->size[l];
        int out = mlp->size[l + 1];
        float *dz_below = dz == halves[0] ? halves[1] : halves[0];
        if (grad)
            layer_grad(pass, l, dz, add, grad);
        matmul_grad_input(pass->batch, in, out, dz, pass->transposed + mlp_weight_offset(mlp, l),
                          layer_output(pass, l - 1), dz_below);
        dz = dz_below;
    }
    if (grad)
        layer_grad(pass, 0, dz, add, grad);
    return dz;
}

void mlp_grad_params(const MlpPass *pass, const float *d_output, float *scratch, bool add,
                     float *grad)
{
    backward(pass, d_output, scratch, add, grad);
}

void mlp_grad_input(const MlpPass *pass, const float *d_output, float *scratch, int first_column,
                    float *d_input)
{
    const Mlp *mlp = pass->mlp;
    int columns = mlp->size[0] - first_column;
    CHECK(first_column >= 0 && columns > 0);
    const float *dz = backward(pass, d_output, scratch, false, NULL);
    size_t skipped = (size_t)first_column * (size_t)mlp->size[1];
    matmul_grad_columns(pass->batch, columns, mlp->size[1], dz, pass->params + skipped, d_input);
}
