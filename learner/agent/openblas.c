#include "learner/agent/openblas.h"

#include <cblas.h>
#include <pthread.h>

#include "common/matmul.h"

static bool sgemm_nn(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                     bool add, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a, lda, b, ldb,
                add ? 1.0F : 0.0F, c, ldc);
    return true;
}

static bool sgemm_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                     bool add, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, k, 1, a, lda, b, ldb,
                add ? 1.0F : 0.0F, c, ldc);
    return true;
}

static const MatmulLibrary openblas = {.name = "openblas", .nn = sgemm_nn, .tn = sgemm_tn};

static pthread_once_t installed_once = PTHREAD_ONCE_INIT;
static int num_threads;

static void install(void)
{
    openblas_set_num_threads(1);
    num_threads = openblas_get_num_threads();
    if (num_threads == 1)
        matmul_use_libraries(NULL, &openblas);
}

int openblas_install(Err *err)
{
    pthread_once(&installed_once, install);
    if (num_threads != 1)
        return err_set(err, ERR_USAGE,
                       "OpenBLAS insists on %d threads; start with OPENBLAS_NUM_THREADS=1",
                       num_threads);
    return 0;
}
