/* The rollout with environments that work elsewhere: steps and resets that are in flight for a
 * while, that become ready in any order, and that are lost with their worker. */
#include "actor/rollout.h"

#include <stdio.h>

#include "common/clock.h"
#include "tests/actor/fake_worker.h"
#include "tests/actor/rollout_fixture.h"

enum { CALL_MS = 50, LOSSES = 1500 };

static Fixture f;
static FakeWorker worker;

static void start(int num_envs, int places, int segment_steps, int episode_steps)
{
    fixture_start_kind(&f, fake_kind(&worker, episode_steps), num_envs, places, segment_steps);
    f.config.call_ns = (int64_t)CALL_MS * 1000000;
    rollout_configure(f.rollout, &f.config);
}

static void finish(void)
{
    fixture_finish(&f);
    assert_int_equal(worker.num_in_flight, 0);
    assert_true(worker.closed);
}

static void hold_all(int hold)
{
    for (int i = 0; i < f.num_envs; i++)
        worker.instance[i].hold = hold;
}

static void test_all_that_have_credit_are_in_flight_at_once(void **state)
{
    (void)state;
    start(8, 32, SEGMENT_STEPS, 0);
    assert_int_equal(step(&f, NO_LIMIT), 8);
    assert_int_equal(worker.in_flight_max, 8);
    worker.in_flight_max = 0;
    assert_int_equal(step(&f, 5), 5);
    assert_int_equal(worker.in_flight_max, 5);
    assert_int_equal(rollout_open_steps(f.rollout), 13);
    finish();
}

static void test_what_is_not_ready_in_time_stays_in_flight_and_is_begun_once(void **state)
{
    (void)state;
    start(3, 12, SEGMENT_STEPS, 0);
    assert_int_equal(step(&f, NO_LIMIT), 3);
    hold_all(FAKE_FOREVER);
    for (int i = 0; i < 10; i++)
        assert_int_equal(step(&f, NO_LIMIT), 0);
    assert_false(rollout_is_blocked(f.rollout));
    for (int i = 0; i < 3; i++)
        assert_int_equal(worker.instance[i].steps_begun, 2);
    hold_all(0);
    assert_int_equal(step(&f, NO_LIMIT), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(worker.instance[i].steps_begun, 2);
    run_out(&f);
    check_sent(&f, false);
    check_replay(&f);
    finish();
}

static void test_a_call_waits_no_longer_than_its_time(void **state)
{
    (void)state;
    start(4, 16, SEGMENT_STEPS, 7);
    for (int i = 0; i < 50; i++) {
        hold_all(i % 3);
        step(&f, NO_LIMIT);
        take_segments(&f, SEGMENTS_MAX);
    }
    assert_in_range(worker.timeout_ms_max, 1, CALL_MS);
    assert_in_range(worker.timeout_ms_min, 0, CALL_MS);
    finish();
}

static void test_nothing_new_begins_while_something_is_in_flight(void **state)
{
    (void)state;
    start(4, 16, SEGMENT_STEPS, 0);
    step(&f, NO_LIMIT);
    worker.instance[1].hold = 2;
    assert_int_equal(step(&f, NO_LIMIT), 1);
    assert_int_equal(step(&f, NO_LIMIT), 0);
    assert_int_equal(worker.instance[0].steps_begun, 2);
    assert_int_equal(step(&f, NO_LIMIT), 3);
    assert_int_equal(worker.instance[0].steps_begun, 2);
    assert_int_equal(step(&f, NO_LIMIT), 4);
    finish();
}

static void test_the_order_of_readiness_changes_nothing_of_what_is_recorded(void **state)
{
    (void)state;
    enum { ENVS = 4, STEPS = 1200 };
    static Fixture ready;
    static FakeWorker ready_worker;
    fixture_start_kind(&ready, fake_kind(&ready_worker, 23), ENVS, 16, SEGMENT_STEPS);
    while (ready.recorded < STEPS)
        run(&ready, 1, STEPS - ready.recorded);
    run_out(&ready);

    start(ENVS, 16, SEGMENT_STEPS, 23);
    Rng rng = rng_stream(3, RNG_TEST, 0, 0, 0);
    while (f.recorded < STEPS) {
        worker.instance[rng_below(&rng, ENVS)].hold = (int)rng_below(&rng, 4);
        run(&f, 1, STEPS - f.recorded);
    }
    run_out(&f);
    expect_equal_sent(&ready, &f);
    check_replay(&f);
    finish();
    fake_worker = &ready_worker;
    fixture_finish(&ready);
}

static void test_credit_counts_what_is_in_flight(void **state)
{
    (void)state;
    start(4, 16, SEGMENT_STEPS, 0);
    step(&f, NO_LIMIT);
    hold_all(FAKE_FOREVER);
    assert_int_equal(step(&f, 3), 0);
    assert_int_equal(worker.num_in_flight, 3);
    assert_int_equal(step(&f, 4), 0);
    assert_int_equal(worker.num_in_flight, 3);
    hold_all(0);
    /* Less credit than what is in flight: the rest is recorded when there is more. */
    assert_int_equal(step(&f, 2), 2);
    assert_int_equal(step(&f, 0), 0);
    assert_int_equal(worker.num_in_flight, 1);
    assert_int_equal(step(&f, 4), 1);
    finish();
}

static void test_resets_are_in_flight_together_and_do_not_hold_up_the_others(void **state)
{
    (void)state;
    start(3, 12, SEGMENT_STEPS, 0);
    hold_all(FAKE_FOREVER);
    for (int i = 0; i < 5; i++)
        assert_int_equal(step(&f, NO_LIMIT), 0);
    assert_int_equal(worker.num_in_flight, 3);
    worker.instance[0].hold = 0;
    assert_int_equal(step(&f, NO_LIMIT), 1); /* its reset, and its first step */
    worker.instance[1].hold = 0;
    worker.instance[2].hold = 0;
    assert_int_equal(step(&f, NO_LIMIT), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(worker.instance[i].resets_begun, 1);
    run_out(&f);
    check_replay(&f);
    finish();
}

static void test_a_lost_step_ends_the_segment_at_the_last_good_observation(void **state)
{
    (void)state;
    const EnvFault faults[] = {ENV_FAULT_RAISED, ENV_FAULT_DIED, ENV_FAULT_HUNG};
    for (int i = 0; i < 3; i++) {
        start(2, 8, SEGMENT_STEPS, 0);
        for (int t = 0; t < 5; t++)
            assert_int_equal(step(&f, 2), 2);
        fake_lose(&worker, 1, faults[i]);
        assert_int_equal(step(&f, 2), 1);
        take_segments(&f, 1);
        assert_int_equal(f.sent[0]->env_index, 1);
        assert_int_equal(f.sent[0]->num_steps, 5);
        assert_int_equal(f.sent[0]->end, SEGMENT_TRUNCATED);
        assert_int_equal(rollout_dropped_steps(f.rollout), 1);
        assert_int_equal(rollout_faults(f.rollout)->count[faults[i]], 1);
        assert_int_equal(env_faults_sum(rollout_faults(f.rollout)), 1);
        assert_non_null(strstr(rollout_last_fault(f.rollout), "environment 1: worker: "));
        assert_non_null(strstr(rollout_last_fault(f.rollout), env_fault_name(faults[i])));
        assert_int_equal(step(&f, 2), 2);
        run_out(&f);
        assert_int_equal(segment_of(&f, 0, 0)->num_steps, 7);
        assert_int_equal(segment_of(&f, 1, 1)->episode, 1);
        assert_int_equal(segment_of(&f, 1, 1)->first_step, 0);
        check_sent(&f, true);
        finish();
    }
}

static void test_a_step_that_is_lost_as_it_begins_is_dropped_in_its_turn(void **state)
{
    (void)state;
    start(3, 12, SEGMENT_STEPS, 0);
    step(&f, 3);
    fake_lose(&worker, 1, ENV_FAULT_DIED);
    worker.instance[1].lose_begin = true;
    worker.instance[0].hold = 1;
    assert_int_equal(step(&f, 3), 0);
    assert_int_equal(rollout_dropped_steps(f.rollout), 0);
    assert_int_equal(step(&f, 3), 1);
    assert_int_equal(rollout_dropped_steps(f.rollout), 1);
    assert_int_equal(rollout_faults(f.rollout)->count[ENV_FAULT_DIED], 1);
    assert_int_equal(step(&f, 3), 3);
    run_out(&f);
    check_sent(&f, true);
    finish();
}

static void test_a_lost_start_is_counted_once_and_is_no_dropped_step(void **state)
{
    (void)state;
    start(2, 8, SEGMENT_STEPS, 0);
    fake_lose(&worker, 0, ENV_FAULT_HUNG);
    worker.instance[0].hold = 3;
    for (int i = 0; i < 4; i++)
        assert_int_equal(step(&f, 2), 0);
    assert_int_equal(rollout_dropped_steps(f.rollout), 0);
    assert_int_equal(rollout_faults(f.rollout)->count[ENV_FAULT_HUNG], 1);
    assert_int_equal(f.outbox.num_free, 8);
    fake_lose(&worker, 1, ENV_FAULT_DIED);
    worker.instance[1].lose_begin = worker.instance[1].in_flight == false;
    assert_int_equal(step(&f, 2), 1);
    assert_int_equal(step(&f, 2), 2);
    assert_int_equal(rollout_dropped_steps(f.rollout), 0);
    assert_int_equal(env_faults_sum(rollout_faults(f.rollout)), 2);
    assert_int_equal(worker.instance[0].resets_begun, 2);
    run_out(&f);
    check_sent(&f, true);
    finish();
}

/* An episode gets its number with its first step; a start that failed is not begun again. */
static void test_a_start_that_fails_takes_a_stream_and_no_number(void **state)
{
    (void)state;
    const int codes[] = {ERR_DIVERGED, ERR_LOST};
    for (int i = 0; i < 2; i++) {
        start(1, 4, SEGMENT_STEPS, 2);
        run(&f, 2, 1); /* episode 0 */
        for (int k = 0; k < 3; k++) {
            worker.instance[0].lose_code = codes[i];
            assert_int_equal(step(&f, 1), 0);
        }
        run(&f, 2, 1);
        run(&f, 1, 1);
        worker.instance[0].lose_code = codes[i]; /* the second step of episode 2 */
        assert_int_equal(step(&f, 1), 0);
        run(&f, 2, 1);
        run_out(&f);
        assert_int_equal(f.num_sent, 4);
        const uint64_t streams[] = {0, 4, 5, 6};
        for (int k = 0; k < 4; k++) {
            Rng rng = rng_stream(1, RNG_RESET, rng_actor_key(0, 0), 0, streams[k]);
            assert_int_equal(f.sent[k]->episode, k);
            assert_true(f.sent[k]->obs[0] == (float)(rng_u64(&rng) % 1000));
        }
        check_sent(&f, false);
        finish();
    }
}

/* The start is sound, and the first step is not. */
static void test_an_episode_whose_first_step_is_dropped_gets_no_number(void **state)
{
    (void)state;
    start(1, 4, SEGMENT_STEPS, 2);
    run(&f, 2, 1); /* episode 0 */
    worker.instance[0].lose_code = ERR_DIVERGED;
    worker.instance[0].lose_step = true;
    assert_int_equal(step(&f, 1), 0);
    assert_int_equal(rollout_dropped_steps(f.rollout), 1);
    assert_int_equal(step(&f, 1), 1);
    run_out(&f);
    assert_int_equal(f.num_sent, 2);
    Rng rng = rng_stream(1, RNG_RESET, rng_actor_key(0, 0), 0, 2);
    assert_int_equal(f.sent[1]->episode, 1);
    assert_true(f.sent[1]->obs[0] == (float)(rng_u64(&rng) % 1000));
    check_sent(&f, false);
    finish();
}

static void test_losses_go_on_until_the_backend_gives_up(void **state)
{
    (void)state;
    start(2, 8, SEGMENT_STEPS, 0);
    for (int i = 0; i < LOSSES; i++) {
        fake_lose(&worker, 0, i % 2 ? ENV_FAULT_DIED : ENV_FAULT_RAISED);
        step(&f, 2);
    }
    assert_int_equal(env_faults_sum(rollout_faults(f.rollout)), LOSSES);
    worker.instance[0].lose_code = ERR_ENV;
    assert_int_equal(rollout_step(f.rollout, &f.policy, 2, f.now_ms, &f.err), ERR_ENV);
    run_out(&f);
    finish();
}

static void test_all_lanes_of_a_worker_that_died_start_again(void **state)
{
    (void)state;
    start(4, 16, SEGMENT_STEPS, 0);
    for (int t = 0; t < 3; t++)
        step(&f, 4);
    for (int i = 0; i < 4; i++)
        fake_lose(&worker, i, ENV_FAULT_DIED);
    assert_int_equal(step(&f, 4), 0);
    assert_int_equal(rollout_faults(f.rollout)->count[ENV_FAULT_DIED], 4);
    hold_all(4); /* it is started again */
    int calls = 0;
    while (step(&f, 4) == 0)
        assert_true(++calls < 20);
    take_segments(&f, 4);
    assert_int_equal(f.num_sent, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(f.sent[i]->num_steps, 3);
        assert_int_equal(f.sent[i]->end, SEGMENT_TRUNCATED);
        assert_int_equal(worker.instance[i].resets_begun, 2);
    }
    run_out(&f);
    check_sent(&f, true);
    finish();
}

static void test_a_flush_leaves_a_step_in_flight_to_the_next_segment(void **state)
{
    (void)state;
    start(2, 8, SEGMENT_STEPS, 0);
    for (int t = 0; t < 4; t++)
        step(&f, 2);
    take_policy(&f, (Version){1, 7}, 0.1F);
    hold_all(FAKE_FOREVER);
    step(&f, 2);
    take_policy(&f, (Version){1, 8}, 0.2F);
    rollout_flush(f.rollout, f.now_ms, true);
    assert_int_equal(rollout_open_steps(f.rollout), 0);
    take_segments(&f, 2);
    assert_int_equal(f.num_sent, 2);
    assert_int_equal(f.sent[0]->end, SEGMENT_CONTINUES);
    rollout_flush(f.rollout, f.now_ms, true); /* there is nothing to flush twice */
    hold_all(0);
    assert_int_equal(step(&f, 2), 2);
    step(&f, 2);
    run_out(&f);
    assert_int_equal(f.num_sent, 4);
    /* The step was taken with the policy of its beginning. */
    assert_true(version_equal(segment_of(&f, 0, 1)->version, (Version){1, 7}));
    check_sent(&f, false);
    check_replay(&f);
    finish();
}

static void test_a_flush_keeps_a_segment_whose_next_step_has_no_other_place(void **state)
{
    (void)state;
    start(1, 2, 4, 0);
    for (int t = 0; t < 7; t++)
        step(&f, 1); /* one segment is full, the other has three steps */
    worker.instance[0].hold = FAKE_FOREVER;
    step(&f, 1);
    assert_int_equal(f.outbox.num_free, 0);
    rollout_flush(f.rollout, f.now_ms, true);
    assert_int_equal(rollout_open_steps(f.rollout), 3);
    worker.instance[0].hold = 0;
    assert_int_equal(step(&f, 1), 1);
    assert_int_equal(step(&f, 1), 0);
    assert_true(rollout_is_blocked(f.rollout));
    take_segments(&f, 1);
    assert_int_equal(step(&f, 1), 1);
    run_out(&f);
    check_sent(&f, false);
    finish();
}

static void test_a_stop_sends_what_is_recorded_and_forgets_what_is_in_flight(void **state)
{
    (void)state;
    start(3, 12, SEGMENT_STEPS, 0);
    for (int t = 0; t < 4; t++)
        step(&f, 3);
    hold_all(FAKE_FOREVER);
    worker.instance[0].hold = 0;
    assert_int_equal(step(&f, 3), 1);
    assert_int_equal(worker.num_in_flight, 2);
    rollout_stop(f.rollout);
    take_segments(&f, SEGMENTS_MAX);
    assert_int_equal(rollout_open_steps(f.rollout), 0);
    assert_int_equal(f.outbox.num_free, 12);
    assert_int_equal(segment_of(&f, 0, 0)->num_steps, 5);
    assert_int_equal(segment_of(&f, 1, 0)->num_steps, 4);
    check_sent(&f, false);
    check_replay(&f);
    finish(); /* destroys what is in flight */
}

/* One random life: whatever a worker does, no step is lost, none is made up. */
static void live(Rng *rng)
{
    int num_envs = 1 + (int)rng_below(rng, 6);
    int places = num_envs + (int)rng_below(rng, 5);
    int segment_steps = 1 + (int)rng_below(rng, 9);
    start(num_envs, places, segment_steps, (int)rng_below(rng, 30));
    for (int i = 0; i < 400; i++) {
        FakeInstance *instance = &worker.instance[rng_below(rng, (uint64_t)num_envs)];
        f.now_ms += (int64_t)rng_below(rng, 60);
        if (rng_below(rng, 3) == 0)
            instance->hold = (int)rng_below(rng, 4);
        if (rng_below(rng, 15) == 0) {
            instance->lose_code = rng_below(rng, 2) ? ERR_LOST : ERR_DIVERGED;
            instance->fault = ENV_FAULT_DIED;
            instance->lose_begin = instance->lose_code == ERR_LOST && rng_below(rng, 2);
        }
        if (rng_below(rng, 3) == 0)
            rollout_flush(f.rollout, f.now_ms, rng_below(rng, 4) == 0);
        uint64_t credit = rng_below(rng, (uint64_t)num_envs + 3);
        if (step(&f, credit) == 0 && rollout_is_blocked(f.rollout))
            assert_int_equal(f.outbox.num_free, 0);
        take_segments(&f, (int)rng_below(rng, 4));
    }
    take_segments(&f, SEGMENTS_MAX);
    rollout_stop(f.rollout);
    take_segments(&f, SEGMENTS_MAX);
    check_sent(&f, true);
    assert_int_equal(f.outbox.num_free, places);
    finish();
}

static void test_random_lives_lose_no_step(void **state)
{
    (void)state;
    const char *given = getenv("POLYAK_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < 300; i++) {
        Rng rng = rng_stream(seed, RNG_TEST, i, 1, 0);
        live(&rng);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_have_credit_are_in_flight_at_once),
        cmocka_unit_test(test_what_is_not_ready_in_time_stays_in_flight_and_is_begun_once),
        cmocka_unit_test(test_a_call_waits_no_longer_than_its_time),
        cmocka_unit_test(test_nothing_new_begins_while_something_is_in_flight),
        cmocka_unit_test(test_the_order_of_readiness_changes_nothing_of_what_is_recorded),
        cmocka_unit_test(test_credit_counts_what_is_in_flight),
        cmocka_unit_test(test_resets_are_in_flight_together_and_do_not_hold_up_the_others),
        cmocka_unit_test(test_a_lost_step_ends_the_segment_at_the_last_good_observation),
        cmocka_unit_test(test_a_step_that_is_lost_as_it_begins_is_dropped_in_its_turn),
        cmocka_unit_test(test_a_lost_start_is_counted_once_and_is_no_dropped_step),
        cmocka_unit_test(test_a_start_that_fails_takes_a_stream_and_no_number),
        cmocka_unit_test(test_an_episode_whose_first_step_is_dropped_gets_no_number),
        cmocka_unit_test(test_losses_go_on_until_the_backend_gives_up),
        cmocka_unit_test(test_all_lanes_of_a_worker_that_died_start_again),
        cmocka_unit_test(test_a_flush_leaves_a_step_in_flight_to_the_next_segment),
        cmocka_unit_test(test_a_flush_keeps_a_segment_whose_next_step_has_no_other_place),
        cmocka_unit_test(test_a_stop_sends_what_is_recorded_and_forgets_what_is_in_flight),
        cmocka_unit_test(test_random_lives_lose_no_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
