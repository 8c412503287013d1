/* A run directory: one learner at a time, never a run over another, an epoch that rises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/kernels.h"
#include "learner/run_dir.h"
#include "tests/common/scratch.h"

static Scratch scratch;

static int make(void **state)
{
    (void)state;
    assert_int_equal(kernels_init(NULL), 0);
    scratch = scratch_make();
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static Config *config_for(const char *name, bool resume)
{
    static Config config;
    config_init(&config);
    snprintf(config.run_dir, sizeof config.run_dir, "%s", scratch_path(&scratch, name));
    config.resume = resume;
    return &config;
}

static void begin(const char *name, bool resume, uint32_t *epoch)
{
    RunDir dir;
    Err err = {""};
    Config *config = config_for(name, resume);
    if (run_dir_open(&dir, config, &err) != 0 || run_dir_begin(&dir, config, "pendulum", &err) != 0)
        fail_msg("%s", err.text);
    *epoch = dir.epoch;
    run_dir_close(&dir);
}

static void test_a_new_directory_is_made_with_all_parents(void **state)
{
    (void)state;
    RunDir dir;
    Err err = {""};
    Config *config = config_for("a/b/run", false);
    assert_int_equal(run_dir_open(&dir, config, &err), 0);
    assert_false(dir.resumed || dir.has_checkpoint);
    assert_true(fs_exists(scratch_path(&scratch, "a/b/run/checkpoints")));
    assert_int_equal(run_dir_begin(&dir, config, "pendulum", &err), 0);
    assert_int_equal(dir.epoch, 1);
    assert_true(fs_exists(scratch_path(&scratch, "a/b/run/config.yaml")));
    assert_true(fs_exists(scratch_path(&scratch, "a/b/run/run.json")));
    run_dir_close(&dir);
}

static void test_a_directory_must_be_named(void **state)
{
    (void)state;
    RunDir dir;
    Err err = {""};
    Config *config = config_for("x", false);
    config->run_dir[0] = '\0';
    assert_int_equal(run_dir_open(&dir, config, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "--run-dir"));
}

static void test_a_run_that_is_there_is_refused_without_resume(void **state)
{
    (void)state;
    uint32_t epoch = 0;
    begin("run", false, &epoch);
    size_t bytes = 0;
    unsigned char *before = scratch_read(scratch_path(&scratch, "run/run.json"), &bytes);
    RunDir dir;
    Err err = {""};
    assert_int_equal(run_dir_open(&dir, config_for("run", false), &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "--resume"));
    size_t bytes_after = 0;
    unsigned char *after = scratch_read(scratch_path(&scratch, "run/run.json"), &bytes_after);
    assert_int_equal(bytes, bytes_after);
    assert_memory_equal(before, after, bytes);
    free(before);
    free(after);
    begin("run", true, &epoch); /* and its lock was given back */
}

static void test_every_start_has_an_epoch_of_its_own(void **state)
{
    (void)state;
    uint32_t epoch = 0;
    for (uint32_t i = 1; i <= 4; i++) {
        begin("run", i > 1, &epoch);
        assert_int_equal(epoch, i);
    }
    begin("fresh", true, &epoch); /* --resume where nothing is: a new run */
    assert_int_equal(epoch, 1);
}

static void test_resume_takes_the_stored_configuration(void **state)
{
    (void)state;
    RunDir dir;
    Err err = {""};
    Config *config = config_for("run", false);
    assert_int_equal(config_set(config, "batch", "48", CONFIG_FLAG, &err), 0);
    assert_int_equal(run_dir_open(&dir, config, &err), 0);
    assert_int_equal(run_dir_begin(&dir, config, "", &err), 0);
    run_dir_close(&dir);
    config = config_for("run", true);
    assert_int_equal(run_dir_open(&dir, config, &err), 0);
    assert_true(dir.resumed);
    assert_int_equal(config->batch, 48);
    run_dir_close(&dir);
}

static void test_a_run_without_an_environment_stores_only_what_was_given(void **state)
{
    (void)state;
    RunDir dir;
    Err err = {""};
    for (int i = 0; i < 3; i++) { /* once more without an environment changes nothing */
        Config *config = config_for("run", i > 0);
        if (i == 0)
            assert_int_equal(config_set(config, "batch", "48", CONFIG_FLAG, &err), 0);
        assert_int_equal(run_dir_open(&dir, config, &err), 0);
        assert_int_equal(dir.resumed, i > 0);
        assert_int_equal(run_dir_begin(&dir, config, "", &err), 0);
        run_dir_close(&dir);
        assert_int_equal(config_apply_preset(config, "pendulum", &err), 0);
        assert_int_equal(config->batch, 48);
        assert_int_equal(config->hidden.size[0], 64);
    }
    Config *config = config_for("nothing-given", false);
    assert_int_equal(run_dir_open(&dir, config, &err), 0);
    assert_int_equal(run_dir_begin(&dir, config, "", &err), 0);
    run_dir_close(&dir);
    assert_int_equal(run_dir_open(&dir, config_for("nothing-given", true), &err), 0);
    assert_true(dir.resumed);
    run_dir_close(&dir);
}

/* The lock is between processes, and goes with the one that held it. */
static void test_a_second_learner_is_refused(void **state)
{
    (void)state;
    RunDir dir;
    Err err = {""};
    assert_int_equal(run_dir_open(&dir, config_for("run", false), &err), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        RunDir second;
        int code = run_dir_open(&second, config_for("run", true), &err);
        bool said = strstr(err.text, "another learner") != NULL;
        _exit(code == ERR_BUSY && said ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    run_dir_close(&dir);
    assert_int_equal(run_dir_open(&dir, config_for("run", false), &err), 0);
    run_dir_close(&dir);
}

static void test_a_damaged_epoch_is_not_guessed(void **state)
{
    (void)state;
    static const char *const texts[] = {"{",
                                        "{}",
                                        "{\"epoch\": -1}",
                                        "{\"epoch\": \"1\"}",
                                        "{\"epoch\": 65535}",
                                        "{\"epoch\": 4294967297}"};
    uint32_t epoch = 0;
    begin("run", false, &epoch);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        scratch_write(scratch_path(&scratch, "run/run.json"), texts[i], strlen(texts[i]));
        RunDir dir;
        Err err = {""};
        assert_int_equal(run_dir_open(&dir, config_for("run", true), &err), ERR_FORMAT);
        assert_non_null(strstr(err.text, "run.json"));
    }
}

static void test_a_damaged_checkpoint_alone_is_no_new_beginning(void **state)
{
    (void)state;
    uint32_t epoch = 0;
    begin("run", false, &epoch);
    const char *path =
        scratch_path(&scratch, "run/checkpoints/checkpoint-000000000100.safetensors");
    scratch_write(path, "not a checkpoint", 16);
    RunDir dir;
    Err err = {""};
    assert_int_not_equal(run_dir_open(&dir, config_for("run", true), &err), 0);
    assert_true(err.text[0] != '\0');
}

/* --- Identity and machines
 * --------------------------------------------------------------------------- */

static RunId id_of(const char *name, json_t **machines)
{
    RunId run_id;
    Err err = {""};
    *machines = NULL;
    if (run_dir_read_identity(scratch_path(&scratch, name), &run_id, machines, &err) != 0)
        fail_msg("%s", err.text);
    return run_id;
}

static void test_a_run_keeps_its_id_and_another_has_another(void **state)
{
    (void)state;
    uint32_t epoch = 0;
    json_t *machines = NULL;
    RunId ids[3];
    begin("run", false, &epoch);
    ids[0] = id_of("run", &machines);
    assert_null(machines);
    begin("run", true, &epoch);
    ids[1] = id_of("run", &machines);
    begin("other", false, &epoch);
    ids[2] = id_of("other", &machines);
    assert_memory_equal(&ids[0], &ids[1], sizeof ids[0]);
    assert_memory_not_equal(&ids[0], &ids[2], sizeof ids[0]);
}

/* A run that was begun before there were ids, or whose id cannot be read, gets a new one. */
static void test_an_id_that_is_none_is_replaced(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "null",
        "5",
        "\"\"",
        "\"0123456789abcdef0123456789abcde\"",
        "\"0123456789abcdef0123456789abcdefa\"",
        "\"0123456789abcdef0123456789abcdeg\"",
        "\"0123456789abcdef0123456789abc\\tef\"",
        "\"+123456789abcdef0123456789abcdef\"",
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char text[128], name[16];
        uint32_t epoch = 0;
        json_t *machines = NULL;
        RunId run_id;
        Err err = {""};
        snprintf(name, sizeof name, "run-%zu", i);
        begin(name, false, &epoch);
        snprintf(text, sizeof text, "{\"epoch\": 4, \"run_id\": %s}", ids[i]);
        char path[256];
        snprintf(path, sizeof path, "%s/run.json", scratch_path(&scratch, name));
        scratch_write(path, text, strlen(text));
        assert_int_equal(
            run_dir_read_identity(scratch_path(&scratch, name), &run_id, &machines, &err),
            ERR_FORMAT);
        begin(name, true, &epoch);
        assert_int_equal(epoch, 5);
        RunId first = id_of(name, &machines);
        begin(name, true, &epoch);
        RunId second = id_of(name, &machines);
        assert_memory_equal(&first, &second, sizeof first);
    }
}

static size_t count_machines(const char *name, int threads)
{
    RunDir dir;
    Err err = {""};
    json_t *machines = NULL;
    Config *config = config_for(name, true);
    assert_int_equal(run_dir_open(&dir, config, &err), 0);
    assert_int_equal(run_dir_begin(&dir, config, "pendulum", &err), 0);
    assert_int_equal(run_dir_write_machine(&dir, threads, &err), 0);
    run_dir_close(&dir);
    (void)id_of(name, &machines);
    size_t count = json_array_size(machines);
    const json_t *last = json_array_get(machines, count - 1);
    assert_int_equal(json_integer_value(json_object_get(last, "threads")), threads);
    json_decref(machines);
    return count;
}

static void test_a_machine_is_noted_when_it_is_another_one(void **state)
{
    (void)state;
    uint32_t epoch = 0;
    begin("run", false, &epoch);
    assert_int_equal(count_machines("run", 1), 1);
    assert_int_equal(count_machines("run", 1), 1);
    assert_int_equal(count_machines("run", 2), 2);
    assert_int_equal(count_machines("run", 1), 3);
    for (int i = 0; i < 40; i++)
        assert_true(count_machines("run", 1 + i % 2) <= 32);
}

static void test_machines_that_are_no_list_are_begun_anew(void **state)
{
    (void)state;
    uint32_t epoch = 0;
    begin("run", false, &epoch);
    static const char text[] =
        "{\"epoch\": 1, \"run_id\": \"0123456789abcdef0123456789abcdef\", \"machines\": 5}";
    scratch_write(scratch_path(&scratch, "run/run.json"), text, strlen(text));
    assert_int_equal(count_machines("run", 3), 1);
}

static void test_a_directory_without_a_run_has_no_identity(void **state)
{
    (void)state;
    RunId run_id;
    json_t *machines = NULL;
    Err err = {""};
    assert_int_equal(
        run_dir_read_identity(scratch_path(&scratch, "nothing"), &run_id, &machines, &err),
        ERR_MISSING);
    assert_non_null(strstr(err.text, "name the directory of a run"));
    assert_null(machines);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_directory_is_made_with_all_parents),
        TEST(test_a_directory_must_be_named),
        TEST(test_a_run_that_is_there_is_refused_without_resume),
        TEST(test_every_start_has_an_epoch_of_its_own),
        TEST(test_resume_takes_the_stored_configuration),
        TEST(test_a_run_without_an_environment_stores_only_what_was_given),
        TEST(test_a_second_learner_is_refused),
        TEST(test_a_damaged_epoch_is_not_guessed),
        TEST(test_a_damaged_checkpoint_alone_is_no_new_beginning),
        TEST(test_a_run_keeps_its_id_and_another_has_another),
        TEST(test_an_id_that_is_none_is_replaced),
        TEST(test_a_machine_is_noted_when_it_is_another_one),
        TEST(test_machines_that_are_no_list_are_begun_anew),
        TEST(test_a_directory_without_a_run_has_no_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
