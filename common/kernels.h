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

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* Enough to hide the latency of a multiply-add, few enough to leave registers for its operands. */
enum { KERNELS_PEAK_CHAINS = 12 };

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
    float tau;        /* of the target's soft copy */
} KernelsAdam;

typedef struct Kernels {
    const char *isa; /* "sse2", "avx2", "avx512"; "generic" where the CPU is no x86-64 */
    int lanes;       /* floats in a vector */

    /* What the CPU can do at most: `rounds` rounds of KERNELS_PEAK_CHAINS independent
     * multiply-adds, each of `lanes` floats, in registers alone. Returns their sum, so that none
     * is left out. */
    float (*peak)(size_t rounds, float factor);

    /* Up to so many weights a product whose result is whole vectors wide is faster in a library for
     * small products, from so many on in one for large products (matmul.h). */
    int small_weights_max;
    int large_weights_min;

    /* The products of a dense layer, as matmul.h has them; batch may be 0. */
    void (*forward)(int batch, int in, int out, const float *x, int ldx, const float *w,
                    const float *bias, bool relu, float *y);
    void (*grad_input)(int batch, int in, int out, const float *dz, const float *w_t,
                       const float *y, float *dx);
    void (*grad_columns)(int batch, int columns, int out, const float *dz, const float *w,
                         float *dx);
    void (*grad_weight)(int batch, int in, int out, const float *x, int ldx, const float *dz,
                        bool add, float *dw);

    /* to (columns, rows) = from (rows, columns) transposed; strides of rows in floats. */
    void (*transpose)(int rows, int columns, const float *from, ptrdiff_t ld_from, float *to,
                      ptrdiff_t ld_to);

    /* y (rows, width) = f(y + bias (width)). */
    void (*add_bias)(int rows, int width, bool relu, const float *bias, float *y);

    /* dy[i] = 0 where y[i], the output of a ReLU, is 0. */
    void (*gate)(size_t n, const float *y, float *dy);

    /* y[i] = tanh y[i], to less than 8 units in the last place. */
    void (*tanh)(size_t n, float *y);

    /* sums (width) = the sums of the columns of x (rows, width), added to what is there where
     * `add`. */
    void (*column_sums)(int rows, int width, bool add, const float *x, float *sums);

    /* to += from. */
    void (*add)(size_t n, const float *from, float *to);

    /* Sum of squares; infinite where a square leaves the range of a float. */
    double (*sum_squares)(size_t n, const float *x);

    /* g = grad_scale grad + weight_decay params; m <- beta1 m + rest1 g;
     * v <- beta2 v + rest2 g^2; params <- params - step_size m / (root_scale sqrt(v) + eps);
     * target <- target + tau (params - target). */
    void (*adam_step)(size_t n, const KernelsAdam *adam, float weight_decay, const float *grad,
                      float *params, float *m, float *v, float *target);
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
