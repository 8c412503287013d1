/* Peers that a relay speaks for: who they are, and that they come and go as others do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/learner/fleet/fleet_world.h"

enum { ALL_ROLES = 31, NODE_ROLES = 1 << ROLE_ACTOR | 1 << ROLE_EVALUATOR | 1 << ROLE_OBSERVER };

static const Link rack1 = 1;
static const Link rack2 = 2;
static const Link direct = 3;

static int make(void **state)
{
    World *world = malloc(sizeof *world);
    CHECK(world);
    world_init(world);
    world->config.peers_max = 64;
    world->pacer.total_env_steps = 100000;
    world->slots = 64;
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

/* Whoever says the next Hello on any connection. */
static void come_as(World *world, const char *key, unsigned roles)
{
    world->identity = (PeerIdentity){.roles = roles, .local = true};
    snprintf(world->identity.key, sizeof world->identity.key, "%s", key);
}

/* From now on the connection is the relay's: its key has these roles beside. */
static void join_relay(World *world, Link relay, unsigned roles)
{
    come_as(world, relay == rack1 ? "rack1" : "rack2", 1U << ROLE_RELAY | roles);
    Hello hello = world_hello(ROLE_RELAY, 1000 + (int)relay, 1);
    snprintf(hello.name, sizeof hello.name, "rack%u", (unsigned)relay);
    world_say_hello(world, relay, &hello);
    assert_non_null(world_flush(world, relay, MESSAGE_WELCOME));
}

static void start(World *world)
{
    world_start(world);
    join_relay(world, rack1, NODE_ROLES);
}

static Hello relayed_hello(Role role, int session, const char *key, unsigned roles)
{
    Hello hello = world_hello(role, session, 1);
    snprintf(hello.origin_key, sizeof hello.origin_key, "%s", key);
    hello.origin_roles = roles;
    snprintf(hello.via, sizeof hello.via, "the rack");
    return hello;
}

static void join_channel(World *world, Link link, Role role, int session)
{
    Hello hello = relayed_hello(role, session, "node7", NODE_ROLES);
    world_say_hello(world, link, &hello);
}

/* Actors 1…count, each on the channel of its number. */
static void join_actors(World *world, Link relay, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++)
        join_channel(world, link_make((uint32_t)relay, i), ROLE_ACTOR, (int)i);
}

static void say_gone(World *world, Link link)
{
    Message gone = {.kind = MESSAGE_GONE};
    world_say(world, link, &gone);
}

static uint64_t credit_given(World *world)
{
    ActorStatus actors[64];
    uint64_t sum = 0;
    uint32_t n = fleet_actor_status(world->fleet, actors, 64, world->now_ms);
    for (uint32_t i = 0; i < n; i++)
        sum += actors[i].unused_credit;
    return sum;
}

static void assert_peers(const World *world, uint32_t relays, uint32_t actors, uint32_t peers)
{
    assert_int_equal(fleet_num_relays(world->fleet), relays);
    assert_int_equal(fleet_num_actors(world->fleet), actors);
    assert_int_equal(fleet_num_peers(world->fleet), peers);
}

static void test_an_actor_joins_through_a_relay(void **state)
{
    World *world = *state;
    start(world);
    Link link = link_make((uint32_t)rack1, 7);
    join_channel(world, link, ROLE_ACTOR, 1);
    assert_non_null(strstr(world->note, "key node7, via the rack"));
    Welcome welcome = world_welcome(world, link);
    assert_true(welcome.step_limit > 0);
    assert_peers(world, 1, 1, 2);
    assert_int_equal(fleet_num_peers_of_key(world->fleet, "node7"), 1);
    world_send_segment(world, link, 1, 5, SEGMENT_CONTINUES);
    assert_int_equal(world->num_accepted, 1);
    assert_string_equal(world->accepted[0].origin.key, "node7");
    const Message *ack = world_flush(world, link, MESSAGE_ACK);
    assert_non_null(ack);
    assert_int_equal(ack->ack.acked_sequence, 1);
    ActorStatus actor;
    assert_int_equal(fleet_actor_status(world->fleet, &actor, 1, world->now_ms), 1);
    assert_string_equal(actor.via, "the rack");
    assert_string_equal(actor.key, "node7");
}

static void test_subscribers_are_relays_and_direct_actors(void **state)
{
    World *world = *state;
    start(world);
    join_actors(world, rack1, 5);
    come_as(world, "node7", NODE_ROLES);
    world_join(world, direct, ROLE_ACTOR, 6);
    assert_peers(world, 1, 6, 7);
    assert_int_equal(fleet_num_subscribers(world->fleet), 2);
    say_gone(world, link_make((uint32_t)rack1, 2));
    assert_int_equal(fleet_num_subscribers(world->fleet), 2);
    fleet_link_gone(world->fleet, direct);
    assert_int_equal(fleet_num_subscribers(world->fleet), 1);
    fleet_link_gone(world->fleet, rack1);
    assert_int_equal(fleet_num_subscribers(world->fleet), 0);
    assert_peers(world, 0, 0, 0);
}

/* What a Hello says of its origin counts on a channel alone. */
static void test_an_origin_means_nothing_on_a_direct_link(void **state)
{
    World *world = *state;
    start(world);
    come_as(world, "node8", 1U << ROLE_OBSERVER);
    Hello hello = relayed_hello(ROLE_ACTOR, 1, "node7", ALL_ROLES);
    world_say_hello(world, direct, &hello);
    assert_int_equal(world_refusal(world, direct), REJECT_NOT_ALLOWED);
    come_as(world, "node8", 1U << ROLE_ACTOR);
    world_say_hello(world, direct, &hello);
    assert_non_null(world_flush(world, direct, MESSAGE_WELCOME));
    ActorStatus actor;
    assert_int_equal(fleet_actor_status(world->fleet, &actor, 1, world->now_ms), 1);
    assert_string_equal(actor.key, "node8");
    assert_string_equal(actor.via, "");
}

/* A peer has the roles that both its key and the relay's have, and is told which one lacks it. */
static void test_roles_are_those_of_both_keys(void **state)
{
    World *world = *state;
    world_start(world);
    join_relay(world, rack1, 1U << ROLE_ACTOR | 1U << ROLE_OPERATOR);
    static const struct {
        unsigned origin;
        Role asked;
        const char *lacks; /* NULL: it is taken */
    } cases[] = {
        {1U << ROLE_ACTOR, ROLE_ACTOR, NULL},
        {1U << ROLE_EVALUATOR, ROLE_ACTOR, "the key \"node7\" has not"},
        {ALL_ROLES, ROLE_EVALUATOR, "the key \"rack1\" of the relay rack1 has not"},
        {ALL_ROLES, ROLE_OPERATOR, NULL},
        {1U << ROLE_ACTOR, ROLE_OPERATOR, "the key \"node7\" has not"},
        {0, ROLE_ACTOR, "the key \"node7\" has not"},
        {1U << ROLE_OBSERVER, ROLE_OBSERVER, "the key \"rack1\" of the relay rack1 has not"},
        {1U << ROLE_OPERATOR, ROLE_OBSERVER, NULL},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Link link = link_make((uint32_t)rack1, i + 1);
        Hello hello = relayed_hello(cases[i].asked, (int)i + 1, "node7", cases[i].origin);
        world_say_hello(world, link, &hello);
        const Message *message =
            world_flush(world, link, cases[i].lacks ? MESSAGE_REJECT : MESSAGE_WELCOME);
        assert_non_null(message);
        if (!cases[i].lacks)
            continue;
        assert_int_equal(message->reject.reason, REJECT_NOT_ALLOWED);
        assert_memory_equal(message->reject.text, cases[i].lacks, strlen(cases[i].lacks));
    }
}

/* Its connection is on the learner's machine, theirs are not. */
static void test_without_keys_nobody_steers_through_a_relay(void **state)
{
    World *world = *state;
    world_start(world);
    world->identity = identity_without_key(true);
    world_join(world, rack1, ROLE_RELAY, 1000);
    assert_non_null(world_flush(world, rack1, MESSAGE_WELCOME));
    for (int i = 0; i < 2; i++) {
        Link link = link_make((uint32_t)rack1, 1 + (uint32_t)i);
        Hello hello = relayed_hello(ROLE_OPERATOR, 1, i == 0 ? "" : "ann", ALL_ROLES);
        world_say_hello(world, link, &hello);
        assert_int_equal(world_refusal(world, link), REJECT_NOT_ALLOWED);
    }
    Hello hello = relayed_hello(ROLE_ACTOR, 2, "", ALL_ROLES);
    world_say_hello(world, link_make((uint32_t)rack1, 3), &hello);
    assert_peers(world, 1, 1, 2);
}

static void test_a_relay_speaks_for_no_relay(void **state)
{
    World *world = *state;
    start(world);
    Link link = link_make((uint32_t)rack1, 1);
    Hello hello = relayed_hello(ROLE_RELAY, 1, "rack9", ALL_ROLES);
    world_say_hello(world, link, &hello);
    assert_int_equal(world_refusal(world, link), REJECT_NOT_ALLOWED);
    assert_peers(world, 1, 0, 1);
}

/* After a restart of the learner it has to open another connection, not its actors. */
static void test_channels_of_an_unknown_relay_turn_to_its_connection(void **state)
{
    World *world = *state;
    world_start(world);
    Link link = link_make((uint32_t)rack1, 1);
    join_channel(world, link, ROLE_ACTOR, 1);
    assert_int_equal(world_refusal(world, rack1), REJECT_HELLO_FIRST);
    world_beat(world, link);
    assert_null(world_flush(world, link, MESSAGE_REJECT));
    world_send_segment(world, link, 1, 5, SEGMENT_CONTINUES);
    assert_int_equal(world_refusal(world, rack1), REJECT_HELLO_FIRST);
    for (int i = 0; i < 100; i++)
        world_garbage(world, link, ERR_FORMAT, "a segment too early");
    assert_int_equal(world_refusal(world, rack1), REJECT_HELLO_FIRST);
    /* An actor that uses channels is no relay. */
    come_as(world, "node8", NODE_ROLES);
    world_join(world, rack1, ROLE_ACTOR, 1);
    join_channel(world, link, ROLE_ACTOR, 2);
    assert_int_equal(world_refusal(world, rack1), REJECT_HELLO_FIRST);
    assert_peers(world, 0, 1, 1);
    /* None of it is held against the connection. */
    join_relay(world, rack1, NODE_ROLES);
    join_channel(world, link, ROLE_ACTOR, 2);
    assert_peers(world, 1, 1, 2);
}

static void test_an_unknown_channel_is_told_to_say_hello(void **state)
{
    World *world = *state;
    start(world);
    Link link = link_make((uint32_t)rack1, 9);
    world_beat(world, link);
    assert_int_equal(world_refusal(world, link), REJECT_HELLO_FIRST);
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_STOPPING};
    world_say(world, link, &bye);
    say_gone(world, link);
    assert_null(world_flush(world, link, MESSAGE_REJECT));
}

static void test_gone_drops_the_peer_of_the_channel_alone(void **state)
{
    World *world = *state;
    start(world);
    join_actors(world, rack1, 3);
    say_gone(world, link_make((uint32_t)rack1, 2));
    assert_peers(world, 1, 2, 3);
    assert_string_equal(world->note, "actor peer 2 is gone");
    assert_null(world_flush(world, link_make((uint32_t)rack1, 2), MESSAGE_REJECT));
    /* It comes back on another channel. */
    join_channel(world, link_make((uint32_t)rack1, 4), ROLE_ACTOR, 2);
    assert_peers(world, 1, 3, 4);
    /* On a link of its own nobody says so. */
    say_gone(world, rack1);
    assert_int_equal(world_refusal(world, rack1), REJECT_NOT_ALLOWED);
    assert_peers(world, 0, 0, 0);
}

/* In all the ways in which a relay may go, with others before, between and after its peers. */
static void test_with_a_relay_go_all_that_it_speaks_for(void **state)
{
    World *world = *state;
    start(world);
    join_relay(world, rack2, NODE_ROLES);
    static const char *const ends[] = {"relay rack1 is gone, and with it 3 peers",
                                       "relay rack1 says goodbye, and with it 3 peers",
                                       "relay rack1 is connected", "not allowed any more"};
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_STOPPING};
    for (int way = 0; way < 4; way++) {
        for (uint32_t i = 1; i <= 3; i++) {
            join_channel(world, link_make((uint32_t)rack2, 10 + i), ROLE_ACTOR, 10 + (int)i);
            join_channel(world, link_make((uint32_t)rack1, i), i == 2 ? ROLE_EVALUATOR : ROLE_ACTOR,
                         (int)i);
        }
        assert_peers(world, 2, 5, 8);
        uint64_t before = credit_given(world);
        if (way == 0)
            fleet_link_gone(world->fleet, rack1);
        else if (way == 1)
            world_say(world, rack1, &bye);
        else if (way == 2)
            join_relay(world, rack1, NODE_ROLES);
        else
            assert_int_equal(fleet_revoke_key(world->fleet, "rack1"), 1);
        assert_non_null(strstr(world->note, ends[way]));
        assert_peers(world, way == 2 ? 2 : 1, 3, way == 2 ? 5 : 4);
        assert_int_equal(fleet_num_evaluators(world->fleet), 0);
        assert_int_equal(fleet_num_peers_of_key(world->fleet, "node7"), 3);
        /* Others have what these did not use. */
        assert_true(credit_given(world) <= before);
        if (way == 3)
            assert_int_equal(world_refusal(world, rack1), REJECT_NOT_ALLOWED);
        else if (way != 2)
            join_relay(world, rack1, NODE_ROLES);
    }
}

static void test_a_lost_relay_is_one_line(void **state)
{
    World *world = *state;
    start(world);
    join_actors(world, rack1, 30);
    come_as(world, "node7", NODE_ROLES);
    world_join(world, direct, ROLE_ACTOR, 31);
    /* Their last words are spread over an interval. */
    for (uint32_t i = 1; i <= 30; i++) {
        world_beat(world, link_make((uint32_t)rack1, i));
        world_pass(world, i % 3 == 0 ? 100 : 0);
    }
    int notes = world->num_notes;
    for (int i = 0; i < 80; i++) {
        world_beat(world, direct);
        world_pass(world, 100);
    }
    assert_int_equal(world->num_notes, notes + 1);
    assert_non_null(strstr(world->note, "relay rack1 is lost, and with it 30 peers: silent for"));
    assert_peers(world, 0, 1, 1);
}

static void test_a_silent_actor_is_lost_alone(void **state)
{
    World *world = *state;
    start(world);
    join_actors(world, rack1, 2);
    for (int i = 0; i < 60; i++) { /* the relay's own word is not needed */
        world_beat(world, link_make((uint32_t)rack1, 1));
        world_pass(world, 100);
    }
    assert_peers(world, 1, 1, 2);
    assert_non_null(strstr(world->note, "actor peer 2 is lost: silent"));
}

static void test_a_session_moves_between_relays_and_direct_links(void **state)
{
    World *world = *state;
    start(world);
    join_relay(world, rack2, NODE_ROLES);
    const Link ways[] = {link_make((uint32_t)rack1, 1), link_make((uint32_t)rack2, 1), direct,
                         link_make((uint32_t)rack1, 2), link_make((uint32_t)rack1, 3)};
    for (uint64_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        Hello hello = relayed_hello(ROLE_ACTOR, 1, "node7", NODE_ROLES);
        hello.oldest_unacked = i + 1;
        hello.acked_steps = 5 * i;
        come_as(world, ways[i] == direct ? "node7" : "rack", NODE_ROLES);
        world_say_hello(world, ways[i], &hello);
        assert_int_equal(world_welcome(world, ways[i]).acked_sequence, i);
        assert_peers(world, 2, 1, 3);
        assert_int_equal(fleet_num_subscribers(world->fleet), ways[i] == direct ? 3 : 2);
        world_send_segment(world, ways[i], i + 1, 5, SEGMENT_CONTINUES);
        assert_int_equal(world->num_accepted, i + 1);
        if (i > 0) { /* what is late on the old way is not taken */
            world_send_segment(world, ways[i - 1], i + 2, 5, SEGMENT_CONTINUES);
            assert_int_equal(world->num_accepted, i + 1);
            assert_int_equal(world_refusal(world, ways[i - 1]), REJECT_HELLO_FIRST);
        }
    }
    /* The old relay's late word on it changes nothing. */
    say_gone(world, ways[0]);
    assert_peers(world, 2, 1, 3);
    /* Another key does not get it, whatever the way. */
    Hello thief = relayed_hello(ROLE_ACTOR, 1, "node8", NODE_ROLES);
    come_as(world, "rack2", NODE_ROLES);
    world_say_hello(world, ways[1], &thief);
    assert_int_equal(world_refusal(world, ways[1]), REJECT_NOT_ALLOWED);
    assert_peers(world, 2, 1, 3);
}

static void test_garbage_on_a_channel_is_its_peers_alone(void **state)
{
    World *world = *state;
    start(world);
    join_actors(world, rack1, 2);
    Link link = link_make((uint32_t)rack1, 1);
    world_garbage(world, link, ERR_FORMAT, "a segment of 0 steps");
    assert_int_equal(world_refusal(world, link), REJECT_NOT_ALLOWED);
    assert_peers(world, 1, 1, 2);
    /* It is not listened to any more, others are. */
    join_channel(world, link, ROLE_ACTOR, 1);
    assert_int_equal(world_refusal(world, link), REJECT_NOT_ALLOWED);
    join_channel(world, link_make((uint32_t)rack1, 3), ROLE_ACTOR, 1);
    assert_peers(world, 1, 2, 3);
    for (uint32_t i = 10; i < 60; i++)
        world_garbage(world, link_make((uint32_t)rack1, i), ERR_FORMAT, "noise");
    assert_peers(world, 1, 2, 3);
    join_channel(world, link_make((uint32_t)rack1, 60), ROLE_ACTOR, 60);
    assert_peers(world, 1, 3, 4);
    assert_int_equal(fleet_counts(world->fleet).garbage_messages, 51);
}

static void test_relayed_peers_are_within_the_limits(void **state)
{
    World *world = *state;
    world->config.peers_max = 6;
    world->config.peers_per_key_max = 3;
    start(world);
    join_actors(world, rack1, 4);
    assert_peers(world, 1, 3, 4);
    assert_int_equal(world_refusal(world, link_make((uint32_t)rack1, 4)), REJECT_FULL);
    for (int i = 5; i <= 7; i++) {
        Link link = link_make((uint32_t)rack1, (uint32_t)i);
        Hello hello = relayed_hello(ROLE_ACTOR, i, "node8", NODE_ROLES);
        world_say_hello(world, link, &hello);
    }
    assert_peers(world, 1, 5, 6);
    assert_int_equal(world_refusal(world, link_make((uint32_t)rack1, 7)), REJECT_FULL);
}

static void test_a_relay_hears_bye_after_its_peers(void **state)
{
    World *world = *state;
    start(world);
    join_actors(world, rack1, 3);
    fleet_tick(world->fleet, world->now_ms + WORLD_HEARTBEAT_MS); /* acks wait for all of them */
    fleet_say_bye(world->fleet, BYE_FINISHED);
    Link link = 0;
    Link last = 0;
    int byes = 0;
    Message message;
    while (fleet_next_message(world->fleet, world->now_ms, &link, &message)) {
        if (message.kind != MESSAGE_BYE)
            continue;
        byes++;
        last = link;
    }
    assert_int_equal(byes, 4);
    assert_int_equal(last, rack1);
}

static void test_an_evaluator_works_through_a_relay(void **state)
{
    World *world = *state;
    start(world);
    Link link = link_make((uint32_t)rack1, 1);
    join_channel(world, link, ROLE_EVALUATOR, 1);
    EvalRequest request = {.eval_id = 5, .episodes = 2};
    assert_true(fleet_request_evaluation(world->fleet, &request));
    assert_non_null(world_flush(world, link, MESSAGE_EVAL_REQUEST));
    fleet_link_gone(world->fleet, rack1); /* it goes to another one */
    join_relay(world, rack2, NODE_ROLES);
    link = link_make((uint32_t)rack2, 1);
    join_channel(world, link, ROLE_EVALUATOR, 2);
    assert_non_null(world_flush(world, link, MESSAGE_EVAL_REQUEST));
    Message result = {.kind = MESSAGE_EVAL_RESULT, .eval_result = {.eval_id = 5, .episodes = 2}};
    world_say(world, link, &result);
    assert_int_equal(world->num_evaluated, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_actor_joins_through_a_relay),
        TEST(test_subscribers_are_relays_and_direct_actors),
        TEST(test_an_origin_means_nothing_on_a_direct_link),
        TEST(test_roles_are_those_of_both_keys),
        TEST(test_without_keys_nobody_steers_through_a_relay),
        TEST(test_a_relay_speaks_for_no_relay),
        TEST(test_channels_of_an_unknown_relay_turn_to_its_connection),
        TEST(test_an_unknown_channel_is_told_to_say_hello),
        TEST(test_gone_drops_the_peer_of_the_channel_alone),
        TEST(test_with_a_relay_go_all_that_it_speaks_for),
        TEST(test_a_lost_relay_is_one_line),
        TEST(test_a_silent_actor_is_lost_alone),
        TEST(test_a_session_moves_between_relays_and_direct_links),
        TEST(test_garbage_on_a_channel_is_its_peers_alone),
        TEST(test_relayed_peers_are_within_the_limits),
        TEST(test_a_relay_hears_bye_after_its_peers),
        TEST(test_an_evaluator_works_through_a_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
