/* What is packed comes back, field by field, and the bytes are those that the protocol says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "tests/proto/wire_random.h"
#include "tests/proto/wire_writer.h"

enum { ROUNDS = 300 };

static uint64_t seed;

#define SAME_UINT(field) assert_int_equal(a->field, b->field)
#define SAME_TEXT(field) assert_string_equal(a->field, b->field)
/* Bit for bit, so that a NaN equals itself. */
#define SAME_REAL(field) assert_memory_equal(&a->field, &b->field, sizeof a->field)
#define SAME_FAULTS(field) assert_memory_equal(&a->field, &b->field, sizeof a->field)
#define SAME_VERSION(field) assert_true(version_equal(a->field, b->field))
#define SAME_FLOATS(field, num) assert_memory_equal(a->field, b->field, sizeof(float) * (num))

static void same_hello(const Hello *a, const Hello *b)
{
    SAME_UINT(protocol_version);
    SAME_UINT(role);
    assert_memory_equal(a->session.id, b->session.id, 16);
    SAME_UINT(oldest_unacked);
    SAME_TEXT(name);
    SAME_UINT(num_labels);
    for (int i = 0; i < a->num_labels; i++)
        SAME_TEXT(labels[i]);
    SAME_UINT(has_spec);
    if (a->has_spec)
        assert_true(spec_equal(&a->spec, &b->spec));
    SAME_UINT(num_envs);
    SAME_UINT(acked_steps);
    SAME_UINT(has_sent);
    SAME_TEXT(origin_key);
    SAME_UINT(origin_roles);
    SAME_TEXT(via);
}

static void same_welcome(const Welcome *a, const Welcome *b)
{
    SAME_UINT(protocol_version);
    SAME_UINT(epoch);
    SAME_UINT(actor_index);
    SAME_UINT(incarnation);
    SAME_UINT(weights_port);
    SAME_TEXT(weights_endpoint);
    SAME_UINT(acked_sequence);
    SAME_UINT(send_limit_sequence);
    SAME_UINT(step_limit);
    SAME_VERSION(newest);
    SAME_UINT(heartbeat_interval_ms);
    SAME_UINT(seed);
    SAME_UINT(segment_steps);
    SAME_UINT(segment_flush_ms);
    SAME_UINT(noise);
    SAME_REAL(sigma);
    SAME_REAL(ou_theta);
    SAME_REAL(ou_dt);
    SAME_UINT(publish_interval_ms);
    SAME_UINT(policy_age_s_max);
    SAME_UINT(sync);
}

static void same_segment(const Segment *a, const Segment *b, const WireLimits *dims)
{
    SAME_UINT(sequence);
    SAME_UINT(env_index);
    SAME_UINT(episode);
    SAME_UINT(first_step);
    SAME_UINT(num_steps);
    SAME_UINT(end);
    SAME_REAL(episode_return);
    SAME_VERSION(version);
    size_t steps = (size_t)a->num_steps;
    SAME_FLOATS(obs, (steps + 1) * (size_t)dims->obs_dim);
    SAME_FLOATS(action, steps * (size_t)dims->act_dim);
    SAME_FLOATS(reward, steps);
    assert_int_equal((uintptr_t)b->obs % 16, 0);
    assert_int_equal((uintptr_t)b->action % 16, 0);
    assert_int_equal((uintptr_t)b->reward % 16, 0);
}

static void same_ack(const Ack *a, const Ack *b)
{
    SAME_UINT(acked_sequence);
    SAME_UINT(send_limit_sequence);
    SAME_UINT(step_limit);
    SAME_UINT(durable);
    SAME_TEXT(reason);
    SAME_VERSION(newest);
}

static void same_heartbeat(const Heartbeat *a, const Heartbeat *b)
{
    SAME_UINT(env_steps);
    SAME_VERSION(version);
    SAME_UINT(dropped_steps);
    SAME_TEXT(waiting_for);
    SAME_REAL(steps_per_s);
    SAME_UINT(outbox_segments);
    SAME_UINT(lost_segments);
    SAME_UINT(lost_steps);
    SAME_FAULTS(faults);
    SAME_TEXT(last_fault);
    SAME_UINT(sessions);
}

static void same_actor(const ActorStatus *a, const ActorStatus *b)
{
    SAME_UINT(actor_index);
    SAME_UINT(incarnation);
    SAME_TEXT(name);
    SAME_UINT(env_steps);
    SAME_UINT(unused_credit);
    SAME_UINT(silent_ms);
    SAME_UINT(dropped_steps);
    SAME_TEXT(waiting_for);
    SAME_TEXT(learner_reason);
    SAME_TEXT(labels);
    SAME_TEXT(key);
    SAME_UINT(num_envs);
    SAME_REAL(env_steps_per_s);
    SAME_UINT(policy_lag_updates);
    SAME_UINT(policy_epoch_old);
    SAME_UINT(send_credit);
    SAME_UINT(outbox_segments);
    SAME_UINT(lost_steps);
    SAME_UINT(expired_segments);
    SAME_UINT(expired_steps);
    SAME_UINT(draining);
    SAME_FAULTS(faults);
    SAME_TEXT(last_fault);
    SAME_TEXT(via);
}

static void same_health(const RunStatus *a, const RunStatus *b)
{
    SAME_UINT(num_alarms);
    for (uint32_t i = 0; i < a->num_alarms; i++)
        SAME_TEXT(alarms[i]);
    SAME_TEXT(log_state);
    SAME_UINT(log_bytes);
    SAME_UINT(log_position);
    SAME_UINT(log_synced_position);
    SAME_UINT(skipped_updates);
    SAME_UINT(rollbacks);
    SAME_UINT(refused_peers);
    SAME_UINT(garbage_messages);
    SAME_UINT(half_open);
    SAME_UINT(sessions);
    SAME_UINT(lost_segments);
    SAME_UINT(lost_steps);
    SAME_FAULTS(faults);
    SAME_TEXT(last_fault);
}

static void same_status(const RunStatus *a, const RunStatus *b)
{
    same_health(a, b);
    SAME_TEXT(env);
    SAME_TEXT(phase);
    SAME_TEXT(waiting_for);
    SAME_UINT(epoch);
    SAME_UINT(env_steps);
    SAME_UINT(total_env_steps);
    SAME_UINT(updates);
    SAME_UINT(updates_owed);
    SAME_UINT(episodes);
    SAME_REAL(return_mean);
    SAME_REAL(env_steps_per_s);
    SAME_REAL(updates_per_s);
    SAME_REAL(seconds_left);
    SAME_REAL(eval_return);
    SAME_REAL(best_return);
    SAME_UINT(publish_interval_ms);
    SAME_UINT(evaluators);
    SAME_UINT(relays);
    SAME_UINT(wall_ms);
    SAME_UINT(num_actors);
    for (uint32_t i = 0; i < a->num_actors; i++)
        same_actor(&a->actors[i], &b->actors[i]);
}

static void same_eval_request(const EvalRequest *a, const EvalRequest *b)
{
    SAME_UINT(eval_id);
    SAME_UINT(env_steps);
    SAME_UINT(episodes);
    SAME_UINT(seed);
    SAME_VERSION(version);
    assert_true(mlp_equal(&a->mlp, &b->mlp));
    SAME_FLOATS(params, mlp_num_params(&a->mlp));
    assert_int_equal((uintptr_t)b->params % 16, 0);
}

static void same_eval_result(const EvalResult *a, const EvalResult *b)
{
    SAME_UINT(eval_id);
    SAME_UINT(episodes);
    SAME_REAL(return_mean);
    SAME_REAL(return_std);
    SAME_REAL(length_mean);
    SAME_UINT(diverged);
}

static void same_message(const Message *a, const Message *b, const WireLimits *dims)
{
    SAME_UINT(kind);
    switch (a->kind) {
    case MESSAGE_HELLO:
        same_hello(&a->hello, &b->hello);
        break;
    case MESSAGE_WELCOME:
        same_welcome(&a->welcome, &b->welcome);
        break;
    case MESSAGE_REJECT:
        SAME_UINT(reject.reason);
        SAME_TEXT(reject.text);
        break;
    case MESSAGE_SEGMENT:
        same_segment(&a->segment, &b->segment, dims);
        break;
    case MESSAGE_ACK:
        same_ack(&a->ack, &b->ack);
        break;
    case MESSAGE_HEARTBEAT:
        same_heartbeat(&a->heartbeat, &b->heartbeat);
        break;
    case MESSAGE_BYE:
        SAME_UINT(bye);
        break;
    case MESSAGE_STATUS_REQUEST:
    case MESSAGE_GONE:
        break;
    case MESSAGE_STATUS:
        same_status(&a->status, &b->status);
        break;
    case MESSAGE_EVAL_REQUEST:
        same_eval_request(&a->eval_request, &b->eval_request);
        break;
    case MESSAGE_EVAL_RESULT:
        same_eval_result(&a->eval_result, &b->eval_result);
        break;
    case MESSAGE_SET:
        SAME_TEXT(set.assignment);
        break;
    case MESSAGE_DRAIN:
        SAME_TEXT(drain.name);
        break;
    case MESSAGE_OUTCOME:
        SAME_UINT(outcome.done);
        SAME_TEXT(outcome.text);
        break;
    }
}

static void test_every_message_comes_back_field_by_field(void **state)
{
    (void)state;
    WireArena *arena = wire_arena_new(WIRE_STATUS_BYTES_MAX);
    assert_non_null(arena);
    RandomMemory memory;
    for (int kind = MESSAGE_HELLO; kind <= MESSAGE_KIND_LAST; kind++) {
        for (int round = 0; round < ROUNDS; round++) {
            Rng rng = rng_stream(seed, RNG_TEST, (uint64_t)kind, (uint64_t)round, 0);
            WireLimits dims = {
                .obs_dim = (int)random_between(&rng, 1, RANDOM_OBS_DIM_MAX),
                .act_dim = (int)random_between(&rng, 1, RANDOM_ACT_DIM_MAX),
                .segment_steps_max = RANDOM_STEPS_MAX,
            };
            Message sent, received;
            random_message(&rng, (MessageKind)kind, &dims, &memory, &sent);
            /* A block of exactly the frame's size: a sanitizer sees one byte too many. */
            size_t frame_bytes = wire_size(&sent, &dims);
            uint8_t *frame = malloc(frame_bytes);
            wire_pack(&sent, &dims, frame);
            Err err = {""};
            int rc = wire_unpack(frame, frame_bytes, &dims, arena, &received, &err);
            if (rc != ERR_OK)
                fail_msg("%s: %s", message_kind_name((MessageKind)kind), err.text);
            same_message(&sent, &received, &dims);
            free(frame);
        }
    }
    wire_arena_destroy(&arena);
    assert_null(arena);
}

static void test_the_bytes_of_an_ack_are_those_of_the_protocol(void **state)
{
    (void)state;
    Message message = {.kind = MESSAGE_ACK,
                       .ack = {.acked_sequence = 5,
                               .send_limit_sequence = 300,
                               .step_limit = 0,
                               .durable = true,
                               .reason = "hi",
                               .newest = {.epoch = 1, .update = 7}}};
    static const uint8_t expected[] = {
        5,                              /* kind */
        0x08, 5,                        /* acked_sequence */
        0x10, 0xac, 0x02,               /* send_limit_sequence */
        0x20, 1,                        /* durable */
        0x2a, 2,    'h',  'i',          /* reason */
        0x32, 4,    0x08, 1,   0x10, 7, /* newest */
    };
    uint8_t frame[64];
    assert_int_equal(wire_size(&message, NULL), sizeof expected);
    wire_pack(&message, NULL, frame);
    assert_memory_equal(frame, expected, sizeof expected);
}

static void test_a_segment_written_by_hand_is_read(void **state)
{
    (void)state;
    static Writer writer;
    writer.length = 0;
    const float obs[] = {1, 2, 3, 4}, action[] = {-1}, reward[] = {0.5F};
    write_byte(&writer, MESSAGE_SEGMENT);
    write_bytes(&writer, 11, reward, sizeof reward); /* the order of fields is free */
    write_bytes(&writer, 10, action, sizeof action);
    write_bytes(&writer, 9, obs, sizeof obs);
    write_double(&writer, 7, 2.5);
    write_uint(&writer, 6, SEGMENT_TRUNCATED);
    write_uint(&writer, 5, 1);
    write_uint(&writer, 1, 9);
    WireLimits limits = {.obs_dim = 2, .act_dim = 1, .segment_steps_max = 64};
    WireArena *arena = wire_arena_new(WIRE_SMALL_BYTES_MAX);
    Message message;
    assert_int_equal(wire_unpack(writer.bytes, writer.length, &limits, arena, &message, NULL),
                     ERR_OK);
    assert_int_equal(message.segment.sequence, 9);
    assert_int_equal(message.segment.num_steps, 1);
    assert_int_equal(message.segment.end, SEGMENT_TRUNCATED);
    assert_true(message.segment.episode_return == 2.5);
    assert_int_equal(message.segment.version.epoch, 0);
    assert_memory_equal(message.segment.obs, obs, sizeof obs);
    assert_memory_equal(message.segment.action, action, sizeof action);
    assert_memory_equal(message.segment.reward, reward, sizeof reward);
    wire_arena_destroy(&arena);
}

static void test_a_hello_of_another_version_is_read_to_be_rejected(void **state)
{
    (void)state;
    Message sent = {.kind = MESSAGE_HELLO,
                    .hello = {.protocol_version = WIRE_PROTOCOL_VERSION + 1,
                              .role = (Role)77, /* a role that only that version knows */
                              .session = {{1, 2, 3}},
                              .name = "tomorrow"}};
    uint8_t frame[256];
    wire_pack(&sent, NULL, frame);
    WireArena *arena = wire_arena_new(WIRE_SMALL_BYTES_MAX);
    Message received;
    assert_int_equal(wire_unpack(frame, wire_size(&sent, NULL), NULL, arena, &received, NULL),
                     ERR_OK);
    assert_int_equal(received.hello.protocol_version, WIRE_PROTOCOL_VERSION + 1);
    assert_memory_equal(received.hello.session.id, sent.hello.session.id, 16);
    assert_string_equal(received.hello.name, "");
    wire_arena_destroy(&arena);
}

static void test_names_are_never_null(void **state)
{
    (void)state;
    for (int i = -1; i < 300; i++) {
        assert_non_null(message_kind_name((MessageKind)i));
        assert_non_null(role_name((Role)i));
        assert_non_null(reject_reason_name((RejectReason)i));
    }
    assert_string_equal(message_kind_name(MESSAGE_HELLO), "hello");
    assert_string_equal(message_kind_name((MessageKind)0), "unknown");
    assert_string_equal(reject_reason_name(REJECT_SESSION_EXPIRED), "session_expired");
}

int main(void)
{
    seed = random_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_comes_back_field_by_field),
        cmocka_unit_test(test_the_bytes_of_an_ack_are_those_of_the_protocol),
        cmocka_unit_test(test_a_segment_written_by_hand_is_read),
        cmocka_unit_test(test_a_hello_of_another_version_is_read_to_be_rejected),
        cmocka_unit_test(test_names_are_never_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
