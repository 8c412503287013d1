#include "learner/log/log_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/common/scratch.h"
#include "tests/learner/log/log_world.h"

static LogWorld world;
static WorldSeen seen;

static int set_up(void **state)
{
    (void)state;
    world_init(&world, world_seed());
    world.config.file_bytes_max = 12000;
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
        assert_int_equal(world_append(&world, &err), ERR_OK);
        if (i % 10 == 9)
            assert_int_equal(log_writer_flush(world.writer, &err), ERR_OK);
    }
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_OK);
}

static void test_names_sort_as_files_were_begun(void **state)
{
    (void)state;
    static const struct {
        uint64_t base_position;
        uint32_t epoch, number;
    } order[] = {{1, 1, 0}, {1, 1, 1}, {1, 2, 0}, {9, 2, 3}, {16, 1, 0}, {UINT64_MAX, 0, 0}};
    LogFileName before = {{0}}, name, again;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        log_file_name(order[i].base_position, order[i].epoch, order[i].number, &name);
        assert_true(strcmp(before.text, name.text) < 0);
        assert_true(log_file_name_parse(name.text, &again));
        assert_int_equal(again.base_position, order[i].base_position);
        assert_int_equal(again.epoch, order[i].epoch);
        assert_int_equal(again.number, order[i].number);
        before = name;
    }
}

static void test_other_names_are_passed_over(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "order.plog",
        "log-0000000000000001-00000001-00000000.plog~",
        "log-0000000000000001-00000001-0000000g.plog",
        "log-0000000000000001-00000001-00000000.plug",
        "log-000000000000000A-00000001-00000000.plog",
        "log- 000000000000001-00000001-00000000.plog",
        "log-0x00000000000001-00000001-00000000.plog",
    };
    LogFileName name;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(log_file_name_parse(names[i], &name));
}

static void test_retention_never_removes_what_a_row_needs(void **state)
{
    (void)state;
    Err err = {""};
    append(100);
    world_restart(&world); /* a file without segments between */
    world_restart(&world);
    append(500);
    Rng rng = rng_stream(world.seed, RNG_TEST, 5, 0, 0);
    uint64_t position = 1;
    size_t removed_in_all = 0;
    while (position < 600) {
        position += rng_below(&rng, 40);
        if (position > 600)
            position = 600;
        size_t num_removed;
        uint64_t row = world.facts[position].row;
        assert_int_equal(log_writer_prune(world.writer, row, &num_removed, &err), ERR_OK);
        removed_in_all += num_removed;
        assert_int_equal(world_read_all(&world, &seen, &err), ERR_OK);
        assert_int_equal(seen.num_wrong, 0);
        for (uint64_t i = position; i <= 600; i++)
            assert_true(seen.segment[i]);
        assert_int_equal(log_writer_total_bytes(world.writer), memory_disk_bytes(world.disk));
    }
    assert_true(removed_in_all > 10);
    assert_true(memory_disk_num_files(world.disk) <= 2);
}

static void test_session_tables_survive_retention_and_a_power_loss(void **state)
{
    (void)state;
    Err err = {""};
    append(300);
    uint64_t sequence[WORLD_SESSIONS];
    memcpy(sequence, world.sequence, sizeof sequence);
    world_restart(&world);
    size_t num_removed;
    assert_int_equal(log_writer_prune(world.writer, UINT64_MAX, &num_removed, &err), ERR_OK);
    assert_int_equal(memory_disk_num_files(world.disk), 1);
    memory_disk_power_loss(world.disk, NULL);
    world_restart(&world);
    assert_memory_equal(sequence, world.sequence, sizeof sequence);
    assert_int_equal(world.num_facts, 300);
}

static void test_the_newest_file_stays(void **state)
{
    (void)state;
    Err err = {""};
    size_t num_removed;
    append(5);
    assert_int_equal(log_writer_prune(world.writer, UINT64_MAX, &num_removed, &err), ERR_OK);
    assert_int_equal(num_removed, 0);
    assert_int_equal(memory_disk_num_files(world.disk), 1);
}

/* The same code on the disk of the machine. */
static void test_the_real_disk_does_the_same(void **state)
{
    (void)state;
    Err err = {""};
    Scratch scratch = scratch_make();
    const LogDisk *disk = disk_real();
    const char *path = scratch_path(&scratch, "file");
    assert_true(disk->open(NULL, path, DISK_READ) < 0);
    int file = disk->open(NULL, path, DISK_CREATE);
    assert_true(file >= 0);
    assert_true(disk->open(NULL, path, DISK_CREATE) < 0);
    assert_int_equal(disk_write_all(disk, file, "0123456789", 10), 0);
    assert_int_equal(disk->truncate(NULL, file, 4), 0);
    assert_int_equal(disk_write_all(disk, file, "ab", 2), 0);
    assert_int_equal(disk->sync(NULL, file), 0);
    assert_int_equal(disk->size(NULL, file), 6);
    char bytes[16] = "";
    assert_int_equal(disk_read_all(disk, file, bytes, sizeof bytes, 1), 5);
    assert_string_equal(bytes, "123ab");
    assert_int_equal(disk->close(NULL, file), 0);
    assert_int_equal(disk->sync_dir(NULL, scratch.path), 0);
    uint64_t num_bytes = 9;
    assert_int_equal(log_files_bytes(disk, scratch.path, &num_bytes, &err), ERR_OK);
    assert_int_equal(num_bytes, 0);
    assert_int_equal(disk->remove(NULL, path), 0);
    LogFileList list;
    assert_int_equal(log_files_list(disk, "/nowhere", &list, &err), ERR_IO);
    assert_non_null(strstr(err.text, "/nowhere"));

    LogWorld *real = calloc(1, sizeof *real);
    assert_non_null(real);
    world_init(real, world.seed);
    LogState start = {.next_position = 1};
    assert_int_equal(
        log_writer_new(disk, scratch.path, &real->config, &start, 0, &real->writer, &err), ERR_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(world_append(real, &err), ERR_OK);
    assert_int_equal(log_writer_flush(real->writer, &err), ERR_OK);
    assert_int_equal(log_writer_sync(real->writer, &err), ERR_OK);
    LogReader *reader;
    assert_int_equal(log_reader_open(disk, scratch.path, &real->config.run_id, &real->config.dims,
                                     &reader, &err),
                     ERR_OK);
    assert_int_equal(world_read(real, reader, &seen, &err), ERR_OK);
    assert_int_equal(seen.num_segments, 200);
    assert_int_equal(seen.num_wrong, 0);
    log_reader_close(&reader);
    world_end(real);
    free(real);
    scratch_remove(&scratch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_names_sort_as_files_were_begun),
        TEST(test_other_names_are_passed_over),
        TEST(test_retention_never_removes_what_a_row_needs),
        TEST(test_session_tables_survive_retention_and_a_power_loss),
        TEST(test_the_newest_file_stays),
        TEST(test_the_real_disk_does_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
