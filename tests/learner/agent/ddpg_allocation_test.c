/* An update allocates nothing: the allocator of this program counts. Sanitizers bring an allocator
 * of their own, so with them there is nothing to count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "learner/agent/ddpg.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static atomic_long allocations;

#ifndef SANITIZED
void *__libc_malloc(size_t size);                     /* NOLINT: the C library's names */
void *__libc_calloc(size_t count, size_t size);       /* NOLINT */
void *__libc_realloc(void *block, size_t size);       /* NOLINT */
void *__libc_memalign(size_t alignment, size_t size); /* NOLINT */

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    allocations++;
    return __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    allocations++;
    *block = __libc_memalign(alignment, size);
    return 0;
}
#endif

static void test_updates_allocate_nothing(void **state)
{
    (void)state;
    static const int widths[] = {64, 512, 64}; /* small, large enough for OpenBLAS with AVX2 */
    for (int threads = 1; threads <= 3; threads++) {
        int width = widths[threads - 1];
        DdpgConfig config = {.obs_dim = 17,
                             .act_dim = 6,
                             .num_hidden = 2,
                             .hidden = {width, width - 3},
                             .batch = 150,
                             .gamma = 0.99,
                             .tau = 0.01,
                             .actor_lr = 1e-3,
                             .critic_lr = 1e-3,
                             .threads = threads};
        Ddpg *ddpg = NULL;
        Batch batch;
        DdpgStats stats;
        long before = allocations;
        assert_int_equal(ddpg_new(&config, &ddpg, NULL), 0);
        assert_int_equal(batch_new(&batch, config.batch, config.obs_dim, config.act_dim), 0);
#ifndef SANITIZED
        assert_true(allocations > before); /* it does count */
#endif
        assert_int_equal(ddpg_update(ddpg, &batch, &stats), 0); /* libraries make their kernels */
        before = allocations;
        for (int i = 0; i < 20; i++)
            assert_int_equal(ddpg_update(ddpg, &batch, &stats), 0);
        assert_int_equal(allocations, before);
        batch_destroy(&batch);
        ddpg_destroy(&ddpg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
