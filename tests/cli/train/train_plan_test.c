#include "cli/train/train_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/polyak-plan-test-XXXXXX";
static Config config;
static Spec spec;
static Err err;

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink("run/config.yaml");
    unlink("run/run.json");
    rmdir("run");
    unlink("runs/pendulum-19700101-000000");
    rmdir("runs");
    return rmdir(directory);
}

static int setup(void **state)
{
    (void)state;
    unlink("run/config.yaml");
    unlink("run/run.json");
    config_init(&config);
    err.text[0] = '\0';
    return 0;
}

static void give(const char *key, const char *text)
{
    assert_int_equal(config_set(&config, key, text, CONFIG_FLAG, &err), 0);
}

static void write_run_file(const char *name, const char *text)
{
    char path[64];
    mkdir("run", 0700);
    snprintf(path, sizeof path, "run/%s", name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_refused(const char *excerpt)
{
    assert_int_equal(train_plan(&config, &spec, &err), ERR_USAGE);
    if (!strstr(err.text, excerpt))
        fail_msg("\"%s\" does not say \"%s\"", err.text, excerpt);
}

static void test_a_known_environment_gets_its_preset_and_a_directory(void **state)
{
    (void)state;
    give("env", "pendulum");
    assert_int_equal(train_plan(&config, &spec, &err), 0);
    assert_string_equal(spec.name, "pendulum");
    assert_int_equal(spec.obs_dim, 3);
    assert_int_equal(strncmp(config.run_dir, "runs/pendulum-", 14), 0);
    assert_int_equal(rmdir(config.run_dir), 0);
    Config preset;
    config_init(&preset);
    assert_int_equal(config_apply_preset(&preset, "pendulum", &err), 0);
    assert_int_equal(config.warmup_env_steps, preset.warmup_env_steps);
}

static void test_no_environment_is_refused_with_those_there_are(void **state)
{
    (void)state;
    assert_refused("pendulum");
}

static void test_an_unknown_environment_is_refused(void **state)
{
    (void)state;
    give("env", "pendulun");
    assert_refused("pendulum");
}

static void test_a_plugin_that_is_not_there_is_refused(void **state)
{
    (void)state;
    give("env", "./missing.so");
    assert_refused("missing.so");
}

static void test_resume_without_a_directory_is_refused(void **state)
{
    (void)state;
    give("resume", "true");
    assert_refused("--run-dir");
}

static void test_a_directory_with_a_run_is_refused_without_resume(void **state)
{
    (void)state;
    write_run_file("run.json", "{}");
    give("env", "pendulum");
    give("run_dir", "run");
    assert_refused("--resume");
}

static void test_an_empty_directory_is_taken(void **state)
{
    (void)state;
    mkdir("run", 0700);
    give("env", "pendulum");
    give("run_dir", "run");
    assert_int_equal(train_plan(&config, &spec, &err), 0);
    assert_string_equal(config.run_dir, "run");
}

static void test_resume_takes_the_environment_from_the_run(void **state)
{
    (void)state;
    write_run_file("config.yaml", "env: pendulum\nseed: 7\neval_interval_env_steps: 0\n");
    give("run_dir", "run");
    give("resume", "true");
    assert_int_equal(train_plan(&config, &spec, &err), 0);
    assert_string_equal(config.env, "pendulum");
    assert_int_equal(config.seed, 7);
    assert_int_equal(config.eval_interval_env_steps, 0);
}

static void test_a_plugin_that_has_moved_is_asked_for(void **state)
{
    (void)state;
    write_run_file("config.yaml", "env: ./moved.so\n");
    give("run_dir", "run");
    give("resume", "true");
    assert_refused("./moved.so is not there: name its new place by --env");
}

static void test_resume_where_no_run_is_says_so(void **state)
{
    (void)state;
    give("run_dir", "nonesuch");
    give("resume", "true");
    assert_refused("there is no run in nonesuch");
}

static void test_a_directory_in_use_is_refused(void **state)
{
    (void)state;
    write_run_file("config.yaml", "env: pendulum\n");
    give("run_dir", "run");
    give("resume", "true");
    int fd = -1;
    assert_int_equal(fs_lock("run/lock", &fd, &err), 0);
    fflush(NULL);
    pid_t child = fork(); /* a lock is between processes */
    assert_true(child >= 0);
    if (child == 0) {
        int code = train_plan(&config, &spec, &err);
        _exit(code == ERR_BUSY && strstr(err.text, "another learner runs in run") ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    fs_unlock(&fd);
    assert_int_equal(status, 0);
    assert_int_equal(train_plan(&config, &spec, &err), 0);
    unlink("run/lock");
}

static void test_environments_of_an_actor_are_kept(void **state)
{
    (void)state;
    write_run_file("config.yaml", "env: pendulum\nenvs_per_actor: 4\n");
    give("run_dir", "run");
    give("resume", "true");
    assert_int_equal(train_plan(&config, &spec, &err), 0);
    assert_int_equal(config.envs_per_actor, 4);
}

static void test_resume_refuses_another_seed(void **state)
{
    (void)state;
    write_run_file("config.yaml", "env: pendulum\nseed: 7\n");
    give("run_dir", "run");
    give("resume", "true");
    give("seed", "8");
    assert_refused("seed");
}

static void test_values_that_cannot_go_together_are_refused(void **state)
{
    (void)state;
    give("env", "pendulum");
    give("total_env_steps", "1000");
    give("warmup_env_steps", "1000");
    assert_refused("warmup_env_steps");
}

static void test_a_taken_directory_gets_a_number(void **state)
{
    (void)state;
    char path[FS_PATH_MAX];
    setenv("TZ", "UTC", 1);
    mkdir("runs", 0700);
    train_plan_directory("pendulum", 0, path);
    assert_string_equal(path, "runs/pendulum-19700101-000000");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    train_plan_directory("pendulum", 0, path);
    assert_string_equal(path, "runs/pendulum-19700101-000000-2");
}

static void test_a_name_stays_one_directory(void **state)
{
    (void)state;
    char path[FS_PATH_MAX];
    setenv("TZ", "UTC", 1);
    train_plan_directory("lab:arm/left", 0, path);
    assert_string_equal(path, "runs/lab_arm_left-19700101-000000");
    train_plan_directory("mujoco:HalfCheetah-v5", 0, path);
    assert_string_equal(path, "runs/mujoco_HalfCheetah-v5-19700101-000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_known_environment_gets_its_preset_and_a_directory, setup),
        cmocka_unit_test_setup(test_no_environment_is_refused_with_those_there_are, setup),
        cmocka_unit_test_setup(test_an_unknown_environment_is_refused, setup),
        cmocka_unit_test_setup(test_a_plugin_that_is_not_there_is_refused, setup),
        cmocka_unit_test_setup(test_resume_without_a_directory_is_refused, setup),
        cmocka_unit_test_setup(test_a_directory_with_a_run_is_refused_without_resume, setup),
        cmocka_unit_test_setup(test_an_empty_directory_is_taken, setup),
        cmocka_unit_test_setup(test_resume_takes_the_environment_from_the_run, setup),
        cmocka_unit_test_setup(test_a_plugin_that_has_moved_is_asked_for, setup),
        cmocka_unit_test_setup(test_resume_where_no_run_is_says_so, setup),
        cmocka_unit_test_setup(test_a_directory_in_use_is_refused, setup),
        cmocka_unit_test_setup(test_environments_of_an_actor_are_kept, setup),
        cmocka_unit_test_setup(test_resume_refuses_another_seed, setup),
        cmocka_unit_test_setup(test_values_that_cannot_go_together_are_refused, setup),
        cmocka_unit_test_setup(test_a_taken_directory_gets_a_number, setup),
        cmocka_unit_test_setup(test_a_name_stays_one_directory, setup),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
