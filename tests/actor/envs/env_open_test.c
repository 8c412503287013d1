/* Finding an environment: by name, by path, and every reason why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "actor/envs/env_host.h"

#define PLUGIN(name) POLYAK_PLUGIN_DIR "/" name ".so"

/* Opening must fail with `code`, in one line that holds all of `words` (NULL-terminated). */
static void refused(const char *name, const char *options, int code, const char *const *words)
{
    EnvKind *kind = NULL;
    Err err = {""};
    assert_int_equal(env_kind_open(&(EnvSetup){.name = name, .options = options}, &kind, &err),
                     code);
    assert_null(kind);
    for (; *words; words++) {
        if (!strstr(err.text, *words))
            fail_msg("'%s' lacks '%s'", err.text, *words);
    }
    assert_null(strchr(err.text, '\n'));
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void test_every_builtin_opens_under_its_name(void **state)
{
    (void)state;
    int count = 0;
    for (const char *const *name = env_builtin_names(); *name; name++, count++) {
        EnvKind *kind = NULL;
        Err err = {""};
        if (env_kind_open(&(EnvSetup){.name = *name, .options = ""}, &kind, &err) != ERR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(env_kind_spec(kind)->name, *name);
        env_kind_close(&kind);
    }
    assert_int_equal(count, 3);
}

static void test_an_unknown_name_lists_the_known_and_names_the_nearest(void **state)
{
    (void)state;
    refused("pendulm", "", ERR_USAGE,
            WORDS("unknown environment 'pendulm'", "did you mean 'pendulum'?", "pendulum,",
                  "mountain_car_continuous,", "cartpole_swingup"));
    refused("cartpole", "", ERR_USAGE, WORDS("did you mean 'cartpole_swingup'?"));
    refused("mountain-car-continuous", "", ERR_USAGE,
            WORDS("did you mean 'mountain_car_continuous'?"));
}

static void test_a_name_like_no_other_is_given_no_nearest(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Err err = {""};
    char endless[1000];
    memset(endless, 'p', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    const char *const names[] = {"", "x", "humanoid", endless};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(env_kind_open(&(EnvSetup){.name = names[i], .options = ""}, &kind, &err),
                         ERR_USAGE);
        assert_null(strstr(err.text, "did you mean"));
        assert_non_null(strstr(err.text, "known: pendulum, mountain_car_continuous, "
                                         "cartpole_swingup, mujoco:TASK, gymnasium:ID, "));
    }
}

static void test_builtins_refuse_options(void **state)
{
    (void)state;
    for (const char *const *name = env_builtin_names(); *name; name++) {
        refused(*name, "g=9.81", ERR_USAGE, WORDS(*name, "only option is step_ms=N", "g=9.81"));
        refused(*name, "step_ms=", ERR_USAGE, WORDS("step_ms is a number from 0", "not ''"));
        refused(*name, "step_ms=-1", ERR_USAGE, WORDS("step_ms is a number from 0", "'-1'"));
        refused(*name, "step_ms=nan", ERR_USAGE, WORDS("step_ms is a number from 0"));
        refused(*name, "step_ms=5,g=1", ERR_USAGE, WORDS("not '5,g=1'"));
    }
}

static void test_no_options_are_like_empty_options(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Err err = {""};
    assert_int_equal(env_kind_open(&(EnvSetup){.name = "pendulum", .options = NULL}, &kind, &err),
                     ERR_OK);
    env_kind_close(&kind);
}

static void test_files_that_are_no_plugins_are_refused(void **state)
{
    (void)state;
    refused("/nowhere/mine.so", "", ERR_USAGE, WORDS("/nowhere/mine.so", "no such file"));
    refused("mine.so", "", ERR_USAGE, WORDS("mine.so", "no such file"));
    refused(POLYAK_PLUGIN_DIR "/", "", ERR_IO, WORDS("cannot be loaded", POLYAK_PLUGIN_DIR));
    refused(POLYAK_SOURCE_DIR "/LICENSE", "", ERR_IO, WORDS("cannot be loaded", "LICENSE"));
    refused(PLUGIN("bad_no_symbol"), "", ERR_IO, WORDS("bad_no_symbol.so", "polyak_env_api"));
    refused(PLUGIN("bad_null_table"), "", ERR_IO, WORDS("bad_null_table.so", "no table"));
}

static void test_another_abi_is_refused_with_both_versions_and_what_to_do(void **state)
{
    (void)state;
    refused(PLUGIN("bad_abi_old"), "", ERR_VERSION,
            WORDS("version 0", "this program has 1", "build the plugin again"));
    refused(PLUGIN("bad_abi_new"), "", ERR_VERSION,
            WORDS("version 99", "this program has 1", "use a newer Polyak"));
}

static void test_an_incomplete_table_is_refused(void **state)
{
    (void)state;
    refused(PLUGIN("bad_short_table"), "", ERR_SPEC, WORDS("lacks the required function step"));
    refused(PLUGIN("bad_half_state"), "", ERR_SPEC, WORDS("1 of state_bytes", "all three or none"));
}

static void test_an_unsound_spec_is_refused(void **state)
{
    (void)state;
    const char *const bad = PLUGIN("bad_spec");
    refused(bad, "fault=infinite_bound", ERR_SPEC, WORDS("action 1", "inf", "finite"));
    refused(bad, "fault=nan_bound", ERR_SPEC, WORDS("action 0", "nan", "finite"));
    refused(bad, "fault=inverted_bounds", ERR_SPEC, WORDS("action 1", "[2, 1]", "low < high"));
    refused(bad, "fault=obs_dim_0", ERR_SPEC, WORDS("obs_dim 0", "4096"));
    refused(bad, "fault=obs_dim_5000", ERR_SPEC, WORDS("obs_dim 5000", "4096"));
    refused(bad, "fault=act_dim_129", ERR_SPEC, WORDS("act_dim 129", "128"));
    refused(bad, "fault=step_limit", ERR_SPEC, WORDS("step_limit -1"));
    refused(bad, "fault=endless_name", ERR_SPEC, WORDS("name", "127"));
    refused(bad, "fault=unprintable_name", ERR_SPEC, WORDS("name", "letters"));
}

static void test_a_plugin_that_cannot_create_is_quoted_on_one_line(void **state)
{
    (void)state;
    const char *const bad = PLUGIN("bad_spec");
    refused(bad, "fault=create", ERR_ENV, WORDS("cannot be created", "no licence?found"));
    refused(bad, "fault=no_instance", ERR_ENV, WORDS("cannot be created", "gives no reason"));
    refused(bad, "fault=spec", ERR_ENV, WORDS("the model file is gone"));
    refused(bad, "typo=1", ERR_USAGE, WORDS("bad options", "xxxx"));
    refused(PLUGIN("nan_env"), "after=3,typo=1", ERR_USAGE, WORDS("bad options", "typo=1"));
}

static void test_a_task_of_mujoco_is_the_plugins_option(void **state)
{
    (void)state;
    /* A stand-in where the plugin is looked for: it names the options that it does not know. */
    char directory[] = "/tmp/polyak-env-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/env_mujoco.so", directory);
    assert_int_equal(setenv("POLYAK_PLUGIN_DIR", directory, 1), 0);
    refused(
        "mujoco:Ant-v5", "", ERR_MISSING,
        WORDS("mujoco:Ant-v5 needs MuJoCo", "scripts/setup.sh --mujoco", "build again", directory));
    assert_int_equal(symlink(PLUGIN("nan_env"), path), 0);
    refused("mujoco:Ant-v5", "", ERR_USAGE, WORDS("mujoco:Ant-v5: bad options", "task=Ant-v5"));
    refused("mujoco:./a/b.yaml", "limit=3", ERR_USAGE, WORDS("mujoco:./a/b.yaml", "task=./a/b"));
    refused("mujoco:", "", ERR_USAGE, WORDS("lacks its TASK", "mujoco:HalfCheetah-v5"));
    refused("mujoco:a,b=1", "", ERR_USAGE, WORDS("no comma"));
    assert_int_equal(unsetenv("POLYAK_PLUGIN_DIR"), 0);
    unlink(path);
    rmdir(directory);
}

/* Where this build has MuJoCo: found beside the program, without any variable. */
static void test_a_task_of_mujoco_opens_where_it_is_built(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Err err = {""};
    if (access(POLYAK_BIN_DIR "/../lib/polyak/env_mujoco.so", F_OK) != 0) {
        print_message("SKIPPED: this build has no MuJoCo (scripts/setup.sh --mujoco)\n");
        skip();
    }
    if (env_kind_open(&(EnvSetup){.name = "mujoco:HalfCheetah-v5"}, &kind, &err) != ERR_OK)
        fail_msg("%s", err.text);
    const Spec *spec = env_kind_spec(kind);
    assert_string_equal(spec->name, "mujoco:HalfCheetah-v5");
    assert_int_equal(spec->obs_dim, 17);
    assert_int_equal(spec->act_dim, 6);
    assert_int_equal(spec->step_limit, 1000);
    env_kind_close(&kind);
    refused("mujoco:HalfCheetah-v9", "", ERR_USAGE, WORDS("HalfCheetah-v9"));
}

static void test_what_gymnasium_needs_is_named_where_it_is_not_there(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Err err = {""};
    EnvSetup setup = {.name = "gymnasium:Pendulum-v1", .python = "/nowhere/python"};
    int rc = env_kind_open(&setup, &kind, &err);
    assert_true(rc == ERR_MISSING || rc == ERR_USAGE);
    assert_non_null(strstr(err.text, "/nowhere/python"));
    assert_null(strchr(err.text, '\n'));
    refused("gymnasium:", "", ERR_USAGE, WORDS("lacks its ID", "gymnasium:Pendulum-v1"));
}

static void test_an_instance_with_another_spec_is_refused(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Env *env = NULL;
    Err err = {""};
    assert_int_equal(
        env_kind_open(&(EnvSetup){.name = PLUGIN("bad_spec"), .options = "fault=unequal"}, &kind,
                      &err),
        ERR_OK);
    assert_int_equal(env_new(kind, &env, &err), ERR_ENV);
    assert_non_null(strstr(err.text, "different specs"));
    env_kind_close(&kind);
}

static void test_a_reset_that_goes_wrong_is_reported(void **state)
{
    (void)state;
    const char *const faults[] = {"fault=nan_reset", "fault=unknown_code"};
    const int codes[] = {ERR_DIVERGED, ERR_ENV};
    const char *const words[] = {"observation 0 is nan", "unknown code 77"};
    for (int i = 0; i < 2; i++) {
        EnvKind *kind = NULL;
        Env *env = NULL;
        Err err = {""};
        float obs[1];
        assert_int_equal(
            env_kind_open(&(EnvSetup){.name = PLUGIN("bad_spec"), .options = faults[i]}, &kind,
                          &err),
            ERR_OK);
        assert_int_equal(env_new(kind, &env, &err), ERR_OK);
        assert_int_equal(env_reset(env, 1, obs, &err), codes[i]);
        assert_non_null(strstr(err.text, words[i]));
        env_destroy(&env);
        env_kind_close(&kind);
    }
}

static void test_a_plugin_in_the_current_directory_needs_no_slash(void **state)
{
    (void)state;
    char before[4096];
    EnvKind *kind = NULL;
    Err err = {""};
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(POLYAK_PLUGIN_DIR), 0);
    int rc = env_kind_open(&(EnvSetup){.name = "nan_env.so", .options = "after=3"}, &kind, &err);
    assert_int_equal(chdir(before), 0);
    if (rc != ERR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(env_kind_spec(kind)->name, "test_nan_env");
    env_kind_close(&kind);
}

#ifdef POLYAK_HAVE_CXX_PLUGIN
static void test_a_plugin_in_cxx_runs_and_repeats_from_a_saved_state(void **state)
{
    (void)state;
    EnvKind *kind = NULL;
    Env *env = NULL;
    Err err = {""};
    EnvOutcome outcome;
    char saved[128];
    float obs, first[20];
    if (env_kind_open(&(EnvSetup){.name = PLUGIN("cxx_env"), .options = ""}, &kind, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(env_new(kind, &env, &err), ERR_OK);
    assert_true(env_state_bytes(env) <= sizeof saved);
    assert_int_equal(env_reset(env, 7, &obs, &err), ERR_OK);
    assert_int_equal(env_state_get(env, saved, &err), ERR_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(env_step(env, &(float){0.5f}, &first[i], &outcome, &err), ERR_OK);
    assert_true(first[18] != first[19]);
    assert_int_equal(env_state_set(env, saved, &obs, &err), ERR_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(env_step(env, &(float){0.5f}, &obs, &outcome, &err), ERR_OK);
        assert_true(obs == first[i]);
    }
    env_destroy(&env);
    env_kind_close(&kind);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_builtin_opens_under_its_name),
        cmocka_unit_test(test_an_unknown_name_lists_the_known_and_names_the_nearest),
        cmocka_unit_test(test_a_name_like_no_other_is_given_no_nearest),
        cmocka_unit_test(test_builtins_refuse_options),
        cmocka_unit_test(test_no_options_are_like_empty_options),
        cmocka_unit_test(test_files_that_are_no_plugins_are_refused),
        cmocka_unit_test(test_another_abi_is_refused_with_both_versions_and_what_to_do),
        cmocka_unit_test(test_an_incomplete_table_is_refused),
        cmocka_unit_test(test_an_unsound_spec_is_refused),
        cmocka_unit_test(test_a_plugin_that_cannot_create_is_quoted_on_one_line),
        cmocka_unit_test(test_a_task_of_mujoco_is_the_plugins_option),
        cmocka_unit_test(test_a_task_of_mujoco_opens_where_it_is_built),
        cmocka_unit_test(test_what_gymnasium_needs_is_named_where_it_is_not_there),
        cmocka_unit_test(test_an_instance_with_another_spec_is_refused),
        cmocka_unit_test(test_a_reset_that_goes_wrong_is_reported),
        cmocka_unit_test(test_a_plugin_in_the_current_directory_needs_no_slash),
#ifdef POLYAK_HAVE_CXX_PLUGIN
        cmocka_unit_test(test_a_plugin_in_cxx_runs_and_repeats_from_a_saved_state),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
