/* Accepted is not acknowledged: what waits for the log, and what a learner lost of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/learner/fleet/fleet_world.h"

static int make(void **state)
{
    World *world = malloc(sizeof *world);
    CHECK(world);
    world_init(world);
    world->progress.logged = 0;
    *state = world;
    return 0;
}

static int unmake(void **state)
{
    World *world = *state;
    fleet_destroy(&world->fleet);
    free(world);
    return 0;
}

static const Ack *next_ack(World *world, Link link)
{
    const Message *message = world_flush(world, link, MESSAGE_ACK);
    return message ? &message->ack : NULL;
}

static void log_up_to(World *world, uint64_t logged)
{
    world->progress.logged = logged;
    fleet_set_progress(world->fleet, &world->progress);
}

static SegmentOrigin restored(int session, uint64_t steps)
{
    SegmentOrigin origin = {.session = world_session(session),
                            .actor_index = 2,
                            .incarnation = 7,
                            .num_envs = 1,
                            .session_steps = steps};
    snprintf(origin.name, sizeof origin.name, "peer %d", session);
    return origin;
}

static void test_a_segment_is_acknowledged_when_the_log_has_it(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_flush(world, 1, MESSAGE_WELCOME);
    for (uint64_t i = 1; i <= 3; i++)
        world_send_segment(world, 1, i, 2, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 3);
    assert_null(next_ack(world, 1)); /* there is nothing to say */
    world->progress.durable = true;
    log_up_to(world, 2);
    const Ack *ack = next_ack(world, 1);
    assert_non_null(ack);
    assert_int_equal(ack->acked_sequence, 2);
    assert_true(ack->durable);
    log_up_to(world, 3);
    ack = next_ack(world, 1);
    assert_non_null(ack);
    assert_int_equal(ack->acked_sequence, 3);
}

static void test_sessions_are_acknowledged_in_the_order_of_acceptance(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    world_flush(world, 1, MESSAGE_WELCOME);
    world_send_segment(world, 1, 1, 2, SEGMENT_CONTINUES);
    world_send_segment(world, 2, 1, 2, SEGMENT_CONTINUES);
    world_send_segment(world, 1, 2, 2, SEGMENT_CONTINUES);
    log_up_to(world, 2);
    assert_int_equal(next_ack(world, 1)->acked_sequence, 1);
    world_send_segment(world, 2, 1, 2, SEGMENT_CONTINUES); /* asks again */
    assert_int_equal(next_ack(world, 2)->acked_sequence, 1);
    log_up_to(world, 3);
    assert_int_equal(next_ack(world, 1)->acked_sequence, 2);
}

static void test_more_than_was_accepted_cannot_be_logged(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 2, SEGMENT_CONTINUES);
    log_up_to(world, 100);
    world_flush(world, 1, MESSAGE_ACK);
    world_send_segment(world, 1, 2, 2, SEGMENT_CONTINUES);
    log_up_to(world, 2);
    assert_int_equal(next_ack(world, 1)->acked_sequence, 2);
}

static void test_what_waits_for_the_log_is_recognised_when_it_comes_again(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    for (uint64_t i = 1; i <= 3; i++)
        world_send_segment(world, 1, i, 2, SEGMENT_CONTINUES);
    log_up_to(world, 1);
    fleet_link_gone(world->fleet, 1);
    Hello hello = world_hello(ROLE_ACTOR, 1, 2);
    world_say_hello(world, 2, &hello);
    assert_int_equal(world_welcome(world, 2).acked_sequence, 1); /* only what is logged */
    for (uint64_t i = 2; i <= 4; i++)
        world_send_segment(world, 2, i, 2, SEGMENT_CONTINUES);
    assert_int_equal(world_refusal(world, 2), 0);
    assert_int_equal(world->num_accepted, 4);
    assert_int_equal(fleet_env_steps_accepted(world->fleet), 8);
    log_up_to(world, 4);
    assert_int_equal(next_ack(world, 2)->acked_sequence, 4);
}

static void test_a_place_is_free_only_when_the_log_has_what_was_in_it(void **state)
{
    World *world = *state;
    world->slots = 4;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    for (uint64_t i = 1; i <= 4; i++)
        world_send_segment(world, 1, i, 1, SEGMENT_TERMINATED);
    world_flush(world, 1, MESSAGE_ACK);
    world_train(world); /* says that no slot is used; the log has none yet */
    const Ack *ack = next_ack(world, 1);
    assert_true(!ack || ack->send_limit_sequence == 4);
    log_up_to(world, 3);
    assert_int_equal(next_ack(world, 1)->send_limit_sequence, 7);
}

static void test_a_session_that_waits_for_the_log_is_not_forgotten(void **state)
{
    World *world = *state;
    world->config.sessions_max = 1;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 2, SEGMENT_CONTINUES);
    fleet_link_gone(world->fleet, 1);
    world_pass(world, 200000);
    world_join(world, 2, ROLE_ACTOR, 2);
    assert_int_equal(world_refusal(world, 2), REJECT_FULL);
    log_up_to(world, 1);
    world_join(world, 3, ROLE_ACTOR, 3);
    assert_non_null(world_flush(world, 3, MESSAGE_WELCOME));
}

static void test_what_is_left_out_at_the_end_is_acknowledged_behind_the_log(void **state)
{
    World *world = *state;
    world->pacer.total_env_steps = 4;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 4, SEGMENT_CONTINUES);
    world_send_segment(world, 1, 2, 4, SEGMENT_CONTINUES); /* beyond the total */
    assert_int_equal(world->num_accepted, 1);
    world_flush(world, 1, MESSAGE_ACK);
    log_up_to(world, 1);
    assert_int_equal(next_ack(world, 1)->acked_sequence, 2);
}

static void test_the_origin_of_a_segment_is_handed_on(void **state)
{
    World *world = *state;
    world_start(world);
    snprintf(world->identity.key, sizeof world->identity.key, "rack");
    world_join(world, 1, ROLE_ACTOR, 5);
    world_send_segment(world, 1, 1, 3, SEGMENT_CONTINUES);
    world_send_segment(world, 1, 2, 4, SEGMENT_CONTINUES);
    const SegmentOrigin *origin = &world->accepted[1].origin;
    Session session = world_session(5);
    assert_memory_equal(&origin->session, &session, sizeof session);
    assert_int_equal(origin->session_steps, 7);
    assert_int_equal(origin->num_envs, 1);
    assert_string_equal(origin->key, "rack");
    assert_string_equal(origin->name, "peer 5");
}

static void test_a_session_of_the_log_goes_on(void **state)
{
    World *world = *state;
    world_start(world);
    SegmentOrigin origin = restored(1, 50);
    assert_true(fleet_restore_session(world->fleet, &origin, 9, 1000, world->now_ms));
    Hello hello = world_hello(ROLE_ACTOR, 1, 8); /* it missed the last Acks */
    hello.acked_steps = 40;
    world_say_hello(world, 1, &hello);
    Welcome welcome = world_welcome(world, 1);
    assert_int_equal(welcome.acked_sequence, 9);
    assert_int_equal(welcome.actor_index, 2);
    assert_int_equal(welcome.incarnation, 7);
    assert_true(welcome.step_limit > 50);
    world_send_segment(world, 1, 9, 5, SEGMENT_CONTINUES); /* a duplicate */
    assert_int_equal(world->num_accepted, 0);
    world_send_segment(world, 1, 10, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 1);
    assert_int_equal(world->accepted[0].origin.session_steps, 55);
    assert_int_equal(fleet_counts(world->fleet).lost_segments, 0);
}

static void test_a_restored_session_with_an_impossible_index_gets_another(void **state)
{
    World *world = *state;
    world_start(world);
    SegmentOrigin origin = restored(1, 50);
    origin.actor_index = 4000000000;
    assert_true(fleet_restore_session(world->fleet, &origin, 9, 0, world->now_ms));
    Hello hello = world_hello(ROLE_ACTOR, 1, 10);
    world_say_hello(world, 1, &hello);
    assert_int_equal(world_welcome(world, 1).actor_index, 0);
}

static void test_a_restored_session_keeps_its_age(void **state)
{
    World *world = *state;
    world_start(world);
    world->now_ms = 1000000;
    SegmentOrigin old = restored(1, 50);
    SegmentOrigin young = restored(2, 50);
    assert_true(fleet_restore_session(world->fleet, &old, 9, 59000, world->now_ms));
    assert_true(fleet_restore_session(world->fleet, &young, 9, 0, world->now_ms));
    assert_int_equal(fleet_counts(world->fleet).sessions, 2);
    world_pass(world, 15000);
    assert_int_equal(fleet_counts(world->fleet).sessions, 1);
}

static void test_an_acknowledged_tail_that_was_lost_is_counted(void **state)
{
    World *world = *state;
    world_start(world);
    SegmentOrigin origin = restored(1, 50);
    assert_true(fleet_restore_session(world->fleet, &origin, 9, 0, world->now_ms));
    Hello hello = world_hello(ROLE_ACTOR, 1, 13); /* it has acknowledgements up to 12 */
    hello.acked_steps = 64;
    world_say_hello(world, 1, &hello);
    Welcome welcome = world_welcome(world, 1);
    assert_int_equal(welcome.acked_sequence, 12);
    assert_true(welcome.step_limit > 64);
    FleetCounts counts = fleet_counts(world->fleet);
    assert_int_equal(counts.lost_segments, 3);
    assert_int_equal(counts.lost_steps, 14);
    assert_int_equal(fleet_env_steps_accepted(world->fleet), 0); /* the run does not have them */
    world_send_segment(world, 1, 13, 6, SEGMENT_CONTINUES);
    assert_int_equal(world->accepted[0].origin.session_steps, 70);
    ActorStatus actor;
    assert_int_equal(fleet_actor_status(world->fleet, &actor, 1, world->now_ms), 1);
    assert_int_equal(actor.lost_steps, 14);
    assert_int_equal(actor.env_steps, 70);
}

static void test_more_lost_steps_than_segments_can_hold_are_not_believed(void **state)
{
    World *world = *state;
    world_start(world);
    SegmentOrigin origin = restored(1, 50);
    assert_true(fleet_restore_session(world->fleet, &origin, 9, 0, world->now_ms));
    Hello hello = world_hello(ROLE_ACTOR, 1, 11);
    hello.acked_steps = WIRE_COUNT_MAX;
    world_say_hello(world, 1, &hello);
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    assert_int_equal(fleet_counts(world->fleet).lost_steps, 0);
}

static void test_while_the_log_is_read_back_actors_are_asked_to_wait(void **state)
{
    World *world = *state;
    world->run_known = false;
    world_start(world);
    fleet_set_loading(world->fleet, true, "reading the replay log: 12 of 40 files");
    static const Role roles[] = {ROLE_ACTOR, ROLE_EVALUATOR};
    for (uint32_t i = 0; i < 2; i++) {
        world_join(world, i + 1, roles[i], (int)i);
        const Message *message = world_flush(world, i + 1, MESSAGE_REJECT);
        assert_non_null(message);
        assert_int_equal(message->reject.reason, REJECT_LOADING);
        assert_string_equal(message->reject.text, "reading the replay log: 12 of 40 files");
    }
    world_join(world, 3, ROLE_OBSERVER, 3);
    assert_non_null(world_flush(world, 3, MESSAGE_WELCOME));
    char text[WIRE_TEXT_MAX + 1];
    fleet_waiting_for(world->fleet, text);
    assert_string_equal(text, "reading the replay log: 12 of 40 files");
    fleet_set_loading(world->fleet, false, "");
    world_join(world, 4, ROLE_ACTOR, 4);
    assert_non_null(world_flush(world, 4, MESSAGE_WELCOME));
}

static void test_a_log_that_cannot_be_written_may_hold_the_credit(void **state)
{
    World *world = *state;
    snprintf(world->progress.hold, sizeof world->progress.hold, "the disk is full");
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    Welcome welcome = world_welcome(world, 1);
    assert_int_equal(welcome.step_limit, 0);
    assert_int_equal(welcome.send_limit_sequence, 0);
    world_pass(world, WORLD_HEARTBEAT_MS);
    assert_string_equal(next_ack(world, 1)->reason, "the disk is full");
    world->progress.hold[0] = '\0';
    fleet_set_progress(world->fleet, &world->progress);
    assert_true(next_ack(world, 1)->step_limit > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_a_segment_is_acknowledged_when_the_log_has_it),
        TEST(test_sessions_are_acknowledged_in_the_order_of_acceptance),
        TEST(test_more_than_was_accepted_cannot_be_logged),
        TEST(test_what_waits_for_the_log_is_recognised_when_it_comes_again),
        TEST(test_a_place_is_free_only_when_the_log_has_what_was_in_it),
        TEST(test_a_session_that_waits_for_the_log_is_not_forgotten),
        TEST(test_what_is_left_out_at_the_end_is_acknowledged_behind_the_log),
        TEST(test_the_origin_of_a_segment_is_handed_on),
        TEST(test_a_session_of_the_log_goes_on),
        TEST(test_a_restored_session_with_an_impossible_index_gets_another),
        TEST(test_a_restored_session_keeps_its_age),
        TEST(test_an_acknowledged_tail_that_was_lost_is_counted),
        TEST(test_more_lost_steps_than_segments_can_hold_are_not_believed),
        TEST(test_while_the_log_is_read_back_actors_are_asked_to_wait),
        TEST(test_a_log_that_cannot_be_written_may_hold_the_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
