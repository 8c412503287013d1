/* Steering a fleet: keys that are set, actors that are drained; and what its status says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/learner/fleet/fleet_world.h"

enum { OPERATOR = 99 };

static int make(void **state)
{
    World *world = malloc(sizeof *world);
    CHECK(world);
    world_init(world);
    world->identity = identity_without_key(true);
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

static const Outcome *outcome_of(World *world, const Message *order)
{
    world_say(world, OPERATOR, order);
    const Message *message = world_flush(world, OPERATOR, MESSAGE_OUTCOME);
    assert_non_null(message);
    return &message->outcome;
}

static const Outcome *drain(World *world, const char *name)
{
    Message order = {.kind = MESSAGE_DRAIN};
    snprintf(order.drain.name, sizeof order.drain.name, "%s", name);
    return outcome_of(world, &order);
}

static void beat_with(World *world, Link link, const Heartbeat *heartbeat)
{
    Message message = {.kind = MESSAGE_HEARTBEAT, .heartbeat = *heartbeat};
    world_say(world, link, &message);
}

/* Whether the peer is told to leave for good within a tick. */
static bool is_sent_away(World *world, Link link)
{
    world_pass(world, 100);
    const Message *message = world_flush(world, link, MESSAGE_BYE);
    return message && message->bye == BYE_FINISHED;
}

static void test_a_key_is_set_by_whom_may(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, OPERATOR, ROLE_OPERATOR, OPERATOR);
    Message order = {.kind = MESSAGE_SET, .set.assignment = "updates_per_env_step=0.5"};
    world->set_answer = true;
    const Outcome *outcome = outcome_of(world, &order);
    assert_true(outcome->done);
    assert_string_equal(outcome->text, "it was so");
    assert_string_equal(world->assignment, "updates_per_env_step=0.5");
    assert_non_null(strstr(world->note, "set updates_per_env_step=0.5"));
    world->set_answer = false;
    outcome = outcome_of(world, &order);
    assert_false(outcome->done);
    assert_string_equal(outcome->text, "it cannot be");
    assert_non_null(strstr(world->note, "refused"));
}

static void test_nobody_else_gives_orders(void **state)
{
    World *world = *state;
    world_start(world);
    static const Role roles[] = {ROLE_ACTOR, ROLE_EVALUATOR, ROLE_OBSERVER};
    static const MessageKind orders[] = {MESSAGE_SET, MESSAGE_DRAIN};
    Link link = 0;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 2; k++) {
            link++;
            world_join(world, link, roles[i], (int)link);
            Message order = {.kind = orders[k]};
            world_say(world, link, &order);
            assert_int_equal(world_refusal(world, link), REJECT_NOT_ALLOWED);
        }
    }
    assert_string_equal(world->assignment, "");
    assert_int_equal(fleet_num_peers(world->fleet), 0);
}

static void test_an_operator_may_ask_for_the_status_too(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, OPERATOR, ROLE_OPERATOR, OPERATOR);
    Message ask = {.kind = MESSAGE_STATUS_REQUEST};
    world_say(world, OPERATOR, &ask);
    assert_non_null(world_flush(world, OPERATOR, MESSAGE_STATUS));
}

static void test_a_drained_actor_sends_what_it_may_and_leaves(void **state)
{
    World *world = *state;
    world->pacer.window_env_steps = 8;
    world_start(world);
    world_join(world, OPERATOR, ROLE_OPERATOR, OPERATOR);
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world_welcome(world, 1).step_limit, 8);
    const Outcome *outcome = drain(world, "peer 1");
    assert_true(outcome->done);
    assert_string_equal(outcome->text, "1 actor drains: peer 1");
    assert_false(is_sent_away(world, 1));
    world_send_segment(world, 1, 1, 5, SEGMENT_TERMINATED);
    world_train(world);
    assert_false(is_sent_away(world, 1));
    world_send_segment(world, 1, 2, 3, SEGMENT_CONTINUES);
    world_train(world);
    assert_true(is_sent_away(world, 1));
    ActorStatus actor;
    assert_int_equal(fleet_actor_status(world->fleet, &actor, 1, world->now_ms), 1);
    assert_true(actor.draining);
    assert_int_equal(actor.unused_credit, 0); /* no more was granted */
    assert_string_equal(actor.learner_reason, "draining: no more steps are granted");
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_FINISHED};
    world_say(world, 1, &bye);
    assert_int_equal(fleet_num_actors(world->fleet), 0);
    world_join(world, 2, ROLE_ACTOR, 1); /* it missed the word, and comes again */
    const Message *message = world_flush(world, 2, MESSAGE_BYE);
    assert_non_null(message);
    assert_int_equal(message->bye, BYE_FINISHED);
}

static void test_the_others_go_on_when_one_is_drained(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, OPERATOR, ROLE_OPERATOR, OPERATOR);
    for (uint32_t i = 1; i <= 3; i++)
        world_join(world, i, ROLE_ACTOR, (int)i);
    const Outcome *outcome = drain(world, "peer [12]");
    assert_string_equal(outcome->text, "2 actors drain: peer 1, peer 2");
    ActorStatus actors[3];
    assert_int_equal(fleet_actor_status(world->fleet, actors, 3, world->now_ms), 3);
    assert_true(actors[0].draining && actors[1].draining && !actors[2].draining);
    outcome = drain(world, "peer 7");
    assert_false(outcome->done);
    assert_string_equal(outcome->text, "no actor has that name; connected: peer 1, peer 2, peer 3");
}

static void test_an_actor_that_does_not_go_on_is_not_waited_for(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, OPERATOR, ROLE_OPERATOR, OPERATOR);
    world_join(world, 1, ROLE_ACTOR, 1);
    drain(world, "*");
    Heartbeat heartbeat = {0};
    for (int i = 1; i <= 4; i++) { /* it takes a step now and then */
        heartbeat.env_steps++;
        beat_with(world, 1, &heartbeat);
        world_pass(world, 2000);
        assert_null(world_flush(world, 1, MESSAGE_BYE));
    }
    beat_with(world, 1, &heartbeat);
    world_pass(world, 1500);
    assert_non_null(world_flush(world, 1, MESSAGE_BYE));
    assert_non_null(strstr(world->note, "without the rest"));
}

static void test_an_actor_that_came_back_is_drained_on_its_own_word(void **state)
{
    World *world = *state;
    world->pacer.window_env_steps = 8;
    world_start(world);
    world_join(world, OPERATOR, ROLE_OPERATOR, OPERATOR);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_flush(world, 1, MESSAGE_WELCOME);
    drain(world, "*");
    world_join(world, 2, ROLE_ACTOR, 1); /* its 8 steps are still on their way */
    assert_int_equal(world_welcome(world, 2).step_limit, 0);
    Heartbeat heartbeat = {.env_steps = 8, .outbox_segments = 1};
    beat_with(world, 2, &heartbeat);
    assert_false(is_sent_away(world, 2));
    world_train(world);
    world_send_segment(world, 2, 1, 8, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 1);
    heartbeat.outbox_segments = 0;
    beat_with(world, 2, &heartbeat);
    assert_true(is_sent_away(world, 2));
}

static void test_a_drained_actor_waits_for_the_log(void **state)
{
    World *world = *state;
    world->progress.logged = 0;
    world->pacer.window_env_steps = 8;
    world_start(world);
    world_join(world, OPERATOR, ROLE_OPERATOR, OPERATOR);
    world_join(world, 1, ROLE_ACTOR, 1);
    drain(world, "*");
    world_send_segment(world, 1, 1, 8, SEGMENT_CONTINUES);
    for (int i = 0; i < 20; i++) {
        world_beat(world, 1);
        world_beat(world, OPERATOR);
        assert_false(is_sent_away(world, 1));
        world_pass(world, 400);
    }
    world->progress.logged = 1;
    fleet_set_progress(world->fleet, &world->progress);
    assert_true(is_sent_away(world, 1));
}

static void test_status_shows_both_sides(void **state)
{
    World *world = *state;
    world->pacer.window_env_steps = 8;
    world->pacer.batch = 1;
    world_start(world);
    snprintf(world->identity.key, sizeof world->identity.key, "rack");
    Hello hello = world_hello(ROLE_ACTOR, 1, 1);
    hello.num_labels = 2;
    snprintf(hello.labels[0], sizeof hello.labels[0], "zone=a");
    snprintf(hello.labels[1], sizeof hello.labels[1], "gpu=no");
    world_say_hello(world, 1, &hello);
    world->progress.updates = 100;
    fleet_set_progress(world->fleet, &world->progress);
    ActorStatus actor;
    fleet_actor_status(world->fleet, &actor, 1, world->now_ms);
    assert_true(actor.env_steps_per_s != actor.env_steps_per_s); /* not known yet */
    world_send_segment(world, 1, 1, 8, SEGMENT_CONTINUES);
    world->progress.env_steps = 8;
    world->progress.updates = 0;
    fleet_set_progress(world->fleet, &world->progress);
    Heartbeat heartbeat = {.env_steps = 8,
                           .version = {3, 40},
                           .dropped_steps = 5,
                           .waiting_for = "waiting for credit",
                           .steps_per_s = 250,
                           .outbox_segments = 6,
                           .lost_segments = 2,
                           .lost_steps = 17};
    world->progress.updates = 100;
    fleet_set_progress(world->fleet, &world->progress);
    beat_with(world, 1, &heartbeat);
    world->now_ms += 300;
    assert_int_equal(fleet_actor_status(world->fleet, &actor, 1, world->now_ms), 1);
    assert_string_equal(actor.labels, "zone=a,gpu=no");
    assert_string_equal(actor.key, "rack");
    assert_string_equal(actor.waiting_for, "waiting for credit");
    assert_int_equal(actor.num_envs, 1);
    assert_int_equal(actor.policy_lag_updates, 60);
    assert_false(actor.policy_epoch_old);
    assert_true(actor.env_steps_per_s == 250);
    assert_true(actor.send_credit > 0);
    assert_int_equal(actor.outbox_segments, 6);
    assert_int_equal(actor.dropped_steps, 5);
    assert_int_equal(actor.expired_segments, 2);
    assert_int_equal(actor.expired_steps, 17);
    assert_int_equal(actor.silent_ms, 300);
    heartbeat.version.epoch = 2;
    beat_with(world, 1, &heartbeat);
    fleet_actor_status(world->fleet, &actor, 1, world->now_ms);
    assert_true(actor.policy_epoch_old);
}

static void test_status_counts_what_was_refused(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_OBSERVER, 1);
    world_garbage(world, 2, ERR_FORMAT, "no such kind");
    Hello hello = world_hello(ROLE_ACTOR, 3, 1);
    hello.spec.obs_dim = 2;
    world_say_hello(world, 3, &hello);
    Message ask = {.kind = MESSAGE_STATUS_REQUEST};
    world_say(world, 1, &ask);
    const Message *message = world_flush(world, 1, MESSAGE_STATUS);
    assert_non_null(message);
    assert_int_equal(message->status.garbage_messages, 1);
    assert_int_equal(message->status.refused_peers, 1);
    assert_int_equal(message->status.sessions, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_is_set_by_whom_may),
        TEST(test_nobody_else_gives_orders),
        TEST(test_an_operator_may_ask_for_the_status_too),
        TEST(test_a_drained_actor_sends_what_it_may_and_leaves),
        TEST(test_the_others_go_on_when_one_is_drained),
        TEST(test_an_actor_that_does_not_go_on_is_not_waited_for),
        TEST(test_an_actor_that_came_back_is_drained_on_its_own_word),
        TEST(test_a_drained_actor_waits_for_the_log),
        TEST(test_status_shows_both_sides),
        TEST(test_status_counts_what_was_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
