/* The kernels for AVX2 with FMA. */
#include <immintrin.h>

/* All bits set in the first `width` lanes. */
static inline __m256i first_lanes(int width)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(width), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#define KERNELS_TABLE kernels_avx2
#define KERNELS_ISA "avx2"
#define LANES 8
#define TILE_VECTORS 2
#define DOT_ROWS 3
#define NARROW_MAX 4
#define PACK_STRIDE_MIN 512
#define PACK_ROWS_MIN 48
#define SMALL_WEIGHTS_MAX (64 * 1024)
#define LARGE_WEIGHTS_MIN (512 * 512)
#define KERNELS_LOAD_PART(from, width) ((Vector)_mm256_maskload_ps(from, first_lanes(width)))
#define KERNELS_STORE_PART(to, value, width)                                                       \
    _mm256_maskstore_ps(to, first_lanes(width), (__m256)(value))
#include "common/kernels_body.h"
