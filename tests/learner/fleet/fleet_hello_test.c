/* Joining: who is welcomed, who is refused and why, and who takes whose place. */
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

static void test_a_welcome_says_all_that_an_actor_needs(void **state)
{
    World *world = *state;
    world->progress.newest = (Version){3, 42};
    world_start(world);
    world_train(world);
    world_join(world, 5, ROLE_ACTOR, 1);
    Welcome welcome = world_welcome(world, 5);
    assert_int_equal(welcome.protocol_version, WIRE_PROTOCOL_VERSION);
    assert_int_equal(welcome.epoch, 3);
    assert_int_equal(welcome.seed, 77);
    assert_int_equal(welcome.actor_index, 0);
    assert_int_equal(welcome.incarnation, 3 << 16);
    assert_int_equal(welcome.acked_sequence, 0);
    assert_true(welcome.send_limit_sequence > 0);
    assert_true(welcome.step_limit > 0);
    assert_true(version_equal(welcome.newest, (Version){3, 42}));
    assert_int_equal(fleet_num_actors(world->fleet), 1);
}

static void test_another_protocol_version_is_refused(void **state)
{
    World *world = *state;
    world_start(world);
    Hello hello = {.protocol_version = WIRE_PROTOCOL_VERSION + 1, .session = world_session(1)};
    world_say_hello(world, 1, &hello);
    assert_int_equal(world_refusal(world, 1), REJECT_VERSION);
    assert_int_equal(fleet_num_peers(world->fleet), 0);
}

static void test_another_environment_is_refused_with_the_difference(void **state)
{
    World *world = *state;
    world_start(world);
    Hello hello = world_hello(ROLE_ACTOR, 1, 1);
    hello.spec.action_high[0] = 3;
    world_say_hello(world, 1, &hello);
    const Message *message = world_flush(world, 1, MESSAGE_REJECT);
    assert_non_null(message);
    assert_int_equal(message->reject.reason, REJECT_SPEC);
    assert_true(message->reject.text[0] != '\0');
    hello.role = ROLE_EVALUATOR;
    world_say_hello(world, 2, &hello);
    assert_int_equal(world_refusal(world, 2), REJECT_SPEC);
    hello.has_spec = false;
    world_say_hello(world, 3, &hello);
    assert_int_equal(world_refusal(world, 3), REJECT_SPEC);
    assert_int_equal(fleet_num_peers(world->fleet), 0);
}

static void test_the_first_actor_brings_the_environment_along(void **state)
{
    World *world = *state;
    world->run_known = false;
    world_start(world);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    assert_int_equal(world_refusal(world, 1), REJECT_FULL); /* not yet: it asks again */
    world_join(world, 2, ROLE_ACTOR, 2);
    assert_int_equal(world->num_adopted, 1);
    assert_non_null(world_flush(world, 2, MESSAGE_WELCOME));
    Hello other = world_hello(ROLE_ACTOR, 3, 1);
    other.spec.obs_dim = 2;
    world_say_hello(world, 3, &other);
    assert_int_equal(world_refusal(world, 3), REJECT_SPEC);
    world_join(world, 1, ROLE_EVALUATOR, 1);
    assert_non_null(world_flush(world, 1, MESSAGE_WELCOME));
    assert_int_equal(world->num_adopted, 1);
}

static void test_a_first_actor_beyond_the_limits_is_refused(void **state)
{
    World *world = *state;
    world->run_known = false;
    world->adopt_answer = REJECT_OUT_OF_MEMORY;
    world_start(world);
    Hello large = world_hello(ROLE_ACTOR, 1, 1);
    large.spec.obs_dim = 17;
    world_say_hello(world, 1, &large);
    assert_int_equal(world_refusal(world, 1), REJECT_SPEC);
    assert_int_equal(world->num_adopted, 0);
    world_join(world, 2, ROLE_ACTOR, 2);
    const Message *message = world_flush(world, 2, MESSAGE_REJECT);
    assert_non_null(message);
    assert_int_equal(message->reject.reason, REJECT_OUT_OF_MEMORY);
    assert_string_equal(message->reject.text, "no room for obs_dim 1");
    world->adopt_answer = 0;
    world_join(world, 3, ROLE_ACTOR, 3); /* another one may still fit */
    assert_non_null(world_flush(world, 3, MESSAGE_WELCOME));
}

static void test_a_full_learner_says_so_and_keeps_nothing(void **state)
{
    World *world = *state;
    world->config.peers_max = 2;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_OBSERVER, 2);
    world_join(world, 3, ROLE_ACTOR, 3);
    assert_int_equal(world_refusal(world, 3), REJECT_FULL);
    world_join(world, 4, ROLE_OBSERVER, 4);
    assert_int_equal(world_refusal(world, 4), REJECT_FULL);
    assert_int_equal(fleet_num_peers(world->fleet), 2);
    fleet_link_gone(world->fleet, 2);
    world_join(world, 3, ROLE_ACTOR, 3);
    assert_int_equal(world_welcome(world, 3).actor_index, 1);
}

static void test_no_two_sessions_get_the_same_index_and_incarnation(void **state)
{
    World *world = *state;
    world->config.peers_max = 1;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    uint32_t seen[3] = {world_welcome(world, 1).incarnation};
    /* Both are turned away, and come again one after the other. */
    world_join(world, 2, ROLE_ACTOR, 2);
    world_join(world, 3, ROLE_ACTOR, 3);
    for (int i = 1; i < 3; i++) {
        fleet_link_gone(world->fleet, (Link)i);
        world_join(world, (uint32_t)i + 1, ROLE_ACTOR, i + 1);
        Welcome welcome = world_welcome(world, (uint32_t)i + 1);
        assert_int_equal(welcome.actor_index, 0);
        seen[i] = welcome.incarnation;
    }
    assert_true(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    assert_int_equal(seen[2] >> 16, 3); /* the epoch: another start never gives it either */
}

static void test_the_lowest_free_index_is_given(void **state)
{
    World *world = *state;
    world_start(world);
    for (uint32_t i = 1; i <= 3; i++)
        world_join(world, i, ROLE_ACTOR, (int)i);
    fleet_link_gone(world->fleet, 2);
    world_join(world, 4, ROLE_ACTOR, 4);
    assert_int_equal(world_welcome(world, 4).actor_index, 1);
    world_join(world, 5, ROLE_ACTOR, 2); /* its old one is taken */
    assert_int_equal(world_welcome(world, 5).actor_index, 3);
}

static void test_a_session_comes_back_as_it_was(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    Welcome first = world_welcome(world, 1);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    world_send_segment(world, 1, 2, 5, SEGMENT_CONTINUES);
    fleet_link_gone(world->fleet, 1);
    assert_int_equal(fleet_num_actors(world->fleet), 0);
    Hello hello = world_hello(ROLE_ACTOR, 1, 2); /* it does not know of the second one */
    world_say_hello(world, 2, &hello);
    Welcome again = world_welcome(world, 2);
    assert_int_equal(again.acked_sequence, 2);
    assert_int_equal(again.actor_index, first.actor_index);
    assert_int_equal(again.incarnation, first.incarnation);
    assert_true(again.step_limit > 10);
}

static void test_the_newest_hello_takes_the_session_over(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    world_join(world, 2, ROLE_ACTOR, 1);
    assert_int_equal(world_welcome(world, 2).acked_sequence, 1);
    assert_int_equal(fleet_num_peers(world->fleet), 1);
    world_send_segment(world, 1, 2, 5, SEGMENT_CONTINUES); /* the old connection */
    assert_int_equal(world_refusal(world, 1), REJECT_HELLO_FIRST);
    world_send_segment(world, 2, 2, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 2);
}

static void test_a_takeover_needs_no_free_place(void **state)
{
    World *world = *state;
    world->config.peers_max = 1;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_ACTOR, 1);
    assert_non_null(world_flush(world, 2, MESSAGE_WELCOME));
    world_join(world, 2, ROLE_ACTOR, 1); /* once more on the same connection */
    assert_non_null(world_flush(world, 2, MESSAGE_WELCOME));
    assert_int_equal(fleet_num_actors(world->fleet), 1);
}

static void test_a_refused_hello_of_a_session_leaves_its_connection(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    Hello hello = world_hello(ROLE_ACTOR, 1, 7);
    hello.acked_steps = WIRE_COUNT_MAX; /* which 5 segments cannot hold */
    world_say_hello(world, 2, &hello);
    assert_int_equal(world_refusal(world, 2), REJECT_NOT_ALLOWED);
    assert_int_equal(fleet_num_actors(world->fleet), 1);
    world_send_segment(world, 1, 2, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 2);
    assert_int_equal(fleet_counts(world->fleet).lost_segments, 0);
}

/* The learner may have accepted what it sent, and forgotten it. */
static void test_an_unknown_session_that_has_sent_is_expired_too(void **state)
{
    World *world = *state;
    world_start(world);
    Hello hello = world_hello(ROLE_ACTOR, 1, 1);
    hello.has_sent = true;
    world_say_hello(world, 1, &hello);
    assert_int_equal(world_refusal(world, 1), REJECT_SESSION_EXPIRED);
}

static void test_a_session_that_is_not_known_any_more_is_expired(void **state)
{
    World *world = *state;
    world_start(world);
    Hello hello = world_hello(ROLE_ACTOR, 1, 9);
    world_say_hello(world, 1, &hello);
    assert_int_equal(world_refusal(world, 1), REJECT_SESSION_EXPIRED);
    assert_int_equal(fleet_num_peers(world->fleet), 0);
}

static void test_a_session_is_forgotten_after_its_retention(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    fleet_link_gone(world->fleet, 1);
    world_pass(world, 50000);
    Hello hello = world_hello(ROLE_ACTOR, 1, 2);
    world_say_hello(world, 2, &hello);
    assert_non_null(world_flush(world, 2, MESSAGE_WELCOME));
    fleet_link_gone(world->fleet, 2);
    world_pass(world, 75000);
    world_say_hello(world, 3, &hello);
    assert_int_equal(world_refusal(world, 3), REJECT_SESSION_EXPIRED);
}

static void test_a_gap_of_acknowledged_segments_is_passed_over(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    Hello hello = world_hello(ROLE_ACTOR, 1, 7);
    world_say_hello(world, 2, &hello);
    Welcome welcome = world_welcome(world, 2);
    assert_int_equal(welcome.acked_sequence, 6);
    assert_true(welcome.send_limit_sequence > 6);
    world_send_segment(world, 2, 7, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 2);
}

static void test_an_unreadable_hello_is_refused_for_its_spec(void **state)
{
    World *world = *state;
    world_start(world);
    world_garbage(world, 1, ERR_SPEC, "act_dim 129 is above 128");
    const Message *message = world_flush(world, 1, MESSAGE_REJECT);
    assert_non_null(message);
    assert_int_equal(message->reject.reason, REJECT_SPEC);
    assert_string_equal(message->reject.text, "act_dim 129 is above 128");
    world_garbage(world, 2, ERR_FORMAT, "no such kind");
    assert_int_equal(world_refusal(world, 2), REJECT_HELLO_FIRST);
}

static void test_after_the_last_bye_it_is_the_answer_to_every_hello(void **state)
{
    World *world = *state;
    world->run_known = false;
    world_start(world);
    fleet_say_bye(world->fleet, BYE_RESTARTING);
    static const Role roles[] = {ROLE_ACTOR, ROLE_EVALUATOR};
    for (uint32_t i = 0; i < 2; i++) {
        world_join(world, i + 1, roles[i], (int)i);
        const Message *message = world_flush(world, i + 1, MESSAGE_BYE);
        assert_non_null(message);
        assert_int_equal(message->bye, BYE_RESTARTING);
    }
    assert_int_equal(world->num_adopted, 0); /* no run begins any more */
    world_join(world, 3, ROLE_OBSERVER, 3);
    assert_non_null(world_flush(world, 3, MESSAGE_WELCOME));
}

static void test_a_flood_of_strangers_is_answered_only_so_far(void **state)
{
    World *world = *state;
    world_start(world);
    for (Link link = 1; link <= 10000; link++)
        world_beat(world, link);
    Link link = 0;
    int answers = 0;
    static Message message;
    while (fleet_next_message(world->fleet, world->now_ms, &link, &message))
        answers++;
    assert_in_range(answers, 1, 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_a_welcome_says_all_that_an_actor_needs),
        TEST(test_another_protocol_version_is_refused),
        TEST(test_another_environment_is_refused_with_the_difference),
        TEST(test_the_first_actor_brings_the_environment_along),
        TEST(test_a_first_actor_beyond_the_limits_is_refused),
        TEST(test_a_full_learner_says_so_and_keeps_nothing),
        TEST(test_no_two_sessions_get_the_same_index_and_incarnation),
        TEST(test_the_lowest_free_index_is_given),
        TEST(test_a_session_comes_back_as_it_was),
        TEST(test_the_newest_hello_takes_the_session_over),
        TEST(test_a_takeover_needs_no_free_place),
        TEST(test_a_refused_hello_of_a_session_leaves_its_connection),
        TEST(test_an_unknown_session_that_has_sent_is_expired_too),
        TEST(test_a_session_that_is_not_known_any_more_is_expired),
        TEST(test_a_session_is_forgotten_after_its_retention),
        TEST(test_a_gap_of_acknowledged_segments_is_passed_over),
        TEST(test_an_unreadable_hello_is_refused_for_its_spec),
        TEST(test_after_the_last_bye_it_is_the_answer_to_every_hello),
        TEST(test_a_flood_of_strangers_is_answered_only_so_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
