/* Every table that this CPU can run, against plain loops in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/kernels.h"
#include "common/rng.h"

enum { NUM_MAX = 5000, NUM_BLOCKS = 4, GUARD = 7 };

static const char *const isas[] = {"sse2", "avx2", "avx512", "generic"};
static const size_t lengths[] = {0, 1, 3, 15, 16, 17, 31, 63, 64, 65, 127, 1000, 2049, 4999};

enum { NUM_ISAS = sizeof isas / sizeof *isas, NUM_LENGTHS = sizeof lengths / sizeof *lengths };

static Rng rng;

static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(4 * rng_uniform(&rng) - 2);
}

static void assert_near(float value, double expected, double tolerance)
{
    if (!(fabs((double)value - expected) <= tolerance * (1 + fabs(expected))))
        fail_msg("%.9g is not near %.9g", (double)value, expected);
}

#define FOR_EACH_TABLE(table)                                                                      \
    for (int isa_ = 0; isa_ < NUM_ISAS; isa_++)                                                    \
        for (const Kernels *table = kernels_of(isas[isa_]); (table); (table) = NULL)

static void test_the_baseline_is_always_there(void **state)
{
    (void)state;
    int count = 0;
    FOR_EACH_TABLE(table)
    {
        assert_string_equal(table->isa, isas[isa_]);
        count++;
    }
    assert_true(count >= 1);
    assert_null(kernels_of("mmx"));
    assert_null(kernels_of(""));
}

static void test_a_known_word_forces_its_table_or_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_ISAS; i++) {
        const Kernels *table = NULL;
        Err err = {0};
        int result = kernels_choose(isas[i], &table, &err);
        if (kernels_of(isas[i])) {
            assert_int_equal(result, 0);
            assert_ptr_equal(table, kernels_of(isas[i]));
        } else {
            assert_int_equal(result, ERR_USAGE);
            assert_non_null(strstr(err.text, isas[i]));
        }
    }
}

static void test_without_a_word_the_greatest_table_is_taken(void **state)
{
    (void)state;
    const Kernels *expected = NULL;
    for (int i = NUM_ISAS - 1; i >= 0; i--)
        if (!expected && kernels_of(isas[i]))
            expected = kernels_of(isas[i]);
    const Kernels *table = NULL;
    assert_int_equal(kernels_choose(NULL, &table, NULL), 0);
    assert_ptr_equal(table, expected);
    assert_int_equal(kernels_choose("", &table, NULL), 0);
    assert_ptr_equal(table, expected);
}

static void test_an_unknown_word_is_refused_by_name(void **state)
{
    (void)state;
    const Kernels *table = NULL;
    Err err = {0};
    assert_int_equal(kernels_choose("avx3", &table, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "POLYAK_ISA=avx3"));
    assert_null(strchr(err.text, '\n'));
    assert_non_null(table);
}

static void test_bias_and_relu_are_as_written(void **state)
{
    (void)state;
    static float bias[NUM_MAX];
    static float y[NUM_MAX];
    static float plain[NUM_MAX];
    static float relu[NUM_MAX];
    FOR_EACH_TABLE(table)
    {
        for (int width = 1; width <= 70; width++) {
            int rows = 1 + width % 5;
            size_t n = (size_t)rows * (size_t)width;
            fill(bias, (size_t)width);
            fill(y, n + GUARD);
            memcpy(plain, y, sizeof y);
            memcpy(relu, y, sizeof y);
            table->add_bias(rows, width, false, bias, plain);
            table->add_bias(rows, width, true, bias, relu);
            for (size_t i = 0; i < n; i++) {
                float z = y[i] + bias[i % (size_t)width];
                assert_true(plain[i] == z);
                assert_true(relu[i] == (z > 0 ? z : 0));
            }
            assert_memory_equal(plain + n, y + n, GUARD * sizeof *y);
            assert_memory_equal(relu + n, y + n, GUARD * sizeof *y);
        }
    }
}

static void test_a_gradient_passes_where_the_relu_is_on(void **state)
{
    (void)state;
    static float y[NUM_MAX];
    static float before[NUM_MAX];
    static float dy[NUM_MAX];
    FOR_EACH_TABLE(table)
    {
        for (int l = 0; l < NUM_LENGTHS; l++) {
            size_t n = lengths[l];
            fill(y, n);
            for (size_t i = 0; i < n; i++)
                y[i] = y[i] > 0 ? y[i] : 0;
            fill(before, NUM_MAX);
            memcpy(dy, before, sizeof dy);
            table->gate(n, y, dy);
            for (size_t i = 0; i < NUM_MAX; i++)
                assert_true(dy[i] == (i >= n || y[i] > 0 ? before[i] : 0));
        }
    }
}

static void test_sums_are_right_to_rounding(void **state)
{
    (void)state;
    static float x[NUM_MAX];
    static float to[NUM_MAX];
    static float before[NUM_MAX];
    float sums[70 + GUARD];
    FOR_EACH_TABLE(table)
    {
        for (int l = 0; l < NUM_LENGTHS; l++) {
            size_t n = lengths[l];
            fill(x, n);
            fill(before, NUM_MAX);
            memcpy(to, before, sizeof to);
            table->add(n, x, to);
            double squares = 0;
            for (size_t i = 0; i < NUM_MAX; i++) {
                assert_true(to[i] == (i < n ? before[i] + x[i] : before[i]));
                squares += i < n ? (double)x[i] * (double)x[i] : 0;
            }
            assert_true(fabs(table->sum_squares(n, x) - squares) <= 2e-6 * squares);
        }
        for (int width = 1; width <= 70; width++) {
            int rows = 1 + width % 70;
            fill(x, (size_t)rows * (size_t)width);
            for (int j = 0; j < width + GUARD; j++)
                sums[j] = 77;
            bool add = width % 3 == 0;
            table->column_sums(rows, width, add, x, sums);
            for (int j = 0; j < width; j++) {
                double sum = add ? 77 : 0;
                for (int i = 0; i < rows; i++)
                    sum += (double)x[i * width + j];
                assert_near(sums[j], sum, 1e-5);
            }
            for (int j = width; j < width + GUARD; j++)
                assert_true(sums[j] == 77);
        }
    }
}

static void test_a_step_of_adam_and_its_soft_copy_follow_their_formulas(void **state)
{
    (void)state;
    static float grad[NUM_MAX];
    static float block[NUM_BLOCKS][NUM_MAX]; /* params, m, v, target */
    static float before[NUM_BLOCKS][NUM_MAX];
    const KernelsAdam adam = {.beta1 = 0.9F,
                              .beta2 = 0.999F,
                              .rest1 = 0.1F,
                              .rest2 = 0.001F,
                              .step_size = 0.01F,
                              .root_scale = 3.0F,
                              .epsilon = 1e-8F,
                              .grad_scale = 0.5F,
                              .tau = 0.125F};
    FOR_EACH_TABLE(table)
    {
        for (int l = 0; l < NUM_LENGTHS; l++) {
            size_t n = lengths[l];
            fill(grad, NUM_MAX);
            for (int b = 0; b < NUM_BLOCKS; b++)
                fill(before[b], NUM_MAX);
            for (size_t i = 0; i < NUM_MAX; i++)
                before[2][i] = fabsf(before[2][i]);
            memcpy(block, before, sizeof block);
            table->adam_step(n, &adam, 0.25F, grad, block[0], block[1], block[2], block[3]);
            for (size_t i = 0; i < n; i++) {
                double g = 0.5 * (double)grad[i] + 0.25 * (double)before[0][i];
                double m = 0.9 * (double)before[1][i] + 0.1 * g;
                double v = 0.999 * (double)before[2][i] + 0.001 * g * g;
                assert_near(block[1][i], m, 1e-6);
                assert_near(block[2][i], v, 1e-6);
                double params = (double)before[0][i] - 0.01 * m / (3 * sqrt(v) + 1e-8);
                assert_near(block[0][i], params, 1e-5);
                assert_near(block[3][i], 0.125 * params + 0.875 * (double)before[3][i], 1e-5);
            }
            for (int b = 0; b < NUM_BLOCKS; b++)
                assert_memory_equal(block[b] + n, before[b] + n, (NUM_MAX - n) * sizeof(float));
        }
    }
}

static void test_tanh_is_right_to_a_few_units_and_never_beyond_one(void **state)
{
    (void)state;
    static float y[NUM_MAX];
    FOR_EACH_TABLE(table)
    {
        for (int exponent = -6; exponent < 9; exponent++)
            for (int part = 0; part < 4; part++) {
                float x[NUM_MAX];
                for (int i = 0; i < NUM_MAX; i++)
                    y[i] = x[i] = (float)(pow(10, exponent) * (2 * rng_uniform(&rng) - 1));
                table->tanh(NUM_MAX, y);
                for (int i = 0; i < NUM_MAX; i++) {
                    double exact = tanh((double)x[i]);
                    assert_true(fabsf(y[i]) <= 1);
                    double unit =
                        (double)nextafterf(fabsf((float)exact), 2) - fabs((double)(float)exact);
                    assert_true(fabs((double)y[i] - exact) < 8 * unit);
                }
            }
        float ends[] = {INFINITY, -INFINITY, 0.0F, -0.0F};
        table->tanh(4, ends);
        assert_near(ends[0], 1, 4 * 0x1p-24);
        assert_near(ends[1], -1, 4 * 0x1p-24);
        assert_true(ends[2] == 0 && ends[3] == 0);
        assert_true(signbit(ends[3]) != 0);
    }
}

static void test_transposing_moves_every_element_to_its_place(void **state)
{
    (void)state;
    static float to[NUM_MAX];
    FOR_EACH_TABLE(table)
    for (int i = 0; i < 200; i++) {
        int rows = 1 + (int)rng_below(&rng, 40);
        int columns = 1 + (int)rng_below(&rng, 40);
        int ld_from = columns + (int)rng_below(&rng, 4);
        int ld_to = rows + (int)rng_below(&rng, 4);
        static float from[NUM_MAX];
        fill(from, NUM_MAX);
        for (int j = 0; j < NUM_MAX; j++)
            to[j] = 77;
        table->transpose(rows, columns, from, ld_from, to, ld_to);
        for (int j = 0; j < NUM_MAX; j++) {
            int column = j / ld_to;
            int row = j % ld_to;
            bool inside = row < rows && column < columns;
            assert_true(to[j] == (inside ? from[row * ld_from + column] : 77));
        }
    }
}

static void test_nan_and_infinity_come_through(void **state)
{
    (void)state;
    const KernelsAdam adam = {
        .beta1 = 0.9F, .rest1 = 0.1F, .grad_scale = 1, .root_scale = 1, .tau = 0.5F};
    FOR_EACH_TABLE(table)
    {
        for (size_t at = 0; at < 100; at++) {
            float y[100] = {0};
            float bias[100] = {0};
            float m[100] = {0};
            float v[100] = {0};
            float target[100] = {0};
            float sums[1];
            y[at] = NAN;
            table->add_bias(1, 100, true, bias, y);
            assert_true(isnan(y[at]));
            assert_true(isnan(table->sum_squares(100, y)));
            table->column_sums(100, 1, false, y, sums);
            assert_true(isnan(sums[0]));
            table->adam_step(100, &adam, 0, y, bias, m, v, target);
            assert_true(isnan(bias[at]) && isnan(m[at]) && isnan(target[at]));
            float bent[100] = {0};
            bent[at] = NAN;
            table->tanh(100, bent);
            assert_true(isnan(bent[at]) && bent[(at + 1) % 100] == 0);
            y[at] = INFINITY;
            assert_true(isinf(table->sum_squares(100, y)));
            y[at] = 2e19F; /* its square is not a float */
            assert_true(isinf(table->sum_squares(100, y)));
        }
    }
}

int main(void)
{
    const char *again = getenv("POLYAK_TEST_SEED");
    uint64_t seed = again ? (uint64_t)strtoull(again, NULL, 10) : (uint64_t)getpid();
    printf("seed %llu (POLYAK_TEST_SEED repeats it)\n", (unsigned long long)seed);
    rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_baseline_is_always_there),
        cmocka_unit_test(test_a_known_word_forces_its_table_or_is_refused),
        cmocka_unit_test(test_without_a_word_the_greatest_table_is_taken),
        cmocka_unit_test(test_an_unknown_word_is_refused_by_name),
        cmocka_unit_test(test_bias_and_relu_are_as_written),
        cmocka_unit_test(test_a_gradient_passes_where_the_relu_is_on),
        cmocka_unit_test(test_sums_are_right_to_rounding),
        cmocka_unit_test(test_a_step_of_adam_and_its_soft_copy_follow_their_formulas),
        cmocka_unit_test(test_tanh_is_right_to_a_few_units_and_never_beyond_one),
        cmocka_unit_test(test_transposing_moves_every_element_to_its_place),
        cmocka_unit_test(test_nan_and_infinity_come_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
