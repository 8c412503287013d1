/* What every built-in environment promises: equal seeds give equal episodes, instances do not know
 * of each other, a saved state is exact, and a picture shows the state. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#include "actor/envs/env_host.h"
#include "common/clock.h"
#include "common/rng.h"

enum { OBS_MAX = 8, STEPS = 300, STATE_MAX = 64 };

static uint64_t test_seed;

/* One step or reset as the caller sees it. */
typedef struct Seen {
    float obs[OBS_MAX];
    EnvOutcome outcome;
} Seen;

static Env *make(EnvKind *kind)
{
    Env *env = NULL;
    Err err = {""};
    assert_int_equal(env_new(kind, &env, &err), ERR_OK);
    return env;
}

static Seen begin(Env *env, uint64_t seed)
{
    Seen seen = {0};
    Err err = {""};
    if (env_reset(env, seed, seen.obs, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return seen;
}

/* A step with an action drawn from rng; at the episode's end the next one begins. */
static Seen step(Env *env, Rng *rng)
{
    Seen seen = {0};
    Err err = {""};
    float action = (float)(2.0 * rng_uniform(rng) - 1.0);
    if (env_step(env, &action, seen.obs, &seen.outcome, &err) != ERR_OK)
        fail_msg("%s", err.text);
    if (seen.outcome.end != SEGMENT_CONTINUES)
        begin(env, 5);
    return seen;
}

static void assert_seen_equal(const Seen *a, const Seen *b)
{
    assert_memory_equal(a->obs, b->obs, sizeof a->obs);
    assert_memory_equal(&a->outcome, &b->outcome, sizeof a->outcome);
}

static Rng actions(void)
{
    return rng_stream(test_seed, RNG_TEST, 0, 0, 0);
}

/* Runs `check` for every built-in. */
static void for_each_builtin(void (*check)(EnvKind *kind))
{
    for (const char *const *name = env_builtin_names(); *name; name++) {
        EnvKind *kind = NULL;
        Err err = {""};
        assert_int_equal(env_kind_open(&(EnvSetup){.name = *name, .options = ""}, &kind, &err),
                         ERR_OK);
        check(kind);
        env_kind_close(&kind);
    }
}

/* The second instance has an episode behind it, and steps in turn with a third. */
static void check_seeds(EnvKind *kind)
{
    Env *a = make(kind), *b = make(kind), *other = make(kind);
    Rng warm = rng_stream(test_seed, RNG_TEST, 1, 0, 0);
    begin(b, 99);
    begin(other, 98);
    for (int i = 0; i < 50; i++)
        step(b, &warm);
    Seen first = begin(a, 7), again = begin(b, 7), another = begin(b, 8);
    assert_seen_equal(&first, &again);
    assert_memory_not_equal(first.obs, another.obs, sizeof first.obs);

    begin(b, 7);
    Rng for_a = actions(), for_b = actions();
    for (int i = 0; i < STEPS; i++) {
        Seen one = step(a, &for_a), two = step(b, &for_b);
        assert_seen_equal(&one, &two);
        step(other, &warm);
    }
    env_destroy(&a);
    env_destroy(&b);
    env_destroy(&other);
}

static void test_an_episode_follows_from_its_seed_alone(void **state)
{
    (void)state;
    for_each_builtin(check_seeds);
}

static void check_state(EnvKind *kind)
{
    Env *a = make(kind), *b = make(kind);
    Rng rng = actions();
    char saved[STATE_MAX], after[2][STATE_MAX];
    Err err = {""};
    size_t bytes = env_state_bytes(a);
    assert_in_range(bytes, ENV_STATE_HOST_BYTES + 1, STATE_MAX);
    Seen last = begin(a, 3);
    for (int i = 0; i < 123; i++)
        last = step(a, &rng);
    assert_int_equal(env_state_get(a, saved, &err), ERR_OK);

    /* Into an instance that was never reset: the observation is that of the saved moment. */
    Seen seen = {0};
    assert_int_equal(env_state_set(b, saved, seen.obs, &err), ERR_OK);
    assert_memory_equal(seen.obs, last.obs, sizeof seen.obs);
    Rng for_a = rng, for_b = rng;
    for (int i = 0; i < STEPS; i++) {
        Seen one = step(a, &for_a), two = step(b, &for_b);
        assert_seen_equal(&one, &two);
    }
    assert_int_equal(env_state_get(a, after[0], &err), ERR_OK);
    assert_int_equal(env_state_get(b, after[1], &err), ERR_OK);
    assert_memory_equal(after[0], after[1], bytes);
    env_destroy(&a);
    env_destroy(&b);
}

static void test_a_saved_state_goes_on_bit_for_bit(void **state)
{
    (void)state;
    for_each_builtin(check_state);
}

/* The buffer has exactly the picture's bytes, so that a sanitizer sees a write beyond it. */
static uint8_t *picture(Env *env, int width, int height)
{
    Err err = {""};
    size_t bytes = 3 * (size_t)width * (size_t)height;
    uint8_t *rgb = malloc(bytes);
    assert_non_null(rgb);
    memset(rgb, 1, bytes); /* a colour that no environment draws */
    assert_int_equal(env_render(env, rgb, width, height, &err), ERR_OK);
    for (size_t i = 0; i < bytes; i++)
        assert_int_not_equal(rgb[i], 1);
    return rgb;
}

static void check_picture(EnvKind *kind)
{
    Env *env = make(kind);
    Rng rng = actions();
    begin(env, 3);
    const int sizes[][2] = {{1, 1}, {1, 50}, {50, 1}, {33, 64}, {64, 33}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        free(picture(env, sizes[i][0], sizes[i][1]));

    uint8_t *before = picture(env, 96, 96);
    uint8_t *same = picture(env, 96, 96);
    assert_memory_equal(before, same, 3 * 96 * 96);
    /* It may come back to where it was, but not stay there. */
    bool moved = false;
    for (int i = 0; i < 40; i++) {
        step(env, &rng);
        uint8_t *after = picture(env, 96, 96);
        moved = moved || memcmp(before, after, 3 * 96 * 96) != 0;
        free(after);
    }
    assert_true(moved);
    free(before);
    free(same);
    env_destroy(&env);
}

static void test_a_picture_of_any_size_shows_the_state(void **state)
{
    (void)state;
    for_each_builtin(check_picture);
}

/* The range, mean and standard deviation that observations have at reset. */
typedef struct Expected {
    const char *name;
    int obs;
    double low, high, mean, deviation;
} Expected;

static void test_episodes_start_where_the_originals_start(void **state)
{
    (void)state;
    const Expected expected[] = {
        {"pendulum", 0, -1, 1, 0, 0.7071}, /* the cosine of a uniform angle */
        {"pendulum", 1, -1, 1, 0, 0.7071},
        {"pendulum", 2, -1, 1, 0, 0.5774},
        {"mountain_car_continuous", 0, -0.6, -0.4, -0.5, 0.05774},
        {"mountain_car_continuous", 1, 0, 0, 0, 0},
        {"cartpole_swingup", 0, -0.07, 0.07, 0, 0.01},
        {"cartpole_swingup", 1, -1, -0.99, -1, 8.66e-5}, /* hanging */
        {"cartpole_swingup", 2, -0.07, 0.07, 0, 0.01},
        {"cartpole_swingup", 3, -0.07, 0.07, 0, 0.01},
        {"cartpole_swingup", 4, -0.07, 0.07, 0, 0.01},
    };
    enum { NUM_SEEDS = 20000 };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const Expected *e = &expected[i];
        EnvKind *kind = NULL;
        Err err = {""};
        assert_int_equal(env_kind_open(&(EnvSetup){.name = e->name, .options = ""}, &kind, &err),
                         ERR_OK);
        Env *env = make(kind);
        double sum = 0.0, squares = 0.0;
        for (uint64_t seed = 0; seed < NUM_SEEDS; seed++) {
            double x = (double)begin(env, seed).obs[e->obs];
            assert_true(x >= e->low - 1e-6 && x <= e->high + 1e-6);
            sum += x;
            squares += (x - e->mean) * (x - e->mean);
        }
        /* Five standard errors of the mean, and 5 % of the deviation. */
        double slack = 5.0 * e->deviation / sqrt(NUM_SEEDS) + 1e-4;
        double deviation = sqrt(squares / NUM_SEEDS);
        if (fabs(sum / NUM_SEEDS - e->mean) > slack ||
            fabs(deviation - e->deviation) > 0.05 * e->deviation + 1e-5)
            fail_msg("%s: observation %d starts at %g ± %g", e->name, e->obs, sum / NUM_SEEDS,
                     deviation);
        env_destroy(&env);
        env_kind_close(&kind);
    }
}

static void test_the_cartpole_stays_on_its_rail_and_its_reward_in_0_to_1(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Err err = {""};
    assert_int_equal(
        env_kind_open(&(EnvSetup){.name = "cartpole_swingup", .options = ""}, &kind, &err), ERR_OK);
    Env *env = make(kind);
    Rng rng = actions();
    for (uint64_t episode = 0; episode < 20; episode++) {
        Seen seen = begin(env, episode);
        float push = 1.0f;
        while (seen.outcome.end == SEGMENT_CONTINUES) {
            if (rng_below(&rng, 40) == 0)
                push = -push;
            assert_int_equal(env_step(env, &push, seen.obs, &seen.outcome, &err), ERR_OK);
            assert_true(seen.outcome.reward >= 0.0f && seen.outcome.reward <= 1.0f);
            assert_true(fabsf(seen.obs[0]) < 2.5f); /* the ends at 1.8 m are soft */
        }
        assert_int_equal(seen.outcome.end, SEGMENT_TRUNCATED);
    }
    env_destroy(&env);
    env_kind_close(&kind);
}

static EnvKind *open_kind(const char *name, const char *options)
{
    EnvKind *kind = NULL;
    Err err = {""};
    assert_int_equal(env_kind_open(&(EnvSetup){.name = name, .options = options}, &kind, &err),
                     ERR_OK);
    return kind;
}

static void test_a_slow_step_takes_its_time_and_is_the_same_step(void **state)
{
    (void)state;
    enum { SLOW_STEPS = 10, STEP_MS = 2 };
    for (const char *const *name = env_builtin_names(); *name; name++) {
        EnvKind *kinds[] = {open_kind(*name, ""), open_kind(*name, "step_ms=2"),
                            open_kind(*name, "step_ms=0")};
        Env *env = make(kinds[0]), *slow = make(kinds[1]), *zero = make(kinds[2]);
        assert_true(spec_equal(env_kind_spec(kinds[0]), env_kind_spec(kinds[1])));
        assert_int_equal(env_state_bytes(env), env_state_bytes(slow));
        Seen one = begin(env, 4), two = begin(slow, 4);
        assert_seen_equal(&one, &two);
        begin(zero, 4);
        Rng for_env = actions(), for_slow = actions(), for_zero = actions();
        int64_t begin_ns = clock_ns();
        for (int i = 0; i < SLOW_STEPS; i++) {
            one = step(env, &for_env), two = step(slow, &for_slow);
            Seen three = step(zero, &for_zero);
            assert_seen_equal(&one, &two);
            assert_seen_equal(&one, &three);
        }
        assert_true(clock_ns() - begin_ns >= SLOW_STEPS * STEP_MS * INT64_C(1000000));
        env_destroy(&env);
        env_destroy(&slow);
        env_destroy(&zero);
        for (int i = 0; i < 3; i++)
            env_kind_close(&kinds[i]);
    }
}

static void on_alarm(int number)
{
    (void)number;
}

static void test_a_signal_ends_the_wait_of_a_slow_step(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    EnvKind *kind = open_kind("pendulum", "step_ms=3600000");
    Env *env = make(kind);
    begin(env, 1);
    const struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    Rng rng = actions();
    setitimer(ITIMER_REAL, &soon, NULL);
    int64_t begin_ms = clock_ms();
    step(env, &rng);
    assert_in_range(clock_ms() - begin_ms, 15, 60000);
    env_destroy(&env);
    env_kind_close(&kind);
}

int main(void)
{
    const char *given = getenv("POLYAK_TEST_SEED");
    test_seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu (POLYAK_TEST_SEED repeats it)\n", (unsigned long long)test_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_episode_follows_from_its_seed_alone),
        cmocka_unit_test(test_a_saved_state_goes_on_bit_for_bit),
        cmocka_unit_test(test_a_picture_of_any_size_shows_the_state),
        cmocka_unit_test(test_episodes_start_where_the_originals_start),
        cmocka_unit_test(test_the_cartpole_stays_on_its_rail_and_its_reward_in_0_to_1),
        cmocka_unit_test(test_a_slow_step_takes_its_time_and_is_the_same_step),
        cmocka_unit_test(test_a_signal_ends_the_wait_of_a_slow_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
