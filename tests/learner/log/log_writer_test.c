#include "learner/log/log_writer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

static void assert_ok(int code, const Err *err)
{
    if (code != ERR_OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, ERR_OK);
}

static void append(uint64_t count)
{
    Err err = {""};
    for (uint64_t i = 0; i < count; i++)
        assert_ok(world_append(&world, &err), &err);
}

static void flush(void)
{
    Err err = {""};
    assert_ok(log_writer_flush(world.writer, &err), &err);
}

static void sync_log(void)
{
    Err err = {""};
    assert_ok(log_writer_sync(world.writer, &err), &err);
}

static void read_all(void)
{
    Err err = {""};
    assert_ok(world_read_all(&world, &seen, &err), &err);
    assert_int_equal(seen.num_wrong, 0);
}

static void test_positions_are_flushed_and_then_synced(void **state)
{
    (void)state;
    append(10);
    assert_int_equal(log_writer_next_position(world.writer), 11);
    assert_int_equal(log_writer_flushed_position(world.writer), 0);
    flush();
    assert_int_equal(log_writer_flushed_position(world.writer), 10);
    assert_int_equal(log_writer_synced_position(world.writer), 0);
    assert_int_equal(log_writer_buffered_bytes(world.writer), 0);
    append(1);
    sync_log();
    assert_int_equal(log_writer_synced_position(world.writer), 10);
    assert_int_equal(log_writer_total_bytes(world.writer), memory_disk_bytes(world.disk));
}

static void test_a_full_buffer_is_written_by_itself(void **state)
{
    (void)state;
    append(3000);
    assert_true(log_writer_flushed_position(world.writer) > 500);
    flush();
    read_all();
    assert_int_equal(seen.num_segments, 3000);
}

static void test_files_stay_within_their_size_and_each_has_the_sessions(void **state)
{
    (void)state;
    world.config.file_bytes_max = 30000;
    world_restart(&world);
    for (int i = 0; i < 50; i++) {
        append(20);
        flush();
    }
    assert_true(memory_disk_num_files(world.disk) > 8);
    assert_true(memory_disk_num_files(world.disk) < 14);
    for (size_t i = 0; i < memory_disk_num_files(world.disk); i++) {
        size_t num_bytes;
        memory_disk_file(world.disk, memory_disk_path(world.disk, i), &num_bytes);
        assert_true(num_bytes <= 30000);
    }
    read_all();
    assert_int_equal(seen.num_segments, 1000);
    LogReader *reader;
    LogItem item;
    Err err = {""};
    assert_ok(world_open(&world, &reader, &err), &err);
    assert_ok(log_reader_seek_file(reader, UINT64_MAX >> 1, &err), &err);
    assert_ok(log_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.kind, LOG_ITEM_HEAD);
    assert_int_equal(item.head.num_sessions, WORLD_SESSIONS);
    assert_int_equal(item.head.base_row, world.facts[item.head.base_position].row);
    uint64_t base_position = item.head.base_position;
    assert_ok(log_reader_next(reader, &item, &err), &err);
    assert_int_equal(item.kind, LOG_ITEM_SESSIONS);
    assert_int_equal(item.sessions.num_records, WORLD_SESSIONS);
    for (size_t i = 0; i < WORLD_SESSIONS; i++) {
        const SessionRecord *record = &item.sessions.records[i];
        uint64_t before = base_position - 1;
        while (world_session(before) != record->id.id[15])
            before--;
        assert_int_equal(record->sequence, world.facts[before].sequence);
        assert_int_equal(record->incarnation, 100 + record->actor_index);
    }
    log_reader_close(&reader);
}

/* The table says what is in the files, never what is still in the buffer. */
static void test_a_new_file_does_not_promise_what_is_only_in_the_buffer(void **state)
{
    (void)state;
    Err err = {""};
    append(10);
    flush();
    append(10);
    memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_WRITE, 1, 1, EIO, true});
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_IO);
    /* The new file's head is written, the buffer is not: then the process dies. */
    memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_WRITE, 3, 1, EIO, false});
    assert_int_equal(log_writer_recover(world.writer, &err), ERR_IO);
    memory_disk_fault(world.disk, NULL);
    world_restart(&world);
    assert_int_equal(world.num_facts, 10);
    for (uint32_t i = 0; i < WORLD_SESSIONS; i++)
        assert_int_equal(world.sequence[i], 2);
}

static void test_a_failed_write_loses_nothing(void **state)
{
    (void)state;
    Err err = {""};
    append(10);
    flush();
    append(10);
    memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_WRITE, 1, 1, EIO, true});
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_IO);
    assert_non_null(strstr(err.text, ".plog"));
    assert_non_null(strstr(err.text, strerror(EIO)));
    assert_true(log_writer_failed(world.writer));
    assert_int_equal(log_writer_flushed_position(world.writer), 10);
    append(5); /* into the buffer */
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_IO);
    read_all();
    assert_int_equal(seen.num_segments, 10);
    assert_int_equal(seen.num_torn, 0);
    assert_ok(log_writer_recover(world.writer, &err), &err);
    assert_false(log_writer_failed(world.writer));
    assert_int_equal(log_writer_flushed_position(world.writer), 25);
    read_all();
    assert_int_equal(seen.num_segments, 25);
}

static void test_what_a_failed_write_left_is_passed_over(void **state)
{
    (void)state;
    Err err = {""};
    append(10);
    flush();
    append(10);
    memory_disk_fault(
        world.disk, &(MemoryDiskFault){MEMORY_DISK_WRITE | MEMORY_DISK_TRUNCATE, 1, 2, EIO, true});
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_IO);
    memory_disk_fault(world.disk, NULL);
    world_skip(&world);
    assert_ok(log_writer_recover(world.writer, &err), &err);
    append(3);
    flush();
    read_all();
    assert_int_equal(seen.num_segments, 13);
    assert_true(seen.num_torn <= 1); /* 0 when it broke off between two records */
    for (uint64_t i = 11; i <= 21; i++)
        assert_true(seen.gap[i]);
}

static void test_a_full_disk_is_told_and_ends(void **state)
{
    (void)state;
    Err err = {""};
    append(10);
    flush();
    memory_disk_space(world.disk, memory_disk_bytes(world.disk) + 1000);
    append(30);
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_FULL);
    assert_non_null(strstr(err.text, "free some space"));
    for (int i = 0; i < 3; i++)
        assert_int_equal(log_writer_recover(world.writer, &err), ERR_FULL);
    assert_int_equal(memory_disk_num_files(world.disk), 1);
    memory_disk_space(world.disk, UINT64_MAX);
    assert_ok(log_writer_recover(world.writer, &err), &err);
    read_all();
    assert_int_equal(seen.num_segments, 40);
}

static void test_a_budget_is_kept(void **state)
{
    (void)state;
    Err err = {""};
    world.config.bytes_max = 60000;
    world.config.file_bytes_max = 10000;
    world_restart(&world);
    int code = ERR_OK;
    while (code == ERR_OK) {
        code = world_append(&world, &err);
        if (code == ERR_OK)
            code = log_writer_flush(world.writer, &err);
    }
    assert_int_equal(code, ERR_FULL);
    assert_non_null(strstr(err.text, "replay_log_bytes_max = 60,000"));
    assert_true(memory_disk_bytes(world.disk) <= 60000);
    uint64_t first, last;
    assert_false(log_writer_suspect(world.writer, &first, &last));
    /* More room, because files went: it goes on. */
    size_t num_removed;
    uint64_t bytes_removed;
    assert_ok(log_files_prune(world.table, WORLD_DIRECTORY, world.facts[world.num_facts].row,
                              &num_removed, &bytes_removed, &err),
              &err);
    assert_true(num_removed > 0);
    assert_ok(log_writer_recover(world.writer, &err), &err);
    append(5);
    flush();
}

static void test_after_a_failed_sync_it_goes_on_in_a_new_file(void **state)
{
    (void)state;
    Err err = {""};
    uint64_t first, last;
    append(5);
    flush();
    sync_log();
    append(5);
    flush();
    memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_SYNC, 1, 1, EIO, false});
    assert_int_equal(log_writer_sync(world.writer, &err), ERR_IO);
    assert_true(log_writer_suspect(world.writer, &first, &last));
    assert_int_equal(first, 6);
    assert_int_equal(last, 10);
    assert_int_equal(log_writer_synced_position(world.writer), 5);
    assert_int_equal(log_writer_sync(world.writer, &err), ERR_IO); /* not tried again */
    assert_ok(log_writer_recover(world.writer, &err), &err);
    append(5);
    flush();
    sync_log();
    assert_int_equal(log_writer_synced_position(world.writer), 15);
    assert_int_equal(memory_disk_num_files(world.disk), 2);
    memory_disk_power_loss(world.disk, NULL);
    read_all();
    assert_int_equal(seen.num_segments, 10);
    for (uint64_t i = 11; i <= 15; i++)
        assert_true(seen.segment[i]);
}

static void test_skipped_segments_are_named_and_their_sessions_kept(void **state)
{
    (void)state;
    Err err = {""};
    append(10);
    flush();
    append(2);
    memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_ANY, 1, UINT64_MAX, EIO, false});
    assert_int_equal(log_writer_flush(world.writer, &err), ERR_IO);
    for (int i = 0; i < 20; i++)
        world_skip(&world);
    assert_int_equal(log_writer_recover(world.writer, &err), ERR_IO);
    world_skip(&world);
    assert_int_equal(log_writer_flushed_position(world.writer), 10);
    memory_disk_fault(world.disk, NULL);
    assert_ok(log_writer_recover(world.writer, &err), &err);
    assert_int_equal(log_writer_flushed_position(world.writer), 33);
    append(4);
    flush();
    read_all();
    assert_int_equal(seen.num_segments, 14);
    for (uint64_t i = 11; i <= 33; i++)
        assert_true(seen.gap[i]);
    uint64_t sequence[WORLD_SESSIONS], steps[WORLD_SESSIONS];
    memcpy(sequence, world.sequence, sizeof sequence);
    memcpy(steps, world.session_steps, sizeof steps);
    LogState before = log_writer_state(world.writer);
    LogRecovered recovered;
    assert_ok(world_start(&world, &recovered, &err), &err);
    assert_memory_equal(sequence, world.sequence, sizeof sequence);
    assert_memory_equal(steps, world.session_steps, sizeof steps);
    assert_int_equal(recovered.state.next_position, before.next_position);
    assert_int_equal(recovered.state.row, before.row);
    assert_int_equal(recovered.state.env_steps, before.env_steps);
    assert_int_equal(recovered.gap_positions, 23);
    assert_int_equal(recovered.missing_positions, 0);
    log_recovered_free(&recovered);
}

static void test_skipping_without_a_failure_is_named_too(void **state)
{
    (void)state;
    append(3);
    world_skip(&world);
    append(3);
    world_skip(&world);
    append(3);
    flush();
    read_all();
    assert_int_equal(seen.num_segments, 3);
    for (uint64_t i = 1; i <= 8; i++)
        assert_true(seen.gap[i]);
}

static void test_silent_sessions_are_left_out_after_their_retention(void **state)
{
    (void)state;
    Err err = {""};
    world.config.session_retention_ms = 5000;
    world_restart(&world);
    append(WORLD_SESSIONS);
    flush();
    world.now_ms += 6000;
    Session kept = world_session_id(&world, 2);
    log_writer_heard(world.writer, &kept, world.now_ms);
    LogRecovered recovered;
    assert_ok(world_recover(&world, &recovered, &err), &err);
    log_recovered_free(&recovered);
    memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_SYNC, 1, 1, EIO, false});
    assert_int_equal(log_writer_sync(world.writer, &err), ERR_IO);
    assert_ok(log_writer_recover(world.writer, &err), &err);
    assert_ok(world_recover(&world, &recovered, &err), &err);
    assert_int_equal(recovered.state.num_sessions, 1);
    assert_int_equal(recovered.sessions[0].id.id[15], 2);
    assert_int_equal(recovered.sessions[0].idle_s, 0);
    log_recovered_free(&recovered);
}

static void test_an_earlier_start_cannot_write_behind_a_later_one(void **state)
{
    (void)state;
    Err err = {""};
    append(5);
    flush();
    world_restart(&world);
    LogWriter *writer;
    LogState stale = {.next_position = 3, .row = 10};
    assert_int_equal(
        log_writer_new(world.table, WORLD_DIRECTORY, &world.config, &stale, 0, &writer, &err),
        ERR_SPEC);
    assert_null(writer);
    stale = log_writer_state(world.writer);
    world.config.epoch--;
    assert_int_equal(
        log_writer_new(world.table, WORLD_DIRECTORY, &world.config, &stale, 0, &writer, &err),
        ERR_SPEC);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_positions_are_flushed_and_then_synced),
        TEST(test_a_full_buffer_is_written_by_itself),
        TEST(test_files_stay_within_their_size_and_each_has_the_sessions),
        TEST(test_a_new_file_does_not_promise_what_is_only_in_the_buffer),
        TEST(test_a_failed_write_loses_nothing),
        TEST(test_what_a_failed_write_left_is_passed_over),
        TEST(test_a_full_disk_is_told_and_ends),
        TEST(test_a_budget_is_kept),
        TEST(test_after_a_failed_sync_it_goes_on_in_a_new_file),
        TEST(test_skipped_segments_are_named_and_their_sessions_kept),
        TEST(test_skipping_without_a_failure_is_named_too),
        TEST(test_silent_sessions_are_left_out_after_their_retention),
        TEST(test_an_earlier_start_cannot_write_behind_a_later_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
