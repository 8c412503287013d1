/* A whole relay in a thread, between a learner and an actor in the test's hands. */
#include "relay/relay.h"

#include <pthread.h>

#include "common/clock.h"
#include "tests/actor/fake_learner.h"

enum {
    HEARTBEAT_MS = 20000, /* the learner of these tests gives no signs of life */
    PEERS_MAX = 8,
    FLOOD = 6000, /* more than all queues between the two ends hold */
    FLOOD_BYTES = 2000,
    FRAME_BYTES_MAX = 4096,
};

static FakeLearner learner;
static Config config;
static void *context;
static void *actor;
static pthread_t thread;
static int result;
static Err result_err;
static uint8_t frame[FRAME_BYTES_MAX]; /* the newest that was heard */
static size_t frame_bytes;
static uint32_t channel; /* that it was on */

static void *run_relay(void *unused)
{
    int signal_number = 0;
    result = relay_run(&config, &signal_number, &result_err);
    return unused;
}

/* A socket that dials the relay's endpoint, or what follows it. */
static void *dial(int type, const char *suffix)
{
    char endpoint[512];
    const int none = 0;
    void *socket = zmq_socket(context, type);
    snprintf(endpoint, sizeof endpoint, "%.400s%s", config.bind, suffix);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
    if (type == ZMQ_SUB) {
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "W", 1);
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "Jabcdefghijklmnop", WIRE_TOPIC_MAX);
    }
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return socket;
}

/* The next message that the learner gets, of the relay itself or of a channel. */
static void learner_hears(void)
{
    uint8_t part[FRAME_BYTES_MAX];
    assert_true(fake_readable(learner.router, FAKE_WAIT_MS));
    int bytes = zmq_recv(learner.router, learner.peer, sizeof learner.peer, 0);
    assert_in_range(bytes, 1, FAKE_PEER_BYTES);
    learner.peer_bytes = (size_t)bytes;
    channel = 0;
    for (int more = 1; more;) {
        size_t size = sizeof more;
        bytes = zmq_recv(learner.router, part, sizeof part, 0);
        assert_in_range(bytes, 1, FRAME_BYTES_MAX);
        zmq_getsockopt(learner.router, ZMQ_RCVMORE, &more, &size);
        if (more) {
            assert_int_equal(bytes, 4);
            channel = (uint32_t)part[0] | (uint32_t)part[1] << 8 | (uint32_t)part[2] << 16 |
                      (uint32_t)part[3] << 24;
        }
    }
    frame_bytes = (size_t)bytes;
    memcpy(frame, part, frame_bytes);
}

static void learner_says(uint32_t to, const Message *message)
{
    uint8_t number[4] = {(uint8_t)to, (uint8_t)(to >> 8), (uint8_t)(to >> 16), (uint8_t)(to >> 24)};
    zmq_send(learner.router, learner.peer, learner.peer_bytes, ZMQ_SNDMORE);
    if (to != 0)
        zmq_send(learner.router, number, sizeof number, ZMQ_SNDMORE);
    frame_bytes = wire_size(message, NULL);
    wire_pack(message, NULL, frame);
    assert_int_equal(zmq_send(learner.router, frame, frame_bytes, 0), frame_bytes);
}

static const Message *unpack(void)
{
    Err err;
    if (wire_unpack(frame, frame_bytes, NULL, learner.arena, &learner.heard, &err) != 0)
        fail_msg("%s", err.text);
    return &learner.heard;
}

static void actor_says(const Message *message)
{
    uint8_t bytes[FRAME_BYTES_MAX];
    wire_pack(message, NULL, bytes);
    assert_true(zmq_send(actor, bytes, wire_size(message, NULL), 0) > 0);
}

static const Message *actor_hears(MessageKind kind)
{
    assert_true(fake_readable(actor, FAKE_WAIT_MS));
    int bytes = zmq_recv(actor, frame, sizeof frame, 0);
    assert_in_range(bytes, 1, FRAME_BYTES_MAX);
    frame_bytes = (size_t)bytes;
    assert_int_equal(unpack()->kind, kind);
    return &learner.heard;
}

static void welcome_relay(void)
{
    Message welcome = {.kind = MESSAGE_WELCOME,
                       .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                   .heartbeat_interval_ms = HEARTBEAT_MS,
                                   .segment_steps = 64,
                                   .newest = {1, 5}}};
    learner_hears();
    assert_int_equal(channel, 0);
    assert_int_equal(unpack()->kind, MESSAGE_HELLO);
    assert_int_equal(learner.heard.hello.role, ROLE_RELAY);
    assert_string_equal(learner.heard.hello.name, "rack1");
    snprintf(welcome.welcome.weights_endpoint, sizeof welcome.welcome.weights_endpoint, "%s",
             learner.weights_endpoint);
    learner_says(0, &welcome);
}

static const Message hello = {
    .kind = MESSAGE_HELLO,
    .hello = {.protocol_version = WIRE_PROTOCOL_VERSION,
              .role = ROLE_ACTOR,
              .oldest_unacked = 1,
              .name = "a",
              .num_envs = 1,
              .has_spec = true,
              .spec = {.name = "test",
                       .obs_dim = 3,
                       .act_dim = 1,
                       .action_low = {-1},
                       .action_high = {1}}},
};

static int setup(void **state)
{
    (void)state;
    fake_learner_start(&learner, (WireLimits){0, 0, 0});
    config_init(&config);
    snprintf(config.connect, sizeof config.connect, "%s", learner.endpoint);
    snprintf(config.bind, sizeof config.bind, "ipc://%s/relay", learner.scratch.path);
    snprintf(config.name, sizeof config.name, "rack1");
    config.peers_max = PEERS_MAX;
    context = zmq_ctx_new();
    assert_int_equal(pthread_create(&thread, NULL, run_relay, NULL), 0);
    actor = dial(ZMQ_DEALER, "");
    return 0;
}

/* The run ends, and the relay with it. */
static int teardown(void **state)
{
    (void)state;
    learner_says(0, &(Message){.kind = MESSAGE_BYE, .bye = BYE_FINISHED});
    pthread_join(thread, NULL);
    zmq_close(actor);
    zmq_ctx_term(context);
    fake_learner_stop(&learner);
    if (result != 0)
        fail_msg("%s", result_err.text);
    return 0;
}

/* The actor's Hello; its channel is then in `channel`. */
static void join(void)
{
    actor_says(&hello);
    learner_hears();
    assert_int_not_equal(channel, 0);
}

static void test_a_hello_arrives_with_its_origin_and_a_welcome_with_the_relays_weights(void **state)
{
    (void)state;
    char weights[512];
    Message welcome = {.kind = MESSAGE_WELCOME,
                       .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                   .heartbeat_interval_ms = HEARTBEAT_MS,
                                   .actor_index = 12,
                                   .weights_port = 77,
                                   .segment_steps = 64}};
    welcome_relay();
    join();
    assert_int_equal(unpack()->kind, MESSAGE_HELLO);
    assert_string_equal(learner.heard.hello.name, "a");
    assert_string_equal(learner.heard.hello.via, "rack1");
    assert_int_not_equal(learner.heard.hello.origin_roles & 1U << ROLE_ACTOR, 0);
    learner_says(channel, &welcome);
    actor_hears(MESSAGE_WELCOME);
    snprintf(weights, sizeof weights, "%.400s.weights", config.bind);
    assert_string_equal(learner.heard.welcome.weights_endpoint, weights);
    assert_int_equal(learner.heard.welcome.actor_index, 12);
}

static void test_a_channel_that_nobody_has_is_answered(void **state)
{
    (void)state;
    welcome_relay();
    learner_says(4711, &(Message){.kind = MESSAGE_ACK});
    learner_hears();
    assert_int_equal(channel, 4711);
    assert_int_equal(unpack()->kind, MESSAGE_GONE);
}

static void test_without_a_learner_a_hello_is_answered(void **state)
{
    (void)state;
    actor_says(&hello);
    const Message *message = actor_hears(MESSAGE_REJECT);
    assert_int_equal(message->reject.reason, REJECT_LOADING);
    assert_non_null(strstr(message->reject.text, "rack1"));
    welcome_relay();
}

/* The learner reads nothing for a while. */
static void test_nothing_is_dropped_when_the_learner_is_slow(void **state)
{
    (void)state;
    uint8_t bytes[FLOOD_BYTES] = {MESSAGE_SEGMENT};
    welcome_relay();
    join();
    for (uint32_t i = 0; i < FLOOD; i++) {
        memcpy(bytes + 1, &i, sizeof i);
        assert_int_equal(zmq_send(actor, bytes, sizeof bytes, 0), sizeof bytes);
    }
    usleep(500000);
    for (uint32_t i = 0; i < FLOOD; i++) {
        uint32_t number = 0;
        learner_hears();
        memcpy(&number, frame + 1, sizeof number);
        if (frame[0] != MESSAGE_SEGMENT || frame_bytes != FLOOD_BYTES || number != i)
            fail_msg("in place of segment %u came %u", i, number);
    }
}

/* Sends a policy again and again, as long as `socket` has none; its topic's first byte. */
static int publish_until_heard(void *socket, uint64_t update)
{
    static float params[4];
    uint8_t bytes[256];
    Err err;
    Weights weights = {.version = {1, update}, .params = params};
    assert_int_equal(mlp_shape(&weights.mlp, 3, NULL, 0, 1, true, &err), 0);
    wire_weights_pack(&weights, (const uint8_t *)"W", 1, bytes);
    for (int64_t until_ms = clock_ms() + FAKE_WAIT_MS; clock_ms() < until_ms;) {
        zmq_send(learner.xpub, bytes, wire_weights_size(&weights, 1), 0);
        if (fake_readable(socket, 50) && zmq_recv(socket, bytes, sizeof bytes, 0) > 0)
            return bytes[0];
    }
    return 0;
}

static void test_weights_go_on_to_all_and_to_those_that_come_late(void **state)
{
    (void)state;
    uint8_t bytes[256];
    welcome_relay();
    void *first = dial(ZMQ_SUB, ".weights");
    assert_int_not_equal(publish_until_heard(first, 5), 0);
    /* The learner says nothing more, and the late one has it all the same. */
    void *late = dial(ZMQ_SUB, ".weights");
    assert_true(fake_readable(late, FAKE_WAIT_MS));
    assert_true(zmq_recv(late, bytes, sizeof bytes, 0) > 0);
    zmq_close(first);
    zmq_close(late);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_hello_arrives_with_its_origin_and_a_welcome_with_the_relays_weights),
        TEST(test_a_channel_that_nobody_has_is_answered),
        TEST(test_without_a_learner_a_hello_is_answered),
        TEST(test_nothing_is_dropped_when_the_learner_is_slow),
        TEST(test_weights_go_on_to_all_and_to_those_that_come_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
