/* The products of a dense layer, y = f(x w + bias) with w (in, out): forward, gradient of the
 * input, gradient of the weights. The one place that chooses who computes them.
 *
 * The kernels of kernels.h do, with bias, ReLU and its derivative in the same pass; or a library
 * that the program has installed, where it is faster, with a second pass for these. The actor
 * installs none. Matrices are row-major without gaps but for x, whose row stride is ldx floats. Any
 * thread may call the products. */
#ifndef POLYAK_COMMON_MATMUL_H
#define POLYAK_COMMON_MATMUL_H

#include "common/kernels.h"

/* A plain product in a library, all matrices row-major with their row strides in floats:
 *   nn: c (m, n) = a (m, k) b,                 a and b as they are
 *   tn: c (m, n) = a^T b, a (k, m)
 * added to c where `add`. False when the library cannot: nothing is done then. */
typedef bool MatmulFunction(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                            bool add, float *c, int ldc);

typedef struct MatmulLibrary {
    const char *name;
    MatmulFunction *nn;
    MatmulFunction *tn;
} MatmulLibrary;

typedef struct MatmulLibraries {
    const MatmulLibrary *small; /* for small layers; NULL: none */
    const MatmulLibrary *large; /* for large layers; NULL: none */
    bool only;                  /* they get every product that is not narrow, for measurements */
} MatmulLibraries;

/* Installs libraries (which must live on), or none with NULL. No product may be under way. */
void matmul_use(const MatmulLibraries *new_libraries);

/* What is installed; NULL: nothing. */
const MatmulLibraries *matmul_in_use(void);

/* y (batch, out) = f(x (batch, in) w + bias), f = ReLU or nothing. */
void matmul_forward(int batch, int in, int out, const float *x, int ldx, const float *w,
                    const float *bias, bool relu, float *y);

/* dx (batch, in) = dz (batch, out) w^T, given w_t (out, in), the transposed w; 0 where y (batch,
 * in), the ReLUs' output that the layer read, is 0. y may be NULL. */
void matmul_grad_input(int batch, int in, int out, const float *dz, const float *w_t,
                       const float *y, float *dx);

/* dx (batch, columns) = dz (batch, out) w^T for some neighbouring rows w (columns, out) of a
 * layer's weights: the gradient of these inputs alone, best for a few. */
void matmul_grad_columns(int batch, int columns, int out, const float *dz, const float *w,
                         float *dx);

/* dw (in, out) = x^T dz, added to what is there where `add`. */
void matmul_grad_weight(int batch, int in, int out, const float *x, int ldx, const float *dz,
                        bool add, float *dw);

#endif
