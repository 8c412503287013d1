/* The relay's logic, alone: what goes where, and what it says itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay/hub.h"

enum { HEARTBEAT_MS = 100, SAID_MAX = 64, SEGMENT_STEPS = 64 };

/* What the hub said: to a peer, or upwards with the channel in place of the link. */
typedef struct Said {
    bool up;
    Link to;
    MessageKind kind;
    RejectReason reason;
    ByeReason bye;
    char text[WIRE_TEXT_MAX + 1];
    Version newest;
} Said;

static Hub *hub;
static Said said[SAID_MAX];
static int num_said;
static int num_notes;
static int64_t now_ms;
static Hello hello;
static PeerIdentity identity;
static HelloOrigin origin;
static uint32_t channel;

static void keep(bool up, Link to, const Message *message)
{
    assert_in_range(num_said, 0, SAID_MAX - 1);
    Said *one = &said[num_said++];
    *one = (Said){.up = up, .to = to, .kind = message->kind};
    if (message->kind == MESSAGE_REJECT) {
        one->reason = message->reject.reason;
        memcpy(one->text, message->reject.text, sizeof one->text);
    } else if (message->kind == MESSAGE_BYE) {
        one->bye = message->bye;
    } else if (message->kind == MESSAGE_ACK) {
        one->newest = message->ack.newest;
    } else if (message->kind == MESSAGE_WELCOME) {
        one->newest = message->welcome.newest;
        snprintf(one->text, sizeof one->text, "%.99s", message->welcome.weights_endpoint);
    }
}

static void tell_peer(void *context, Link link, const Message *message)
{
    (void)context;
    keep(false, link, message);
}

static void tell_parent(void *context, uint32_t to, const Message *message)
{
    (void)context;
    keep(true, to, message);
}

static void note(void *context, const char *line)
{
    (void)context;
    (void)line;
    num_notes++;
}

static void make(uint32_t peers_max, uint32_t peers_per_key_max)
{
    const HubSink sink = {NULL, tell_peer, tell_parent, note};
    const HubConfig config = {.name = "rack1",
                              .parent = "tcp://learner:5555",
                              .peers_max = peers_max,
                              .peers_per_key_max = peers_per_key_max};
    hub_destroy(&hub);
    hub = hub_new(&config, &sink);
    assert_non_null(hub);
}

static void connect_parent(void)
{
    const Welcome ours = {.heartbeat_interval_ms = HEARTBEAT_MS,
                          .segment_steps = SEGMENT_STEPS,
                          .weights_endpoint = "ipc:///here",
                          .newest = {3, 7}};
    hub_connected(hub, &ours);
}

static int setup(void **state)
{
    (void)state;
    num_said = 0;
    num_notes = 0;
    now_ms = 1000;
    hello = (Hello){.protocol_version = WIRE_PROTOCOL_VERSION,
                    .role = ROLE_ACTOR,
                    .name = "a",
                    .has_spec = true,
                    .spec = {.name = "test", .obs_dim = 3, .act_dim = 1}};
    identity = (PeerIdentity){.key = "node", .roles = 1 << ROLE_ACTOR | 1 << ROLE_RELAY};
    make(8, 8);
    connect_parent();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hub_destroy(&hub);
    return 0;
}

static HubWay says_bytes(Link link, unsigned kind, size_t bytes)
{
    HubFrame frame = {.kind = kind, .bytes = bytes};
    if (kind == MESSAGE_HELLO) {
        frame.identity = &identity;
        frame.hello = &hello;
        frame.hello_error = "";
    }
    channel = 0;
    return hub_from_peer(hub, link, &frame, now_ms, &channel, &origin);
}

static HubWay says(Link link, unsigned kind)
{
    return says_bytes(link, kind, 50);
}

static uint32_t joins(Link link)
{
    assert_int_equal(says(link, MESSAGE_HELLO), HUB_ON_ADDED);
    assert_int_not_equal(channel, 0);
    return channel;
}

static void joins_as_relay(Link link)
{
    hello.role = ROLE_RELAY;
    hello.has_spec = false;
    assert_int_equal(says(link, MESSAGE_HELLO), HUB_NOWHERE);
    hello.role = ROLE_ACTOR;
    hello.has_spec = true;
    assert_int_equal(said[num_said - 1].kind, MESSAGE_WELCOME);
    num_said = 0;
}

static HubWay hears(uint32_t number, unsigned kind, Link *link)
{
    *link = LINK_NONE;
    return hub_from_parent(hub, number, kind, now_ms, link);
}

static void assert_rejected(Link link, RejectReason reason, const char *text)
{
    assert_int_equal(num_said, 1);
    assert_false(said[0].up);
    assert_true(said[0].to == link);
    assert_int_equal(said[0].kind, MESSAGE_REJECT);
    assert_int_equal(said[0].reason, reason);
    if (!strstr(said[0].text, text))
        fail_msg("\"%s\" has not \"%s\"", said[0].text, text);
    num_said = 0;
}

static void assert_gone(int index, uint32_t number)
{
    assert_in_range(index, 0, num_said - 1);
    assert_true(said[index].up);
    assert_int_equal(said[index].kind, MESSAGE_GONE);
    assert_int_equal(said[index].to, number);
}

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

static void test_a_second_hello_of_a_link_keeps_its_channel(void **state)
{
    (void)state;
    uint32_t first = joins(5);
    assert_int_equal(joins(5), first);
    assert_int_equal(hub_num_peers(hub), 1);
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
    assert_int_equal(num_said, 1);
    assert_gone(0, number);
    hub_link_gone(hub, 5);
    assert_int_equal(num_said, 1);
    number = joins(6);
    hub_link_full(hub, 6);
    assert_gone(1, number);
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
    joins(5); /* again, on its own place */
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

/* --- Relays below ------------------------------------------------------------------------------
 */

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
        TEST(test_what_an_actor_says_goes_up_and_what_it_hears_comes_down),
        TEST(test_a_hello_gets_the_origin_that_was_proved),
        TEST(test_a_second_hello_of_a_link_keeps_its_channel),
        TEST(test_who_says_no_hello_is_told_once_a_second),
        TEST(test_a_hello_that_cannot_be_read_is_refused),
        TEST(test_a_bye_goes_up_and_the_channel_is_forgotten),
        TEST(test_a_reject_comes_down_and_the_channel_is_forgotten),
        TEST(test_the_parent_hears_that_a_peer_is_gone),
        TEST(test_a_channel_on_which_nothing_goes_is_forgotten),
        TEST(test_a_revoked_key_takes_its_peers_out),
        TEST(test_no_more_peers_than_there_are_places),
        TEST(test_a_frame_that_would_end_the_relays_connection_does_not_go_up),
        TEST(test_an_environment_that_is_too_wide_is_refused),
        TEST(test_without_a_parent_peers_are_told_why),
        TEST(test_a_lost_parent_sends_all_away_to_come_again),
        TEST(test_a_finished_run_lets_peers_take_their_leave),
        TEST(test_a_relay_is_welcomed_here_and_hears_what_is_newest),
        TEST(test_a_relay_lives_as_long_as_it_speaks_for_others),
        TEST(test_only_a_key_with_the_role_makes_a_relay),
        TEST(test_only_a_relay_may_use_channels),
        TEST(test_channels_of_a_relay_go_up_on_channels_of_ours),
        TEST(test_with_a_relay_go_all_for_which_it_spoke),
        TEST(test_a_relay_that_begins_anew_has_no_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
