/* What becomes of a hub's peers with the connection to its parent. */
#include "tests/relay/hub_fixture.h"

static Uplink uplink;
static const Welcome place = {.weights_port = 77, .weights_endpoint = "ipc:///here"};

static HubNews follows(void)
{
    return hub_follow(hub, &uplink, &place, "it does not answer");
}

static int setup_alone(void **state)
{
    setup(state);
    make(8, 8);
    uplink = (Uplink){.state = UPLINK_CONNECTING};
    return 0;
}

static void connects(void)
{
    uplink.state = UPLINK_ACTIVE;
    uplink.welcomes++;
    uplink.welcome = (Welcome){.heartbeat_interval_ms = HEARTBEAT_MS,
                               .segment_steps = SEGMENT_STEPS,
                               .weights_endpoint = "ipc:///there"};
    assert_int_equal(follows(), HUB_WELCOMED);
    assert_true(hub_is_connected(hub));
    assert_int_equal(follows(), HUB_NO_NEWS);
}

static void test_peers_come_in_once_the_parent_is_there(void **state)
{
    (void)state;
    assert_int_equal(follows(), HUB_NO_NEWS);
    assert_int_equal(says(5, MESSAGE_HELLO), HUB_NOWHERE);
    assert_rejected(5, REJECT_LOADING, "it does not answer");
    connects();
    joins(5);
    uplink.newest = (Version){3, 9};
    assert_int_equal(follows(), HUB_NO_NEWS);
    hello.role = ROLE_RELAY;
    says(6, MESSAGE_HELLO);
    assert_int_equal(num_said, 1);
    assert_int_equal(said[0].kind, MESSAGE_WELCOME);
    assert_string_equal(said[0].text, "ipc:///here");
    assert_int_equal(said[0].newest.update, 9);
}

static void test_another_welcome_is_another_connection(void **state)
{
    (void)state;
    connects();
    joins(5);
    connects();
    assert_int_equal(num_said, 1);
    assert_int_equal(said[0].bye, BYE_RESTARTING);
    assert_int_equal(hub_num_peers(hub), 0);
    joins(5);
    uplink.state = UPLINK_CONNECTING;
    assert_int_equal(follows(), HUB_NO_NEWS);
    assert_int_equal(hub_num_peers(hub), 0);
    assert_false(hub_is_connected(hub));
}

static void test_the_end_is_told_once(void **state)
{
    (void)state;
    connects();
    joins(5);
    uplink.state = UPLINK_FINISHED;
    assert_int_equal(follows(), HUB_FINISHED);
    assert_int_equal(said[0].bye, BYE_FINISHED);
    assert_int_equal(follows(), HUB_NO_NEWS);
    assert_int_equal(num_said, 1);
    assert_int_equal(hub_num_peers(hub), 1); /* it takes its leave */
}

static void test_a_relay_that_takes_its_leave_lets_nobody_in_again(void **state)
{
    (void)state;
    connects();
    hub_disconnected(hub, BYE_RESTARTING);
    assert_int_equal(follows(), HUB_NO_NEWS);
    assert_false(hub_is_connected(hub));
}

static void test_a_refusal_is_news_and_lets_nobody_in(void **state)
{
    (void)state;
    uplink.state = UPLINK_REFUSED;
    assert_int_equal(follows(), HUB_REFUSED);
    assert_int_equal(says(5, MESSAGE_HELLO), HUB_NOWHERE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_alone, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_peers_come_in_once_the_parent_is_there),
        TEST(test_another_welcome_is_another_connection),
        TEST(test_the_end_is_told_once),
        TEST(test_a_relay_that_takes_its_leave_lets_nobody_in_again),
        TEST(test_a_refusal_is_news_and_lets_nobody_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
