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

enum { WIDTH_MAX = 300, FLOATS = WIDTH_MAX * WIDTH_MAX, ROUNDS = 60 };

static Rng rng;
static float a[FLOATS], b[FLOATS], c[FLOATS], bias[WIDTH_MAX];

static void fill(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)(2 * rng_uniform(&rng) - 1);
}

static int draw_size(void)
{
    return 1 + (int)rng_below(&rng, WIDTH_MAX - 1);
}

static bool is_near(int row, int column, int width, double sum, int terms)
{
    float value = c[row * width + column];
    return fabs((double)value - sum) <= 1e-5 * (1 + sqrt(terms));
}

/* Forward, gradient of the input and of the weights at random sizes. */
static bool products_agree(void)
{
    int batch = draw_size();
    int in = draw_size();
    int out = draw_size();
    bool good = true;
    fill(a, FLOATS);
    fill(b, FLOATS);
    fill(bias, WIDTH_MAX);
    matmul_forward(batch, in, out, a, in, b, bias, true, c);
    for (int i = 0; i < batch; i++)
        for (int j = 0; j < out; j++) {
            double sum = (double)bias[j];
            for (int k = 0; k < in; k++)
                sum += (double)a[i * in + k] * (double)b[k * out + j];
            good = good && is_near(i, j, out, fmax(sum, 0), in);
        }
    matmul_grad_input(batch, in, out, a, b, NULL, c);
    for (int i = 0; i < batch; i++)
        for (int j = 0; j < in; j++) {
            double sum = 0;
            for (int k = 0; k < out; k++)
                sum += (double)a[i * out + k] * (double)b[k * in + j];
            good = good && is_near(i, j, in, sum, out);
        }
    memset(c, 0, sizeof c);
    matmul_grad_weight(batch, in, out, a, in, b, false, c);
    matmul_grad_weight(batch, in, out, a, in, b, true, c);
    for (int i = 0; i < in; i++)
        for (int j = 0; j < out; j++) {
            double sum = 0;
            for (int k = 0; k < batch; k++)
                sum += 2 * (double)a[k * in + i] * (double)b[k * out + j];
            good = good && is_near(i, j, out, sum, batch);
        }
    if (!good)
        fprintf(stderr, "batch %d in %d out %d differ\n", batch, in, out);
    return good;
}

/* What the child finds: the code of the installation, or 100 when a product is wrong. */
static int install_and_check(const char *word)
{
    Err err = {0};
    if (word)
        setenv("POLYAK_MATMUL", word, 1);
    else
        unsetenv("POLYAK_MATMUL");
    int code = libraries_install(&err);
    if (code != 0)
        return strstr(err.text, "POLYAK_MATMUL") && code == ERR_USAGE ? 1 : 101;
    for (int i = 0; i < ROUNDS; i++)
        if (!products_agree())
            return 100;
    return 0;
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
    assert_int_equal(in_a_child(NULL), 0);
    assert_int_equal(in_a_child(""), 0);
    assert_int_equal(in_a_child("kernels"), 0);
    assert_int_equal(in_a_child("openblas"), 0);
#ifdef POLYAK_LIBXSMM
    assert_int_equal(in_a_child("libxsmm"), 0);
#else
    assert_int_equal(in_a_child("libxsmm"), 1);
#endif
}

static void test_an_unknown_word_is_refused(void **state)
{
    (void)state;
    assert_int_equal(in_a_child("mkl"), 1);
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
