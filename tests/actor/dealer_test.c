/* The uplink's socket, against a ROUTER in the same process. */
#include "actor/dealer.h"

#include "common/fs.h"
#include "tests/actor/fake_learner.h"

enum { QUEUE_MESSAGES = 1024 };

static FakeLearner learner;
static void *context;
static Dealer dealer;
static Err err;
static Message received;

static int setup(void **state)
{
    (void)state;
    fake_learner_start(&learner, (WireLimits){0});
    context = zmq_ctx_new();
    return context ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    dealer_destroy(&dealer);
    zmq_ctx_term(context);
    fake_learner_stop(&learner);
    return 0;
}

static void init(const char *connect)
{
    if (dealer_init(&dealer, context, connect, WIRE_SMALL_BYTES_MAX, &err) != 0)
        fail_msg("%s", err.text);
}

static void send_heartbeat(uint64_t env_steps)
{
    Message message = {.kind = MESSAGE_HEARTBEAT, .heartbeat = {.env_steps = env_steps}};
    assert_int_equal(dealer_send(&dealer, &message, NULL), 0);
}

static void expect_heartbeat(uint64_t env_steps)
{
    assert_int_equal(fake_learner_expects(&learner, MESSAGE_HEARTBEAT)->heartbeat.env_steps,
                     env_steps);
}

static void send_ack(uint64_t acked)
{
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK, .ack = {.acked_sequence = acked}});
}

static int receive_within(long wait_ms)
{
    fake_readable(dealer.socket, wait_ms);
    return dealer_receive(&dealer, &received, &err);
}

static void test_messages_go_both_ways_in_order(void **state)
{
    (void)state;
    init(learner.endpoint);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    assert_string_equal(dealer.endpoint, learner.endpoint);
    assert_int_equal(dealer_receive(&dealer, &received, &err), ERR_MISSING);
    for (uint64_t i = 0; i < 5; i++)
        send_heartbeat(i);
    for (uint64_t i = 0; i < 5; i++) {
        expect_heartbeat(i);
        send_ack(i);
    }
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(receive_within(FAKE_WAIT_MS), 0);
        assert_int_equal(received.kind, MESSAGE_ACK);
        assert_int_equal(received.ack.acked_sequence, i);
    }
    assert_int_equal(dealer_receive(&dealer, &received, &err), ERR_MISSING);
}

static void test_without_a_socket_nothing_is_sent_or_received(void **state)
{
    (void)state;
    Message message = {.kind = MESSAGE_HEARTBEAT};
    init(learner.endpoint);
    assert_int_equal(dealer_send(&dealer, &message, NULL), ERR_MISSING);
    assert_int_equal(dealer_receive(&dealer, &received, &err), ERR_MISSING);
    dealer_linger(&dealer, 10);
}

static void test_an_endpoint_that_can_be_none_is_refused(void **state)
{
    (void)state;
    const char *const empty[] = {"", "@"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        assert_int_equal(dealer_init(&dealer, context, empty[i], WIRE_SMALL_BYTES_MAX, &err),
                         ERR_USAGE);
        assert_non_null(strstr(err.text, "tcp://HOST:PORT"));
    }
    char *endless = test_malloc(WIRE_ENDPOINT_MAX + 2);
    memset(endless, 'a', WIRE_ENDPOINT_MAX + 1);
    memcpy(endless, "ipc://", 6);
    endless[WIRE_ENDPOINT_MAX + 1] = '\0';
    const char *const wrong[] = {"learner",   "tcp://learner", "http://learner:80",
                                 "tcp://a:b", "ipc://",        endless};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        init(wrong[i]);
        assert_int_equal(dealer_open(&dealer, &err), ERR_USAGE);
        assert_null(dealer.socket);
        assert_non_null(strstr(err.text, "--connect"));
        dealer_destroy(&dealer);
    }
    test_free(endless);
}

static void write_endpoint(const char *path, const char *text)
{
    if (fs_write_file(path, text, strlen(text), &err) != 0)
        fail_msg("%s", err.text);
}

static void test_a_file_is_read_at_every_attempt_and_may_come_later(void **state)
{
    (void)state;
    char source[256];
    char line[256];
    const char *path = scratch_path(&learner.scratch, "endpoint");
    snprintf(source, sizeof source, "@%s", path);
    init(source);
    assert_int_equal(dealer_open(&dealer, &err), ERR_MISSING);
    assert_non_null(strstr(err.text, path));
    write_endpoint(path, "");
    assert_int_equal(dealer_open(&dealer, &err), ERR_MISSING);
    write_endpoint(path, " \n");
    assert_int_equal(dealer_open(&dealer, &err), ERR_MISSING);
    write_endpoint(path, "nonsense\n");
    assert_int_equal(dealer_open(&dealer, &err), ERR_USAGE);
    write_endpoint(path, "ipc:///nobody/listens/here\n");
    assert_int_equal(dealer_open(&dealer, &err), 0);
    assert_string_equal(dealer.endpoint, "ipc:///nobody/listens/here");
    snprintf(line, sizeof line, "%s and a second word\n", learner.endpoint);
    write_endpoint(path, line);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    assert_string_equal(dealer.endpoint, learner.endpoint);
    send_heartbeat(1);
    expect_heartbeat(1);
}

static void test_a_file_that_is_too_long_or_a_directory_is_no_endpoint(void **state)
{
    (void)state;
    char source[256];
    char text[WIRE_ENDPOINT_MAX + 2];
    const char *path = scratch_path(&learner.scratch, "endpoint");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    write_endpoint(path, text);
    snprintf(source, sizeof source, "@%s", path);
    init(source);
    assert_int_not_equal(dealer_open(&dealer, &err), 0);
    assert_null(dealer.socket);
    dealer_destroy(&dealer);
    snprintf(source, sizeof source, "@%s", learner.scratch.path);
    init(source);
    assert_int_not_equal(dealer_open(&dealer, &err), 0);
    assert_null(dealer.socket);
}

/* A socket that is used again would deliver first what it had queued for the old connection. */
static void test_a_new_connection_delivers_nothing_of_the_old_one(void **state)
{
    (void)state;
    char late[160];
    snprintf(late, sizeof late, "%s.late", learner.endpoint);
    init(late);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    for (uint64_t i = 0; i < 10; i++)
        send_heartbeat(i); /* nobody is there yet */
    assert_int_equal(dealer_open(&dealer, &err), 0);
    send_heartbeat(100);
    assert_int_equal(zmq_bind(learner.router, late), 0);
    expect_heartbeat(100);
    assert_false(fake_learner_hears(&learner, 50));
}

static void test_every_connection_is_another_peer(void **state)
{
    (void)state;
    uint8_t peer[FAKE_PEER_BYTES];
    init(learner.endpoint);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    send_heartbeat(1);
    expect_heartbeat(1);
    memcpy(peer, learner.peer, sizeof peer);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    send_heartbeat(2);
    expect_heartbeat(2);
    assert_memory_not_equal(peer, learner.peer, learner.peer_bytes);
}

static void test_a_full_queue_is_told(void **state)
{
    (void)state;
    Message message = {.kind = MESSAGE_HEARTBEAT};
    char nobody[160];
    snprintf(nobody, sizeof nobody, "%s.nobody", learner.endpoint);
    init(nobody);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    int sent = 0;
    while (sent <= QUEUE_MESSAGES && dealer_send(&dealer, &message, NULL) == 0)
        sent++;
    assert_int_equal(sent, QUEUE_MESSAGES);
    assert_int_equal(dealer_send(&dealer, &message, NULL), ERR_FULL);
}

static void test_a_message_that_cannot_be_read_does_not_hide_the_next(void **state)
{
    (void)state;
    init(learner.endpoint);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    send_heartbeat(1);
    expect_heartbeat(1);
    fake_learner_sends_bytes(&learner, "\x7fgarbage", 8);
    fake_learner_sends_bytes(&learner, "", 0);
    send_ack(3);
    assert_int_equal(receive_within(FAKE_WAIT_MS), ERR_FORMAT);
    assert_int_equal(receive_within(FAKE_WAIT_MS), ERR_FORMAT);
    assert_int_equal(receive_within(FAKE_WAIT_MS), 0);
    assert_int_equal(received.ack.acked_sequence, 3);
}

static void test_a_segment_is_not_for_an_actor(void **state)
{
    (void)state;
    float numbers[3] = {0};
    Message message = {
        .kind = MESSAGE_SEGMENT,
        .segment = {
            .sequence = 1, .num_steps = 1, .obs = numbers, .action = numbers, .reward = numbers}};
    const WireLimits dims = {1, 1, 1};
    uint8_t frame[256];
    size_t bytes = wire_size(&message, &dims);
    assert_true(bytes <= sizeof frame);
    wire_pack(&message, &dims, frame);
    init(learner.endpoint);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    send_heartbeat(1);
    expect_heartbeat(1);
    fake_learner_sends_bytes(&learner, frame, bytes);
    assert_int_equal(receive_within(FAKE_WAIT_MS), ERR_FORMAT);
}

static void test_a_frame_beyond_the_limit_never_arrives(void **state)
{
    (void)state;
    static uint8_t frame[WIRE_SMALL_BYTES_MAX + 1] = {0x7f};
    init(learner.endpoint);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    send_heartbeat(1);
    expect_heartbeat(1);
    fake_learner_sends_bytes(&learner, frame, WIRE_SMALL_BYTES_MAX);
    assert_int_equal(receive_within(FAKE_WAIT_MS), ERR_FORMAT);
    fake_learner_sends_bytes(&learner, frame, WIRE_SMALL_BYTES_MAX + 1);
    assert_int_equal(receive_within(200), ERR_MISSING);
}

static void test_a_last_word_goes_out_while_the_socket_lingers(void **state)
{
    (void)state;
    init(learner.endpoint);
    assert_int_equal(dealer_open(&dealer, &err), 0);
    send_heartbeat(1); /* the connection may not even be there yet */
    dealer_linger(&dealer, 2000);
    dealer_destroy(&dealer);
    expect_heartbeat(1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_messages_go_both_ways_in_order),
        CASE(test_without_a_socket_nothing_is_sent_or_received),
        CASE(test_an_endpoint_that_can_be_none_is_refused),
        CASE(test_a_file_is_read_at_every_attempt_and_may_come_later),
        CASE(test_a_file_that_is_too_long_or_a_directory_is_no_endpoint),
        CASE(test_a_new_connection_delivers_nothing_of_the_old_one),
        CASE(test_every_connection_is_another_peer),
        CASE(test_a_full_queue_is_told),
        CASE(test_a_message_that_cannot_be_read_does_not_hide_the_next),
        CASE(test_a_segment_is_not_for_an_actor),
        CASE(test_a_frame_beyond_the_limit_never_arrives),
        CASE(test_a_last_word_goes_out_while_the_socket_lingers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
