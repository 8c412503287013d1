/* The exploration noise against its definition, and the independence of its streams. */
#include "actor/explore.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { DRAWS = 100000, ACT_DIM = 3 };

static const ExploreConfig gaussian = {.noise = NOISE_GAUSSIAN, .sigma = 0.1};
static const ExploreConfig ou = {.noise = NOISE_OU, .sigma = 0.2, .ou_theta = 0.15, .ou_dt = 0.25};

static Explore explore;

static Rng stream(uint32_t actor, uint32_t incarnation, uint64_t env, uint64_t episode)
{
    return rng_stream(42, RNG_EXPLORE, rng_actor_key(actor, incarnation), env, episode);
}

static void begin(void)
{
    explore_reset(&explore, stream(0, 0, 0, 0), ACT_DIM);
}

static float apply_one(const ExploreConfig *config, float action)
{
    explore_apply(&explore, config, &action, 1);
    return action;
}

/* With a standard deviation of 0.1 hardly a draw is clipped: 10 of them are needed for that. */
static void test_gaussian_noise_has_the_mean_and_deviation_asked_for(void **state)
{
    (void)state;
    begin();
    double sum = 0;
    double squares = 0;
    double lag = 0;
    double before = 0;
    for (int i = 0; i < DRAWS; i++) {
        double noise = (double)apply_one(&gaussian, 0.0F);
        sum += noise;
        squares += noise * noise;
        lag += noise * before;
        before = noise;
    }
    double error = gaussian.sigma / sqrt(DRAWS);
    assert_true(fabs(sum / DRAWS) < 4 * error);
    assert_true(fabs(sqrt(squares / DRAWS) - gaussian.sigma) < 4 * error);
    /* One draw says nothing about the next. */
    assert_true(fabs(lag / DRAWS) < 4 * gaussian.sigma * error);
}

static void test_gaussian_noise_is_sigma_times_a_normal_number_per_dimension(void **state)
{
    (void)state;
    begin();
    Rng same = stream(0, 0, 0, 0);
    for (int i = 0; i < 100; i++) {
        float action[ACT_DIM] = {-0.3F, 0.0F, 0.4F};
        const float policy[ACT_DIM] = {-0.3F, 0.0F, 0.4F};
        explore_apply(&explore, &gaussian, action, ACT_DIM);
        for (int d = 0; d < ACT_DIM; d++)
            assert_true(action[d] == (float)((double)policy[d] + 0.1 * rng_normal(&same)));
    }
}

static void test_actions_are_clipped_at_the_bounds(void **state)
{
    (void)state;
    const ExploreConfig wide = {.noise = NOISE_GAUSSIAN, .sigma = 3};
    int low = 0;
    int high = 0;
    begin();
    for (int i = 0; i < 1000; i++) {
        float action = apply_one(&wide, 0.0F);
        assert_true(action >= -1.0F && action <= 1.0F);
        low += action == -1.0F;
        high += action == 1.0F;
    }
    /* A third of the draws lies beyond each side: P(N > 1/3) = 0.37. */
    assert_in_range(low, 300, 440);
    assert_in_range(high, 300, 440);
}

static void test_without_sigma_the_action_stays_as_it_is(void **state)
{
    (void)state;
    ExploreConfig none = gaussian;
    none.sigma = 0;
    begin();
    assert_true(apply_one(&none, 0.123F) == 0.123F);
    none = ou;
    none.sigma = 0;
    assert_true(apply_one(&none, -1.0F) == -1.0F);
}

/* x <- x - theta x dt + sigma sqrt(dt) N, and a + x is clipped, not x. */
static void test_ornstein_uhlenbeck_follows_its_recursion(void **state)
{
    (void)state;
    begin();
    Rng same = stream(0, 0, 0, 0);
    double x[ACT_DIM] = {0};
    int clipped = 0;
    for (int i = 0; i < 2000; i++) {
        float action[ACT_DIM] = {0.5F, 0.0F, -0.9F};
        const float policy[ACT_DIM] = {0.5F, 0.0F, -0.9F};
        explore_apply(&explore, &ou, action, ACT_DIM);
        for (int d = 0; d < ACT_DIM; d++) {
            x[d] = x[d] - 0.15 * x[d] * 0.25 + 0.2 * sqrt(0.25) * rng_normal(&same);
            double wanted = fmax(-1.0, fmin(1.0, (double)policy[d] + x[d]));
            clipped += fabs(wanted) == 1.0;
            assert_true(fabs((double)action[d] - wanted) < 1e-6);
        }
    }
    assert_true(clipped > 0);
}

/* The recursion is an AR(1) with a = 1 - theta dt, whose variance is sigma² dt / (1 - a²). */
static void test_ornstein_uhlenbeck_settles_at_its_variance(void **state)
{
    (void)state;
    const ExploreConfig slight = {.noise = NOISE_OU, .sigma = 0.02, .ou_theta = 0.15, .ou_dt = 1};
    double squares = 0;
    double lag = 0;
    double before = 0;
    begin();
    for (int i = 0; i < DRAWS; i++) {
        double noise = (double)apply_one(&slight, 0.0F);
        squares += noise * noise;
        lag += noise * before;
        before = noise;
    }
    double variance = 0.02 * 0.02 / (1 - 0.85 * 0.85);
    assert_true(fabs(squares / DRAWS / variance - 1) < 0.05);
    assert_true(fabs(lag / squares - 0.85) < 0.01);
}

static void test_a_reset_puts_the_noise_back_to_zero(void **state)
{
    (void)state;
    float first[ACT_DIM] = {0};
    float again[ACT_DIM] = {0};
    begin();
    explore_apply(&explore, &ou, first, ACT_DIM);
    for (int i = 0; i < 50; i++)
        explore_apply(&explore, &ou, (float[ACT_DIM]){0}, ACT_DIM);
    begin();
    for (int d = 0; d < ACT_DIM; d++)
        assert_true(explore.state[d] == 0);
    explore_apply(&explore, &ou, again, ACT_DIM);
    assert_memory_equal(first, again, sizeof first);
}

static void test_uniform_actions_cover_the_whole_range_evenly(void **state)
{
    (void)state;
    enum { BINS = 20 };
    int count[BINS] = {0};
    begin();
    for (int i = 0; i < DRAWS / ACT_DIM; i++) {
        float action[ACT_DIM];
        explore_uniform(&explore, action, ACT_DIM);
        for (int d = 0; d < ACT_DIM; d++) {
            assert_true(action[d] >= -1.0F && action[d] <= 1.0F);
            int bin = (int)(((double)action[d] + 1) * BINS / 2);
            count[bin < BINS ? bin : BINS - 1]++;
        }
    }
    for (int i = 0; i < BINS; i++)
        assert_in_range(count[i], DRAWS / BINS * 9 / 10, DRAWS / BINS * 11 / 10);
}

/* The first eight uniform actions of a stream. */
static void draw(Rng rng, float action[8])
{
    explore_reset(&explore, rng, 8);
    explore_uniform(&explore, action, 8);
}

static void test_streams_differ_by_environment_episode_and_incarnation_and_repeat(void **state)
{
    (void)state;
    enum { NUM_KEYS = 7 };
    const uint32_t key[NUM_KEYS][4] = {/* actor, incarnation, env, episode */
                                       {0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0},
                                       {0, 0, 0, 1}, {1, 1, 0, 0}, {0, 0, 1, 1}};
    float action[NUM_KEYS][8];
    for (int i = 0; i < NUM_KEYS; i++) {
        float again[8];
        draw(stream(key[i][0], key[i][1], key[i][2], key[i][3]), action[i]);
        draw(stream(key[i][0], key[i][1], key[i][2], key[i][3]), again);
        assert_memory_equal(action[i], again, sizeof again);
        for (int j = 0; j < i; j++) {
            for (int n = 0; n < 8; n++)
                assert_true(action[i][n] != action[j][n]);
        }
    }
}

static void test_all_dimensions_up_to_the_limit_have_noise_of_their_own(void **state)
{
    (void)state;
    float action[SPEC_ACT_DIM_MAX] = {0};
    explore_reset(&explore, stream(0, 0, 0, 0), SPEC_ACT_DIM_MAX);
    explore_apply(&explore, &ou, action, SPEC_ACT_DIM_MAX);
    for (int i = 0; i < SPEC_ACT_DIM_MAX; i++) {
        for (int j = 0; j < i; j++)
            assert_true(action[i] != action[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaussian_noise_has_the_mean_and_deviation_asked_for),
        cmocka_unit_test(test_gaussian_noise_is_sigma_times_a_normal_number_per_dimension),
        cmocka_unit_test(test_actions_are_clipped_at_the_bounds),
        cmocka_unit_test(test_without_sigma_the_action_stays_as_it_is),
        cmocka_unit_test(test_ornstein_uhlenbeck_follows_its_recursion),
        cmocka_unit_test(test_ornstein_uhlenbeck_settles_at_its_variance),
        cmocka_unit_test(test_a_reset_puts_the_noise_back_to_zero),
        cmocka_unit_test(test_uniform_actions_cover_the_whole_range_evenly),
        cmocka_unit_test(test_streams_differ_by_environment_episode_and_incarnation_and_repeat),
        cmocka_unit_test(test_all_dimensions_up_to_the_limit_have_noise_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
