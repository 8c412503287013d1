#include "cli/train/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static Launch launch;
static Config config;
static char made[2][FS_PATH_MAX + 32]; /* programs that this test put beside itself */

static int setup(void **state)
{
    (void)state;
    launch = (Launch){.endpoint = "ipc:///private/uplink",
                      .learner = "/bin/polyak-learner",
                      .actor = "/bin/polyak-actor"};
    config_init(&config);
    return 0;
}

static void give(const char *key, const char *text, ConfigSource source)
{
    Err err;
    assert_int_equal(config_set(&config, key, text, source, &err), 0);
}

static int count_of(char **args, const char *arg)
{
    int count = 0;
    for (; *args; args++)
        count += strcmp(*args, arg) == 0;
    return count;
}

static int count_with_prefix(char **args, const char *prefix)
{
    int count = 0;
    for (; *args; args++)
        count += strncmp(*args, prefix, strlen(prefix)) == 0;
    return count;
}

static void test_the_learner_is_told_what_was_given_and_where_it_runs(void **state)
{
    (void)state;
    give("env", "pendulum", CONFIG_FLAG);
    give("sigma", "0.3", CONFIG_FILE);
    give("envs_per_actor", "4", CONFIG_FLAG);
    give("run_dir", "a dir/with spaces", CONFIG_FLAG);
    give("tau", "0.005", CONFIG_PRESET);
    char **args = launch_learner_args(&launch, &config);
    assert_non_null(args);
    assert_string_equal(args[0], "/bin/polyak-learner");
    assert_int_equal(count_of(args, "--bind=ipc:///private/uplink"), 1);
    assert_int_equal(count_of(args, "--progress=off"), 1);
    assert_int_equal(count_of(args, "--resume=true"), 1);
    assert_int_equal(count_of(args, "--run-dir=a dir/with spaces"), 1);
    assert_int_equal(count_with_prefix(args, "--run-dir="), 1);
    assert_int_equal(count_of(args, "--env=pendulum"), 1);
    assert_int_equal(count_of(args, "--sigma=0.3"), 1);
    assert_int_equal(count_of(args, "--envs-per-actor=4"), 1); /* for the run's config.yaml */
    /* Presets, stored values and defaults are the learner's own to find. */
    assert_int_equal(count_with_prefix(args, "--tau="), 0);
    assert_int_equal(count_with_prefix(args, "--gamma="), 0);
    launch_free_args(args);
}

static void test_progress_is_never_the_learners(void **state)
{
    (void)state;
    give("progress", "auto", CONFIG_FLAG);
    char **args = launch_learner_args(&launch, &config);
    assert_int_equal(count_of(args, "--progress=off"), 1);
    assert_int_equal(count_with_prefix(args, "--progress="), 1);
    launch_free_args(args);
}

static void test_an_actor_gets_the_environment_also_when_it_is_stored(void **state)
{
    (void)state;
    give("env", "pendulum", CONFIG_STORED);
    give("env_options", "step_limit=100", CONFIG_STORED);
    give("envs_per_actor", "3", CONFIG_STORED);
    give("python", ".venv/bin/python", CONFIG_STORED);
    give("env_step_timeout_ms", "2500", CONFIG_STORED);
    give("env_restarts_max", "2", CONFIG_STORED);
    char **args = launch_actor_args(&launch, &config, 1);
    assert_non_null(args);
    assert_string_equal(args[0], "/bin/polyak-actor");
    assert_int_equal(count_of(args, "--connect=ipc:///private/uplink"), 1);
    assert_int_equal(count_of(args, "--env=pendulum"), 1);
    assert_int_equal(count_of(args, "--env-options=step_limit=100"), 1);
    assert_int_equal(count_of(args, "--envs-per-actor=3"), 1);
    assert_int_equal(count_of(args, "--python=.venv/bin/python"), 1);
    assert_int_equal(count_of(args, "--env-step-timeout-ms=2500"), 1);
    assert_int_equal(count_of(args, "--env-restarts-max=2"), 1);
    assert_int_equal(count_of(args, "--name=actor-1"), 1);
    assert_int_equal(count_with_prefix(args, "--role="), 0);
    launch_free_args(args);
}

static void test_no_flag_is_given_twice(void **state)
{
    (void)state;
    give("env", "pendulum", CONFIG_FLAG);
    give("env_options", "a=b", CONFIG_FLAG);
    give("envs_per_actor", "4", CONFIG_FLAG);
    char **args = launch_actor_args(&launch, &config, 0);
    assert_int_equal(count_with_prefix(args, "--env="), 1);
    assert_int_equal(count_with_prefix(args, "--env-options="), 1);
    assert_int_equal(count_with_prefix(args, "--envs-per-actor="), 1);
    launch_free_args(args);
}

static void test_the_evaluator_has_its_role_and_one_environment(void **state)
{
    (void)state;
    give("env", "pendulum", CONFIG_FLAG);
    give("envs_per_actor", "4", CONFIG_FLAG);
    char **args = launch_actor_args(&launch, &config, -1);
    assert_int_equal(count_of(args, "--role=evaluator"), 1);
    assert_int_equal(count_of(args, "--name=evaluator"), 1);
    assert_int_equal(count_of(args, "--envs-per-actor=1"), 1);
    assert_int_equal(count_with_prefix(args, "--envs-per-actor="), 1);
    launch_free_args(args);
}

/* --- The private directory: this test's program has no learner beside it, so one is made. --------
 */

static void make_programs(char *directory, size_t directory_bytes)
{
    ssize_t length = readlink("/proc/self/exe", directory, directory_bytes - 1);
    assert_true(length > 0);
    directory[length] = '\0';
    *strrchr(directory, '/') = '\0';
    static const char *const names[] = {"polyak-learner", "polyak-actor"};
    for (int i = 0; i < 2; i++) {
        char path[FS_PATH_MAX + 32];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        if (access(path, X_OK) == 0)
            continue;
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
        assert_int_equal(chmod(path, 0755), 0);
        memcpy(made[i], path, sizeof path);
    }
}

static int remove_programs(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        if (made[i][0] != '\0')
            unlink(made[i]);
    return 0;
}

static void test_the_directory_is_private_and_leaves_nothing_behind(void **state)
{
    (void)state;
    char directory[FS_PATH_MAX];
    Err err = {""};
    make_programs(directory, sizeof directory);
    unsetenv("XDG_RUNTIME_DIR");
    assert_int_equal(launch_open(&launch, &err), 0);
    struct stat status;
    assert_int_equal(stat(launch.directory, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(strncmp(launch.endpoint, "ipc:///", 7), 0);

    /* The longest socket of a run can be bound, and goes with the directory. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s.weights",
                          launch.endpoint + strlen("ipc://"));
    assert_true(length < (int)sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    char gone[LAUNCH_DIRECTORY_MAX + 1];
    snprintf(gone, sizeof gone, "%s", launch.directory);
    launch_close(&launch);
    assert_int_equal(stat(gone, &status), -1);
}

static void test_a_directory_that_is_too_long_or_missing_is_passed_over(void **state)
{
    (void)state;
    char directory[FS_PATH_MAX];
    char long_path[200];
    Err err = {""};
    make_programs(directory, sizeof directory);
    memset(long_path, 'x', sizeof long_path);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    setenv("XDG_RUNTIME_DIR", long_path, 1);
    setenv("TMPDIR", "/there/is/no/such", 1);
    assert_int_equal(launch_open(&launch, &err), 0);
    assert_int_equal(strncmp(launch.directory, "/tmp/polyak-", 12), 0);
    launch_close(&launch);
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("TMPDIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_learner_is_told_what_was_given_and_where_it_runs, setup),
        cmocka_unit_test_setup(test_progress_is_never_the_learners, setup),
        cmocka_unit_test_setup(test_an_actor_gets_the_environment_also_when_it_is_stored, setup),
        cmocka_unit_test_setup(test_no_flag_is_given_twice, setup),
        cmocka_unit_test_setup(test_the_evaluator_has_its_role_and_one_environment, setup),
        cmocka_unit_test_setup(test_the_directory_is_private_and_leaves_nothing_behind, setup),
        cmocka_unit_test_setup(test_a_directory_that_is_too_long_or_missing_is_passed_over, setup),
    };
    return cmocka_run_group_tests(tests, NULL, remove_programs);
}
