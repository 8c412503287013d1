#include "learner/log/log_reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/log/frame.h"
#include "tests/learner/log/log_world.h"

static LogWorld world;
static WorldSeen seen;

static int set_up(void **state)
{
    (void)state;
    world_init(&world, world_seed());
    world_restart(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_end(&world);
    return 0;
}

static void append(uint64_t count)
{
    Err err = {""};
    for (uint64_t i = 0; i < count; i++) {
        int code = world_append(&world, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(code, ERR_OK);
    }
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_OK);
}

static void read_all(void)
{
    Err err = {""};
    int code = world_read_all(&world, &seen, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
    assert_int_equal(seen.num_wrong, 0);
}

/* The only file, or the last; a copy of its bytes. */
static uint8_t *copy_file(const char **path, size_t *num_bytes)
{
    *path = memory_disk_path(world.disk, memory_disk_num_files(world.disk) - 1);
    uint8_t *bytes = memory_disk_file(world.disk, *path, num_bytes);
    uint8_t *copy = malloc(*num_bytes);
    assert_non_null(copy);
    memcpy(copy, bytes, *num_bytes);
    return copy;
}

static void test_segments_come_back_in_order_and_bit_for_bit(void **state)
{
    (void)state;
    append(500);
    world_restart(&world);
    append(500);
    read_all();
    assert_int_equal(seen.num_segments, 1000);
    assert_int_equal(seen.num_heads, 2);
    assert_int_equal(seen.num_damage + seen.num_torn, 0);
}

static void test_what_was_not_flushed_is_not_read(void **state)
{
    (void)state;
    Err err;
    append(3);
    assert_int_equal(world_append(&world, &err), ERR_OK);
    read_all();
    assert_int_equal(seen.num_segments, 3);
}

/* Ends of records, and the bytes beside them. */
static bool is_near_an_end(const size_t *ends, size_t num_ends, size_t at)
{
    for (size_t i = 0; i < num_ends; i++) {
        if (at + 26 >= ends[i] && at <= ends[i] + 26)
            return true;
    }
    return at % 4096 < 2;
}

static void test_a_log_cut_anywhere_gives_what_lies_before_the_cut(void **state)
{
    (void)state;
    static size_t ends[301];
    const char *path;
    size_t num_bytes;
    for (int i = 1; i <= 300; i++) {
        append(1);
        free(copy_file(&path, &ends[i]));
    }
    uint8_t *bytes = copy_file(&path, &num_bytes);
    size_t whole = 0;
    for (size_t at = 0; at <= num_bytes; at++) {
        while (whole < 300 && ends[whole + 1] <= at)
            whole++;
        if (!is_near_an_end(ends + (whole > 0 ? whole - 1 : 1), 3, at) || at / 1000 % 7 > 1)
            continue;
        memory_disk_put(world.disk, path, bytes, at);
        read_all();
        assert_int_equal(seen.num_segments, whole);
        assert_int_equal(seen.num_damage, 0);
        assert_true(seen.num_torn <= 1);
    }
    free(bytes);
}

static void test_flipped_bits_cost_only_the_records_that_they_hit(void **state)
{
    (void)state;
    append(40);
    const char *path;
    size_t num_bytes;
    uint8_t *bytes = copy_file(&path, &num_bytes);
    Rng rng = rng_stream(world.seed, RNG_TEST, 1, 0, 0);
    for (int i = 0; i < 10000; i++) {
        size_t bit = rng_below(&rng, num_bytes * 8);
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        memory_disk_put(world.disk, path, bytes, num_bytes);
        read_all();
        assert_true(seen.num_segments >= 39);
        assert_int_equal(seen.num_damage + seen.num_torn, 1);
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    free(bytes);
}

static void test_many_flipped_bits_never_give_a_wrong_segment(void **state)
{
    (void)state;
    append(40);
    const char *path;
    size_t num_bytes;
    uint8_t *bytes = copy_file(&path, &num_bytes);
    Rng rng = rng_stream(world.seed, RNG_TEST, 2, 0, 0);
    for (int i = 0; i < 500; i++) {
        uint8_t *damaged = malloc(num_bytes);
        assert_non_null(damaged);
        memcpy(damaged, bytes, num_bytes);
        for (uint64_t flips = 1 + rng_below(&rng, 60); flips > 0; flips--)
            damaged[rng_below(&rng, num_bytes)] ^= (uint8_t)(1 + rng_below(&rng, 255));
        size_t from = rng_below(&rng, num_bytes), to = rng_below(&rng, num_bytes);
        size_t length = rng_below(&rng, num_bytes - (from > to ? from : to));
        if (i % 2)
            memmove(damaged + to, damaged + from, length);
        memory_disk_put(world.disk, path, damaged, num_bytes);
        read_all();
        free(damaged);
    }
    free(bytes);
}

/* A record is sound only where it was written: not at another offset, nor in another file. */
static void test_a_displaced_record_is_damage(void **state)
{
    (void)state;
    append(1);
    const char *path;
    size_t one, two;
    free(copy_file(&path, &one));
    append(1);
    uint8_t *bytes = copy_file(&path, &two);
    memory_disk_put(world.disk, path, bytes, one);
    uint8_t *moved = malloc(2 * two);
    assert_non_null(moved);
    memcpy(moved, bytes, one);
    memset(moved + one, 0, 64);
    memcpy(moved + one + 64, bytes + one, two - one);
    memory_disk_put(world.disk, path, moved, two + 64);
    read_all();
    assert_int_equal(seen.num_segments, 1);
    assert_int_equal(seen.num_torn, 1);
    free(moved);
    free(bytes);
}

static void test_a_lost_head_costs_no_segment(void **state)
{
    (void)state;
    append(20);
    const char *path;
    size_t num_bytes;
    uint8_t *bytes = copy_file(&path, &num_bytes);
    memset(bytes, 0xff, 16);
    memory_disk_put(world.disk, path, bytes, num_bytes);
    read_all();
    assert_int_equal(seen.num_segments, 20);
    assert_int_equal(seen.num_damage, 1);
    free(bytes);
}

static void test_another_run_is_refused(void **state)
{
    (void)state;
    Err err = {""};
    append(1);
    world.config.run_id.bytes[3] ^= 1;
    LogReader *reader;
    assert_int_equal(world_open(&world, &reader, &err), ERR_SPEC);
    assert_null(reader);
    assert_non_null(strstr(err.text, "another run"));
}

static void test_other_dimensions_are_refused(void **state)
{
    (void)state;
    Err err = {""};
    append(1);
    LogDims dims = {WORLD_OBS + 1, WORLD_ACT, WORLD_STEPS};
    LogReader *reader;
    assert_int_equal(
        log_reader_open(world.table, WORLD_DIRECTORY, &world.config.run_id, &dims, &reader, &err),
        ERR_SPEC);
    assert_non_null(strstr(err.text, "obs_dim 3"));
}

static void test_dimensions_are_taken_from_the_log(void **state)
{
    (void)state;
    Err err = {""};
    append(5);
    LogDims none = {0};
    LogReader *reader;
    assert_int_equal(
        log_reader_open(world.table, WORLD_DIRECTORY, &world.config.run_id, &none, &reader, &err),
        ERR_OK);
    assert_int_equal(log_reader_dims(reader).obs_dim, WORLD_OBS);
    assert_int_equal(log_reader_dims(reader).act_dim, WORLD_ACT);
    assert_int_equal(world_read(&world, reader, &seen, &err), ERR_OK);
    assert_int_equal(seen.num_segments, 5);
    log_reader_close(&reader);
}

static void test_another_format_version_is_named(void **state)
{
    (void)state;
    Err err = {""};
    const char *path;
    size_t num_bytes;
    uint8_t *bytes = copy_file(&path, &num_bytes);
    uint8_t head[FILE_HEAD_BYTES];
    memcpy(head, bytes + 24, sizeof head);
    head[0] = LOG_FORMAT_VERSION + 1;
    uint8_t frame[FILE_HEAD_BYTES + 24];

    frame_encode(frame, LOG_KIND_HEAD, head, sizeof head, 0);
    memory_disk_put(world.disk, path, frame, sizeof frame);
    LogReader *reader;
    assert_int_equal(world_open(&world, &reader, &err), ERR_VERSION);
    assert_non_null(strstr(err.text, "version 2"));
    assert_non_null(strstr(err.text, "version 1"));
    free(bytes);
}

static void test_an_empty_directory_is_an_empty_log(void **state)
{
    (void)state;
    Err err = {""};
    LogReader *reader;
    assert_int_equal(log_reader_open(world.table, "elsewhere", &world.config.run_id,
                                     &world.config.dims, &reader, &err),
                     ERR_OK);
    LogItem item;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(log_reader_next(reader, &item, &err), ERR_OK);
        assert_int_equal(item.kind, LOG_ITEM_END);
    }
    log_reader_close(&reader);
}

static void test_seeking_gives_all_from_there_on(void **state)
{
    (void)state;
    Err err = {""};
    world.config.file_bytes_max = 20000;
    world_restart(&world);
    for (int i = 0; i < 40; i++)
        append(20);
    assert_true(memory_disk_num_files(world.disk) > 5);
    LogReader *reader;
    assert_int_equal(world_open(&world, &reader, &err), ERR_OK);
    Rng rng = rng_stream(world.seed, RNG_TEST, 3, 0, 0);
    for (int i = 0; i < 50; i++) {
        uint64_t position = 1 + rng_below(&rng, 800);
        uint64_t row = world.facts[position].row;
        if (i % 2)
            assert_int_equal(log_reader_seek_position(reader, position, &err), ERR_OK);
        else
            assert_int_equal(log_reader_seek_row(reader, row, &err), ERR_OK);
        uint64_t calls = memory_disk_calls(world.disk);
        assert_int_equal(world_read(&world, reader, &seen, &err), ERR_OK);
        assert_int_equal(seen.num_wrong, 0);
        assert_int_equal(seen.num_segments, 800 - position + 1);
        assert_true(seen.segment[position]);
        if (position > 780)
            assert_true(memory_disk_calls(world.disk) - calls < 8);
    }
    log_reader_close(&reader);
}

static void test_a_read_error_is_told_and_can_be_tried_again(void **state)
{
    (void)state;
    Err err = {""};
    append(100);
    LogReader *reader;
    LogItem item;
    assert_int_equal(world_open(&world, &reader, &err), ERR_OK);
    memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_READ, 1, 2, EIO, false});
    assert_int_equal(log_reader_next(reader, &item, &err), ERR_IO);
    assert_non_null(strstr(err.text, ".plog"));
    assert_int_equal(log_reader_next(reader, &item, &err), ERR_IO);
    assert_int_equal(world_read(&world, reader, &seen, &err), ERR_OK);
    assert_int_equal(seen.num_segments, 100);
    log_reader_close(&reader);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_segments_come_back_in_order_and_bit_for_bit),
        TEST(test_what_was_not_flushed_is_not_read),
        TEST(test_a_log_cut_anywhere_gives_what_lies_before_the_cut),
        TEST(test_flipped_bits_cost_only_the_records_that_they_hit),
        TEST(test_many_flipped_bits_never_give_a_wrong_segment),
        TEST(test_a_displaced_record_is_damage),
        TEST(test_a_lost_head_costs_no_segment),
        TEST(test_another_run_is_refused),
        TEST(test_other_dimensions_are_refused),
        TEST(test_dimensions_are_taken_from_the_log),
        TEST(test_another_format_version_is_named),
        TEST(test_an_empty_directory_is_an_empty_log),
        TEST(test_seeking_gives_all_from_there_on),
        TEST(test_a_read_error_is_told_and_can_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
