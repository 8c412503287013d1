/* The keeper of the logs on a disk that fills up and breaks: what goes on, when, and what its
 * status says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/learner/log/keeper_world.h"

/* --- Well
 * ----------------------------------------------------------------------------------------- */

static void test_segments_go_on_once_they_are_in_the_file(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    put(3);
    assert_int_equal(take(), 0);
    assert_true(log_keeper_turn(&keeper, now_ms));
    assert_logged(1, 3);
    assert_int_equal(take(), 3);
    assert_false(log_keeper_turn(&keeper, now_ms)); /* nothing more */
    assert_int_equal(keeper.status.position, 3);
    assert_true(keeper.status.durable);
    assert_string_equal(keeper.status.failing, "");
    log_keeper_close(&keeper, now_ms);
}

static void test_logs_are_synced_in_time(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    put(2);
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(keeper.status.synced_position, 0);
    int64_t due_ms = log_keeper_due_ms(&keeper, now_ms);
    assert_true(due_ms <= now_ms + FSYNC_MS);
    now_ms = due_ms;
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(keeper.status.synced_position, 2);
    memory_disk_power_loss(disk.inner, NULL);
    read_log();
    assert_int_equal(seen.num_segments, 2);
    log_keeper_close(&keeper, now_ms);
}

static uint64_t put_large(SegmentRing *large, int count)
{
    static float columns[65 * 1024 + 64 * 65];
    Segment segment = {.sequence = 0, .num_steps = 64};
    SegmentOrigin *origin = NULL;
    segment.obs = columns;
    segment.action = columns;
    segment.reward = columns;
    for (int i = 0; i < count; i++) {
        Segment *slot = segment_ring_reserve(large, &origin);
        segment.sequence++;
        segment_copy(slot, &segment, large->obs_dim, large->act_dim);
        *origin = (SegmentOrigin){.session_steps = segment.sequence * 64};
        segment_ring_commit(large);
    }
    return (uint64_t)count;
}

/* More than a turn takes. */
static void test_closing_writes_all_that_is_left(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    SegmentRing large;
    Err err = {""};
    LogState begin = {.next_position = 1};
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = 1,
                              .dims = {1024, 64, 64},
                              .file_bytes_max = LOG_FILE_BYTES_MAX,
                              .sessions_max = 100,
                              .session_retention_ms = 1000000};
    LogWriter *writer = NULL;
    OrderLog *order = NULL;
    assert_int_equal(segment_ring_new(&large, COUNT, 1024, 64, 64), 0);
    segment_ring_add_log_stage(&large);
    assert_int_equal(
        log_writer_new(&disk.table, TRAIN_DIRECTORY, &config, &begin, now_ms, &writer, &err),
        ERR_OK);
    assert_int_equal(
        order_log_open(&disk.table, TRAIN_DIRECTORY, &run_id, NULL, NULL, &order, &err), ERR_OK);
    log_keeper_init(&keeper, writer, order, &large, LOG_ON_ERROR_WAIT, FSYNC_MS, now_ms);
    put_large(&large, COUNT);
    log_keeper_close(&keeper, now_ms);
    assert_int_equal(segment_ring_logged(&large), COUNT);
    memory_disk_power_loss(disk.inner, NULL);
    LogRecovered recovered;
    assert_int_equal(log_recover(&disk.table, TRAIN_DIRECTORY, &run_id, &config.dims, 100, NULL,
                                 &recovered, &err),
                     ERR_OK);
    assert_int_equal(recovered.num_segments, COUNT);
    log_recovered_free(&recovered);
    segment_ring_destroy(&large);
}

/* --- A full disk
 * ---------------------------------------------------------------------------------- */

static void test_on_a_full_disk_with_wait_nothing_goes_on_and_nothing_is_lost(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    put(2);
    log_keeper_turn(&keeper, now_ms);
    no_room();
    put(5);
    assert_false(log_keeper_turn(&keeper, now_ms));
    assert_int_equal(take(), 2);
    assert_false(keeper.status.durable);
    assert_non_null(strstr(keeper.status.failing, "No space left"));
    put(3);
    for (int i = 0; i < 5; i++) {
        now_ms = log_keeper_due_ms(&keeper, now_ms);
        assert_false(log_keeper_turn(&keeper, now_ms));
    }
    assert_int_equal(take(), 0);
    assert_int_equal(keeper.status.position, 2);
    room();
    now_ms = log_keeper_due_ms(&keeper, now_ms);
    assert_true(log_keeper_turn(&keeper, now_ms));
    assert_int_equal(take(), 8);
    assert_logged(1, 10);
    assert_int_equal(seen.num_gaps, 0);
    assert_int_equal(keeper.status.unlogged, 0);
    assert_int_equal(keeper.status.failures, 1);
    assert_true(keeper.status.durable);
    assert_string_equal(keeper.status.failing, "");
    assert_int_equal(disk.touched, 0);
    log_keeper_close(&keeper, now_ms);
}

/* A checkpoint is what lets files go; so it must be possible just then. */
static void test_with_wait_a_full_budget_does_not_hinder_the_checkpoint_that_frees_it(void **state)
{
    (void)state;
    Err err = {""};
    size_t num_removed = 0;
    uint64_t bytes_removed = 0;
    bytes_max = 30000;
    start(LOG_ON_ERROR_WAIT);
    while (keeper.status.durable && num_put < POSITIONS_MAX / 2) {
        put(1);
        log_keeper_turn(&keeper, now_ms);
        take();
    }
    assert_non_null(strstr(keeper.status.failing, "replay_log_bytes_max"));
    OrderEvent event = {.type = ORDER_CHECKPOINT, .update = 7, .position = num_taken};
    log_keeper_event(&keeper, &event);
    assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_OK);
    assert_false(keeper.status.durable);
    assert_int_equal(keeper.status.synced_position, num_taken);
    assert_int_equal(log_files_prune(&disk.table, TRAIN_DIRECTORY, UINT64_MAX, &num_removed,
                                     &bytes_removed, &err),
                     ERR_OK);
    assert_true(num_removed > 0);
    now_ms = log_keeper_due_ms(&keeper, now_ms);
    assert_true(log_keeper_turn(&keeper, now_ms));
    assert_true(keeper.status.durable);
    assert_int_equal(take(), 1);
    log_keeper_close(&keeper, now_ms);
}

static void test_with_continue_all_go_on_and_a_gap_names_them(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_CONTINUE);
    put(2);
    log_keeper_turn(&keeper, now_ms);
    no_room();
    put(5);
    assert_true(log_keeper_turn(&keeper, now_ms));
    put(3);
    assert_true(log_keeper_turn(&keeper, now_ms));
    assert_int_equal(take(), 10);
    /* One status tells how many went on and how: whoever acknowledges them says whether they are
     * durable. */
    assert_false(keeper.status.durable);
    assert_int_equal(keeper.status.handed_on, 10);
    assert_int_equal(keeper.status.unlogged, 8);
    assert_int_equal(keeper.status.position, 2);
    room();
    now_ms = log_keeper_due_ms(&keeper, now_ms);
    put(4);
    assert_true(log_keeper_turn(&keeper, now_ms));
    read_log();
    for (uint64_t i = 1; i <= 14; i++)
        assert_int_equal(seen.gap[i], i > 2 && i <= 10);
    assert_int_equal(seen.num_segments, 6);
    assert_int_equal(seen.num_gaps, 1);
    assert_int_equal(keeper.status.unlogged, 8);
    assert_int_equal(keeper.status.position, 14);
    assert_true(keeper.status.durable);
    log_keeper_close(&keeper, now_ms);
}

static void test_an_operator_changes_wait_to_continue(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    no_room();
    put(5);
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(take(), 0);
    keeper.on_error = LOG_ON_ERROR_CONTINUE;
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(take(), 5);
    assert_int_equal(keeper.status.unlogged, 5);
    log_keeper_close(&keeper, now_ms);
}

/* What could be written before the disk was full again is logged, not "unlogged". */
static void test_what_a_recovery_wrote_counts_as_logged(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    no_room();
    put(5);
    log_keeper_turn(&keeper, now_ms);
    watched_disk_room(&disk, 1400); /* a head, and these five; no more */
    put(40);
    keeper.on_error = LOG_ON_ERROR_CONTINUE;
    now_ms = log_keeper_due_ms(&keeper, now_ms);
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(take(), 45);
    read_log();
    assert_int_equal(keeper.status.unlogged, 45 - seen.num_segments);
    log_keeper_close(&keeper, now_ms);
}

static void test_closing_tries_once_more(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    no_room();
    put(5);
    log_keeper_turn(&keeper, now_ms);
    room();
    log_keeper_close(&keeper, now_ms); /* before the next try is due */
    assert_logged(1, 5);
}

/* --- A sync that fails
 * ---------------------------------------------------------------------------- */

static void test_a_failed_sync_is_not_tried_again_on_that_file(void **state)
{
    (void)state;
    Err err = {""};
    start(LOG_ON_ERROR_WAIT);
    put(3);
    log_keeper_turn(&keeper, now_ms);
    break_next_sync();
    assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_IO);
    assert_false(keeper.status.durable);
    uint64_t tried = disk.syncs_tried;
    err.text[0] = '\0';
    assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_IO);
    assert_non_null(strstr(err.text, "sync"));
    assert_int_equal(disk.syncs_tried, tried);
    /* It recovers within the retry time, on a new file. */
    put(2);
    int64_t due_ms = log_keeper_due_ms(&keeper, now_ms);
    assert_true(due_ms - now_ms <= LOG_RETRY_MS);
    assert_false(log_keeper_turn(&keeper, due_ms - 1));
    assert_true(log_keeper_turn(&keeper, due_ms));
    assert_int_equal(log_keeper_sync(&keeper, due_ms, &err), ERR_OK);
    assert_int_equal(disk.touched, 0);
    assert_int_equal(keeper.status.synced_position, 5);
    assert_logged(1, 5);
    log_keeper_close(&keeper, now_ms);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_segments_go_on_once_they_are_in_the_file),
        TEST(test_logs_are_synced_in_time),
        TEST(test_closing_writes_all_that_is_left),
        TEST(test_on_a_full_disk_with_wait_nothing_goes_on_and_nothing_is_lost),
        TEST(test_with_wait_a_full_budget_does_not_hinder_the_checkpoint_that_frees_it),
        TEST(test_with_continue_all_go_on_and_a_gap_names_them),
        TEST(test_an_operator_changes_wait_to_continue),
        TEST(test_what_a_recovery_wrote_counts_as_logged),
        TEST(test_closing_tries_once_more),
        TEST(test_a_failed_sync_is_not_tried_again_on_that_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
