/* The kernels that every CPU of the architecture runs: SSE2 on x86-64, plain vectors elsewhere. */
#define KERNELS_TABLE kernels_base
#ifdef __x86_64__
#define KERNELS_ISA "sse2"
#else
#define KERNELS_ISA "generic"
#endif
#define LANES 4
#define TILE_VECTORS 2
#define DOT_ROWS 2
#define NARROW_MAX 3
#define PACK_STRIDE_MIN 512
#define PACK_ROWS_MIN 48
#define SMALL_WEIGHTS_MAX (128 * 1024)
#define LARGE_WEIGHTS_MIN (1024 * 1024)
#define KERNELS_LOAD_PART(from, width)                                                             \
    ((Vector){(from)[0], (width) > 1 ? (from)[1] : 0.0F, (width) > 2 ? (from)[2] : 0.0F, 0.0F})
#define KERNELS_STORE_PART(to, value, width)                                                       \
    do {                                                                                           \
        for (int lane = 0; lane < (width); lane++)                                                 \
            (to)[lane] = (value)[lane];                                                            \
    } while (0)
#include "common/kernels_body.h"
