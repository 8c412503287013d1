/* The kernels of one instruction set. Included once by each kernels_<isa>.c, which defines
 *   KERNELS_TABLE      the name of its table
 *   KERNELS_ISA        the name of its instruction set, a string
 *   LANES              floats in a vector register
 *   TILE_ROWS          rows of a tile: TILE_ROWS x 2 accumulators fill the registers
 *   DOT_ROWS           rows and columns of a block of dot products
 *   DOTS_ROWS_MAX, DOTS_COLUMNS_MAX   up to here y = x W^T is taken as dot products
 *   LIBRARY_SIZE_MIN   see Kernels.library_size_min
 * and is compiled with that set's flags at -O3. Everything else is static, so that nothing compiled
 * for a greater CPU is ever linked into code for a lesser one.
 *
 * There is no -ffast-math: reductions are written with explicit accumulators where they should
 * vectorise, and comparisons so that NaN comes through. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/kernels.h"

/* For functions whose arguments become constants in the caller. */
#define INLINE static inline __attribute__((always_inline))

/* Before a loop of a constant number of turns, whose arrays shall become registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float UnalignedVector
    __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

typedef float Quad __attribute__((vector_size(4 * sizeof(float))));
typedef float UnalignedQuad
    __attribute__((vector_size(4 * sizeof(float)), aligned(sizeof(float)), may_alias));

INLINE Vector vector_load(const float *from)
{
    return *(const UnalignedVector *)from;
}

INLINE void vector_store(float *to, Vector value)
{
    *(UnalignedVector *)to = value;
}

INLINE Vector vector_of(float value)
{
    return value - (Vector){0};
}

INLINE float vector_sum(Vector value)
{
    float lane[LANES];
    vector_store(lane, value);
    UNROLL
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

#include "common/kernels_matmul.h"

static void add_bias(int rows, int width, const float *restrict bias, float *restrict y)
{
    for (int i = 0; i < rows; i++, y += width)
        for (int j = 0; j < width; j++)
            y[j] += bias[j];
}

static void add_bias_relu(int rows, int width, const float *restrict bias, float *restrict y)
{
    for (int i = 0; i < rows; i++, y += width)
        for (int j = 0; j < width; j++) {
            float z = y[j] + bias[j];
            y[j] = 0.0F > z ? 0.0F : z; /* NaN stays */
        }
}

static void relu_backward(size_t n, const float *restrict y, float *restrict dy)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] == 0.0F ? 0.0F : dy[i];
}

static void column_sums(int rows, int width, const float *restrict x, float *restrict sums)
{
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int i = 0; i < rows; i++, x += width)
        for (int j = 0; j < width; j++)
            sums[j] += x[j];
}

static void add(size_t n, const float *restrict from, float *restrict to)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static double sum_squares(size_t n, const float *x)
{
    /* Floats for a block, doubles over the blocks: fast, and exact to about 1e-6. */
    enum { CHAINS = 4, STEP = CHAINS * LANES, BLOCK = 32 * STEP };
    double sum = 0;
    size_t i = 0;
    while (i + STEP <= n) {
        size_t end = n - i < BLOCK ? n : i + BLOCK;
        Vector acc[CHAINS] = {0};
        for (; i + STEP <= end; i += STEP)
            for (int c = 0; c < CHAINS; c++) {
                Vector part = vector_load(x + i + (size_t)c * LANES);
                acc[c] += part * part;
            }
        sum += (double)vector_sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
    }
    for (; i < n; i++)
        sum += (double)(x[i] * x[i]);
    return sum;
}

static void adam_step(size_t n, const KernelsAdam *adam, float weight_decay,
                      const float *restrict grad, float *restrict params, float *restrict m,
                      float *restrict v)
{
    float beta1 = adam->beta1;
    float beta2 = adam->beta2;
    float rest1 = adam->rest1;
    float rest2 = adam->rest2;
    float step_size = adam->step_size;
    float root_scale = adam->root_scale;
    float epsilon = adam->epsilon;
    float grad_scale = adam->grad_scale;
    for (size_t i = 0; i < n; i++) {
        float g = grad_scale * grad[i] + weight_decay * params[i];
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * g * g;
        params[i] -= step_size * m[i] / (root_scale * sqrtf(v[i]) + epsilon);
    }
}

static void soft_copy(size_t n, float tau, const float *restrict params, float *restrict target)
{
    for (size_t i = 0; i < n; i++)
        target[i] += tau * (params[i] - target[i]);
}

extern const Kernels KERNELS_TABLE;
const Kernels KERNELS_TABLE = {
    .isa = KERNELS_ISA,
    .library_size_min = LIBRARY_SIZE_MIN,
    .matmul_nt = product_nt,
    .matmul_nn = product_nn,
    .matmul_tn = product_tn,
    .add_bias = add_bias,
    .add_bias_relu = add_bias_relu,
    .relu_backward = relu_backward,
    .column_sums = column_sums,
    .add = add,
    .sum_squares = sum_squares,
    .adam_step = adam_step,
    .soft_copy = soft_copy,
};
