/* A run that is cut anywhere, and resumed: it does the same again, and ends in the very same
 * networks as one that was not cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/log/frame_input.h"
#include "learner/log/log_files.h"
#include "learner/log/order_files.h"
#include "learner/train/recorder.h"
#include "learner/train/redo.h"
#include "learner/train/run_log.h"
#include "tests/common/scratch.h"
#include "tests/learner/log/watched_disk.h"
#include "tests/learner/train/train_world.h"

enum {
    SEGMENTS = 16,
    WARMUP = 3,
    UPDATES_PER_SEGMENT = 2,
    CHECKPOINTS = 3, /* the first is that of update 0 */
    BOUNDARIES_MAX = 200,
};

static const uint64_t checkpoint_at[CHECKPOINTS] = {0, 6, 11}; /* segments ingested */

static uint64_t seed;
static Scratch scratch;
static WatchedDisk disk;
static RunId run_id;
static Config config;
static char directory[100];

/* One life: a core, and the log that it writes. */
typedef struct Life {
    Replay replay;
    Ddpg *ddpg;
    RunState run;
    TrainCore core;
    SegmentRing ring;
    RunLog log;
    RunLogPast past;
    Recorder recorder;
    uint64_t next_row;
} Life;

static void nothing(void *context)
{
    (void)context;
}

static void begin_core(Life *life)
{
    Err err = {""};
    DdpgConfig ddpg = {.obs_dim = TRAIN_OBS,
                       .act_dim = TRAIN_ACT,
                       .num_hidden = 1,
                       .hidden = {8},
                       .batch = 4,
                       .gamma = 0.9,
                       .tau = 0.1,
                       .actor_lr = 1e-2,
                       .critic_lr = 1e-2,
                       .threads = 1,
                       .seed = 7};
    memset(life, 0, sizeof *life);
    life->run.seed = 7;
    life->run.spec = train_spec();
    assert_int_equal(replay_new(&life->replay, 40, TRAIN_OBS, TRAIN_ACT, &err), ERR_OK);
    assert_int_equal(ddpg_new(&ddpg, &life->ddpg, &err), ERR_OK);
    assert_int_equal(core_init(&life->core, &life->replay, life->ddpg, &life->run, 4, &err),
                     ERR_OK);
}

static void begin_log(Life *life, uint32_t epoch)
{
    Err err = {""};
    life->log = (RunLog){.disk = &disk.table, .run_id = run_id};
    snprintf(life->log.directory, sizeof life->log.directory, "%s", directory);
    assert_int_equal(segment_ring_new(&life->ring, 8, TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS), 0);
    int code = run_log_open(&life->log, &config, epoch, &life->core, &life->ring, nothing, NULL,
                            &life->past, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
    life->recorder.log = life->log.thread;
    life->next_row = life->log.start.row;
}

static void end(Life *life)
{
    recorder_flush(&life->recorder);
    run_log_past_free(&life->past);
    run_log_close(&life->log);
    segment_ring_destroy(&life->ring);
    core_destroy(&life->core);
    ddpg_destroy(&life->ddpg);
    replay_destroy(&life->replay);
}

/* --- What a run does
 * ------------------------------------------------------------------------------ */

static void update(Life *life)
{
    DdpgStats stats;
    uint32_t digest = 0;
    uint64_t number = life->run.updates;
    core_draw(&life->core);
    assert_int_equal(core_update(&life->core, &stats, &digest), ERR_OK);
    recorder_update(&life->recorder, number, life->run.log_position, digest);
}

static bool owes(const Life *life)
{
    uint64_t position = life->run.log_position;
    return position > WARMUP && life->run.updates < UPDATES_PER_SEGMENT * (position - WARMUP);
}

static void ingest(Life *life)
{
    TrainSegment made;
    uint64_t position = life->run.log_position + 1;
    train_segment(seed, position, &made);
    if (life->log.thread) {
        assert_true(train_put(&life->ring, &made));
        log_thread_wake(life->log.thread);
        while (!segment_ring_peek(&life->ring))
            usleep(50);
        segment_ring_release(&life->ring);
    }
    core_ingest(&life->core, &made.segment, position, life->replay.head);
}

static const char *checkpoint_file(int i)
{
    char name[32];
    snprintf(name, sizeof name, "checkpoint-%d", i);
    return scratch_path(&scratch, name);
}

static void save(Life *life, int i)
{
    Err err = {""};
    recorder_event(&life->recorder, &life->run, ORDER_CHECKPOINT,
                   core_fingerprint(ddpg_state(life->ddpg)), NULL);
    assert_int_equal(log_thread_sync(life->log.thread, &err), ERR_OK);
    assert_int_equal(checkpoint_write(checkpoint_file(i), ddpg_state(life->ddpg), &life->run, &err),
                     ERR_OK);
}

/* Goes on until so many segments are there and worked off. */
static void run_to(Life *life, uint64_t position, bool saves)
{
    for (;;) {
        while (owes(life))
            update(life);
        for (int i = 0; saves && i < CHECKPOINTS; i++) {
            if (checkpoint_at[i] == life->run.log_position)
                save(life, i);
        }
        if (life->run.log_position >= position)
            return;
        ingest(life);
    }
}

static uint64_t result(Life *life)
{
    return core_fingerprint(ddpg_state(life->ddpg)) ^ life->replay.digest;
}

/* What comes out when up to `updates` updates were done as ever, then segments came up to `rest` at
 * once, and then it went on as ever. Without any log. */
static uint64_t expected(uint64_t updates, uint64_t position, uint64_t rest)
{
    Life life;
    begin_core(&life);
    while (life.run.updates < updates || life.run.log_position < position) {
        if (owes(&life) && life.run.updates < updates)
            update(&life);
        else
            ingest(&life);
    }
    while (life.run.log_position < rest)
        ingest(&life);
    run_to(&life, SEGMENTS, false);
    uint64_t fingerprint = result(&life);
    end(&life);
    return fingerprint;
}

/* --- Cutting
 * -------------------------------------------------------------------------------------- */

typedef struct Boundaries {
    size_t offset[BOUNDARIES_MAX];
    int count;
} Boundaries;

/* Where the records of a file end. */
static Boundaries find_boundaries(const char *path, uint64_t salt, size_t payload_bytes_max)
{
    Boundaries boundaries = {.count = 0};
    FrameInput input = {.file = -1};
    FrameItem item;
    assert_int_equal(frame_input_open(&input, &disk.table, path, salt, payload_bytes_max, NULL),
                     ERR_OK);
    while (frame_input_next(&input, &item, NULL) == ERR_OK && item.kind == FRAME_ITEM_FRAME) {
        assert_true(boundaries.count < BOUNDARIES_MAX);
        boundaries.offset[boundaries.count++] = (size_t)(item.offset + item.num_bytes);
    }
    frame_input_free(&input);
    return boundaries;
}

static char log_path[300];
static char order_path[300];
static uint8_t *log_bytes, *order_bytes;
static Boundaries log_ends, order_ends;

static uint8_t *copy_file(const char *path)
{
    size_t num_bytes = 0;
    const uint8_t *bytes = memory_disk_file(disk.inner, path, &num_bytes);
    uint8_t *copy = malloc(num_bytes);
    assert_true(bytes && copy);
    memcpy(copy, bytes, num_bytes);
    return copy;
}

/* The whole run, once; its files are kept for cutting. Returns what came out. */
static uint64_t run_whole(void)
{
    Life life;
    LogFileName name;
    begin_core(&life);
    begin_log(&life, 1);
    run_to(&life, SEGMENTS, true);
    uint64_t fingerprint = result(&life);
    end(&life);
    log_file_name(1, 1, 0, &name);
    snprintf(log_path, sizeof log_path, "%s/%s", directory, name.text);
    snprintf(order_path, sizeof order_path, "%s/order.plog", directory);
    log_ends = find_boundaries(log_path, log_file_salt(&run_id, &name), 1 << 20);
    order_ends = find_boundaries(order_path, order_file_salt(&run_id, 0), 1 << 20);
    log_bytes = copy_file(log_path);
    order_bytes = copy_file(order_path);
    return fingerprint;
}

static int set_up(void **state)
{
    (void)state;
    seed = train_seed();
    memcpy(run_id.bytes, &seed, sizeof seed);
    scratch = scratch_make();
    snprintf(directory, sizeof directory, "%s", scratch_path(&scratch, "replay"));
    watched_disk_init(&disk, memory_disk_new());
    config_init(&config);
    config.segment_steps = TRAIN_STEPS;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(log_bytes);
    free(order_bytes);
    log_bytes = order_bytes = NULL;
    memory_disk_destroy(&disk.inner);
    scratch_remove(&scratch);
    return 0;
}

/* The files as a crash might leave them. */
static void leave(size_t num_log_bytes, size_t num_order_bytes)
{
    memory_disk_destroy(&disk.inner);
    watched_disk_init(&disk, memory_disk_new());
    memory_disk_put(disk.inner, log_path, log_bytes, num_log_bytes);
    memory_disk_put(disk.inner, order_path, order_bytes, num_order_bytes);
}

/* Resumes from a checkpoint; follows the record, and takes the rest. */
static RedoStep resume(Life *life, int checkpoint, Redo *redo, uint64_t *followed)
{
    Err err = {""};
    begin_core(life);
    int code =
        checkpoint_read(checkpoint_file(checkpoint), ddpg_state(life->ddpg), &life->run, &err);
    assert_int_equal(code, ERR_OK);
    begin_log(life, 2);
    assert_int_equal(redo_init(redo, &life->core, &life->past.history, life->past.reader, &err),
                     ERR_OK);
    RedoStep step;
    do {
        step = redo_step(redo, &err);
    } while (step == REDO_UPDATED || step == REDO_EVENT);
    *followed = life->run.log_position;
    recorder_event(&life->recorder, &life->run, ORDER_RESUME, life->run.updates, NULL);
    return step;
}

static uint64_t count_segments(int log_end)
{
    /* A file's head, one session before its first segment, then segments alone. */
    uint64_t records = (uint64_t)log_end + 1;
    return records < 3 ? 0 : records == 3 ? 1 : records - 1 - TRAIN_SESSIONS;
}

static void cut_and_resume(int log_end, int order_end, uint64_t whole)
{
    Life life;
    Redo redo;
    Err err = {""};
    uint64_t followed = 0;
    leave(log_ends.offset[log_end], order_ends.offset[order_end]);
    History history;
    assert_int_equal(history_load(&history, &disk.table, directory, &run_id, &err), ERR_OK);
    /* Its checkpoints are those that both logs reach. */
    int checkpoint = 0;
    for (size_t i = 0; i < history.num_items; i++) {
        const HistoryItem *item = &history.items[i];
        for (int c = 0; c < CHECKPOINTS && item->is_event; c++) {
            if (item->position == checkpoint_at[c] && item->position <= count_segments(log_end))
                checkpoint = c;
        }
    }
    history_free(&history);
    RedoStep step = resume(&life, checkpoint, &redo, &followed);
    assert_true(step == REDO_END || step == REDO_LOG_LOST);
    assert_false(redo.differs);
    uint64_t updates = life.run.updates;
    assert_true(redo_ingest_rest(&redo, &err) >= 0);
    assert_int_equal(life.run.log_position, count_segments(log_end));
    uint64_t rest = life.run.log_position;
    assert_int_equal(life.log.start.next_position, rest + 1);
    run_to(&life, SEGMENTS, false);
    uint64_t came_out = result(&life);
    end(&life);
    bool same_order = rest == followed;
    if (same_order)
        assert_int_equal(came_out, whole);
    assert_int_equal(came_out, expected(updates, followed, rest));
}

static void test_a_run_that_is_cut_at_any_record_ends_the_same(void **state)
{
    (void)state;
    uint64_t whole = run_whole();
    assert_int_equal(whole, expected(0, 0, 0));
    assert_true(log_ends.count == SEGMENTS + 1 + TRAIN_SESSIONS);
    assert_int_equal(count_segments(log_ends.count - 1), SEGMENTS);
    for (int o = 1; o < order_ends.count; o++) {
        for (int l = 0; l < log_ends.count; l++)
            cut_and_resume(l, o, whole);
    }
}

/* A record of the log that is damaged: its segment is lost, the run goes on, and later starts too,
 * and all agree on where everything is. */
static void test_a_damaged_segment_is_passed_over(void **state)
{
    (void)state;
    Life life;
    Redo redo;
    Err err = {""};
    run_whole();
    for (int l = 4; l + 1 < log_ends.count; l++) {
        uint64_t followed = 0;
        uint64_t lost = count_segments(l + 1);
        log_bytes[log_ends.offset[l] + FRAME_HEADER_BYTES + 60] ^= 1;
        leave(log_ends.offset[log_ends.count - 1], order_ends.offset[order_ends.count - 1]);
        log_bytes[log_ends.offset[l] + FRAME_HEADER_BYTES + 60] ^= 1;
        RedoStep step = resume(&life, 0, &redo, &followed);
        bool last = lost == SEGMENTS; /* then its place is given to the next segment */
        assert_int_equal(step, last ? REDO_LOG_LOST : REDO_END);
        if (lost > WARMUP && !last)
            assert_true(redo.differs);
        assert_int_equal(redo_ingest_rest(&redo, &err), 0);
        assert_int_equal(life.run.log_position, last ? SEGMENTS - 1 : SEGMENTS);
        assert_int_equal(life.log.start.next_position, life.run.log_position + 1);
        assert_int_equal(life.log.start.row, life.replay.head);
        assert_int_equal(life.log.start.env_steps, life.run.env_steps);
        run_to(&life, SEGMENTS + 2, false);
        uint64_t came_out = result(&life);
        end(&life);
        /* The same again, from what it has recorded. */
        step = resume(&life, 0, &redo, &followed);
        assert_int_equal(step, REDO_END);
        assert_int_equal(life.run.log_position, SEGMENTS + 2);
        assert_int_equal(redo_ingest_rest(&redo, &err), 0);
        if (lost <= WARMUP)
            assert_int_equal(core_fingerprint(ddpg_state(life.ddpg)) ^ life.replay.digest,
                             came_out);
        end(&life);
    }
}

/* A hole in the order log: it is followed up to there, and the rest comes as new. */
static void test_a_hole_in_the_record_ends_the_following(void **state)
{
    (void)state;
    Life life;
    Redo redo;
    Err err = {""};
    run_whole();
    int holes = 0;
    for (int o = 1; o + 2 < order_ends.count; o++) { /* the last one would be a torn tail */
        uint64_t followed = 0;
        order_bytes[order_ends.offset[o] + FRAME_HEADER_BYTES + 9] ^= 1;
        leave(log_ends.offset[log_ends.count - 1], order_ends.offset[order_ends.count - 1]);
        order_bytes[order_ends.offset[o] + FRAME_HEADER_BYTES + 9] ^= 1;
        RedoStep step = resume(&life, 0, &redo, &followed);
        assert_true(step == REDO_HOLE || step == REDO_END);
        holes += step == REDO_HOLE;
        assert_false(redo.differs);
        assert_int_equal(life.past.history.damaged, 1);
        uint64_t updates = life.run.updates;
        assert_true(redo_ingest_rest(&redo, &err) >= 0);
        assert_int_equal(life.run.log_position, SEGMENTS);
        run_to(&life, SEGMENTS, false);
        uint64_t came_out = result(&life);
        end(&life);
        assert_int_equal(came_out, expected(updates, followed, SEGMENTS));
        /* What was resumed is a record of its own: the next one follows it to the end. */
        step = resume(&life, 0, &redo, &followed);
        assert_int_equal(step, REDO_END);
        assert_false(redo.differs);
        assert_int_equal(result(&life), came_out);
        end(&life);
    }
    assert_true(holes > 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_run_that_is_cut_at_any_record_ends_the_same),
        TEST(test_a_damaged_segment_is_passed_over),
        TEST(test_a_hole_in_the_record_ends_the_following),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
