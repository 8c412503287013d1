/* The rollout with environments that misbehave, with an outbox that is full, and at random. */
#include "actor/rollout.h"

#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/actor/rollout_fixture.h"

enum { DROPS_IN_A_ROW = 1000 };

static Fixture f;

static void
test_a_step_that_is_not_finite_ends_the_segment_at_the_last_good_observation(void **state)
{
    (void)state;
    const char *const options[] = {"after=5", "reward_after=5", "diverge_after=5"};
    const EnvFault faults[] = {ENV_FAULT_NOT_FINITE, ENV_FAULT_NOT_FINITE, ENV_FAULT_DIVERGED};
    const char *const words[] = {"observation 0 is nan", "the reward is nan", "left the line"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        fixture_start(&f, NAN_ENV, options[i], 1, 4, SEGMENT_STEPS);
        for (int t = 0; t < 5; t++)
            assert_int_equal(step(&f, 1), 1);
        assert_int_equal(rollout_dropped_steps(f.rollout), 0);
        assert_string_equal(rollout_last_fault(f.rollout), "");
        assert_int_equal(step(&f, 1), 0);
        assert_int_equal(rollout_dropped_steps(f.rollout), 1);
        assert_int_equal(rollout_faults(f.rollout)->count[faults[i]], 1);
        assert_int_equal(env_faults_sum(rollout_faults(f.rollout)), 1);
        assert_non_null(strstr(rollout_last_fault(f.rollout), "environment 0: "));
        assert_non_null(strstr(rollout_last_fault(f.rollout), words[i]));
        take_segments(&f, 1);
        assert_int_equal(f.num_sent, 1);
        assert_int_equal(f.sent[0]->num_steps, 5);
        assert_int_equal(f.sent[0]->end, SEGMENT_TRUNCATED);
        assert_int_equal(rollout_open_steps(f.rollout), 0);
        assert_int_equal(step(&f, 1), 1); /* the next step begins an episode */
        run_out(&f);
        assert_int_equal(f.sent[1]->episode, 1);
        assert_int_equal(f.sent[1]->first_step, 0);
        assert_true(f.sent[1]->obs[1] == 0.0F);
        check_sent(&f, false);
        fixture_finish(&f);
    }
}

static void test_dropped_steps_are_no_part_of_what_is_recorded(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "after=3", 4, 16, SEGMENT_STEPS);
    run(&f, 96, 3);
    run_out(&f);
    /* Of four steps of an environment one is dropped. */
    assert_int_equal(f.recorded + rollout_dropped_steps(f.rollout), 288);
    assert_int_equal(f.recorded, 216);
    check_sent(&f, false);
    fixture_finish(&f);
}

static void test_a_drop_right_after_a_full_segment_sends_nothing_empty(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "after=8", 1, 2, 4);
    run(&f, 18, 1);
    assert_int_equal(rollout_dropped_steps(f.rollout), 2);
    assert_int_equal(f.num_sent, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(f.sent[i]->num_steps, 4);
        assert_int_equal(f.sent[i]->episode, i / 2);
        assert_int_equal(f.sent[i]->first_step, 4 * (i % 2));
    }
    assert_int_equal(f.outbox.num_free, 2); /* the place was given back */
    check_sent(&f, true);
    fixture_finish(&f);
}

static void test_a_drop_leaves_the_other_environments_alone(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "after=4", 2, 8, SEGMENT_STEPS);
    step(&f, 1); /* environment 0 is a step ahead */
    for (int i = 0; i < 3; i++)
        step(&f, 2);
    assert_int_equal(step(&f, 2), 1);
    assert_int_equal(rollout_dropped_steps(f.rollout), 1);
    assert_int_equal(rollout_open_steps(f.rollout), 4);
    assert_int_equal(step(&f, 2), 1); /* now the other one */
    run_out(&f);
    for (uint32_t lane = 0; lane < 2; lane++) {
        assert_int_equal(segment_of(&f, lane, 0)->num_steps, 4);
        assert_int_equal(segment_of(&f, lane, 0)->end, SEGMENT_TRUNCATED);
    }
    check_sent(&f, false);
    fixture_finish(&f);
}

static void test_a_thousand_dropped_steps_in_a_row_end_it(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "after=0", 1, 4, SEGMENT_STEPS);
    for (int i = 1; i < DROPS_IN_A_ROW; i++)
        assert_int_equal(step(&f, 1), 0);
    assert_int_equal(rollout_step(f.rollout, &f.policy, 1, 0, &f.err), ERR_ENV);
    assert_non_null(strstr(f.err.text, "1000 steps of environment 0 in a row"));
    assert_non_null(strstr(f.err.text, "observation 0 is")); /* and the last reason */
    assert_int_equal(rollout_dropped_steps(f.rollout), DROPS_IN_A_ROW);
    run_out(&f);
    assert_int_equal(f.num_sent, 0);
    fixture_finish(&f);
}

static void test_a_good_step_in_between_starts_the_count_again(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "after=1", 1, 4, SEGMENT_STEPS);
    run(&f, 2 * (DROPS_IN_A_ROW + 100), 1);
    assert_int_equal(rollout_dropped_steps(f.rollout), DROPS_IN_A_ROW + 100);
    check_sent(&f, false);
    fixture_finish(&f);
}

static void test_a_start_that_is_not_finite_is_tried_again_and_given_up_in_the_end(void **state)
{
    (void)state;
    fixture_start(&f, BAD_ENV, "fault=nan_reset", 2, 8, SEGMENT_STEPS);
    for (int i = 1; i < DROPS_IN_A_ROW; i++) {
        assert_int_equal(step(&f, 2), 0);
        assert_int_equal(rollout_dropped_steps(f.rollout), i);
        assert_false(rollout_is_blocked(f.rollout));
    }
    assert_int_equal(rollout_step(f.rollout, &f.policy, 2, 0, &f.err), ERR_ENV);
    assert_int_equal(f.outbox.num_free, 8);
    fixture_finish(&f);
}

static void test_an_environment_that_fails_ends_it_and_its_good_steps_remain(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "fail_after=3", 2, 8, SEGMENT_STEPS);
    for (int i = 0; i < 3; i++)
        assert_int_equal(step(&f, 2), 2);
    assert_int_equal(rollout_step(f.rollout, &f.policy, 2, 0, &f.err), ERR_ENV);
    assert_non_null(strstr(f.err.text, "broke"));
    run_out(&f);
    assert_int_equal(f.num_sent, 2);
    check_sent(&f, false);
    fixture_finish(&f);
}

/* What was recorded before it in the same call is in segments, and so must be told. */
static void test_a_failure_in_the_middle_of_a_call_is_told_by_the_next_one(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "fail_after=3", 2, 8, SEGMENT_STEPS);
    step(&f, 1); /* environment 0 is a step ahead, and environment 1 is the first from now on */
    for (int i = 0; i < 2; i++)
        assert_int_equal(step(&f, 2), 2);
    assert_int_equal(step(&f, 2), 1);
    assert_false(rollout_is_blocked(f.rollout));
    for (int i = 0; i < 2; i++) {
        f.err.text[0] = '\0';
        assert_int_equal(rollout_step(f.rollout, &f.policy, 2, 0, &f.err), ERR_ENV);
        assert_non_null(strstr(f.err.text, "broke"));
    }
    run_out(&f);
    check_sent(&f, false);
    assert_int_equal(f.recorded, 6);
    fixture_finish(&f);
}

static void test_an_environment_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Outbox outbox;
    Rollout *rollout = NULL;
    Err err;
    assert_int_equal(
        env_kind_open(&(EnvSetup){.name = BAD_ENV, .options = "fault=unequal"}, &kind, &err), 0);
    assert_int_equal(outbox_new(&outbox, 4, 1, 2, 4), 0);
    assert_int_equal(rollout_new(kind, 2, &outbox, &rollout, &err), ERR_ENV);
    assert_null(rollout);
    outbox_destroy(&outbox);
    env_kind_close(&kind);
}

static void test_a_full_outbox_stops_the_steps_and_drops_none(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "truncate_at=50", 2, 3, 4);
    /* Both environments fill a segment; there is one place for the two next ones. */
    for (int i = 0; i < 4; i++)
        assert_int_equal(step(&f, 2), 2);
    assert_false(rollout_is_blocked(f.rollout));
    assert_int_equal(step(&f, 2), 1);
    assert_true(rollout_is_blocked(f.rollout));
    for (int i = 0; i < 3; i++)
        assert_int_equal(step(&f, 2), 0);
    take_segments(&f, 1);
    assert_false(rollout_is_blocked(f.rollout));
    assert_int_equal(step(&f, 2), 2);
    assert_false(rollout_is_blocked(f.rollout));
    run(&f, 200, 2);
    run_out(&f);
    check_sent(&f, false);
    fixture_finish(&f);
}

static void test_a_rollout_that_was_never_acknowledged_holds_no_more_than_its_places(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "", 3, 9, 4);
    for (int i = 0; i < 100; i++)
        step(&f, NO_LIMIT);
    assert_true(rollout_is_blocked(f.rollout));
    assert_in_range(f.recorded, 6 * 4, 9 * 4);
    for (int i = 0; i < 100; i++)
        run(&f, 1, NO_LIMIT);
    assert_in_range(f.recorded, 3 * 100, 3 * 100 + 9 * 4);
    run_out(&f);
    check_sent(&f, false);
    fixture_finish(&f);
}

/* One random life of a rollout: whatever happens, no step is lost, none is made up. */
static void live(Rng *rng)
{
    static const char *const options[] = {"",        "terminate_at=11", "truncate_at=4",
                                          "limit=7", "after=6",         "reward_after=1",
                                          "limit=1", "after=8,limit=20"};
    int num_envs = 1 + (int)rng_below(rng, 6);
    int places = num_envs + (int)rng_below(rng, 5);
    int segment_steps = 1 + (int)rng_below(rng, 9);
    fixture_start(&f, NAN_ENV, options[rng_below(rng, sizeof options / sizeof options[0])],
                  num_envs, places, segment_steps);
    for (int i = 0; i < 300; i++) {
        f.now_ms += (int64_t)rng_below(rng, 60);
        if (rng_below(rng, 50) == 0)
            take_policy(&f, (Version){1, (uint64_t)i + 1}, 0.1F);
        if (rng_below(rng, 40) == 0) {
            f.config.segment_steps = 1 + (int)rng_below(rng, (uint64_t)segment_steps);
            rollout_configure(f.rollout, &f.config);
        }
        if (rng_below(rng, 3) == 0)
            rollout_flush(f.rollout, f.now_ms, rng_below(rng, 10) == 0);
        uint64_t credit = rng_below(rng, (uint64_t)num_envs + 3);
        if (step(&f, credit) == 0 && rollout_is_blocked(f.rollout))
            assert_int_equal(f.outbox.num_free, 0);
        take_segments(&f, (int)rng_below(rng, 4));
    }
    take_segments(&f, SEGMENTS_MAX);
    run_out(&f);
    check_sent(&f, true);
    assert_int_equal(f.outbox.num_free, places);
    fixture_finish(&f);
}

static void test_random_lives_lose_no_step(void **state)
{
    (void)state;
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < 200; i++) {
        Rng rng = rng_stream(seed, RNG_TEST, i, 0, 0);
        live(&rng);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_a_step_that_is_not_finite_ends_the_segment_at_the_last_good_observation),
        cmocka_unit_test(test_dropped_steps_are_no_part_of_what_is_recorded),
        cmocka_unit_test(test_a_drop_right_after_a_full_segment_sends_nothing_empty),
        cmocka_unit_test(test_a_drop_leaves_the_other_environments_alone),
        cmocka_unit_test(test_a_thousand_dropped_steps_in_a_row_end_it),
        cmocka_unit_test(test_a_good_step_in_between_starts_the_count_again),
        cmocka_unit_test(test_a_start_that_is_not_finite_is_tried_again_and_given_up_in_the_end),
        cmocka_unit_test(test_an_environment_that_fails_ends_it_and_its_good_steps_remain),
        cmocka_unit_test(test_a_failure_in_the_middle_of_a_call_is_told_by_the_next_one),
        cmocka_unit_test(test_an_environment_that_cannot_be_made_is_an_error),
        cmocka_unit_test(test_a_full_outbox_stops_the_steps_and_drops_none),
        cmocka_unit_test(test_a_rollout_that_was_never_acknowledged_holds_no_more_than_its_places),
        cmocka_unit_test(test_random_lives_lose_no_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
