/* The trainer as a whole: what a crash undoes, and what a resume brings back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/log/log_files.h"
#include "tests/learner/train/train_run.h"

static Scratch scratch;
static TrainRun one, other;
static char here[128], there[128]; /* directories of runs */

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    one.seed = other.seed = train_seed();
    one.position = other.position = 0;
    snprintf(here, sizeof here, "%s", scratch_path(&scratch, "here"));
    snprintf(there, sizeof there, "%s", scratch_path(&scratch, "there"));
    train_listen(&scratch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    train_run_stop_if_running(&one);
    train_run_stop_if_running(&other);
    train_stop_listening();
    scratch_remove(&scratch);
    return 0;
}

static TrainOutcome outcome_of(const char *path)
{
    static TrainOutcome outcome;
    train_outcome(path, &outcome);
    return outcome;
}

/* Runs on to so many segments in the copy that a crash would leave, and in the run itself: all must
 * be the same. Both have ended then. */
static void assert_crash_undoes_nothing(int more)
{
    train_run_copy(&one, there);
    other.position = one.position;
    train_run_feed(&one, more);
    train_run_stop(&one);
    train_run_start(&other, there, true, NULL);
    train_run_feed(&other, more);
    train_run_stop(&other);
    TrainOutcome a = outcome_of(here);
    TrainOutcome b = outcome_of(there);
    assert_same_outcome(&a, &b);
    assert_int_equal(a.run.log_position, one.position);
    assert_false(train_said("differs from what it was"));
}

/* --- A resume
 * ------------------------------------------------------------------------------------- */

static void test_a_crash_undoes_nothing(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 30);
    assert_crash_undoes_nothing(15);
    assert_true(train_said("did "));
}

/* A learner that is told to stop while it does the past again leaves all of it to the next start.
 */
static void test_a_stop_in_the_middle_of_a_resume_undoes_nothing(void **state)
{
    (void)state;
    Err err = {""};
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 200);
    train_run_copy(&one, there);
    other.position = one.position;
    train_run_feed(&one, 10);
    train_run_stop(&one);
    for (int start = 0; start < 4; start++) {
        assert_int_equal(train_run_try(&other, there, true, NULL, &err), ERR_OK);
        usleep((useconds_t)start * 1000);
        train_run_stop(&other);
    }
    train_run_start(&other, there, true, NULL);
    train_run_feed(&other, 10);
    train_run_stop(&other);
    TrainOutcome a = outcome_of(here);
    TrainOutcome b = outcome_of(there);
    assert_same_outcome(&a, &b);
    assert_false(train_said("differs from what it was"));
}

static void test_a_crash_in_the_warm_up_undoes_nothing(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 1);
    assert_crash_undoes_nothing(20);
}

static void test_a_stop_and_a_resume_are_no_more_than_a_pause(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_start(&other, there, false, NULL);
    train_run_feed(&one, 30);
    for (int start = 0; start < 4; start++) {
        if (start > 0)
            train_run_start(&other, there, true, NULL);
        TrainerProgress progress = train_run_progress(&other);
        train_run_feed(&other, start < 3 ? 8 : 6);
        assert_true(train_run_progress(&other).updates >= progress.updates);
        train_run_stop(&other);
    }
    train_run_stop(&one);
    TrainOutcome a = outcome_of(here);
    TrainOutcome b = outcome_of(there);
    assert_same_outcome(&a, &b);
    assert_int_equal(a.run.pacer_env_steps, b.run.pacer_env_steps);
    assert_int_equal(a.run.pacer_updates, b.run.pacer_updates);
}

/* What came after the last record of an update is ingested as new. */
static void test_segments_beyond_the_record_are_ingested(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 20);
    train_run_copy(&one, there);
    train_run_stop(&one);
    char path[300];
    snprintf(path, sizeof path, "%s/replay/order.plog", there);
    assert_int_equal(unlink(path), 0);
    other.position = one.position;
    train_run_start(&other, there, true, NULL);
    TrainerProgress progress = train_run_progress(&other);
    TrainOutcome a = outcome_of(here);
    assert_int_equal(progress.env_steps, a.run.env_steps);
    assert_int_equal(progress.updates, a.run.updates);
    train_run_stop(&other);
    TrainOutcome b = outcome_of(there);
    assert_int_equal(a.run.replay_digest, b.run.replay_digest);
    assert_true(train_said("20 segments of the log were not in the replay yet"));
}

/* Without any checkpoint the run is done again from its beginning. */
static void test_a_run_whose_checkpoints_are_gone_is_done_again(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 20);
    train_run_copy(&one, there);
    train_run_stop(&one);
    char path[300];
    snprintf(path, sizeof path, "%s/checkpoints/checkpoint-000000000000.safetensors", there);
    assert_int_equal(unlink(path), 0);
    other.position = one.position;
    train_run_start(&other, there, true, NULL);
    train_run_stop(&other);
    TrainOutcome a = outcome_of(here);
    TrainOutcome b = outcome_of(there);
    assert_same_outcome(&a, &b);
}

/* --- What is lost
 * --------------------------------------------------------------------------------- */

/* A gap at the log's end: three segments that went on unlogged before the crash. */
static void append_gap(const char *run_dir, uint64_t first)
{
    Err err = {""};
    RunId run_id;
    json_t *machines = NULL;
    LogRecovered recovered;
    LogWriter *writer = NULL;
    char directory[300];
    const LogDims dims = {TRAIN_OBS, TRAIN_ACT, TRAIN_STEPS};
    snprintf(directory, sizeof directory, "%s/replay", run_dir);
    assert_int_equal(run_dir_read_identity(run_dir, &run_id, &machines, &err), ERR_OK);
    json_decref(machines);
    assert_int_equal(
        log_recover(disk_real(), directory, &run_id, &dims, 100, NULL, &recovered, &err), ERR_OK);
    assert_int_equal(recovered.state.next_position, first);
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = 1,
                              .dims = dims,
                              .file_bytes_max = LOG_FILE_BYTES_MAX,
                              .sessions_max = 100,
                              .session_retention_ms = 1000000};
    assert_int_equal(log_writer_new(disk_real(), directory, &config, &recovered.state, clock_ms(),
                                    &writer, &err),
                     ERR_OK);
    for (uint64_t position = first; position < first + 3; position++) {
        TrainSegment made;
        train_segment(one.seed, position, &made);
        LogEntry entry = {.segment = &made.segment,
                          .session = made.origin.session,
                          .session_steps = made.origin.session_steps,
                          .now_ms = clock_ms()};
        log_writer_skip(writer, &entry);
    }
    assert_int_equal(log_writer_flush(writer, &err), ERR_OK);
    log_writer_destroy(&writer);
    log_recovered_free(&recovered);
}

static void test_what_the_log_lost_at_its_end_keeps_its_numbers(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 10);
    uint64_t env_steps = train_run_progress(&one).env_steps;
    train_run_copy(&one, there);
    train_run_stop(&one);
    append_gap(there, 11);
    for (uint64_t position = 11; position < 14; position++)
        env_steps += (uint64_t)train_num_steps(one.seed, position);
    other.position = 13;
    for (int start = 0; start < 3; start++) {
        train_run_start(&other, there, true, NULL);
        TrainerProgress progress = train_run_progress(&other);
        assert_int_equal(progress.env_steps_there, env_steps);
        assert_int_equal(progress.env_steps, env_steps);
        train_run_feed(&other, 4);
        for (uint64_t position = other.position - 3; position <= other.position; position++)
            env_steps += (uint64_t)train_num_steps(one.seed, position);
        assert_int_equal(train_run_progress(&other).env_steps, env_steps);
        assert_int_equal(other.run.state.log_position, other.position);
        train_run_stop(&other);
        TrainOutcome outcome = outcome_of(there);
        assert_int_equal(outcome.run.log_position, other.position);
        assert_int_equal(outcome.run.env_steps, env_steps);
    }
    assert_false(train_said("differs from what it was"));
    assert_false(train_said("hole"));
}

static void test_without_a_log_a_resume_warms_up_again(void **state)
{
    (void)state;
    static const char *const off[] = {"replay_log=false", NULL};
    train_run_start(&one, here, false, off);
    assert_true(train_said("a crash of the learner loses the replay"));
    train_run_feed(&one, 20);
    train_run_stop(&one);
    TrainOutcome a = outcome_of(here);
    train_run_start(&one, here, true, NULL);
    TrainerProgress progress = train_run_progress(&one);
    assert_int_equal(progress.env_steps, a.run.env_steps);
    assert_int_equal(progress.updates, a.run.updates);
    TrainSegment made;
    uint64_t steps = 0;
    while (steps < 8) {
        assert_int_equal(train_run_progress(&one).updates, a.run.updates);
        train_segment(one.seed, one.position + 1, &made);
        steps += (uint64_t)made.segment.num_steps;
        train_run_feed(&one, 1);
    }
    train_run_feed(&one, 4);
    assert_true(train_run_progress(&one).updates > a.run.updates);
    train_run_stop(&one);
}

/* The log is turned off for a start, and on again: positions and rows go on. */
static void test_a_log_that_is_turned_off_and_on_goes_on(void **state)
{
    (void)state;
    static const char *const off[] = {"replay_log=false", NULL};
    static const char *const on[] = {"replay_log=true", NULL};
    uint64_t rows = 0;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 12);
    train_run_stop(&one);
    train_run_start(&one, here, true, off);
    train_run_feed(&one, 9);
    train_run_stop(&one);
    for (int start = 0; start < 3; start++) {
        train_run_start(&one, here, true, on);
        train_run_feed(&one, 7);
        train_run_stop(&one);
    }
    for (uint64_t position = 1; position <= one.position; position++)
        rows += (uint64_t)train_num_steps(one.seed, position) + 1;
    TrainOutcome outcome = outcome_of(here);
    assert_int_equal(outcome.run.log_position, one.position);
    assert_int_equal(outcome.run.replay_head, rows);
    assert_false(train_said("differs from what it was"));
}

/* What the log has behind the checkpoint is given up where a start goes on without it: a later
 * start with a log must not take it for its own. */
static void test_a_log_that_is_turned_off_after_a_crash_is_not_followed_later(void **state)
{
    (void)state;
    static const char *const off[] = {"replay_log=false", NULL};
    static const char *const on[] = {"replay_log=true", NULL};
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 12);
    train_run_copy(&one, there);
    train_run_stop(&one);
    other.seed = one.seed + 1;
    other.position = 0;
    train_run_start(&other, there, true, off);
    train_run_feed(&other, 6);
    train_run_stop(&other);
    TrainOutcome outcome = outcome_of(there);
    for (int start = 0; start < 3; start++) {
        train_run_start(&other, there, true, on);
        TrainerProgress progress = train_run_progress(&other);
        assert_int_equal(progress.env_steps, outcome.run.env_steps);
        assert_int_equal(progress.updates, outcome.run.updates);
        train_run_feed(&other, 7);
        train_run_stop(&other);
        outcome = outcome_of(there);
    }
    assert_false(train_said("differs from what it was"));
}

/* --- Disk
 * ----------------------------------------------------------------------------------------- */

static size_t count_log_files(const char *run_dir)
{
    char directory[300];
    LogFileList list;
    snprintf(directory, sizeof directory, "%s/replay", run_dir);
    assert_int_equal(log_files_list(disk_real(), directory, &list, NULL), ERR_OK);
    size_t count = list.num_files;
    log_files_free(&list);
    return count;
}

/* Every start begins a file: those that no kept checkpoint needs go. */
static void test_log_files_go_when_no_checkpoint_needs_them(void **state)
{
    (void)state;
    static const char *const few[] = {"checkpoint_keep=1", NULL};
    static const char *const all[] = {"checkpoint_keep=1", "replay_log_keep=all", NULL};
    train_run_start(&one, here, false, few);
    train_run_start(&other, there, false, all);
    for (int start = 0; start < 6; start++) {
        if (start > 0) {
            train_run_start(&one, here, true, NULL);
            train_run_start(&other, there, true, NULL);
        }
        train_run_feed(&one, 20);
        train_run_feed(&other, 20);
        train_run_stop(&one);
        train_run_stop(&other);
    }
    assert_true(count_log_files(here) <= 3);
    assert_int_equal(count_log_files(there), 6);
    TrainOutcome a = outcome_of(here);
    TrainOutcome b = outcome_of(there);
    assert_same_outcome(&a, &b);
}

static void test_a_budget_below_what_the_replay_needs_is_refused(void **state)
{
    (void)state;
    Err err = {""};
    static const char *const little[] = {"replay_log_bytes_max=1000000", NULL};
    assert_int_equal(train_run_try(&one, here, false, little, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "give at least"));
    train_run_stop(&one);
}

/* --- Keys that are set
 * ---------------------------------------------------------------------------- */

static void test_learning_rates_hold_from_where_they_were_set(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 10);
    train_run_set(&one, "actor_lr=0.05 was 0.001");
    train_run_set(&one, "critic_lr=0.02 was 0.001");
    train_run_feed(&one, 10);
    assert_crash_undoes_nothing(10);
    char path[300];
    snprintf(path, sizeof path, "%s/config.yaml", there);
    size_t num_bytes = 0;
    unsigned char *yaml = scratch_read(path, &num_bytes);
    yaml[num_bytes] = '\0';
    assert_non_null(strstr((char *)yaml, "actor_lr: 0.05 "));
    assert_non_null(strstr((char *)yaml, "critic_lr: 0.02 "));
    free(yaml);
    assert_true(strstr(outcome_of(there).run.config_yaml, "actor_lr: 0.05 ") != NULL);
}

static void test_the_ratio_holds_from_where_it_was_set(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 30);
    TrainerProgress before = train_run_progress(&one);
    train_run_set(&one, "updates_per_env_step=0.25 was 1");
    train_run_feed(&one, 16);
    TrainerProgress after = train_run_progress(&one);
    double steps = (double)(after.env_steps - before.env_steps);
    double updates = (double)(after.updates - before.updates);
    assert_true(fabs(updates - 0.25 * steps) <= 1.5);
    assert_crash_undoes_nothing(16);
}

/* Given at a resume, a key holds from there on: what was done before is done again as it was. */
static void test_keys_given_at_a_resume_hold_from_there_on(void **state)
{
    (void)state;
    static const char *const given[] = {"updates_per_env_step=0.5", "actor_lr=0.03", NULL};
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 30);
    TrainerProgress before = train_run_progress(&one);
    train_run_copy(&one, there);
    train_run_stop(&one);
    other.position = one.position;
    train_run_start(&other, there, true, given);
    assert_false(train_said("differs from what it was"));
    TrainerProgress resumed = train_run_progress(&other);
    assert_int_equal(resumed.updates, before.updates);
    train_run_feed(&other, 12);
    TrainerProgress after = train_run_progress(&other);
    double steps = (double)(after.env_steps - before.env_steps);
    double updates = (double)(after.updates - before.updates);
    assert_true(fabs(updates - 0.5 * steps) <= 1.5);
    /* And again, without a word. */
    one.position = other.position;
    train_run_copy(&other, scratch_path(&scratch, "third"));
    train_run_stop(&other);
    train_run_start(&one, scratch_path(&scratch, "third"), true, NULL);
    assert_int_equal(train_run_progress(&one).updates, after.updates);
    train_run_stop(&one);
    assert_false(train_said("differs from what it was"));
    TrainOutcome a = outcome_of(there);
    TrainOutcome b = outcome_of(scratch_path(&scratch, "third"));
    assert_same_outcome(&a, &b);
}

static void test_the_end_of_the_run_can_be_set(void **state)
{
    (void)state;
    train_run_start(&one, here, false, NULL);
    train_run_feed(&one, 10);
    char assignment[64];
    uint64_t env_steps = train_run_progress(&one).env_steps;
    snprintf(assignment, sizeof assignment, "total_env_steps=%llu was 100000",
             (unsigned long long)env_steps);
    train_run_set(&one, assignment);
    train_run_settle(&one);
    int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
    while (!train_run_progress(&one).ended && clock_ms() < deadline_ms)
        usleep(1000);
    assert_true(train_run_progress(&one).finished);
    train_run_stop(&one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_crash_undoes_nothing),
        TEST(test_a_stop_in_the_middle_of_a_resume_undoes_nothing),
        TEST(test_a_crash_in_the_warm_up_undoes_nothing),
        TEST(test_a_stop_and_a_resume_are_no_more_than_a_pause),
        TEST(test_segments_beyond_the_record_are_ingested),
        TEST(test_a_run_whose_checkpoints_are_gone_is_done_again),
        TEST(test_what_the_log_lost_at_its_end_keeps_its_numbers),
        TEST(test_without_a_log_a_resume_warms_up_again),
        TEST(test_a_log_that_is_turned_off_and_on_goes_on),
        TEST(test_a_log_that_is_turned_off_after_a_crash_is_not_followed_later),
        TEST(test_log_files_go_when_no_checkpoint_needs_them),
        TEST(test_a_budget_below_what_the_replay_needs_is_refused),
        TEST(test_learning_rates_hold_from_where_they_were_set),
        TEST(test_the_ratio_holds_from_where_it_was_set),
        TEST(test_keys_given_at_a_resume_hold_from_there_on),
        TEST(test_the_end_of_the_run_can_be_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
