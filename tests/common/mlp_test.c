#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mlp.h"
#include "tests/common/mlp_reference.h"

static Rng rng;

static Mlp make(int input_dim, const int *hidden, int num_hidden, int output_dim, bool tanh_output)
{
    Mlp mlp;
    assert_int_equal(mlp_shape(&mlp, input_dim, hidden, num_hidden, output_dim, tanh_output, NULL),
                     0);
    return mlp;
}

static void test_shapes_outside_the_limits_are_refused(void **state)
{
    (void)state;
    int hidden[MLP_LAYERS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    Mlp mlp = {.num_layers = 77};
    Err err = {0};
    assert_int_equal(mlp_shape(&mlp, 1, hidden, MLP_LAYERS_MAX, 1, false, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "hidden layers"));
    assert_int_equal(mlp_shape(&mlp, 1, hidden, -1, 1, false, &err), ERR_USAGE);
    assert_int_equal(mlp_shape(&mlp, 0, hidden, 2, 1, false, &err), ERR_USAGE);
    assert_int_equal(mlp_shape(&mlp, 1, hidden, 2, MLP_WIDTH_MAX + 1, false, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "8193"));
    hidden[1] = 0;
    assert_int_equal(mlp_shape(&mlp, 1, hidden, 2, 1, false, &err), ERR_USAGE);
    assert_int_equal(mlp.num_layers, 77);
    hidden[1] = MLP_WIDTH_MAX;
    assert_int_equal(mlp_shape(&mlp, 1, hidden, MLP_LAYERS_MAX - 1, 1, false, &err), 0);
}

static void test_the_layout_has_no_gaps(void **state)
{
    (void)state;
    Mlp mlp = make(3, (int[]){8, 7}, 2, 2, true);
    assert_int_equal(mlp_weight_offset(&mlp, 0), 0);
    assert_int_equal(mlp_bias_offset(&mlp, 0), 24);
    assert_int_equal(mlp_weight_offset(&mlp, 1), 32);
    assert_int_equal(mlp_bias_offset(&mlp, 1), 32 + 56);
    assert_int_equal(mlp_weight_offset(&mlp, 2), 32 + 63);
    assert_int_equal(mlp_bias_offset(&mlp, 2), 32 + 63 + 14);
    assert_int_equal(mlp_num_params(&mlp), 32 + 63 + 16);
    assert_int_equal(mlp_output_dim(&mlp), 2);
    assert_int_equal(mlp_activation_offset(&mlp, 0, 5), 0);
    assert_int_equal(mlp_activation_offset(&mlp, 1, 5), 40);
    assert_int_equal(mlp_activation_offset(&mlp, 2, 5), 75);
    assert_int_equal(mlp_num_activations(&mlp, 5), 85);
}

static void test_equal_means_every_size_and_the_output(void **state)
{
    (void)state;
    Mlp mlp = make(3, (int[]){8, 7}, 2, 2, true);
    Mlp others[] = {
        make(3, (int[]){8, 7}, 2, 2, false), make(3, (int[]){8, 6}, 2, 2, true),
        make(4, (int[]){8, 7}, 2, 2, true),  make(3, (int[]){8, 7}, 2, 1, true),
        make(3, (int[]){8}, 1, 7, true),
    };
    Mlp same = make(3, (int[]){8, 7}, 2, 2, true);
    same.size[MLP_LAYERS_MAX] = 99; /* not part of the shape */
    assert_true(mlp_equal(&mlp, &same));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(mlp_equal(&mlp, &others[i]));
}

static void test_first_parameters_fill_their_ranges(void **state)
{
    (void)state;
    Mlp mlp = make(16, (int[]){400, 300}, 2, 50, false);
    const double bounds[] = {0.25, 0.05, 3e-3};
    float *params = calloc(mlp_num_params(&mlp), sizeof *params);
    float *again = calloc(mlp_num_params(&mlp), sizeof *again);
    Rng first = rng_stream(5, RNG_INIT, 0, 0, 0);
    Rng second = first;
    mlp_init_params(&mlp, params, &first);
    mlp_init_params(&mlp, again, &second);
    assert_memory_equal(params, again, mlp_num_params(&mlp) * sizeof *params);
    for (int l = 0; l < mlp.num_layers; l++) {
        double low[2] = {1, 1}; /* of weights, of biases */
        double high[2] = {-1, -1};
        double sum = 0;
        size_t end = mlp_weight_offset(&mlp, l + 1);
        for (size_t i = mlp_weight_offset(&mlp, l); i < end; i++) {
            int kind = i >= mlp_bias_offset(&mlp, l);
            low[kind] = fmin(low[kind], (double)params[i]);
            high[kind] = fmax(high[kind], (double)params[i]);
            sum += (double)params[i];
        }
        for (int kind = 0; kind < 2; kind++) {
            assert_true(low[kind] >= -bounds[l] * (1 + 1e-6) && low[kind] < -0.8 * bounds[l]);
            assert_true(high[kind] <= bounds[l] * (1 + 1e-6) && high[kind] > 0.8 * bounds[l]);
        }
        assert_true(fabs(sum / (double)(end - mlp_weight_offset(&mlp, l))) < 0.06 * bounds[l]);
    }
    free(params);
    free(again);
}

/* Compares mlp_forward with the reference, with strided input, and sees that it writes no more than
 * its activations. */
static void check_forward(const Mlp *mlp, int batch, int stride)
{
    size_t num_params = mlp_num_params(mlp);
    size_t num_activations = mlp_num_activations(mlp, batch);
    float *params = calloc(num_params, sizeof *params);
    double *exact = calloc(num_params, sizeof *exact);
    float *x = calloc((size_t)batch * (size_t)stride, sizeof *x);
    float *activations = calloc(num_activations + 1, sizeof *activations);
    assert_true(params && exact && x && activations);
    for (size_t i = 0; i < num_params; i++)
        exact[i] = (double)(params[i] = (float)(rng_uniform(&rng) - 0.5));
    for (int i = 0; i < batch * stride; i++)
        x[i] = i % stride < mlp->size[0] ? (float)rng_normal(&rng) : NAN;
    activations[num_activations] = 77;

    const float *y = mlp_forward(mlp, params, x, stride, batch, activations);
    int out = mlp_output_dim(mlp);
    assert_ptr_equal(y, activations + num_activations - (size_t)batch * (size_t)out);
    assert_true(activations[num_activations] == 77);
    for (int r = 0; r < batch; r++) {
        double row[MLP_REFERENCE_WIDTH_MAX];
        double expected[MLP_REFERENCE_WIDTH_MAX];
        for (int i = 0; i < mlp->size[0]; i++)
            row[i] = (double)x[r * stride + i];
        mlp_reference(mlp, exact, row, expected, NULL);
        for (int o = 0; o < out; o++)
            if (!(fabs((double)y[r * out + o] - expected[o]) <= 3e-5 * (1 + fabs(expected[o]))))
                fail_msg("row %d output %d: %.9g, not %.9g", r, o, (double)y[r * out + o],
                         expected[o]);
    }
    free(params);
    free(exact);
    free(x);
    free(activations);
}

static void test_forward_agrees_with_the_definition(void **state)
{
    (void)state;
    Mlp shapes[] = {
        make(3, (int[]){64, 64}, 2, 1, true),     make(23, (int[]){65, 33, 17}, 3, 6, false),
        make(1, (int[]){1}, 1, 1, true),          make(5, NULL, 0, 4, false),
        make(128, (int[]){100, 128}, 2, 9, true),
    };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int batch = 1; batch <= 40; batch += 1 + batch / 3) {
            check_forward(&shapes[s], batch, shapes[s].size[0]);
            check_forward(&shapes[s], batch, shapes[s].size[0] + 6);
        }
}

static void test_transposing_turns_weights_and_keeps_biases(void **state)
{
    (void)state;
    Mlp mlp = make(5, (int[]){7, 3}, 2, 2, true);
    float params[100], turned[100], back[100];
    size_t n = mlp_num_params(&mlp);
    assert_true(n <= 100);
    for (size_t i = 0; i < n; i++)
        params[i] = (float)i;
    mlp_transpose_weights(&mlp, params, true, turned);
    for (int l = 0; l < mlp.num_layers; l++) {
        int in = mlp.size[l], out = mlp.size[l + 1];
        size_t weights = mlp_weight_offset(&mlp, l), biases = mlp_bias_offset(&mlp, l);
        for (int o = 0; o < out; o++) {
            assert_true(turned[biases + (size_t)o] == params[biases + (size_t)o]);
            for (int i = 0; i < in; i++)
                assert_true(turned[weights + (size_t)(o * in + i)] ==
                            params[weights + (size_t)(i * out + o)]);
        }
    }
    mlp_transpose_weights(&mlp, turned, false, back);
    assert_memory_equal(back, params, n * sizeof *params);
}

static void test_nan_in_a_row_stays_in_that_row(void **state)
{
    (void)state;
    Mlp mlp = make(3, (int[]){20, 20}, 2, 2, true);
    float params[1000];
    float activations[42 * 20];
    assert_true(mlp_num_params(&mlp) <= 1000);
    mlp_init_params(&mlp, params, &rng);
    float x[20 * 3] = {0};
    x[7 * 3 + 1] = NAN;
    const float *y = mlp_forward(&mlp, params, x, 3, 20, activations);
    for (int i = 0; i < 20 * 2; i++)
        assert_int_equal(isnan(y[i]) != 0, i / 2 == 7);
}

int main(void)
{
    const char *again = getenv("POLYAK_TEST_SEED");
    uint64_t seed = again ? (uint64_t)strtoull(again, NULL, 10) : (uint64_t)getpid();
    printf("seed %llu (POLYAK_TEST_SEED repeats it)\n", (unsigned long long)seed);
    rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes_outside_the_limits_are_refused),
        cmocka_unit_test(test_the_layout_has_no_gaps),
        cmocka_unit_test(test_equal_means_every_size_and_the_output),
        cmocka_unit_test(test_first_parameters_fill_their_ranges),
        cmocka_unit_test(test_forward_agrees_with_the_definition),
        cmocka_unit_test(test_transposing_turns_weights_and_keeps_biases),
        cmocka_unit_test(test_nan_in_a_row_stays_in_that_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
