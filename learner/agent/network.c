#include "learner/agent/network.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/kernels.h"
#include "learner/agent/block.h"

/* Rows of a part come in groups of up to a cache line of floats, where there are enough for all:
 * then few cache lines of `transposed` are written by two workers. */
enum { ROWS_GROUP_MAX = 16 };

static int rows_group(int layer, int rows, int workers)
{
    int group = layer == 0 ? 1 : ROWS_GROUP_MAX; /* the first layer is not transposed */
    while (group > 1 && rows < group * workers)
        group /= 2;
    return group;
}

int network_new(DdpgNetwork *network, Err *err)
{
    size_t n = mlp_num_params(&network->mlp);
    bool ok = true;
    network->num_params = n;
    network->params = block_new(n, &ok);
    network->target = block_new(n, &ok);
    network->adam_m = block_new(n, &ok);
    network->adam_v = block_new(n, &ok);
    network->transposed = block_new(n, &ok);
    return ok ? 0 : err_set(err, ERR_NOMEM, "no memory for a network of %zu parameters", n);
}

void network_destroy(DdpgNetwork *network)
{
    free(network->params);
    free(network->target);
    free(network->adam_m);
    free(network->adam_v);
    free(network->transposed);
}

void network_init(DdpgNetwork *network, Rng rng)
{
    mlp_init_params(&network->mlp, network->params, &rng);
    memcpy(network->target, network->params, network->num_params * sizeof *network->params);
    network_params_changed(network);
}

NetworkPart network_part(const Mlp *mlp, int layer, int worker, int workers)
{
    int in = mlp->size[layer];
    size_t out = (size_t)mlp->size[layer + 1];
    int group = rows_group(layer, in, workers);
    int groups = (in + group - 1) / group;
    int first = groups * worker / workers * group;
    int last = groups * (worker + 1) / workers * group;
    if (last > in)
        last = in;
    size_t weights = mlp_weight_offset(mlp, layer);
    NetworkPart part = {
        .first_row = first,
        .num_rows = last - first,
        .begin = weights + (size_t)first * out,
        .weights_end = weights + (size_t)last * out,
    };
    part.end = part.weights_end + (worker == workers - 1 ? out : 0);
    return part;
}

/* W_l^T, l >= 1, of some rows of W_l; nobody asks for the first layer's. */
static void transpose_rows(DdpgNetwork *network, int layer, int first_row, int num_rows)
{
    int in = network->mlp.size[layer];
    int out = network->mlp.size[layer + 1];
    size_t weights = mlp_weight_offset(&network->mlp, layer);
    if (layer > 0)
        kernels()->transpose(num_rows, out,
                             network->params + weights + (size_t)first_row * (size_t)out, out,
                             network->transposed + weights + first_row, in);
}

void network_params_changed(DdpgNetwork *network)
{
    for (int l = 0; l < network->mlp.num_layers; l++)
        transpose_rows(network, l, 0, network->mlp.size[l]);
}

static void step_range(DdpgNetwork *network, const AdamStep *step, float weight_decay,
                       const float *grad, size_t begin, size_t end)
{
    kernels()->adam_step(end - begin, &step->constants, weight_decay, grad + begin,
                         network->params + begin, network->adam_m + begin, network->adam_v + begin,
                         network->target + begin);
}

void network_step(DdpgNetwork *network, const AdamStep *step, const float *grad, int worker,
                  int workers)
{
    for (int l = 0; l < network->mlp.num_layers; l++) {
        NetworkPart part = network_part(&network->mlp, l, worker, workers);
        step_range(network, step, step->weight_decay, grad, part.begin, part.weights_end);
        step_range(network, step, 0, grad, part.weights_end, part.end);
        transpose_rows(network, l, part.first_row, part.num_rows);
    }
}
