/* The core of training, and the record of what it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/train/core.h"
#include "learner/train/history.h"
#include "learner/train/recorder.h"
#include "tests/common/scratch.h"
#include "tests/learner/log/watched_disk.h"
#include "tests/learner/train/train_world.h"

static uint64_t seed;
static Replay replay;
static Ddpg *ddpg;
static RunState run;
static TrainCore core;

static Ddpg *make_ddpg(void)
{
    Err err = {""};
    Ddpg *made = NULL;
    DdpgConfig config = {.obs_dim = TRAIN_OBS,
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
    assert_int_equal(ddpg_new(&config, &made, &err), ERR_OK);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    Err err = {""};
    seed = train_seed();
    memset(&run, 0, sizeof run);
    run.spec = train_spec();
    assert_int_equal(replay_new(&replay, 60, TRAIN_OBS, TRAIN_ACT, &err), ERR_OK);
    ddpg = make_ddpg();
    assert_int_equal(core_init(&core, &replay, ddpg, &run, 4, &err), ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    core_destroy(&core);
    ddpg_destroy(&ddpg);
    replay_destroy(&replay);
    return 0;
}

static void ingest(uint64_t position, float reward)
{
    TrainSegment made;
    train_segment(seed, position, &made);
    for (int i = 0; reward != 0 && i < made.segment.num_steps; i++)
        made.segment.reward[i] = reward;
    core_ingest(&core, &made.segment, position, replay.head);
}

static int update(uint32_t *digest)
{
    DdpgStats stats;
    core_draw(&core);
    return core_update(&core, &stats, digest);
}

static void test_ingesting_keeps_the_counters(void **state)
{
    (void)state;
    uint64_t env_steps = 0, rows = 0;
    for (uint64_t position = 1; position <= 20; position++) {
        ingest(position, 0);
        env_steps += (uint64_t)train_num_steps(seed, position);
        rows += (uint64_t)train_num_steps(seed, position) + 1;
        assert_int_equal(run.log_position, position);
        assert_int_equal(run.env_steps, env_steps);
        assert_int_equal(run.replay_head, rows);
        assert_int_equal(run.replay_digest, replay.digest);
    }
    assert_true(run.episodes > 0);
}

/* Segments before it were lost: its number and row are its own. */
static void test_a_lost_segment_leaves_its_place_empty(void **state)
{
    (void)state;
    TrainSegment made;
    ingest(1, 0);
    uint64_t head = replay.head;
    train_segment(seed, 4, &made);
    core_ingest(&core, &made.segment, 4, head + 9);
    assert_int_equal(run.log_position, 4);
    assert_int_equal(run.replay_head, head + 9 + (uint64_t)made.segment.num_steps + 1);
    for (uint64_t row = head; row < head + 9; row++)
        assert_true(replay_row(&replay, row)[replay.row_floats - 1] == REPLAY_NO_STEP);
}

static void test_a_skipped_update_counts_and_changes_nothing_that_matters(void **state)
{
    (void)state;
    uint32_t digest = 0, sound = 0;
    ingest(1, 0);
    ingest(2, 0);
    assert_int_equal(update(&sound), ERR_OK);
    for (uint64_t position = 3; position <= 40; position++)
        ingest(position, 3e38F);
    uint64_t before = core_fingerprint(ddpg_state(ddpg));
    assert_int_equal(update(&digest), ERR_DIVERGED);
    assert_int_equal(run.updates, 2);
    assert_int_equal(ddpg_state(ddpg)->updates, 2);
    assert_int_equal(run.skipped_updates, 1);
    assert_true(digest != sound);
    ddpg_state(ddpg)->updates = 1;
    assert_int_equal(core_fingerprint(ddpg_state(ddpg)), before);
}

/* Gradients that are finite, and their squares are not: Adam would never get over them. */
static void test_no_moment_becomes_infinite(void **state)
{
    (void)state;
    for (int power = 10; power <= 38; power++) {
        float reward = powf(10, (float)power);
        uint32_t digest = 0;
        for (uint64_t position = 1; position <= 10; position++)
            ingest(run.log_position + 1, reward);
        (void)update(&digest);
        const DdpgNetwork *const networks[] = {&ddpg_state(ddpg)->actor, &ddpg_state(ddpg)->critic};
        for (int n = 0; n < 2; n++) {
            for (size_t i = 0; i < networks[n]->num_params; i++)
                assert_true(isfinite(networks[n]->adam_v[i]) && isfinite(networks[n]->params[i]));
        }
    }
    assert_true(run.skipped_updates > 5);
}

static void test_a_rollback_takes_the_networks_and_not_the_counters(void **state)
{
    (void)state;
    Err err = {""};
    Scratch scratch = scratch_make();
    const char *path = scratch_path(&scratch, "checkpoint");
    uint32_t digest = 0;
    uint64_t went_back = 0;
    ingest(1, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(update(&digest), ERR_OK);
    Ddpg *kept = make_ddpg();
    core_copy_state(ddpg_state(kept), ddpg_state(ddpg));
    assert_int_equal(checkpoint_write(path, ddpg_state(ddpg), &run, &err), ERR_OK);
    ingest(2, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(update(&digest), ERR_OK);
    uint64_t env_steps = run.env_steps;
    assert_int_equal(core_roll_back(&core, path, &went_back, &err), ERR_OK);
    assert_int_equal(went_back, 3);
    assert_int_equal(run.updates, 7);
    assert_int_equal(run.env_steps, env_steps);
    assert_int_equal(run.rollbacks, 1);
    ddpg_state(kept)->updates = 7;
    assert_int_equal(core_fingerprint(ddpg_state(ddpg)), core_fingerprint(ddpg_state(kept)));
    /* One that cannot be read changes nothing. */
    uint64_t before = core_fingerprint(ddpg_state(ddpg));
    assert_int_not_equal(core_roll_back(&core, scratch_path(&scratch, "none"), &went_back, &err),
                         ERR_OK);
    assert_int_equal(core_fingerprint(ddpg_state(ddpg)), before);
    assert_int_equal(run.rollbacks, 1);
    ddpg_destroy(&kept);
    scratch_remove(&scratch);
}

static void test_every_parameter_counts_for_finiteness_and_fingerprint(void **state)
{
    (void)state;
    DdpgState *ddpg_now = ddpg_state(ddpg);
    DdpgNetwork *const networks[] = {&ddpg_now->actor, &ddpg_now->critic};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    uint64_t sound = core_fingerprint(ddpg_now);
    assert_true(core_is_finite(&core));
    for (int n = 0; n < 2; n++) {
        float *const blocks[] = {networks[n]->params, networks[n]->target, networks[n]->adam_m,
                                 networks[n]->adam_v};
        for (size_t i = 0; i < networks[n]->num_params; i++) {
            float was = networks[n]->params[i];
            networks[n]->params[i] = bad[i % 3];
            assert_false(core_is_finite(&core));
            networks[n]->params[i] = was;
            for (int b = 0; b < 4; b++) {
                was = blocks[b][i];
                blocks[b][i] += 1;
                assert_true(core_fingerprint(ddpg_now) != sound);
                blocks[b][i] = was;
            }
        }
    }
    assert_true(core_is_finite(&core));
    assert_int_equal(core_fingerprint(ddpg_now), sound);
}

/* --- The recorder
 * --------------------------------------------------------------------------------- */

static void test_the_recorder_gathers_updates_between_segments(void **state)
{
    (void)state;
    enum { UPDATES = 700 };
    Err err = {""};
    static WatchedDisk disk;
    RunId run_id = {{1}};
    SegmentRing ring;
    LogState begin = {.next_position = 1};
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = 1,
                              .dims = {TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS},
                              .file_bytes_max = LOG_FILE_BYTES_MAX,
                              .sessions_max = 10,
                              .session_retention_ms = 1000};
    watched_disk_init(&disk, memory_disk_new());
    assert_int_equal(segment_ring_new(&ring, 4, TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS), 0);
    LogThreadSetup setup = {
        .disk = &disk.table, .directory = TRAIN_DIRECTORY, .ring = &ring, .fsync_ms = 3600000};
    Recorder recorder = {.log = NULL};
    recorder_update(&recorder, 0, 0, 1); /* without a log nothing happens */
    recorder_event(&recorder, &run, ORDER_STOP, 0, NULL);
    assert_int_equal(
        log_writer_new(&disk.table, TRAIN_DIRECTORY, &config, &begin, 0, &setup.writer, &err),
        ERR_OK);
    assert_int_equal(
        order_log_open(&disk.table, TRAIN_DIRECTORY, &run_id, NULL, NULL, &setup.order, &err),
        ERR_OK);
    assert_int_equal(log_thread_start(&setup, &recorder.log, &err), ERR_OK);
    for (uint64_t number = 0; number < UPDATES; number++) {
        recorder_update(&recorder, number, number / 600, (uint32_t)number);
        run.updates = number + 1;
        run.log_position = number / 600;
        if (number == 650)
            recorder_event(&recorder, &run, ORDER_SET, 3, "actor_lr=1 was 2");
    }
    recorder_flush(&recorder);
    recorder_flush(&recorder); /* nothing is left */
    log_thread_stop(&recorder.log);
    History history;
    assert_int_equal(history_load(&history, &disk.table, TRAIN_DIRECTORY, &run_id, &err), ERR_OK);
    static const uint64_t first[] = {0, 256, 512, 600, 651, 651};
    static const uint32_t count[] = {256, 256, 88, 51, 0, 49};
    assert_int_equal(history.num_items, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(history.items[i].first_update, first[i]);
        assert_int_equal(history.items[i].count, count[i]);
        assert_int_equal(history.items[i].position, first[i] / 600);
        assert_int_equal(history.items[i].is_event, count[i] == 0);
        for (uint32_t k = 0; k < count[i]; k++)
            assert_int_equal(history.digests[history.items[i].first_digest + k], first[i] + k);
    }
    assert_string_equal(history.items[4].text, "actor_lr=1 was 2");
    history_free(&history);
    segment_ring_destroy(&ring);
    memory_disk_destroy(&disk.inner);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_ingesting_keeps_the_counters),
        TEST(test_a_lost_segment_leaves_its_place_empty),
        TEST(test_a_skipped_update_counts_and_changes_nothing_that_matters),
        TEST(test_no_moment_becomes_infinite),
        TEST(test_a_rollback_takes_the_networks_and_not_the_counters),
        TEST(test_every_parameter_counts_for_finiteness_and_fingerprint),
        TEST(test_the_recorder_gathers_updates_between_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
