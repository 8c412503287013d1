/* What a hostile or broken peer may send is refused, with the right code, and never costs more than
 * the arena holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "tests/proto/wire_random.h"
#include "tests/proto/wire_writer.h"

static const WireLimits dims = {.obs_dim = 3, .act_dim = 2, .segment_steps_max = RANDOM_STEPS_MAX};
static uint64_t seed;
static WireArena *arena;
static RandomMemory memory;
static Writer writer;

/* Unpacks from a block of exactly the frame's size, so that a sanitizer sees one byte too many. */
static int unpack(const uint8_t *bytes, size_t num_bytes, Message *message, Err *err)
{
    uint8_t *frame = calloc(1, num_bytes + (num_bytes == 0));
    memcpy(frame, bytes, num_bytes);
    int rc = wire_unpack(frame, num_bytes, &dims, arena, message, err);
    free(frame);
    return rc;
}

static int code_of(const Message *message, const WireLimits *packed_with)
{
    size_t num_bytes = wire_size(message, packed_with);
    uint8_t *frame = malloc(num_bytes);
    wire_pack(message, packed_with, frame);
    Message received;
    int rc = unpack(frame, num_bytes, &received, NULL);
    free(frame);
    return rc;
}

static int code_of_writer(void)
{
    Message received;
    return unpack(writer.bytes, writer.length, &received, NULL);
}

static void start(MessageKind kind)
{
    writer.length = 0;
    write_byte(&writer, kind);
}

static Message sound(MessageKind kind)
{
    Message message;
    Rng rng = rng_stream(seed, RNG_TEST, (uint64_t)kind, 0, 0);
    random_message(&rng, kind, &dims, &memory, &message);
    if (kind == MESSAGE_HELLO) {
        message.hello.role = ROLE_ACTOR;
        message.hello.has_spec = true;
        random_spec(&rng, &message.hello.spec);
    }
    assert_int_equal(code_of(&message, &dims), ERR_OK);
    return message;
}

/* Each use starts from the sound message and breaks one thing. */
#define REFUSED(code, kind, change)                                                                \
    do {                                                                                           \
        Message m = sound(kind);                                                                   \
        change;                                                                                    \
        assert_int_equal(code_of(&m, &dims), code);                                                \
    } while (0)

static void test_an_empty_frame_and_unknown_kinds_are_refused(void **state)
{
    (void)state;
    Err err;
    Message message;
    assert_int_equal(unpack((const uint8_t *)"", 0, &message, &err), ERR_FORMAT);
    assert_true(strlen(err.text) > 0);
    for (int kind = 0; kind < 256; kind++) {
        uint8_t frame[1] = {(uint8_t)kind};
        if (kind < MESSAGE_HELLO || kind > MESSAGE_KIND_LAST)
            assert_int_equal(unpack(frame, 1, &message, &err), ERR_FORMAT);
    }
}

static void test_an_empty_body_is_no_message_unless_it_says_all(void **state)
{
    (void)state;
    for (int kind = MESSAGE_HELLO; kind <= MESSAGE_KIND_LAST; kind++) {
        bool says_all = kind == MESSAGE_ACK || kind == MESSAGE_HEARTBEAT ||
                        kind == MESSAGE_STATUS_REQUEST || kind == MESSAGE_STATUS ||
                        kind == MESSAGE_OUTCOME || kind == MESSAGE_HELLO ||
                        kind == MESSAGE_WELCOME || /* of version 0 */
                        kind == MESSAGE_GONE;
        start((MessageKind)kind);
        assert_int_equal(code_of_writer(), says_all ? ERR_OK : ERR_FORMAT);
    }
}

static void test_limits_of_a_hello_hold(void **state)
{
    (void)state;
    REFUSED(ERR_FORMAT, MESSAGE_HELLO, m.hello.role = (Role)(ROLE_RELAY + 1));
    REFUSED(ERR_FORMAT, MESSAGE_HELLO, m.hello.oldest_unacked = 0);
    REFUSED(ERR_FORMAT, MESSAGE_HELLO, m.hello.oldest_unacked = WIRE_COUNT_MAX + 1);
    REFUSED(ERR_FORMAT, MESSAGE_HELLO, m.hello.acked_steps = WIRE_COUNT_MAX + 1);
    REFUSED(ERR_FORMAT, MESSAGE_HELLO, m.hello.num_envs = 0);
    REFUSED(ERR_FORMAT, MESSAGE_HELLO, m.hello.num_envs = WIRE_ENVS_MAX + 1);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.has_spec = false);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.name[0] = '\n');
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.name[0] = '\0');
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.obs_dim = 0);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.obs_dim = SPEC_OBS_DIM_MAX + 1);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.obs_dim = -1);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.act_dim = 0);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.step_limit = -1);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.action_low[0] = -INFINITY);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.action_high[0] = NAN);
    REFUSED(ERR_SPEC, MESSAGE_HELLO, m.hello.spec.action_high[0] = m.hello.spec.action_low[0]);
}

/* A hello as a writer makes it: version, session of session_bytes, and what an actor needs. */
static void write_hello(size_t session_bytes)
{
    static const uint8_t session[32] = {0};
    start(MESSAGE_HELLO);
    write_uint(&writer, 1, WIRE_PROTOCOL_VERSION);
    write_bytes(&writer, 3, session, session_bytes);
    write_uint(&writer, 4, 1);
    write_uint(&writer, 8, 1);
}

static void write_bounds(unsigned act_dim, size_t low_bytes, size_t high_bytes)
{
    static Writer spec;
    static float low[SPEC_ACT_DIM_MAX + 1], high[SPEC_ACT_DIM_MAX + 1];
    spec.length = 0;
    for (int i = 0; i <= SPEC_ACT_DIM_MAX; i++)
        high[i] = 1;
    write_text(&spec, 1, "pendulum");
    write_uint(&spec, 2, 3);
    write_uint(&spec, 3, act_dim);
    write_bytes(&spec, 5, low, low_bytes);
    write_bytes(&spec, 6, high, high_bytes);
    write_bytes(&writer, 7, spec.bytes, spec.length);
}

static void write_spec(unsigned act_dim, size_t bound_bytes)
{
    write_bounds(act_dim, bound_bytes, bound_bytes);
}

static void test_a_session_has_sixteen_bytes(void **state)
{
    (void)state;
    for (size_t session_bytes = 0; session_bytes <= 32; session_bytes++) {
        write_hello(session_bytes);
        write_spec(1, 4);
        assert_int_equal(code_of_writer(), session_bytes == 16 ? ERR_OK : ERR_FORMAT);
    }
}

static void test_action_bounds_have_the_length_of_act_dim(void **state)
{
    (void)state;
    for (unsigned act_dim = 1; act_dim <= 4; act_dim++) {
        for (size_t bound_bytes = 0; bound_bytes <= 16; bound_bytes++) {
            write_hello(16);
            write_spec(act_dim, bound_bytes);
            assert_int_equal(code_of_writer(), bound_bytes == 4 * act_dim ? ERR_OK : ERR_SPEC);
        }
    }
    write_hello(16);
    write_bounds(2, 4, 8);
    assert_int_equal(code_of_writer(), ERR_SPEC);
    write_hello(16);
    write_bounds(2, 8, 4);
    assert_int_equal(code_of_writer(), ERR_SPEC);
    write_hello(16);
    write_spec(SPEC_ACT_DIM_MAX, 4 * SPEC_ACT_DIM_MAX);
    assert_int_equal(code_of_writer(), ERR_OK);
    write_hello(16);
    write_spec(SPEC_ACT_DIM_MAX + 1, 4 * (SPEC_ACT_DIM_MAX + 1)); /* one more than there is room */
    assert_int_equal(code_of_writer(), ERR_SPEC);
    write_hello(16);
    write_spec(1U << 30, 0); /* times 4 is 0 in 32 bits */
    assert_int_equal(code_of_writer(), ERR_SPEC);
}

static void test_the_last_of_repeated_specs_counts_and_merges(void **state)
{
    (void)state;
    write_hello(16);
    for (int i = 0; i < 40; i++)
        write_spec(1, 4);
    assert_int_equal(code_of_writer(), ERR_OK);
    write_spec(2, 4);
    assert_int_equal(code_of_writer(), ERR_SPEC);
}

static void test_names_and_labels_have_limits(void **state)
{
    (void)state;
    char longest[WIRE_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[WIRE_NAME_MAX + 1] = '\0';
    for (unsigned field = 5; field <= 6; field++) {
        write_hello(16);
        write_spec(1, 4);
        write_text(&writer, field, longest + 1);
        assert_int_equal(code_of_writer(), ERR_OK);
        write_text(&writer, field, longest);
        assert_int_equal(code_of_writer(), ERR_FORMAT);
    }
    write_hello(16);
    write_spec(1, 4);
    for (int i = 0; i < WIRE_LABELS_MAX; i++)
        write_text(&writer, 6, "site=a");
    assert_int_equal(code_of_writer(), ERR_OK);
    write_text(&writer, 6, "site=a");
    assert_int_equal(code_of_writer(), ERR_FORMAT);
}

/* The name of a key says whose a session is: it is never mended. */
static void test_an_origin_is_a_sound_key_with_known_roles(void **state)
{
    (void)state;
    static const char *const bad[] = {"a b", "-a", "a\x1b[2J", "../a", "é", "a*"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Message message = sound(MESSAGE_HELLO);
        snprintf(message.hello.origin_key, sizeof message.hello.origin_key, "%s", bad[i]);
        assert_int_equal(code_of(&message, NULL), ERR_FORMAT);
    }
    char longest[WIRE_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[WIRE_NAME_MAX + 1] = '\0';
    for (unsigned field = 11; field <= 13; field += 2) {
        write_hello(16);
        write_spec(1, 4);
        write_text(&writer, field, longest + 1);
        assert_int_equal(code_of_writer(), ERR_OK);
        write_text(&writer, field, longest);
        assert_int_equal(code_of_writer(), ERR_FORMAT);
    }
    for (uint32_t roles = 30; roles <= 33; roles++) {
        Message message = sound(MESSAGE_HELLO);
        message.hello.origin_roles = roles;
        assert_int_equal(code_of(&message, NULL), roles <= 31 ? ERR_OK : ERR_FORMAT);
    }
}

static void test_limits_of_a_welcome_hold(void **state)
{
    (void)state;
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.weights_port = 65536);
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.heartbeat_interval_ms = 0);
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.segment_steps = 0);
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.segment_steps = SEGMENT_STEPS_MAX + 1);
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.noise = 2);
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.sigma = -1);
    REFUSED(ERR_DIVERGED, MESSAGE_WELCOME, m.welcome.sigma = NAN);
    REFUSED(ERR_DIVERGED, MESSAGE_WELCOME, m.welcome.ou_theta = INFINITY);
    REFUSED(ERR_DIVERGED, MESSAGE_WELCOME, m.welcome.ou_dt = NAN);
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.weights_endpoint[0] = ' ');
    REFUSED(ERR_FORMAT, MESSAGE_WELCOME, m.welcome.weights_endpoint[0] = '\xe9');
}

static void test_reasons_are_those_of_the_protocol(void **state)
{
    (void)state;
    REFUSED(ERR_FORMAT, MESSAGE_REJECT, m.reject.reason = (RejectReason)0);
    REFUSED(ERR_FORMAT, MESSAGE_REJECT, m.reject.reason = (RejectReason)(REJECT_LOADING + 1));
    REFUSED(ERR_FORMAT, MESSAGE_REJECT, m.reject.reason = (RejectReason)-1);
    REFUSED(ERR_FORMAT, MESSAGE_BYE, m.bye = (ByeReason)0);
    REFUSED(ERR_FORMAT, MESSAGE_BYE, m.bye = (ByeReason)4);
}

static void test_limits_of_a_segment_hold(void **state)
{
    (void)state;
    REFUSED(ERR_FORMAT, MESSAGE_SEGMENT, m.segment.sequence = 0);
    REFUSED(ERR_FORMAT, MESSAGE_SEGMENT, m.segment.env_index = WIRE_ENVS_MAX);
    REFUSED(ERR_FORMAT, MESSAGE_SEGMENT, m.segment.end = (SegmentEnd)3);
    REFUSED(ERR_FORMAT, MESSAGE_SEGMENT, m.segment.first_step = UINT32_MAX);
    REFUSED(ERR_DIVERGED, MESSAGE_SEGMENT, m.segment.episode_return = NAN);
    REFUSED(ERR_DIVERGED, MESSAGE_SEGMENT, m.segment.obs[0] = NAN);
    REFUSED(ERR_DIVERGED, MESSAGE_SEGMENT,
            m.segment.obs[(m.segment.num_steps + 1) * dims.obs_dim - 1] = INFINITY);
    REFUSED(ERR_DIVERGED, MESSAGE_SEGMENT, m.segment.reward[m.segment.num_steps - 1] = -INFINITY);
    REFUSED(ERR_FORMAT, MESSAGE_SEGMENT, m.segment.action[0] = 1.0001F);
    REFUSED(ERR_FORMAT, MESSAGE_SEGMENT, m.segment.action[0] = -1.0001F);
    REFUSED(ERR_FORMAT, MESSAGE_SEGMENT, m.segment.action[0] = NAN);
}

static void write_segment(unsigned num_steps, size_t obs_bytes, size_t action_bytes,
                          size_t reward_bytes)
{
    static const float zeros[256];
    start(MESSAGE_SEGMENT);
    write_uint(&writer, 1, 1);
    write_uint(&writer, 5, num_steps);
    write_bytes(&writer, 9, zeros, obs_bytes);
    write_bytes(&writer, 10, zeros, action_bytes);
    write_bytes(&writer, 11, zeros, reward_bytes);
}

static void test_columns_have_the_length_of_the_steps(void **state)
{
    (void)state;
    write_segment(2, 36, 16, 8);
    assert_int_equal(code_of_writer(), ERR_OK);
    static const size_t wrong[][4] = {
        {1, 36, 16, 8}, {3, 36, 16, 8}, {2, 35, 16, 8}, {2, 37, 16, 8},
        {2, 24, 16, 8}, {2, 36, 12, 8}, {2, 36, 20, 8}, {2, 36, 16, 4},
        {2, 36, 16, 9}, {2, 0, 0, 0},   {0, 12, 0, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_segment((unsigned)wrong[i][0], wrong[i][1], wrong[i][2], wrong[i][3]);
        assert_int_equal(code_of_writer(), ERR_FORMAT);
    }
    write_segment(UINT32_MAX, 0, 0, 0); /* num_steps + 1 is 0 in 32 bits */
    assert_int_equal(code_of_writer(), ERR_FORMAT);
}

static void test_a_segment_is_no_longer_than_the_receiver_takes(void **state)
{
    (void)state;
    unsigned most = (unsigned)dims.segment_steps_max;
    write_segment(most, (most + 1) * 12, most * 8, most * 4);
    assert_int_equal(code_of_writer(), ERR_OK);
    write_segment(most + 1, (most + 2) * 12, (most + 1) * 8, (most + 1) * 4);
    assert_int_equal(code_of_writer(), ERR_FORMAT);
}

static void test_a_segment_needs_known_dimensions(void **state)
{
    (void)state;
    write_segment(2, 36, 16, 8);
    Message message;
    WireLimits unknown = {.segment_steps_max = 64};
    assert_int_equal(wire_unpack(writer.bytes, writer.length, &unknown, arena, &message, NULL),
                     ERR_FORMAT);
    assert_int_equal(wire_unpack(writer.bytes, writer.length, NULL, arena, &message, NULL),
                     ERR_FORMAT);
}

static void test_limits_of_evaluations_hold(void **state)
{
    (void)state;
    REFUSED(ERR_FORMAT, MESSAGE_EVAL_REQUEST, m.eval_request.episodes = 0);
    REFUSED(ERR_FORMAT, MESSAGE_EVAL_REQUEST, m.eval_request.episodes = WIRE_EPISODES_MAX + 1);
    REFUSED(ERR_DIVERGED, MESSAGE_EVAL_REQUEST, memory.params[0] = NAN);
    REFUSED(ERR_FORMAT, MESSAGE_EVAL_RESULT, m.eval_result.episodes = 0);
    REFUSED(ERR_DIVERGED, MESSAGE_EVAL_RESULT, m.eval_result.return_mean = NAN);
    REFUSED(ERR_DIVERGED, MESSAGE_EVAL_RESULT, m.eval_result.return_std = INFINITY);
    REFUSED(ERR_DIVERGED, MESSAGE_EVAL_RESULT, m.eval_result.length_mean = NAN);
    REFUSED(ERR_FORMAT, MESSAGE_EVAL_RESULT, m.eval_result.diverged = m.eval_result.episodes + 1);
}

static void test_orders_are_what_was_written(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "a\nb", "\xff", "\x1b[2J"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        start(MESSAGE_SET);
        write_text(&writer, 1, wrong[i]);
        assert_int_equal(code_of_writer(), ERR_FORMAT);
        start(MESSAGE_DRAIN);
        write_text(&writer, 1, wrong[i]);
        assert_int_equal(code_of_writer(), ERR_FORMAT);
    }
    start(MESSAGE_DRAIN);
    write_text(&writer, 1, "node?/*");
    assert_int_equal(code_of_writer(), ERR_OK);
}

static void test_a_status_has_few_alarms(void **state)
{
    (void)state;
    start(MESSAGE_STATUS);
    for (int i = 0; i < STATUS_ALARMS_MAX; i++)
        write_text(&writer, 20, "the disk is full");
    assert_int_equal(code_of_writer(), ERR_OK);
    write_text(&writer, 20, "the disk is full");
    assert_int_equal(code_of_writer(), ERR_FORMAT);
}

static void expect_text(const char *sent, const char *shown)
{
    start(MESSAGE_ACK);
    write_text(&writer, 5, sent);
    Message message;
    assert_int_equal(unpack(writer.bytes, writer.length, &message, NULL), ERR_OK);
    assert_string_equal(message.ack.reason, shown);
}

/* A status of one actor whose env_faults have so many bytes, counting 1, 2, …; what is read. */
static int unpack_faults(size_t num_bytes, EnvFaults *faults)
{
    static Writer actor;
    uint64_t counts[16];
    for (uint64_t i = 0; i < 16; i++)
        counts[i] = i + 1;
    actor.length = 0;
    write_bytes(&actor, 22, counts, num_bytes);
    start(MESSAGE_STATUS);
    write_bytes(&writer, 18, actor.bytes, actor.length);
    Message message;
    int rc = unpack(writer.bytes, writer.length, &message, NULL);
    if (rc == ERR_OK)
        *faults = message.status.actors[0].faults;
    return rc;
}

static void test_kinds_of_faults_may_be_added_at_the_end(void **state)
{
    (void)state;
    EnvFaults faults;
    for (size_t known = 0; known <= 16; known++) {
        assert_int_equal(unpack_faults(known * 8, &faults), ERR_OK);
        for (size_t i = 0; i < ENV_FAULTS; i++)
            assert_int_equal(faults.count[i], i < known ? i + 1 : 0);
    }
    assert_int_equal(unpack_faults(7, &faults), ERR_FORMAT);
    assert_int_equal(unpack_faults(41, &faults), ERR_FORMAT);
}

static void test_texts_cannot_touch_a_terminal(void **state)
{
    (void)state;
    expect_text("plain ~ text", "plain ~ text");
    expect_text("é Ж … 中 🙂", "é Ж … 中 🙂");
    expect_text("\x1b[2J\r\n\t\x7f", "?[2J????");
    expect_text("\xc2\x9b"
                "2J",
                "??2J");                               /* a control of one byte in Latin-1 */
    expect_text("\xc0\xaf", "??");                     /* overlong */
    expect_text("\xe0\x80\xaf", "???");                /* overlong */
    expect_text("\xed\xa0\x80", "???");                /* a surrogate */
    expect_text("\xf4\x90\x80\x80\xff\xfe", "??????"); /* above U+10FFFF, no UTF-8 at all */
    expect_text("\xe2\x80\xae"
                "cod.exe",
                "???cod.exe");             /* right to left */
    expect_text("cut \xe4\xb8", "cut ??"); /* a character that is cut */
    char text[WIRE_TEXT_MAX + 2];
    memset(text, 'a', sizeof text);
    text[WIRE_TEXT_MAX + 1] = '\0';
    expect_text(text + 1, text + 1);
    start(MESSAGE_ACK);
    write_text(&writer, 5, text);
    assert_int_equal(code_of_writer(), ERR_FORMAT);
}

static void test_a_status_shows_what_is_not_finite_as_unknown(void **state)
{
    (void)state;
    start(MESSAGE_STATUS);
    write_double(&writer, 15, -INFINITY);
    Message message;
    assert_int_equal(unpack(writer.bytes, writer.length, &message, NULL), ERR_OK);
    assert_true(isnan(message.status.best_return));
}

int main(void)
{
    seed = random_seed();
    arena = wire_arena_new(WIRE_STATUS_BYTES_MAX);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_frame_and_unknown_kinds_are_refused),
        cmocka_unit_test(test_an_empty_body_is_no_message_unless_it_says_all),
        cmocka_unit_test(test_limits_of_a_hello_hold),
        cmocka_unit_test(test_a_session_has_sixteen_bytes),
        cmocka_unit_test(test_action_bounds_have_the_length_of_act_dim),
        cmocka_unit_test(test_the_last_of_repeated_specs_counts_and_merges),
        cmocka_unit_test(test_names_and_labels_have_limits),
        cmocka_unit_test(test_an_origin_is_a_sound_key_with_known_roles),
        cmocka_unit_test(test_limits_of_a_welcome_hold),
        cmocka_unit_test(test_reasons_are_those_of_the_protocol),
        cmocka_unit_test(test_limits_of_a_segment_hold),
        cmocka_unit_test(test_columns_have_the_length_of_the_steps),
        cmocka_unit_test(test_a_segment_is_no_longer_than_the_receiver_takes),
        cmocka_unit_test(test_a_segment_needs_known_dimensions),
        cmocka_unit_test(test_limits_of_evaluations_hold),
        cmocka_unit_test(test_orders_are_what_was_written),
        cmocka_unit_test(test_a_status_has_few_alarms),
        cmocka_unit_test(test_kinds_of_faults_may_be_added_at_the_end),
        cmocka_unit_test(test_texts_cannot_touch_a_terminal),
        cmocka_unit_test(test_a_status_shows_what_is_not_finite_as_unknown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wire_arena_destroy(&arena);
    return failed;
}
