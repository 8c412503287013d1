/* The router on real sockets: parts of messages, channels of a relay, and what is none of it. */
#include "net/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/scratch.h"

enum { WAIT_MS = 10000, BURST = 4000 };

static Scratch scratch;
static void *context;
static Router *router;
static void *peer;
static Link from; /* of what came last */
static Message message;
static Err err;

static int setup(void **state)
{
    (void)state;
    const int linger_ms = 0;
    const int queue = 0; /* as many as come */
    char endpoint[96];
    scratch = scratch_make();
    snprintf(endpoint, sizeof endpoint, "ipc://%s/uplink", scratch.path);
    context = zmq_ctx_new();
    if (router_new(context, endpoint, 65536, NULL, &router, &err) != 0)
        fail_msg("%s", err.text);
    peer = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(peer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(peer, ZMQ_RCVHWM, &queue, sizeof queue);
    assert_int_equal(zmq_connect(peer, router_endpoint(router)), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    zmq_close(peer);
    router_destroy(&router);
    zmq_ctx_term(context);
    scratch_remove(&scratch);
    return 0;
}

static void wait_readable(void *socket)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
}

static void send_part(const void *bytes, size_t num_bytes, bool more)
{
    assert_int_equal(zmq_send(peer, bytes, num_bytes, more ? ZMQ_SNDMORE : 0), num_bytes);
}

static void send_channel(uint8_t lowest, uint8_t highest)
{
    const uint8_t number[4] = {lowest, 0, 0, highest};
    send_part(number, sizeof number, true);
}

static void send_message(MessageKind kind)
{
    uint8_t frame[1024];
    Message sent = {.kind = kind};
    if (kind == MESSAGE_HELLO)
        sent.hello = (Hello){.protocol_version = WIRE_PROTOCOL_VERSION,
                             .role = ROLE_OBSERVER,
                             .oldest_unacked = 1,
                             .name = "me"};
    size_t bytes = wire_size(&sent, NULL);
    assert_true(bytes <= sizeof frame);
    wire_pack(&sent, NULL, frame);
    send_part(frame, bytes, false);
}

static int receive(void)
{
    wait_readable(router_socket(router));
    return router_receive(router, NULL, &from, &message, &err);
}

/* The link of the connection, once something came over it. */
static Link hello(void)
{
    send_message(MESSAGE_HELLO);
    assert_int_equal(receive(), 0);
    assert_int_equal(message.kind, MESSAGE_HELLO);
    assert_int_equal(link_channel(from), 0);
    assert_true(link_connection(from) != 0);
    return from;
}

static void test_a_channel_stands_before_the_frame(void **state)
{
    (void)state;
    Link connection = hello();
    send_channel(0xfe, 0x80);
    send_message(MESSAGE_HELLO);
    assert_int_equal(receive(), 0);
    assert_string_equal(message.hello.name, "me");
    assert_int_equal(from, link_make(link_connection(connection), 0x800000fe));
    assert_int_equal(router_identity(router)->roles, IDENTITY_OPEN_ROLES);
    send_channel(1, 0);
    send_message(MESSAGE_GONE);
    assert_int_equal(receive(), 0);
    assert_int_equal(message.kind, MESSAGE_GONE);
    assert_int_equal(from, link_make(link_connection(connection), 1));
    assert_int_equal(router_identity(router)->roles, 0);
    assert_int_equal(router_receive(router, NULL, &from, &message, &err), ERR_MISSING);
}

static void test_answers_go_to_the_channel(void **state)
{
    (void)state;
    Link connection = hello();
    Message bye = {.kind = MESSAGE_BYE, .bye = BYE_FINISHED};
    uint8_t part[16];
    assert_int_equal(router_send(router, link_make(link_connection(connection), 0x01020304), &bye),
                     0);
    wait_readable(peer);
    static const uint8_t number[] = {4, 3, 2, 1};
    assert_int_equal(zmq_recv(peer, part, sizeof part, 0), sizeof number);
    assert_memory_equal(part, number, sizeof number);
    int more = 0;
    size_t more_bytes = sizeof more;
    zmq_getsockopt(peer, ZMQ_RCVMORE, &more, &more_bytes);
    assert_true(more);
    assert_int_equal(zmq_recv(peer, part, sizeof part, 0), wire_size(&bye, NULL));
    assert_int_equal(part[0], MESSAGE_BYE);

    assert_int_equal(router_send(router, connection, &bye), 0);
    wait_readable(peer);
    zmq_recv(peer, part, sizeof part, 0);
    zmq_getsockopt(peer, ZMQ_RCVMORE, &more, &more_bytes);
    assert_false(more);
    assert_int_equal(part[0], MESSAGE_BYE);
    assert_int_equal(router_send(router, link_make(link_connection(connection) + 1, 7), &bye),
                     ERR_MISSING);
}

/* What has other parts is the connection's own fault, and the next message is read as it should. */
static void test_other_parts_are_no_message(void **state)
{
    (void)state;
    static const uint8_t zeros[8];
    Link connection = hello();
    for (int kind = 0; kind < 5; kind++) {
        if (kind == 0)
            send_channel(0, 0);
        else if (kind == 1)
            send_part(zeros, 3, true);
        else if (kind == 2)
            send_part(zeros, 5, true);
        else if (kind == 3)
            send_part(zeros, 0, true);
        else {
            send_channel(1, 0);
            send_part(zeros, 4, true);
            send_part(zeros, 1, true);
        }
        send_message(MESSAGE_STATUS_REQUEST);
        assert_int_equal(receive(), ERR_FORMAT);
        assert_int_equal(from, connection);
        assert_non_null(strstr(err.text, "part"));
        assert_int_equal(hello(), connection);
    }
    send_channel(1, 0);
    send_part(zeros, 8, false); /* a frame that cannot be read is its channel's */
    assert_int_equal(receive(), ERR_FORMAT);
    assert_int_equal(from, link_make(link_connection(connection), 1));
}

static void test_frames_pass_undecoded(void **state)
{
    (void)state;
    static const uint8_t noise[] = {200, 1, 2, 3};
    Link connection = hello();
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    send_channel(9, 0);
    send_part(noise, sizeof noise, false);
    wait_readable(router_socket(router));
    assert_int_equal(router_receive_frame(router, &from, &frame), 0);
    assert_int_equal(from, link_make(link_connection(connection), 9));
    assert_int_equal(zmq_msg_size(&frame), sizeof noise);
    assert_memory_equal(zmq_msg_data(&frame), noise, sizeof noise);
    assert_int_equal(router_identity(router)->roles, 0);

    assert_int_equal(router_send_frame(router, from, &frame), 0);
    assert_int_equal(zmq_msg_size(&frame), 0);
    uint8_t part[16];
    wait_readable(peer);
    assert_int_equal(zmq_recv(peer, part, sizeof part, 0), 4);
    assert_int_equal(zmq_recv(peer, part, sizeof part, 0), sizeof noise);
    assert_memory_equal(part, noise, sizeof noise);

    send_message(MESSAGE_HELLO);
    wait_readable(router_socket(router));
    assert_int_equal(router_receive_frame(router, &from, &frame), 0);
    assert_int_equal(router_identity(router)->roles, IDENTITY_OPEN_ROLES);
    assert_int_equal(router_receive_frame(router, &from, &frame), ERR_MISSING);
    zmq_msg_close(&frame);
}

/* Without waiting for the peer: as all actors of a relay get an Ack at once. */
static void test_a_burst_to_a_relay_has_a_place(void **state)
{
    (void)state;
    Link connection = hello();
    Message ack = {.kind = MESSAGE_ACK, .ack.acked_sequence = 1};
    for (uint32_t i = 1; i <= BURST; i++)
        assert_int_equal(router_send(router, link_make(link_connection(connection), i), &ack), 0);
    uint8_t part[64];
    for (uint32_t i = 1; i <= BURST; i++) {
        uint32_t channel = 0;
        wait_readable(peer);
        assert_int_equal(zmq_recv(peer, &channel, sizeof channel, 0), 4);
        assert_int_equal(channel, i);
        assert_true(zmq_recv(peer, part, sizeof part, 0) > 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A router that may get large messages, and reads none, holds few of them. */
static void test_what_is_not_read_makes_the_peer_wait(void **state)
{
    (void)state;
    enum { MESSAGE_BYTES = 128 << 10, LARGE = 2 << 20, SENT_MAX = 200, HELD_MAX = 100 };
    static uint8_t bytes[MESSAGE_BYTES];
    const int queue = 1;
    const int linger_ms = 0;
    char endpoint[96];
    Router *large = NULL;
    int sent = 0;
    snprintf(endpoint, sizeof endpoint, "ipc://%s/large", scratch.path);
    assert_int_equal(router_new(context, endpoint, LARGE, NULL, &large, &err), 0);
    void *busy = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(busy, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(busy, ZMQ_SNDHWM, &queue, sizeof queue);
    assert_int_equal(zmq_connect(busy, endpoint), 0);
    zmq_pollitem_t item = {.socket = busy, .events = ZMQ_POLLOUT};
    while (sent < SENT_MAX && zmq_poll(&item, 1, 500) == 1) {
        assert_int_equal(zmq_send(busy, bytes, sizeof bytes, 0), sizeof bytes);
        sent++;
    }
    assert_in_range(sent, 64, HELD_MAX);
    zmq_close(busy);
    router_destroy(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_channel_stands_before_the_frame),
        TEST(test_answers_go_to_the_channel),
        TEST(test_other_parts_are_no_message),
        TEST(test_frames_pass_undecoded),
        TEST(test_a_burst_to_a_relay_has_a_place),
        TEST(test_what_is_not_read_makes_the_peer_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
