#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/rng.h"

static Rng test_stream(uint64_t a)
{
    static uint64_t seed;
    if (seed == 0) {
        seed = (uint64_t)time(NULL);
        print_message("seed %llu\n", (unsigned long long)seed);
    }
    return rng_stream(seed, RNG_TEST, a, 0, 0);
}

static void test_the_generator_is_threefry_4x64_with_20_rounds(void **state)
{
    (void)state;
    /* The published known answer for the key 0 and the counter 0. */
    Rng rng = {.used = 4};
    assert_true(rng_u64(&rng) == UINT64_C(0x09218EBDE6C85537));
    assert_true(rng_u64(&rng) == UINT64_C(0x55941F5266D86105));
    assert_true(rng_u64(&rng) == UINT64_C(0x4BD25E16282434DC));
    assert_true(rng_u64(&rng) == UINT64_C(0xEE29EC846BD2E40B));
    assert_int_equal(rng.counter, 1);
}

static void test_equal_names_give_equal_numbers(void **state)
{
    (void)state;
    Rng a = rng_stream(1, RNG_EVAL, 2, 3, 4);
    Rng b = rng_stream(1, RNG_EVAL, 2, 3, 4);
    for (int i = 0; i < 1000; i++)
        assert_true(rng_u64(&a) == rng_u64(&b));
}

static void test_a_copy_repeats_the_numbers(void **state)
{
    (void)state;
    Rng a = test_stream(1);
    for (int i = 0; i < 5; i++)
        rng_u64(&a);
    Rng b = a;
    for (int i = 0; i < 100; i++)
        assert_true(rng_u64(&a) == rng_u64(&b));
}

static void test_every_part_of_a_name_makes_another_stream(void **state)
{
    (void)state;
    Rng streams[] = {
        rng_stream(1, RNG_EVAL, 2, 3, 4),
        rng_stream(9, RNG_EVAL, 2, 3, 4),
        rng_stream(1, RNG_RESET, 2, 3, 4),
        rng_stream(1, RNG_EVAL, 9, 3, 4),
        rng_stream(1, RNG_EVAL, 2, 9, 4),
        rng_stream(1, RNG_EVAL, 2, 3, 9),
        rng_stream(1, RNG_EVAL, rng_actor_key(2, 1), 3, 4),
    };
    enum { NUM_STREAMS = sizeof streams / sizeof streams[0] };
    uint64_t first[NUM_STREAMS];
    for (int i = 0; i < NUM_STREAMS; i++) {
        first[i] = rng_u64(&streams[i]);
        for (int j = 0; j < i; j++)
            assert_true(first[i] != first[j]);
    }
    assert_true(rng_actor_key(2, 0) == 2);
    assert_true(rng_actor_key(1, 2) != rng_actor_key(2, 1));
}

static void test_below_is_even_and_in_range(void **state)
{
    (void)state;
    enum { BINS = 7, DRAWS = 70000 };
    Rng rng = test_stream(2);
    int count[BINS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint64_t n = rng_below(&rng, BINS);
        assert_true(n < BINS);
        count[n]++;
    }
    double chi_square = 0;
    for (int i = 0; i < BINS; i++) {
        double expected = (double)DRAWS / BINS;
        chi_square += (count[i] - expected) * (count[i] - expected) / expected;
    }
    assert_true(chi_square < 45); /* 6 degrees of freedom: once in 2e7 runs */
    for (int i = 0; i < 100; i++) {
        assert_true(rng_below(&rng, 1) == 0);
        assert_true(rng_below(&rng, UINT64_MAX) < UINT64_MAX);
    }
}

static void test_below_has_no_bias_where_n_is_large(void **state)
{
    (void)state;
    /* x·n >> 64 without rejection takes x = 4k … 4k + 3 to 3k, 3k, 3k + 1 and 3k + 2: multiples of
     * 3 would come twice as often as the others. */
    const uint64_t n = UINT64_C(3) << 62;
    enum { DRAWS = 30000 };
    Rng rng = test_stream(3);
    int count[3] = {0};
    for (int i = 0; i < DRAWS; i++)
        count[rng_below(&rng, n) % 3]++;
    double sigma = sqrt(DRAWS * (1.0 / 3) * (2.0 / 3));
    for (int i = 0; i < 3; i++)
        assert_true(fabs(count[i] - DRAWS / 3.0) < 6 * sigma);
}

static void test_uniform_and_normal_have_their_moments(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    Rng rng = test_stream(4);
    double sum = 0;
    double squares = 0;
    double normal_sum = 0;
    double normal_squares = 0;
    double normal_fourths = 0;
    for (int i = 0; i < DRAWS; i++) {
        double u = rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
        double x = rng_normal(&rng);
        assert_true(isfinite(x));
        normal_sum += x;
        normal_squares += x * x;
        normal_fourths += x * x * x * x;
    }
    /* Six standard errors of each mean. */
    double root_n = sqrt((double)DRAWS);
    assert_true(fabs(sum / DRAWS - 1.0 / 2) < 6 * sqrt(1.0 / 12) / root_n);
    assert_true(fabs(squares / DRAWS - 1.0 / 3) < 6 * sqrt(4.0 / 45) / root_n);
    assert_true(fabs(normal_sum / DRAWS) < 6 / root_n);
    assert_true(fabs(normal_squares / DRAWS - 1) < 6 * sqrt(2) / root_n);
    assert_true(fabs(normal_fourths / DRAWS - 3) < 6 * sqrt(96) / root_n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_generator_is_threefry_4x64_with_20_rounds),
        cmocka_unit_test(test_equal_names_give_equal_numbers),
        cmocka_unit_test(test_a_copy_repeats_the_numbers),
        cmocka_unit_test(test_every_part_of_a_name_makes_another_stream),
        cmocka_unit_test(test_below_is_even_and_in_range),
        cmocka_unit_test(test_below_has_no_bias_where_n_is_large),
        cmocka_unit_test(test_uniform_and_normal_have_their_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
