/* Statuses to real sockets whose owners do not read. */
#include "learner/status_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "common/clock.h"
#include "tests/common/scratch.h"

enum { WAIT_MS = 10000, ACTORS = 500, TRIES = 5000, PEERS = 80 };

static Scratch scratch;
static void *peers[PEERS];
static int num_peers;
static void *context;
static Router *router;
static StatusOut *out;
static Message status;
static ActorStatus actors[ACTORS];
static Err err;

static int setup(void **state)
{
    (void)state;
    char endpoint[96];
    scratch = scratch_make();
    snprintf(endpoint, sizeof endpoint, "ipc://%s/uplink", scratch.path);
    context = zmq_ctx_new();
    out = status_out_new();
    assert_non_null(out);
    if (router_new(context, endpoint, 65536, NULL, &router, &err) != 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < ACTORS; i++)
        memset(actors[i].waiting_for, 'w', sizeof actors[i].waiting_for - 1);
    status = (Message){.kind = MESSAGE_STATUS, .status = {.actors = actors, .num_actors = ACTORS}};
    return 0;
}

static void close_peers(void)
{
    while (num_peers > 0)
        zmq_close(peers[--num_peers]);
}

static int teardown(void **state)
{
    (void)state;
    close_peers();
    router_destroy(&router);
    zmq_ctx_term(context);
    status_out_destroy(&out);
    scratch_remove(&scratch);
    return 0;
}

static void wait_readable(void *socket)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
}

/* A peer that libzmq reads next to nothing for, and the link that it has at the router. */
static void *join(Link *link)
{
    const int none = 0;
    const int one = 1;
    void *peer = zmq_socket(context, ZMQ_DEALER);
    peers[num_peers++] = peer;
    zmq_setsockopt(peer, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(peer, ZMQ_RCVHWM, &one, sizeof one);
    assert_int_equal(zmq_connect(peer, router_endpoint(router)), 0);
    uint8_t frame[64];
    Message request = {.kind = MESSAGE_STATUS_REQUEST};
    Message message;
    size_t bytes = wire_size(&request, NULL);
    assert_true(bytes <= sizeof frame);
    wire_pack(&request, NULL, frame);
    assert_int_equal(zmq_send(peer, frame, bytes, 0), bytes);
    wait_readable(router_socket(router));
    assert_int_equal(router_receive(router, &(WireLimits){0}, link, &message, &err), 0);
    return peer;
}

/* Sends as many as fit, until none has for a while. How many. */
static int send_all(Link link)
{
    int count = 0;
    int64_t until_ms = clock_ms() + 200;
    while (count < TRIES && clock_ms() < until_ms) {
        if (!status_out_fits(out, link)) {
            zmq_poll(NULL, 0, 5);
            continue;
        }
        assert_int_equal(status_out_send(out, router, link, &status), 0);
        count++;
        until_ms = clock_ms() + 200;
    }
    return count;
}

static void expect_status(void *peer)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    wait_readable(peer);
    assert_int_equal(zmq_msg_recv(&frame, peer, 0), wire_size(&status, NULL));
    assert_int_equal(((const uint8_t *)zmq_msg_data(&frame))[0], MESSAGE_STATUS);
    zmq_msg_close(&frame);
}

/* libzmq goes on with a connection that is gone whenever its socket is used, as a loop does. */
static void expect_none_held(void)
{
    int64_t until_ms = clock_ms() + WAIT_MS;
    Link link = 0;
    Message message;
    while (status_out_bytes(out) > 0 && clock_ms() < until_ms) {
        assert_int_equal(router_receive(router, &(WireLimits){0}, &link, &message, &err),
                         ERR_MISSING);
        zmq_poll(NULL, 0, 5);
    }
    assert_int_equal(status_out_bytes(out), 0);
}

static void test_who_does_not_read_holds_little_and_gets_all_when_it_reads(void **state)
{
    (void)state;
    Link link = 0;
    Link other = 0;
    void *deaf = join(&link);
    void *peer = join(&other);
    int count = send_all(link);
    assert_in_range(count, 1, 100);
    size_t bytes = status_out_bytes(out);
    assert_in_range(bytes, 1, STATUS_OUT_CONNECTION_BYTES + wire_size(&status, NULL));
    assert_false(status_out_fits(out, link));
    assert_false(status_out_fits(out, link_make((uint32_t)link, 7))); /* nor on its channels */
    /* Others get theirs. */
    assert_true(status_out_fits(out, other));
    assert_int_equal(status_out_send(out, router, other, &status), 0);
    expect_status(peer);
    for (int i = 0; i < count; i++)
        expect_status(deaf);
    expect_none_held();
    assert_true(status_out_fits(out, link));
}

static void test_small_ones_are_few_too(void **state)
{
    (void)state;
    Link link = 0;
    status.status.num_actors = 10;
    join(&link);
    int count = send_all(link);
    size_t bytes = wire_size(&status, NULL);
    assert_true(count < TRIES);
    assert_in_range(status_out_bytes(out), 1,
                    STATUS_OUT_CONNECTION_BYTES / STATUS_OUT_LEAST_BYTES * bytes);
}

static void test_all_together_hold_a_bounded_number_of_bytes(void **state)
{
    (void)state;
    Link link = 0;
    size_t most = 0;
    for (int i = 0; i < PEERS; i++) {
        join(&link);
        while (status_out_fits(out, link))
            assert_int_equal(status_out_send(out, router, link, &status), 0);
        size_t bytes = status_out_bytes(out);
        if (bytes > most)
            most = bytes;
    }
    assert_in_range(most, STATUS_OUT_ALL_BYTES / 2,
                    STATUS_OUT_ALL_BYTES + wire_size(&status, NULL));
    close_peers();
    expect_none_held(); /* what waited for a connection goes with it */
}

static void test_a_status_to_nobody_is_let_go(void **state)
{
    (void)state;
    assert_int_equal(status_out_send(out, router, 12345, &status), ERR_MISSING);
    assert_int_equal(status_out_bytes(out), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_who_does_not_read_holds_little_and_gets_all_when_it_reads),
        TEST(test_small_ones_are_few_too),
        TEST(test_all_together_hold_a_bounded_number_of_bytes),
        TEST(test_a_status_to_nobody_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
