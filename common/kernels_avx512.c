/* The kernels for AVX-512 (F, DQ, BW, VL). */
#define KERNELS_TABLE kernels_avx512
#define KERNELS_ISA "avx512"
#define LANES 16
#define TILE_ROWS 12
#define DOT_ROWS 4
#define DOTS_ROWS_MAX 16
#define DOTS_COLUMNS_MAX 8
#define LIBRARY_SIZE_MIN 512
#include "common/kernels_body.h"
