/* The bytes of released log formats: what was recorded of today's must stay as it is, and is read;
 * another version is refused in a line that names both.
 *
 *     test.learner.log.log_recorded --record DIRECTORY    writes the files of today's format
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "learner/log/log_files.h"
#include "learner/log/log_reader.h"
#include "learner/log/log_writer.h"
#include "learner/log/order_log.h"
#include "tests/common/scratch.h"

#define RECORDED POLYAK_SOURCE_DIR "/tests/learner/log/recorded"

enum { SEGMENTS = 3, STEPS = 2, OBS = 2, ACT = 1 };

static const RunId run_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const LogDims dims = {OBS, ACT, 4};

/* Segment number k, in numbers that are exact. */
static Segment sample_segment(uint64_t k, float *block)
{
    Segment segment = {.sequence = k,
                       .env_index = 1,
                       .episode = 7,
                       .first_step = (uint32_t)(STEPS * (k - 1)),
                       .num_steps = STEPS,
                       .end = k == SEGMENTS ? SEGMENT_TERMINATED : SEGMENT_CONTINUES,
                       .episode_return = -1.5 * (double)k,
                       .version = {2, 40 + k},
                       .obs = block,
                       .action = block + (STEPS + 1) * OBS};
    segment.reward = segment.action + STEPS * ACT;
    for (int i = 0; i < (STEPS + 1) * OBS + STEPS * ACT + STEPS; i++)
        block[i] = (float)(i - 4) / 16 + (float)k / 64;
    return segment;
}

static int write_segments(const char *directory, Err *err)
{
    LogWriter *writer = NULL;
    LogWriterConfig config = {.run_id = run_id,
                              .epoch = 2,
                              .dims = dims,
                              .file_bytes_max = LOG_FILE_BYTES_MAX,
                              .sessions_max = 8,
                              .session_retention_ms = 1000};
    LogState start = {.next_position = 1};
    int code = log_writer_new(disk_real(), directory, &config, &start, 0, &writer, err);
    for (uint64_t k = 1; code == ERR_OK && k <= SEGMENTS; k++) {
        float block[(STEPS + 1) * OBS + STEPS * ACT + STEPS];
        Segment segment = sample_segment(k, block);
        LogEntry entry = {.segment = &segment,
                          .session = {{9, 8, 7}},
                          .session_steps = STEPS * k,
                          .actor_index = 3,
                          .incarnation = 2 << 16,
                          .num_envs = 2,
                          .key = "node",
                          .name = "node7/0"};
        code = log_writer_append(writer, &entry, err);
    }
    if (code == ERR_OK)
        code = log_writer_flush(writer, err);
    log_writer_destroy(&writer);
    return code;
}

static int write_order(const char *directory, Err *err)
{
    OrderLog *log = NULL;
    OrderBlock block = {.first_update = 5, .position = 2, .count = 3, .digests = {1, 2, 3}};
    OrderEvent event = {
        .type = ORDER_SET, .update = 8, .position = 3, .text = "actor_lr=0.5 was 0.25"};
    int code = order_log_open(disk_real(), directory, &run_id, NULL, NULL, &log, err);
    if (code == ERR_OK)
        code = order_log_block(log, &block, err);
    if (code == ERR_OK)
        code = order_log_event(log, &event, err);
    if (code == ERR_OK)
        code = order_log_flush(log, err);
    if (log)
        order_log_close(&log);
    return code;
}

static int write_all(const char *directory, Err *err)
{
    int code = fs_make_dirs(directory, err);
    if (code == ERR_OK)
        code = write_segments(directory, err);
    return code == ERR_OK ? write_order(directory, err) : code;
}

static void compare_files(const char *written, const char *recorded, const char *name)
{
    char a[FS_PATH_MAX], b[FS_PATH_MAX];
    size_t a_bytes, b_bytes;
    fs_join(a, written, name, NULL);
    fs_join(b, recorded, name, NULL);
    unsigned char *ours = scratch_read(a, &a_bytes);
    unsigned char *theirs = scratch_read(b, &b_bytes);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(ours, theirs, a_bytes);
    free(ours);
    free(theirs);
}

static void test_the_format_has_not_changed_without_a_new_number(void **state)
{
    (void)state;
    Scratch scratch = scratch_make();
    Err err = {""};
    LogFileName name;
    log_file_name(1, 2, 0, &name);
    if (LOG_FORMAT_VERSION == 1) {
        assert_int_equal(write_all(scratch_path(&scratch, "log"), &err), ERR_OK);
        compare_files(scratch_path(&scratch, "log"), RECORDED "/format1", name.text);
        compare_files(scratch_path(&scratch, "log"), RECORDED "/format1", "order.plog");
    }
    scratch_remove(&scratch);
}

static void test_recorded_segments_are_read_or_refused_naming_both_versions(void **state)
{
    (void)state;
    LogReader *reader = NULL;
    Err err = {""};
    int code = log_reader_open(disk_real(), RECORDED "/format1", &run_id, &dims, &reader, &err);
    if (code != ERR_OK) {
        char today[32];
        snprintf(today, sizeof today, "version %d", LOG_FORMAT_VERSION);
        assert_int_equal(code, ERR_VERSION);
        assert_non_null(strstr(err.text, "version 1"));
        assert_non_null(strstr(err.text, today));
        return;
    }
    uint64_t read = 0;
    LogItem item = {.kind = LOG_ITEM_HEAD};
    while (item.kind != LOG_ITEM_END) {
        assert_int_equal(log_reader_next(reader, &item, &err), ERR_OK);
        assert_int_not_equal(item.kind, LOG_ITEM_DAMAGE);
        assert_int_not_equal(item.kind, LOG_ITEM_TORN);
        if (item.kind != LOG_ITEM_SEGMENT)
            continue;
        float block[(STEPS + 1) * OBS + STEPS * ACT + STEPS];
        Segment wanted = sample_segment(++read, block);
        const Segment *segment = &item.segment.segment;
        assert_int_equal(item.segment.position, read);
        assert_int_equal(item.segment.session_steps, STEPS * read);
        assert_int_equal(segment->sequence, wanted.sequence);
        assert_int_equal(segment->end, wanted.end);
        assert_true(segment->episode_return == wanted.episode_return);
        assert_memory_equal(segment->obs, wanted.obs, sizeof(float) * (STEPS + 1) * OBS);
        assert_memory_equal(segment->action, wanted.action, sizeof(float) * STEPS * ACT);
        assert_memory_equal(segment->reward, wanted.reward, sizeof(float) * STEPS);
    }
    assert_int_equal(read, SEGMENTS);
    log_reader_close(&reader);
}

static void test_a_recorded_order_is_read(void **state)
{
    (void)state;
    OrderReader *reader = NULL;
    OrderItem item;
    Err err = {""};
    assert_int_equal(order_reader_open(disk_real(), RECORDED "/format1", &run_id, &reader, &err),
                     ERR_OK);
    assert_int_equal(order_reader_next(reader, &item, &err), ERR_OK);
    assert_int_equal(item.kind, ORDER_ITEM_BLOCK);
    assert_int_equal(item.block.first_update, 5);
    assert_int_equal(item.block.position, 2);
    assert_int_equal(item.block.count, 3);
    assert_int_equal(item.block.digests[2], 3);
    assert_int_equal(order_reader_next(reader, &item, &err), ERR_OK);
    assert_int_equal(item.kind, ORDER_ITEM_EVENT);
    assert_int_equal(item.event.type, ORDER_SET);
    assert_string_equal(item.event.text, "actor_lr=0.5 was 0.25");
    order_reader_close(&reader);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--record") == 0) {
        Err err = {""};
        int code = write_all(argv[2], &err);
        if (code != ERR_OK)
            fprintf(stderr, "%s\n", err.text);
        return code == ERR_OK ? 0 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_format_has_not_changed_without_a_new_number),
        cmocka_unit_test(test_recorded_segments_are_read_or_refused_naming_both_versions),
        cmocka_unit_test(test_a_recorded_order_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
