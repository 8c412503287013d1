#include "common/matmul.h"

#include <stdbool.h>
#include <stddef.h>

static const MatmulLibrary *library;

void matmul_use_library(const MatmulLibrary *new_library)
{
    library = new_library;
}

/* Measured: where a size is small, or a matrix is a vector, libraries spend their time on packing
 * and dispatch; where all are large, their blocking for the outer caches pays. */
static bool is_for_library(const Kernels *table, int m, int n, int k)
{
    int least = table->library_size_min;
    return library && m >= least && n >= least && k >= least;
}

void matmul_nt(int m, int n, int k, const float *x, int ldx, const float *w, int ldw, float *y,
               int ldy)
{
    const Kernels *table = kernels();
    KernelsMatmul *nt = is_for_library(table, m, n, k) ? library->nt : table->matmul_nt;
    nt(m, n, k, x, ldx, w, ldw, y, ldy);
}

void matmul_nn(int m, int n, int k, const float *dy, int lddy, const float *w, int ldw, float *dx,
               int lddx)
{
    const Kernels *table = kernels();
    KernelsMatmul *nn = is_for_library(table, m, n, k) ? library->nn : table->matmul_nn;
    nn(m, n, k, dy, lddy, w, ldw, dx, lddx);
}

void matmul_tn(int m, int n, int k, const float *dy, int lddy, const float *x, int ldx, float *dw,
               int lddw)
{
    const Kernels *table = kernels();
    KernelsMatmul *tn = is_for_library(table, m, n, k) ? library->tn : table->matmul_tn;
    tn(m, n, k, dy, lddy, x, ldx, dw, lddw);
}
