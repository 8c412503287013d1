/* Denormal numbers are flushed to zero in compute threads: they are worth nothing in training and
 * cost up to a hundred times the cycles. The mode belongs to a thread, so each one sets its own. */
#ifndef POLYAK_COMMON_FPU_H
#define POLYAK_COMMON_FPU_H

#include <stdint.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

/* For the calling thread, from now on; does nothing on a machine without such a mode. */
static inline void fpu_flush_denormals(void)
{
#if defined(__SSE__)
    enum { MXCSR_DENORMALS_ARE_ZERO = 1 << 6, MXCSR_FLUSH_TO_ZERO = 1 << 15 };
    _mm_setcsr(_mm_getcsr() | MXCSR_DENORMALS_ARE_ZERO | MXCSR_FLUSH_TO_ZERO);
#elif defined(__aarch64__)
    const uint64_t flush_to_zero = UINT64_C(1) << 24;
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr | flush_to_zero));
#endif
}

#endif
