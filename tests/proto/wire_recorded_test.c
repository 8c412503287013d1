/* The bytes of released versions: what was recorded of this version must stay as it is, and what
 * was recorded of an earlier one does no harm.
 *
 *     test.proto.wire_recorded --record    prints the frames of this version, for recorded/vN.txt
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "tests/proto/wire_recorded.h"

/* Kinds that version 3 had at first, and what was recorded after them. */
enum { NUM_KINDS = MESSAGE_OUTCOME, NUM_WEIGHTS = 2, LEAST_RECORDED = 13 };

static const WireLimits dims = {.obs_dim = 3, .act_dim = 2, .segment_steps_max = 4};
static const uint8_t join_topic[WIRE_TOPIC_MAX] = "J0123456789abcdef";

/* Numbers that are exact in every format. */
static float columns[5 * 3 + 4 * 2 + 4 + 64];
static ActorStatus status_actors[2];

static void fill_columns(void)
{
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        columns[i] = (float)((int)(i * 37 % 128) - 64) / 64;
}

static Hello sample_hello(void)
{
    return (Hello){.protocol_version = WIRE_PROTOCOL_VERSION,
                   .role = ROLE_ACTOR,
                   .session = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}},
                   .oldest_unacked = 1,
                   .name = "node7/0",
                   .num_labels = 2,
                   .labels = {"rack=4", "zone=é"},
                   .has_spec = true,
                   .spec = {.name = "toy",
                            .obs_dim = 1,
                            .act_dim = 1,
                            .step_limit = 100,
                            .action_low = {-2},
                            .action_high = {2}},
                   .num_envs = 3,
                   .acked_steps = 4480000};
}

static Welcome sample_welcome(void)
{
    return (Welcome){.protocol_version = WIRE_PROTOCOL_VERSION,
                     .epoch = 3,
                     .actor_index = 4,
                     .incarnation = 3 << 16 | 1,
                     .weights_port = 5556,
                     .weights_endpoint = "tcp://learner:5556",
                     .acked_sequence = 70000,
                     .send_limit_sequence = 70016,
                     .step_limit = 1000000000000,
                     .newest = {3, 123456},
                     .heartbeat_interval_ms = 1000,
                     .seed = 77,
                     .segment_steps = 64,
                     .segment_flush_ms = 1000,
                     .noise = 1,
                     .sigma = 0.25,
                     .ou_theta = 0.125,
                     .ou_dt = 1,
                     .publish_interval_ms = 20,
                     .policy_age_s_max = 30,
                     .sync = true};
}

static Segment sample_segment(void)
{
    return (Segment){.sequence = 70001,
                     .env_index = 2,
                     .episode = 300,
                     .first_step = 192,
                     .num_steps = 4,
                     .end = SEGMENT_TRUNCATED,
                     .episode_return = -1234.5,
                     .version = {3, 123456},
                     .obs = columns,
                     .action = columns + 15,
                     .reward = columns + 23};
}

static Heartbeat sample_heartbeat(void)
{
    return (Heartbeat){.env_steps = 123456789,
                       .version = {3, 123456},
                       .dropped_steps = 2,
                       .waiting_for = "credit",
                       .steps_per_s = 512.5,
                       .outbox_segments = 7,
                       .lost_segments = 3,
                       .lost_steps = 192};
}

static RunStatus sample_status(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        status_actors[i] = (ActorStatus){.actor_index = i,
                                         .incarnation = 3 << 16,
                                         .name = "node7/0",
                                         .env_steps = 123456789,
                                         .unused_credit = 64,
                                         .silent_ms = 17,
                                         .dropped_steps = 2,
                                         .waiting_for = "credit",
                                         .learner_reason = "1,024 steps ahead",
                                         .labels = "rack=4,zone=é",
                                         .key = "node7",
                                         .num_envs = 3,
                                         .env_steps_per_s = 512.5,
                                         .policy_lag_updates = 40,
                                         .policy_epoch_old = true,
                                         .send_credit = 16,
                                         .outbox_segments = 7,
                                         .lost_steps = 64,
                                         .expired_segments = 3,
                                         .expired_steps = 192,
                                         .draining = true};
    }
    return (RunStatus){.env = "toy",
                       .phase = "training",
                       .waiting_for = "310 updates owed",
                       .epoch = 3,
                       .env_steps = 123456789,
                       .total_env_steps = 1000000000000,
                       .updates = 123456,
                       .updates_owed = 310,
                       .episodes = 300,
                       .return_mean = -150.5,
                       .env_steps_per_s = 1024,
                       .updates_per_s = 512,
                       .seconds_left = 60,
                       .eval_return = -149,
                       .best_return = -148.25,
                       .publish_interval_ms = 20,
                       .evaluators = 1,
                       .wall_ms = 86400000,
                       .num_alarms = 1,
                       .alarms = {"the replay log fails"},
                       .log_state = "on",
                       .log_bytes = 1 << 30,
                       .log_position = 1929012,
                       .log_synced_position = 1929000,
                       .skipped_updates = 1,
                       .rollbacks = 1,
                       .refused_peers = 5,
                       .garbage_messages = 6,
                       .half_open = 2,
                       .sessions = 9,
                       .lost_segments = 1,
                       .lost_steps = 64,
                       .num_actors = 2,
                       .actors = status_actors};
}

/* What was added to version 3 after its first frames were recorded. */
static Message sample_with_faults(MessageKind kind)
{
    static const EnvFaults faults = {{1, 200, 30000, 4, UINT64_C(1) << 40}};
    Message message = {.kind = kind};
    if (kind == MESSAGE_HEARTBEAT) {
        message.heartbeat = sample_heartbeat();
        message.heartbeat.faults = faults;
        message.heartbeat.sessions = 2;
        snprintf(message.heartbeat.last_fault, sizeof message.heartbeat.last_fault,
                 "environment 2: é is not finite");
        return message;
    }
    message.status = sample_status();
    message.status.faults = faults;
    snprintf(message.status.last_fault, sizeof message.status.last_fault, "node7/0: it diverged");
    for (uint32_t i = 0; i < 2; i++) {
        status_actors[i].faults = faults;
        snprintf(status_actors[i].last_fault, sizeof status_actors[i].last_fault, "it diverged");
    }
    return message;
}

/* The same, after the faults. */
static Message sample_with_diverged(void)
{
    return (Message){.kind = MESSAGE_EVAL_RESULT, .eval_result = {9, 20, -150.5, 12.25, 200, 3}};
}

/* The same, after that: what relays say and bring about. */
static Message sample_with_relay(MessageKind kind)
{
    Message message = {.kind = kind};
    if (kind == MESSAGE_HELLO) {
        message.hello = sample_hello();
        snprintf(message.hello.origin_key, sizeof message.hello.origin_key, "node7");
        message.hello.origin_roles = 1 << ROLE_ACTOR | 1 << ROLE_OBSERVER;
        snprintf(message.hello.via, sizeof message.hello.via, "rack1");
    } else if (kind == MESSAGE_STATUS) {
        message.status = sample_status();
        message.status.relays = 2;
        for (uint32_t i = 0; i < 2; i++)
            snprintf(status_actors[i].via, sizeof status_actors[i].via, "rack%u", i);
    }
    return message;
}

static void sample_policy(Mlp *mlp, const float **params)
{
    assert_int_equal(mlp_shape(mlp, 3, (int[]){4, 3}, 2, 2, true, NULL), ERR_OK);
    assert_true(mlp_num_params(mlp) <= 64);
    *params = columns;
}

static Message sample(MessageKind kind)
{
    Message message = {.kind = kind};
    fill_columns();
    switch (kind) {
    case MESSAGE_HELLO:
        message.hello = sample_hello();
        break;
    case MESSAGE_WELCOME:
        message.welcome = sample_welcome();
        break;
    case MESSAGE_REJECT: /* what a learner of this version says to another one */
        message.reject.reason = REJECT_VERSION;
        snprintf(message.reject.text, sizeof message.reject.text,
                 "the learner speaks protocol version %d, not %d: use programs of one version",
                 WIRE_PROTOCOL_VERSION, WIRE_PROTOCOL_VERSION + 1);
        break;
    case MESSAGE_SEGMENT:
        message.segment = sample_segment();
        break;
    case MESSAGE_ACK:
        message.ack = (Ack){70001, 70017, 1000000000000, true, "1,024 steps ahead", {3, 123456}};
        break;
    case MESSAGE_HEARTBEAT:
        message.heartbeat = sample_heartbeat();
        break;
    case MESSAGE_BYE:
        message.bye = BYE_RESTARTING;
        break;
    case MESSAGE_STATUS:
        message.status = sample_status();
        break;
    case MESSAGE_EVAL_REQUEST:
        message.eval_request = (EvalRequest){
            .eval_id = 9, .env_steps = 10000, .episodes = 20, .seed = 77, .version = {3, 123456}};
        sample_policy(&message.eval_request.mlp, &message.eval_request.params);
        break;
    case MESSAGE_EVAL_RESULT:
        message.eval_result = (EvalResult){9, 20, -150.5, 12.25, 200, 0};
        break;
    case MESSAGE_SET:
        message.set = (Set){"updates_per_env_step=0.5"};
        break;
    case MESSAGE_DRAIN:
        message.drain = (Drain){"node7/*"};
        break;
    case MESSAGE_OUTCOME:
        message.outcome = (Outcome){true, "2 actors drain"};
        break;
    default: /* nothing but its kind */
        break;
    }
    return message;
}

static bool record_message(const Message *message, const char *suffix, Recorded *recorded)
{
    snprintf(recorded->name, sizeof recorded->name, "%s%s", message_kind_name(message->kind),
             suffix);
    for (char *c = recorded->name; *c; c++)
        *c = *c == ' ' ? '_' : *c;
    recorded->num_bytes = wire_size(message, &dims);
    CHECK(recorded->num_bytes <= sizeof recorded->bytes);
    wire_pack(message, &dims, recorded->bytes);
    return true;
}

/* Frame `index` of what was added later. */
static bool make_later_frame(int index, Recorded *recorded)
{
    Message message;
    switch (index) {
    case 0:
    case 1:
        message = sample_with_faults(index == 0 ? MESSAGE_HEARTBEAT : MESSAGE_STATUS);
        return record_message(&message, "_faults", recorded);
    case 2:
        message = sample_with_diverged();
        return record_message(&message, "_diverged", recorded);
    case 3:
    case 4:
        message = sample_with_relay(index == 3 ? MESSAGE_HELLO : MESSAGE_STATUS);
        return record_message(&message, "_relay", recorded);
    case 5:
        message = sample_with_relay(MESSAGE_GONE);
        return record_message(&message, "", recorded);
    default:
        return false;
    }
}

/* Frame `index` of this version: a message of the uplink for each kind, two of weights, and what
 * was added later. */
static bool make_frame(int index, Recorded *recorded)
{
    if (index < NUM_KINDS) {
        Message message = sample((MessageKind)(index + 1));
        return record_message(&message, "", recorded);
    }
    if (index >= NUM_KINDS + NUM_WEIGHTS)
        return make_later_frame(index - NUM_KINDS - NUM_WEIGHTS, recorded);
    bool is_join = index == NUM_KINDS + 1;
    Weights weights = {.version = {3, 123456}};
    fill_columns();
    sample_policy(&weights.mlp, &weights.params);
    snprintf(recorded->name, sizeof recorded->name, is_join ? "weights_join" : "weights");
    size_t topic_bytes = is_join ? sizeof join_topic : 1;
    recorded->num_bytes = wire_weights_size(&weights, topic_bytes);
    CHECK(recorded->num_bytes <= sizeof recorded->bytes);
    wire_weights_pack(&weights, is_join ? join_topic : (const uint8_t *)"W", topic_bytes,
                      recorded->bytes);
    return true;
}

static bool is_weights(const Recorded *recorded)
{
    return strncmp(recorded->name, "weights", 7) == 0;
}

static int decode(const Recorded *recorded, Err *err)
{
    Message message;
    if (!is_weights(recorded))
        return recorded_unpack(recorded, &dims, &message, err);
    WireArena *arena = wire_arena_new(1 << 20);
    Weights weights;
    int code = wire_weights_unpack(recorded->bytes, recorded->num_bytes, arena, &weights, err);
    wire_arena_destroy(&arena);
    return code;
}

static void test_this_version_writes_what_was_recorded_of_it(void **state)
{
    (void)state;
    FILE *file = recorded_open(WIRE_PROTOCOL_VERSION);
    if (!file) /* not released yet */
        skip();
    static Recorded made, recorded;
    int index = 0;
    for (; recorded_next(file, &recorded); index++) {
        assert_true(make_frame(index, &made));
        assert_string_equal(made.name, recorded.name);
        assert_int_equal(made.num_bytes, recorded.num_bytes);
        assert_memory_equal(made.bytes, recorded.bytes, made.num_bytes);
        Err err = {""};
        assert_int_equal(decode(&recorded, &err), ERR_OK);
        assert_string_equal(err.text, "");
    }
    assert_false(make_frame(index, &made));
    fclose(file);
}

static void test_earlier_versions_are_read_or_refused_in_one_line(void **state)
{
    (void)state;
    static Recorded recorded;
    for (int version = RECORDED_FIRST_VERSION; version < WIRE_PROTOCOL_VERSION; version++) {
        FILE *file = recorded_open(version);
        assert_non_null(file);
        int count = 0;
        for (; recorded_next(file, &recorded); count++) {
            Err err = {""};
            int code = decode(&recorded, &err);
            if (code != ERR_OK)
                assert_true(err.text[0] != '\0' && !strchr(err.text, '\n'));
        }
        assert_true(count >= LEAST_RECORDED);
        fclose(file);
    }
}

/* Both sides must understand these of every version, or none could say what is wrong. */
static void test_hello_and_reject_of_any_version_are_understood(void **state)
{
    (void)state;
    static Recorded recorded;
    for (int version = RECORDED_FIRST_VERSION; version <= WIRE_PROTOCOL_VERSION; version++) {
        Message message;
        if (!recorded_find(version, "hello", &recorded))
            continue;
        assert_int_equal(recorded_unpack(&recorded, NULL, &message, NULL), ERR_OK);
        assert_int_equal(message.kind, MESSAGE_HELLO);
        assert_int_equal(message.hello.protocol_version, version);
        Session session = sample_hello().session;
        assert_memory_equal(&message.hello.session, &session, sizeof session);

        assert_true(recorded_find(version, "reject", &recorded));
        assert_int_equal(recorded_unpack(&recorded, NULL, &message, NULL), ERR_OK);
        assert_int_equal(message.kind, MESSAGE_REJECT);
        assert_int_equal(message.reject.reason, REJECT_VERSION);
        assert_non_null(strstr(message.reject.text, "use programs of one version"));
    }
}

/* Peers of this version that were built before there were faults and relays. */
static void test_a_frame_without_faults_or_relays_has_none(void **state)
{
    (void)state;
    static Recorded recorded;
    static Message message;
    if (!recorded_find(WIRE_PROTOCOL_VERSION, "heartbeat", &recorded))
        skip();
    assert_int_equal(recorded_unpack(&recorded, NULL, &message, NULL), ERR_OK);
    assert_int_equal(message.heartbeat.env_steps, 123456789);
    assert_int_equal(env_faults_sum(&message.heartbeat.faults), 0);
    assert_string_equal(message.heartbeat.last_fault, "");
    assert_int_equal(message.heartbeat.sessions, 0);
    assert_true(recorded_find(WIRE_PROTOCOL_VERSION, "status", &recorded));
    assert_int_equal(recorded_unpack(&recorded, NULL, &message, NULL), ERR_OK);
    assert_int_equal(env_faults_sum(&message.status.faults), 0);
    assert_int_equal(message.status.num_actors, 2);
    assert_int_equal(env_faults_sum(&message.status.actors[1].faults), 0);
    assert_string_equal(message.status.actors[1].last_fault, "");
    assert_int_equal(message.status.relays, 0);
    assert_string_equal(message.status.actors[1].via, "");
    assert_true(recorded_find(WIRE_PROTOCOL_VERSION, "hello", &recorded));
    assert_int_equal(recorded_unpack(&recorded, NULL, &message, NULL), ERR_OK);
    assert_string_equal(message.hello.origin_key, "");
    assert_int_equal(message.hello.origin_roles, 0);
    assert_string_equal(message.hello.via, "");
}

static int print_frames(void)
{
    static Recorded made;
    for (int index = 0; make_frame(index, &made); index++) {
        printf("%s ", made.name);
        for (size_t i = 0; i < made.num_bytes; i++)
            printf("%02x", made.bytes[i]);
        printf("\n");
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--record") == 0)
        return print_frames();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_this_version_writes_what_was_recorded_of_it),
        cmocka_unit_test(test_earlier_versions_are_read_or_refused_in_one_line),
        cmocka_unit_test(test_hello_and_reject_of_any_version_are_understood),
        cmocka_unit_test(test_a_frame_without_faults_or_relays_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
