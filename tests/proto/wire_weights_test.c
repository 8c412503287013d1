/* Weights frames: both topics, the checksum, and shapes that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "tests/proto/wire_random.h"
#include "tests/proto/wire_writer.h"

enum { ROUNDS = 300, ARENA_BYTES = 1 << 16 };

static const uint8_t session_topic[17] = "J0123456789abcdef";
static uint64_t seed;
static RandomMemory memory;
static WireArena *arena;

static uint8_t *pack(const Weights *weights, const uint8_t *topic, size_t topic_bytes,
                     size_t *frame_bytes)
{
    *frame_bytes = wire_weights_size(weights, topic_bytes);
    uint8_t *frame = malloc(*frame_bytes);
    wire_weights_pack(weights, topic, topic_bytes, frame);
    return frame;
}

static void test_weights_come_back_under_both_topics(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        Rng rng = rng_stream(seed, RNG_TEST, (uint64_t)round, 0, 0);
        Weights sent, received;
        random_weights(&rng, &memory, &sent);
        size_t topic_bytes = round % 2 == 0 ? 1 : 17;
        const uint8_t *topic = round % 2 == 0 ? (const uint8_t *)"W" : session_topic;
        size_t frame_bytes;
        uint8_t *frame = pack(&sent, topic, topic_bytes, &frame_bytes);
        assert_memory_equal(frame, topic, topic_bytes);
        Err err = {""};
        if (wire_weights_unpack(frame, frame_bytes, arena, &received, &err) != ERR_OK)
            fail_msg("%s", err.text);
        assert_true(version_equal(sent.version, received.version));
        assert_true(mlp_equal(&sent.mlp, &received.mlp));
        assert_true(received.mlp.tanh_output);
        assert_memory_equal(sent.params, received.params,
                            sizeof(float) * mlp_num_params(&sent.mlp));
        assert_int_equal((uintptr_t)received.params % 16, 0);
        free(frame);
    }
}

static void test_every_flipped_bit_and_cut_is_caught(void **state)
{
    (void)state;
    Rng rng = rng_stream(seed, RNG_TEST, 0, 1, 0);
    Weights sent, received;
    random_weights(&rng, &memory, &sent);
    sent.version = (Version){3, 123456};
    size_t frame_bytes;
    uint8_t *frame = pack(&sent, session_topic, 17, &frame_bytes);
    int caught_by_checksum = 0;
    for (size_t bit = 17 * 8; bit < frame_bytes * 8; bit++) {
        frame[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        int rc = wire_weights_unpack(frame, frame_bytes, arena, &received, NULL);
        assert_int_not_equal(rc, ERR_OK);
        caught_by_checksum += rc == ERR_CHECKSUM;
        frame[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    /* At least all those in the parameters. */
    assert_true((size_t)caught_by_checksum >= mlp_num_params(&sent.mlp) * 32);
    for (size_t cut = 0; cut < frame_bytes; cut++) {
        uint8_t *piece = malloc(cut + 1);
        memcpy(piece, frame, cut);
        assert_int_not_equal(wire_weights_unpack(piece, cut, arena, &received, NULL), ERR_OK);
        free(piece);
    }
    free(frame);
}

static void test_a_frame_without_a_topic_is_refused(void **state)
{
    (void)state;
    Rng rng = rng_stream(seed, RNG_TEST, 0, 2, 0);
    Weights sent, received;
    random_weights(&rng, &memory, &sent);
    size_t frame_bytes;
    uint8_t *frame = pack(&sent, (const uint8_t *)"W", 1, &frame_bytes);
    for (int topic = 0; topic < 256; topic++) {
        frame[0] = (uint8_t)topic;
        int rc = wire_weights_unpack(frame, frame_bytes, arena, &received, NULL);
        assert_true(topic == 'W' ? rc == ERR_OK : rc != ERR_OK);
    }
    free(frame);
    Err err;
    assert_int_equal(wire_weights_unpack(session_topic, 16, arena, &received, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, "without a topic"));
    assert_int_not_equal(wire_weights_unpack(session_topic, 17, arena, &received, NULL), ERR_OK);
    assert_int_equal(wire_weights_unpack(session_topic, 0, arena, &received, NULL), ERR_FORMAT);
}

static void test_weights_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    Rng rng = rng_stream(seed, RNG_TEST, 0, 3, 0);
    Weights sent, received;
    random_weights(&rng, &memory, &sent);
    memory.params[mlp_num_params(&sent.mlp) - 1] = NAN;
    size_t frame_bytes;
    uint8_t *frame = pack(&sent, (const uint8_t *)"W", 1, &frame_bytes);
    assert_int_equal(wire_weights_unpack(frame, frame_bytes, arena, &received, NULL), ERR_DIVERGED);
    free(frame);
}

/* The shape as an EvalRequest carries it: there no checksum stands before the checks. */
static int code_of_shape(const uint32_t *sizes, size_t shape_bytes, size_t params_bytes)
{
    static Writer writer;
    static const uint8_t zeros[4096];
    writer.length = 0;
    write_byte(&writer, MESSAGE_EVAL_REQUEST);
    write_uint(&writer, 3, 1);
    write_bytes(&writer, 6, sizes, shape_bytes);
    write_bytes(&writer, 7, zeros, params_bytes);
    Message message;
    return wire_unpack(writer.bytes, writer.length, NULL, arena, &message, NULL);
}

static void test_shapes_are_within_limits_and_match_the_parameters(void **state)
{
    (void)state;
    uint32_t sizes[MLP_LAYERS_MAX + 2] = {3, 2, 1};
    size_t params_bytes = 4 * (3 * 2 + 2 + 2 * 1 + 1);
    assert_int_equal(code_of_shape(sizes, 12, params_bytes), ERR_OK);
    for (size_t shape_bytes = 0; shape_bytes < 12; shape_bytes++)
        assert_int_equal(code_of_shape(sizes, shape_bytes, params_bytes), ERR_FORMAT);
    for (size_t shape_bytes = 13; shape_bytes < 16; shape_bytes++)
        assert_int_equal(code_of_shape(sizes, shape_bytes, params_bytes), ERR_FORMAT);
    assert_int_equal(code_of_shape(sizes, 12, params_bytes - 4), ERR_FORMAT);
    assert_int_equal(code_of_shape(sizes, 12, params_bytes + 4), ERR_FORMAT);
    assert_int_equal(code_of_shape(sizes, 12, params_bytes + 1), ERR_FORMAT);
    assert_int_equal(code_of_shape(sizes, 12, 0), ERR_FORMAT);

    static const uint32_t wrong[] = {0, MLP_WIDTH_MAX + 1, 1U << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        for (size_t layer = 0; layer < 3; layer++) {
            uint32_t broken[3] = {3, 2, 1};
            broken[layer] = wrong[i];
            assert_int_equal(code_of_shape(broken, sizeof broken, params_bytes), ERR_FORMAT);
        }
    }

    for (size_t i = 0; i < MLP_LAYERS_MAX + 2; i++)
        sizes[i] = 1;
    size_t deepest = MLP_LAYERS_MAX + 1;
    assert_int_equal(code_of_shape(sizes, 4 * deepest, 8 * MLP_LAYERS_MAX), ERR_OK);
    assert_int_equal(code_of_shape(sizes, 4 * (deepest + 1), 8 * (MLP_LAYERS_MAX + 1)), ERR_FORMAT);
}

static void test_a_frame_over_the_budget_is_refused(void **state)
{
    (void)state;
    Mlp mlp;
    int hidden[] = {100, 100};
    assert_int_equal(mlp_shape(&mlp, 17, hidden, 2, 6, true, NULL), ERR_OK);
    assert_true(mlp_num_params(&mlp) * sizeof(float) < ARENA_BYTES);
    float *params = calloc(mlp_num_params(&mlp), sizeof *params);
    Weights sent = {.version = {1, 1}, .mlp = mlp, .params = params}, received;
    size_t frame_bytes;
    uint8_t *frame = pack(&sent, (const uint8_t *)"W", 1, &frame_bytes);
    assert_int_equal(wire_weights_unpack(frame, frame_bytes, arena, &received, NULL), ERR_OK);
    WireArena *small = wire_arena_new(WIRE_SMALL_BYTES_MAX);
    assert_int_equal(wire_weights_unpack(frame, frame_bytes, small, &received, NULL), ERR_NOMEM);
    wire_arena_destroy(&small);
    free(frame);
    free(params);
}

static void test_what_is_carried_has_a_limit(void **state)
{
    (void)state;
    Mlp mlp;
    int hidden[] = {400, 300};
    assert_int_equal(mlp_shape(&mlp, 17, hidden, 2, 6, true, NULL), ERR_OK);
    assert_true(wire_carries(&mlp));
    int wide[] = {MLP_WIDTH_MAX, MLP_WIDTH_MAX};
    assert_int_equal(mlp_shape(&mlp, 17, wide, 2, 6, true, NULL), ERR_OK);
    assert_false(wire_carries(&mlp));
}

int main(void)
{
    seed = random_seed();
    arena = wire_arena_new(ARENA_BYTES);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_come_back_under_both_topics),
        cmocka_unit_test(test_every_flipped_bit_and_cut_is_caught),
        cmocka_unit_test(test_a_frame_without_a_topic_is_refused),
        cmocka_unit_test(test_weights_that_are_not_finite_are_refused),
        cmocka_unit_test(test_shapes_are_within_limits_and_match_the_parameters),
        cmocka_unit_test(test_a_frame_over_the_budget_is_refused),
        cmocka_unit_test(test_what_is_carried_has_a_limit),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wire_arena_destroy(&arena);
    return failed;
}
