/* The spool: what an actor may do that lost its learner. */
#include "tests/actor/uplink_fixture.h"

enum { SPOOL = 5, STEPS = 2 };

/* Ten steps of credit are used up in five segments, of which the learner has taken two. */
static void use_credit_and_lose_learner(void)
{
    uplink.spool_segments = SPOOL;
    connect_first(NO_LIMIT, 10);
    send_segments(5, STEPS);
    uplink_count_steps(&uplink, 10);
    receive_ack(2, NO_LIMIT, 10);
    assert_int_equal(uplink_credit(&uplink), 0);
    lose_learner();
    expect_nothing();
    assert_int_equal(uplink.state, UPLINK_CONNECTING);
}

static const char *why_wait(void)
{
    return uplink_why_wait(&uplink, (Version){1, 5}, now_ms, now_ms);
}

static void test_without_a_spool_a_lost_learner_is_waited_for(void **state)
{
    (void)state;
    connect_first(NO_LIMIT, 10);
    lose_learner();
    expect_nothing();
    assert_false(uplink_spools(&uplink));
    assert_int_equal(uplink_credit(&uplink), 0);
    assert_string_equal(why_wait(), "waiting for the learner");
}

static void test_a_learner_that_never_was_there_is_waited_for(void **state)
{
    (void)state;
    uplink.spool_segments = SPOOL;
    expect_hello(&first_session, 1);
    assert_false(uplink_spools(&uplink));
    assert_int_equal(uplink_credit(&uplink), 0);
}

static void test_in_lockstep_there_is_no_spool(void **state)
{
    (void)state;
    use_credit_and_lose_learner();
    uplink.welcome.sync = true;
    assert_false(uplink_spools(&uplink));
    assert_int_equal(uplink_credit(&uplink), 0);
}

static void test_a_connected_actor_takes_no_step_beyond_its_credit(void **state)
{
    (void)state;
    uplink.spool_segments = SPOOL;
    connect_first(NO_LIMIT, 10);
    uplink_count_steps(&uplink, 10);
    assert_false(uplink_spools(&uplink));
    assert_int_equal(uplink_credit(&uplink), 0);
}

/* Every step may end an episode, and with it a segment. */
static void test_a_lost_learner_leaves_as_many_steps_as_there_are_places_in_the_spool(void **state)
{
    (void)state;
    use_credit_and_lose_learner();
    assert_true(uplink_spools(&uplink));
    assert_int_equal(uplink_credit(&uplink), SPOOL - 3);
    assert_null(why_wait());
    close_segments(SPOOL - 3, STEPS);
    assert_int_equal(uplink_credit(&uplink), 0);
    assert_non_null(strstr(why_wait(), "the spool is full"));
    expect_hello(&first_session, 3);
    assert_int_equal(uplink_credit(&uplink), 0);
}

static void test_a_policy_that_is_too_old_ends_the_spooling(void **state)
{
    (void)state;
    use_credit_and_lose_learner();
    uplink.welcome.policy_age_s_max = 2;
    assert_null(uplink_why_wait(&uplink, (Version){1, 5}, now_ms - 2000, now_ms));
    assert_non_null(strstr(uplink_why_wait(&uplink, (Version){1, 5}, now_ms - 2001, now_ms),
                           "policy_age_s_max"));
}

/* The learner took the credit back, and has granted less than what was taken meanwhile. */
static void test_a_learner_that_is_back_gets_all_before_it_gives_new_credit(void **state)
{
    (void)state;
    use_credit_and_lose_learner();
    close_segments(2, STEPS);
    uplink_count_steps(&uplink, 4);
    expect_hello(&first_session, 3);
    assert_int_equal(message.hello.acked_steps, 4);
    receive_welcome(3, 5, 6 + 2);
    assert_false(uplink_spools(&uplink));
    assert_int_equal(uplink_credit(&uplink), 0);
    expect_segment(4);
    expect_segment(5);
    expect_nothing();
    receive_ack(5, 9, 10 + 2);
    assert_int_equal(uplink_credit(&uplink), 0);
    expect_segment(6);
    expect_segment(7);
    expect_nothing();
    receive_ack(7, 12, 14);
    assert_int_equal(uplink_credit(&uplink), 0);
    receive_ack(7, 12, 17);
    assert_int_equal(uplink_credit(&uplink), 3);
    assert_int_equal(uplink.lost_segments, 0);
}

static void test_what_was_spooled_stays_where_the_session_is_forgotten(void **state)
{
    (void)state;
    use_credit_and_lose_learner();
    close_segments(2, STEPS);
    uplink_count_steps(&uplink, 4);
    expect_hello(&first_session, 3);
    receive_reject(REJECT_SESSION_EXPIRED);
    assert_int_equal(uplink.lost_segments, 3); /* the learner may have them */
    assert_int_equal(uplink.lost_steps, 6);
    assert_int_equal(uplink.steps_taken, 4);
    assert_int_equal(uplink_credit(&uplink), SPOOL - 2);
    expect_hello(&fresh_session, 1);
    receive_welcome(0, 10, 8);
    expect_segment(1);
    expect_segment(2);
    assert_int_equal(uplink_credit(&uplink), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_without_a_spool_a_lost_learner_is_waited_for),
        CASE(test_a_learner_that_never_was_there_is_waited_for),
        CASE(test_in_lockstep_there_is_no_spool),
        CASE(test_a_connected_actor_takes_no_step_beyond_its_credit),
        CASE(test_a_lost_learner_leaves_as_many_steps_as_there_are_places_in_the_spool),
        CASE(test_a_policy_that_is_too_old_ends_the_spooling),
        CASE(test_a_learner_that_is_back_gets_all_before_it_gives_new_credit),
        CASE(test_what_was_spooled_stays_where_the_session_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
