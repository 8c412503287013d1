/* The three products of every table that this CPU can run, against plain loops in double precision;
 * and who is asked to compute a product. */
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

#include "common/matmul.h"
#include "common/rng.h"

static const char *const isas[] = {"sse2", "avx2", "avx512", "generic"};

enum { NUM_ISAS = sizeof isas / sizeof *isas, PAD = 3, FLOATS_MAX = 1 << 20 };

typedef enum Form { NT, NN, TN, NUM_FORMS } Form;

static const double UNIT_ROUNDOFF = 0x1p-24; /* of a float */

static Rng rng;
static float a[FLOATS_MAX];
static float b[FLOATS_MAX];
static float c[FLOATS_MAX];

static KernelsMatmul *matmul_of(const Kernels *table, Form form)
{
    return form == NT ? table->matmul_nt : form == NN ? table->matmul_nn : table->matmul_tn;
}

/* A matrix in a block of exactly its size, so that AddressSanitizer sees a read beyond it; between
 * the rows is NaN, so that reading there shows too. */
static float *new_matrix(int rows, int width, int ld)
{
    size_t n = rows > 0 && width > 0 ? (size_t)(rows - 1) * (size_t)ld + (size_t)width : 0;
    float *x = malloc(n * sizeof *x + (n == 0));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = i % (size_t)ld < (size_t)width ? (float)(2 * rng_uniform(&rng) - 1) : NAN;
    return x;
}

static void check_product(const Kernels *table, Form form, int m, int n, int k, int pad)
{
    int lda = (form == TN ? m : k) + pad;
    int ldb = (form == NT ? k : n) + pad;
    int ldc = n + pad;
    float *left = new_matrix(form == TN ? k : m, form == TN ? m : k, lda);
    float *right = new_matrix(form == NT ? n : k, form == NT ? k : n, ldb);
    for (int i = 0; i < m * ldc + PAD; i++)
        c[i] = 77;
    matmul_of(table, form)(m, n, k, left, lda, right, ldb, c, ldc);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < ldc; j++) {
            if (j >= n) {
                assert_true(c[i * ldc + j] == 77);
                continue;
            }
            double sum = 0;
            double magnitude = 0;
            for (int p = 0; p < k; p++) {
                double term = (double)(form == TN ? left[p * lda + i] : left[i * lda + p]) *
                              (double)(form == NT ? right[j * ldb + p] : right[p * ldb + j]);
                sum += term;
                magnitude += fabs(term);
            }
            /* Rounding in any order of summation stays below this; a lost term does not. */
            if (!(fabs(sum - (double)c[i * ldc + j]) <= (k + 1) * UNIT_ROUNDOFF * magnitude))
                fail_msg("%s form %d m %d n %d k %d pad %d: (%d, %d) is %.9g, not %.9g", table->isa,
                         form, m, n, k, pad, i, j, (double)c[i * ldc + j], sum);
        }
    for (int i = 0; i < PAD; i++)
        assert_true(c[m * ldc + i] == 77);
    free(left);
    free(right);
}

#define FOR_EACH_TABLE(table)                                                                      \
    for (int isa_ = 0; isa_ < NUM_ISAS; isa_++)                                                    \
        for (const Kernels *table = kernels_of(isas[isa_]); (table); (table) = NULL)

static void test_small_products_of_all_sizes(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (int m = 1; m <= 19; m++)
        for (int n = 1; n <= 19; n++)
            for (int k = 1; k <= 19; k += 3)
                for (Form form = NT; form < NUM_FORMS; form++)
                    check_product(table, form, m, n, k, (m + n + k) % (PAD + 1));
}

static void test_products_of_odd_sizes_around_the_blocks(void **state)
{
    (void)state;
    const int sizes[][3] = {
        {1, 1, 300},   {1, 300, 1},   {300, 1, 1},   {33, 65, 257}, {13, 31, 255}, {25, 33, 256},
        {256, 1, 256}, {1, 256, 256}, {256, 6, 250}, {6, 256, 256}, {64, 4, 100},  {100, 64, 4},
        {17, 47, 513}, {100, 64, 64}, {7, 600, 9},   {37, 8, 1100}, {16, 64, 23},  {2, 3, 2000},
    };
    FOR_EACH_TABLE(table)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (Form form = NT; form < NUM_FORMS; form++)
            for (int pad = 0; pad <= PAD; pad += PAD)
                check_product(table, form, sizes[s][0], sizes[s][1], sizes[s][2], pad);
}

static void test_products_of_random_sizes(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (int i = 0; i < 60; i++) {
        int m = 1 + (int)rng_below(&rng, 90);
        int n = 1 + (int)rng_below(&rng, 90);
        int k = 1 + (int)rng_below(&rng, 400);
        check_product(table, (Form)rng_below(&rng, NUM_FORMS), m, n, k,
                      (int)rng_below(&rng, PAD + 1));
    }
}

static void test_no_rows_or_columns_write_nothing(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (Form form = NT; form < NUM_FORMS; form++) {
        check_product(table, form, 0, 20, 20, 0);
        check_product(table, form, 20, 0, 20, PAD);
    }
}

/* One NaN in an operand: the outputs that depend on it are NaN, zeros in the other operand or not,
 * and no others. */
static void check_nan(const Kernels *table, Form form, int m, int n, int k)
{
    int lda = form == TN ? m : k;
    int ldb = form == NT ? k : n;
    for (int in_a = 0; in_a < 2; in_a++) {
        memset(a, 0, (size_t)(m * k) * sizeof *a);
        memset(b, 0, (size_t)(n * k) * sizeof *b);
        int line = (int)rng_below(&rng, (uint64_t)(in_a ? m : n));
        int p = (int)rng_below(&rng, (uint64_t)k);
        if (in_a)
            a[form == TN ? p * lda + line : line * lda + p] = NAN;
        else
            b[form == NT ? line * ldb + p : p * ldb + line] = NAN;
        matmul_of(table, form)(m, n, k, a, lda, b, ldb, c, n);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                assert_int_equal(isnan(c[i * n + j]) != 0, (in_a ? i : j) == line);
    }
}

static void test_nan_reaches_exactly_what_depends_on_it(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (Form form = NT; form < NUM_FORMS; form++)
        for (int i = 0; i < 10; i++) {
            check_nan(table, form, 37, 45, 67);
            check_nan(table, form, 40, 3, 67);
            check_nan(table, form, 3, 40, 67);
            check_nan(table, form, 64, 4, 7);
        }
}

static int library_calls;

static void library_product(int m, int n, int k, const float *x, int ldx, const float *w, int ldw,
                            float *y, int ldy)
{
    (void)k, (void)x, (void)ldx, (void)w, (void)ldw;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            y[i * ldy + j] = 5;
    library_calls++;
}

static void call_all_forms(int m, int n, int k)
{
    matmul_nt(m, n, k, a, k, b, k, c, n);
    matmul_nn(m, n, k, a, k, b, n, c, n);
    matmul_tn(m, n, k, a, m, b, n, c, n);
}

static void test_only_large_products_go_to_an_installed_library(void **state)
{
    (void)state;
    static const MatmulLibrary library = {library_product, library_product, library_product};
    int large = kernels()->library_size_min;
    assert_true(large > 1 && large * large <= FLOATS_MAX);
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    library_calls = 0;
    call_all_forms(large, large, large);
    assert_int_equal(library_calls, 0);
    matmul_use_library(&library);
    call_all_forms(large, large, large);
    assert_int_equal(library_calls, 3);
    assert_true(c[0] == 5);
    call_all_forms(large - 1, large, large);
    call_all_forms(large, large - 1, large);
    call_all_forms(large, large, large - 1);
    assert_int_equal(library_calls, 3);
    matmul_use_library(NULL);
    call_all_forms(large, large, large);
    assert_int_equal(library_calls, 3);
    assert_true(c[0] == 0);
}

int main(void)
{
    const char *again = getenv("POLYAK_TEST_SEED");
    uint64_t seed = again ? (uint64_t)strtoull(again, NULL, 10) : (uint64_t)getpid();
    printf("seed %llu (POLYAK_TEST_SEED repeats it)\n", (unsigned long long)seed);
    rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_products_of_all_sizes),
        cmocka_unit_test(test_products_of_odd_sizes_around_the_blocks),
        cmocka_unit_test(test_products_of_random_sizes),
        cmocka_unit_test(test_no_rows_or_columns_write_nothing),
        cmocka_unit_test(test_nan_reaches_exactly_what_depends_on_it),
        cmocka_unit_test(test_only_large_products_go_to_an_installed_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
