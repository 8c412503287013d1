#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/agent/adam.h"

static void test_the_constants_correct_the_bias_of_step_t(void **state)
{
    (void)state;
    for (int t = 1; t < 5000; t = 2 * t + 1) {
        AdamStep step = adam_step((uint64_t)t, 0.01, 0.5, 0.25, 0.125);
        const KernelsAdam *adam = &step.constants;
        assert_true(fabs((double)adam->step_size * (1 - pow(0.9, t)) - 0.01) < 1e-8);
        double root_scale = (double)adam->root_scale;
        assert_true(fabs(root_scale * root_scale * (1 - pow(0.999, t)) - 1) < 1e-5);
        assert_true(fabsf(adam->rest1 - 0.1F) < 1e-7F && fabsf(adam->rest2 - 0.001F) < 1e-9F);
        assert_true(adam->grad_scale == 0.25F && adam->tau == 0.125F && step.weight_decay == 0.5F);
    }
}

static void test_clipping_bounds_the_norm_and_nothing_else(void **state)
{
    (void)state;
    assert_true(adam_clip_scale(10, 0) == 1);
    assert_true(adam_clip_scale(0, 5) == 1);
    assert_true(adam_clip_scale(5, 5) == 1);
    assert_true(adam_clip_scale(10, 5) == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_constants_correct_the_bias_of_step_t),
        cmocka_unit_test(test_clipping_bounds_the_norm_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
