#include "learner/log/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/log/frame.h"
#include "tests/learner/log/log_world.h"

enum { PAYLOAD_MAX = 1 << 17 };

static Rng rng;
static _Alignas(8) uint8_t payload[PAYLOAD_MAX];

static int set_up(void **state)
{
    (void)state;
    rng = rng_stream(world_seed(), RNG_TEST, 0, 0, 0);
    return 0;
}

static uint64_t some_number(void)
{
    return rng_below(&rng, UINT64_MAX >> 3);
}

static void random_name(char name[WIRE_NAME_MAX + 1])
{
    size_t length = rng_below(&rng, WIRE_NAME_MAX + 1);
    memset(name, 0, WIRE_NAME_MAX + 1);
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(1 + rng_below(&rng, 255));
}

static void random_session(SessionRecord *record)
{
    memset(record, 0, sizeof *record);
    for (size_t i = 0; i < sizeof record->id.id; i++)
        record->id.id[i] = (uint8_t)rng_below(&rng, 256);
    record->sequence = some_number();
    record->env_steps = some_number();
    record->actor_index = (uint32_t)rng_u64(&rng);
    record->incarnation = (uint32_t)rng_u64(&rng);
    record->num_envs = (uint32_t)rng_u64(&rng);
    record->idle_s = (uint32_t)rng_u64(&rng);
    random_name(record->key);
    random_name(record->name);
}

static void test_a_head_survives_the_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        FileHead head, again;
        memset(&head, 0, sizeof head);
        memset(&again, 0, sizeof again);
        head.epoch = (uint32_t)rng_u64(&rng);
        head.run_id.bytes[i % 16] = (uint8_t)i;
        head.dims =
            (LogDims){1 + (int)rng_below(&rng, LOG_DIM_MAX), 1 + (int)rng_below(&rng, LOG_DIM_MAX),
                      1 + (int)rng_below(&rng, SEGMENT_STEPS_MAX)};
        head.base_position = 1 + some_number();
        head.base_row = some_number();
        head.env_steps = some_number();
        head.episodes = some_number();
        head.num_sessions = (uint32_t)rng_u64(&rng);
        file_head_encode(&head, payload);
        assert_int_equal(file_head_decode(payload, FILE_HEAD_BYTES, &again, NULL), ERR_OK);
        assert_memory_equal(&head, &again, sizeof head);
    }
}

static void test_sessions_and_tables_survive_the_round_trip(void **state)
{
    (void)state;
    static SessionRecord records[LOG_TABLE_SESSIONS_MAX], again[LOG_TABLE_SESSIONS_MAX];
    for (int i = 0; i < 100; i++) {
        size_t count = i == 0 ? LOG_TABLE_SESSIONS_MAX : rng_below(&rng, 20), count_again = 999;
        for (size_t j = 0; j < count; j++)
            random_session(&records[j]);
        size_t bytes = table_record_bytes(records, count);
        assert_true(bytes % 8 == 0 && bytes <= log_payload_bytes_max(&(LogDims){1, 1, 1}));
        table_record_encode(records, count, payload);
        assert_int_equal(table_record_decode(payload, bytes, again, &count_again, NULL), ERR_OK);
        assert_int_equal(count, count_again);
        assert_memory_equal(records, again, count * sizeof *records);
        random_session(&records[0]);
        bytes = session_record_bytes(&records[0]);
        assert_true(bytes <= SESSION_RECORD_BYTES_MAX);
        session_record_encode(&records[0], payload);
        assert_int_equal(session_record_decode(payload, bytes, &again[0], NULL), ERR_OK);
        assert_memory_equal(&records[0], &again[0], sizeof records[0]);
    }
}

static void random_segment(const LogDims *dims, float *block, SegmentRecord *record)
{
    memset(record, 0, sizeof *record);
    record->position = 1 + some_number();
    record->row = some_number();
    record->env_steps = some_number();
    record->session_steps = some_number();
    record->session.id[7] = (uint8_t)rng_below(&rng, 256);
    Segment *segment = &record->segment;
    segment_bind(segment, block, dims->obs_dim, dims->act_dim, dims->segment_steps);
    segment->sequence = some_number();
    segment->env_index = (uint32_t)rng_u64(&rng);
    segment->episode = rng_u64(&rng);
    segment->first_step = (uint32_t)rng_u64(&rng);
    segment->num_steps = 1 + (int)rng_below(&rng, (uint64_t)dims->segment_steps);
    segment->end = (SegmentEnd)rng_below(&rng, 3);
    segment->episode_return = rng_normal(&rng) * 1e6;
    segment->version = (Version){(uint32_t)rng_u64(&rng), rng_u64(&rng)};
    size_t floats = segment_block_bytes(dims->obs_dim, dims->act_dim, dims->segment_steps) / 4;
    for (size_t i = 0; i < floats; i++)
        block[i] = (float)(2 * rng_uniform(&rng) - 1);
}

static void test_segments_survive_the_round_trip(void **state)
{
    (void)state;
    static float block[20000];
    for (int i = 0; i < 300; i++) {
        LogDims dims = {1 + (int)rng_below(&rng, 20), 1 + (int)rng_below(&rng, 7),
                        1 + (int)rng_below(&rng, 70)};
        SegmentRecord record, again;
        random_segment(&dims, block, &record);
        size_t bytes = segment_record_bytes(&record, &dims);
        assert_true(bytes <= log_payload_bytes_max(&dims));
        segment_record_encode(&record, &dims, payload);
        assert_int_equal(segment_record_decode(payload, bytes, &dims, &again, NULL), ERR_OK);
        const Segment *a = &record.segment, *b = &again.segment;
        size_t steps = (size_t)a->num_steps;
        assert_memory_equal(a->obs, b->obs, 4 * (steps + 1) * (size_t)dims.obs_dim);
        assert_memory_equal(a->action, b->action, 4 * steps * (size_t)dims.act_dim);
        assert_memory_equal(a->reward, b->reward, 4 * steps);
        static uint8_t bytes_again[PAYLOAD_MAX];
        segment_record_encode(&again, &dims, bytes_again);
        assert_memory_equal(payload, bytes_again, bytes);
        segment_record_peek(payload, &again);
        assert_int_equal(again.position, record.position);
        assert_int_equal(again.session_steps, record.session_steps);
        assert_int_equal(again.segment.sequence, a->sequence);
        assert_int_equal(again.segment.end, a->end);
    }
}

static void test_gaps_survive_the_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        GapRecord gap, again;
        gap.first_position = 1 + some_number();
        gap.last_position = gap.first_position + rng_below(&rng, 1000);
        gap.row = some_number();
        gap.steps = rng_below(&rng, 100000);
        gap.rows = gap.steps + rng_below(&rng, 1000);
        gap.env_steps = gap.steps + some_number();
        gap_record_encode(&gap, payload);
        assert_int_equal(gap_record_decode(payload, GAP_RECORD_BYTES, &again, NULL), ERR_OK);
        assert_memory_equal(&gap, &again, sizeof gap);
    }
}

/* From a block of exactly its size, so that a sanitizer sees one byte too many. */
static void decode_hostile(const uint8_t *bytes, size_t num_bytes, const LogDims *dims)
{
    static SessionRecord sessions[LOG_TABLE_SESSIONS_MAX];
    uint8_t *exact = malloc(num_bytes + (num_bytes == 0));
    assert_non_null(exact);
    memcpy(exact, bytes, num_bytes);
    FileHead head;
    GapRecord gap;
    SegmentRecord segment;
    Err err;
    size_t count;
    (void)file_head_decode(exact, num_bytes, &head, &err);
    (void)gap_record_decode(exact, num_bytes, &gap, &err);
    (void)session_record_decode(exact, num_bytes, sessions, &err);
    (void)table_record_decode(exact, num_bytes, sessions, &count, &err);
    if (segment_record_decode(exact, num_bytes, dims, &segment, &err) == ERR_OK)
        assert_int_equal(segment_record_bytes(&segment, dims), num_bytes);
    free(exact);
}

static void test_hostile_payloads_do_no_harm(void **state)
{
    (void)state;
    static float block[2000];
    static SessionRecord records[9];
    LogDims dims = {3, 2, 16};
    for (int i = 0; i < 20000; i++) {
        SegmentRecord record;
        size_t bytes;
        if (i % 3 == 0) {
            random_segment(&dims, block, &record);
            bytes = segment_record_bytes(&record, &dims);
            segment_record_encode(&record, &dims, payload);
        } else {
            size_t count = 1 + rng_below(&rng, 8);
            for (size_t j = 0; j < count; j++)
                random_session(&records[j]);
            bytes = i % 3 == 1 ? session_record_bytes(records) : table_record_bytes(records, count);
            if (i % 3 == 1)
                session_record_encode(records, payload);
            else
                table_record_encode(records, count, payload);
        }
        for (uint64_t flips = rng_below(&rng, 4); flips > 0; flips--)
            payload[rng_below(&rng, bytes < 120 ? bytes : 120)] = (uint8_t)rng_below(&rng, 256);
        decode_hostile(payload, rng_below(&rng, 2) ? bytes : rng_below(&rng, bytes + 1), &dims);
    }
}

static void test_numbers_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    static float block[2000];
    LogDims dims = {3, 2, 16};
    SegmentRecord record, again;
    Err err = {""};
    random_segment(&dims, block, &record);
    size_t bytes = segment_record_bytes(&record, &dims);
    record.segment.obs[1] = NAN;
    segment_record_encode(&record, &dims, payload);
    assert_int_equal(segment_record_decode(payload, bytes, &dims, &again, &err), ERR_DIVERGED);
    record.segment.obs[1] = 0;
    record.segment.action[0] = 1.5F;
    segment_record_encode(&record, &dims, payload);
    assert_int_equal(segment_record_decode(payload, bytes, &dims, &again, &err), ERR_FORMAT);
}

/* The bytes are part of the format: files written earlier must stay readable. */
static void test_a_frame_is_these_bytes(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        'P',  'L',  'O',  'G',  8,    0,    0,    0,    5, 0, 0, 0, 0x13, 0x05, 0x7c, 0x94,
        0x97, 0x22, 0x23, 0x16, 0xea, 0x17, 0xf2, 0x16, 1, 2, 3, 4, 5,    6,    7,    8};
    static const uint8_t content[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t frame[sizeof expected];
    assert_int_equal(frame_encode(frame, LOG_KIND_GAP, content, sizeof content, 1000),
                     sizeof expected);
    assert_memory_equal(frame, expected, sizeof expected);
}

static void test_a_frame_is_found_only_where_it_was_written(void **state)
{
    (void)state;
    _Alignas(8) uint8_t bytes[4096];
    for (int i = 0; i < 200; i++) {
        uint64_t salt = rng_u64(&rng), offset = 8 * (1 + rng_below(&rng, 1000));
        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)rng_below(&rng, 256);
        size_t at = 8 * rng_below(&rng, 300);
        uint8_t content[800];
        memset(content, i, sizeof content);
        size_t length = 8 * rng_below(&rng, 100);
        frame_encode(bytes + at, 7, content, length, frame_seed(salt, offset + at));
        assert_int_equal(frame_resync(bytes, sizeof bytes, 800, salt, offset), at);
        Frame frame;
        uint64_t seed = frame_seed(salt, offset + at);
        assert_int_equal(frame_decode(bytes + at, sizeof bytes - at, 800, seed, &frame),
                         FRAME_SOUND);
        assert_int_equal(frame.kind, 7);
        assert_int_equal(frame.payload_bytes, length);
        assert_int_equal(frame_decode(bytes + at, 24 + length - 1, 800, seed, &frame), FRAME_MORE);
        assert_int_equal(frame_decode(bytes + at, sizeof bytes - at, 800, seed + 8, &frame),
                         FRAME_BAD_HEADER);
        if (length > 0) {
            assert_int_equal(frame_decode(bytes + at, sizeof bytes - at, length - 8, seed, &frame),
                             FRAME_BAD_HEADER);
            bytes[at + 24 + rng_below(&rng, length)] ^= 1;
            assert_int_equal(frame_decode(bytes + at, sizeof bytes - at, 800, seed, &frame),
                             FRAME_BAD_PAYLOAD);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_a_head_survives_the_round_trip),
        TEST(test_sessions_and_tables_survive_the_round_trip),
        TEST(test_segments_survive_the_round_trip),
        TEST(test_gaps_survive_the_round_trip),
        TEST(test_hostile_payloads_do_no_harm),
        TEST(test_numbers_that_are_not_finite_are_refused),
        TEST(test_a_frame_is_these_bytes),
        TEST(test_a_frame_is_found_only_where_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
