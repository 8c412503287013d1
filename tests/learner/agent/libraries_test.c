/* Each library that POLYAK_MATMUL can name, through matmul.h, against plain loops in double
 * precision. The choice is made once in a process: a child of its own tries each word. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/matmul.h"
#include "common/rng.h"
#include "learner/agent/libraries.h"

enum { WIDTH_MAX = 1025, FLOATS = 2100 * 2100, ROUNDS = 25, SAMPLES = 400 };

static Rng rng;
static float a[FLOATS], b[FLOATS], c[FLOATS], bias[WIDTH_MAX * 3];

/* --- Who is asked ----------------------------------------------------------------------------- */

static const MatmulLibraries *real;
static int done_by_library[2]; /* nn, tn */
static bool library_failed;

static bool counted(int which, const MatmulLibrary *library, int m, int n, int k, const float *left,
                    int lda, const float *right, int ldb, bool add, float *to, int ldc)
{
    MatmulFunction *function = which == 0 ? library->nn : library->tn;
    bool done = function(m, n, k, left, lda, right, ldb, add, to, ldc);
    done_by_library[which] += done;
    library_failed = library_failed || !done;
    return done;
}

#define COUNTED(name, which, library)                                                              \
    static bool name(int m, int n, int k, const float *left, int lda, const float *right, int ldb, \
                     bool add, float *to, int ldc)                                                 \
    {                                                                                              \
        return counted(which, real->library, m, n, k, left, lda, right, ldb, add, to, ldc);        \
    }
COUNTED(small_nn, 0, small)
COUNTED(small_tn, 1, small)
COUNTED(large_nn, 0, large)
COUNTED(large_tn, 1, large)

static void count_calls(void)
{
    static const MatmulLibrary small = {"small", small_nn, small_tn};
    static const MatmulLibrary large = {"large", large_nn, large_tn};
    static MatmulLibraries counting;
    real = matmul_in_use();
    counting = (MatmulLibraries){.small = real->small ? &small : NULL,
                                 .large = real->large ? &large : NULL,
                                 .only = real->only};
    matmul_use(&counting);
}

/* --- What they compute ------------------------------------------------------------------------ */

static void fill(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)(2 * rng_uniform(&rng) - 1);
}

/* Whether c[row][column] is the sum of `terms` products, of which left(q) and right(q) are strided
 * in a and b. */
static bool is_near(int row, int column, int width, double start, int terms, const float *left,
                    int left_stride, const float *right, int right_stride, bool relu)
{
    double sum = start;
    double magnitude = fabs(start);
    for (int q = 0; q < terms; q++) {
        double term = (double)left[q * left_stride] * (double)right[q * right_stride];
        sum += term;
        magnitude += fabs(term);
    }
    if (relu && sum < 0)
        sum = 0;
    return fabs((double)c[row * width + column] - sum) <= 1e-5 * magnitude;
}

static int below(int n)
{
    return (int)rng_below(&rng, (uint64_t)n);
}

/* Forward, gradient of the input and of the weights, at random places. */
static bool products_agree(int batch, int in, int out)
{
    bool good = true;
    fill(a, batch * (in > out ? in : out));
    fill(b, in * out);
    fill(bias, out);
    matmul_forward(batch, in, out, a, in, b, bias, true, c);
    for (int s = 0; s < SAMPLES; s++) {
        int i = below(batch), j = below(out);
        good = good && is_near(i, j, out, (double)bias[j], in, a + i * in, 1, b + j, out, true);
    }
    matmul_grad_input(batch, in, out, a, b, NULL, c);
    for (int s = 0; s < SAMPLES; s++) {
        int i = below(batch), j = below(in);
        good = good && is_near(i, j, in, 0, out, a + i * out, 1, b + j, in, false);
    }
    fill(b, batch * out);
    matmul_grad_weight(batch, in, out, a, in, b, false, c);
    for (int s = 0; s < SAMPLES; s++) {
        int i = below(in), j = below(out);
        good = good && is_near(i, j, out, 0, batch, a + i, in, b + j, out, false);
    }
    memset(c, 0, (size_t)in * (size_t)out * sizeof *c);
    c[0] = 5;
    matmul_grad_weight(batch, in, out, a, in, b, true, c);
    good = good && is_near(0, 0, out, 5, batch, a, in, b, out, false);
    if (!good)
        fprintf(stderr, "batch %d in %d out %d differ\n", batch, in, out);
    return good;
}

/* One NaN in x makes its row of y NaN, and no other. */
static bool nan_stays_in_its_row(void)
{
    enum { ROWS = 20, WIDTH = 64 };
    bool good = true;
    memset(a, 0, ROWS * WIDTH * sizeof *a);
    memset(b, 0, WIDTH * WIDTH * sizeof *b);
    memset(bias, 0, WIDTH * sizeof *bias);
    a[7 * WIDTH + 3] = NAN;
    matmul_forward(ROWS, WIDTH, WIDTH, a, WIDTH, b, bias, true, c);
    for (int i = 0; i < ROWS * WIDTH; i++)
        good = good && (isnan(c[i]) != 0) == (i / WIDTH == 7);
    return good;
}

static int draw_size(void)
{
    return (int)pow(WIDTH_MAX + 0.999, rng_uniform(&rng));
}

enum { SOUND = 0, REFUSED = 1, WRONG = 100, NOT_ASKED = 101, FAILED = 102 };

/* What the child finds. */
static int install_and_check(const char *word)
{
    Err err = {0};
    if (word)
        setenv("POLYAK_MATMUL", word, 1);
    else
        unsetenv("POLYAK_MATMUL");
    int code = libraries_install(&err);
    if (code != 0)
        return strstr(err.text, "POLYAK_MATMUL") && code == ERR_USAGE ? REFUSED : FAILED;
    count_calls();
    for (int i = 0; i < ROUNDS; i++)
        if (!products_agree(draw_size(), draw_size(), draw_size()))
            return WRONG;
    if (!nan_stays_in_its_row())
        return WRONG;
    /* And layers that the default rule gives to each library that it has. */
    int large = (int)ceil(sqrt(kernels()->large_weights_min));
    if (!products_agree(64, 64, 64) || !products_agree(33, large, large))
        return WRONG;
    bool asked = done_by_library[0] > 0 && done_by_library[1] > 0;
    if (asked != (real->small || real->large))
        return NOT_ASKED;
    return library_failed ? FAILED : SOUND;
}

static int in_a_child(const char *word)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(install_and_check(word));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_every_library_agrees_with_plain_loops(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(NULL), SOUND);
    assert_int_equal(in_a_child(""), SOUND);
    assert_int_equal(in_a_child("kernels"), SOUND);
    assert_int_equal(in_a_child("openblas"), SOUND);
#ifdef POLYAK_LIBXSMM
    assert_int_equal(in_a_child("libxsmm"), SOUND);
#else
    assert_int_equal(in_a_child("libxsmm"), REFUSED);
#endif
}

static void test_an_unknown_word_is_refused(void **state)
{
    (void)state;
    assert_int_equal(in_a_child("mkl"), REFUSED);
}

int main(void)
{
    const char *again = getenv("POLYAK_TEST_SEED");
    uint64_t seed = again ? (uint64_t)strtoull(again, NULL, 10) : (uint64_t)getpid();
    printf("seed %llu (POLYAK_TEST_SEED repeats it)\n", (unsigned long long)seed);
    rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_library_agrees_with_plain_loops),
        cmocka_unit_test(test_an_unknown_word_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
