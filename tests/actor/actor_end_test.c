/* An actor that ends by itself: after its steps, or with its lifetime. */
#include "actor/actor.h"

#include "common/clock.h"
#include "tests/actor/actor_fixture.h"

static void test_an_actor_ends_after_exactly_its_steps(void **state)
{
    (void)state;
    config.exit_after_steps = 21;
    start_and_welcome();
    while (hear_until(MESSAGE_SEGMENT) && steps < 21)
        say_ack(0, 0);
    say_ack(sequence, 0);
    assert_int_equal(hear_until(MESSAGE_BYE)->bye, BYE_FINISHED);
    assert_int_equal(steps, 21);
    assert_int_equal(join_actor(), ACTOR_ENDED);
}

static void test_an_actor_ends_with_its_lifetime_wherever_it_is(void **state)
{
    (void)state;
    config.max_lifetime_s = 1;
    int64_t begin_ms = clock_ms();
    start_actor(); /* is not answered */
    assert_int_equal(join_actor(), ACTOR_ENDED);
    assert_in_range(clock_ms() - begin_ms, 1000, 60000);
    while (fake_learner_hears(&learner, 20))
        continue;

    start_and_welcome();
    expect_steps(50);
    say_ack(sequence, 0);
    assert_int_equal(hear_until(MESSAGE_BYE)->bye, BYE_FINISHED);
    assert_int_equal(join_actor(), ACTOR_ENDED);
}

/* The steps in these segments are lost, and whoever started it must hear of it. */
static void test_an_actor_that_could_not_hand_over_has_failed(void **state)
{
    (void)state;
    config.exit_after_steps = 21;
    start_and_welcome();
    while (steps < 21)
        hear_until(MESSAGE_SEGMENT);
    say_ack(sequence - 1, 0);
    say_bye(BYE_RESTARTING); /* and nobody answers its next Hello */
    assert_int_equal(join_actor(), ERR_NET);
    assert_non_null(strstr(result_err.text, "1 segment ("));
}

/* The run has all the steps that it wants: what is left is nobody's loss. */
static void test_what_a_finished_run_does_not_want_is_no_failure(void **state)
{
    (void)state;
    config.exit_after_steps = 21;
    start_and_welcome();
    while (steps < 21)
        hear_until(MESSAGE_SEGMENT);
    say_bye(BYE_FINISHED);
    assert_int_equal(join_actor(), 0);
}

/* Somebody wants it gone now: it goes, as one that is told to stop. */
static void test_an_actor_that_is_stopped_while_it_hands_over_goes_at_once(void **state)
{
    (void)state;
    config.exit_after_steps = 21;
    start_and_welcome();
    while (steps < 21)
        hear_until(MESSAGE_SEGMENT);
    int64_t begin_ms = clock_ms();
    stop = 1;
    assert_int_equal(join_actor(), ERR_STOPPED);
    assert_in_range(clock_ms() - begin_ms, 0, 5000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_actor_ends_after_exactly_its_steps),
        CASE(test_an_actor_ends_with_its_lifetime_wherever_it_is),
        CASE(test_an_actor_that_could_not_hand_over_has_failed),
        CASE(test_what_a_finished_run_does_not_want_is_no_failure),
        CASE(test_an_actor_that_is_stopped_while_it_hands_over_goes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
