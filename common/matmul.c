#include "common/matmul.h"

#include <stdbool.h>
#include <stddef.h>

enum { LARGE_BATCH_MIN = 16 };

static const MatmulLibraries *libraries;

void matmul_use(const MatmulLibraries *new_libraries)
{
    libraries = new_libraries;
}

const MatmulLibraries *matmul_in_use(void)
{
    return libraries;
}

/* Who computes a product of a layer whose result has `columns` columns; NULL: the kernels. Measured
 * (docs/results.md): kernels that do bias and ReLU on the way win but where a library's code is
 * better by more than a second pass costs, or its blocking for the outer caches pays. */
static const MatmulLibrary *library_for(const Kernels *table, int batch, int in, int out,
                                        int columns)
{
    int weights = in * out; /* at most MLP_WIDTH_MAX^2 */
    if (!libraries || columns < table->lanes)
        return NULL;
    if (weights >= table->large_weights_min && batch >= LARGE_BATCH_MIN)
        return libraries->large;
    if (libraries->only || (weights <= table->small_weights_max && columns % table->lanes == 0))
        return libraries->small;
    return NULL;
}

void matmul_forward(int batch, int in, int out, const float *x, int ldx, const float *w,
                    const float *bias, bool relu, float *y)
{
    const Kernels *table = kernels();
    const MatmulLibrary *library = library_for(table, batch, in, out, out);
    if (library && library->nn(batch, out, in, x, ldx, w, out, false, y, out))
        table->add_bias(batch, out, relu, bias, y);
    else
        table->forward(batch, in, out, x, ldx, w, bias, relu, y);
}

void matmul_grad_input(int batch, int in, int out, const float *dz, const float *w_t,
                       const float *y, float *dx)
{
    const Kernels *table = kernels();
    const MatmulLibrary *library = library_for(table, batch, in, out, in);
    if (!library || !library->nn(batch, in, out, dz, out, w_t, in, false, dx, in))
        table->grad_input(batch, in, out, dz, w_t, y, dx);
    else if (y)
        table->gate((size_t)batch * (size_t)in, y, dx);
}

void matmul_grad_columns(int batch, int columns, int out, const float *dz, const float *w,
                         float *dx)
{
    kernels()->grad_columns(batch, columns, out, dz, w, dx);
}

void matmul_grad_weight(int batch, int in, int out, const float *x, int ldx, const float *dz,
                        bool add, float *dw)
{
    const Kernels *table = kernels();
    const MatmulLibrary *library = library_for(table, batch, in, out, out);
    if (!library || !library->tn(in, out, batch, x, ldx, dz, out, add, dw, out))
        table->grad_weight(batch, in, out, x, ldx, dz, add, dw);
}
