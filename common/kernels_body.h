/* The kernels of one instruction set. Included once by each kernels_<isa>.c, which defines
 *   KERNELS_TABLE     the name of its table
 *   KERNELS_ISA       the name of its instruction set, a string
 *   LANES             floats in a vector register
 *   TILE_VECTORS      TILE_ROWS x TILE_VECTORS sums of a tile fill the registers
 *   DOT_ROWS          rows and columns of a block of dot products
 *   NARROW_MAX        up to this width an output is taken as dot products; about half a vector and
 *                     more fill a tile well enough
 *   PACK_STRIDE_MIN   rows this far apart are packed before they are read
 *   PACK_ROWS_MIN     this many times
 *   SMALL_WEIGHTS_MAX, LARGE_WEIGHTS_MIN   see Kernels
 *   KERNELS_LOAD_PART, KERNELS_STORE_PART  see vector_load_part()
 * and is compiled with that set's flags at -O3. Everything else is static, so that nothing compiled
 * for a greater CPU is ever linked into code for a lesser one.
 *
 * There is no -ffast-math: reductions are written with explicit accumulators where they should
 * vectorise, and comparisons so that NaN comes through. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/kernels.h"
#include "common/kernels_matmul.h"
#include "common/kernels_vector.h"

/* --- The products of a dense layer ------------------------------------------------------------ */

static void forward(int batch, int in, int out, const float *x, int ldx, const float *w,
                    const float *bias, bool is_relu, float *y)
{
    if (out > NARROW_MAX || (ptrdiff_t)in * out > SCRATCH_FLOATS) {
        Output output = {.c = y, .ldc = out, .bias = bias, .relu = is_relu};
        product(batch, out, in, (Left){x, ldx, 1}, w, out, &output);
        return;
    }
    float turned[SCRATCH_FLOATS];
    transpose(in, out, w, out, turned, in);
    dots(batch, out, in, x, ldx, turned, in, bias, y, out);
    for (ptrdiff_t i = 0; is_relu && i < (ptrdiff_t)batch * out; i++)
        y[i] = relu(y[i]);
}

static void grad_input(int batch, int in, int out, const float *dz, const float *w_t,
                       const float *y, float *dx)
{
    Output output = {.c = dx, .ldc = in, .gate = y};
    product(batch, in, out, (Left){dz, out, 1}, w_t, in, &output);
}

static void grad_columns(int batch, int columns, int out, const float *dz, const float *w,
                         float *dx)
{
    dots(batch, columns, out, dz, out, w, out, NULL, dx, columns);
}

static void grad_weight(int batch, int in, int out, const float *x, int ldx, const float *dz,
                        bool add, float *dw)
{
    if (batch == 0) {
        if (!add)
            memset(dw, 0, (size_t)in * (size_t)out * sizeof *dw);
        return;
    }
    if (out > NARROW_MAX || (ptrdiff_t)in * out > SCRATCH_FLOATS) {
        Output output = {.c = dw, .ldc = out, .add = add};
        product(in, out, batch, (Left){x, 1, ldx}, dz, out, &output);
        return;
    }
    /* dw^T = dz^T x fills whole vectors. */
    float turned[SCRATCH_FLOATS];
    Output output = {.c = turned, .ldc = in};
    product(out, in, batch, (Left){dz, 1, out}, x, ldx, &output);
    for (int i = 0; i < in; i++)
        for (int o = 0; o < out; o++) {
            float sum = turned[o * in + i];
            dw[i * out + o] = add ? dw[i * out + o] + sum : sum;
        }
}

/* --- Element by element ----------------------------------------------------------------------- */

static void add_bias(int rows, int width, bool is_relu, const float *restrict bias,
                     float *restrict y)
{
    for (int i = 0; i < rows; i++, y += width)
        for (int j = 0; j < width; j++) {
            float z = y[j] + bias[j];
            y[j] = is_relu ? relu(z) : z;
        }
}

static void gate(size_t n, const float *restrict y, float *restrict dy)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] == 0.0F ? 0.0F : dy[i];
}

/* tanh x = x p(x^2) / q(x^2): least squares, reweighted towards the least greatest relative error
 * (2e-8) on [-9.02, 9.02]; beyond, tanh rounds to 1. With float rounding, 8 units in the last
 * place.
 */
static void tanh_all(size_t n, float *y)
{
    const float end = 9.02F;
    for (size_t i = 0; i < n; i++) {
        float x = y[i] > end ? end : y[i] < -end ? -end : y[i]; /* NaN stays */
        float u = x * x;
        float p = 1.331907438e-8F;
        p = p * u + 2.058353151e-5F;
        p = p * u + 3.494040005e-3F;
        p = p * u + 0.1337972342F;
        p = p * u + 0.9999999791F;
        float q = 7.762034312e-7F;
        q = q * u + 3.283100000e-4F;
        q = q * u + 2.587109664e-2F;
        q = q * u + 0.4671303870F;
        q = q * u + 1.0F;
        float t = x * p / q;
        y[i] = t > 1.0F ? 1.0F : t < -1.0F ? -1.0F : t;
    }
}

static void column_sums(int rows, int width, bool add, const float *x, float *sums)
{
    int j = 0;
    for (; j + LANES <= width; j += LANES) {
        Vector sum = add ? vector_load(sums + j) : vector_of(0.0F);
        for (int i = 0; i < rows; i++)
            sum += vector_load(x + (ptrdiff_t)i * width + j);
        vector_store(sums + j, sum);
    }
    for (; j < width; j++) {
        float sum = add ? sums[j] : 0.0F;
        for (int i = 0; i < rows; i++)
            sum += x[(ptrdiff_t)i * width + j];
        sums[j] = sum;
    }
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
                      float *restrict v, float *restrict target)
{
    float beta1 = adam->beta1;
    float beta2 = adam->beta2;
    float rest1 = adam->rest1;
    float rest2 = adam->rest2;
    float step_size = adam->step_size;
    float root_scale = adam->root_scale;
    float epsilon = adam->epsilon;
    float grad_scale = adam->grad_scale;
    float tau = adam->tau;
    for (size_t i = 0; i < n; i++) {
        float g = grad_scale * grad[i] + weight_decay * params[i];
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * g * g;
        params[i] -= step_size * m[i] / (root_scale * sqrtf(v[i]) + epsilon);
        target[i] += tau * (params[i] - target[i]);
    }
}

/* --- The peak --------------------------------------------------------------------------------- */

static float peak(size_t rounds, float factor)
{
    Vector chain[KERNELS_PEAK_CHAINS];
    Vector left = vector_of(factor);
    Vector right = vector_of(1.0F - factor);
    UNROLL
    for (int i = 0; i < KERNELS_PEAK_CHAINS; i++)
        chain[i] = vector_of(factor * (float)i); /* all different: equal ones would be merged */
    for (size_t round = 0; round < rounds; round++) {
        UNROLL
        for (int i = 0; i < KERNELS_PEAK_CHAINS; i++)
            chain[i] = chain[i] * left + right;
    }
    Vector sum = chain[0];
    UNROLL
    for (int i = 1; i < KERNELS_PEAK_CHAINS; i++)
        sum += chain[i];
    return vector_sum(sum);
}

extern const Kernels KERNELS_TABLE;
const Kernels KERNELS_TABLE = {
    .isa = KERNELS_ISA,
    .lanes = LANES,
    .peak = peak,
    .small_weights_max = SMALL_WEIGHTS_MAX,
    .large_weights_min = LARGE_WEIGHTS_MIN,
    .forward = forward,
    .grad_input = grad_input,
    .grad_columns = grad_columns,
    .grad_weight = grad_weight,
    .transpose = transpose,
    .add_bias = add_bias,
    .gate = gate,
    .tanh = tanh_all,
    .column_sums = column_sums,
    .add = add,
    .sum_squares = sum_squares,
    .adam_step = adam_step,
};
