/* Weights out: who gets the newest policy, when, and who waits. Over ipc, with plain subscribers.
 */
#include "net/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "common/clock.h"
#include "proto/wire.h"
#include "tests/common/scratch.h"

enum { DEADLINE_MS = 5000, QUIET_MS = 150 };

static Scratch scratch;
static void *context;
static Publisher *publisher;
static char endpoint[256];
static const uint8_t join[WIRE_TOPIC_MAX] = {'J', 'm', 'e'};
static const uint8_t other[WIRE_TOPIC_MAX] = {'J', 'y', 'o', 'u'};

static int setup(void **state)
{
    (void)state;
    Err err;
    scratch = scratch_make();
    context = zmq_ctx_new();
    snprintf(endpoint, sizeof endpoint, "ipc://%s/weights", scratch.path);
    return publisher_new(context, endpoint, NULL, &publisher, &err);
}

static int teardown(void **state)
{
    (void)state;
    publisher_destroy(&publisher);
    zmq_ctx_term(context);
    scratch_remove(&scratch);
    return 0;
}

static void keep(const char *body)
{
    assert_int_equal(publisher_keep(publisher, (const uint8_t *)body, strlen(body)), 0);
}

static void *subscribe(const uint8_t topic[WIRE_TOPIC_MAX])
{
    void *socket = zmq_socket(context, ZMQ_SUB);
    const int none = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "W", 1);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic, WIRE_TOPIC_MAX);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return socket;
}

static void ask_again(void *socket)
{
    zmq_setsockopt(socket, ZMQ_UNSUBSCRIBE, join, sizeof join);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, join, sizeof join);
}

/* The next frame within wait_ms, while joins are answered; its number of bytes, or -1. */
static int hear(void *socket, char frame[64], int wait_ms)
{
    for (int64_t until_ms = clock_ms() + wait_ms; clock_ms() < until_ms;) {
        publisher_receive(publisher);
        zmq_pollitem_t items[2] = {{.socket = socket, .events = ZMQ_POLLIN},
                                   {.socket = publisher_socket(publisher), .events = ZMQ_POLLIN}};
        zmq_poll(items, 2, 10);
        int bytes = zmq_recv(socket, frame, 63, ZMQ_DONTWAIT);
        if (bytes >= 0) {
            frame[bytes] = '\0';
            return bytes;
        }
    }
    return -1;
}

static void assert_hears(void *socket, char topic, const char *body)
{
    char frame[64];
    int bytes = hear(socket, frame, DEADLINE_MS);
    int topic_bytes = topic == 'J' ? WIRE_TOPIC_MAX : 1;
    assert_int_equal(bytes, topic_bytes + (int)strlen(body));
    assert_int_equal(frame[0], topic);
    assert_string_equal(frame + topic_bytes, body);
}

static void assert_hears_nothing(void *socket)
{
    char frame[64];
    assert_int_equal(hear(socket, frame, QUIET_MS), -1);
}

static void test_a_join_is_answered_on_its_own_topic(void **state)
{
    (void)state;
    keep("policy");
    void *first = subscribe(join);
    assert_hears(first, 'J', "policy");
    void *second = subscribe(other);
    assert_hears(second, 'J', "policy");
    assert_hears_nothing(first);
    publisher_broadcast(publisher, 1000);
    assert_hears(first, 'W', "policy");
    assert_hears(second, 'W', "policy");
    zmq_close(first);
    zmq_close(second);
}

static void test_the_newest_is_what_a_join_gets(void **state)
{
    (void)state;
    keep("a long old policy");
    keep("newer");
    void *socket = subscribe(join);
    assert_hears(socket, 'J', "newer");
    ask_again(socket);
    assert_hears(socket, 'J', "newer");
    zmq_close(socket);
}

static void test_who_asks_again_waits_while_a_broadcast_is_held_back(void **state)
{
    (void)state;
    keep("policy");
    void *socket = subscribe(join);
    assert_hears(socket, 'J', "policy");
    publisher_hold(publisher, true);
    ask_again(socket);
    assert_hears_nothing(socket);
    void *late = subscribe(other);
    assert_hears(late, 'J', "policy"); /* who joins does not wait */
    publisher_hold(publisher, false);
    ask_again(socket);
    assert_hears(socket, 'J', "policy");
    zmq_close(socket);
    zmq_close(late);
}

/* Who has weights has left its own topic: it begins, ends and begins. */
static void test_who_asks_again_without_a_subscription_waits_too(void **state)
{
    (void)state;
    keep("policy");
    void *socket = subscribe(join);
    assert_hears(socket, 'J', "policy");
    zmq_setsockopt(socket, ZMQ_UNSUBSCRIBE, join, sizeof join);
    assert_hears_nothing(socket);
    publisher_hold(publisher, true);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, join, sizeof join);
    ask_again(socket);
    assert_hears_nothing(socket);
    publisher_hold(publisher, false);
    ask_again(socket);
    assert_hears(socket, 'J', "policy");
    assert_hears_nothing(socket); /* once */
    zmq_close(socket);
}

static void test_what_is_forgotten_goes_to_nobody(void **state)
{
    (void)state;
    keep("policy");
    void *socket = subscribe(join);
    assert_hears(socket, 'J', "policy");
    publisher_forget(publisher);
    publisher_tick(publisher, 100000);
    publisher_broadcast(publisher, 100000);
    ask_again(socket);
    assert_hears_nothing(socket);
    keep("another");
    publisher_tick(publisher, 200000);
    assert_hears(socket, 'W', "another");
    zmq_close(socket);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_join_is_answered_on_its_own_topic),
        TEST(test_the_newest_is_what_a_join_gets),
        TEST(test_who_asks_again_waits_while_a_broadcast_is_held_back),
        TEST(test_who_asks_again_without_a_subscription_waits_too),
        TEST(test_what_is_forgotten_goes_to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
