/* The uplink with its socket, against a ROUTER in the same process. The test says what time it is,
 * from the moment the connection is opened. */
#include "actor/connection.h"

#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "tests/actor/fake_learner.h"

enum { PLACES = 8, STEPS_MAX = 4, OBS_DIM = 2, ACT_DIM = 1 };

static FakeLearner learner;
static void *context;
static Config config;
static Connection connection;
static Outbox outbox;
static Err err;
static int64_t now_ms;
static Message heard; /* by on_message() */
static int heard_count;

static const Hello hello = {
    .role = ROLE_ACTOR,
    .name = "me",
    .num_envs = 1,
    .has_spec = true,
    .spec = {.name = "test",
             .obs_dim = OBS_DIM,
             .act_dim = ACT_DIM,
             .action_low = {-1},
             .action_high = {1}},
};

static int setup(void **state)
{
    (void)state;
    fake_learner_start(&learner, (WireLimits){OBS_DIM, ACT_DIM, STEPS_MAX});
    context = zmq_ctx_new();
    memset(&connection, 0, sizeof connection);
    memset(&config, 0, sizeof config);
    heard_count = 0;
    return outbox_new(&outbox, PLACES, OBS_DIM, ACT_DIM, STEPS_MAX);
}

static int teardown(void **state)
{
    (void)state;
    connection_close(&connection);
    outbox_destroy(&outbox);
    zmq_ctx_term(context);
    fake_learner_stop(&learner);
    return 0;
}

static void open_connection(const char *connect)
{
    snprintf(config.connect, sizeof config.connect, "%s", connect);
    if (connection_open(&connection, context, &config, &hello, &outbox, WIRE_SMALL_BYTES_MAX,
                        &err) != 0)
        fail_msg("%s", err.text);
    /* The connection has read the clock itself: a time before that is one at which it need not
     * dial yet. */
    now_ms = clock_ms();
}

static void drive(void)
{
    if (connection_drive(&connection, now_ms, &err) != 0)
        fail_msg("%s", err.text);
}

/* Waits until something has come, and drives. */
static int drive_on(void)
{
    assert_true(fake_readable(connection.dealer.socket, FAKE_WAIT_MS));
    return connection_drive(&connection, now_ms, &err);
}

static const Message welcome = {.kind = MESSAGE_WELCOME,
                                .welcome = {.protocol_version = WIRE_PROTOCOL_VERSION,
                                            .send_limit_sequence = 100,
                                            .step_limit = 100,
                                            .heartbeat_interval_ms = 400,
                                            .segment_steps = STEPS_MAX}};

/* Hello and Welcome. */
static void come_in(void)
{
    drive();
    fake_learner_expects(&learner, MESSAGE_HELLO);
    fake_learner_says(&learner, &welcome);
    assert_int_equal(drive_on(), 0);
    assert_int_equal(connection.uplink.state, UPLINK_ACTIVE);
}

static void close_segment(void)
{
    Segment *segment = outbox_open(&outbox);
    assert_non_null(segment);
    segment->num_steps = 2;
    for (int i = 0; i < 3 * OBS_DIM; i++)
        segment->obs[i] = (float)i;
    outbox_close(&outbox, segment);
}

static void test_hello_is_answered_and_segments_follow(void **state)
{
    (void)state;
    open_connection(learner.endpoint);
    close_segment();
    assert_false(connection_welcomed(&connection));
    drive();
    const Hello *said = &fake_learner_expects(&learner, MESSAGE_HELLO)->hello;
    assert_int_equal(said->oldest_unacked, 1);
    assert_string_equal(said->name, "me");
    assert_true(spec_equal(&said->spec, &hello.spec));
    assert_false(fake_learner_hears(&learner, 20)); /* nothing before the Welcome */
    fake_learner_says(&learner, &welcome);
    assert_int_equal(drive_on(), 0);
    assert_true(connection_welcomed(&connection));
    assert_false(connection_welcomed(&connection));
    const Segment *segment = &fake_learner_expects(&learner, MESSAGE_SEGMENT)->segment;
    assert_int_equal(segment->sequence, 1);
    assert_int_equal(segment->num_steps, 2);
    assert_true(segment->obs[5] == 5.0F);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK, .ack = {.acked_sequence = 1}});
    assert_int_equal(drive_on(), 0);
    assert_int_equal(outbox_unacked(&outbox), 0);
}

static void test_a_learner_that_refuses_is_an_error_with_its_words(void **state)
{
    (void)state;
    open_connection(learner.endpoint);
    drive();
    fake_learner_expects(&learner, MESSAGE_HELLO);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_REJECT,
                                           .reject = {REJECT_SPEC, "this run is of pendulum"}});
    assert_int_equal(drive_on(), ERR_SPEC);
    assert_non_null(strstr(err.text, "this run is of pendulum"));
    assert_non_null(strstr(err.text, learner.endpoint));
}

static void test_an_endpoint_that_can_never_be_dialled_is_an_error(void **state)
{
    (void)state;
    open_connection("learner:5555");
    assert_int_equal(connection_drive(&connection, now_ms, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "learner:5555"));
    connection_close(&connection);
    config.connect[0] = '\0';
    assert_int_equal(
        connection_open(&connection, context, &config, &hello, &outbox, WIRE_SMALL_BYTES_MAX, &err),
        ERR_USAGE);
}

static void test_an_endpoint_file_is_waited_for(void **state)
{
    (void)state;
    char source[256];
    const char *path = scratch_path(&learner.scratch, "endpoint");
    snprintf(source, sizeof source, "@%s", path);
    open_connection(source);
    drive();
    now_ms += 1500;
    drive();
    assert_null(connection.dealer.socket);
    assert_int_equal(fs_write_file(path, learner.endpoint, strlen(learner.endpoint), &err), 0);
    now_ms += 3001;
    drive();
    fake_learner_expects(&learner, MESSAGE_HELLO);
}

static void test_an_expired_session_is_a_new_one_once(void **state)
{
    (void)state;
    open_connection(learner.endpoint);
    Session first = connection.uplink.hello.session;
    assert_false(connection_new_session(&connection));
    come_in();
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_REJECT,
                                           .reject = {REJECT_SESSION_EXPIRED, "unknown"}});
    assert_int_equal(drive_on(), 0);
    assert_true(connection_new_session(&connection));
    assert_false(connection_new_session(&connection));
    const Message *said = fake_learner_expects(&learner, MESSAGE_HELLO);
    assert_memory_not_equal(&said->hello.session, &first, sizeof first);
    assert_int_equal(said->hello.oldest_unacked, 1);
}

static void test_segments_are_sent_again_after_a_break(void **state)
{
    (void)state;
    open_connection(learner.endpoint);
    come_in();
    close_segment();
    drive();
    fake_learner_expects(&learner, MESSAGE_SEGMENT);
    now_ms += 3 * 400 + 1; /* the learner does not answer */
    drive();
    now_ms += uplink_timeout_ms(&connection.uplink, now_ms);
    drive();
    fake_learner_expects(&learner, MESSAGE_HELLO);
    fake_learner_says(&learner, &welcome);
    assert_int_equal(drive_on(), 0);
    assert_int_equal(fake_learner_expects(&learner, MESSAGE_SEGMENT)->segment.sequence, 1);
}

static void on_message(void *expected, const Message *message)
{
    assert_ptr_equal(expected, &heard);
    heard = *message;
    heard_count++;
}

static void test_every_message_is_handed_on(void **state)
{
    (void)state;
    float params[3] = {1, 2, 3};
    Message request = {.kind = MESSAGE_EVAL_REQUEST,
                       .eval_request = {.eval_id = 5, .episodes = 2, .params = params}};
    assert_int_equal(mlp_shape(&request.eval_request.mlp, OBS_DIM, NULL, 0, ACT_DIM, true, &err),
                     0);
    open_connection(learner.endpoint);
    connection.on_message = on_message;
    connection.context = &heard;
    come_in();
    assert_int_equal(heard.kind, MESSAGE_WELCOME);
    fake_learner_says(&learner, &request);
    assert_int_equal(drive_on(), 0);
    assert_int_equal(heard_count, 2);
    assert_int_equal(heard.kind, MESSAGE_EVAL_REQUEST);
    assert_int_equal(heard.eval_request.eval_id, 5);
    assert_true(heard.eval_request.params[2] == 3.0F);
}

static void test_a_message_that_cannot_be_read_is_left_out(void **state)
{
    (void)state;
    open_connection(learner.endpoint);
    come_in();
    fake_learner_sends_bytes(&learner, "\x7f", 1);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_BYE, .bye = BYE_FINISHED});
    for (int i = 0; i < 2 && connection.uplink.state == UPLINK_ACTIVE; i++)
        assert_int_equal(drive_on(), 0);
    assert_int_equal(connection.uplink.state, UPLINK_FINISHED);
}

static void test_what_was_said_before_the_end_is_delivered(void **state)
{
    (void)state;
    open_connection(learner.endpoint);
    drive();
    connection_close(&connection); /* while it is still being dialled */
    fake_learner_expects(&learner, MESSAGE_HELLO);
}

static void test_a_wait_ends_with_a_message_or_with_its_time(void **state)
{
    (void)state;
    open_connection(learner.endpoint);
    int64_t start_ms = clock_ms();
    connection_wait(&connection, NULL, 20); /* no socket at all */
    assert_in_range(clock_ms() - start_ms, 19, 2000);
    come_in();
    start_ms = clock_ms();
    connection_wait(&connection, NULL, 20);
    assert_in_range(clock_ms() - start_ms, 19, 2000);
    fake_learner_says(&learner, &(Message){.kind = MESSAGE_ACK});
    start_ms = clock_ms();
    connection_wait(&connection, NULL, 10000);
    assert_in_range(clock_ms() - start_ms, 0, 5000);
    drive();
    void *other = fake_bind(context, ZMQ_XPUB, "inproc://other");
    void *sub = zmq_socket(context, ZMQ_SUB);
    zmq_connect(sub, "inproc://other");
    zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0);
    start_ms = clock_ms();
    connection_wait(&connection, other, 10000);
    assert_in_range(clock_ms() - start_ms, 0, 5000);
    zmq_close(sub);
    zmq_close(other);
}

static void test_a_name_is_the_flags_or_tells_host_and_process(void **state)
{
    (void)state;
    char name[WIRE_NAME_MAX + 1];
    char pid[32];
    connection_name(&config, name);
    snprintf(pid, sizeof pid, "/%d", (int)getpid());
    assert_non_null(strstr(name, pid));
    assert_ptr_not_equal(strstr(name, pid), name);
    snprintf(config.name, sizeof config.name, "left arm");
    connection_name(&config, name);
    assert_string_equal(name, "left arm");
    memset(config.name, 'n', sizeof config.name - 1);
    connection_name(&config, name);
    assert_int_equal(strlen(name), WIRE_NAME_MAX);
}

static void test_labels_are_a_comma_list(void **state)
{
    (void)state;
    Hello labelled = {.num_labels = 7};
    assert_int_equal(connection_labels(&config, &labelled, &err), 0);
    assert_int_equal(labelled.num_labels, 0);
    snprintf(config.labels, sizeof config.labels, "rack=4,zone=a b");
    assert_int_equal(connection_labels(&config, &labelled, &err), 0);
    assert_int_equal(labelled.num_labels, 2);
    assert_string_equal(labelled.labels[0], "rack=4");
    assert_string_equal(labelled.labels[1], "zone=a b");
    static const char *const wrong[] = {
        ",",
        "a=1,",
        ",a=1",
        "a=1,,b=2",
        "rack",
        "=4",
        "rack=4,zone",
        "1=,2=,3=,4=,5=,6=,7=,8=,9=,10=,11=,12=,13=,14=,15=,16=,17=",
        "a-label-that-is-longer-than-sixty-three-bytes-cannot-be-sent-to-it=1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(config.labels, sizeof config.labels, "%s", wrong[i]);
        assert_int_equal(connection_labels(&config, &labelled, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, "--labels"));
    }
    config.labels[0] = '\0';
}

static void test_sessions_differ(void **state)
{
    (void)state;
    Session a = {{0}};
    Session b = {{0}};
    assert_int_equal(session_make(&a, &err), 0);
    assert_int_equal(session_make(&b, &err), 0);
    assert_memory_not_equal(&a, &b, sizeof a);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_hello_is_answered_and_segments_follow),
        CASE(test_a_learner_that_refuses_is_an_error_with_its_words),
        CASE(test_an_endpoint_that_can_never_be_dialled_is_an_error),
        CASE(test_an_endpoint_file_is_waited_for),
        CASE(test_an_expired_session_is_a_new_one_once),
        CASE(test_segments_are_sent_again_after_a_break),
        CASE(test_every_message_is_handed_on),
        CASE(test_a_message_that_cannot_be_read_is_left_out),
        CASE(test_what_was_said_before_the_end_is_delivered),
        CASE(test_a_wait_ends_with_a_message_or_with_its_time),
        CASE(test_a_name_is_the_flags_or_tells_host_and_process),
        CASE(test_labels_are_a_comma_list),
        CASE(test_sessions_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
