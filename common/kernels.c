#include "common/kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

extern const Kernels kernels_base;
#ifdef __x86_64__
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;
static const Kernels *chosen;
static int choose_result;
static Err choose_error;

const Kernels *kernels_of(const char *isa)
{
    if (strcmp(isa, kernels_base.isa) == 0)
        return &kernels_base;
#ifdef __x86_64__
    if (strcmp(isa, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &kernels_avx2;
    if (strcmp(isa, "avx512") == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return &kernels_avx512;
#endif
    return NULL;
}

static const Kernels *best(void)
{
    const Kernels *table = kernels_of("avx512");
    if (!table)
        table = kernels_of("avx2");
    return table ? table : &kernels_base;
}

int kernels_choose(const char *asked, const Kernels **table, Err *err)
{
    *table = best();
    if (!asked || !*asked)
        return 0;
    const Kernels *found = kernels_of(asked);
    if (found) {
        *table = found;
        return 0;
    }
    if (strcmp(asked, "avx2") == 0 || strcmp(asked, "avx512") == 0)
        return err_set(err, ERR_USAGE, "POLYAK_ISA=%s: this CPU has no more than %s", asked,
                       (*table)->isa);
    return err_set(err, ERR_USAGE, "POLYAK_ISA=%.32s: not one of sse2, avx2, avx512", asked);
}

static void choose(void)
{
    choose_result = kernels_choose(getenv("POLYAK_ISA"), &chosen, &choose_error);
}

int kernels_init(Err *err)
{
    pthread_once(&chosen_once, choose);
    return choose_result == 0 ? 0 : err_set(err, choose_result, "%s", choose_error.text);
}

static pthread_once_t logged_once = PTHREAD_ONCE_INIT;

static void log_choose_error(void)
{
    log_error("%s", choose_error.text);
}

const Kernels *kernels(void)
{
    pthread_once(&chosen_once, choose);
    if (choose_result != 0)
        pthread_once(&logged_once, log_choose_error);
    return chosen;
}
