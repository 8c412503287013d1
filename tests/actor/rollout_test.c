/* What the rollout makes of environments that behave: segments, credit, turns, streams. */
#include "actor/rollout.h"

#include <math.h>
#include <stdio.h>

#include "tests/actor/rollout_fixture.h"

static Fixture f;

static void test_a_segment_has_one_observation_more_than_steps(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 1, 4, SEGMENT_STEPS);
    run(&f, SEGMENT_STEPS, 1);
    assert_int_equal(f.num_sent, 1);
    assert_int_equal(f.sent[0]->num_steps, SEGMENT_STEPS);
    check_replay(&f); /* of all SEGMENT_STEPS + 1 */
    fixture_finish(&f);
}

/* 200 steps are 12 segments of 16, and one of 8. */
static void test_segments_are_full_but_for_the_last_of_an_episode(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 3, 12, SEGMENT_STEPS);
    run(&f, 500, NO_LIMIT);
    assert_int_equal(f.recorded, 1500);
    for (int i = 0; i < f.num_sent; i++) {
        int left = 200 - (int)f.sent[i]->first_step;
        assert_int_equal(f.sent[i]->num_steps, left < SEGMENT_STEPS ? left : SEGMENT_STEPS);
        assert_int_equal(f.sent[i]->end,
                         left <= SEGMENT_STEPS ? SEGMENT_TRUNCATED : SEGMENT_CONTINUES);
    }
    fixture_finish(&f);
}

static void test_segments_join_and_replay_bit_for_bit(void **state)
{
    (void)state;
    const char *env[][2] = {{"pendulum", ""},
                            {NAN_ENV, "terminate_at=37"},
                            {NAN_ENV, "truncate_at=16"},
                            {NAN_ENV, "limit=1"}};
    for (size_t i = 0; i < sizeof env / sizeof env[0]; i++) {
        fixture_start(&f, env[i][0], env[i][1], 3, 12, SEGMENT_STEPS);
        run(&f, 450, NO_LIMIT);
        run_out(&f);
        check_sent(&f, false);
        if (i > 0)
            check_replay(&f);
        fixture_finish(&f);
    }
}

static void test_an_episodes_last_observation_is_its_own_not_that_of_the_reset(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "terminate_at=5", 1, 4, SEGMENT_STEPS);
    run(&f, 10, 1);
    assert_int_equal(f.num_sent, 2);
    const Segment *first = f.sent[0];
    /* The environment echoes the action that arrived; a reset observes zeros there. */
    const float *end = last_obs(&f, first);
    float low = f.spec->action_low[0];
    float half = (f.spec->action_high[0] - low) / 2;
    const float *action = first->action + 4 * f.spec->act_dim;
    assert_true(fabsf(end[1] - (low + half * (1 + action[0]))) < 1e-5F);
    assert_true(fabsf(end[0] - (first->obs[4 * 3] + 0.1F * end[1])) < 1e-5F);
    assert_true(f.sent[1]->obs[1] == 0.0F);
    fixture_finish(&f);
}

static void test_termination_and_truncation_are_told_apart(void **state)
{
    (void)state;
    const struct {
        const char *options;
        SegmentEnd end;
        int steps;
    } cases[] = {{"terminate_at=7", SEGMENT_TERMINATED, 7},
                 {"truncate_at=5", SEGMENT_TRUNCATED, 5},
                 {"limit=6", SEGMENT_TRUNCATED, 6},
                 {"terminate_at=6,limit=6", SEGMENT_TERMINATED, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture_start(&f, NAN_ENV, cases[i].options, 2, 8, SEGMENT_STEPS);
        run(&f, 3 * cases[i].steps, NO_LIMIT);
        assert_int_equal(f.num_sent, 6);
        for (int s = 0; s < 6; s++) {
            assert_int_equal(f.sent[s]->num_steps, cases[i].steps);
            assert_int_equal(f.sent[s]->end, cases[i].end);
            assert_int_equal(f.sent[s]->episode, s / 2);
        }
        fixture_finish(&f);
    }
}

static void test_an_end_on_a_segments_last_step_is_not_lost(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "terminate_at=8", 1, 4, 4);
    run(&f, 16, 1);
    assert_int_equal(f.num_sent, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(f.sent[i]->end, i % 2 ? SEGMENT_TERMINATED : SEGMENT_CONTINUES);
    fixture_finish(&f);
}

static void test_a_segment_is_flushed_when_its_oldest_step_is_old_enough(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 1, 4, SEGMENT_STEPS);
    f.now_ms = 5000;
    run(&f, 2, 1);
    f.now_ms = 5099; /* a younger step does not make it younger */
    run(&f, 1, 1);
    rollout_flush(f.rollout, f.now_ms, false);
    assert_int_equal(outbox_unacked(&f.outbox), 0);
    rollout_flush(f.rollout, 5100, false);
    assert_int_equal(outbox_unacked(&f.outbox), 1);
    rollout_flush(f.rollout, 9999, false);
    assert_int_equal(outbox_unacked(&f.outbox), 1);
    take_segments(&f, 1);
    assert_int_equal(f.sent[0]->num_steps, 3);
    assert_int_equal(f.sent[0]->end, SEGMENT_CONTINUES);
    f.now_ms = 20000; /* the age counts from the next step */
    run(&f, 1, 1);
    rollout_flush(f.rollout, f.now_ms + 99, false);
    assert_int_equal(rollout_open_steps(f.rollout), 1);
    run_out(&f);
    check_sent(&f, false);
    fixture_finish(&f);
}

static void test_only_old_segments_are_flushed_and_all_of_them_on_demand(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 3, 12, SEGMENT_STEPS);
    step(&f, 1);
    f.now_ms += 60;
    step(&f, 2);
    f.now_ms += 60;
    assert_int_equal(rollout_open_steps(f.rollout), 3);
    rollout_flush(f.rollout, f.now_ms, false);
    assert_int_equal(rollout_open_steps(f.rollout), 2);
    take_segments(&f, 1);
    assert_int_equal(f.sent[0]->env_index, 0);
    rollout_flush(f.rollout, f.now_ms, true);
    assert_int_equal(rollout_open_steps(f.rollout), 0);
    assert_int_equal(outbox_unacked(&f.outbox), 2);
    rollout_flush(f.rollout, f.now_ms, true);
    assert_int_equal(outbox_unacked(&f.outbox), 2);
    take_segments(&f, 2);
    check_sent(&f, false);
    fixture_finish(&f);
}

static void test_exactly_the_credit_is_used(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 4, 16, SEGMENT_STEPS);
    for (uint64_t credit = 0; credit <= 7; credit++)
        assert_int_equal(step(&f, credit), credit < 4 ? credit : 4);
    assert_int_equal(step(&f, NO_LIMIT), 4);
    assert_int_equal(rollout_open_steps(f.rollout), f.recorded);
    fixture_finish(&f);
}

/* Steps of each environment that were taken so far: full and open segments. */
static void expect_steps_each(int steps)
{
    int count[LANES_MAX] = {0};
    run_out(&f);
    for (int i = 0; i < f.num_sent; i++)
        count[f.sent[i]->env_index] += f.sent[i]->num_steps;
    for (int i = 0; i < f.num_envs; i++)
        assert_int_equal(count[i], steps);
}

static void test_short_credit_goes_round(void **state)
{
    (void)state;
    for (uint64_t credit = 1; credit <= 5; credit++) {
        fixture_start(&f, "pendulum", "", 5, 20, SEGMENT_STEPS);
        run(&f, 50, credit);
        expect_steps_each(10 * (int)credit);
        check_sent(&f, false);
        fixture_finish(&f);
    }
    /* Uneven credit: 1 + 2 + 3 + 4, twenty times. */
    fixture_start(&f, "pendulum", "", 5, 20, SEGMENT_STEPS);
    for (int i = 0; i < 20; i++) {
        for (uint64_t credit = 1; credit <= 4; credit++)
            run(&f, 1, credit);
    }
    expect_steps_each(40);
    fixture_finish(&f);
}

static void test_what_an_environment_does_is_independent_of_the_turns(void **state)
{
    (void)state;
    static Fixture g;
    fixture_start(&f, NAN_ENV, "truncate_at=9", 3, 12, SEGMENT_STEPS);
    fixture_start(&g, NAN_ENV, "truncate_at=9", 3, 12, SEGMENT_STEPS);
    run(&f, 90, 3);
    run(&g, 135, 2);
    for (uint32_t lane = 0; lane < 3; lane++) {
        for (int n = 0; n < 10; n++) {
            const Segment *a = segment_of(&f, lane, n);
            const Segment *b = segment_of(&g, lane, n);
            assert_non_null(a);
            assert_non_null(b);
            assert_memory_equal(a->action, b->action, sizeof(float) * 9 * 2);
            assert_memory_equal(a->obs, b->obs, sizeof(float) * 10 * 3);
        }
    }
    fixture_finish(&f);
    fixture_finish(&g);
}

static void test_a_call_that_is_out_of_time_changes_nothing_of_what_is_recorded(void **state)
{
    (void)state;
    static Fixture slow;
    enum { ENVS = 3, ROUNDS = 200 };
    const char *options[] = {"terminate_at=37", "after=50"};
    for (int i = 0; i < 2; i++) {
        fixture_start(&f, NAN_ENV, options[i], ENVS, 12, SEGMENT_STEPS);
        fixture_start(&slow, NAN_ENV, options[i], ENVS, 12, SEGMENT_STEPS);
        slow.config.call_ns = 1; /* over after the first step */
        rollout_configure(slow.rollout, &slow.config);
        take_policy(&f, (Version){1, 1}, 0.1F);
        take_policy(&slow, (Version){1, 1}, 0.1F);
        while (f.recorded < ENVS * ROUNDS)
            run(&f, 1, ENVS * ROUNDS - f.recorded);
        while (slow.recorded < ENVS * ROUNDS) {
            assert_in_range(step(&slow, ENVS * ROUNDS - slow.recorded), 0, 1);
            take_segments(&slow, SEGMENTS_MAX);
        }
        run_out(&f);
        run_out(&slow);
        assert_true(f.num_sent > ENVS * ROUNDS / SEGMENT_STEPS);
        expect_equal_sent(&f, &slow);
        fixture_finish(&f);
        fixture_finish(&slow);
    }
}

static void test_a_segments_version_is_that_of_its_first_step(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 1, 8, 4);
    run(&f, 6, 1);
    take_policy(&f, (Version){2, 10}, 0.1F);
    run(&f, 4, 1);
    take_policy(&f, (Version){2, 20}, 0.2F);
    run(&f, 6, 1);
    const Version wanted[] = {{0, 0}, {0, 0}, {2, 10}, {2, 20}};
    assert_int_equal(f.num_sent, 4);
    for (int i = 0; i < 4; i++)
        assert_true(version_equal(f.sent[i]->version, wanted[i]));
    fixture_finish(&f);
}

/* Whether two short runs, that differ in the configuration alone, give the same bytes. */
static bool same_run(const RolloutConfig *a, const RolloutConfig *b, bool with_policy)
{
    static Fixture g[2];
    for (int i = 0; i < 2; i++) {
        fixture_start(&g[i], NAN_ENV, "terminate_at=10", 2, 8, SEGMENT_STEPS);
        g[i].config = i == 0 ? *a : *b;
        rollout_configure(g[i].rollout, &g[i].config);
        if (with_policy)
            take_policy(&g[i], (Version){1, 1}, 0.0F);
        run(&g[i], 20, NO_LIMIT);
        check_replay(&g[i]);
    }
    bool starts = true;
    bool actions = true;
    assert_int_equal(g[0].num_sent, 4);
    assert_int_equal(g[1].num_sent, 4);
    for (int s = 0; s < 4; s++) {
        starts = starts && g[0].sent[s]->obs[0] == g[1].sent[s]->obs[0];
        actions =
            actions && memcmp(g[0].sent[s]->action, g[1].sent[s]->action, sizeof(float) * 20) == 0;
    }
    fixture_finish(&g[0]);
    fixture_finish(&g[1]);
    assert_int_equal(starts, actions);
    return starts;
}

static void test_equal_names_give_equal_bytes_and_any_other_name_other_ones(void **state)
{
    (void)state;
    RolloutConfig base = {.seed = 5,
                          .actor_index = 3,
                          .incarnation = 2,
                          .segment_steps = SEGMENT_STEPS,
                          .segment_flush_ms = 100,
                          .explore = {.noise = NOISE_GAUSSIAN, .sigma = 0.1}};
    RolloutConfig seed = base;
    RolloutConfig actor = base;
    RolloutConfig incarnation = base;
    seed.seed = 6;
    actor.actor_index = 4;
    incarnation.incarnation = 3;
    for (int with_policy = 0; with_policy < 2; with_policy++) {
        assert_true(same_run(&base, &base, with_policy));
        assert_false(same_run(&base, &seed, with_policy));
        assert_false(same_run(&base, &actor, with_policy));
        assert_false(same_run(&base, &incarnation, with_policy));
    }
}

static void test_environments_and_episodes_start_apart(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 3, 12, 200);
    run(&f, 600, NO_LIMIT);
    assert_int_equal(f.num_sent, 9);
    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < i; j++)
            assert_true(f.sent[i]->obs[0] != f.sent[j]->obs[0]);
    }
    fixture_finish(&f);
}

static void test_without_a_policy_actions_are_uniform_numbers_of_the_episodes_stream(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 2, 8, 200);
    run(&f, 400, NO_LIMIT);
    assert_int_equal(f.num_sent, 4);
    for (int i = 0; i < 4; i++) {
        Rng rng = rng_stream(1, RNG_EXPLORE, 0, f.sent[i]->env_index, f.sent[i]->episode);
        for (int t = 0; t < 200; t++)
            assert_true(f.sent[i]->action[t] == (float)(2.0 * rng_uniform(&rng) - 1.0));
    }
    fixture_finish(&f);
}

/* A policy of zeros says 0: what is left is the noise, which begins again with each episode. */
static void test_noise_is_that_of_the_episodes_stream_and_starts_at_zero(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 2, 40, SEGMENT_STEPS);
    take_policy(&f, (Version){1, 1}, 0.0F);
    run(&f, 450, NO_LIMIT);
    Explore explore[2];
    for (int i = 0; i < f.num_sent; i++) {
        const Segment *segment = f.sent[i];
        uint32_t lane = segment->env_index;
        if (segment->first_step == 0)
            explore_reset(&explore[lane], rng_stream(1, RNG_EXPLORE, 0, lane, segment->episode), 1);
        for (int t = 0; t < segment->num_steps; t++) {
            float action = 0;
            explore_apply(&explore[lane], &f.config.explore, &action, 1);
            assert_true(segment->action[t] == action);
        }
    }
    fixture_finish(&f);
}

static void test_each_environment_gets_the_action_for_its_own_observation(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 4, 40, SEGMENT_STEPS);
    f.config.explore.sigma = 0;
    rollout_configure(f.rollout, &f.config);
    take_policy(&f, (Version){1, 1}, 0.2F);
    for (int i = 0; i < 300; i++)
        run(&f, 1, 1 + (uint64_t)i % 4);
    for (int i = 0; i < f.num_sent; i++) {
        const Segment *segment = f.sent[i];
        for (int t = 0; t < segment->num_steps; t++) {
            const float *obs = segment->obs + (size_t)t * 3;
            double wanted = tanh(0.2 * ((double)obs[0] + (double)obs[1] + (double)obs[2] + 1));
            assert_true(fabs((double)segment->action[t] - wanted) < 1e-5);
        }
    }
    assert_true(f.num_sent > 30);
    fixture_finish(&f);
}

static void test_actions_never_leave_the_bounds(void **state)
{
    (void)state;
    const Noise noise[] = {NOISE_GAUSSIAN, NOISE_OU};
    for (int i = 0; i < 2; i++) {
        int at_bound = 0;
        fixture_start(&f, NAN_ENV, "", 2, 8, SEGMENT_STEPS);
        f.config.explore.noise = noise[i];
        f.config.explore.sigma = 5;
        rollout_configure(f.rollout, &f.config);
        take_policy(&f, (Version){1, 1}, 1.0F);
        run(&f, 300, NO_LIMIT);
        check_sent(&f, false); /* looks at every action */
        for (int s = 0; s < f.num_sent; s++)
            at_bound += fabsf(f.sent[s]->action[0]) == 1.0F;
        assert_true(at_bound > 0);
        fixture_finish(&f);
    }
}

static void test_a_new_name_holds_from_the_next_episode_on(void **state)
{
    (void)state;
    fixture_start(&f, NAN_ENV, "terminate_at=10", 1, 8, 10);
    run(&f, 5, 1);
    f.config.incarnation = 7;
    rollout_configure(f.rollout, &f.config);
    run(&f, 15, 1);
    assert_int_equal(f.num_sent, 2);
    for (int i = 0; i < 2; i++) {
        Rng rng = rng_stream(1, RNG_EXPLORE, rng_actor_key(0, i == 0 ? 0 : 7), 0, (uint64_t)i);
        for (int t = 0; t < 20; t++)
            assert_true(f.sent[i]->action[t] == (float)(2.0 * rng_uniform(&rng) - 1.0));
    }
    check_sent(&f, false);
    fixture_finish(&f);
}

static void test_an_open_segment_that_is_too_long_now_is_closed_by_its_next_step(void **state)
{
    (void)state;
    fixture_start(&f, "pendulum", "", 1, 8, SEGMENT_STEPS);
    run(&f, 10, 1);
    f.config.segment_steps = 4;
    rollout_configure(f.rollout, &f.config);
    run(&f, 5, 1);
    assert_int_equal(f.num_sent, 2);
    assert_int_equal(f.sent[0]->num_steps, 11);
    assert_int_equal(f.sent[1]->num_steps, 4);
    check_sent(&f, false);
    fixture_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_segment_has_one_observation_more_than_steps),
        cmocka_unit_test(test_segments_are_full_but_for_the_last_of_an_episode),
        cmocka_unit_test(test_segments_join_and_replay_bit_for_bit),
        cmocka_unit_test(test_an_episodes_last_observation_is_its_own_not_that_of_the_reset),
        cmocka_unit_test(test_termination_and_truncation_are_told_apart),
        cmocka_unit_test(test_an_end_on_a_segments_last_step_is_not_lost),
        cmocka_unit_test(test_a_segment_is_flushed_when_its_oldest_step_is_old_enough),
        cmocka_unit_test(test_only_old_segments_are_flushed_and_all_of_them_on_demand),
        cmocka_unit_test(test_exactly_the_credit_is_used),
        cmocka_unit_test(test_short_credit_goes_round),
        cmocka_unit_test(test_what_an_environment_does_is_independent_of_the_turns),
        cmocka_unit_test(test_a_call_that_is_out_of_time_changes_nothing_of_what_is_recorded),
        cmocka_unit_test(test_a_segments_version_is_that_of_its_first_step),
        cmocka_unit_test(test_equal_names_give_equal_bytes_and_any_other_name_other_ones),
        cmocka_unit_test(test_environments_and_episodes_start_apart),
        cmocka_unit_test(test_without_a_policy_actions_are_uniform_numbers_of_the_episodes_stream),
        cmocka_unit_test(test_noise_is_that_of_the_episodes_stream_and_starts_at_zero),
        cmocka_unit_test(test_each_environment_gets_the_action_for_its_own_observation),
        cmocka_unit_test(test_actions_never_leave_the_bounds),
        cmocka_unit_test(test_a_new_name_holds_from_the_next_episode_on),
        cmocka_unit_test(test_an_open_segment_that_is_too_long_now_is_closed_by_its_next_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
