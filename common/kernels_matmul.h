/* The matrix products, in vectors of the instruction set that includes this file (kernels_body.h).
 *
 * Two ways: `tile` keeps a block of the output in registers and runs along the contraction, with
 * the output's columns as the vector dimension; `dots` takes dot products along the contraction,
 * for outputs that are too narrow to fill a vector. Strides are in floats. */
#ifndef POLYAK_COMMON_KERNELS_MATMUL_H
#define POLYAK_COMMON_KERNELS_MATMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/kernels_vector.h"

enum {
    TILE_ROWS = 6,         /* of a tile; as many as leave registers for TILE_VECTORS columns */
    ROW_VECTORS = 8,       /* columns of the tile of a single row */
    PACK_DEPTH = 256,      /* contraction that one packed panel covers */
    SCRATCH_FLOATS = 8192, /* largest operand or result that is turned on the stack */
};

/* The left operand (rows, depth) of a product, in either storage order. */
typedef struct Left {
    const float *data;
    ptrdiff_t row_stride;
    ptrdiff_t depth_stride;
} Left;

/* Where a product goes, and what is done to it on the way:
 *   c = gate(relu(product + bias + (add ? c : 0))) */
typedef struct Output {
    float *c;
    ptrdiff_t ldc;
    const float *bias; /* one per column, or NULL */
    bool add;
    bool relu;
    const float *gate; /* laid out as c: 0 where it is 0; or NULL */
} Output;

/* Stores the first `width` floats of one vector at c[at]. */
INLINE void output_store(const Output *out, ptrdiff_t at, Vector value, int width)
{
    if (out->add)
        value += vector_load_part(out->c + at, width);
    if (out->relu)
        value = vector_relu(value);
    if (out->gate)
        value = vector_gate(vector_load_part(out->gate + at, width), value);
    vector_store_part(out->c + at, value, width);
}

/* A block of the output at c[at], `rows` x `vectors` registers (constants of the caller, so that
 * the loops over them unroll), of whose last vector `last_width` floats exist. b is (depth, that
 * wide), bias is padded to whole vectors. */
INLINE void tile(int rows, int vectors, int last_width, int depth, Left a, const float *b,
                 ptrdiff_t ldb, const float *bias, const Output *out, ptrdiff_t at)
{
    Vector acc[TILE_ROWS][ROW_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        Vector start = vector_load(bias + (ptrdiff_t)v * LANES);
        UNROLL
        for (int r = 0; r < rows; r++)
            acc[r][v] = start;
    }
    for (int p = 0; p < depth; p++) {
        Vector column[ROW_VECTORS];
        UNROLL
        for (int v = 0; v < vectors; v++)
            column[v] =
                vector_load_part(b + (ptrdiff_t)v * LANES, v < vectors - 1 ? LANES : last_width);
        UNROLL
        for (int r = 0; r < rows; r++) {
            Vector left = vector_of(a.data[r * a.row_stride]);
            UNROLL
            for (int v = 0; v < vectors; v++)
                acc[r][v] += left * column[v];
        }
        a.data += a.depth_stride;
        b += ldb;
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            output_store(out, at + r * out->ldc + (ptrdiff_t)v * LANES, acc[r][v],
                         v < vectors - 1 ? LANES : last_width);
    }
}

/* A panel of the output: all rows of some columns, from c[at] on. */
typedef void Panel(int rows, int last_width, int depth, Left a, const float *b, ptrdiff_t ldb,
                   const float *bias, const Output *out, ptrdiff_t at);

/* Panels of each number of vectors, whole and cut: all rows, in tiles of about the same height. */
#define PANEL(name, vectors, width)                                                                \
    static __attribute__((noinline)) void name(int rows, int last_width, int depth, Left a,        \
                                               const float *b, ptrdiff_t ldb, const float *bias,   \
                                               const Output *out, ptrdiff_t at)                    \
    {                                                                                              \
        (void)last_width;                                                                          \
        for (int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; tiles > 0; tiles--) {                 \
            int step = (rows + tiles - 1) / tiles;                                                 \
            switch (step) {                                                                        \
                TILE_CASE(1, vectors, width);                                                      \
                TILE_CASE(2, vectors, width);                                                      \
                TILE_CASE(3, vectors, width);                                                      \
                TILE_CASE(4, vectors, width);                                                      \
                TILE_CASE(5, vectors, width);                                                      \
                TILE_CASE(6, vectors, width);                                                      \
            }                                                                                      \
            a.data += step * a.row_stride;                                                         \
            at += step * out->ldc;                                                                 \
            rows -= step;                                                                          \
        }                                                                                          \
    }
#define TILE_CASE(rows, vectors, width)                                                            \
    case rows:                                                                                     \
        tile(rows, vectors, width, depth, a, b, ldb, bias, out, at);                               \
        break

PANEL(panel_1, 1, LANES)
PANEL(panel_2, 2, LANES)
PANEL(cut_panel_1, 1, last_width)
PANEL(cut_panel_2, 2, last_width)
#if TILE_VECTORS > 2
PANEL(panel_3, 3, LANES)
PANEL(panel_4, 4, LANES)
PANEL(cut_panel_3, 3, last_width)
PANEL(cut_panel_4, 4, last_width)
#endif

static Panel *const panels[TILE_VECTORS] = {panel_1, panel_2,
#if TILE_VECTORS > 2
                                            panel_3, panel_4
#endif
};
static Panel *const cut_panels[TILE_VECTORS] = {cut_panel_1, cut_panel_2,
#if TILE_VECTORS > 2
                                                cut_panel_3, cut_panel_4
#endif
};

/* One row alone: only more columns keep enough sums under way. */
static __attribute__((noinline)) void row_panel(int rows, int last_width, int depth, Left a,
                                                const float *b, ptrdiff_t ldb, const float *bias,
                                                const Output *out, ptrdiff_t at)
{
    (void)rows;
    (void)last_width;
    tile(1, ROW_VECTORS, LANES, depth, a, b, ldb, bias, out, at);
}

/* packed (depth, vectors x LANES) = b (depth, as wide), but for what is cut off at the end. */
static void pack(int depth, int vectors, int last_width, const float *b, ptrdiff_t ldb,
                 float *packed)
{
    for (int p = 0; p < depth; p++, b += ldb)
        for (int v = 0; v < vectors; v++, packed += LANES)
            vector_store(packed, vector_load_part(b + (ptrdiff_t)v * LANES,
                                                  v < vectors - 1 ? LANES : last_width));
}

/* The columns from j on, `vectors` vectors of them. They are packed where rows lie so far apart
 * that they would keep evicting each other from the caches. */
static void run_panel(int m, int j, int vectors, int n, int k, Left a, const float *b,
                      ptrdiff_t ldb, const Output *out)
{
    __attribute__((aligned(64))) float packed[PACK_DEPTH * TILE_VECTORS * LANES];
    float bias[ROW_VECTORS * LANES] = {0};
    int width = n - j < vectors * LANES ? n - j : vectors * LANES;
    int last_width = width - (vectors - 1) * LANES;
    bool is_packed = m >= PACK_ROWS_MIN && ldb >= PACK_STRIDE_MIN;
    int depth = is_packed ? PACK_DEPTH : k;
    ptrdiff_t ld = is_packed ? (ptrdiff_t)vectors * LANES : ldb;
    Panel *panel = vectors > TILE_VECTORS ? row_panel
                   : last_width < LANES   ? cut_panels[vectors - 1]
                                          : panels[vectors - 1];
    if (out->bias)
        memcpy(bias, out->bias + j, (size_t)width * sizeof *bias);
    for (int p = 0; p < k; p += depth) {
        int deep = k - p < depth ? k - p : depth;
        bool is_last = p + deep == k;
        Output part = {.c = out->c, .ldc = out->ldc, .add = out->add || p > 0};
        part.relu = is_last && out->relu;
        part.gate = is_last ? out->gate : NULL;
        Left left = {a.data + p * a.depth_stride, a.row_stride, a.depth_stride};
        const float *from = b + p * ldb + j;
        if (is_packed)
            pack(deep, vectors, last_width, from, ldb, packed);
        panel(m, last_width, deep, left, is_packed ? packed : from, ld, bias, &part, j);
        if (!is_last)
            memset(bias, 0, sizeof bias);
    }
}

/* out (m, n) = a b, b (k, n), in panels of about the same width. */
static void product(int m, int n, int k, Left a, const float *b, ptrdiff_t ldb, const Output *out)
{
    if (m == 0)
        return;
    int vectors = (n + LANES - 1) / LANES;
    int j = 0;
    while (m == 1 && n - j >= ROW_VECTORS * LANES) {
        run_panel(m, j, ROW_VECTORS, n, k, a, b, ldb, out);
        vectors -= ROW_VECTORS;
        j += ROW_VECTORS * LANES;
    }
    for (int num = (vectors + TILE_VECTORS - 1) / TILE_VECTORS; num > 0; num--) {
        int wide = (vectors + num - 1) / num;
        run_panel(m, j, wide, n, k, a, b, ldb, out);
        vectors -= wide;
        j += wide * LANES;
    }
}

/* to (4, 4) = from (4, 4) transposed. */
INLINE void transpose_4(const float *from, ptrdiff_t ldf, float *to, ptrdiff_t ldt)
{
    Quad a = *(const UnalignedQuad *)from;
    Quad b = *(const UnalignedQuad *)(from + ldf);
    Quad c = *(const UnalignedQuad *)(from + 2 * ldf);
    Quad d = *(const UnalignedQuad *)(from + 3 * ldf);
    Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    Quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    Quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(UnalignedQuad *)to = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *(UnalignedQuad *)(to + ldt) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *(UnalignedQuad *)(to + 2 * ldt) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(UnalignedQuad *)(to + 3 * ldt) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

/* to (columns, rows) = from (rows, columns) transposed. */
static void transpose(int rows, int columns, const float *from, ptrdiff_t ldf, float *to,
                      ptrdiff_t ldt)
{
    int i = 0;
    for (; i + 4 <= rows; i += 4) {
        int j = 0;
        for (; j + 4 <= columns; j += 4)
            transpose_4(from + i * ldf + j, ldf, to + j * ldt + i, ldt);
        for (; j < columns; j++)
            for (int q = i; q < i + 4; q++)
                to[j * ldt + q] = from[q * ldf + j];
    }
    for (; i < rows; i++)
        for (int j = 0; j < columns; j++)
            to[j * ldt + i] = from[i * ldf + j];
}

/* c[i][j] = x row i . w row j + bias[j] for a block of constant size. */
INLINE void dot_block(int rows, int columns, int depth, const float *x, ptrdiff_t ldx,
                      const float *w, ptrdiff_t ldw, const float *bias, float *c, ptrdiff_t ldc)
{
    Vector acc[DOT_ROWS][DOT_ROWS];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < columns; j++)
            acc[i][j] = vector_of(0.0F);
    }
    int p = 0;
    for (; p + LANES <= depth; p += LANES) {
        Vector left[DOT_ROWS];
        UNROLL
        for (int i = 0; i < rows; i++)
            left[i] = vector_load(x + i * ldx + p);
        UNROLL
        for (int j = 0; j < columns; j++) {
            Vector right = vector_load(w + j * ldw + p);
            UNROLL
            for (int i = 0; i < rows; i++)
                acc[i][j] += left[i] * right;
        }
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < columns; j++) {
            float sum = vector_sum(acc[i][j]);
            for (int q = p; q < depth; q++)
                sum += x[i * ldx + q] * w[j * ldw + q];
            c[i * ldc + j] = bias ? sum + bias[j] : sum;
        }
    }
}

/* c (m, n) = x (m, k) w^T + bias, w (n, k). */
static void dots(int m, int n, int k, const float *x, ptrdiff_t ldx, const float *w, ptrdiff_t ldw,
                 const float *bias, float *c, ptrdiff_t ldc)
{
    for (int i = 0; i < m;) {
        int step = m - i >= DOT_ROWS ? DOT_ROWS : 1;
        const float *from = x + i * ldx;
        float *to = c + i * ldc;
        for (int j = 0; j < n;) {
            int width = n - j >= DOT_ROWS ? DOT_ROWS : 1;
            const float *right = w + j * ldw;
            const float *start = bias ? bias + j : NULL;
            if (step == DOT_ROWS && width == DOT_ROWS)
                dot_block(DOT_ROWS, DOT_ROWS, k, from, ldx, right, ldw, start, to + j, ldc);
            else if (step == DOT_ROWS)
                dot_block(DOT_ROWS, 1, k, from, ldx, right, ldw, start, to + j, ldc);
            else if (width == DOT_ROWS)
                dot_block(1, DOT_ROWS, k, from, ldx, right, ldw, start, to + j, ldc);
            else
                dot_block(1, 1, k, from, ldx, right, ldw, start, to + j, ldc);
            j += width;
        }
        i += step;
    }
}

#endif
