#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/config/config_table.h"

static void test_names_are_unique_and_well_formed(void **state)
{
    (void)state;
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        assert_ptr_equal(config_key_find(key->name), key);
        assert_int_equal(config_key_number(key), i);
        assert_int_equal(strspn(key->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(key->name));
        assert_true(strlen(key->name) + 3 < CONFIG_LABEL_BYTES);
        assert_true(key->programs != 0);
        assert_true(key->help[0] != '\0');
        assert_string_not_equal(config_key_group(key), "");
        /* These are flags of every program. */
        assert_string_not_equal(key->name, "help");
        assert_string_not_equal(key->name, "version");
        assert_string_not_equal(key->name, "config");
    }
    assert_null(config_key_find("batchsize"));
    assert_null(config_key_find(""));
}

static void test_every_default_is_in_its_own_range(void **state)
{
    (void)state;
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        ConfigValue value;
        ConfigValue parsed;
        char text[CONFIG_VALUE_TEXT_BYTES];
        Err err = {""};
        config_value_default(key, &value);
        config_value_format(key, &value, text);
        if (config_value_parse(key, key->name, text, &parsed, &err) != ERR_OK)
            fail_msg("%s", err.text);
        assert_memory_equal(&value, &parsed, key->size);
        if (key->type == CONFIG_TYPE_INT)
            assert_true(key->integer.min < key->integer.max);
        if (key->type == CONFIG_TYPE_REAL)
            assert_true(key->real.min < key->real.max);
    }
}

static void test_keys_belong_to_the_group_above_them(void **state)
{
    (void)state;
    assert_string_equal(config_key_group(config_key_find("env")), "What is learned");
    assert_string_equal(config_key_group(config_key_find("updates_per_env_step")),
                        "What is learned");
    assert_string_equal(config_key_group(config_key_find("hidden")), "Algorithm");
    assert_string_equal(config_key_group(config_key_find("peers")), "Benchmarks");
}

static void check_nearest(const char *name, unsigned programs, const char *expected)
{
    const ConfigKey *key = config_key_nearest(name, programs);
    const char *found = key ? key->name : "nothing";
    if (strcmp(found, expected) != 0)
        fail_msg("nearest to %s is %s, not %s", name, found, expected);
}

static void test_the_nearest_name_is_found(void **state)
{
    (void)state;
    check_nearest("batchsize", 0, "batch");
    check_nearest("batch-size", 0, "batch");
    check_nearest("total-env-steps", 0, "total_env_steps");
    check_nearest("total", 0, "total_env_steps");
    check_nearest("gama", 0, "gamma");
    check_nearest("bacth", 0, "batch");
    check_nearest("lr", 0, "actor_lr");
    check_nearest("num-actors", 0, "actors");
    check_nearest("episode", 0, "episodes");
    check_nearest("learning_starts", 0, "nothing");
    check_nearest("", 0, "nothing");
    check_nearest("x", 0, "nothing");
    /* Only keys that the program takes are offered. */
    check_nearest("episode", CONFIG_EVAL, "episodes");
    check_nearest("episode", CONFIG_STATUS, "nothing");
    check_nearest("bnd", CONFIG_LEARNER, "bind");
    check_nearest("bnd", CONFIG_ACTOR, "nothing");
}

static void test_a_flag_and_its_programs_are_named(void **state)
{
    (void)state;
    char flag[CONFIG_LABEL_BYTES];
    assert_string_equal(config_flag_name("total_env_steps", flag), "--total-env-steps");
    char names[160];
    assert_string_equal(config_program_names(CONFIG_ACTOR, names, sizeof names), "polyak-actor");
    assert_string_equal(config_program_names(CONFIG_LEARNER | CONFIG_TRAIN, names, sizeof names),
                        "polyak-learner, polyak train");
    char cut[12];
    assert_string_equal(config_program_names(63, cut, sizeof cut), "polyak-lear");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_unique_and_well_formed),
        cmocka_unit_test(test_every_default_is_in_its_own_range),
        cmocka_unit_test(test_keys_belong_to_the_group_above_them),
        cmocka_unit_test(test_the_nearest_name_is_found),
        cmocka_unit_test(test_a_flag_and_its_programs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
