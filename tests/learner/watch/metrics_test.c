/* metrics.csv: one header, rows of the same width, means over the interval, empty cells for what
 * did not happen, and the lag of the policies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "learner/watch/metrics.h"
#include "tests/common/scratch.h"

enum { COLUMNS = 33, LINES_MAX = 8, NEVER_MS = 3600000 };

static Scratch scratch;

static int make(void **state)
{
    (void)state;
    scratch = scratch_make();
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

/* A file, cut into its cells. */
typedef struct Table {
    char *text;
    int num_lines;
    char *cell[LINES_MAX][COLUMNS];
} Table;

static void table_read(Table *table)
{
    size_t bytes = 0;
    table->text = (char *)scratch_read(scratch_path(&scratch, "metrics.csv"), &bytes);
    table->text[bytes] = '\0';
    assert_true(bytes > 0 && table->text[bytes - 1] == '\n');
    table->num_lines = 0;
    char *rest = table->text;
    while (*rest) {
        char *line = strsep(&rest, "\n");
        assert_true(table->num_lines < LINES_MAX);
        int columns = 0;
        while (line) {
            assert_true(columns < COLUMNS);
            table->cell[table->num_lines][columns++] = strsep(&line, ",");
        }
        assert_int_equal(columns, COLUMNS);
        table->num_lines++;
    }
}

static const char *cell(const Table *table, int line, const char *column)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (strcmp(table->cell[0][i], column) == 0)
            return table->cell[line][i];
    }
    fail_msg("no column %s", column);
    return "";
}

static double number(const Table *table, int line, const char *column)
{
    const char *text = cell(table, line, column);
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0')
        fail_msg("%s: \"%s\" is no number", column, text);
    return value;
}

static void start(Metrics *metrics, int interval_ms)
{
    Err err;
    if (metrics_open(metrics, scratch_path(&scratch, "metrics.csv"), interval_ms, 0, 0, &err) != 0)
        fail_msg("%s", err.text);
}

static void write_row(Metrics *metrics, uint64_t env_steps, uint64_t updates, uint64_t episodes,
                      uint64_t replay_steps)
{
    MetricsCounts counts = {.env_steps = env_steps,
                            .updates = updates,
                            .episodes = episodes,
                            .replay_steps = replay_steps,
                            .unlogged_segments = 7,
                            .log_failing = true,
                            .faults = {{1, 20, 300, 4000, UINT64_C(1) << 53}}};
    metrics_write_row(metrics, &counts);
}

static void test_a_row_has_a_cell_for_each_column(void **state)
{
    (void)state;
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    assert_false(metrics_row_due(&metrics));
    write_row(&metrics, 10, 20, 30, 40);
    metrics_close(&metrics);
    table_read(&table);
    assert_int_equal(table.num_lines, 2);
    assert_string_equal(table.cell[0][0], "time_s");
    assert_true(number(&table, 1, "env_steps") == 10);
    assert_true(number(&table, 1, "updates") == 20);
    assert_true(number(&table, 1, "episodes") == 30);
    assert_true(number(&table, 1, "replay_steps") == 40);
    assert_true(number(&table, 1, "unlogged_segments") == 7);
    assert_true(number(&table, 1, "log_failing") == 1);
    free(table.text);
}

static void test_faults_of_environments_are_counted_by_kind(void **state)
{
    (void)state;
    static const char *const counts[ENV_FAULTS] = {"1", "20", "300", "4000", "9007199254740992"};
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    write_row(&metrics, 0, 0, 0, 0);
    metrics_close(&metrics);
    table_read(&table);
    for (int i = 0; i < ENV_FAULTS; i++) {
        char column[32];
        snprintf(column, sizeof column, "env_%s", env_fault_name((EnvFault)i));
        assert_string_equal(cell(&table, 1, column), counts[i]);
    }
    free(table.text);
}

static void test_what_did_not_happen_is_an_empty_cell(void **state)
{
    (void)state;
    static const char *const columns[] = {
        "episode_return", "episode_length",   "critic_loss",     "actor_loss",
        "q_mean",         "critic_grad_norm", "actor_grad_norm", "policy_lag_versions",
        "eval_return",    "waiting_share",    "other_share"};
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    write_row(&metrics, 10, 20, 30, 40);
    metrics_close(&metrics);
    table_read(&table);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        assert_string_equal(cell(&table, 1, columns[i]), "");
    free(table.text);
}

static void test_means_are_over_one_interval(void **state)
{
    (void)state;
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    for (int i = 1; i <= 3; i++) {
        DdpgStats stats = {i, 10 * i, 100 * i, 1000 * i, 10000 * i};
        metrics_update(&metrics, &stats);
    }
    metrics_evaluation(&metrics, -7.5);
    write_row(&metrics, 0, 3, 0, 0);
    DdpgStats stats = {.critic_loss = 9};
    metrics_update(&metrics, &stats);
    write_row(&metrics, 0, 4, 0, 0);
    metrics_close(&metrics);
    table_read(&table);
    assert_true(number(&table, 1, "critic_loss") == 2);
    assert_true(number(&table, 1, "actor_loss") == 20);
    assert_true(number(&table, 1, "q_mean") == 200);
    assert_true(number(&table, 1, "critic_grad_norm") == 2000);
    assert_true(number(&table, 1, "actor_grad_norm") == 20000);
    assert_true(number(&table, 1, "eval_return") == -7.5);
    assert_true(number(&table, 2, "critic_loss") == 9);
    assert_string_equal(cell(&table, 2, "eval_return"), "");
    free(table.text);
}

static void test_only_finished_episodes_count(void **state)
{
    (void)state;
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    assert_true(isnan(metrics_recent_return(&metrics)));
    Segment segment = {.first_step = 90, .num_steps = 10, .episode_return = -4};
    metrics_segment(&metrics, &segment, (Version){1, 0});
    assert_true(isnan(metrics_recent_return(&metrics)));
    segment.end = SEGMENT_TERMINATED;
    metrics_segment(&metrics, &segment, (Version){1, 0});
    segment.end = SEGMENT_TRUNCATED;
    segment.first_step = 190;
    segment.episode_return = -6;
    metrics_segment(&metrics, &segment, (Version){1, 0});
    assert_true(metrics_recent_return(&metrics) == -5);
    write_row(&metrics, 0, 0, 0, 0);
    metrics_close(&metrics);
    table_read(&table);
    assert_true(number(&table, 1, "episode_return") == -5);
    assert_true(number(&table, 1, "episode_length") == 150);
    free(table.text);
}

static void test_the_recent_return_is_of_the_last_episodes(void **state)
{
    (void)state;
    Metrics metrics;
    start(&metrics, NEVER_MS);
    Segment segment = {.num_steps = 1, .end = SEGMENT_TERMINATED};
    for (int i = 0; i < 100; i++) {
        segment.episode_return = i;
        metrics_segment(&metrics, &segment, (Version){1, 0});
    }
    /* The mean of 80 to 99; rows in between change nothing. */
    assert_true(fabs(metrics_recent_return(&metrics) - 89.5) < 1e-9);
    write_row(&metrics, 0, 0, 0, 0);
    assert_true(fabs(metrics_recent_return(&metrics) - 89.5) < 1e-9);
    metrics_close(&metrics);
}

static void test_the_lag_counts_policies_and_updates(void **state)
{
    (void)state;
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    for (uint64_t update = 0; update <= 100; update += 25)
        metrics_published(&metrics, (Version){2, update});
    Segment segment = {.num_steps = 1, .version = {2, 50}};
    metrics_segment(&metrics, &segment, (Version){2, 110}); /* 75 and 100 are newer */
    segment.version = (Version){2, 100};
    metrics_segment(&metrics, &segment, (Version){2, 110});
    segment.version = (Version){1, 9000}; /* of an earlier start: no lag can be told */
    metrics_segment(&metrics, &segment, (Version){2, 110});
    segment.version = (Version){0, 0}; /* at random */
    metrics_segment(&metrics, &segment, (Version){2, 110});
    write_row(&metrics, 0, 0, 0, 0);
    metrics_close(&metrics);
    table_read(&table);
    assert_true(number(&table, 1, "policy_lag_versions") == 1); /* (2 + 0) / 2 */
    assert_true(number(&table, 1, "policy_lag_updates") == 35); /* (60 + 10) / 2 */
    free(table.text);
}

static void test_a_lag_beyond_what_is_remembered_is_bounded(void **state)
{
    (void)state;
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    for (uint64_t update = 1; update <= 5000; update++)
        metrics_published(&metrics, (Version){1, update});
    Segment segment = {.num_steps = 1, .version = {1, 1}};
    metrics_segment(&metrics, &segment, (Version){1, 5000});
    write_row(&metrics, 0, 0, 0, 0);
    metrics_close(&metrics);
    table_read(&table);
    assert_true(number(&table, 1, "policy_lag_versions") == METRICS_PUBLISHED_MAX);
    assert_true(number(&table, 1, "policy_lag_updates") == 4999);
    free(table.text);
}

static void test_shares_add_up_to_1(void **state)
{
    (void)state;
    static const char *const shares[] = {"waiting_share",  "ingesting_share",  "sampling_share",
                                         "updating_share", "publishing_share", "other_share"};
    Metrics metrics;
    Table table;
    start(&metrics, NEVER_MS);
    metrics_lap(&metrics, METRICS_OTHER);
    usleep(20000);
    metrics_lap(&metrics, METRICS_UPDATING);
    metrics_lap(&metrics, METRICS_WAITING);
    write_row(&metrics, 0, 0, 0, 0);
    metrics_close(&metrics);
    table_read(&table);
    double sum = 0;
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++)
        sum += number(&table, 1, shares[i]);
    assert_true(fabs(sum - 1) < 1e-4);
    assert_true(number(&table, 1, "updating_share") > 0);
    assert_true(number(&table, 1, "ingesting_share") == 0);
    free(table.text);
}

static void test_a_row_is_written_when_its_interval_is_over(void **state)
{
    (void)state;
    Metrics metrics;
    start(&metrics, 20);
    usleep(25000);
    assert_true(metrics_row_due(&metrics));
    write_row(&metrics, 100, 50, 0, 0);
    assert_true(metrics.env_steps_per_s > 0 && metrics.env_steps_per_s <= 100 / 0.025);
    assert_true(fabs(metrics.env_steps_per_s - 2 * metrics.updates_per_s) < 1e-6);
    metrics.interval_ns = INT64_C(3600000000000);
    assert_false(metrics_row_due(&metrics));
    metrics_close(&metrics);
}

static void test_a_resumed_run_goes_on_in_the_same_file(void **state)
{
    (void)state;
    Metrics metrics;
    Table table;
    for (int i = 0; i < 3; i++) {
        start(&metrics, NEVER_MS);
        write_row(&metrics, (uint64_t)i, 0, 0, 0);
        metrics_close(&metrics);
    }
    table_read(&table);
    assert_int_equal(table.num_lines, 4); /* one header */
    for (int i = 0; i < 3; i++)
        assert_true(number(&table, i + 1, "env_steps") == i);
    free(table.text);
}

static void test_a_file_with_other_columns_is_moved_aside(void **state)
{
    (void)state;
    Metrics metrics;
    Table table;
    FILE *file = fopen(scratch_path(&scratch, "metrics.csv"), "w");
    assert_non_null(file);
    fputs("time_s,env_steps\n1,2\n", file);
    fclose(file);
    start(&metrics, NEVER_MS);
    write_row(&metrics, 10, 20, 30, 40);
    metrics_close(&metrics);
    table_read(&table);
    assert_int_equal(table.num_lines, 2);
    assert_true(number(&table, 1, "env_steps") == 10);
    free(table.text);
    assert_int_equal(access(scratch_path(&scratch, "metrics.csv.old"), F_OK), 0);
}

static void test_a_file_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    Metrics metrics;
    Err err;
    const char *path = scratch_path(&scratch, "no/such/directory.csv");
    assert_int_equal(metrics_open(&metrics, path, 1000, 0, 0, &err), ERR_IO);
    assert_non_null(strstr(err.text, path));
    metrics_close(&metrics);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_a_row_has_a_cell_for_each_column),
        TEST(test_faults_of_environments_are_counted_by_kind),
        TEST(test_what_did_not_happen_is_an_empty_cell),
        TEST(test_means_are_over_one_interval),
        TEST(test_only_finished_episodes_count),
        TEST(test_the_recent_return_is_of_the_last_episodes),
        TEST(test_the_lag_counts_policies_and_updates),
        TEST(test_a_lag_beyond_what_is_remembered_is_bounded),
        TEST(test_shares_add_up_to_1),
        TEST(test_a_row_is_written_when_its_interval_is_over),
        TEST(test_a_resumed_run_goes_on_in_the_same_file),
        TEST(test_a_file_with_other_columns_is_moved_aside),
        TEST(test_a_file_that_cannot_be_opened_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
