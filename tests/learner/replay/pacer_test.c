/* The pacer: counts against the formula, and a learner and actors that keep to it always reach the
 * end. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "learner/replay/pacer.h"

/* Does all the updates that may be done; returns how many are done then. */
static uint64_t work_off(const Pacer *pacer, uint64_t env_steps, uint64_t updates)
{
    while (pacer_may_update(pacer, env_steps, updates))
        updates++;
    return updates;
}

/* The formula: U is the least whole number with U >= ratio (S - W), once S >= max(W, batch). */
static uint64_t updates_due(const Pacer *pacer, uint64_t env_steps)
{
    uint64_t steps = env_steps - pacer->env_steps_start;
    uint64_t least =
        pacer->warmup_env_steps > pacer->batch ? pacer->warmup_env_steps : pacer->batch;
    if (steps < least)
        return pacer->updates_start;
    double due = pacer->ratio * (double)(steps - pacer->warmup_env_steps);
    uint64_t whole = (uint64_t)due;
    return pacer->updates_start + whole + ((double)whole < due);
}

static void test_updates_follow_the_formula(void **state)
{
    (void)state;
    static const double ratios[] = {0.001, 0.5, 1, 2, 1.0 / 3};
    for (size_t i = 0; i < sizeof ratios / sizeof ratios[0]; i++) {
        Pacer pacer = {
            .total_env_steps = 5000, .warmup_env_steps = 100, .batch = 64, .ratio = ratios[i]};
        uint64_t updates = 0;
        for (uint64_t steps = 0; steps <= pacer.total_env_steps; steps += 7) {
            uint64_t due = updates_due(&pacer, steps);
            assert_int_equal(pacer_updates_owed(&pacer, steps, updates), due - updates);
            updates = work_off(&pacer, steps, updates);
            assert_int_equal(updates, due);
            assert_int_equal(pacer_updates_owed(&pacer, steps, updates), 0);
            assert_int_equal(pacer_steps_ahead(&pacer, steps, updates), 0);
        }
    }
}

static void test_one_update_for_each_step_after_the_warm_up(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000, .warmup_env_steps = 200, .batch = 64, .ratio = 1};
    assert_false(pacer_may_update(&pacer, 200, 0));
    assert_true(pacer_may_update(&pacer, 201, 0));
    assert_false(pacer_may_update(&pacer, 201, 1));
    assert_int_equal(work_off(&pacer, 1000, 0), 800);
    assert_false(pacer_warmed_up(&pacer, 199));
    assert_true(pacer_warmed_up(&pacer, 200));
}

static void test_a_batch_larger_than_the_warm_up_is_waited_for(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000, .warmup_env_steps = 10, .batch = 256, .ratio = 1};
    assert_false(pacer_may_update(&pacer, 255, 0));
    assert_int_equal(pacer_updates_owed(&pacer, 255, 0), 0);
    assert_int_equal(work_off(&pacer, 256, 0), 246); /* what the steps since the warm-up owe */
    assert_true(pacer_warmed_up(&pacer, 10));
    /* Until then actors may go on: nothing is owed. */
    assert_int_equal(pacer_grant_limit(&pacer, 200, 0, 50), 250);
}

static void test_with_ratio_0_both_sides_run_free(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000, .warmup_env_steps = 100, .batch = 64, .ratio = 0};
    assert_false(pacer_may_update(&pacer, 99, 0));
    assert_true(pacer_may_update(&pacer, 100, 0));
    assert_true(pacer_may_update(&pacer, 999, UINT64_C(1000000)));
    assert_false(pacer_may_update(&pacer, 1000, 0)); /* the run ends */
    assert_true(pacer_finished(&pacer, 1000, 0));
    assert_int_equal(pacer_updates_owed(&pacer, 500, 0), 0);
    assert_int_equal(pacer_grant_limit(&pacer, 500, 0, 64), 564);
}

static void test_grants_stay_within_the_window_and_the_total(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000, .warmup_env_steps = 100, .batch = 64, .ratio = 1};
    assert_int_equal(pacer_grant_limit(&pacer, 0, 0, 50), 50);
    assert_int_equal(pacer_grant_limit(&pacer, 150, 0, 50), 150); /* nothing worked off */
    assert_int_equal(pacer_steps_ahead(&pacer, 150, 0), 50);
    assert_int_equal(pacer_grant_limit(&pacer, 150, 30, 50), 180);
    assert_int_equal(pacer_grant_limit(&pacer, 150, 50, 50), 200);
    assert_int_equal(pacer_grant_limit(&pacer, 990, 890, 50), 1000);
}

static void test_the_window_grows_with_the_fleet(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000};
    assert_int_equal(pacer_window(&pacer, 1, 64), 1024);
    assert_int_equal(pacer_window(&pacer, 100, 64), 12800);
    pacer.window_env_steps = 16;
    assert_int_equal(pacer_window(&pacer, 100, 64), 16);
}

static void test_a_resumed_run_counts_from_where_it_began(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000,
                   .warmup_env_steps = 100,
                   .batch = 64,
                   .ratio = 1,
                   .env_steps_start = 500,
                   .updates_start = 380};
    assert_false(pacer_warmed_up(&pacer, 599));
    assert_false(pacer_may_update(&pacer, 600, 380)); /* the replay is empty: another warm-up */
    assert_int_equal(work_off(&pacer, 1000, 380), 780);
    assert_int_equal(pacer_grant_limit(&pacer, 500, 380, 64), 564);
    assert_false(pacer_finished(&pacer, 1000, 779));
    assert_true(pacer_finished(&pacer, 1000, 780));
}

static void test_a_run_that_is_too_short_for_an_update_ends(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000,
                   .warmup_env_steps = 100,
                   .batch = 64,
                   .ratio = 1,
                   .env_steps_start = 950,
                   .updates_start = 850};
    assert_true(pacer_finished(&pacer, 1000, 850));
    pacer.env_steps_start = 1000;
    assert_true(pacer_finished(&pacer, 1000, 850));
    pacer.total_env_steps = 900; /* lowered on resume */
    assert_true(pacer_finished(&pacer, 1000, 850));
    assert_int_equal(pacer_grant_limit(&pacer, 1000, 850, 64), 900);
}

static Pacer draw_pacer(Rng *rng)
{
    static const double ratios[] = {0.001, 0.01, 0.3, 0.5, 1, 2, 7.7};
    Pacer pacer = {.env_steps_start = rng_below(rng, 3) == 0 ? rng_below(rng, 1000) : 0,
                   .warmup_env_steps = rng_below(rng, 300),
                   .batch = 1 + rng_below(rng, 400),
                   .ratio = ratios[rng_below(rng, 7)],
                   .window_env_steps = rng_below(rng, 2) == 0 ? 1 + rng_below(rng, 100) : 0};
    pacer.updates_start = pacer.env_steps_start > 0 ? rng_below(rng, 1000) : 0;
    pacer.total_env_steps = pacer.env_steps_start + 1 + rng_below(rng, 2000);
    return pacer;
}

/* Grants, steps and updates in any order: as long as each side does what it may, the run ends, with
 * exactly all steps and all updates that are owed. */
static void run_to_the_end(uint64_t seed)
{
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    Pacer pacer = draw_pacer(&rng);
    uint64_t window = pacer_window(&pacer, 1 + rng_below(&rng, 10), 8);
    uint64_t granted = pacer.env_steps_start;
    uint64_t steps = pacer.env_steps_start;
    uint64_t updates = pacer.updates_start;
    while (!pacer_finished(&pacer, steps, updates)) {
        uint64_t limit = pacer_grant_limit(&pacer, steps, updates, window);
        bool may_update = pacer_may_update(&pacer, steps, updates);
        if (granted >= limit && steps == granted && !may_update)
            fail_msg("seed %" PRIu64 ": nobody may do anything at %" PRIu64 " steps", seed, steps);
        if (limit > pacer.total_env_steps)
            fail_msg("seed %" PRIu64 ": %" PRIu64 " steps may be granted", seed, limit);
        switch (rng_below(&rng, 3)) {
        case 0:
            if (granted < limit)
                granted += 1 + rng_below(&rng, limit - granted);
            break;
        case 1:
            if (steps < granted)
                steps += 1 + rng_below(&rng, granted - steps);
            break;
        default:
            updates += may_update;
            break;
        }
    }
    if (steps != pacer.total_env_steps || updates != updates_due(&pacer, steps))
        fail_msg("seed %" PRIu64 ": ended at %" PRIu64 " steps and %" PRIu64 " of %" PRIu64
                 " updates",
                 seed, steps, updates, updates_due(&pacer, steps));
}

static void test_every_order_of_work_reaches_the_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++)
        run_to_the_end(seed);
}

static void test_another_ratio_counts_from_the_change_on(void **state)
{
    (void)state;
    static const uint64_t warm_ups[] = {0, 100};
    for (size_t i = 0; i < sizeof warm_ups / sizeof warm_ups[0]; i++) {
        Pacer pacer = {
            .total_env_steps = 10000, .warmup_env_steps = warm_ups[i], .batch = 64, .ratio = 1};
        uint64_t updates = work_off(&pacer, 1000, 0);
        assert_int_equal(updates, 1000 - warm_ups[i]);
        pacer_set_ratio(&pacer, 0.5, 1000, updates);
        assert_int_equal(pacer_updates_owed(&pacer, 1000, updates), 0);
        assert_int_equal(pacer_updates_owed(&pacer, 1010, updates), 5);
        updates = work_off(&pacer, 1100, updates);
        assert_int_equal(updates, 1000 - warm_ups[i] + 50);
        /* With work left, it is owed at the new ratio. */
        pacer_set_ratio(&pacer, 2, 1200, updates);
        assert_int_equal(pacer_steps_ahead(&pacer, 1200, updates), 100);
        assert_int_equal(pacer_updates_owed(&pacer, 1200, updates), 200);
        pacer_set_ratio(&pacer, 0, 1200, updates);
        assert_int_equal(pacer_updates_owed(&pacer, 1200, updates), 0);
        pacer_set_ratio(&pacer, 1, 1300, updates);
        assert_int_equal(pacer_updates_owed(&pacer, 1301, updates), 1);
    }
}

static void test_another_ratio_in_the_warm_up_leaves_the_warm_up(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 1000, .warmup_env_steps = 200, .batch = 64, .ratio = 1};
    pacer_set_ratio(&pacer, 0.5, 100, 0);
    assert_false(pacer_may_update(&pacer, 199, 0));
    assert_int_equal(work_off(&pacer, 400, 0), 100);
}

static void test_a_debt_beyond_the_window_can_be_dropped(void **state)
{
    (void)state;
    Pacer pacer = {.total_env_steps = 10000, .warmup_env_steps = 100, .batch = 64, .ratio = 2};
    uint64_t updates = work_off(&pacer, 1000, 0);
    assert_int_equal(pacer_drop_debt(&pacer, 1300, updates, 300), 0);
    assert_int_equal(pacer_updates_owed(&pacer, 1300, updates), 600);
    assert_int_equal(pacer_drop_debt(&pacer, 1300, updates, 50), 500);
    assert_int_equal(pacer_updates_owed(&pacer, 1300, updates), 100);
    assert_int_equal(pacer_steps_ahead(&pacer, 1300, updates), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates_follow_the_formula),
        cmocka_unit_test(test_one_update_for_each_step_after_the_warm_up),
        cmocka_unit_test(test_a_batch_larger_than_the_warm_up_is_waited_for),
        cmocka_unit_test(test_with_ratio_0_both_sides_run_free),
        cmocka_unit_test(test_grants_stay_within_the_window_and_the_total),
        cmocka_unit_test(test_the_window_grows_with_the_fleet),
        cmocka_unit_test(test_a_resumed_run_counts_from_where_it_began),
        cmocka_unit_test(test_a_run_that_is_too_short_for_an_update_ends),
        cmocka_unit_test(test_every_order_of_work_reaches_the_end),
        cmocka_unit_test(test_another_ratio_counts_from_the_change_on),
        cmocka_unit_test(test_another_ratio_in_the_warm_up_leaves_the_warm_up),
        cmocka_unit_test(test_a_debt_beyond_the_window_can_be_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
