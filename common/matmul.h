/* Matrix products for networks: the one place that chooses who computes them.
 *
 * The kernels of kernels.h do, but for products that are large in all three sizes where the program
 * has installed a library. The actor installs none. Any thread may call the products. */
#ifndef POLYAK_COMMON_MATMUL_H
#define POLYAK_COMMON_MATMUL_H

#include "common/kernels.h"

/* The same three products in a library. */
typedef struct MatmulLibrary {
    KernelsMatmul *nt;
    KernelsMatmul *nn;
    KernelsMatmul *tn;
} MatmulLibrary;

/* Installs a library (which must live on), or none with NULL. No product may be under way. */
void matmul_use_library(const MatmulLibrary *new_library);

/* y (m, n) = x (m, k) w^T, w (n, k): a layer forward. Strides of rows are in floats. */
void matmul_nt(int m, int n, int k, const float *x, int ldx, const float *w, int ldw, float *y,
               int ldy);

/* dx (m, n) = dy (m, k) w, w (k, n): a layer's gradient with respect to its input. */
void matmul_nn(int m, int n, int k, const float *dy, int lddy, const float *w, int ldw, float *dx,
               int lddx);

/* dw (m, n) = dy^T x, dy (k, m), x (k, n): a layer's gradient with respect to its weights. */
void matmul_tn(int m, int n, int k, const float *dy, int lddy, const float *x, int ldx, float *dw,
               int lddw);

#endif
