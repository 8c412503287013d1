/* The kernels for AVX2 with FMA. */
#define KERNELS_TABLE kernels_avx2
#define KERNELS_ISA "avx2"
#define LANES 8
#define TILE_ROWS 6
#define DOT_ROWS 3
#define DOTS_ROWS_MAX 8
#define DOTS_COLUMNS_MAX 4
#define LIBRARY_SIZE_MIN 512
#include "common/kernels_body.h"
