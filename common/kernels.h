/* The inner loops: matrix products, element-wise passes and reductions over floats.
 *
 * One source (kernels_body.h) is compiled once per instruction set into a table of functions, and
 * the best table that the CPU can run is chosen at start; POLYAK_ISA=sse2|avx2|avx512 forces a
 * lesser one. Tables are constant and the functions keep no state, so any thread may use them.
 *
 * What always holds: NaN and infinity propagate as IEEE 754 has them; equal calls of one table give
 * equal bits; pointers need a float's alignment only; blocks never overlap unless said so. */
#ifndef POLYAK_COMMON_KERNELS_H
#define POLYAK_COMMON_KERNELS_H

#include <stddef.h>

#include "common/err.h"

/* The constants of one step of Adam, the same for all parameters of a network. */
typedef struct KernelsAdam {
    float beta1;
    float beta2;
    float rest1;      /* 1 - beta1, rounded once */
    float rest2;      /* 1 - beta2 */
    float step_size;  /* lr / (1 - beta1^t) */
    float root_scale; /* 1 / sqrt(1 - beta2^t) */
    float epsilon;    /* added to the bias-corrected root */
    float grad_scale; /* of clipping; 1: none */
} KernelsAdam;

/* A matrix product; every matrix is row-major with its row stride in floats:
 *   nt: c (m, n) = a (m, k) b^T, b (n, k)
 *   nn: c (m, n) = a (m, k) b,   b (k, n)
 *   tn: c (m, n) = a^T b,        a (k, m), b (k, n)
 * m and n may be 0; k is at least 1. */
typedef void KernelsMatmul(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                           float *c, int ldc);

typedef struct Kernels {
    const char *isa; /* "sse2", "avx2", "avx512"; "generic" where the CPU is no x86-64 */

    /* Products whose three sizes all reach this are faster in an installed library (matmul.h). */
    int library_size_min;

    KernelsMatmul *matmul_nt;
    KernelsMatmul *matmul_nn;
    KernelsMatmul *matmul_tn;

    /* y (rows, width) += bias (width) in every row. */
    void (*add_bias)(int rows, int width, const float *bias, float *y);

    /* y (rows, width) = max(0, y + bias). */
    void (*add_bias_relu)(int rows, int width, const float *bias, float *y);

    /* dy[i] = 0 where y[i], the output of a ReLU, is 0. */
    void (*relu_backward)(size_t n, const float *y, float *dy);

    /* sums (width) = the sums of the columns of x (rows, width). */
    void (*column_sums)(int rows, int width, const float *x, float *sums);

    /* to += from. */
    void (*add)(size_t n, const float *from, float *to);

    /* Sum of squares; infinite where a square leaves the range of a float. */
    double (*sum_squares)(size_t n, const float *x);

    /* g = grad_scale grad + weight_decay params; m <- beta1 m + rest1 g;
     * v <- beta2 v + rest2 g^2; params <- params - step_size m / (root_scale sqrt(v) + eps).
     */
    void (*adam_step)(size_t n, const KernelsAdam *adam, float weight_decay, const float *grad,
                      float *params, float *m, float *v);

    /* target <- target + tau (params - target). */
    void (*soft_copy)(size_t n, float tau, const float *params, float *target);
} Kernels;

/* Chooses the table from the CPU and POLYAK_ISA; the first call decides, later ones repeat its
 * result. ERR_USAGE, with one line, when POLYAK_ISA is no known word or is more than the CPU has.
 * Programs call it at start, to say so to a person. */
int kernels_init(Err *err);

/* The chosen table. Without a kernels_init() before it, a bad POLYAK_ISA is logged as an error here
 * and the CPU's best table is used. */
const Kernels *kernels(void);

/* The choice alone: the table for POLYAK_ISA=asked, or the CPU's best where asked is NULL or empty.
 * Errors as for kernels_init(); *table is then the best all the same. */
int kernels_choose(const char *asked, const Kernels **table, Err *err);

/* The table of one instruction set by name, or NULL where this CPU or build has none. */
const Kernels *kernels_of(const char *isa);

#endif
