#include "learner/agent/libraries.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/matmul.h"

#if defined(POLYAK_LIBXSMM) && defined(__x86_64__) /* it compiles for nothing else */
#define HAS_LIBXSMM 1
#include <libxsmm.h>
#endif

/* --- OpenBLAS --------------------------------------------------------------------------------- */

static bool sgemm(CBLAS_TRANSPOSE trans_a, int m, int n, int k, const float *a, int lda,
                  const float *b, int ldb, bool add, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, trans_a, CblasNoTrans, m, n, k, 1, a, lda, b, ldb, add ? 1.0F : 0.0F,
                c, ldc);
    return true;
}

static bool openblas_nn(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                        bool add, float *c, int ldc)
{
    return sgemm(CblasNoTrans, m, n, k, a, lda, b, ldb, add, c, ldc);
}

static bool openblas_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                        bool add, float *c, int ldc)
{
    return sgemm(CblasTrans, m, n, k, a, lda, b, ldb, add, c, ldc);
}

static const MatmulLibrary openblas = {"openblas", openblas_nn, openblas_tn};

/* --- libxsmm ---------------------------------------------------------------------------------- */

#ifdef HAS_LIBXSMM

/* libxsmm is column-major: a row-major c = a b is its c^T = b^T a^T in the same memory. A kernel is
 * compiled at the first call with new sizes and found again by them; none can be where memory may
 * not be made executable. */
static bool xsmm(int flags, int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                 bool add, float *c, int ldc)
{
    const float alpha = 1;
    const float beta = add ? 1.0F : 0.0F;
    const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    libxsmm_smmfunction kernel =
        libxsmm_smmdispatch(n, m, k, &ldb, &lda, &ldc, &alpha, &beta, &flags, &prefetch);
    if (!kernel)
        return false;
    kernel(b, a, c);
    return true;
}

static bool xsmm_nn(int m, int n, int k, const float *a, int lda, const float *b, int ldb, bool add,
                    float *c, int ldc)
{
    return xsmm(LIBXSMM_GEMM_FLAG_NONE, m, n, k, a, lda, b, ldb, add, c, ldc);
}

static bool xsmm_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb, bool add,
                    float *c, int ldc)
{
    return xsmm(LIBXSMM_GEMM_FLAG_TRANS_B, m, n, k, a, lda, b, ldb, add, c, ldc);
}

static const MatmulLibrary libxsmm = {"libxsmm", xsmm_nn, xsmm_tn};

/* For the instruction set of the kernels, and no more: POLYAK_ISA holds for it too, and code with
 * wider registers beside SSE2 kernels would slow these down tenfold. */
static const MatmulLibrary *start_libxsmm(void)
{
    const char *isa = kernels()->isa;
    libxsmm_init();
    if (strcmp(isa, "avx2") == 0)
        libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    else if (strcmp(isa, "sse2") == 0)
        libxsmm_set_target_archid(__builtin_cpu_supports("sse3") ? LIBXSMM_X86_SSE3
                                                                 : LIBXSMM_X86_GENERIC);
    return &libxsmm;
}

#else

static const MatmulLibrary *start_libxsmm(void)
{
    return NULL;
}

#endif

/* --- The choice ------------------------------------------------------------------------------- */

static pthread_once_t installed_once = PTHREAD_ONCE_INIT;
static int install_result;
static Err install_error;

static int choose(const char *asked, MatmulLibraries *libraries)
{
    const MatmulLibrary *only = NULL;
    if (!asked || !*asked) {
        bool small_ones = kernels()->small_weights_max > 0;
        *libraries =
            (MatmulLibraries){.small = small_ones ? start_libxsmm() : NULL, .large = &openblas};
        return 0;
    }
    if (strcmp(asked, "openblas") == 0)
        only = &openblas;
    else if (strcmp(asked, "libxsmm") == 0)
        only = start_libxsmm();
    else if (strcmp(asked, "kernels") != 0)
        return err_set(&install_error, ERR_USAGE,
                       "POLYAK_MATMUL=%.32s: not one of kernels, libxsmm, openblas", asked);
    if (!only && strcmp(asked, "libxsmm") == 0)
        return err_set(&install_error, ERR_USAGE,
                       "POLYAK_MATMUL=libxsmm: Polyak was built without libxsmm");
    *libraries = (MatmulLibraries){.small = only, .large = only, .only = true};
    return 0;
}

static void install(void)
{
    static MatmulLibraries libraries;
    openblas_set_num_threads(1);
    int threads = openblas_get_num_threads();
    if (threads != 1)
        install_result =
            err_set(&install_error, ERR_USAGE,
                    "OpenBLAS insists on %d threads; start with OPENBLAS_NUM_THREADS=1", threads);
    else
        install_result = choose(getenv("POLYAK_MATMUL"), &libraries);
    if (install_result == 0)
        matmul_use(&libraries);
}

int libraries_install(Err *err)
{
    pthread_once(&installed_once, install);
    return install_result == 0 ? 0 : err_set(err, install_result, "%s", install_error.text);
}
