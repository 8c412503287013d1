/* A keeper between a ring and a disk that fails, and what its log says. For tests only; include it
 * after cmocka.h. */
#ifndef POLYAK_TESTS_LEARNER_LOG_KEEPER_WORLD_H
#define POLYAK_TESTS_LEARNER_LOG_KEEPER_WORLD_H

#include <errno.h>

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
static uint64_t bytes_max; /* replay_log_bytes_max */
static RunId run_id;

static const LogDims dims = {TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS};

static inline void start(LogOnError on_error)
{
    Err err = {""};
    LogRecovered recovered;
    LogWriter *writer = NULL;
    OrderLog *order = NULL;
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = epoch + 1,
                              .dims = dims,
                              .file_bytes_max = 8192,
                              .bytes_max = bytes_max,
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
    epoch++;
    log_keeper_init(&keeper, writer, order, &ring, on_error, FSYNC_MS, now_ms);
}

static inline int set_up(void **state)
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
    bytes_max = 0;
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    segment_ring_destroy(&ring);
    memory_disk_destroy(&disk.inner);
    return 0;
}

static inline void put(int count)
{
    for (int i = 0; i < count; i++) {
        TrainSegment made;
        train_segment(seed, num_put + 1, &made);
        assert_true(train_put(&ring, &made));
        num_put++;
    }
}

/* Takes what has gone on: each segment once, in order. Returns how many. */
static inline uint64_t take(void)
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
static inline void read_log(void)
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

static inline void assert_logged(uint64_t first, uint64_t last)
{
    read_log();
    for (uint64_t i = first; i <= last; i++)
        assert_true(seen.segment[i]);
}

static inline void no_room(void)
{
    watched_disk_room(&disk, 100);
}

static inline void room(void)
{
    watched_disk_room(&disk, UINT64_MAX);
}

static inline void break_next_sync(void)
{
    MemoryDiskFault fault = {.calls = MEMORY_DISK_SYNC, .first = 1, .count = 1, .error = EIO};
    watched_disk_fault(&disk, &fault);
}

#endif
