/* Segments, credit, life and death of peers. */
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

static const Ack *next_ack(World *world, Link link)
{
    const Message *message = world_flush(world, link, MESSAGE_ACK);
    return message ? &message->ack : NULL;
}

static void test_segments_are_accepted_in_order_and_acknowledged(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_flush(world, 1, MESSAGE_WELCOME);
    for (uint64_t i = 1; i <= 3; i++)
        world_send_segment(world, 1, i, (int)i, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(world->accepted[i].sequence, i + 1);
    assert_int_equal(fleet_env_steps_accepted(world->fleet), 6);
    const Ack *ack = next_ack(world, 1);
    assert_non_null(ack);
    assert_int_equal(ack->acked_sequence, 3);
    assert_false(ack->durable);
}

static void test_a_segment_that_came_already_is_acknowledged_and_not_counted(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    world_flush(world, 1, MESSAGE_ACK);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 1);
    assert_int_equal(fleet_env_steps_accepted(world->fleet), 5);
    const Ack *ack = next_ack(world, 1);
    assert_non_null(ack);
    assert_int_equal(ack->acked_sequence, 1);
}

static void test_a_hole_is_answered_by_say_hello(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_send_segment(world, 1, 2, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 0);
    assert_int_equal(world_refusal(world, 1), REJECT_HELLO_FIRST);
    assert_int_equal(fleet_num_actors(world->fleet), 0);
    world_join(world, 2, ROLE_ACTOR, 1); /* and that heals it */
    world_send_segment(world, 2, 1, 5, SEGMENT_CONTINUES);
    world_send_segment(world, 2, 2, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 2);
}

static void test_more_segments_than_allowed_are_not_taken(void **state)
{
    World *world = *state;
    world->slots = 4;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    uint64_t limit = world_welcome(world, 1).send_limit_sequence;
    assert_int_equal(limit, 4);
    for (uint64_t i = 1; i <= limit; i++)
        world_send_segment(world, 1, i, 1, SEGMENT_TERMINATED);
    assert_int_equal(world->num_accepted, 4);
    world_send_segment(world, 1, limit + 1, 1, SEGMENT_TERMINATED);
    assert_int_equal(world->num_accepted, 4);
    assert_int_equal(world_refusal(world, 1), REJECT_HELLO_FIRST);
}

static void test_only_actors_may_send_segments(void **state)
{
    World *world = *state;
    world_start(world);
    static const Role roles[] = {ROLE_OBSERVER, ROLE_EVALUATOR};
    for (uint32_t i = 0; i < 2; i++) {
        world_join(world, i + 1, roles[i], (int)i);
        world_send_segment(world, i + 1, 1, 5, SEGMENT_CONTINUES);
        assert_int_equal(world_refusal(world, i + 1), REJECT_NOT_ALLOWED);
    }
    world_send_segment(world, 9, 1, 5, SEGMENT_CONTINUES); /* a stranger */
    assert_int_equal(world_refusal(world, 9), REJECT_HELLO_FIRST);
    assert_int_equal(world->num_accepted, 0);
    assert_int_equal(fleet_num_peers(world->fleet), 0);
}

static void test_a_segment_of_an_environment_that_is_not_there_is_refused(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    float block[4] = {0};
    Message message = {.kind = MESSAGE_SEGMENT,
                       .segment = {.sequence = 1, .num_steps = 1, .env_index = 1}};
    segment_bind(&message.segment, block, 1, 1, 1);
    world_say(world, 1, &message);
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    assert_int_equal(world->num_accepted, 0);
}

static void test_a_message_that_peers_may_not_send_ends_the_connection(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    Message message = {.kind = MESSAGE_WELCOME};
    world_say(world, 1, &message);
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    world_join(world, 2, ROLE_ACTOR, 2);
    world_garbage(world, 2, ERR_DIVERGED, "not finite");
    assert_int_equal(world_refusal(world, 2), REJECT_NOT_ALLOWED);
    assert_int_equal(fleet_num_peers(world->fleet), 0);
}

static void test_the_last_segment_is_cut_to_the_total(void **state)
{
    World *world = *state;
    world->pacer.total_env_steps = 10;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    world_flush(world, 1, MESSAGE_WELCOME);
    /* The second one was given up, its steps were granted again; then it is back. */
    world_send_segment(world, 1, 1, 8, SEGMENT_CONTINUES);
    world_send_segment(world, 2, 1, 8, SEGMENT_TERMINATED);
    assert_int_equal(world->num_accepted, 2);
    assert_int_equal(world->accepted[1].num_steps, 2);
    assert_int_equal(world->accepted[1].end, SEGMENT_CONTINUES); /* its end was cut off */
    assert_int_equal(fleet_env_steps_accepted(world->fleet), 10);
    world_send_segment(world, 1, 2, 8, SEGMENT_CONTINUES); /* too late: taken and left out */
    assert_int_equal(world->num_accepted, 2);
    const Ack *ack = next_ack(world, 1);
    assert_non_null(ack);
    assert_int_equal(ack->acked_sequence, 2);
}

static void test_silent_peers_are_lost_and_give_their_credit_back(void **state)
{
    World *world = *state;
    world->pacer.window_env_steps = 8;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world_welcome(world, 1).step_limit, 8);
    world_join(world, 2, ROLE_ACTOR, 2);
    assert_int_equal(world_welcome(world, 2).step_limit, 0);
    for (int i = 0; i < 3; i++) {
        world_pass(world, WORLD_HEARTBEAT_MS);
        world_beat(world, 2);
    }
    assert_int_equal(fleet_num_actors(world->fleet), 2);
    world_pass(world, 200);
    assert_int_equal(fleet_num_actors(world->fleet), 1);
    const Ack *ack = next_ack(world, 2);
    assert_non_null(ack);
    assert_int_equal(ack->step_limit, 8);
    world_beat(world, 1);
    assert_int_equal(world_refusal(world, 1), REJECT_HELLO_FIRST);
}

/* A loop that did not look for a while, on a machine that stood still or is slow, cannot say that
 * others were silent meanwhile: what they sent may wait behind that of a thousand others. */
static void test_nobody_is_lost_for_what_the_loop_missed(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    world_pass(world, 2 * WORLD_HEARTBEAT_MS);
    world->now_ms += 60 * WORLD_HEARTBEAT_MS;
    world_beat(world, 2);
    fleet_tick(world->fleet, world->now_ms);
    assert_int_equal(fleet_num_actors(world->fleet), 2);
    /* Each has the rest of its time, and no more. */
    world_pass(world, WORLD_HEARTBEAT_MS);
    assert_int_equal(fleet_num_actors(world->fleet), 2);
    world_pass(world, 100);
    assert_int_equal(fleet_num_actors(world->fleet), 1);
    world_pass(world, 2 * WORLD_HEARTBEAT_MS - 100);
    assert_int_equal(fleet_num_actors(world->fleet), 1);
    world_pass(world, 100);
    assert_int_equal(fleet_num_actors(world->fleet), 0);
}

static void test_every_peer_hears_an_ack_in_each_interval(void **state)
{
    World *world = *state;
    world_start(world);
    static const Role roles[] = {ROLE_ACTOR, ROLE_EVALUATOR, ROLE_OBSERVER};
    for (uint32_t i = 0; i < 3; i++)
        world_join(world, i + 1, roles[i], (int)i);
    world_flush(world, 1, MESSAGE_WELCOME);
    for (int beat = 0; beat < 5; beat++) {
        int acks = 0;
        Link link = 0;
        static Message message;
        world_pass(world, WORLD_HEARTBEAT_MS);
        while (fleet_next_message(world->fleet, world->now_ms, &link, &message))
            acks += message.kind == MESSAGE_ACK;
        assert_int_equal(acks, 3);
        for (uint32_t i = 0; i < 3; i++)
            world_beat(world, i + 1);
    }
}

static void test_bye_gives_credit_and_index_back_at_once(void **state)
{
    World *world = *state;
    world->pacer.window_env_steps = 8;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_ACTOR, 2);
    world_flush(world, 2, MESSAGE_WELCOME);
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_STOPPING};
    world_say(world, 1, &bye);
    const Ack *ack = next_ack(world, 2);
    assert_non_null(ack);
    assert_int_equal(ack->step_limit, 8);
    world_join(world, 3, ROLE_ACTOR, 3);
    assert_int_equal(world_welcome(world, 3).actor_index, 0);
    world_say(world, 77, &bye); /* of a stranger: nothing to say */
    assert_int_equal(world_refusal(world, 77), 0);
}

static void test_a_withheld_credit_has_a_reason(void **state)
{
    World *world = *state;
    world->pacer.batch = 1;
    world->pacer.window_env_steps = 8;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world_welcome(world, 1).step_limit, 8);
    world_send_segment(world, 1, 1, 8, SEGMENT_CONTINUES);
    world->progress.env_steps = 8;
    fleet_set_progress(world->fleet, &world->progress); /* ingested, not worked off */
    const Ack *ack = next_ack(world, 1);
    assert_non_null(ack);
    assert_int_equal(ack->step_limit, 8);
    assert_string_equal(ack->reason, "insert paused: 7 steps ahead, 8 updates owed");
    world_train(world);
    ack = next_ack(world, 1);
    assert_non_null(ack);
    assert_int_equal(ack->step_limit, 16);
    assert_string_equal(ack->reason, "");
}

static void test_the_fleet_says_what_it_waits_for(void **state)
{
    World *world = *state;
    char text[WIRE_TEXT_MAX + 1];
    world->run_known = false;
    world_start(world);
    fleet_waiting_for(world->fleet, text);
    assert_string_equal(text, "waiting for the first actor");
    world_join(world, 1, ROLE_ACTOR, 1);
    fleet_waiting_for(world->fleet, text);
    assert_string_equal(text, "");
    fleet_link_gone(world->fleet, 1);
    fleet_waiting_for(world->fleet, text);
    assert_string_equal(text, "no actor is connected");
}

static void test_grants_end_at_exactly_the_total(void **state)
{
    World *world = *state;
    world->pacer.total_env_steps = 37;
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    uint64_t limit = world_welcome(world, 1).step_limit;
    uint64_t taken = 0;
    for (uint64_t sequence = 1; taken < limit; sequence++) {
        int steps = limit - taken < 8 ? (int)(limit - taken) : 8;
        world_send_segment(world, 1, sequence, steps, SEGMENT_CONTINUES);
        taken += (uint64_t)steps;
        world_train(world);
        const Ack *ack = next_ack(world, 1);
        if (ack)
            limit = ack->step_limit;
    }
    assert_int_equal(taken, 37);
    assert_int_equal(fleet_env_steps_accepted(world->fleet), 37);
}

/* It counts from steps of which the fleet has not heard yet. */
static void test_a_new_pacing_gives_nothing_before_the_next_progress(void **state)
{
    World *world = *state;
    world->pacer = (Pacer){.total_env_steps = 100000, .ratio = 1, .window_env_steps = 4};
    world_start(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world_welcome(world, 1).step_limit, 4);
    Pacer pacer = world->pacer;
    pacer.env_steps_start = 2;
    fleet_set_pacer(world->fleet, &pacer);
    assert_null(next_ack(world, 1));
    world->progress.env_steps = 2;
    fleet_set_progress(world->fleet, &world->progress);
    assert_int_equal(next_ack(world, 1)->step_limit, 6);
}

static void test_lockstep_gives_credit_to_one_after_the_other(void **state)
{
    World *world = *state;
    world->config.welcome.sync = true;
    world->config.actors_awaited = 2;
    world_start(world);
    world_train(world);
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world_welcome(world, 1).step_limit, 0); /* the other one is awaited */
    world_join(world, 2, ROLE_ACTOR, 2);
    assert_int_equal(world_welcome(world, 2).step_limit, 0);
    uint64_t sequence[2] = {1, 1};
    for (int turn = 0; turn < 6; turn++) {
        Link link = (uint32_t)(turn % 2) + 1;
        ActorStatus actors[2];
        world_train(world);
        assert_int_equal(fleet_actor_status(world->fleet, actors, 2, world->now_ms), 2);
        assert_int_equal(actors[turn % 2].unused_credit, 8);
        assert_int_equal(actors[1 - turn % 2].unused_credit, 0);
        world->progress.settled = false; /* until all is worked off nobody goes on */
        world_send_segment(world, link, sequence[turn % 2]++, 8, SEGMENT_CONTINUES);
        fleet_set_progress(world->fleet, &world->progress);
        fleet_actor_status(world->fleet, actors, 2, world->now_ms);
        assert_int_equal(actors[0].unused_credit + actors[1].unused_credit, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_segments_are_accepted_in_order_and_acknowledged),
        TEST(test_a_segment_that_came_already_is_acknowledged_and_not_counted),
        TEST(test_a_hole_is_answered_by_say_hello),
        TEST(test_more_segments_than_allowed_are_not_taken),
        TEST(test_only_actors_may_send_segments),
        TEST(test_a_segment_of_an_environment_that_is_not_there_is_refused),
        TEST(test_a_message_that_peers_may_not_send_ends_the_connection),
        TEST(test_the_last_segment_is_cut_to_the_total),
        TEST(test_silent_peers_are_lost_and_give_their_credit_back),
        TEST(test_nobody_is_lost_for_what_the_loop_missed),
        TEST(test_every_peer_hears_an_ack_in_each_interval),
        TEST(test_bye_gives_credit_and_index_back_at_once),
        TEST(test_a_withheld_credit_has_a_reason),
        TEST(test_the_fleet_says_what_it_waits_for),
        TEST(test_grants_end_at_exactly_the_total),
        TEST(test_a_new_pacing_gives_nothing_before_the_next_progress),
        TEST(test_lockstep_gives_credit_to_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
