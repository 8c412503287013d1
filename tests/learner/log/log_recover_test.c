#include "learner/log/log_recover.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/learner/log/log_world.h"

static LogWorld world;
static LogRecovered recovered;

static int set_up(void **state)
{
    (void)state;
    world_init(&world, world_seed());
    world_restart(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_recovered_free(&recovered);
    world_end(&world);
    return 0;
}

static void assert_ok(int code, const Err *err)
{
    if (code != ERR_OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, ERR_OK);
}

static void append(uint64_t count)
{
    Err err = {""};
    for (uint64_t i = 0; i < count; i++)
        assert_ok(world_append(&world, &err), &err);
    assert_ok(log_writer_flush(world.writer, &err), &err);
}

static void recover(void)
{
    Err err = {""};
    log_recovered_free(&recovered);
    assert_ok(world_recover(&world, &recovered, &err), &err);
}

static const char *newest(void)
{
    return memory_disk_path(world.disk, memory_disk_num_files(world.disk) - 1);
}

static void test_a_new_run_begins_at_position_one(void **state)
{
    (void)state;
    Err err = {""};
    assert_ok(log_recover(world.table, "elsewhere", &world.config.run_id, &world.config.dims, 10,
                          NULL, &recovered, &err),
              &err);
    assert_int_equal(recovered.state.next_position, 1);
    assert_int_equal(recovered.state.row, 0);
    assert_int_equal(recovered.state.num_sessions, 0);
    assert_int_equal(recovered.first_position, 0);
}

static void test_the_state_is_the_one_that_the_writer_had(void **state)
{
    (void)state;
    append(300);
    LogState before = log_writer_state(world.writer);
    recover();
    assert_int_equal(recovered.state.next_position, before.next_position);
    assert_int_equal(recovered.state.row, before.row);
    assert_int_equal(recovered.state.env_steps, before.env_steps);
    assert_int_equal(recovered.state.episodes, before.episodes);
    assert_int_equal(recovered.num_segments, 300);
    assert_int_equal(recovered.first_position, 1);
    assert_int_equal(recovered.state.num_sessions, WORLD_SESSIONS);
    for (size_t i = 0; i < WORLD_SESSIONS; i++) {
        const SessionRecord *record = &recovered.sessions[i];
        uint32_t session = record->id.id[15];
        char name[32];
        snprintf(name, sizeof name, "actor %u", session);
        assert_int_equal(record->sequence, world.sequence[session]);
        assert_int_equal(record->env_steps, world.session_steps[session]);
        assert_int_equal(record->actor_index, session);
        assert_int_equal(record->incarnation, 100 + session);
        assert_int_equal(record->num_envs, 4);
        assert_string_equal(record->key, session == 1 ? "key of one" : "");
        assert_string_equal(record->name, name);
    }
}

static void test_a_torn_tail_is_cut_once_with_one_line(void **state)
{
    (void)state;
    append(10);
    size_t num_bytes;
    char path[256];
    snprintf(path, sizeof path, "%s", newest());
    uint8_t *bytes = memory_disk_file(world.disk, path, &num_bytes);
    uint8_t *longer = calloc(1, num_bytes + 100);
    assert_non_null(longer);
    memcpy(longer, bytes, num_bytes);
    memset(longer + num_bytes, 0x5a, 77);
    memory_disk_put(world.disk, path, longer, num_bytes + 77);
    free(longer);
    recover();
    assert_int_equal(world.num_warnings, 1);
    assert_non_null(strstr(world.warning, path));
    assert_non_null(strstr(world.warning, "77 bytes"));
    assert_int_equal(recovered.torn_bytes, 77);
    assert_int_equal(recovered.num_segments, 10);
    size_t size;
    memory_disk_file(world.disk, path, &size);
    assert_int_equal(size, num_bytes);
    recover();
    assert_int_equal(world.num_warnings, 1);
}

static void test_damage_is_named_and_left_as_it_is(void **state)
{
    (void)state;
    append(30);
    size_t num_bytes;
    uint8_t *bytes = memory_disk_file(world.disk, newest(), &num_bytes);
    bytes[num_bytes / 4 * 3] ^= 4;
    recover();
    assert_int_equal(world.num_warnings, 1);
    assert_non_null(strstr(world.warning, "damaged"));
    assert_true(recovered.damaged_bytes > 0);
    assert_int_equal(recovered.num_segments, 29);
    assert_int_equal(recovered.missing_positions, 1);
    assert_int_equal(recovered.state.next_position, 31);
    world_restart(&world);
    append(1);
    assert_int_equal(world.num_facts, 31);
}

/* The last record of an older file was whole when the next file was begun. */
static void test_a_damaged_end_of_an_older_file_is_left_as_it_is(void **state)
{
    (void)state;
    char path[256];
    append(10);
    snprintf(path, sizeof path, "%s", newest());
    world_restart(&world);
    append(5);
    size_t num_bytes, size;
    uint8_t *bytes = memory_disk_file(world.disk, path, &num_bytes);
    bytes[num_bytes - 20] ^= 4;
    for (unsigned start = 1; start <= 2; start++) {
        recover();
        assert_int_equal(world.num_warnings, start);
        assert_non_null(strstr(world.warning, path));
        assert_non_null(strstr(world.warning, "damaged"));
        assert_int_equal(recovered.torn_bytes, 0);
        assert_true(recovered.damaged_bytes > 0);
        assert_int_equal(recovered.num_segments, 14);
        assert_int_equal(recovered.missing_positions, 1);
        memory_disk_file(world.disk, path, &size);
        assert_int_equal(size, num_bytes);
    }
}

static void test_a_foreign_file_is_not_cut(void **state)
{
    (void)state;
    append(3);
    LogFileName name;
    char path[256];
    log_file_name(100, 7, 0, &name);
    snprintf(path, sizeof path, "%s/%s", WORLD_DIRECTORY, name.text);
    static const char text[500] = "somebody's notes, saved under a strange name";
    memory_disk_put(world.disk, path, text, sizeof text);
    recover();
    size_t num_bytes;
    memory_disk_file(world.disk, path, &num_bytes);
    assert_int_equal(num_bytes, sizeof text);
    assert_int_equal(recovered.damaged_bytes, sizeof text);
    /* New files must sort behind it. */
    assert_int_equal(recovered.state.next_position, 100);
}

static void test_a_file_without_its_head_is_no_obstacle(void **state)
{
    (void)state;
    append(3);
    LogFileName name;
    char path[256];
    log_file_name(4, 7, 0, &name);
    snprintf(path, sizeof path, "%s/%s", WORLD_DIRECTORY, name.text);
    static const uint8_t zeros[4096];
    memory_disk_put(world.disk, path, zeros, sizeof zeros);
    recover();
    assert_int_equal(recovered.state.next_position, 4);
    assert_int_equal(recovered.torn_bytes, sizeof zeros);
    world.life = 7;
    world_restart(&world);
    append(5);
    recover();
    assert_int_equal(recovered.num_segments, 8);
}

static void test_what_a_start_has_read_survives_a_power_loss(void **state)
{
    (void)state;
    append(30);
    memory_disk_process_death(world.disk);
    recover();
    assert_int_equal(recovered.num_segments, 30);
    memory_disk_power_loss(world.disk, NULL);
    recover();
    assert_int_equal(recovered.num_segments, 30);
}

typedef struct Filled {
    uint64_t rows;
    uint64_t first_row;
    uint64_t count;
} Filled;

static int take(void *user, const SegmentRecord *record, Err *err)
{
    (void)err;
    Filled *filled = user;
    if (filled->count++ == 0)
        filled->first_row = record->row;
    filled->rows = record->row + segment_rows(&record->segment);
    return world_is_true(&world, record) ? ERR_OK : ERR_FORMAT;
}

static int refuse(void *user, const SegmentRecord *record, Err *err)
{
    (void)user;
    (void)record;
    return err_set(err, ERR_STOPPED, "enough");
}

static void test_one_pass_also_fills_the_replay_from_a_row_on(void **state)
{
    (void)state;
    Err err = {""};
    world.config.file_bytes_max = 15000;
    world_restart(&world);
    for (int i = 0; i < 30; i++)
        append(20);
    LogState before = log_writer_state(world.writer);
    uint64_t row = world.facts[500].row;
    Filled filled = {0};
    LogRecoverCallbacks callbacks = {.user = &filled, .segment = take, .row = row};
    assert_ok(log_recover(world.table, WORLD_DIRECTORY, &world.config.run_id, &world.config.dims,
                          1000, &callbacks, &recovered, &err),
              &err);
    assert_int_equal(filled.count, 101);
    assert_int_equal(filled.first_row, row);
    assert_int_equal(filled.rows, before.row);
    assert_true(recovered.num_segments < 200); /* not all files were read */
    assert_int_equal(recovered.state.next_position, before.next_position);
    assert_int_equal(recovered.state.episodes, before.episodes);
    assert_int_equal(recovered.state.num_sessions, WORLD_SESSIONS);
    for (size_t i = 0; i < WORLD_SESSIONS; i++)
        assert_int_equal(recovered.sessions[i].sequence,
                         world.sequence[recovered.sessions[i].id.id[15]]);
    log_recovered_free(&recovered);
    callbacks.segment = refuse;
    assert_int_equal(log_recover(world.table, WORLD_DIRECTORY, &world.config.run_id,
                                 &world.config.dims, 1000, &callbacks, &recovered, &err),
                     ERR_STOPPED);
    assert_string_equal(err.text, "enough");
}

/* A power loss can take a file whose sync failed, also the first one. */
static void test_what_the_first_files_do_not_have_is_counted(void **state)
{
    (void)state;
    Err err = {""};
    append(9);
    world_restart(&world);
    append(5);
    log_writer_destroy(&world.writer);
    const LogDisk *disk = world.table;
    assert_int_equal(disk->remove(disk->context, memory_disk_path(world.disk, 0)), 0);
    Filled filled = {0};
    LogRecoverCallbacks callbacks = {.user = &filled, .segment = take};
    assert_ok(log_recover(world.table, WORLD_DIRECTORY, &world.config.run_id, &world.config.dims,
                          1000, &callbacks, &recovered, &err),
              &err);
    assert_int_equal(filled.count, 5);
    assert_int_equal(recovered.missing_positions, 9);
}

static void test_a_table_that_is_cut_off_sends_the_recovery_further_back(void **state)
{
    (void)state;
    Err err = {""};
    append(20);
    world_restart(&world);
    size_t num_bytes;
    uint8_t *bytes = memory_disk_file(world.disk, newest(), &num_bytes);
    memory_disk_put(world.disk, newest(), bytes, FILE_HEAD_BYTES + 24);
    LogRecoverCallbacks callbacks = {.row = UINT64_MAX};
    assert_ok(log_recover(world.table, WORLD_DIRECTORY, &world.config.run_id, &world.config.dims,
                          1000, &callbacks, &recovered, &err),
              &err);
    assert_int_equal(recovered.state.num_sessions, WORLD_SESSIONS);
    assert_int_equal(recovered.state.next_position, 21);
}

/* The death of a process, or of the power, may leave any part of a file's beginning. */
static void test_sessions_never_reach_beyond_the_positions_that_are_known(void **state)
{
    (void)state;
    append(20);
    for (int i = 0; i < 20; i++)
        world_skip(&world);
    append(1); /* the gap is named by a new file */
    size_t num_bytes;
    uint8_t *file = memory_disk_file(world.disk, newest(), &num_bytes);
    uint8_t *bytes = malloc(num_bytes);
    assert_non_null(bytes);
    memcpy(bytes, file, num_bytes);
    for (size_t cut = 0; cut <= num_bytes; cut++) {
        uint64_t last[WORLD_SESSIONS] = {0};
        memory_disk_put(world.disk, newest(), bytes, cut);
        recover();
        for (uint64_t i = 1; i < recovered.state.next_position; i++)
            last[world_session(i)] = world.facts[i].sequence;
        for (size_t i = 0; i < recovered.state.num_sessions; i++) {
            const SessionRecord *record = &recovered.sessions[i];
            assert_true(record->sequence <= last[record->id.id[15]]);
        }
    }
    free(bytes);
}

static void test_sixty_five_thousand_sessions_come_back(void **state)
{
    (void)state;
    enum { SESSIONS = 65536 };
    Err err = {""};
    log_writer_destroy(&world.writer);
    SessionRecord *sessions = calloc(SESSIONS, sizeof *sessions);
    assert_non_null(sessions);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        memcpy(sessions[i].id.id, &i, sizeof i);
        sessions[i].sequence = i + 1;
        sessions[i].env_steps = 64 * (uint64_t)i;
        sessions[i].actor_index = i;
        sessions[i].idle_s = (SESSIONS - i) / 10;
        snprintf(sessions[i].name, sizeof sessions[i].name, "node-%u/actor-%u", i / 64, i % 64);
    }
    world.config.epoch = 2;
    world.config.sessions_max = SESSIONS;
    LogState start = {.next_position = 1, .sessions = sessions, .num_sessions = SESSIONS};
    assert_ok(log_writer_new(world.table, WORLD_DIRECTORY, &world.config, &start, world.now_ms,
                             &world.writer, &err),
              &err);
    recover();
    assert_int_equal(recovered.state.num_sessions, SESSIONS);
    assert_memory_equal(recovered.sessions, sessions, SESSIONS * sizeof *sessions);
    /* With a smaller limit, those that were heard last stay. */
    world.config.sessions_max = 1000;
    recover();
    assert_int_equal(recovered.state.num_sessions, 1000);
    assert_memory_equal(recovered.sessions, sessions + SESSIONS - 1000, 1000 * sizeof *sessions);
    free(sessions);
}

static void test_a_disk_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    append(10);
    for (uint64_t n = 1;; n++) {
        Err err = {""};
        uint64_t before = memory_disk_calls(world.disk);
        memory_disk_fault(world.disk, &(MemoryDiskFault){MEMORY_DISK_ANY, n, 1, EIO, false});
        int code = world_recover(&world, &recovered, &err);
        if (memory_disk_calls(world.disk) - before < n) {
            assert_ok(code, &err);
            return;
        }
        assert_int_equal(code, ERR_IO);
        assert_true(strlen(err.text) > 10);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_run_begins_at_position_one),
        TEST(test_the_state_is_the_one_that_the_writer_had),
        TEST(test_a_torn_tail_is_cut_once_with_one_line),
        TEST(test_damage_is_named_and_left_as_it_is),
        TEST(test_a_damaged_end_of_an_older_file_is_left_as_it_is),
        TEST(test_a_foreign_file_is_not_cut),
        TEST(test_a_file_without_its_head_is_no_obstacle),
        TEST(test_what_a_start_has_read_survives_a_power_loss),
        TEST(test_one_pass_also_fills_the_replay_from_a_row_on),
        TEST(test_what_the_first_files_do_not_have_is_counted),
        TEST(test_a_table_that_is_cut_off_sends_the_recovery_further_back),
        TEST(test_sessions_never_reach_beyond_the_positions_that_are_known),
        TEST(test_sixty_five_thousand_sessions_come_back),
        TEST(test_a_disk_that_cannot_be_read_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
