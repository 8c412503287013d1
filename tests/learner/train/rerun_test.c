/* A logged run, done again: the same bits, and where they are not, the right update is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <xxhash.h>

#include "learner/log/frame_input.h"
#include "learner/log/log_files.h"
#include "learner/train/history.h"
#include "learner/train/rerun.h"
#include "tests/learner/train/train_run.h"

static Scratch scratch;
static TrainRun one;
static char here[128];
static RerunReport report;

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    one.seed = train_seed();
    one.position = 0;
    snprintf(here, sizeof here, "%s", scratch_path(&scratch, "here"));
    train_listen(&scratch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    train_run_stop_if_running(&one);
    train_stop_listening();
    scratch_remove(&scratch);
    return 0;
}

static int again(int threads, Err *err)
{
    static Config config;
    config_init(&config);
    snprintf(config.run_dir, sizeof config.run_dir, "%s", here);
    char text[8];
    snprintf(text, sizeof text, "%d", threads);
    if (threads > 0)
        assert_int_equal(config_set(&config, "threads", text, CONFIG_FLAG, err), ERR_OK);
    config.progress = PROGRESS_OFF;
    return rerun(&config, &report, err);
}

static void assert_same(void)
{
    Err err = {""};
    if (again(0, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_false(report.differs);
    assert_string_equal(report.stopped, "");
    assert_true(report.complete);
    assert_string_equal(report.machine, "");
}

/* Some starts, each with a checkpoint at its end. */
static void run_starts(int starts, const char *const *settings)
{
    for (int i = 0; i < starts; i++) {
        train_run_start(&one, here, i > 0, i > 0 ? NULL : settings);
        train_run_feed(&one, 15);
        train_run_stop(&one);
    }
}

static uint64_t hash_file(const char *path)
{
    size_t num_bytes = 0;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    uint64_t hash = XXH3_64bits(bytes, num_bytes);
    free(bytes);
    return hash;
}

static uint64_t hash_sum;

static int hash_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)place;
    hash_sum += XXH3_64bits(path, strlen(path));
    hash_sum += type == FTW_F ? hash_file(path) : 0;
    return 0;
}

/* Of all names and bytes of the run directory. */
static uint64_t hash_directory(void)
{
    hash_sum = 0;
    assert_int_equal(nftw(here, hash_entry, 16, FTW_PHYS), 0);
    return hash_sum;
}

/* --- The same
 * ------------------------------------------------------------------------------------- */

static void test_a_run_is_the_same_from_its_beginning(void **state)
{
    (void)state;
    static const char *const all[] = {"replay_log_keep=all", NULL};
    run_starts(4, all);
    uint64_t before = hash_directory();
    assert_same();
    assert_int_equal(hash_directory(), before);
    assert_int_equal(report.first_update, 0);
    assert_int_equal(report.checkpoints, 4); /* one at each end */
    assert_int_equal(report.checkpoint_files, 4);
    TrainOutcome outcome;
    train_outcome(here, &outcome);
    assert_int_equal(report.updates, outcome.run.updates);
    assert_int_equal(report.env_steps, outcome.run.env_steps);
}

static void test_a_run_is_the_same_from_the_oldest_checkpoint_that_is_logged(void **state)
{
    (void)state;
    static const char *const few[] = {"checkpoint_keep=2", NULL};
    run_starts(7, few);
    assert_same();
    assert_true(report.first_update > 0);
    assert_true(report.updates > report.first_update);
    assert_true(report.checkpoints >= 1);
}

/* The start after a crash does again what was undone: the record has it once. */
static void test_a_run_with_a_crash_in_it_is_the_same(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 15);
    train_run_copy(&one, scratch_path(&scratch, "there"));
    train_run_stop(&one);
    snprintf(here, sizeof here, "%s", scratch_path(&scratch, "there"));
    train_run_start(&one, here, true, NULL);
    train_run_feed(&one, 15);
    train_run_stop(&one);
    assert_same();
    assert_int_equal(report.first_update, 0);
}

static void test_keys_that_were_set_are_followed(void **state)
{
    (void)state;
    static const char *const given[] = {"critic_lr=0.004", NULL};
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 10);
    train_run_set(&one, "actor_lr=0.01 was 0.001");
    train_run_set(&one, "updates_per_env_step=2 was 1");
    train_run_feed(&one, 10);
    train_run_set(&one, "critic_lr=0.02 was 0.001");
    train_run_feed(&one, 5);
    train_run_stop(&one);
    train_run_start(&one, here, true, given);
    train_run_feed(&one, 10);
    train_run_set(&one, "actor_lr=0.002 was 0.01");
    train_run_feed(&one, 10);
    train_run_stop(&one);
    assert_same();
    assert_int_equal(report.first_update, 0);
    TrainOutcome outcome;
    train_outcome(here, &outcome);
    assert_int_equal(report.updates, outcome.run.updates);
}

static void test_skipped_updates_and_rollbacks_are_followed(void **state)
{
    (void)state;
    static const char *const soon[] = {"skipped_updates_max=4", NULL};
    one.seed = 5; /* always the same batches: whether one is bad is chance */
    run_starts(2, soon);
    train_run_start(&one, here, true, NULL);
    TrainSegment made;
    for (int i = 0; i < 20 && train_run_progress(&one).rollbacks == 0; i++) {
        train_segment(one.seed, one.position + 1, &made);
        for (int k = 0; k < made.segment.num_steps; k++)
            made.segment.reward[k] = 2e38F;
        one.position++;
        uint64_t before = train_run_progress(&one).env_steps;
        train_run_put(&one, &made);
        while (train_run_progress(&one).env_steps == before && !train_run_progress(&one).ended)
            usleep(200);
        train_run_settle(&one);
    }
    train_run_feed(&one, 30);
    assert_true(train_run_progress(&one).skipped_updates > 0);
    assert_true(train_run_progress(&one).rollbacks > 0);
    assert_int_equal(train_run_progress(&one).error, 0);
    train_run_stop(&one);
    assert_same();
    assert_int_equal(report.first_update, 0);
}

/* --- What is not the same
 * ------------------------------------------------------------------------- */

/* The update of the i-th checkpoint of the record, and its file. */
static uint64_t find_checkpoint(int i, char path[FS_PATH_MAX])
{
    char logs[300], directory[300];
    History history;
    RunId run_id;
    json_t *machines = NULL;
    uint64_t update = UINT64_MAX;
    snprintf(logs, sizeof logs, "%s/replay", here);
    snprintf(directory, sizeof directory, "%s/checkpoints", here);
    assert_int_equal(run_dir_read_identity(here, &run_id, &machines, NULL), ERR_OK);
    json_decref(machines);
    assert_int_equal(history_load(&history, disk_real(), logs, &run_id, NULL), ERR_OK);
    for (size_t k = 0; k < history.num_items; k++) {
        const HistoryItem *item = &history.items[k];
        if (item->is_event && item->event == ORDER_CHECKPOINT && i-- == 0)
            update = item->first_update;
    }
    history_free(&history);
    assert_int_equal(checkpoint_path(directory, update, path, FS_PATH_MAX, NULL), ERR_OK);
    return update;
}

static void test_a_damaged_checkpoint_is_named(void **state)
{
    (void)state;
    Err err = {""};
    char path[FS_PATH_MAX];
    size_t num_bytes = 0;
    run_starts(3, NULL);
    (void)find_checkpoint(2, path);
    unsigned char *bytes = scratch_read(path, &num_bytes);
    bytes[num_bytes - 5] ^= 4;
    scratch_write(path, bytes, num_bytes);
    free(bytes);
    assert_int_equal(again(0, &err), ERR_OK);
    assert_false(report.differs); /* it says nothing of the run */
    assert_int_equal(report.damaged_files, 1);
    assert_true(report.complete);
    assert_true(train_said(strrchr(path, '/') + 1));
}

/* Somebody trained it a little further, by hand. */
static void test_a_changed_checkpoint_is_named(void **state)
{
    (void)state;
    Err err = {""};
    char path[FS_PATH_MAX];
    RunState run;
    Ddpg *ddpg = NULL;
    DdpgConfig config = {.obs_dim = TRAIN_OBS,
                         .act_dim = TRAIN_ACT,
                         .num_hidden = 1,
                         .hidden = {8},
                         .batch = 1,
                         .threads = 1};
    run_starts(3, NULL);
    uint64_t update = find_checkpoint(1, path);
    assert_int_equal(ddpg_new(&config, &ddpg, &err), 0);
    assert_int_equal(checkpoint_read(path, ddpg_state(ddpg), &run, &err), 0);
    ddpg_state(ddpg)->critic.target[3] += 0.001F;
    assert_int_equal(checkpoint_write(path, ddpg_state(ddpg), &run, &err), 0);
    ddpg_destroy(&ddpg);
    assert_int_equal(again(0, &err), ERR_OK);
    assert_true(report.differs);
    assert_int_equal(report.first_difference, update);
}

/* Puts another reward into the k-th segment of the log, with checksums that are right. */
static void change_segment(int k)
{
    char directory[300], path[FS_PATH_MAX];
    LogFileList list;
    RunId run_id;
    json_t *machines = NULL;
    FrameInput input = {.file = -1};
    FrameItem item;
    size_t num_bytes = 0;
    snprintf(directory, sizeof directory, "%s/replay", here);
    assert_int_equal(run_dir_read_identity(here, &run_id, &machines, NULL), ERR_OK);
    json_decref(machines);
    assert_int_equal(log_files_list(disk_real(), directory, &list, NULL), ERR_OK);
    assert_int_equal(fs_join(path, directory, list.files[0].text, NULL), ERR_OK);
    uint64_t salt = log_file_salt(&run_id, &list.files[0]);
    log_files_free(&list);
    unsigned char *bytes = scratch_read(path, &num_bytes);
    assert_int_equal(frame_input_open(&input, disk_real(), path, salt, 1 << 20, NULL), ERR_OK);
    do {
        assert_int_equal(frame_input_next(&input, &item, NULL), ERR_OK);
        assert_int_equal(item.kind, FRAME_ITEM_FRAME);
        k -= item.frame.kind == LOG_KIND_SEGMENT;
    } while (k > 0);
    /* The rewards are the last column, padded to eight bytes. Some of them, so that a batch is sure
     * to have one. */
    for (size_t i = 0; i < 4; i++)
        bytes[item.offset + item.num_bytes - 9 - i * sizeof(float)] ^= 0x20;
    frame_seal(bytes + item.offset, frame_seed(salt, item.offset));
    frame_input_free(&input);
    scratch_write(path, bytes, num_bytes);
    free(bytes);
}

static void test_a_changed_segment_is_found(void **state)
{
    (void)state;
    Err err = {""};
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 11);
    uint64_t before = train_run_progress(&one).updates;
    train_run_feed(&one, 40);
    train_run_stop(&one);
    change_segment(12);
    assert_int_equal(again(0, &err), ERR_OK);
    assert_true(report.differs);
    /* At the first update whose batch has one of its steps. */
    assert_in_range(report.first_difference, before, before + 60);
    assert_true(report.complete);
}

static void test_other_threads_are_reported(void **state)
{
    (void)state;
    Err err = {""};
    run_starts(1, NULL);
    assert_int_equal(again(2, &err), ERR_OK);
    assert_non_null(strstr(report.machine, "threads: 2 here, 1 there"));
    assert_true(train_said("bits may differ"));
}

/* --- What cannot be done again
 * -------------------------------------------------------------------- */

static void test_a_hole_in_the_record_ends_it(void **state)
{
    (void)state;
    Err err = {""};
    char path[300];
    size_t num_bytes = 0;
    run_starts(2, NULL);
    snprintf(path, sizeof path, "%s/replay/order.plog", here);
    unsigned char *bytes = scratch_read(path, &num_bytes);
    int holes = 0;
    for (size_t k = 2; k < 12; k++) {
        bytes[num_bytes * k / 16] ^= 1;
        scratch_write(path, bytes, num_bytes);
        bytes[num_bytes * k / 16] ^= 1;
        assert_int_equal(again(0, &err), ERR_OK);
        assert_false(report.differs);
        if (report.complete)
            continue; /* it was an event that changes nothing */
        assert_string_equal(report.stopped, "the record of the updates has a hole");
        holes++;
    }
    free(bytes);
    assert_true(holes > 5);
    assert_true(train_said("damaged places in the order log: 1"));
}

static void test_a_run_without_a_log_is_refused(void **state)
{
    (void)state;
    Err err = {""};
    static const char *const off[] = {"replay_log=false", NULL};
    run_starts(1, off);
    assert_int_equal(again(0, &err), ERR_MISSING);
    assert_non_null(strstr(err.text, "replay_log"));
    snprintf(here, sizeof here, "%s", scratch_path(&scratch, "nothing"));
    assert_int_equal(again(0, &err), ERR_MISSING);
}

static void test_a_learner_at_work_is_not_disturbed(void **state)
{
    (void)state;
    Err err = {""};
    int ready[2], over[2];
    char byte = 0;
    run_starts(1, NULL);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(over), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        RunDir dir;
        train_run_configure(&one, here, true, NULL);
        int code = run_dir_open(&dir, &one.config, &err);
        if (write(ready[1], &byte, 1) != 1 || read(over[0], &byte, 1) != 1)
            code = 1;
        _exit(code == 0 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(again(0, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "at work"));
    assert_int_equal(write(over[1], &byte, 1), 1);
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(again(0, &err), ERR_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_run_is_the_same_from_its_beginning),
        TEST(test_a_run_is_the_same_from_the_oldest_checkpoint_that_is_logged),
        TEST(test_a_run_with_a_crash_in_it_is_the_same),
        TEST(test_keys_that_were_set_are_followed),
        TEST(test_skipped_updates_and_rollbacks_are_followed),
        TEST(test_a_damaged_checkpoint_is_named),
        TEST(test_a_changed_checkpoint_is_named),
        TEST(test_a_changed_segment_is_found),
        TEST(test_other_threads_are_reported),
        TEST(test_a_hole_in_the_record_ends_it),
        TEST(test_a_run_without_a_log_is_refused),
        TEST(test_a_learner_at_work_is_not_disturbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
