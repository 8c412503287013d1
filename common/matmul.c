#include "common/matmul.h"

#include <stdbool.h>
#include <stddef.h>

static const MatmulLibrary *small_library;
static const MatmulLibrary *large_library;

void matmul_use_libraries(const MatmulLibrary *small, const MatmulLibrary *large)
{
    small_library = small;
    large_library = large;
}

/* Who computes a product of these sizes; NULL: the kernels. */
static const MatmulLibrary *library_for(const Kernels *table, int m, int n, int k)
{
    int least = table->library_size_min;
    return m >= least && n >= least && k >= least ? large_library : NULL;
}

void matmul_forward(int batch, int in, int out, const float *x, int ldx, const float *w,
                    const float *bias, bool relu, float *y)
{
    const Kernels *table = kernels();
    const MatmulLibrary *library = library_for(table, batch, out, in);
    if (library && library->nn(batch, out, in, x, ldx, w, out, false, y, out))
        table->add_bias(batch, out, relu, bias, y);
    else
        table->forward(batch, in, out, x, ldx, w, bias, relu, y);
}

void matmul_grad_input(int batch, int in, int out, const float *dz, const float *w_t,
                       const float *y, float *dx)
{
    const Kernels *table = kernels();
    const MatmulLibrary *library = library_for(table, batch, in, out);
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
    const MatmulLibrary *library = library_for(table, in, out, batch);
    if (!library || !library->tn(in, out, batch, x, ldx, dz, out, add, dw, out))
        table->grad_weight(batch, in, out, x, ldx, dz, add, dw);
}
