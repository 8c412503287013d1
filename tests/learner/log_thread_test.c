/* The log thread between a producer and a trainer: run it under ThreadSanitizer too
 * (-DPOLYAK_SANITIZE=thread). */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/log/log_recover.h"
#include "learner/log_thread.h"
#include "tests/learner/log/watched_disk.h"
#include "tests/learner/train/train_world.h"

enum { SLOTS = 32, DEADLINE_MS = 30000 };

static uint64_t seed;
static WatchedDisk disk;
static SegmentRing ring;
static LogThread *thread;
static RunId run_id;
static uint64_t num_put;
static uint64_t num_taken;
static _Atomic int num_calls; /* of `logged` */

static const LogDims dims = {TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS};

static void on_logged(void *context)
{
    (void)context;
    atomic_fetch_add(&num_calls, 1);
}

static void start(LogOnError on_error, int64_t fsync_ms)
{
    Err err = {""};
    LogState begin = {.next_position = 1};
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = 1,
                              .dims = dims,
                              .file_bytes_max = 4096,
                              .sessions_max = 100,
                              .session_retention_ms = 1000000};
    LogThreadSetup setup = {.disk = &disk.table,
                            .directory = TRAIN_DIRECTORY,
                            .ring = &ring,
                            .on_error = on_error,
                            .fsync_ms = fsync_ms,
                            .logged = on_logged};
    int code = log_writer_new(&disk.table, TRAIN_DIRECTORY, &config, &begin, clock_ms(),
                              &setup.writer, &err);
    if (code == ERR_OK)
        code =
            order_log_open(&disk.table, TRAIN_DIRECTORY, &run_id, NULL, NULL, &setup.order, &err);
    if (code == ERR_OK)
        code = log_thread_start(&setup, &thread, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
}

static int set_up(void **state)
{
    (void)state;
    seed = train_seed();
    memcpy(run_id.bytes, &seed, sizeof seed);
    watched_disk_init(&disk, memory_disk_new());
    assert_int_equal(segment_ring_new(&ring, SLOTS, TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS), 0);
    num_put = 0;
    num_taken = 0;
    num_calls = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_thread_stop(&thread);
    segment_ring_destroy(&ring);
    memory_disk_destroy(&disk.inner);
    return 0;
}

static bool put(void)
{
    TrainSegment made;
    train_segment(seed, num_put + 1, &made);
    if (!train_put(&ring, &made))
        return false;
    num_put++;
    log_thread_wake(thread);
    return true;
}

static bool take(void)
{
    const Segment *segment = segment_ring_peek(&ring);
    if (!segment)
        return false;
    assert_true(train_is(segment, seed, ++num_taken));
    segment_ring_release(&ring);
    return true;
}

static void take_all(void)
{
    int64_t deadline_ms = clock_ms() + DEADLINE_MS;
    while (num_taken < num_put) {
        if (!take())
            usleep(200);
        assert_true(clock_ms() < deadline_ms);
    }
}

static void give_block(uint64_t update)
{
    OrderBlock block = {.first_update = update, .position = num_taken, .count = 1};
    log_thread_block(thread, &block);
}

static uint64_t count_segments(void)
{
    Err err = {""};
    LogRecovered recovered;
    int code =
        log_recover(&disk.table, TRAIN_DIRECTORY, &run_id, &dims, 100, NULL, &recovered, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
    uint64_t count = recovered.num_segments;
    assert_int_equal(recovered.missing_positions, 0);
    log_recovered_free(&recovered);
    return count;
}

static uint64_t count_blocks(void)
{
    Err err = {""};
    OrderReader *reader;
    OrderItem item = {.kind = ORDER_ITEM_TORN};
    uint64_t count = 0;
    assert_int_equal(order_reader_open(&disk.table, TRAIN_DIRECTORY, &run_id, &reader, &err),
                     ERR_OK);
    while (item.kind != ORDER_ITEM_END) {
        assert_int_equal(order_reader_next(reader, &item, &err), ERR_OK);
        if (item.kind == ORDER_ITEM_BLOCK)
            assert_int_equal(item.block.first_update, count++);
    }
    order_reader_close(&reader);
    return count;
}

/* --- Well
 * ----------------------------------------------------------------------------------------- */

static void test_segments_cross_and_are_there_after_the_end(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    start(LOG_ON_ERROR_WAIT, 5);
    int64_t deadline_ms = clock_ms() + DEADLINE_MS;
    uint64_t update = 0;
    while (num_taken < COUNT) {
        if (num_put < COUNT && !put())
            sched_yield();
        if (take() && num_taken % 4 == 0)
            give_block(update++);
        assert_true(clock_ms() < deadline_ms);
    }
    LogStatus status = log_thread_status(thread);
    assert_true(status.durable);
    log_thread_stop(&thread);
    assert_true(num_calls > 0);
    memory_disk_power_loss(disk.inner, NULL);
    assert_int_equal(count_segments(), COUNT);
    assert_int_equal(count_blocks(), update);
}

static void test_stopping_writes_what_is_left(void **state)
{
    (void)state;
    disk.write_us = 20000;
    start(LOG_ON_ERROR_WAIT, 3600000);
    while (put())
        continue;
    for (uint64_t update = 0; update < 10; update++)
        give_block(update);
    log_thread_stop(&thread);
    assert_int_equal(segment_ring_logged(&ring), SLOTS);
    memory_disk_power_loss(disk.inner, NULL);
    assert_int_equal(count_segments(), SLOTS);
    assert_int_equal(count_blocks(), 10);
}

/* After a sync everything that went before it survives a power loss. */
static void test_a_sync_covers_all_that_came_before(void **state)
{
    (void)state;
    Err err = {""};
    start(LOG_ON_ERROR_WAIT, 3600000);
    for (int i = 0; i < 20; i++)
        assert_true(put());
    take_all();
    for (uint64_t update = 0; update < 30; update++)
        give_block(update);
    assert_int_equal(log_thread_sync(thread, &err), ERR_OK);
    assert_int_equal(log_thread_status(thread).synced_position, 20);
    pthread_mutex_lock(&disk.mutex); /* the thread sleeps; nobody else uses the disk */
    memory_disk_power_loss(disk.inner, NULL);
    pthread_mutex_unlock(&disk.mutex);
    assert_int_equal(count_segments(), 20);
    assert_int_equal(count_blocks(), 30);
}

/* Far more records than the queue holds, on a disk that is slow: none is lost. */
static void test_a_trainer_far_ahead_of_the_disk_waits_and_goes_on(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    disk.write_us = 5000;
    start(LOG_ON_ERROR_WAIT, 3600000);
    int64_t began_ms = clock_ms();
    for (uint64_t update = 0; update < COUNT; update++)
        give_block(update);
    assert_true(clock_ms() - began_ms >= 5);
    log_thread_stop(&thread);
    assert_int_equal(count_blocks(), COUNT);
}

/* --- Trouble
 * -------------------------------------------------------------------------------------- */

static void test_a_sync_says_why_it_fails_for_as_long_as_it_does(void **state)
{
    (void)state;
    Err err = {""};
    start(LOG_ON_ERROR_WAIT, 3600000);
    assert_true(put());
    take_all();
    MemoryDiskFault fault = {.calls = MEMORY_DISK_SYNC | MEMORY_DISK_OPEN,
                             .first = 1,
                             .count = UINT64_MAX,
                             .error = EIO};
    watched_disk_fault(&disk, &fault);
    for (int i = 0; i < 3; i++) {
        err.text[0] = '\0';
        assert_int_equal(log_thread_sync(thread, &err), ERR_IO);
        assert_non_null(strstr(err.text, "sync"));
        assert_false(log_thread_status(thread).durable);
    }
    watched_disk_fault(&disk, NULL);
    int64_t deadline_ms = clock_ms() + LOG_RETRY_MS + DEADLINE_MS;
    while (log_thread_sync(thread, &err) != ERR_OK) {
        assert_true(clock_ms() < deadline_ms);
        usleep(10000);
    }
    assert_true(log_thread_status(thread).durable);
    assert_int_equal(disk.touched, 0);
}

static void test_an_operator_lets_segments_go_on(void **state)
{
    (void)state;
    start(LOG_ON_ERROR_WAIT, 3600000);
    watched_disk_room(&disk, 0);
    for (int i = 0; i < 5; i++)
        assert_true(put());
    usleep(50000);
    assert_false(take());
    log_thread_configure(thread, LOG_ON_ERROR_CONTINUE, 10);
    take_all();
    LogStatus status = log_thread_status(thread);
    for (int i = 0; i < 1000 && status.unlogged == 0; i++) {
        usleep(1000);
        status = log_thread_status(thread);
    }
    assert_int_equal(status.unlogged, 5);
    assert_false(status.durable);
    assert_int_not_equal(status.failing[0], '\0');
}

/* --- Retention
 * ------------------------------------------------------------------------------------ */

static size_t count_log_files(void)
{
    pthread_mutex_lock(&disk.mutex);
    size_t count = memory_disk_num_files(disk.inner);
    pthread_mutex_unlock(&disk.mutex);
    return count;
}

static void test_files_that_are_not_needed_go(void **state)
{
    (void)state;
    Err err = {""};
    start(LOG_ON_ERROR_WAIT, 3600000);
    uint64_t rows = 0;
    for (int i = 0; i < 200; i++) {
        while (!put())
            take();
        rows += (uint64_t)train_num_steps(seed, num_put) + 1;
    }
    take_all();
    size_t before = count_log_files();
    assert_true(before > 4);
    uint64_t bytes = log_thread_status(thread).bytes;
    log_thread_prune(thread, rows / 2);
    assert_int_equal(log_thread_sync(thread, &err), ERR_OK); /* the next turn has done it */
    assert_int_equal(log_thread_sync(thread, &err), ERR_OK);
    assert_true(count_log_files() < before);
    assert_true(log_thread_status(thread).bytes < bytes);
    log_thread_stop(&thread);
    /* What is there still says who was there before: sessions of removed records, too. */
    memory_disk_power_loss(disk.inner, NULL);
    LogRecovered recovered;
    assert_int_equal(
        log_recover(&disk.table, TRAIN_DIRECTORY, &run_id, &dims, 100, NULL, &recovered, &err),
        ERR_OK);
    assert_int_equal(recovered.state.next_position, 201);
    assert_int_equal(recovered.state.num_sessions, TRAIN_SESSIONS);
    assert_true(recovered.first_position > 1 && recovered.first_row <= rows / 2);
    log_recovered_free(&recovered);
}

/* --- Several threads at once
 * ---------------------------------------------------------------------- */

static _Atomic bool over;

/* The loop: commits, asks, configures. */
static void *loop_main(void *argument)
{
    (void)argument;
    while (!atomic_load(&over)) {
        if (!put())
            sched_yield();
        LogStatus status = log_thread_status(thread);
        assert_true(status.synced_position <= status.position);
        if (num_put % 50 == 0)
            log_thread_configure(thread, LOG_ON_ERROR_CONTINUE, 1 + (int64_t)(num_put % 7));
    }
    return NULL;
}

static void test_loop_trainer_and_log_run_side_by_side(void **state)
{
    (void)state;
    Err err;
    pthread_t loop;
    uint64_t update = 0;
    atomic_store(&over, false);
    start(LOG_ON_ERROR_CONTINUE, 1);
    assert_int_equal(pthread_create(&loop, NULL, loop_main, NULL), 0);
    int64_t end_ms = clock_ms() + 300;
    while (clock_ms() < end_ms) {
        if (!take()) {
            sched_yield();
            continue;
        }
        give_block(update++);
        if (num_taken % 100 == 0)
            (void)log_thread_sync(thread, &err);
        if (num_taken % 150 == 0)
            log_thread_prune(thread, num_taken);
        if (num_taken % 210 == 0) {
            MemoryDiskFault fault = {
                .calls = MEMORY_DISK_SYNC, .first = 1, .count = 1, .error = EIO};
            watched_disk_fault(&disk, &fault);
        }
    }
    atomic_store(&over, true);
    pthread_join(loop, NULL);
    watched_disk_fault(&disk, NULL);
    log_thread_stop(&thread);
    while (take())
        continue;
    assert_int_equal(num_taken, num_put);
    assert_int_equal(count_blocks(), update);
    assert_int_equal(disk.touched, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_segments_cross_and_are_there_after_the_end),
        TEST(test_stopping_writes_what_is_left),
        TEST(test_a_sync_covers_all_that_came_before),
        TEST(test_a_trainer_far_ahead_of_the_disk_waits_and_goes_on),
        TEST(test_a_sync_says_why_it_fails_for_as_long_as_it_does),
        TEST(test_an_operator_lets_segments_go_on),
        TEST(test_files_that_are_not_needed_go),
        TEST(test_loop_trainer_and_log_run_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
