/* The matrix products, in vectors of the instruction set that includes this file (kernels_body.h).
 *
 * Two ways: `tile` keeps a block of the output in registers and runs along the contraction, with
 * the output's columns as the vector dimension; `dots` takes dot products along the contraction,
 * for outputs that are too narrow or too few to fill a tile. Strides are in floats. */

enum {
    PANEL_FLOATS = 2 * LANES, /* columns of a tile */
    PANEL_DEPTH = 256,        /* contraction that one packed panel covers */
    SCRATCH_FLOATS = 8192,    /* largest operand or result that is turned on the stack */
};

/* The left operand a (rows, depth) of a product, in either storage order. */
typedef struct Left {
    const float *data;
    ptrdiff_t row_stride;
    ptrdiff_t depth_stride;
} Left;

/* Stores the first `width` floats of `vectors` vectors, added to what is there where `add`. */
INLINE void store(float *c, const Vector *acc, int vectors, int width, bool add)
{
    for (int v = 0; v < vectors; v++, c += LANES, width -= LANES) {
        if (width >= LANES) {
            vector_store(c, add ? vector_load(c) + acc[v] : acc[v]);
        } else {
            float part[LANES];
            vector_store(part, acc[v]);
            for (int j = 0; j < width; j++)
                c[j] = add ? c[j] + part[j] : part[j];
        }
    }
}

/* c (rows, width) = a (rows, depth) b (depth, vectors x LANES); rows and vectors are constants of
 * the caller, so that the loops over them unroll and acc stays in registers. */
INLINE void tile(int rows, int vectors, int depth, const Left *a, const float *b, ptrdiff_t ldb,
                 float *c, ptrdiff_t ldc, int width, bool add)
{
    Vector acc[TILE_ROWS][2];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            acc[r][v] = vector_of(0.0F);
    }
    const float *x = a->data;
    ptrdiff_t row_stride = a->row_stride;
    for (int p = 0; p < depth; p++) {
        Vector column[2];
        UNROLL
        for (int v = 0; v < vectors; v++)
            column[v] = vector_load(b + (ptrdiff_t)v * LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            Vector left = vector_of(x[r * row_stride]);
            UNROLL
            for (int v = 0; v < vectors; v++)
                acc[r][v] += left * column[v];
        }
        x += a->depth_stride;
        b += ldb;
    }
    UNROLL
    for (int r = 0; r < rows; r++)
        store(c + r * ldc, acc[r], vectors, width, add);
}

/* All rows of one panel of columns, in tiles of about the same height. */
INLINE void panel(int vectors, int rows, int depth, Left a, const float *b, ptrdiff_t ldb, float *c,
                  ptrdiff_t ldc, int width, bool add)
{
    for (int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; tiles > 0; tiles--) {
        int step = (rows + tiles - 1) / tiles;
        switch (step) {
#define TILE_CASE(r)                                                                               \
    case r:                                                                                        \
        tile(r, vectors, depth, &a, b, ldb, c, ldc, width, add);                                   \
        break
            TILE_CASE(1);
            TILE_CASE(2);
            TILE_CASE(3);
            TILE_CASE(4);
            TILE_CASE(5);
            TILE_CASE(6);
#if TILE_ROWS > 6
            TILE_CASE(7);
            TILE_CASE(8);
            TILE_CASE(9);
            TILE_CASE(10);
            TILE_CASE(11);
            TILE_CASE(12);
#endif
#undef TILE_CASE
        }
        a.data += step * a.row_stride;
        c += step * ldc;
        rows -= step;
    }
}

static __attribute__((noinline)) void wide_panel(int rows, int depth, Left a, const float *b,
                                                 ptrdiff_t ldb, float *c, ptrdiff_t ldc, int width,
                                                 bool add)
{
    panel(2, rows, depth, a, b, ldb, c, ldc, width, add);
}

static __attribute__((noinline)) void narrow_panel(int rows, int depth, Left a, const float *b,
                                                   ptrdiff_t ldb, float *c, ptrdiff_t ldc,
                                                   int width, bool add)
{
    panel(1, rows, depth, a, b, ldb, c, ldc, width, add);
}

/* packed (depth, stride) = b (depth, width) with zeros to the right. */
static void pack_rows(int depth, int width, int stride, const float *b, ptrdiff_t ldb,
                      float *packed)
{
    for (int p = 0; p < depth; p++) {
        const float *from = b + p * ldb;
        float *to = packed + (ptrdiff_t)p * stride;
        if (width == PANEL_FLOATS) {
            vector_store(to, vector_load(from));
            vector_store(to + LANES, vector_load(from + LANES));
        } else {
            for (int j = 0; j < stride; j++)
                to[j] = j < width ? from[j] : 0.0F;
        }
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

/* packed (depth, stride) = w (width, depth) transposed, with zeros to the right. */
static void pack_columns(int depth, int width, int stride, const float *w, ptrdiff_t ldw,
                         float *packed)
{
    transpose(width, depth, w, ldw, packed, stride);
    if (width < stride)
        for (int p = 0; p < depth; p++)
            for (int j = width; j < stride; j++)
                packed[p * stride + j] = 0.0F;
}

/* c (rows, columns) = a b, where b is (depth, columns), or (columns, depth) when `transposed`. */
static void product(int rows, int columns, int depth, Left a, const float *b, ptrdiff_t ldb,
                    bool transposed, float *c, ptrdiff_t ldc)
{
    __attribute__((aligned(64))) float packed[PANEL_DEPTH * PANEL_FLOATS];
    for (int p = 0; p < depth; p += PANEL_DEPTH) {
        int deep = depth - p < PANEL_DEPTH ? depth - p : PANEL_DEPTH;
        Left part = a;
        part.data += p * a.depth_stride;
        for (int j = 0; j < columns; j += PANEL_FLOATS) {
            int width = columns - j < PANEL_FLOATS ? columns - j : PANEL_FLOATS;
            int stride = width > LANES ? PANEL_FLOATS : LANES;
            const float *from = packed;
            if (transposed)
                pack_columns(deep, width, stride, b + j * ldb + p, ldb, packed);
            else if (rows > TILE_ROWS || width < stride)
                pack_rows(deep, width, stride, b + p * ldb + j, ldb, packed);
            else
                from = b + p * ldb + j; /* read once: not worth a copy */
            ptrdiff_t ld = from == packed ? stride : ldb;
            if (stride == PANEL_FLOATS)
                wide_panel(rows, deep, part, from, ld, c + j, ldc, width, p > 0);
            else
                narrow_panel(rows, deep, part, from, ld, c + j, ldc, width, p > 0);
        }
    }
}

/* y[i][j] = x row i . w row j for a block of constant size. */
INLINE void dot_block(int rows, int columns, int depth, const float *x, ptrdiff_t ldx,
                      const float *w, ptrdiff_t ldw, float *y, ptrdiff_t ldy)
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
            y[i * ldy + j] = sum;
        }
    }
}

static void dots(int rows, int columns, int depth, const float *x, ptrdiff_t ldx, const float *w,
                 ptrdiff_t ldw, float *y, ptrdiff_t ldy)
{
    for (int i = 0; i < rows;) {
        int step = rows - i >= DOT_ROWS ? DOT_ROWS : 1;
        const float *from = x + i * ldx;
        float *to = y + i * ldy;
        int j = 0;
        for (; j + DOT_ROWS <= columns; j += DOT_ROWS) {
            if (step == DOT_ROWS)
                dot_block(DOT_ROWS, DOT_ROWS, depth, from, ldx, w + j * ldw, ldw, to + j, ldy);
            else
                dot_block(1, DOT_ROWS, depth, from, ldx, w + j * ldw, ldw, to + j, ldy);
        }
        for (; j < columns; j++) {
            if (step == DOT_ROWS)
                dot_block(DOT_ROWS, 1, depth, from, ldx, w + j * ldw, ldw, to + j, ldy);
            else
                dot_block(1, 1, depth, from, ldx, w + j * ldw, ldw, to + j, ldy);
        }
        i += step;
    }
}

static void product_nt(int m, int n, int k, const float *x, int ldx, const float *w, int ldw,
                       float *y, int ldy)
{
    /* Few rows do not repay the transposing of w; few columns do not fill a vector. */
    if (m <= DOTS_ROWS_MAX || n <= DOTS_COLUMNS_MAX)
        dots(m, n, k, x, ldx, w, ldw, y, ldy);
    else
        product(m, n, k, (Left){x, ldx, 1}, w, ldw, true, y, ldy);
}

static void product_nn(int m, int n, int k, const float *x, int ldx, const float *w, int ldw,
                       float *y, int ldy)
{
    float turned[SCRATCH_FLOATS];
    if (n <= DOTS_COLUMNS_MAX && (ptrdiff_t)n * k <= SCRATCH_FLOATS) {
        transpose(k, n, w, ldw, turned, k);
        dots(m, n, k, x, ldx, turned, k, y, ldy);
    } else {
        product(m, n, k, (Left){x, ldx, 1}, w, ldw, false, y, ldy);
    }
}

static ptrdiff_t padded(int n)
{
    return (ptrdiff_t)((n + LANES - 1) / LANES) * LANES;
}

static void product_tn(int m, int n, int k, const float *x, int ldx, const float *w, int ldw,
                       float *y, int ldy)
{
    float turned[SCRATCH_FLOATS];
    /* y^T = w^T x when that leaves fewer vectors half empty. */
    if (padded(n) * m > padded(m) * n && (ptrdiff_t)m * n <= SCRATCH_FLOATS) {
        product(n, m, k, (Left){w, 1, ldw}, x, ldx, false, turned, m);
        transpose(n, m, turned, m, y, ldy);
    } else {
        product(m, n, k, (Left){x, 1, ldx}, w, ldw, false, y, ldy);
    }
}
