/* A hub in a test's hands, and all that it said. */
#ifndef POLYAK_TESTS_RELAY_HUB_FIXTURE_H
#define POLYAK_TESTS_RELAY_HUB_FIXTURE_H

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

static inline void keep(bool up, Link to, const Message *message)
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

static inline void tell_peer(void *context, Link link, const Message *message)
{
    (void)context;
    keep(false, link, message);
}

static inline void tell_parent(void *context, uint32_t to, const Message *message)
{
    (void)context;
    keep(true, to, message);
}

static inline void note(void *context, const char *line)
{
    (void)context;
    (void)line;
    num_notes++;
}

static inline void make(uint32_t peers_max, uint32_t peers_per_key_max)
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

static inline void connect_parent(void)
{
    const Welcome ours = {.heartbeat_interval_ms = HEARTBEAT_MS,
                          .segment_steps = SEGMENT_STEPS,
                          .weights_endpoint = "ipc:///here",
                          .newest = {3, 7}};
    hub_connected(hub, &ours);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
    (void)state;
    hub_destroy(&hub);
    return 0;
}

static inline HubWay says_bytes(Link link, unsigned kind, size_t bytes)
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

static inline HubWay says(Link link, unsigned kind)
{
    return says_bytes(link, kind, 50);
}

/* Of the session that is in `hello`; one of its own where that is none. */
static inline uint32_t joins(Link link)
{
    Session session = hello.session;
    if (session.id[0] == 0)
        memcpy(hello.session.id + 1, &link, sizeof link);
    assert_int_equal(says(link, MESSAGE_HELLO), HUB_ON_ADDED);
    assert_int_not_equal(channel, 0);
    hello.session = session;
    return channel;
}

static inline void joins_as_relay(Link link)
{
    hello.role = ROLE_RELAY;
    hello.has_spec = false;
    hello.session.id[15] = (uint8_t)link;
    assert_int_equal(says(link, MESSAGE_HELLO), HUB_NOWHERE);
    hello.role = ROLE_ACTOR;
    hello.has_spec = true;
    hello.session.id[15] = 0;
    assert_int_equal(said[num_said - 1].kind, MESSAGE_WELCOME);
    num_said = 0;
}

static inline HubWay hears(uint32_t number, unsigned kind, Link *link)
{
    *link = LINK_NONE;
    return hub_from_parent(hub, number, kind, now_ms, link);
}

static inline void assert_rejected(Link link, RejectReason reason, const char *text)
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

static inline void assert_gone(int index, uint32_t number)
{
    assert_in_range(index, 0, num_said - 1);
    assert_true(said[index].up);
    assert_int_equal(said[index].kind, MESSAGE_GONE);
    assert_int_equal(said[index].to, number);
}

#endif
