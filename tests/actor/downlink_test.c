/* The weights' socket, against an XPUB in the same process that answers joins as a learner does. */
#include "actor/downlink.h"

#include "common/clock.h"
#include "common/rng.h"
#include "tests/actor/fake_learner.h"

enum { OBS_DIM = 3, ACT_DIM = 1, PATIENCE_MS = 200 };

static const Session session = {{'s', 'e', 's', 's', 'i', 'o', 'n'}};
static const Session other_session = {{'o', 't', 'h', 'e', 'r'}};

static FakeLearner learner;
static void *context;
static Spec spec;
static Downlink downlink;
static Policy policy;
static Welcome welcome;
static Err err;
static int64_t now_ms;

static int setup(void **state)
{
    (void)state;
    fake_learner_start(&learner, (WireLimits){0});
    context = zmq_ctx_new();
    spec = (Spec){.name = "test", .obs_dim = OBS_DIM, .act_dim = ACT_DIM};
    policy_init(&policy, 1);
    now_ms = 5000;
    welcome = (Welcome){0};
    snprintf(welcome.weights_endpoint, sizeof welcome.weights_endpoint, "%s",
             learner.weights_endpoint);
    return downlink_init(&downlink, context, &spec, &err);
}

static int teardown(void **state)
{
    (void)state;
    downlink_destroy(&downlink);
    policy_destroy(&policy);
    zmq_ctx_term(context);
    fake_learner_stop(&learner);
    return 0;
}

/* The frame of a policy whose parameters are all 0.01 · update; free() it. */
static uint8_t *make_frame(const uint8_t *topic, size_t topic_bytes, Version version, int obs_dim,
                           int width, size_t *bytes)
{
    Weights weights = {.version = version};
    assert_int_equal(mlp_shape(&weights.mlp, obs_dim, &width, 1, ACT_DIM, true, &err), 0);
    size_t count = mlp_num_params(&weights.mlp);
    float *params = malloc(count * sizeof *params);
    assert_non_null(params);
    for (size_t i = 0; i < count; i++)
        params[i] = 0.01F * (float)version.update;
    weights.params = params;
    *bytes = wire_weights_size(&weights, topic_bytes);
    uint8_t *frame = malloc(*bytes);
    assert_non_null(frame);
    wire_weights_pack(&weights, topic, topic_bytes, frame);
    free(params);
    return frame;
}

static void publish_shape(Version version, int obs_dim, int width)
{
    size_t bytes = 0;
    uint8_t *frame = make_frame((const uint8_t *)"W", 1, version, obs_dim, width, &bytes);
    assert_int_equal(zmq_send(learner.xpub, frame, bytes, 0), bytes);
    free(frame);
}

static void publish(uint32_t epoch, uint64_t update)
{
    publish_shape((Version){epoch, update}, OBS_DIM, 4);
}

/* Answers a join as a learner does: on that topic alone. */
static void answer_join(const uint8_t *topic, uint32_t epoch, uint64_t update)
{
    size_t bytes = 0;
    uint8_t *frame =
        make_frame(topic, WIRE_TOPIC_MAX, (Version){epoch, update}, OBS_DIM, 4, &bytes);
    assert_int_equal(zmq_send(learner.xpub, frame, bytes, 0), bytes);
    free(frame);
}

/* The next change of a subscription: of W, or with `join` of that session's topic. */
static void expect_event(bool subscribed, const Session *join)
{
    uint8_t event[1 + WIRE_TOPIC_MAX + 1];
    assert_true(fake_readable(learner.xpub, FAKE_WAIT_MS));
    int bytes = zmq_recv(learner.xpub, event, sizeof event, 0);
    assert_int_equal(event[0], subscribed);
    assert_int_equal(event[1], join ? 'J' : 'W');
    assert_int_equal(bytes, join ? 1 + WIRE_TOPIC_MAX : 2);
    if (join)
        assert_memory_equal(event + 2, join->id, sizeof join->id);
}

static bool any_event(long wait_ms)
{
    return fake_readable(learner.xpub, wait_ms);
}

static void open_downlink(const Session *join)
{
    if (downlink_open(&downlink, &welcome, learner.endpoint, join, &err) != 0)
        fail_msg("%s", err.text);
}

/* Opens, and waits until the subscriptions have arrived: nothing is missed from then on. */
static void join(void)
{
    open_downlink(&session);
    expect_event(true, &session); /* libzmq sorts them */
    expect_event(true, NULL);
}

static void poll_once(void)
{
    downlink_poll(&downlink, &policy, now_ms);
}

/* Polls until the policy is this one. */
static void expect_policy(uint32_t epoch, uint64_t update)
{
    int64_t until_ms = clock_ms() + FAKE_WAIT_MS;
    while (!version_equal(policy.version, (Version){epoch, update})) {
        assert_true(clock_ms() < until_ms);
        fake_readable(downlink.socket, 100);
        poll_once();
    }
    assert_true(policy.params[0] == 0.01F * (float)update);
}

/* Waits for a frame and polls it: the policy must stay as it is. */
static void expect_no_change(void)
{
    Version before = policy.version;
    assert_true(fake_readable(downlink.socket, FAKE_WAIT_MS));
    poll_once();
    assert_true(version_equal(policy.version, before));
}

static void test_weights_reach_the_policy(void **state)
{
    (void)state;
    join();
    poll_once();
    assert_false(policy_is_set(&policy));
    assert_int_equal(downlink.received_ms, 0);
    publish(1, 7);
    expect_policy(1, 7);
    assert_int_equal(downlink.received_ms, 5000);
}

static void test_a_late_joiner_is_answered_on_a_topic_of_its_own(void **state)
{
    (void)state;
    publish(1, 3); /* before it came: lost */
    join();
    answer_join((const uint8_t *)"Jother\0\0\0\0\0\0\0\0\0\0\0", 1, 99); /* to somebody else */
    answer_join(downlink.join_topic, 1, 3);
    expect_policy(1, 3);
}

static void test_the_newest_of_many_is_taken(void **state)
{
    (void)state;
    join();
    for (uint64_t update = 1; update <= 20; update++)
        publish(1, update);
    uint64_t before = 0;
    while (policy.version.update != 20) {
        assert_true(fake_readable(downlink.socket, FAKE_WAIT_MS));
        poll_once();
        assert_true(policy.version.update > before);
        before = policy.version.update;
    }
}

static void test_older_weights_are_not_taken_but_are_a_sign_of_life(void **state)
{
    (void)state;
    join();
    publish(2, 5);
    expect_policy(2, 5);
    const Version older[] = {{2, 4}, {1, 900}, {2, 5}};
    for (size_t i = 0; i < sizeof older / sizeof older[0]; i++) {
        now_ms += 1000;
        publish(older[i].epoch, older[i].update);
        expect_no_change();
        assert_int_equal(downlink.received_ms, now_ms);
    }
}

static void test_a_learner_that_began_again_is_newer_though_its_count_went_back(void **state)
{
    (void)state;
    join();
    publish(1, 500);
    expect_policy(1, 500);
    publish(2, 3);
    expect_policy(2, 3);
}

static void test_damaged_weights_are_left_out(void **state)
{
    (void)state;
    size_t bytes = 0;
    uint8_t *frame = make_frame((const uint8_t *)"W", 1, (Version){1, 2}, OBS_DIM, 4, &bytes);
    frame[bytes - 20] ^= 1;
    join();
    publish(1, 1);
    expect_policy(1, 1);
    now_ms++;
    assert_int_equal(zmq_send(learner.xpub, frame, bytes, 0), bytes);
    expect_no_change();
    assert_int_equal(zmq_send(learner.xpub, "W", 1, 0), 1);
    expect_no_change();
    assert_int_equal(downlink.received_ms, 5000); /* these are none */
    publish(1, 3);
    expect_policy(1, 3);
    free(frame);
}

static void test_weights_of_another_shape_are_left_out(void **state)
{
    (void)state;
    join();
    publish_shape((Version){1, 1}, OBS_DIM + 1, 4);
    expect_no_change();
    assert_false(policy_is_set(&policy));
    publish(1, 2);
    expect_policy(1, 2);
}

static void test_a_large_policy_is_taken_too(void **state)
{
    (void)state;
    enum { WIDTH = 8000 }; /* with 40 inputs 1.3 MB of parameters */
    spec.obs_dim = 40;
    join();
    publish_shape((Version){1, 1}, 40, WIDTH);
    expect_policy(1, 1);
    publish_shape((Version){1, 2}, 40, WIDTH);
    expect_policy(1, 2);
    publish_shape((Version){1, 3}, 40, 4);
    expect_policy(1, 3);
}

static void chase(uint64_t newest, uint32_t publish_interval_ms)
{
    downlink_chase(&downlink, &policy, (Version){1, newest}, publish_interval_ms, now_ms);
}

static void expect_asked_again(void)
{
    expect_event(false, &session);
    expect_event(true, &session);
}

static void test_an_actor_that_stays_behind_asks_again(void **state)
{
    (void)state;
    join();
    for (int i = 0; i < 3; i++) {
        chase(8, 20);
        now_ms += PATIENCE_MS;
        chase(8, 20);
        assert_false(any_event(20));
        now_ms++;
        chase(8, 20);
        expect_asked_again();
    }
    answer_join(downlink.join_topic, 1, 8);
    expect_policy(1, 8);
    expect_event(false, &session); /* it has them */
    now_ms += 10 * PATIENCE_MS;
    chase(8, 20);
    now_ms += 10 * PATIENCE_MS;
    chase(8, 20);
    assert_false(any_event(20));
}

static void test_being_behind_now_and_then_is_no_reason_to_ask(void **state)
{
    (void)state;
    join();
    for (uint64_t update = 1; update < 6; update++) {
        chase(update, 20);
        now_ms += PATIENCE_MS;
        publish(1, update);
        expect_policy(1, update);
        chase(update, 20);
    }
    expect_event(false, &session); /* once some have come */
    assert_false(any_event(20));
}

/* It has no subscription by then, and is to be told from one that joins. */
static void test_who_asks_again_after_it_had_weights_begins_ends_and_begins(void **state)
{
    (void)state;
    join();
    publish(1, 1);
    expect_policy(1, 1);
    expect_event(false, &session);
    chase(8, 20);
    now_ms += PATIENCE_MS + 1;
    chase(8, 20);
    expect_event(true, &session);
    expect_asked_again();
    assert_false(any_event(20));
}

static void test_a_long_publishing_interval_is_waited_for(void **state)
{
    (void)state;
    join();
    chase(8, 3000);
    now_ms += 3000;
    chase(8, 3000);
    assert_false(any_event(20));
    now_ms++;
    chase(8, 3000);
    expect_asked_again();
}

/* libzmq dials no more after a refusal: an actor whose weights stay away must. */
static void test_a_silent_connection_is_dialled_again_and_less_and_less_often(void **state)
{
    (void)state;
    join();
    publish(1, 1);
    expect_policy(1, 1);
    int64_t patience_ms = 5000;
    for (int i = 0; i < 3; i++) {
        void *before = downlink.socket;
        chase(1, 20);
        now_ms += patience_ms - 1;
        chase(1, 20);
        assert_ptr_equal(downlink.socket, before);
        now_ms++;
        chase(1, 20);
        assert_int_equal(downlink.silent_ms, 0); /* as after a new dial */
        patience_ms *= 2;
    }
    publish(1, 2);
    for (int64_t until_ms = clock_ms() + FAKE_WAIT_MS; policy.version.update != 2;) {
        assert_true(clock_ms() < until_ms);
        publish(1, 2); /* until the new subscription is there */
        fake_readable(downlink.socket, 20);
        poll_once();
    }
    assert_int_equal(downlink.patience_ms, 5000);
}

/* Waits for the subscription of a session's topic, past what else comes. */
static void expect_join(const Session *join)
{
    bool joined = false;
    for (int i = 0; i < 4 && !joined; i++) { /* the old socket's end, and the new one's start */
        uint8_t event[1 + WIRE_TOPIC_MAX];
        assert_true(fake_readable(learner.xpub, FAKE_WAIT_MS));
        zmq_recv(learner.xpub, event, sizeof event, 0);
        joined = event[0] == 1 && event[1] == 'J';
        if (joined)
            assert_memory_equal(event + 2, join->id, sizeof join->id);
    }
    assert_true(joined);
}

static void test_a_new_welcome_takes_a_new_socket(void **state)
{
    (void)state;
    join();
    open_downlink(&session);
    expect_join(&session);
    answer_join(downlink.join_topic, 1, 2);
    expect_policy(1, 2);
}

static void test_a_new_session_subscribes_its_own_topic(void **state)
{
    (void)state;
    join();
    open_downlink(&other_session);
    expect_join(&other_session);
    answer_join(downlink.join_topic, 1, 2);
    expect_policy(1, 2);
}

static void test_a_new_place_takes_a_new_socket(void **state)
{
    (void)state;
    join();
    snprintf(welcome.weights_endpoint, sizeof welcome.weights_endpoint, "%s.elsewhere",
             learner.weights_endpoint);
    void *elsewhere = fake_bind(learner.context, ZMQ_XPUB, welcome.weights_endpoint);
    open_downlink(&session);
    assert_true(fake_readable(elsewhere, FAKE_WAIT_MS));
    zmq_close(elsewhere);
}

/* The port is on the host that was dialled. */
static void test_a_port_is_dialled_on_the_learners_host(void **state)
{
    (void)state;
    char bound[128];
    size_t bytes = sizeof bound;
    void *xpub = fake_bind(learner.context, ZMQ_XPUB, "tcp://127.0.0.1:*");
    assert_int_equal(zmq_getsockopt(xpub, ZMQ_LAST_ENDPOINT, bound, &bytes), 0);
    welcome.weights_endpoint[0] = '\0';
    welcome.weights_port = (uint32_t)strtoul(strrchr(bound, ':') + 1, NULL, 10);
    int code = downlink_open(&downlink, &welcome, "tcp://127.0.0.1:1", &session, &err);
    assert_int_equal(code, 0);
    assert_string_equal(downlink.endpoint, bound);
    assert_true(fake_readable(xpub, FAKE_WAIT_MS));
    zmq_close(xpub);
}

static void test_a_place_that_cannot_be_dialled_is_an_error(void **state)
{
    (void)state;
    welcome.weights_endpoint[0] = '\0';
    assert_int_equal(downlink_open(&downlink, &welcome, "tcp://host:1", &session, &err), ERR_USAGE);
    welcome.weights_port = 5556;
    assert_int_equal(downlink_open(&downlink, &welcome, "ipc:///x/y", &session, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "--advertise"));
    snprintf(welcome.weights_endpoint, sizeof welcome.weights_endpoint, "nonsense");
    assert_int_equal(downlink_open(&downlink, &welcome, "tcp://host:1", &session, &err), ERR_NET);
    assert_non_null(strstr(err.text, "nonsense"));
}

static void test_before_a_welcome_there_is_nothing_to_poll(void **state)
{
    (void)state;
    poll_once();
    chase(9, 20);
    now_ms += 100000;
    chase(9, 20);
    assert_null(downlink.socket);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_weights_reach_the_policy),
        CASE(test_a_late_joiner_is_answered_on_a_topic_of_its_own),
        CASE(test_the_newest_of_many_is_taken),
        CASE(test_older_weights_are_not_taken_but_are_a_sign_of_life),
        CASE(test_a_learner_that_began_again_is_newer_though_its_count_went_back),
        CASE(test_damaged_weights_are_left_out),
        CASE(test_weights_of_another_shape_are_left_out),
        CASE(test_a_large_policy_is_taken_too),
        CASE(test_an_actor_that_stays_behind_asks_again),
        CASE(test_being_behind_now_and_then_is_no_reason_to_ask),
        CASE(test_who_asks_again_after_it_had_weights_begins_ends_and_begins),
        CASE(test_a_long_publishing_interval_is_waited_for),
        CASE(test_a_silent_connection_is_dialled_again_and_less_and_less_often),
        CASE(test_a_new_welcome_takes_a_new_socket),
        CASE(test_a_new_session_subscribes_its_own_topic),
        CASE(test_a_new_place_takes_a_new_socket),
        CASE(test_a_port_is_dialled_on_the_learners_host),
        CASE(test_a_place_that_cannot_be_dialled_is_an_error),
        CASE(test_before_a_welcome_there_is_nothing_to_poll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
