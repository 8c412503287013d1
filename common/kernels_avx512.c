/* The kernels for AVX-512 (F, DQ, BW, VL). */
#include <immintrin.h>

#define KERNELS_TABLE kernels_avx512
#define KERNELS_ISA "avx512"
#define LANES 16
#define TILE_VECTORS 4
#define DOT_ROWS 4
#define NARROW_MAX 8
#define PACK_STRIDE_MIN 1024
#define PACK_ROWS_MIN 192
#define SMALL_WEIGHTS_MAX 0 /* the kernels are as fast */
#define LARGE_WEIGHTS_MIN (2048 * 2048)
#define KERNELS_LOAD_PART(from, width)                                                             \
    ((Vector)_mm512_maskz_loadu_ps((__mmask16)((1U << (width)) - 1), from))
#define KERNELS_STORE_PART(to, value, width)                                                       \
    _mm512_mask_storeu_ps(to, (__mmask16)((1U << (width)) - 1), (__m512)(value))
#include "common/kernels_body.h"
