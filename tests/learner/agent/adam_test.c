#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "learner/agent/adam.h"

enum { NUM_MAX = 400 };

typedef struct Blocks {
    float params[NUM_MAX];
    float m[NUM_MAX];
    float v[NUM_MAX];
} Blocks;

static Mlp mlp;
static size_t num_params;
static float grad[NUM_MAX];
static Rng rng;

static int set_up(void **state)
{
    (void)state;
    rng = rng_stream(1, RNG_TEST, 0, 0, 0);
    if (mlp_shape(&mlp, 5, (int[]){13, 11}, 2, 3, false, NULL) != 0)
        return -1;
    num_params = mlp_num_params(&mlp);
    return num_params <= NUM_MAX ? 0 : -1;
}

static void fill(float *x)
{
    for (size_t i = 0; i < num_params; i++)
        x[i] = (float)rng_normal(&rng);
}

static bool is_bias(size_t i)
{
    for (int l = 0; l < mlp.num_layers; l++)
        if (i >= mlp_bias_offset(&mlp, l) && i < mlp_weight_offset(&mlp, l + 1))
            return true;
    return false;
}

static void assert_near(float value, double expected)
{
    if (!(fabs((double)value - expected) <= 2e-6 * (0.1 + fabs(expected))))
        fail_msg("%.9g is not near %.9g", (double)value, expected);
}

static void test_steps_follow_the_paper_with_decay_on_weights_only(void **state)
{
    (void)state;
    const double lr = 0.01;
    const double decay = 0.3;
    const double scale = 0.5;
    static Blocks blocks;
    static double params[NUM_MAX];
    static double m[NUM_MAX];
    static double v[NUM_MAX];
    fill(blocks.params);
    for (size_t i = 0; i < num_params; i++)
        params[i] = (double)blocks.params[i];
    for (int t = 1; t <= 20; t++) {
        fill(grad);
        AdamStep step = adam_step((uint64_t)t, lr, decay, scale);
        adam_apply(&step, &mlp, 0, num_params, grad, blocks.params, blocks.m, blocks.v);
        for (size_t i = 0; i < num_params; i++) {
            double g = scale * (double)grad[i] + (is_bias(i) ? 0 : decay * params[i]);
            m[i] = 0.9 * m[i] + (1 - 0.9) * g;
            v[i] = 0.999 * v[i] + (1 - 0.999) * g * g;
            params[i] -=
                lr * (m[i] / (1 - pow(0.9, t))) / (sqrt(v[i] / (1 - pow(0.999, t))) + 1e-8);
            assert_near(blocks.m[i], m[i]);
            assert_near(blocks.v[i], v[i]);
            assert_near(blocks.params[i], params[i]);
        }
    }
}

static void test_epsilon_is_added_to_the_corrected_root(void **state)
{
    (void)state;
    /* With g = 1e-8 the first step is lr / 2; with epsilon inside the root, or added to the
     * uncorrected one, it would be lr / 1e4 or lr / 33. */
    static Blocks blocks;
    memset(&blocks, 0, sizeof blocks);
    for (size_t i = 0; i < num_params; i++)
        grad[i] = 1e-8F;
    AdamStep step = adam_step(1, 0.1, 0, 1);
    adam_apply(&step, &mlp, 0, num_params, grad, blocks.params, blocks.m, blocks.v);
    assert_true(fabsf(blocks.params[0] + 0.05F) < 1e-6F);
}

static void test_any_split_of_the_block_gives_the_same_step(void **state)
{
    (void)state;
    static Blocks whole;
    static Blocks split;
    for (int decay = 0; decay < 2; decay++)
        for (int parts = 2; parts < 40; parts++) {
            memset(&whole, 0, sizeof whole);
            fill(whole.params);
            fill(grad);
            split = whole;
            AdamStep step = adam_step(3, 0.01, decay * 0.1, 1);
            adam_apply(&step, &mlp, 0, num_params, grad, whole.params, whole.m, whole.v);
            for (int p = 0; p < parts; p++)
                adam_apply(&step, &mlp, num_params * (size_t)p / (size_t)parts,
                           num_params * (size_t)(p + 1) / (size_t)parts, grad, split.params,
                           split.m, split.v);
            for (size_t i = 0; i < num_params; i++) {
                assert_near(split.params[i], (double)whole.params[i]);
                assert_near(split.m[i], (double)whole.m[i]);
                assert_near(split.v[i], (double)whole.v[i]);
            }
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
        cmocka_unit_test(test_steps_follow_the_paper_with_decay_on_weights_only),
        cmocka_unit_test(test_epsilon_is_added_to_the_corrected_root),
        cmocka_unit_test(test_any_split_of_the_block_gives_the_same_step),
        cmocka_unit_test(test_clipping_bounds_the_norm_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
