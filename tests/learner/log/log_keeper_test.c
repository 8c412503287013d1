/* The keeper of the logs on a disk that fills up and breaks: what goes on, when, and what its
 * status says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/log/log_files.h"
#include "learner/log/log_keeper.h"
#include "learner/log/log_recover.h"
#include "tests/learner/log/watched_disk.h"
#include "tests/learner/train/train_world.h"

enum { SLOTS = 64, FSYNC_MS = 100, POSITIONS_MAX = 4096 };

static uint64_t seed;
static WatchedDisk disk;
static SegmentRing ring;
static LogKeeper keeper;
static uint64_t num_put;   /* segments ever put into the ring */
static uint64_t num_taken; /* by the consumer */
static int64_t now_ms;
static uint32_t epoch;
static RunId run_id;

static const LogDims dims = {TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS};

static void start(LogOnError on_error)
{
    Err err = {""};
    LogRecovered recovered;
    LogWriter *writer = NULL;
    OrderLog *order = NULL;
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = ++epoch,
                              .dims = dims,
                              .file_bytes_max = 8192,
                              .sessions_max = 100,
                              .session_retention_ms = 1000000};
    int code =
        log_recover(&disk.table, TRAIN_DIRECTORY, &run_id, &dims, 100, NULL, &recovered, &err);
    if (code == ERR_OK)
        code = log_writer_new(&disk.table, TRAIN_DIRECTORY, &config, &recovered.state, now_ms,
                              &writer, &err);
    if (code == ERR_OK)
        code = order_log_open(&disk.table, TRAIN_DIRECTORY, &run_id, NULL, NULL, &order, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
    log_recovered_free(&recovered);
    log_keeper_init(&keeper, writer, order, &ring, on_error, FSYNC_MS, now_ms);
}

static int set_up(void **state)
{
    (void)state;
    seed = train_seed();
    memcpy(run_id.bytes, &seed, sizeof seed);
    watched_disk_init(&disk, memory_disk_new());
    assert_int_equal(segment_ring_new(&ring, SLOTS, TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS), 0);
    segment_ring_add_log_stage(&ring);
    num_put = 0;
    num_taken = 0;
    now_ms = 1000000;
    epoch = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    segment_ring_destroy(&ring);
    memory_disk_destroy(&disk.inner);
    return 0;
}

static void put(int count)
{
    for (int i = 0; i < count; i++) {
        TrainSegment made;
        train_segment(seed, num_put + 1, &made);
        assert_true(train_put(&ring, &made));
        num_put++;
    }
}

/* Takes what has gone on: each segment once, in order. Returns how many. */
static uint64_t take(void)
{
    uint64_t count = 0;
    const Segment *segment;
    while ((segment = segment_ring_peek(&ring)) != NULL) {
        assert_true(train_is(segment, seed, ++num_taken));
        segment_ring_release(&ring);
        count++;
    }
    return count;
}

typedef struct Seen {
    bool segment[POSITIONS_MAX];
    bool gap[POSITIONS_MAX];
    uint64_t num_segments;
    uint64_t num_gaps;
} Seen;

static Seen seen;

/* Reads the log beside the writer. */
static void read_log(void)
{
    Err err = {""};
    LogReader *reader;
    LogItem item = {.kind = LOG_ITEM_HEAD};
    memset(&seen, 0, sizeof seen);
    int code = log_reader_open(&disk.table, TRAIN_DIRECTORY, &run_id, &dims, &reader, &err);
    while (code == ERR_OK && item.kind != LOG_ITEM_END) {
        code = log_reader_next(reader, &item, &err);
        if (code == ERR_OK && item.kind == LOG_ITEM_SEGMENT) {
            assert_true(train_is(&item.segment.segment, seed, item.segment.position));
            seen.segment[item.segment.position] = true;
            seen.num_segments++;
        } else if (code == ERR_OK && item.kind == LOG_ITEM_GAP) {
            seen.num_gaps++;
            for (uint64_t i = item.gap.first_position; i <= item.gap.last_position; i++)
                seen.gap[i] = true;
        }
    }
    log_reader_close(&reader);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
}

static void assert_logged(uint64_t first, uint64_t last)
{
    read_log();
    for (uint64_t i = first; i <= last; i++)
        assert_true(seen.segment[i]);
}

static void no_room(void)
{
    watched_disk_room(&disk, 100);
}

static void room(void)
{
    watched_disk_room(&disk, UINT64_MAX);
}

static void break_next_sync(void)
{
    MemoryDiskFault fault = {.calls = MEMORY_DISK_SYNC, .first = 1, .count = 1, .error = EIO};
    watched_disk_fault(&disk, &fault);
}

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

/* --- Order records
 * -------------------------------------------------------------------------------- */

static void put_order(uint64_t update)
{
    OrderBlock block = {.first_update = update, .position = num_put, .count = 1};
    block.digests[0] = (uint32_t)update;
    log_keeper_block(&keeper, &block);
    OrderEvent event = {.type = ORDER_SKIPPED, .update = update, .position = num_put};
    log_keeper_event(&keeper, &event);
}

/* Blocks and events of the updates 0 to count - 1, in order; returns how many records there are. */
static uint64_t read_order(void)
{
    Err err = {""};
    OrderReader *reader;
    OrderItem item = {.kind = ORDER_ITEM_TORN};
    uint64_t count = 0;
    int code = order_reader_open(&disk.table, TRAIN_DIRECTORY, &run_id, &reader, &err);
    while (code == ERR_OK) {
        code = order_reader_next(reader, &item, &err);
        if (code != ERR_OK || item.kind == ORDER_ITEM_END)
            break;
        bool block = item.kind == ORDER_ITEM_BLOCK;
        assert_true(block || item.kind == ORDER_ITEM_EVENT);
        assert_int_equal(block, count % 2 == 0);
        assert_int_equal(block ? item.block.first_update : item.event.update, count / 2);
        count++;
    }
    order_reader_close(&reader);
    assert_int_equal(code, ERR_OK);
    return count;
}

static void test_order_records_are_written_with_the_segments(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    for (uint64_t update = 0; update < 20; update++) {
        put(1);
        put_order(update);
        log_keeper_turn(&keeper, now_ms);
        assert_int_equal(read_order(), 2 * (update + 1));
    }
    Err err = {""};
    assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_OK);
    memory_disk_power_loss(disk.inner, NULL);
    assert_int_equal(read_order(), 40);
    log_keeper_close(&keeper, now_ms);
}

static void test_order_records_wait_for_room(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT);
    no_room();
    for (uint64_t update = 0; update < 20; update++)
        put_order(update);
    log_keeper_turn(&keeper, now_ms);
    put_order(20);
    room();
    now_ms = log_keeper_due_ms(&keeper, now_ms);
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(read_order(), 42);
    assert_true(keeper.status.durable);
    log_keeper_close(&keeper, now_ms);
}

/* The order log alone fails: segments wait, or go on, all the same; nothing of it is lost. */
static void test_the_order_log_fails_alone(void **state)
{
    (void)state;
    Err err;
    for (int i = 0; i < 2; i++) {
        start(i == 0 ? LOG_ON_ERROR_WAIT : LOG_ON_ERROR_CONTINUE);
        uint64_t before = read_order() / 2;
        put_order(before);
        log_keeper_turn(&keeper, now_ms);
        /* The second sync of two is the order log's. */
        MemoryDiskFault fault = {.calls = MEMORY_DISK_SYNC, .first = 2, .count = 1, .error = EIO};
        watched_disk_fault(&disk, &fault);
        assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_IO);
        put(3);
        put_order(before + 1);
        assert_int_equal(log_keeper_turn(&keeper, now_ms), i == 1);
        now_ms = log_keeper_due_ms(&keeper, now_ms);
        put(1);
        assert_true(log_keeper_turn(&keeper, now_ms));
        assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_OK);
        assert_int_equal(take(), 4);
        assert_int_equal(read_order(), 2 * (before + 2));
        assert_int_equal(disk.touched, 0);
        log_keeper_close(&keeper, now_ms);
    }
    read_log();
    assert_int_equal(seen.num_gaps, 1);
    assert_int_equal(seen.num_segments, 5);
}

/* --- Anything
 * ------------------------------------------------------------------------------------- */

/* Faults at random, and a crash now and then: what went on with `wait` is in the log, what went on
 * with `continue` too, or it is counted as unlogged. */
static void random_life(Rng *rng, bool waits)
{
    start(waits ? LOG_ON_ERROR_WAIT : LOG_ON_ERROR_CONTINUE);
    uint64_t begun = num_taken;
    for (int turn = 0; turn < 60; turn++) {
        while (rng_below(rng, 3) > 0 && segment_ring_used(&ring) < SLOTS)
            put(1);
        if (rng_below(rng, 8) == 0) {
            MemoryDiskFault fault = {.calls = MEMORY_DISK_WRITE | MEMORY_DISK_SYNC |
                                              MEMORY_DISK_OPEN | MEMORY_DISK_SYNC_DIR,
                                     .first = 1 + rng_below(rng, 6),
                                     .count = 1 + rng_below(rng, 3),
                                     .error = rng_below(rng, 2) ? EIO : ENOSPC,
                                     .short_write = rng_below(rng, 2) > 0};
            watched_disk_fault(&disk, &fault);
        }
        now_ms += (int64_t)rng_below(rng, 400);
        log_keeper_turn(&keeper, now_ms);
        take();
        assert_int_equal(disk.touched, 0);
    }
    watched_disk_fault(&disk, NULL);
    read_log();
    uint64_t missing = 0;
    for (uint64_t i = begun + 1; i <= num_taken; i++)
        missing += !seen.segment[i];
    assert_int_equal(missing, keeper.status.unlogged);
    if (waits)
        assert_int_equal(missing, 0);
    log_keeper_close(&keeper, now_ms + 2 * LOG_RETRY_MS);
}

static void test_nothing_goes_on_that_is_neither_logged_nor_counted(void **state)
{
    (void)state;
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    for (int life = 0; life < 6; life++)
        random_life(&rng, life % 2 == 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_segments_go_on_once_they_are_in_the_file),
        TEST(test_logs_are_synced_in_time),
        TEST(test_closing_writes_all_that_is_left),
        TEST(test_on_a_full_disk_with_wait_nothing_goes_on_and_nothing_is_lost),
        TEST(test_with_continue_all_go_on_and_a_gap_names_them),
        TEST(test_an_operator_changes_wait_to_continue),
        TEST(test_what_a_recovery_wrote_counts_as_logged),
        TEST(test_closing_tries_once_more),
        TEST(test_a_failed_sync_is_not_tried_again_on_that_file),
        TEST(test_order_records_are_written_with_the_segments),
        TEST(test_order_records_wait_for_room),
        TEST(test_the_order_log_fails_alone),
        TEST(test_nothing_goes_on_that_is_neither_logged_nor_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
