#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "learner/agent/network.h"

enum { NUM_MAX = 2000 };

static DdpgNetwork network;
static size_t num_params;
static float grad[NUM_MAX];
static Rng rng;

static DdpgNetwork make(void)
{
    DdpgNetwork made = {0};
    assert_int_equal(mlp_shape(&made.mlp, 37, (int[]){13, 40}, 2, 3, false, NULL), 0);
    assert_int_equal(network_new(&made, NULL), 0);
    network_init(&made, rng_stream(4, RNG_TEST, 0, 0, 0));
    return made;
}

static int set_up(void **state)
{
    (void)state;
    rng = rng_stream(1, RNG_TEST, 0, 0, 0);
    network = make();
    num_params = network.num_params;
    return num_params <= NUM_MAX ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    network_destroy(&network);
    return 0;
}

static void fill(float *x)
{
    for (size_t i = 0; i < num_params; i++)
        x[i] = (float)rng_normal(&rng);
}

static bool is_bias(size_t i)
{
    for (int l = 0; l < network.mlp.num_layers; l++)
        if (i >= mlp_bias_offset(&network.mlp, l) && i < mlp_weight_offset(&network.mlp, l + 1))
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
    const double tau = 0.125;
    static double params[NUM_MAX];
    static double target[NUM_MAX];
    static double m[NUM_MAX];
    static double v[NUM_MAX];
    for (size_t i = 0; i < num_params; i++)
        params[i] = target[i] = (double)network.params[i];
    for (int t = 1; t <= 20; t++) {
        fill(grad);
        AdamStep step = adam_step((uint64_t)t, lr, decay, scale, tau);
        network_step(&network, &step, grad, 0, 1);
        for (size_t i = 0; i < num_params; i++) {
            double g = scale * (double)grad[i] + (is_bias(i) ? 0 : decay * params[i]);
            m[i] = 0.9 * m[i] + (1 - 0.9) * g;
            v[i] = 0.999 * v[i] + (1 - 0.999) * g * g;
            params[i] -=
                lr * (m[i] / (1 - pow(0.9, t))) / (sqrt(v[i] / (1 - pow(0.999, t))) + 1e-8);
            target[i] += tau * (params[i] - target[i]);
            assert_near(network.adam_m[i], m[i]);
            assert_near(network.adam_v[i], v[i]);
            assert_near(network.params[i], params[i]);
            assert_near(network.target[i], target[i]);
        }
    }
}

static void test_epsilon_is_added_to_the_corrected_root(void **state)
{
    (void)state;
    /* With g = 1e-8 the first step is lr / 2; with epsilon inside the root, or added to the
     * uncorrected one, it would be lr / 1e4 or lr / 33. */
    for (size_t i = 0; i < num_params; i++)
        grad[i] = 1e-8F;
    float before = network.params[0];
    AdamStep step = adam_step(1, 0.1, 0, 1, 0.5);
    network_step(&network, &step, grad, 0, 1);
    assert_true(fabsf(network.params[0] - before + 0.05F) < 1e-6F);
}

static void assert_transposed(const DdpgNetwork *of)
{
    static float expected[NUM_MAX];
    mlp_transpose_weights(&of->mlp, of->params, true, expected);
    for (int l = 1; l < of->mlp.num_layers; l++) {
        size_t begin = mlp_weight_offset(&of->mlp, l);
        size_t end = mlp_bias_offset(&of->mlp, l);
        assert_memory_equal(of->transposed + begin, expected + begin,
                            (end - begin) * sizeof(float));
    }
}

static void test_any_number_of_workers_makes_the_same_step(void **state)
{
    (void)state;
    for (int decay = 0; decay < 2; decay++)
        for (int workers = 2; workers < 20; workers++) {
            DdpgNetwork whole = make();
            DdpgNetwork split = make();
            fill(grad);
            AdamStep step = adam_step(3, 0.01, decay * 0.1, 1, 0.5);
            network_step(&whole, &step, grad, 0, 1);
            for (int w = 0; w < workers; w++)
                network_step(&split, &step, grad, w, workers);
            for (size_t i = 0; i < num_params; i++) {
                assert_near(split.params[i], (double)whole.params[i]);
                assert_near(split.target[i], (double)whole.target[i]);
                assert_near(split.adam_m[i], (double)whole.adam_m[i]);
                assert_near(split.adam_v[i], (double)whole.adam_v[i]);
            }
            assert_transposed(&split);
            network_destroy(&whole);
            network_destroy(&split);
        }
}

static void test_the_parts_of_the_workers_are_the_whole_block_once(void **state)
{
    (void)state;
    for (int workers = 1; workers < 20; workers++) {
        size_t at = 0;
        for (int l = 0; l < network.mlp.num_layers; l++)
            for (int w = 0; w < workers; w++) {
                NetworkPart part = network_part(&network.mlp, l, w, workers);
                assert_int_equal(part.begin, at);
                assert_int_equal(part.weights_end - part.begin,
                                 part.num_rows * network.mlp.size[l + 1]);
                assert_true(part.end == part.weights_end || w == workers - 1);
                at = part.end;
            }
        assert_int_equal(at, num_params);
    }
}

static void test_a_step_keeps_the_transposed_weights(void **state)
{
    (void)state;
    assert_transposed(&network);
    for (int t = 1; t <= 3; t++) {
        fill(grad);
        AdamStep step = adam_step((uint64_t)t, 0.01, 0, 1, 0.5);
        network_step(&network, &step, grad, 0, 1);
        assert_transposed(&network);
    }
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FRESH(test_steps_follow_the_paper_with_decay_on_weights_only),
        FRESH(test_epsilon_is_added_to_the_corrected_root),
        FRESH(test_any_number_of_workers_makes_the_same_step),
        FRESH(test_the_parts_of_the_workers_are_the_whole_block_once),
        FRESH(test_a_step_keeps_the_transposed_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
