/* Who may come in: roles, keys, other people's sessions, and links that send what cannot be read.
 */
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

static void come_as(World *world, const char *key, unsigned roles)
{
    world->identity = (PeerIdentity){.roles = roles};
    snprintf(world->identity.key, sizeof world->identity.key, "%s", key);
}

static void test_a_key_joins_in_its_roles_alone(void **state)
{
    World *world = *state;
    world_start(world);
    static const Role roles[] = {ROLE_ACTOR, ROLE_EVALUATOR, ROLE_OBSERVER, ROLE_OPERATOR,
                                 ROLE_RELAY};
    Link link = 0;
    for (int granted = 0; granted < 5; granted++) {
        for (int asked = 0; asked < 5; asked++) {
            come_as(world, "k", 1U << roles[granted]);
            link++;
            world_join(world, link, roles[asked], (int)link);
            /* Who steers may look, too. */
            bool allowed = granted == asked ||
                           (roles[granted] == ROLE_OPERATOR && roles[asked] == ROLE_OBSERVER);
            const Message *message =
                world_flush(world, link, allowed ? MESSAGE_WELCOME : MESSAGE_REJECT);
            assert_non_null(message);
            if (!allowed)
                assert_int_equal(message->reject.reason, REJECT_NOT_ALLOWED);
        }
    }
    assert_int_equal(fleet_counts(world->fleet).refused_peers, 19);
}

static void test_a_refused_role_is_told_the_key(void **state)
{
    World *world = *state;
    world_start(world);
    come_as(world, "rack7", 1U << ROLE_OBSERVER);
    world_join(world, 1, ROLE_ACTOR, 1);
    const Message *message = world_flush(world, 1, MESSAGE_REJECT);
    assert_non_null(message);
    assert_string_equal(message->reject.text, "the key \"rack7\" has not the role actor");
    assert_non_null(strstr(world->note, "rack7"));
}

static void test_without_keys_only_those_of_the_machine_steer(void **state)
{
    World *world = *state;
    world_start(world);
    world_join(world, 1, ROLE_OPERATOR, 1);
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    world->identity = identity_without_key(true);
    world_join(world, 2, ROLE_OPERATOR, 2);
    assert_non_null(world_flush(world, 2, MESSAGE_WELCOME));
    /* With keys the machine is no excuse. */
    come_as(world, "k", 1U << ROLE_ACTOR);
    world->identity.local = true;
    world_join(world, 3, ROLE_OPERATOR, 3);
    assert_int_equal(world_refusal(world, 3), REJECT_NOT_ALLOWED);
}

static void test_a_session_belongs_to_the_key_that_opened_it(void **state)
{
    World *world = *state;
    world_start(world);
    come_as(world, "mine", 1U << ROLE_ACTOR);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_flush(world, 1, MESSAGE_WELCOME);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    static const char *const others[] = {"theirs", ""};
    for (uint32_t i = 0; i < 2; i++) {
        come_as(world, others[i], 1U << ROLE_ACTOR);
        world_join(world, 2 + i, ROLE_ACTOR, 1);
        assert_int_equal(world_refusal(world, 2 + i), REJECT_NOT_ALLOWED);
        assert_non_null(strstr(world->note, "the key mine"));
    }
    world_send_segment(world, 1, 2, 5, SEGMENT_CONTINUES); /* nothing changed for the owner */
    assert_int_equal(world->num_accepted, 2);
    come_as(world, "mine", 1U << ROLE_ACTOR);
    world_join(world, 4, ROLE_ACTOR, 1);
    assert_non_null(world_flush(world, 4, MESSAGE_WELCOME));
}

static void test_a_key_has_so_many_peers_and_no_more(void **state)
{
    World *world = *state;
    world->config.peers_per_key_max = 2;
    world_start(world);
    for (Link link = 1; link <= 3; link++) {
        come_as(world, "a", ~0U);
        world_join(world, link, ROLE_OBSERVER, (int)link);
    }
    assert_int_equal(world_refusal(world, 3), REJECT_FULL);
    assert_int_equal(fleet_num_peers_of_key(world->fleet, "a"), 2);
    come_as(world, "b", ~0U);
    world_join(world, 4, ROLE_OBSERVER, 4);
    assert_int_equal(fleet_num_peers_of_key(world->fleet, "b"), 1);
    fleet_link_gone(world->fleet, 1);
    come_as(world, "a", ~0U);
    world_join(world, 5, ROLE_OBSERVER, 5);
    assert_int_equal(fleet_num_peers_of_key(world->fleet, "a"), 2);
    world->identity = identity_without_key(false);
    for (Link link = 6; link <= 9; link++)
        world_join(world, link, ROLE_OBSERVER, (int)link);
    assert_int_equal(fleet_num_peers(world->fleet), 7); /* those without a key are not counted */
}

static void test_however_many_keys_come_each_is_counted(void **state)
{
    World *world = *state;
    enum { KEYS = 5000 };
    world->config.peers_max = KEYS + 1;
    world->config.peers_per_key_max = 1;
    world_start(world);
    char key[IDENTITY_KEY_BYTES];
    for (Link link = 1; link <= KEYS; link++) {
        snprintf(key, sizeof key, "key-%u", link_connection(link));
        come_as(world, key, ~0U);
        world_join(world, link, ROLE_OBSERVER, (int)link);
        assert_int_equal(fleet_num_peers_of_key(world->fleet, key), 1);
    }
    assert_int_equal(world_refusal(world, KEYS), 0);
    world_join(world, KEYS + 1, ROLE_OBSERVER, KEYS + 1);
    assert_int_equal(world_refusal(world, KEYS + 1), REJECT_FULL);
    assert_int_equal(fleet_num_peers(world->fleet), KEYS);
}

static void test_a_revoked_key_loses_its_peers_and_keeps_its_sessions(void **state)
{
    World *world = *state;
    world_start(world);
    come_as(world, "bad", ~0U);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_join(world, 2, ROLE_OBSERVER, 2);
    come_as(world, "good", ~0U);
    world_join(world, 3, ROLE_ACTOR, 3);
    world_send_segment(world, 1, 1, 5, SEGMENT_CONTINUES);
    assert_int_equal(fleet_revoke_key(world->fleet, "bad"), 2);
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    assert_int_equal(fleet_num_peers(world->fleet), 1);
    assert_int_equal(fleet_num_peers_of_key(world->fleet, "bad"), 0);
    come_as(world, "bad", 0); /* which is what a revoked key grants */
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    come_as(world, "bad", ~0U); /* allowed again */
    Hello hello = world_hello(ROLE_ACTOR, 1, 2);
    world_say_hello(world, 4, &hello);
    assert_int_equal(world_welcome(world, 4).acked_sequence, 1);
    assert_int_equal(fleet_revoke_key(world->fleet, ""), 0); /* no key is no key */
}

static void test_a_peer_that_sends_garbage_is_turned_away_for_good(void **state)
{
    World *world = *state;
    world_start(world);
    come_as(world, "k", ~0U);
    world_join(world, 1, ROLE_ACTOR, 1);
    world_garbage(world, 1, ERR_FORMAT, "no such kind");
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    assert_non_null(strstr(world->note, "peer 1"));
    world_garbage(world, 1, ERR_FORMAT, "no such kind");
    world_beat(world, 1);
    assert_int_equal(world_refusal(world, 1), 0); /* no answer */
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world_refusal(world, 1), REJECT_NOT_ALLOWED);
    assert_int_equal(fleet_num_peers(world->fleet), 0);
    assert_int_equal(fleet_counts(world->fleet).garbage_messages, 2);
    /* Its key is counted by. */
    world_join(world, 2, ROLE_ACTOR, 1);
    world_garbage(world, 2, ERR_FORMAT, "no such kind");
    assert_non_null(strstr(world->note, "the key \"k\" did so 2 times"));
}

/* What comes on its channels is a relay's sign of life at that moment, and not at the last tick. */
static void test_a_relay_is_heard_by_garbage_on_its_channels(void **state)
{
    World *world = *state;
    world_start(world);
    come_as(world, "rack", ~0U);
    world_join(world, 1, ROLE_RELAY, 1);
    world_pass(world, 100);
    world->now_ms += 90;
    world_garbage(world, link_make(1, 7), ERR_FORMAT, "noise");
    world_pass(world, 3 * WORLD_HEARTBEAT_MS);
    assert_int_equal(fleet_num_relays(world->fleet), 1);
    world_pass(world, 100);
    assert_int_equal(fleet_num_relays(world->fleet), 0);
}

static void test_a_stranger_is_answered_a_few_times(void **state)
{
    World *world = *state;
    world_start(world);
    int answers = 0;
    for (int i = 0; i < 100; i++) {
        world_garbage(world, 9, ERR_FORMAT, "no such kind");
        answers += world_refusal(world, 9) == REJECT_HELLO_FIRST;
    }
    assert_in_range(answers, 1, 20);
    assert_int_equal(world->num_notes, 1);
    /* Another connection of the same host begins anew. */
    world_join(world, 10, ROLE_ACTOR, 1);
    assert_non_null(world_flush(world, 10, MESSAGE_WELCOME));
}

static void test_a_flood_of_strangers_fills_neither_log_nor_memory(void **state)
{
    World *world = *state;
    world_start(world);
    come_as(world, "k", 0);
    for (Link link = 1; link <= 5000; link++)
        world_join(world, link, ROLE_ACTOR, (int)link);
    assert_in_range(world->num_notes, 1, 10);
    world_pass(world, 10100);
    assert_non_null(strstr(world->note, "and 4995 more"));
    assert_int_equal(fleet_counts(world->fleet).refused_peers, 5000);
    assert_int_equal(fleet_counts(world->fleet).sessions, 0);
    int notes = world->num_notes;
    world_pass(world, 30000);
    assert_int_equal(world->num_notes, notes); /* nothing more to say */
    world_join(world, 1, ROLE_ACTOR, 1);
    assert_int_equal(world->num_notes, notes + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_joins_in_its_roles_alone),
        TEST(test_a_refused_role_is_told_the_key),
        TEST(test_without_keys_only_those_of_the_machine_steer),
        TEST(test_a_session_belongs_to_the_key_that_opened_it),
        TEST(test_a_key_has_so_many_peers_and_no_more),
        TEST(test_however_many_keys_come_each_is_counted),
        TEST(test_a_revoked_key_loses_its_peers_and_keeps_its_sessions),
        TEST(test_a_peer_that_sends_garbage_is_turned_away_for_good),
        TEST(test_a_relay_is_heard_by_garbage_on_its_channels),
        TEST(test_a_stranger_is_answered_a_few_times),
        TEST(test_a_flood_of_strangers_fills_neither_log_nor_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
