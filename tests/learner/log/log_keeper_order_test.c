/* The keeper of the logs: order records, and faults of any kind at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/learner/log/keeper_world.h"

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

/* The order log fails, segments are skipped; it recovers, but the file that names them cannot be
 * begun: what is synced is not all that went on. */
static void test_what_no_file_names_is_not_on_disk(void **state)
{
    (void)state;
    Err err;
    start(LOG_ON_ERROR_CONTINUE);
    put(2);
    log_keeper_turn(&keeper, now_ms);
    MemoryDiskFault fault = {.calls = MEMORY_DISK_SYNC, .first = 2, .count = 1, .error = EIO};
    watched_disk_fault(&disk, &fault);
    assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_IO);
    put(3);
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(take(), 5);
    /* The first file that is opened is the order log's new one. */
    fault =
        (MemoryDiskFault){.calls = MEMORY_DISK_OPEN, .first = 2, .count = UINT64_MAX, .error = EIO};
    watched_disk_fault(&disk, &fault);
    now_ms = log_keeper_due_ms(&keeper, now_ms);
    log_keeper_turn(&keeper, now_ms);
    assert_int_not_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_OK);
    watched_disk_fault(&disk, NULL);
    now_ms = log_keeper_due_ms(&keeper, now_ms);
    log_keeper_turn(&keeper, now_ms);
    assert_int_equal(log_keeper_sync(&keeper, now_ms, &err), ERR_OK);
    log_keeper_close(&keeper, now_ms);
    read_log();
    assert_int_equal(seen.num_gaps, 1);
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
        TEST(test_order_records_are_written_with_the_segments),
        TEST(test_order_records_wait_for_room),
        TEST(test_the_order_log_fails_alone),
        TEST(test_what_no_file_names_is_not_on_disk),
        TEST(test_nothing_goes_on_that_is_neither_logged_nor_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
