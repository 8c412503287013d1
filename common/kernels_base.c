/* The kernels that every CPU of the architecture runs: SSE2 on x86-64, plain vectors elsewhere. */
#define KERNELS_TABLE kernels_base
#ifdef __x86_64__
#define KERNELS_ISA "sse2"
#else
#define KERNELS_ISA "generic"
#endif
#define LANES 4
#define TILE_ROWS 6
#define DOT_ROWS 2
#define DOTS_ROWS_MAX 8
#define DOTS_COLUMNS_MAX 3
#define LIBRARY_SIZE_MIN 24
#include "common/kernels_body.h"
