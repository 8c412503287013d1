/* Vectors of the instruction set that includes this file (kernels_body.h): loads and stores, whole
 * and in part, and what is done to a vector on the way. */
#ifndef POLYAK_COMMON_KERNELS_VECTOR_H
#define POLYAK_COMMON_KERNELS_VECTOR_H

#include <stdint.h>

/* For functions whose arguments become constants in the caller. */
#define INLINE static inline __attribute__((always_inline))

/* Before a loop of a constant number of turns, whose arrays shall become registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Mask __attribute__((vector_size(LANES * sizeof(int32_t))));
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

/* The first `width` floats, 1 to LANES, and zeros; where it is less than LANES, what lies behind is
 * not touched. KERNELS_LOAD_PART and KERNELS_STORE_PART are for a width below LANES. */
INLINE Vector vector_load_part(const float *from, int width)
{
    return width >= LANES ? vector_load(from) : KERNELS_LOAD_PART(from, width);
}

INLINE void vector_store_part(float *to, Vector value, int width)
{
    if (width >= LANES)
        vector_store(to, value);
    else
        KERNELS_STORE_PART(to, value, width);
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

/* max(0, z); NaN stays. */
INLINE float relu(float z)
{
    return 0.0F > z ? 0.0F : z;
}

INLINE Vector vector_relu(Vector z)
{
    Mask below = vector_of(0.0F) > z;
    return (Vector)((Mask)z & ~below);
}

/* value where `gate` is not 0, else 0. */
INLINE Vector vector_gate(Vector gate, Vector value)
{
    Mask open = gate != vector_of(0.0F);
    return (Vector)((Mask)value & open);
}

#endif
