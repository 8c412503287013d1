/* The worst shapes that bytes can have: each is decoded or refused within the memory that its size
 * gives it, and those that would be dear are refused before any memory is taken.
 *
 *     test.proto.wire_scan --measure    prints how long 1 MiB of each takes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/clock.h"
#include "tests/proto/wire_random.h"
#include "tests/proto/wire_writer.h"

enum { LARGEST = 1 << 20, HEAD_BYTES_MAX = 16, ACTOR_FIELDS_MAX = 24, MEASURED_ROUNDS = 20 };

static const WireLimits dims = {.obs_dim = 64, .act_dim = 6, .segment_steps_max = 4096};

/* A kind, and then the same few bytes over and over. */
typedef struct Shape {
    const char *name;
    MessageKind kind;
    const char *unit;
    size_t unit_bytes;
} Shape;

#define UNIT(bytes) bytes, sizeof bytes - 1

static const Shape endless[] = {
    {"unknown fields without a value", MESSAGE_ACK, UNIT("\x7a\x00")},
    {"unknown numbers", MESSAGE_ACK, UNIT("\x78\x00")},
    {"unknown long numbers", MESSAGE_ACK, UNIT("\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
    {"unknown fields of two bytes", MESSAGE_SEGMENT, UNIT("\x7a\x02xy")},
    {"unknown fields of large numbers", MESSAGE_ACK, UNIT("\xfa\xff\xff\xff\x0f\x00")},
    {"unknown fixed64", MESSAGE_HEARTBEAT, UNIT("\xf9\x03\x00\x00\x00\x00\x00\x00\x00\x00")},
    {"unknown fixed32", MESSAGE_HEARTBEAT, UNIT("\xfd\x03\x00\x00\x00\x00")},
    {"one number again and again", MESSAGE_ACK, UNIT("\x08\x01")},
    {"two numbers in turn", MESSAGE_ACK, UNIT("\x08\x01\x10\x01")},
    {"a packed number", MESSAGE_ACK, UNIT("\x0a\x02\x01\x01")},
    {"a number in another wire type", MESSAGE_SEGMENT, UNIT("\x0d\x00\x00\x00\x00")},
    {"an empty text", MESSAGE_ACK, UNIT("\x2a\x00")},
    {"a text", MESSAGE_ACK, UNIT("\x2a\x01x")},
    {"an empty column", MESSAGE_SEGMENT, UNIT("\x4a\x00")},
    {"a column", MESSAGE_SEGMENT, UNIT("\x4a\x04\x00\x00\x00\x00")},
    {"labels", MESSAGE_HELLO, UNIT("\x32\x00")},
    {"labels of a letter", MESSAGE_HELLO, UNIT("\x32\x01x")},
    {"an empty spec, merged", MESSAGE_HELLO, UNIT("\x3a\x00")},
    {"a spec with a name, merged", MESSAGE_HELLO, UNIT("\x3a\x03\x0a\x01x")},
    {"an empty version, merged", MESSAGE_ACK, UNIT("\x32\x00")},
    {"a version, merged", MESSAGE_HEARTBEAT, UNIT("\x12\x02\x08\x01")},
    {"empty actors", MESSAGE_STATUS, UNIT("\x92\x01\x00")},
    {"actors of an unknown field", MESSAGE_STATUS, UNIT("\x92\x01\x02\x7a\x00")},
    {"groups within groups", MESSAGE_ACK, UNIT("\x7b")},
    {"groups", MESSAGE_ACK, UNIT("\x7b\x7c")},
    {"ends of groups", MESSAGE_ACK, UNIT("\x7c")},
    {"a wire type that is none", MESSAGE_ACK, UNIT("\x7e")},
    {"a number that never ends", MESSAGE_ACK, UNIT("\xff")},
    {"zeros", MESSAGE_STATUS, UNIT("\x00")},
    {"sizes of a policy", MESSAGE_EVAL_REQUEST, UNIT("\x32\x04\x01\x00\x00\x00")},
};
enum { NUM_ENDLESS = sizeof endless / sizeof endless[0] };

/* Shapes with a field of all that is left: where it stands, and what is in it. */
typedef struct Wrapped {
    const char *name;
    MessageKind kind;
    unsigned field;
    const char *unit;
    size_t unit_bytes;
    bool is_dear; /* refused before memory is taken */
} Wrapped;

static const Wrapped wrapped[] = {
    {"an actor of unknown fields", MESSAGE_STATUS, 18, UNIT("\x7a\x00"), true},
    {"an actor of texts", MESSAGE_STATUS, 18, UNIT("\x1a\x00"), true},
    {"a spec of unknown fields", MESSAGE_HELLO, 7, UNIT("\x7a\x00"), true},
    {"a spec of names", MESSAGE_HELLO, 7, UNIT("\x0a\x00"), true},
    {"a spec of groups", MESSAGE_HELLO, 7, UNIT("\x7b"), true},
    {"a version of unknown fields", MESSAGE_ACK, 6, UNIT("\x7a\x00"), true},
    {"one long text", MESSAGE_REJECT, 2, UNIT("x"), false},
    {"one long text of broken characters", MESSAGE_REJECT, 2, UNIT("\xe2\x80"), false},
    {"one long label", MESSAGE_HELLO, 6, UNIT("x"), false},
    {"one long column", MESSAGE_SEGMENT, 9, UNIT("\x00"), false},
    {"one long unknown field", MESSAGE_ACK, 15, UNIT("\x00"), false},
    {"one long policy", MESSAGE_EVAL_REQUEST, 7, UNIT("\x00"), false},
};
enum { NUM_WRAPPED = sizeof wrapped / sizeof wrapped[0] };

static uint8_t *frame; /* (LARGEST) */
static WireArena *arena;

static size_t repeat(uint8_t *out, size_t room, const char *unit, size_t unit_bytes)
{
    size_t used = 0;
    for (; used + unit_bytes <= room; used += unit_bytes)
        memcpy(out + used, unit, unit_bytes);
    return used;
}

/* Each makes a frame of at most num_bytes, and returns its length. */
static size_t make_endless(const Shape *shape, size_t num_bytes)
{
    frame[0] = (uint8_t)shape->kind;
    return 1 + repeat(frame + 1, num_bytes - 1, shape->unit, shape->unit_bytes);
}

static size_t make_wrapped(const Wrapped *shape, size_t num_bytes)
{
    static Writer head;
    size_t inside = (num_bytes - HEAD_BYTES_MAX) / shape->unit_bytes * shape->unit_bytes;
    head.length = 0;
    write_byte(&head, shape->kind);
    write_varint(&head, shape->field << 3 | 2);
    write_varint(&head, inside);
    memcpy(frame, head.bytes, head.length);
    return head.length + repeat(frame + head.length, inside, shape->unit, shape->unit_bytes);
}

/* As many actors as a Status may have, each of as many fields as it may have. */
static size_t make_actors(size_t num_bytes, const char *field, size_t field_bytes)
{
    size_t inside = ACTOR_FIELDS_MAX * field_bytes;
    size_t used = 0;
    frame[used++] = MESSAGE_STATUS;
    CHECK(inside < 0x80);
    for (int i = 0; i < STATUS_ACTORS_MAX && used + 3 + inside <= num_bytes; i++) {
        frame[used++] = 0x92;
        frame[used++] = 0x01;
        frame[used++] = (uint8_t)inside;
        used += repeat(frame + used, inside, field, field_bytes);
    }
    return used;
}

/* As many large fields as a message may have. */
static size_t make_parts(size_t num_bytes, MessageKind kind, unsigned field, int num_parts)
{
    static Writer head;
    size_t used = 0;
    frame[used++] = (uint8_t)kind;
    for (int i = 0; i < num_parts; i++) {
        size_t inside = num_bytes / (size_t)num_parts - HEAD_BYTES_MAX;
        head.length = 0;
        write_varint(&head, field << 3 | 2);
        write_varint(&head, inside);
        memcpy(frame + used, head.bytes, head.length);
        used += head.length;
        memset(frame + used, 'x', inside);
        used += inside;
    }
    return used;
}

static size_t make_segment(size_t num_bytes)
{
    int row_floats = dims.obs_dim + dims.act_dim + 1;
    int num_steps = (int)(num_bytes / sizeof(float) / (size_t)row_floats) - 4;
    float *block =
        calloc(1, segment_block_bytes(dims.obs_dim, dims.act_dim, dims.segment_steps_max));
    CHECK(block && num_steps >= 1 && num_steps <= dims.segment_steps_max);
    Message message = {.kind = MESSAGE_SEGMENT};
    segment_bind(&message.segment, block, dims.obs_dim, dims.act_dim, dims.segment_steps_max);
    message.segment.sequence = 1;
    message.segment.num_steps = num_steps;
    size_t frame_bytes = wire_size(&message, &dims);
    CHECK(frame_bytes <= num_bytes);
    wire_pack(&message, &dims, frame);
    free(block);
    return frame_bytes;
}

static int unpack(size_t num_bytes, Err *err)
{
    Message message;
    return wire_unpack(frame, num_bytes, &dims, arena, &message, err);
}

/* The promise of wire.h, for the frame that was just unpacked. */
static void assert_bounded(const char *name, size_t num_bytes, size_t num_actors)
{
    size_t limit =
        WIRE_BYTES_PER_BYTE * num_bytes + WIRE_STRUCT_BYTES + num_actors * WIRE_ACTOR_BYTES;
    if (wire_arena_used_bytes(arena) > limit)
        fail_msg("%s: %zu bytes took %zu", name, num_bytes, wire_arena_used_bytes(arena));
}

static const size_t sizes[] = {40, 1 << 10, 1 << 13, 1 << 16, LARGEST};
enum { NUM_SIZES = sizeof sizes / sizeof sizes[0] };

static void test_no_shape_takes_more_memory_than_its_size_gives(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_SIZES; i++) {
        for (int shape = 0; shape < NUM_ENDLESS; shape++) {
            size_t num_bytes = make_endless(&endless[shape], sizes[i]);
            int rc = unpack(num_bytes, NULL);
            bool is_status = endless[shape].kind == MESSAGE_STATUS;
            size_t num_actors = is_status ? num_bytes / 3 : 0;
            assert_bounded(endless[shape].name, num_bytes,
                           rc == ERR_OK && num_actors < STATUS_ACTORS_MAX ? num_actors : 0);
        }
        for (int shape = 0; shape < NUM_WRAPPED; shape++) {
            size_t num_bytes = make_wrapped(&wrapped[shape], sizes[i]);
            unpack(num_bytes, NULL);
            assert_bounded(wrapped[shape].name, num_bytes, wrapped[shape].kind == MESSAGE_STATUS);
        }
    }
}

static void test_endless_shapes_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    for (int shape = 0; shape < NUM_ENDLESS; shape++) {
        Err err = {""};
        size_t num_bytes = make_endless(&endless[shape], LARGEST);
        if (unpack(num_bytes, &err) != ERR_FORMAT || wire_arena_used_bytes(arena) != 0 ||
            !strstr(err.text, message_kind_name(endless[shape].kind)))
            fail_msg("%s: %s, %zu bytes", endless[shape].name, err.text,
                     wire_arena_used_bytes(arena));
    }
    for (int shape = 0; shape < NUM_WRAPPED; shape++) {
        size_t num_bytes = make_wrapped(&wrapped[shape], LARGEST);
        int rc = unpack(num_bytes, NULL);
        if (wrapped[shape].is_dear)
            assert_int_equal(rc, ERR_FORMAT);
        assert_int_equal(wire_arena_used_bytes(arena) == 0, wrapped[shape].is_dear);
    }
}

static void test_the_largest_counts_that_pass_stay_within_the_memory(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        size_t field_bytes;
    } fields[] = {{UNIT("\x7a\x00")}, {UNIT("\x1a\x00")}, {UNIT("\x1a\x01x")}, {UNIT("\x08\x01")}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        size_t num_bytes = make_actors(LARGEST, fields[i].field, fields[i].field_bytes);
        int rc = unpack(num_bytes, NULL);
        assert_true(rc == ERR_OK || rc == ERR_NOMEM);
        assert_bounded("actors", num_bytes, STATUS_ACTORS_MAX);
    }
    static const struct {
        MessageKind kind;
        unsigned field;
    } parts[] = {{MESSAGE_ACK, 15}, {MESSAGE_ACK, 5}, {MESSAGE_HELLO, 6}, {MESSAGE_SEGMENT, 9}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t num_bytes = make_parts(LARGEST, parts[i].kind, parts[i].field, 64);
        unpack(num_bytes, NULL);
        assert_bounded("parts", num_bytes, 0);
        assert_true(wire_arena_used_bytes(arena) <= 2 * num_bytes);
    }
}

static void test_a_large_sound_segment_takes_little_more_than_itself(void **state)
{
    (void)state;
    size_t num_bytes = make_segment(LARGEST);
    assert_int_equal(unpack(num_bytes, NULL), ERR_OK);
    assert_true(wire_arena_used_bytes(arena) < num_bytes + 1024);
}

static void test_counts_up_to_the_limit_pass(void **state)
{
    (void)state;
    static Writer writer;
    for (int count = 63; count <= 65; count++) {
        writer.length = 0;
        write_byte(&writer, MESSAGE_BYE);
        write_uint(&writer, 1, BYE_FINISHED);
        for (int i = 1; i < count; i++)
            write_uint(&writer, 100, 7); /* what a later version may add */
        Err err = {""};
        Message message;
        int rc = wire_unpack(writer.bytes, writer.length, NULL, arena, &message, &err);
        assert_int_equal(rc, count <= 64 ? ERR_OK : ERR_FORMAT);
        if (rc != ERR_OK)
            assert_non_null(strstr(err.text, "more than 64 fields"));
    }
    for (int count = 23; count <= 25; count++) {
        writer.length = 0;
        write_byte(&writer, MESSAGE_ACK);
        write_varint(&writer, 6 << 3 | 2);
        write_varint(&writer, (uint64_t)count * 2);
        for (int i = 0; i < count; i++)
            write_uint(&writer, 15, 7);
        Message message;
        assert_int_equal(wire_unpack(writer.bytes, writer.length, NULL, arena, &message, NULL),
                         count <= 24 ? ERR_OK : ERR_FORMAT);
    }
}

/* --- How long it takes --------------------------------------------------------------------- */

static void measure(const char *name, size_t num_bytes)
{
    int64_t best_ns = INT64_MAX;
    int rc = 0;
    for (int i = 0; i < MEASURED_ROUNDS; i++) {
        int64_t start_ns = clock_ns();
        rc = unpack(num_bytes, NULL);
        int64_t took_ns = clock_ns() - start_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    printf("%9.1f us  %9zu bytes taken  %-9s %s\n", (double)best_ns * 1e-3,
           wire_arena_used_bytes(arena), rc == ERR_OK ? "decoded" : "refused", name);
}

static int measure_all(void)
{
    for (int shape = 0; shape < NUM_ENDLESS; shape++)
        measure(endless[shape].name, make_endless(&endless[shape], LARGEST));
    for (int shape = 0; shape < NUM_WRAPPED; shape++)
        measure(wrapped[shape].name, make_wrapped(&wrapped[shape], LARGEST));
    measure("4,096 actors of 24 unknown fields", make_actors(LARGEST, UNIT("\x7a\x00")));
    measure("4,096 actors of 24 names", make_actors(LARGEST, UNIT("\x1a\x01x")));
    measure("4,096 actors of 24 numbers", make_actors(LARGEST, UNIT("\x08\x01")));
    measure("64 large unknown fields", make_parts(LARGEST, MESSAGE_ACK, 15, 64));
    measure("64 large texts", make_parts(LARGEST, MESSAGE_ACK, 5, 64));
    measure("64 large columns", make_parts(LARGEST, MESSAGE_SEGMENT, 9, 64));
    measure("a sound segment", make_segment(LARGEST));
    return 0;
}

int main(int argc, char **argv)
{
    frame = malloc(LARGEST);
    arena = wire_arena_new(64 << 20);
    CHECK(frame && arena);
    int failed = 0;
    if (argc == 2 && strcmp(argv[1], "--measure") == 0) {
        failed = measure_all();
    } else {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_no_shape_takes_more_memory_than_its_size_gives),
            cmocka_unit_test(test_endless_shapes_are_refused_before_memory_is_taken),
            cmocka_unit_test(test_the_largest_counts_that_pass_stay_within_the_memory),
            cmocka_unit_test(test_a_large_sound_segment_takes_little_more_than_itself),
            cmocka_unit_test(test_counts_up_to_the_limit_pass),
        };
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    }
    wire_arena_destroy(&arena);
    free(frame);
    return failed;
}
