/* The products of a layer, of every table that this CPU can run, against plain loops in double
 * precision; and who is asked to compute a product. */
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

enum { NUM_ISAS = sizeof isas / sizeof *isas, GUARD = 3 };

typedef enum Form { FORWARD, GRAD_INPUT, GRAD_COLUMNS, GRAD_WEIGHT, NUM_FORMS } Form;

static const double UNIT_ROUNDOFF = 0x1p-24; /* of a float */

static Rng rng;

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

/* One product: of the m x n results the contraction of length k, a and b as the loops below read
 * them, and what is done to it on the way. */
typedef struct Product {
    Form form;
    int m, n, k;
    int lda;
    bool relu;
    bool add;
    bool gated;
    float *a;
    float *b;
    float *bias; /* (n) */
    float *gate; /* (m, n) */
    float *c;    /* (m, n) and GUARD */
} Product;

static Product new_product(Form form, int m, int n, int k, int pad)
{
    Product p = {.form = form, .m = m, .n = n, .k = k};
    p.relu = rng_below(&rng, 2) == 0;
    p.add = form == GRAD_WEIGHT && rng_below(&rng, 2) == 0;
    p.gated = form == GRAD_INPUT && rng_below(&rng, 2) == 0;
    p.lda = form == GRAD_WEIGHT ? m + pad : form == FORWARD ? k + pad : k;
    p.a = form == GRAD_WEIGHT ? new_matrix(k, m, p.lda) : new_matrix(m, k, p.lda);
    p.b = form == GRAD_COLUMNS ? new_matrix(n, k, k) : new_matrix(k, n, n);
    p.bias = new_matrix(1, n, n);
    p.gate = new_matrix(m, n, n);
    p.c = malloc((size_t)(m * n + GUARD) * sizeof *p.c);
    for (int i = 0; i < m * n; i++)
        p.gate[i] = p.gate[i] > 0 ? p.gate[i] : 0;
    for (int i = 0; i < m * n + GUARD; i++)
        p.c[i] = 77;
    return p;
}

static void free_product(Product *p)
{
    free(p->a);
    free(p->b);
    free(p->bias);
    free(p->gate);
    free(p->c);
}

static void compute(const Kernels *table, const Product *p)
{
    const float *gate = p->gated ? p->gate : NULL;
    switch (p->form) {
    case FORWARD:
        table->forward(p->m, p->k, p->n, p->a, p->lda, p->b, p->bias, p->relu, p->c);
        break;
    case GRAD_INPUT:
        table->grad_input(p->m, p->n, p->k, p->a, p->b, gate, p->c);
        break;
    case GRAD_COLUMNS:
        table->grad_columns(p->m, p->n, p->k, p->a, p->b, p->c);
        break;
    default:
        table->grad_weight(p->k, p->m, p->n, p->a, p->lda, p->b, p->add, p->c);
        break;
    }
}

/* The same through matmul.h, and so through a library where it asks one. */
static void compute_by_rule(const Product *p)
{
    const float *gate = p->gated ? p->gate : NULL;
    switch (p->form) {
    case FORWARD:
        matmul_forward(p->m, p->k, p->n, p->a, p->lda, p->b, p->bias, p->relu, p->c);
        break;
    case GRAD_INPUT:
        matmul_grad_input(p->m, p->n, p->k, p->a, p->b, gate, p->c);
        break;
    case GRAD_COLUMNS:
        matmul_grad_columns(p->m, p->n, p->k, p->a, p->b, p->c);
        break;
    default:
        matmul_grad_weight(p->k, p->m, p->n, p->a, p->lda, p->b, p->add, p->c);
        break;
    }
}

static void check_element(const char *isa, const Product *p, int i, int j)
{
    double sum = p->form == FORWARD ? (double)p->bias[j] : p->add ? 77 : 0;
    double magnitude = fabs(sum);
    for (int q = 0; q < p->k; q++) {
        double left =
            (double)(p->form == GRAD_WEIGHT ? p->a[q * p->lda + i] : p->a[i * p->lda + q]);
        double right = (double)(p->form == GRAD_COLUMNS ? p->b[j * p->k + q] : p->b[q * p->n + j]);
        sum += left * right;
        magnitude += fabs(left * right);
    }
    double tolerance = fmin((p->k + 2) * UNIT_ROUNDOFF, 1e-5) * magnitude;
    if (p->form == FORWARD && p->relu)
        sum = fmax(sum, 0);
    if (p->gated && p->gate[i * p->n + j] == 0)
        sum = tolerance = 0;
    /* Rounding in any order of summation stays below this; a lost term does not. */
    if (!(fabs(sum - (double)p->c[i * p->n + j]) <= tolerance))
        fail_msg("%s form %d m %d n %d k %d: (%d, %d) is %.9g, not %.9g", isa, p->form, p->m, p->n,
                 p->k, i, j, (double)p->c[i * p->n + j], sum);
}

/* At most about `elements` of the results, at random; all where there are fewer. */
static void check_result(const char *isa, const Product *p, int elements)
{
    int64_t all = (int64_t)p->m * p->n;
    for (int64_t i = 0; i < all; i++)
        if (all <= elements || rng_below(&rng, (uint64_t)all) < (uint64_t)elements)
            check_element(isa, p, (int)(i / p->n), (int)(i % p->n));
    for (int i = 0; i < GUARD; i++)
        assert_true(p->c[all + i] == 77);
}

static void check_product(const Kernels *table, Form form, int m, int n, int k, int pad)
{
    Product p = new_product(form, m, n, k, pad);
    compute(table, &p);
    check_result(table->isa, &p, 3000);
    free_product(&p);
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
                for (Form form = FORWARD; form < NUM_FORMS; form++)
                    check_product(table, form, m, n, k, (m + n + k) % 4);
}

static void test_products_of_odd_sizes_around_the_blocks(void **state)
{
    (void)state;
    const int sizes[][3] = {
        {1, 1, 300},   {1, 300, 1},    {300, 1, 1},   {33, 65, 257},  {13, 31, 255},
        {25, 33, 256}, {256, 1, 256},  {1, 256, 256}, {256, 6, 250},  {6, 256, 256},
        {64, 4, 100},  {100, 64, 4},   {17, 47, 513}, {100, 64, 64},  {7, 600, 9},
        {37, 8, 1100}, {16, 64, 23},   {2, 3, 2000},  {60, 1025, 70}, {60, 1024, 300},
        {1, 1025, 65}, {60, 513, 600}, {1, 129, 5},
    };
    FOR_EACH_TABLE(table)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (Form form = FORWARD; form < NUM_FORMS; form++)
            for (int pad = 0; pad <= 3; pad += 3)
                check_product(table, form, sizes[s][0], sizes[s][1], sizes[s][2], pad);
}

/* Sizes 1 to 1025, small ones as often as large ones. */
static int draw_size(void)
{
    return (int)pow(1025.999, rng_uniform(&rng));
}

static void test_products_of_random_sizes(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (int i = 0; i < 200; i++)
        check_product(table, (Form)rng_below(&rng, NUM_FORMS), draw_size(), draw_size(),
                      draw_size(), (int)rng_below(&rng, 4));
}

static void test_no_rows_write_nothing(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (Form form = FORWARD; form < GRAD_WEIGHT; form++)
        check_product(table, form, 0, 20, 20, 0);
}

static void test_a_gradient_of_no_rows_is_zero(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (int n = 1; n < 40; n++)
        for (int i = 0; i < 4; i++)
            check_product(table, GRAD_WEIGHT, 20, n, 0, 0);
}

/* One NaN in an operand: the outputs that depend on it are NaN, zeros in the other operand or not,
 * and no others. */
static void check_nan(const Kernels *table, Form form, int m, int n, int k)
{
    for (int in_a = 0; in_a < 2; in_a++) {
        Product p = new_product(form, m, n, k, 0);
        p.add = p.gated = false;
        memset(p.a, 0, (size_t)(m * k) * sizeof *p.a);
        memset(p.b, 0, (size_t)(n * k) * sizeof *p.b);
        int line = (int)rng_below(&rng, (uint64_t)(in_a ? m : n));
        int q = (int)rng_below(&rng, (uint64_t)k);
        if (in_a)
            p.a[form == GRAD_WEIGHT ? q * m + line : line * k + q] = NAN;
        else
            p.b[form == GRAD_COLUMNS ? line * k + q : q * n + line] = NAN;
        compute(table, &p);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                assert_int_equal(isnan(p.c[i * n + j]) != 0, (in_a ? i : j) == line);
        free_product(&p);
    }
}

static void test_nan_reaches_exactly_what_depends_on_it(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (Form form = FORWARD; form < NUM_FORMS; form++)
        for (int i = 0; i < 10; i++) {
            check_nan(table, form, 37, 45, 67);
            check_nan(table, form, 40, 3, 67);
            check_nan(table, form, 3, 40, 67);
            check_nan(table, form, 64, 4, 7);
        }
}

static void test_a_gradient_passes_a_gate_that_is_nan(void **state)
{
    (void)state;
    FOR_EACH_TABLE(table)
    for (int n = 1; n < 70; n++) {
        Product p = new_product(GRAD_INPUT, 1, n, 5, 0);
        p.gated = true;
        p.gate[n - 1] = NAN;
        compute(table, &p);
        assert_true(p.c[n - 1] != 0);
        free_product(&p);
    }
}

/* --- Libraries -------------------------------------------------------------------------------- */

static int calls;
static bool library_can;

/* c (+)= a b, a's element (i, q) at a[i * row + q * column]. */
static bool plain_product(int m, int n, int k, const float *a, int row, int column, const float *b,
                          int ldb, bool add, float *c, int ldc)
{
    calls++;
    for (int i = 0; library_can && i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = add ? c[i * ldc + j] : 0;
            for (int q = 0; q < k; q++)
                sum += a[i * row + q * column] * b[q * ldb + j];
            c[i * ldc + j] = sum;
        }
    return library_can;
}

static bool count_nn(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                     bool add, float *c, int ldc)
{
    return plain_product(m, n, k, a, lda, 1, b, ldb, add, c, ldc);
}

static bool count_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                     bool add, float *c, int ldc)
{
    return plain_product(m, n, k, a, 1, lda, b, ldb, add, c, ldc);
}

static const MatmulLibrary library = {"counting", count_nn, count_tn};

/* Whether matmul.h asks a library for a product; its result is checked whoever computed it. */
static bool asks_library(Form form, int m, int n, int k)
{
    Product p = new_product(form, m, n, k, 2);
    calls = 0;
    compute_by_rule(&p);
    check_result("by rule", &p, 500);
    free_product(&p);
    return calls > 0;
}

/* The same for the product of a layer whose result is `columns` wide. */
static bool asks_for_layer(Form form, int batch, int columns, int other)
{
    return form == GRAD_WEIGHT ? asks_library(form, other, columns, batch)
                               : asks_library(form, batch, columns, other);
}

static void test_small_and_large_layers_go_to_the_library_for_them(void **state)
{
    (void)state;
    const Kernels *table = kernels();
    const MatmulLibraries small = {.small = &library};
    const MatmulLibraries large = {.large = &library};
    const Form forms[] = {FORWARD, GRAD_INPUT, GRAD_WEIGHT};
    int lanes = table->lanes;
    int few = table->small_weights_max / lanes;
    int many = table->large_weights_min / 512 + 1;
    for (size_t i = 0; i < 2 * sizeof forms / sizeof *forms; i++) {
        Form form = forms[i / 2];
        library_can = i % 2 == 0; /* one that cannot is asked, and the kernels do it */
        matmul_use(&small);
        if (few > 0) {
            assert_true(asks_for_layer(form, 7, lanes, few));
            assert_false(asks_for_layer(form, 7, lanes, few + lanes));
            assert_false(asks_for_layer(form, 7, lanes + 1, 2));
        }
        assert_false(asks_for_layer(form, 20, 512, many));
        matmul_use(&large);
        assert_true(asks_for_layer(form, 20, 512, many));
        assert_false(asks_for_layer(form, 1, 512, many));
        assert_false(asks_for_layer(form, 20, 64, 64));
        matmul_use(NULL);
        assert_false(asks_for_layer(form, 20, 512, many));
    }
}

static void test_a_library_for_everything_gets_all_that_is_not_narrow(void **state)
{
    (void)state;
    const MatmulLibraries only = {.small = &library, .large = &library, .only = true};
    const Form forms[] = {FORWARD, GRAD_INPUT, GRAD_WEIGHT};
    library_can = true;
    matmul_use(&only);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        assert_true(asks_library(forms[i], 31, 33, 35));
        assert_false(asks_library(forms[i], 31, 1, 35));
    }
    matmul_use(NULL);
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
        cmocka_unit_test(test_no_rows_write_nothing),
        cmocka_unit_test(test_a_gradient_of_no_rows_is_zero),
        cmocka_unit_test(test_nan_reaches_exactly_what_depends_on_it),
        cmocka_unit_test(test_a_gradient_passes_a_gate_that_is_nan),
        cmocka_unit_test(test_small_and_large_layers_go_to_the_library_for_them),
        cmocka_unit_test(test_a_library_for_everything_gets_all_that_is_not_narrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
