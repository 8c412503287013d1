/* The relay's logic, alone: what goes where, and what it says itself. */
#include "tests/relay/hub_fixture.h"

/* --- Passing on --------------------------------------------------------------------------------
 */

static void test_what_an_actor_says_goes_up_and_what_it_hears_comes_down(void **state)
{
    (void)state;
    Link link;
    uint32_t first = joins(5);
    uint32_t second = joins(6);
    assert_int_not_equal(first, second);
    assert_int_equal(says(6, MESSAGE_SEGMENT), HUB_ON);
    assert_int_equal(channel, second);
    assert_int_equal(says(5, MESSAGE_HEARTBEAT), HUB_ON);
    assert_int_equal(channel, first);
    assert_int_equal(hears(first, MESSAGE_WELCOME, &link), HUB_ON_ADDED);
    assert_true(link == 5);
    assert_int_equal(hears(second, MESSAGE_ACK, &link), HUB_ON);
    assert_true(link == 6);
    assert_int_equal(num_said, 0);
}

static void test_a_hello_gets_the_origin_that_was_proved(void **state)
{
    (void)state;
    snprintf(hello.origin_key, sizeof hello.origin_key, "somebody else");
    snprintf(hello.via, sizeof hello.via, "elsewhere");
    hello.origin_roles = 31;
    joins(5);
    assert_string_equal(origin.key, "node");
    assert_int_equal(origin.roles, identity.roles);
    assert_string_equal(origin.via, "rack1");
}

/* The answer to the first Hello is none to the second, which may have said something else. */
static void test_a_second_hello_of_a_link_has_a_channel_of_its_own(void **state)
{
    (void)state;
    Link link;
    uint32_t first = joins(5);
    hello.spec.obs_dim = 512;
    hello.session.id[0] = 2;
    uint32_t second = joins(5);
    assert_int_not_equal(first, second);
    assert_int_equal(hub_num_peers(hub), 1);
    assert_int_equal(num_said, 1);
    assert_gone(0, first);
    assert_int_equal(hears(first, MESSAGE_WELCOME, &link), HUB_NOWHERE);
    assert_gone(1, first);
    assert_int_equal(says_bytes(5, MESSAGE_SEGMENT, HUB_SMALL_BYTES_MAX + 1), HUB_NOWHERE);
    assert_int_equal(said[2].reason, REJECT_NOT_ALLOWED);
}

static void test_who_says_no_hello_is_told_once_a_second(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(says(5, MESSAGE_SEGMENT), HUB_NOWHERE);
    assert_rejected(5, REJECT_HELLO_FIRST, "rack1");
    now_ms += 1000;
    assert_int_equal(says(5, MESSAGE_SEGMENT), HUB_NOWHERE);
    assert_rejected(5, REJECT_HELLO_FIRST, "rack1");
    assert_int_equal(says(6, MESSAGE_BYE), HUB_NOWHERE);
    assert_int_equal(num_said, 0);
}

static void test_a_hello_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    uint32_t number = joins(5);
    HubFrame frame = {.kind = MESSAGE_HELLO,
                      .identity = &identity,
                      .hello = &hello,
                      .hello_code = ERR_SPEC,
                      .hello_error = "no good"};
    assert_int_equal(hub_from_peer(hub, 6, &frame, now_ms, &channel, &origin), HUB_NOWHERE);
    assert_rejected(6, REJECT_SPEC, "no good");
    frame.hello_code = ERR_FORMAT;
    assert_int_equal(hub_from_peer(hub, 5, &frame, now_ms, &channel, &origin), HUB_NOWHERE);
    assert_int_equal(num_said, 2);
    assert_gone(0, number);
    assert_int_equal(said[1].reason, REJECT_NOT_ALLOWED);
    assert_int_equal(hub_num_peers(hub), 0);
}

/* --- Ends --------------------------------------------------------------------------------------
 */

static void test_a_bye_goes_up_and_the_channel_is_forgotten(void **state)
{
    (void)state;
    Link link;
    uint32_t number = joins(5);
    assert_int_equal(says(5, MESSAGE_BYE), HUB_ON);
    assert_int_equal(channel, number);
    assert_int_equal(hub_num_peers(hub), 0);
    assert_int_equal(hears(number, MESSAGE_ACK, &link), HUB_NOWHERE);
    assert_gone(0, number);
}

static void test_a_reject_comes_down_and_the_channel_is_forgotten(void **state)
{
    (void)state;
    Link link;
    uint32_t number = joins(5);
    assert_int_equal(hears(number, MESSAGE_REJECT, &link), HUB_ON);
    assert_true(link == 5);
    assert_int_equal(hub_num_peers(hub), 0);
    assert_int_equal(hears(number, MESSAGE_REJECT, &link), HUB_NOWHERE);
    assert_int_equal(num_said, 0);
}

static void test_the_parent_hears_that_a_peer_is_gone(void **state)
{
    (void)state;
    uint32_t number = joins(5);
    hub_link_gone(hub, 5);
    hub_all_read(hub);
    assert_int_equal(num_said, 1);
    assert_gone(0, number);
    hub_link_gone(hub, 5);
    hub_all_read(hub);
    assert_int_equal(num_said, 1);
    number = joins(6);
    hub_link_full(hub, 6);
    assert_gone(1, number);
}

/* libzmq says that a connection is gone before its last messages are read. */
static void test_the_last_words_of_a_connection_go_up_first(void **state)
{
    (void)state;
    uint32_t number = joins(5);
    hub_link_gone(hub, 5);
    assert_int_equal(num_said, 0);
    assert_int_equal(says(5, MESSAGE_SEGMENT), HUB_ON);
    assert_int_equal(says(5, MESSAGE_BYE), HUB_ON);
    assert_int_equal(channel, number);
    hub_all_read(hub);
    assert_int_equal(num_said, 0);
    assert_int_equal(hub_num_peers(hub), 0);
}

static void test_a_channel_on_which_nothing_goes_is_forgotten(void **state)
{
    (void)state;
    Link link;
    uint32_t number = joins(5);
    for (int i = 0; i < 15; i++) {
        now_ms += HEARTBEAT_MS;
        hub_tick(hub, now_ms);
        hears(number, MESSAGE_ACK, &link);
    }
    assert_int_equal(num_said, 0);
    for (int i = 0; i < 10; i++) {
        now_ms += HEARTBEAT_MS;
        hub_tick(hub, now_ms);
    }
    assert_int_equal(num_said, 0);
    hub_tick(hub, now_ms + 1);
    assert_gone(0, number);
    assert_int_equal(hub_num_peers(hub), 0);
}

static void test_a_revoked_key_takes_its_peers_out(void **state)
{
    (void)state;
    uint32_t number = joins(5);
    snprintf(identity.key, sizeof identity.key, "other");
    joins(6);
    hub_revoke_key(hub, "node");
    assert_int_equal(num_said, 2);
    assert_int_equal(said[0].reason, REJECT_NOT_ALLOWED);
    assert_true(said[0].to == 5);
    assert_gone(1, number);
    assert_int_equal(hub_num_peers(hub), 1);
}

/* --- Limits ------------------------------------------------------------------------------------
 */

static void test_no_more_peers_than_there_are_places(void **state)
{
    (void)state;
    make(3, 2);
    connect_parent();
    joins(5);
    joins(6);
    assert_int_equal(says(7, MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(7, REJECT_FULL, "peers-per-key-max");
    snprintf(identity.key, sizeof identity.key, "other");
    joins(7);
    assert_int_equal(says(8, MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(8, REJECT_FULL, "peers-max");
    joins(7); /* again, on its own place */
}

static void test_who_comes_again_on_another_link_has_its_own_place(void **state)
{
    (void)state;
    make(2, 1);
    connect_parent();
    hello.session.id[0] = 1;
    uint32_t first = joins(5);
    /* Its old connection is not known to be gone. */
    uint32_t again = joins(6);
    assert_int_not_equal(again, first);
    assert_int_equal(num_said, 1);
    assert_gone(0, first);
    assert_int_equal(hub_num_peers(hub), 1);
    num_said = 0;
    hello.session.id[0] = 2;
    assert_int_equal(says(7, MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(7, REJECT_FULL, "peers-per-key-max");
    /* The same session said by another key takes nothing away. */
    snprintf(identity.key, sizeof identity.key, "other");
    hello.session.id[0] = 1;
    joins(7);
    assert_int_equal(num_said, 0);
    assert_int_equal(hub_num_peers(hub), 2);
    assert_int_equal(hub_num_peers_of_key(hub, "node"), 1);
    assert_int_equal(hub_num_peers_of_key(hub, "other"), 1);
}

static void test_a_frame_that_would_end_the_relays_connection_does_not_go_up(void **state)
{
    (void)state;
    Link link;
    size_t segment_bytes = wire_segment_bytes_max(512, 8, SEGMENT_STEPS);
    hello.spec.obs_dim = 512;
    hello.spec.act_dim = 8;
    assert_true(segment_bytes > HUB_SMALL_BYTES_MAX);
    uint32_t number = joins(5);
    hears(number, MESSAGE_WELCOME, &link);
    assert_int_equal(says_bytes(5, MESSAGE_SEGMENT, segment_bytes), HUB_ON);
    assert_int_equal(says_bytes(5, MESSAGE_SEGMENT, segment_bytes + 1), HUB_NOWHERE);
    assert_int_equal(num_said, 2);
    assert_int_equal(said[0].reason, REJECT_NOT_ALLOWED);
    assert_gone(1, number);
    /* Nobody has said yet that this spec is the run's. */
    num_said = 0;
    joins(6);
    assert_int_equal(says_bytes(6, MESSAGE_SEGMENT, HUB_SMALL_BYTES_MAX + 1), HUB_NOWHERE);
    assert_int_equal(said[0].reason, REJECT_NOT_ALLOWED);
}

static void test_an_environment_that_is_too_wide_is_refused(void **state)
{
    (void)state;
    Welcome ours = {.heartbeat_interval_ms = HEARTBEAT_MS, .segment_steps = 4096};
    hub_connected(hub, &ours);
    hello.spec.obs_dim = 4096;
    assert_int_equal(says(5, MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(5, REJECT_SPEC, "dial the learner itself");
}

/* --- Without a parent --------------------------------------------------------------------------
 */

static void test_without_a_parent_peers_are_told_why(void **state)
{
    (void)state;
    make(8, 8);
    hub_set_trouble(hub, "it does not allow this --key");
    assert_int_equal(says(5, MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(
        5, REJECT_LOADING,
        "relay rack1 has no connection to tcp://learner:5555 (it does not allow this --key)");
}

static void test_what_a_parent_without_a_parent_says_is_passed_on(void **state)
{
    (void)state;
    const char *words = "relay top has no connection to tcp://learner:5555 (it does not answer)";
    make(8, 8);
    hub_set_trouble(hub, words);
    says(5, MESSAGE_HELLO);
    assert_rejected(5, REJECT_LOADING, words);
    assert_string_equal(said[0].text, words);
}

static void test_a_lost_parent_sends_all_away_to_come_again(void **state)
{
    (void)state;
    Link link;
    uint32_t number = joins(5);
    joins(6);
    hub_disconnected(hub, BYE_RESTARTING);
    assert_int_equal(num_said, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(said[i].kind, MESSAGE_BYE);
        assert_int_equal(said[i].bye, BYE_RESTARTING);
        assert_true(said[i].to == (Link)(5 + i));
    }
    assert_int_equal(hub_num_peers(hub), 0);
    assert_int_equal(hub_num_direct(hub), 0);
    num_said = 0;
    connect_parent();
    assert_int_not_equal(joins(7), number);
    assert_int_equal(hears(number, MESSAGE_ACK, &link), HUB_NOWHERE);
    assert_gone(0, number);
}

static void test_a_finished_run_lets_peers_take_their_leave(void **state)
{
    (void)state;
    uint32_t number = joins(5);
    hub_disconnected(hub, BYE_FINISHED);
    assert_int_equal(num_said, 1);
    assert_int_equal(said[0].bye, BYE_FINISHED);
    assert_int_equal(says(5, MESSAGE_BYE), HUB_ON);
    assert_int_equal(channel, number);
    assert_int_equal(hub_num_peers(hub), 0);
    assert_int_equal(says(6, MESSAGE_HELLO), HUB_NOWHERE);
    assert_int_equal(said[1].bye, BYE_FINISHED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_an_actor_says_goes_up_and_what_it_hears_comes_down),
        TEST(test_a_hello_gets_the_origin_that_was_proved),
        TEST(test_a_second_hello_of_a_link_has_a_channel_of_its_own),
        TEST(test_who_says_no_hello_is_told_once_a_second),
        TEST(test_a_hello_that_cannot_be_read_is_refused),
        TEST(test_a_bye_goes_up_and_the_channel_is_forgotten),
        TEST(test_a_reject_comes_down_and_the_channel_is_forgotten),
        TEST(test_the_parent_hears_that_a_peer_is_gone),
        TEST(test_the_last_words_of_a_connection_go_up_first),
        TEST(test_a_channel_on_which_nothing_goes_is_forgotten),
        TEST(test_a_revoked_key_takes_its_peers_out),
        TEST(test_no_more_peers_than_there_are_places),
        TEST(test_who_comes_again_on_another_link_has_its_own_place),
        TEST(test_a_frame_that_would_end_the_relays_connection_does_not_go_up),
        TEST(test_an_environment_that_is_too_wide_is_refused),
        TEST(test_without_a_parent_peers_are_told_why),
        TEST(test_what_a_parent_without_a_parent_says_is_passed_on),
        TEST(test_a_lost_parent_sends_all_away_to_come_again),
        TEST(test_a_finished_run_lets_peers_take_their_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
