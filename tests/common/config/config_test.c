#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/config/config.h"
#include "common/config/config_table.h"

static void set(Config *config, const char *key, const char *text, ConfigSource source)
{
    Err err = {""};
    if (config_set(config, key, text, source, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static ConfigSource source_of(const Config *config, const char *key)
{
    return (ConfigSource)config->source[config_key_number(config_key_find(key))];
}

/* Writes text to a new temporary file and gives back its path. */
static const char *temporary_file(const char *text)
{
    static char path[64];
    strcpy(path, "/tmp/config_test.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_defaults_are_those_of_the_table(void **state)
{
    (void)state;
    Config config;
    memset(&config, 0xFF, sizeof config);
    config_init(&config);
    assert_int_equal(config.batch, 64);
    assert_true(config.critic_lr == 1e-3);
    assert_string_equal(config.env, "");
    assert_string_equal(config.bind, "tcp://127.0.0.1:5555");
    assert_int_equal(config.noise, NOISE_OU);
    assert_int_equal(config.hidden.count, 2);
    assert_int_equal(config.hidden.size[0], 400);
    assert_int_equal(config.hidden.size[1], 300);
    assert_int_equal(config.replay_capacity.steps, 1000000);
    assert_int_equal(config.replay_capacity.bytes, 0);
    assert_false(config.sync);
    assert_int_equal(source_of(&config, "batch"), CONFIG_DEFAULT);
}

static void test_the_higher_source_wins_in_any_order(void **state)
{
    (void)state;
    static const char *const texts[] = {"10", "11", "12", "13", "14"}; /* by source */
    /* All orders of the five sources, as the numbers 0…5^5 without repeats. */
    for (int order = 0; order < 3125; order++) {
        unsigned seen = 0;
        for (int i = 0, rest = order; i < 5; i++, rest /= 5)
            seen |= 1U << (rest % 5);
        Config config;
        config_init(&config);
        int highest = 0;
        for (int i = 0, rest = order; i < 5; i++, rest /= 5) {
            ConfigSource source = (ConfigSource)(rest % 5);
            set(&config, "batch", texts[source], source);
            highest = (int)source > highest ? (int)source : highest;
            assert_int_equal(config.batch, 10 + highest);
            assert_int_equal(source_of(&config, "batch"), highest);
        }
        assert_true(seen != 31 || config.batch == 14);
    }
}

static void test_the_last_value_of_a_source_wins(void **state)
{
    (void)state;
    Config config;
    config_init(&config);
    set(&config, "batch", "7", CONFIG_FLAG);
    set(&config, "batch", "8", CONFIG_FLAG);
    assert_int_equal(config.batch, 8);
}

static void test_a_refused_value_changes_nothing(void **state)
{
    (void)state;
    Config config;
    Err err;
    config_init(&config);
    set(&config, "hidden", "5,6,7", CONFIG_FILE);
    assert_int_equal(config_set(&config, "hidden", "1,2,x", CONFIG_FLAG, &err), ERR_USAGE);
    assert_int_equal(config.hidden.count, 3);
    assert_int_equal(source_of(&config, "hidden"), CONFIG_FILE);
    /* A bad value is refused also where a higher source has a good one. */
    assert_int_equal(config_set(&config, "hidden", "0", CONFIG_PRESET, &err), ERR_USAGE);
    assert_int_equal(config_set(&config, "hidden", "0", CONFIG_PRESET, NULL), ERR_USAGE);
}

static void test_a_message_names_key_or_flag_by_source(void **state)
{
    (void)state;
    Config config;
    Err err;
    config_init(&config);
    assert_int_equal(config_set(&config, "actor_lr", "2", CONFIG_FILE, &err), ERR_USAGE);
    assert_string_equal(err.text, "actor_lr: 2 is out of range 0…1");
    assert_int_equal(config_set(&config, "actor_lr", "2", CONFIG_FLAG, &err), ERR_USAGE);
    assert_string_equal(err.text, "--actor-lr: 2 is out of range 0…1");
    assert_int_equal(config_set(&config, "batch_size", "2", CONFIG_FILE, &err), ERR_USAGE);
    assert_string_equal(err.text, "unknown key batch_size; did you mean batch?");
    assert_int_equal(config_set(&config, "learning_starts", "2", CONFIG_FILE, &err), ERR_USAGE);
    assert_string_equal(err.text, "unknown key learning_starts");
}

static void test_a_preset_yields_to_what_a_person_says(void **state)
{
    (void)state;
    Config config;
    Err err;
    config_init(&config);
    set(&config, "batch", "32", CONFIG_FLAG);
    set(&config, "tau", "0.01", CONFIG_FILE);
    assert_int_equal(config_apply_preset(&config, "pendulum", &err), ERR_OK);
    assert_int_equal(config.batch, 32);
    assert_true(config.tau == 0.01);
    assert_int_equal(config.hidden.size[0], 64);
    assert_int_equal(source_of(&config, "hidden"), CONFIG_PRESET);

    Config before = config;
    assert_int_equal(config_apply_preset(&config, "nobody_knows_it", &err), ERR_OK);
    assert_memory_equal(&before, &config, sizeof config);
}

static const char stored_run[] = "env: \"pendulum\"\n"
                                 "batch: 100\n"
                                 "hidden: [64, 64]\n"
                                 "actors: 4\n"
                                 "bind: \"tcp://0.0.0.0:1\"\n";

static void test_resume_takes_the_values_of_the_run(void **state)
{
    (void)state;
    Config config;
    Err err = {""};
    config_init(&config);
    const char *path = temporary_file(stored_run);
    assert_int_equal(config_resume(&config, path, &err), ERR_OK);
    unlink(path);
    assert_int_equal(config.batch, 100);
    assert_int_equal(config.actors, 4);
    assert_int_equal(source_of(&config, "batch"), CONFIG_STORED);
    /* Where it runs is not part of the run. */
    assert_string_equal(config.bind, "tcp://127.0.0.1:5555");
    assert_int_equal(source_of(&config, "bind"), CONFIG_DEFAULT);
    /* The preset of today does not change the run, not even a key that the file does not know. */
    assert_int_equal(config_apply_preset(&config, "pendulum", &err), ERR_OK);
    assert_true(config.gamma == 0.99);
    assert_int_equal(config.warmup_env_steps, 10000);
}

static void test_resume_lets_tunable_keys_change(void **state)
{
    (void)state;
    Config config;
    Err err = {""};
    config_init(&config);
    set(&config, "actors", "8", CONFIG_FLAG);
    set(&config, "total_env_steps", "5", CONFIG_FILE);
    set(&config, "batch", "100", CONFIG_FLAG); /* the run's own value */
    set(&config, "hidden", "64, 64", CONFIG_FILE);
    const char *path = temporary_file(stored_run);
    if (config_resume(&config, path, &err) != ERR_OK)
        fail_msg("%s", err.text);
    unlink(path);
    assert_int_equal(config.actors, 8);
    assert_int_equal(config.total_env_steps, 5);
    assert_string_equal(config.env, "pendulum");
}

static void test_resume_refuses_a_contradiction(void **state)
{
    (void)state;
    const struct {
        const char *key, *text, *message;
        ConfigSource source;
    } cases[] = {
        {"batch", "64", "batch is \"100\" in this run and cannot become \"64\": ", CONFIG_FLAG},
        {"hidden", "64", "hidden is \"64,64\" in this run and cannot become \"64\": ", CONFIG_FILE},
        /* Not in the file: the run had the default. */
        {"gamma", "0.5", "gamma is \"0.99\" in this run and cannot become \"0.5\": ", CONFIG_FLAG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Config config;
        Err err = {""};
        config_init(&config);
        set(&config, cases[i].key, cases[i].text, cases[i].source);
        Config before = config;
        const char *path = temporary_file(stored_run);
        assert_int_equal(config_resume(&config, path, &err), ERR_USAGE);
        unlink(path);
        assert_memory_equal(&before, &config, sizeof config);
        assert_int_equal(strncmp(err.text, cases[i].message, strlen(cases[i].message)), 0);
        assert_non_null(strstr(err.text, "marks what may change"));
    }
}

static int resume_with_env(const char *stored, const char *given, Config *config)
{
    char yaml[128];
    Err err = {""};
    config_init(config);
    set(config, "env", given, CONFIG_FLAG);
    snprintf(yaml, sizeof yaml, "env: \"%s\"\nbatch: 100\n", stored);
    const char *path = temporary_file(yaml);
    int code = config_resume(config, path, &err);
    unlink(path);
    return code;
}

static void test_a_plugin_may_have_moved(void **state)
{
    (void)state;
    Config config;
    assert_int_equal(resume_with_env("./hold.so", "/srv/hold.so", &config), ERR_OK);
    assert_string_equal(config.env, "/srv/hold.so");
    assert_int_equal(config.batch, 100);
    /* The run took the environment from its actors. */
    assert_int_equal(resume_with_env("", "pendulum", &config), ERR_OK);
    assert_string_equal(config.env, "pendulum");
    assert_int_equal(resume_with_env("pendulum", "./pendulum.so", &config), ERR_USAGE);
    assert_int_equal(resume_with_env("./hold.so", "pendulum", &config), ERR_USAGE);
    assert_int_equal(resume_with_env("pendulum", "cartpole_swingup", &config), ERR_USAGE);
}

static void test_what_was_not_given_before_the_environment_came_is_for_its_preset(void **state)
{
    (void)state;
    Config config;
    Err err = {""};
    char *yaml = NULL;
    config_init(&config);
    set(&config, "batch", "64", CONFIG_FLAG); /* the default, and said all the same */
    set(&config, "seed", "7", CONFIG_FILE);
    set(&config, "bind", "tcp://0.0.0.0:1", CONFIG_FLAG);
    assert_int_equal(config_given_to_yaml(&config, &yaml, &err), ERR_OK);
    assert_null(strstr(yaml, "bind"));
    const char *path = temporary_file(yaml);
    free(yaml);
    config_init(&config);
    if (config_resume(&config, path, &err) != ERR_OK)
        fail_msg("%s", err.text);
    unlink(path);
    assert_int_equal(config_apply_preset(&config, "pendulum", &err), ERR_OK);
    assert_int_equal(config.seed, 7);
    assert_int_equal(config.batch, 64);
    assert_int_equal(config.hidden.size[0], 64);
    assert_int_equal(source_of(&config, "batch"), CONFIG_STORED);
    assert_int_equal(source_of(&config, "hidden"), CONFIG_PRESET);
}

static void test_resume_refuses_an_empty_file(void **state)
{
    (void)state;
    Config config;
    Err err = {""};
    config_init(&config);
    const char *path = temporary_file("# nothing\n");
    assert_int_equal(config_resume(&config, path, &err), ERR_FORMAT);
    unlink(path);
    assert_non_null(strstr(err.text, "holds no configuration of a run"));
    assert_true(config_resume(&config, "/nonexistent/config.yaml", &err) < 0);
}

static void check_cross(const char *const pairs[], const char *message)
{
    Config config;
    Err err = {""};
    config_init(&config);
    for (size_t i = 0; pairs[i]; i += 2)
        set(&config, pairs[i], pairs[i + 1], CONFIG_FLAG);
    int code = config_check(&config, &err);
    assert_int_equal(code, message ? ERR_USAGE : ERR_OK);
    if (message)
        assert_string_equal(err.text, message);
}

static void test_values_that_cannot_go_together_are_refused(void **state)
{
    (void)state;
#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})
    check_cross((const char *const[]){NULL}, NULL);
    check_cross(SET("total_env_steps", "10001"), NULL);
    check_cross(SET("total_env_steps", "10000"),
                "warmup_env_steps (10000) must be below total_env_steps (10000): nothing would be "
                "learned");
    check_cross(SET("total_env_steps", "63", "warmup_env_steps", "0"),
                "batch (64) must not be above total_env_steps (63): nothing would be learned");
    check_cross(SET("replay_capacity", "64"), NULL);
    check_cross(SET("replay_capacity", "64", "batch", "65"),
                "replay_capacity (64 steps) must hold a batch (65)");
    check_cross(SET("replay_capacity", "63", "batch", "32"),
                "replay_capacity (63 steps) must hold a segment (segment_steps 64)");
    check_cross(SET("replay_capacity", "1KiB"), NULL);
    check_cross(SET("ou_theta", "0.5", "ou_dt", "4"), NULL);
    check_cross(SET("ou_theta", "0.5", "ou_dt", "5"),
                "ou_theta x ou_dt (2.5) must not be above 2: the noise would grow for ever");
    check_cross(SET("ou_theta", "0.5", "ou_dt", "5", "noise", "gaussian"), NULL);
    check_cross(
        SET("publish_interval_ms", "60001"),
        "publish_interval_ms (60001) must not be above policy_age_s_max (60 s): every actor "
        "would pause before new weights come");
    check_cross(SET("publish_interval_ms", "60001", "policy_age_s_max", "0"), NULL);
#undef SET
}

static void test_values_of_a_person_are_handed_on_as_flags(void **state)
{
    (void)state;
    Config config;
    Err err = {""};
    config_init(&config);
    set(&config, "env", "./my env.so", CONFIG_FLAG);
    set(&config, "envs_per_actor", "8", CONFIG_FILE);
    set(&config, "env_options", "", CONFIG_FLAG); /* said, though it is the default */
    set(&config, "batch", "32", CONFIG_FLAG);     /* not the actor's */
    assert_int_equal(config_apply_preset(&config, "pendulum", &err), ERR_OK);
    char **flags;
    int num_flags;
    assert_int_equal(config_to_flags(&config, CONFIG_ACTOR, &flags, &num_flags, &err), ERR_OK);
    assert_int_equal(num_flags, 3);
    assert_string_equal(flags[0], "--env=./my env.so");
    assert_string_equal(flags[1], "--env-options=");
    assert_string_equal(flags[2], "--envs-per-actor=8");
    assert_null(flags[3]);
    for (int i = 0; i < num_flags; i++)
        free(flags[i]);
    free(flags);
}

static void test_handed_on_flags_give_the_same_values(void **state)
{
    (void)state;
    Config config;
    Err err = {""};
    config_init(&config);
    set(&config, "replay_capacity", "3MiB", CONFIG_FLAG);
    set(&config, "hidden", "1,2,3", CONFIG_FILE);
    set(&config, "gamma", "0.123456789012345678", CONFIG_FLAG);
    set(&config, "sync", "false", CONFIG_FLAG);
    set(&config, "resume", "true", CONFIG_FLAG);
    set(&config, "noise", "gaussian", CONFIG_FLAG);
    char **flags;
    int num_flags;
    assert_int_equal(config_to_flags(&config, CONFIG_TRAIN, &flags, &num_flags, &err), ERR_OK);
    assert_int_equal(num_flags, 6);
    char *argv[8] = {(char *)"polyak"};
    for (int i = 0; i < num_flags; i++)
        argv[i + 1] = flags[i];
    Config child;
    bool done;
    config_init(&child);
    if (config_parse_args(&child, CONFIG_TRAIN, "polyak train", "", num_flags + 1, argv, &done,
                          &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(&config, &child, offsetof(Config, source));
    for (int i = 0; i < num_flags; i++)
        free(flags[i]);
    free(flags);
}

static void test_a_live_key_is_set_while_the_run_goes_on(void **state)
{
    (void)state;
    Config config;
    Err err;
    char name[CONFIG_NAME_MAX + 1];
    config_init(&config);
    assert_int_equal(config_set_live(&config, "updates_per_env_step=0.5", name, &err), ERR_OK);
    assert_string_equal(name, "updates_per_env_step");
    assert_true(config.updates_per_env_step == 0.5);
}

static void test_a_key_that_is_not_live_is_refused_with_those_that_are(void **state)
{
    (void)state;
    static const char *const refused[] = {"gamma=0.5", "batch=3"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        Config config;
        Err err;
        char name[CONFIG_NAME_MAX + 1];
        config_init(&config);
        assert_int_equal(config_set_live(&config, refused[i], name, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, "updates_per_env_step"));
        assert_int_equal(config.batch, 64);
    }
}

static void test_a_key_that_is_none_names_the_nearest(void **state)
{
    (void)state;
    Config config;
    Err err;
    char name[CONFIG_NAME_MAX + 1];
    config_init(&config);
    assert_int_equal(config_set_live(&config, "update_per_env_step=1", name, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "updates_per_env_step"));
}

static void test_a_live_key_outside_its_range_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {"updates_per_env_step=-1", "actor_lr=x", "actor_lr="};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        Config config;
        Err err;
        char name[CONFIG_NAME_MAX + 1];
        config_init(&config);
        assert_int_equal(config_set_live(&config, refused[i], name, &err), ERR_USAGE);
        assert_true(config.updates_per_env_step == 1.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_those_of_the_table),
        cmocka_unit_test(test_the_higher_source_wins_in_any_order),
        cmocka_unit_test(test_the_last_value_of_a_source_wins),
        cmocka_unit_test(test_a_refused_value_changes_nothing),
        cmocka_unit_test(test_a_message_names_key_or_flag_by_source),
        cmocka_unit_test(test_a_preset_yields_to_what_a_person_says),
        cmocka_unit_test(test_resume_takes_the_values_of_the_run),
        cmocka_unit_test(test_resume_lets_tunable_keys_change),
        cmocka_unit_test(test_resume_refuses_a_contradiction),
        cmocka_unit_test(test_a_plugin_may_have_moved),
        cmocka_unit_test(test_what_was_not_given_before_the_environment_came_is_for_its_preset),
        cmocka_unit_test(test_resume_refuses_an_empty_file),
        cmocka_unit_test(test_values_that_cannot_go_together_are_refused),
        cmocka_unit_test(test_values_of_a_person_are_handed_on_as_flags),
        cmocka_unit_test(test_handed_on_flags_give_the_same_values),
        cmocka_unit_test(test_a_live_key_is_set_while_the_run_goes_on),
        cmocka_unit_test(test_a_key_that_is_not_live_is_refused_with_those_that_are),
        cmocka_unit_test(test_a_key_that_is_none_names_the_nearest),
        cmocka_unit_test(test_a_live_key_outside_its_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
