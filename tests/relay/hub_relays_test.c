/* The relay's logic with relays below: who may speak for others, and who goes with it. */
#include "tests/relay/hub_fixture.h"

static void test_a_relay_is_welcomed_here_and_hears_what_is_newest(void **state)
{
    (void)state;
    hello.role = ROLE_RELAY;
    hello.has_spec = false;
    assert_int_equal(says(5, MESSAGE_HELLO), HUB_NOWHERE);
    assert_int_equal(num_said, 1);
    assert_int_equal(said[0].kind, MESSAGE_WELCOME);
    assert_string_equal(said[0].text, "ipc:///here");
    assert_int_equal(said[0].newest.update, 7);
    assert_int_equal(hub_counts(hub).relays, 1);
    hub_set_newest(hub, (Version){3, 8});
    now_ms += HEARTBEAT_MS;
    hub_tick(hub, now_ms);
    assert_int_equal(num_said, 2);
    assert_int_equal(said[1].kind, MESSAGE_ACK);
    assert_int_equal(said[1].newest.update, 8);
    assert_int_equal(says(5, MESSAGE_HEARTBEAT), HUB_NOWHERE);
    assert_int_equal(num_said, 2);
}

static void test_a_relay_lives_as_long_as_it_speaks_for_others(void **state)
{
    (void)state;
    joins_as_relay(5);
    joins(link_make(5, 1));
    for (int i = 0; i < 5; i++) {
        now_ms += HEARTBEAT_MS;
        assert_int_equal(says(link_make(5, 1), MESSAGE_SEGMENT), HUB_ON);
        hub_tick(hub, now_ms);
    }
    assert_int_equal(hub_counts(hub).relays, 1);
}

static void test_a_hub_that_did_not_look_loses_nobody(void **state)
{
    (void)state;
    joins_as_relay(5);
    joins(link_make(5, 1));
    hub_tick(hub, now_ms);
    now_ms += 50 * HEARTBEAT_MS;
    hub_tick(hub, now_ms);
    assert_int_equal(hub_num_peers(hub), 2);
}

/* As long as the parent takes nothing, nothing from below is read, and all look silent. */
static void test_nobody_is_silent_while_nothing_is_read(void **state)
{
    (void)state;
    joins_as_relay(5);
    joins(link_make(5, 1));
    hub_tick(hub, now_ms);
    hub_set_held_up(hub, true);
    for (int i = 0; i < 20; i++) {
        now_ms += HEARTBEAT_MS;
        hub_tick(hub, now_ms);
    }
    assert_int_equal(hub_num_peers(hub), 2);
    hub_set_held_up(hub, false);
    now_ms += 3 * HEARTBEAT_MS / 4;
    hub_tick(hub, now_ms);
    assert_int_equal(hub_num_peers(hub), 2);
    for (int i = 0; i < 4; i++) {
        now_ms += HEARTBEAT_MS;
        hub_tick(hub, now_ms);
    }
    assert_int_equal(hub_num_peers(hub), 0);
}

/* What came meanwhile is read before the tick: it counts from then, and no longer. */
static void test_a_long_pause_gives_nobody_a_long_life(void **state)
{
    (void)state;
    joins_as_relay(5);
    hub_tick(hub, now_ms);
    now_ms += 6000 * HEARTBEAT_MS;
    says(5, MESSAGE_HEARTBEAT);
    hub_tick(hub, now_ms);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(hub_num_peers(hub), 1);
        now_ms += HEARTBEAT_MS;
        hub_tick(hub, now_ms);
    }
    assert_int_equal(hub_num_peers(hub), 0);
}

static void test_a_relay_that_comes_again_takes_its_place(void **state)
{
    (void)state;
    make(2, 1);
    connect_parent();
    snprintf(hello.origin_key, sizeof hello.origin_key, "far");
    hello.origin_roles = 1 << ROLE_ACTOR;
    hello.session.id[0] = 9;
    hello.role = ROLE_RELAY;
    says(5, MESSAGE_HELLO);
    hello.role = ROLE_ACTOR;
    uint32_t number = joins(link_make(5, 1));
    hello.role = ROLE_RELAY;
    num_said = 0;
    says(6, MESSAGE_HELLO);
    assert_int_equal(num_said, 2);
    assert_gone(0, number);
    assert_int_equal(said[1].kind, MESSAGE_WELCOME);
    assert_true(said[1].to == 6);
    assert_int_equal(hub_num_peers(hub), 1);
}

static void test_only_a_key_with_the_role_makes_a_relay(void **state)
{
    (void)state;
    identity.roles = 1 << ROLE_ACTOR;
    hello.role = ROLE_RELAY;
    assert_int_equal(says(5, MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(5, REJECT_NOT_ALLOWED, "node");
    assert_int_equal(hub_num_peers(hub), 0);
}

static void test_only_a_relay_may_use_channels(void **state)
{
    (void)state;
    assert_int_equal(says(link_make(5, 1), MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(5, REJECT_HELLO_FIRST, "");
    now_ms += 1000;
    joins(5);
    assert_int_equal(says(link_make(5, 1), MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(5, REJECT_HELLO_FIRST, "");
    now_ms += 1000;
    assert_int_equal(says(link_make(5, 1), MESSAGE_SEGMENT), HUB_NOWHERE);
    assert_rejected(5, REJECT_HELLO_FIRST, "");
}

static void test_channels_of_a_relay_go_up_on_channels_of_ours(void **state)
{
    (void)state;
    Link link;
    joins_as_relay(5);
    snprintf(hello.origin_key, sizeof hello.origin_key, "far");
    snprintf(hello.via, sizeof hello.via, "rack9");
    hello.origin_roles = 1 << ROLE_ACTOR | 1 << ROLE_OPERATOR;
    uint32_t number = joins(link_make(5, 77));
    assert_string_equal(origin.key, "far");
    assert_string_equal(origin.via, "rack9");
    assert_int_equal(origin.roles, 1 << ROLE_ACTOR); /* what the relay's own key grants too */
    assert_int_equal(hears(number, MESSAGE_WELCOME, &link), HUB_ON);
    assert_true(link == link_make(5, 77));
    assert_int_equal(says(link_make(5, 77), MESSAGE_SEGMENT), HUB_ON);
    assert_int_equal(channel, number);
    assert_int_equal(hub_num_direct(hub), 1);
    /* Another one that it does not know is that channel's trouble, not the relay's. */
    assert_int_equal(says(link_make(5, 78), MESSAGE_SEGMENT), HUB_NOWHERE);
    assert_rejected(link_make(5, 78), REJECT_HELLO_FIRST, "");
    assert_int_equal(says(link_make(5, 77), MESSAGE_GONE), HUB_ON);
    assert_int_equal(hub_num_peers(hub), 1);
}

static void relay_goes(int how)
{
    num_said = 0;
    joins_as_relay(5);
    uint32_t first = joins(link_make(5, 1));
    uint32_t second = joins(link_make(5, 2));
    joins(6);
    num_said = 0;
    switch (how) {
    case 0:
        hub_link_gone(hub, link_make(5, 2));
        hub_all_read(hub);
        break;
    case 1:
        assert_int_equal(says(5, MESSAGE_BYE), HUB_NOWHERE);
        break;
    case 2:
        for (int i = 0; i <= 3; i++) {
            now_ms += HEARTBEAT_MS;
            says(6, MESSAGE_HEARTBEAT);
        }
        hub_tick(hub, now_ms);
        break;
    default:
        assert_int_equal(says(5, MESSAGE_SEGMENT), HUB_NOWHERE);
        assert_int_equal(said[0].reason, REJECT_NOT_ALLOWED);
        memmove(said, said + 1, sizeof said - sizeof said[0]);
        num_said--;
        break;
    }
    assert_int_equal(num_said, 2);
    assert_gone(0, first);
    assert_gone(1, second);
    assert_int_equal(hub_num_peers(hub), 1);
    assert_int_equal(hub_num_direct(hub), 1);
    assert_int_equal(hub_counts(hub).relays, 0);
}

static void test_with_a_relay_go_all_for_which_it_spoke(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        make(8, 8);
        connect_parent();
        relay_goes(how);
    }
}

static void test_a_relay_that_begins_anew_has_no_channels(void **state)
{
    (void)state;
    joins_as_relay(5);
    uint32_t number = joins(link_make(5, 1));
    hello.role = ROLE_RELAY;
    assert_int_equal(says(5, MESSAGE_HELLO), HUB_NOWHERE);
    assert_int_equal(num_said, 2);
    assert_gone(0, number);
    assert_int_equal(said[1].kind, MESSAGE_WELCOME);
    assert_int_equal(hub_num_peers(hub), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_relay_is_welcomed_here_and_hears_what_is_newest),
        TEST(test_a_relay_lives_as_long_as_it_speaks_for_others),
        TEST(test_a_hub_that_did_not_look_loses_nobody),
        TEST(test_nobody_is_silent_while_nothing_is_read),
        TEST(test_a_long_pause_gives_nobody_a_long_life),
        TEST(test_a_relay_that_comes_again_takes_its_place),
        TEST(test_only_a_key_with_the_role_makes_a_relay),
        TEST(test_only_a_relay_may_use_channels),
        TEST(test_channels_of_a_relay_go_up_on_channels_of_ours),
        TEST(test_with_a_relay_go_all_for_which_it_spoke),
        TEST(test_a_relay_that_begins_anew_has_no_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
