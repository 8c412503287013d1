/* The bytes of released formats: a checkpoint of this format is read and written as it was
 * recorded, and one of an earlier format works or is refused in one line that names both.
 *
 *     test.learner.agent.checkpoint_recorded --record FILE    writes a checkpoint of this format,
 *                                                             for recorded/formatN.safetensors
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/common/scratch.h"
#include "tests/learner/agent/checkpoint_states.h"

static const char recorded_path[] =
    POLYAK_SOURCE_DIR "/tests/learner/agent/recorded/format1.safetensors";

/* Numbers that are exact in every format, and of which no two neighbours are alike. */
static void fill(float *values, size_t num_values, int first)
{
    for (size_t i = 0; i < num_values; i++)
        values[i] = (float)(((int)i + first) * 37 % 128 - 64) / 64;
}

static DdpgState sample_state(void)
{
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    DdpgNetwork *networks[] = {&ddpg.actor, &ddpg.critic};
    for (int i = 0; i < 2; i++) {
        fill(networks[i]->params, networks[i]->num_params, 10 * i);
        fill(networks[i]->target, networks[i]->num_params, 10 * i + 1);
        fill(networks[i]->adam_m, networks[i]->num_params, 10 * i + 2);
        fill(networks[i]->adam_v, networks[i]->num_params, 10 * i + 3);
        network_params_changed(networks[i]);
    }
    ddpg.updates = 4321;
    return ddpg;
}

static RunState sample_run(void)
{
    RunState run = run_make(4322);
    run.best_return = -148.25;
    /* Format 1 did not have these. */
    run.log_position = run.replay_head = run.replay_digest = 0;
    run.pacer_env_steps = run.pacer_updates = 0;
    run.pacer_underway = false;
    run.skipped_updates = run.rollbacks = 0;
    return run;
}

/* The format that checkpoint_write() makes today. */
static void format_of_today(const char *directory, char text[32])
{
    char path[256];
    snprintf(path, sizeof path, "%s/today", directory);
    DdpgState ddpg = sample_state();
    RunState run = sample_run();
    SafetensorsFile *file;
    assert_int_equal(checkpoint_write(path, &ddpg, &run, NULL), ERR_OK);
    assert_int_equal(safetensors_open(path, &file, NULL), ERR_OK);
    snprintf(text, 32, "%s", safetensors_meta(file, "polyak_checkpoint"));
    safetensors_destroy(&file);
    ddpg_free(&ddpg);
}

static void test_a_recorded_checkpoint_is_read_or_refused_naming_both_formats(void **state)
{
    (void)state;
    Scratch scratch = scratch_make();
    char today[32];
    format_of_today(scratch.path, today);
    DdpgState wanted = sample_state();
    DdpgState read = ddpg_make(small_hidden, 2);
    RunState wanted_run = sample_run();
    RunState run;
    Err err = {""};
    int code = checkpoint_read(recorded_path, &read, &run, &err);
    if (code == ERR_OK) {
        assert_true(ddpg_equal(&read, &wanted));
        assert_true(run_equal(&run, &wanted_run));
    } else {
        char wrote[64], reads[64];
        snprintf(wrote, sizeof wrote, "format %s,", "1");
        snprintf(reads, sizeof reads, "reads %s", today);
        assert_int_equal(code, ERR_VERSION);
        assert_string_not_equal(today, "1");
        assert_non_null(strstr(err.text, wrote));
        assert_non_null(strstr(err.text, reads));
        assert_null(strchr(err.text, '\n'));
    }
    ddpg_free(&read);
    ddpg_free(&wanted);
    scratch_remove(&scratch);
}

static void test_the_format_has_not_changed_without_a_new_number(void **state)
{
    (void)state;
    Scratch scratch = scratch_make();
    char today[32];
    format_of_today(scratch.path, today);
    if (strcmp(today, "1") == 0) {
        size_t num_bytes, num_recorded;
        unsigned char *bytes = scratch_read(scratch_path(&scratch, "today"), &num_bytes);
        unsigned char *recorded = scratch_read(recorded_path, &num_recorded);
        assert_int_equal(num_bytes, num_recorded);
        assert_memory_equal(bytes, recorded, num_bytes);
        free(recorded);
        free(bytes);
    }
    scratch_remove(&scratch);
}

static int record(const char *path)
{
    Err err = {""};
    DdpgState ddpg = sample_state();
    RunState run = sample_run();
    int code = checkpoint_write(path, &ddpg, &run, &err);
    if (code != ERR_OK)
        fprintf(stderr, "%s\n", err.text);
    ddpg_free(&ddpg);
    return code == ERR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--record") == 0)
        return record(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_recorded_checkpoint_is_read_or_refused_naming_both_formats),
        cmocka_unit_test(test_the_format_has_not_changed_without_a_new_number),
    };
    return cmocka_run_group_tests_name("checkpoint_recorded", tests, NULL, NULL);
}
