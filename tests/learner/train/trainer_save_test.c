/* Checkpoints and the disk of the logs: none refers to what a power loss could take. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/train/history.h"
#include "tests/learner/log/watched_disk.h"
#include "tests/learner/train/train_run.h"

static Scratch scratch;
static WatchedDisk disk;
static TrainRun one;
static char here[128];
static TrainOutcome outcome;

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    one.seed = train_seed();
    one.position = 0;
    snprintf(here, sizeof here, "%s", scratch_path(&scratch, "here"));
    watched_disk_init(&disk, memory_disk_new());
    train_listen(&scratch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    train_run_stop_if_running(&one);
    train_stop_listening();
    memory_disk_destroy(&disk.inner);
    scratch_remove(&scratch);
    return 0;
}

/* As run_begin() of a new run, with the logs on the disk in memory. */
static void start(const char *const *settings)
{
    Err err = {""};
    Run *run = &one.run;
    train_run_configure(&one, here, false, settings);
    run->config = &one.config;
    run->dir = &one.dir;
    int code = run_dir_open(&one.dir, &one.config, &err);
    if (code == ERR_OK)
        code = run_dir_begin(&one.dir, &one.config, "", &err);
    if (code == ERR_OK)
        code = run_reserve(run, TRAIN_OBS, TRAIN_ACT, &err);
    if (code == ERR_OK)
        code = run_log_init(&run->log, here, &one.dir.run_id, &err);
    if (code != ERR_OK)
        fail_msg("%s", err.text);
    run->log.disk = &disk.table;
    run->state.spec = train_spec();
    run->state.seed = (uint64_t)one.config.seed;
    assert_int_equal(exchange_new(&run->exchange, &ddpg_state(run->ddpg)->actor.mlp, 64, TRAIN_OBS,
                                  TRAIN_ACT, TRAIN_STEPS),
                     ERR_OK);
    run->exchange.wake_loop = train_wake;
    TrainerSetup setup = {
        .config = &one.config,
        .dir = &one.dir,
        .epoch = one.dir.epoch,
        .log = &run->log,
        .run = &run->state,
        .pacer = {.total_env_steps = 100000, .warmup_env_steps = 8, .batch = 4, .ratio = 1},
        .ddpg = run->ddpg,
        .replay = &run->replay,
        .exchange = &run->exchange};
    code = trainer_start(&setup, &run->trainer, &err);
    if (code != ERR_OK)
        fail_msg("%s", err.text);
    run->begun = true;
    train_run_settle(&one);
}

static void fault(uint32_t calls, uint64_t count)
{
    MemoryDiskFault broken = {.calls = calls, .first = 1, .count = count, .error = EIO};
    watched_disk_fault(&disk, &broken);
}

/* --- Synced first
 * --------------------------------------------------------------------------------- */

/* Power is lost at the moment at which the checkpoint's file is there. */
static void test_a_checkpoint_refers_to_nothing_that_can_be_lost(void **state)
{
    (void)state;
    static const char *const rarely[] = {"replay_log_fsync_ms=3600000", "checkpoint_interval_s=1",
                                         NULL};
    char checkpoints[300];
    start(rarely);
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", here);
    train_run_feed(&one, 20);
    int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
    train_outcome(here, &outcome);
    while (outcome.run.updates == 0) {
        assert_true(clock_ms() < deadline_ms);
        usleep(1000);
        train_outcome(here, &outcome);
    }
    pthread_mutex_lock(&disk.mutex);
    memory_disk_power_loss(disk.inner, NULL);
    pthread_mutex_unlock(&disk.mutex);
    Err err = {""};
    LogRecovered recovered;
    History history;
    const LogDims dims = {TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS};
    assert_int_equal(log_recover(&disk.table, one.run.log.directory, &one.dir.run_id, &dims, 100,
                                 NULL, &recovered, &err),
                     ERR_OK);
    assert_true(recovered.state.next_position > outcome.run.log_position);
    assert_int_equal(recovered.missing_positions, 0);
    log_recovered_free(&recovered);
    assert_int_equal(
        history_load(&history, &disk.table, one.run.log.directory, &one.dir.run_id, &err), ERR_OK);
    bool found = false;
    uint64_t updates = 0;
    for (size_t i = 0; i < history.num_items; i++) {
        const HistoryItem *item = &history.items[i];
        updates += item->is_event ? 0 : item->count;
        found = found || (item->is_event && item->event == ORDER_CHECKPOINT &&
                          item->first_update == outcome.run.updates &&
                          item->value == outcome.fingerprint && updates == outcome.run.updates);
    }
    history_free(&history);
    assert_true(found);
}

static void test_no_checkpoint_while_the_log_fails_with_wait(void **state)
{
    (void)state;
    static const char *const wait[] = {"replay_log_on_error=wait", NULL};
    start(wait);
    train_run_feed(&one, 20);
    fault(MEMORY_DISK_SYNC | MEMORY_DISK_OPEN, UINT64_MAX);
    train_run_stop(&one);
    assert_true(train_said("no checkpoint at"));
    train_outcome(here, &outcome);
    assert_int_equal(outcome.run.updates, 0);
}

static void test_checkpoints_go_on_while_the_log_fails_with_continue(void **state)
{
    (void)state;
    static const char *const go_on[] = {"replay_log_on_error=continue", NULL};
    start(go_on);
    train_run_feed(&one, 10);
    fault(MEMORY_DISK_SYNC | MEMORY_DISK_OPEN | MEMORY_DISK_WRITE, UINT64_MAX);
    train_run_feed(&one, 10);
    TrainerProgress progress = train_run_progress(&one);
    train_run_stop(&one);
    train_outcome(here, &outcome);
    assert_int_equal(outcome.run.updates, progress.updates);
    assert_int_equal(outcome.run.log_position, 20);
}

/* --- Waiting
 * -------------------------------------------------------------------------------------- */

static void test_training_waits_for_the_disk_and_goes_on(void **state)
{
    (void)state;
    static const char *const wait[] = {"replay_log_on_error=wait", NULL};
    start(wait);
    train_run_feed(&one, 10);
    TrainerProgress before = train_run_progress(&one);
    uint64_t steps = 0;
    watched_disk_room(&disk, 0);
    for (int i = 0; i < 5; i++) {
        TrainSegment made;
        train_segment(one.seed, ++one.position, &made);
        train_run_put(&one, &made);
        steps += (uint64_t)made.segment.num_steps;
    }
    usleep(100000);
    assert_int_equal(train_run_progress(&one).env_steps, before.env_steps);
    LogStatus status = log_thread_status(one.run.log.thread);
    assert_false(status.durable);
    assert_int_not_equal(status.failing[0], '\0');
    watched_disk_room(&disk, UINT64_MAX);
    int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
    while (train_run_progress(&one).env_steps < before.env_steps + steps) {
        assert_true(clock_ms() < deadline_ms);
        usleep(1000);
    }
    train_run_settle(&one);
    assert_true(log_thread_status(one.run.log.thread).durable);
    train_run_stop(&one);
    train_outcome(here, &outcome);
    assert_int_equal(outcome.run.log_position, 15);
}

static void test_a_run_that_cannot_begin_its_log_says_so(void **state)
{
    (void)state;
    Err err = {""};
    static const char *const none[] = {NULL};
    char file[300];
    assert_int_equal(mkdir(here, 0700), 0);
    snprintf(file, sizeof file, "%s/replay", here);
    scratch_write(file, "", 0); /* a file where the directory belongs */
    assert_int_not_equal(train_run_try(&one, here, false, none, &err), ERR_OK);
    assert_non_null(strstr(err.text, "replay"));
    train_run_stop(&one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_checkpoint_refers_to_nothing_that_can_be_lost),
        TEST(test_no_checkpoint_while_the_log_fails_with_wait),
        TEST(test_checkpoints_go_on_while_the_log_fails_with_continue),
        TEST(test_training_waits_for_the_disk_and_goes_on),
        TEST(test_a_run_that_cannot_begin_its_log_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
