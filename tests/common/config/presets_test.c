#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/config/config.h"
#include "common/config/presets.h"
#include "common/spec.h"

static void test_every_preset_value_is_accepted(void **state)
{
    (void)state;
    const Preset *preset;
    int count = 0;
    for (; (preset = preset_at(count)); count++) {
        Config config;
        config_init(&config);
        const PresetValue *value;
        for (int i = 0; (value = preset_value(preset, i)); i++) {
            Err err = {""};
            if (config_set(&config, value->key, value->text, CONFIG_PRESET, &err) != ERR_OK)
                fail_msg("preset of %s: %s", preset->env, err.text);
        }
        Err err = {""};
        if (config_check(&config, &err) != ERR_OK)
            fail_msg("preset of %s: %s", preset->env, err.text);
        assert_true(preset->obs_dim >= 1 && preset->obs_dim <= SPEC_OBS_DIM_MAX);
        assert_true(preset->act_dim >= 1 && preset->act_dim <= SPEC_ACT_DIM_MAX);
    }
    assert_true(count >= 3);
    assert_null(preset_at(count));
    assert_null(preset_at(-1));
}

static void test_no_preset_names_a_key_twice(void **state)
{
    (void)state;
    const Preset *preset;
    for (int i = 0; (preset = preset_at(i)); i++) {
        const PresetValue *a, *b;
        for (int j = 0; (a = preset_value(preset, j)); j++) {
            for (int k = j + 1; (b = preset_value(preset, k)); k++)
                assert_string_not_equal(a->key, b->key);
        }
        assert_null(preset_value(preset, 1000));
    }
}

static const char *text_of(const char *env_name, const char *key)
{
    const Preset *preset = preset_find(env_name);
    assert_non_null(preset);
    const PresetValue *value;
    for (int i = 0; (value = preset_value(preset, i)); i++) {
        if (strcmp(value->key, key) == 0)
            return value->text;
    }
    return NULL;
}

static void test_a_value_of_its_own_wins_over_a_shared_one(void **state)
{
    (void)state;
    assert_string_equal(text_of("mujoco:HalfCheetah-v5", "total_env_steps"), "1000000");
    assert_string_equal(text_of("mujoco:InvertedPendulum-v5", "total_env_steps"), "60000");
    assert_string_equal(text_of("mujoco:InvertedPendulum-v5", "critic_weight_decay"), "0");
}

static void test_a_preset_is_found_by_its_exact_name_only(void **state)
{
    (void)state;
    const Preset *preset = preset_find("pendulum");
    assert_non_null(preset);
    assert_string_equal(preset->env, "pendulum");
    assert_int_equal(preset->obs_dim, 3);
    assert_int_equal(preset->act_dim, 1);
    assert_non_null(preset_find("mountain_car_continuous"));
    assert_non_null(preset_find("cartpole_swingup"));
    assert_null(preset_find("Pendulum"));
    assert_null(preset_find("pendulum2"));
    assert_null(preset_find("pendulum:0a1b2c3d"));
    assert_null(preset_find("./pendulum.so"));
    assert_null(preset_find(""));
}

static void test_a_task_has_one_preset_natively_by_the_bridge_and_with_options(void **state)
{
    (void)state;
    const Preset *preset = preset_find("mujoco:HalfCheetah-v5");
    assert_non_null(preset);
    assert_int_equal(preset->obs_dim, 17);
    assert_int_equal(preset->act_dim, 6);
    assert_ptr_equal(preset_find("gymnasium:HalfCheetah-v5"), preset);
    assert_ptr_equal(preset_find("mujoco:HalfCheetah-v5:0a1b2c3d"), preset);
    assert_ptr_equal(preset_find("gymnasium:HalfCheetah-v5:0A1B2C3D"), preset);
    assert_ptr_equal(preset_find("gymnasium:Pendulum-v1"), preset_find("pendulum"));
    assert_null(preset_find("HalfCheetah-v5"));
    assert_null(preset_find("mujoco:HalfCheetah-v4"));
    assert_null(preset_find("mujoco:HalfCheetah-v5:0a1b2c3"));
    assert_null(preset_find("mujoco:HalfCheetah-v5:0a1b2c3z"));
    assert_null(preset_find("mujoco:HalfCheetah-v50a1b2c3d"));
    assert_null(preset_find("mujoco:balance:0a1b2c3d")); /* of a file */
}

static void test_a_name_tells_an_environment_from_another(void **state)
{
    (void)state;
    assert_true(preset_is_of("pendulum", false, "pendulum"));
    assert_false(preset_is_of("pendulum", false, "cartpole_swingup"));
    assert_true(preset_is_of("mujoco:Ant-v5", false, "mujoco:Ant-v5"));
    assert_false(preset_is_of("mujoco:Ant-v5", false, "gymnasium:Ant-v5"));
    /* Changed options are changed for the learner too, or it is another environment. */
    assert_false(preset_is_of("mujoco:Ant-v5", false, "mujoco:Ant-v5:0a1b2c3d"));
    assert_true(preset_is_of("mujoco:Ant-v5", true, "mujoco:Ant-v5:0a1b2c3d"));
    assert_false(preset_is_of("mujoco:Ant-v5", true, "mujoco:Hopper-v5:0a1b2c3d"));
    /* What a plugin calls itself has nothing to do with its path. */
    assert_true(preset_is_of("./mine.so", false, "reacher"));
    assert_true(preset_is_of("mujoco:./balance.xml", false, "mujoco:balance:0a1b2c3d"));
    assert_true(preset_is_of("", false, "reacher"));
}

static void test_only_a_preset_a_scheme_or_a_path_can_be_an_environment(void **state)
{
    (void)state;
    assert_true(presets_allow("./mine.so"));
    assert_true(presets_allow("mine.so"));
    assert_true(presets_allow("/opt/envs/arm"));
    assert_true(presets_allow("mujoco:./robot.xml"));
    assert_true(presets_allow("gymnasium:CarRacing-v3"));
    assert_false(presets_allow("mujoco:"));
    assert_false(presets_allow("gym:CarRacing-v3"));
    assert_false(presets_allow("pendulu"));
    assert_false(presets_allow(".so"));
    assert_string_equal(presets_names(), "pendulum, mountain_car_continuous, cartpole_swingup");
}

static void test_plugins_and_models_are_files(void **state)
{
    (void)state;
    assert_string_equal(presets_file("./mine.so"), "./mine.so");
    assert_string_equal(presets_file("mujoco:arms/robot.xml"), "arms/robot.xml");
    assert_null(presets_file("mujoco:Ant-v5"));
    assert_null(presets_file("gymnasium:ale/Pong-v5"));
    assert_null(presets_file("pendulum"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_preset_value_is_accepted),
        cmocka_unit_test(test_no_preset_names_a_key_twice),
        cmocka_unit_test(test_a_value_of_its_own_wins_over_a_shared_one),
        cmocka_unit_test(test_a_preset_is_found_by_its_exact_name_only),
        cmocka_unit_test(test_a_task_has_one_preset_natively_by_the_bridge_and_with_options),
        cmocka_unit_test(test_a_name_tells_an_environment_from_another),
        cmocka_unit_test(test_only_a_preset_a_scheme_or_a_path_can_be_an_environment),
        cmocka_unit_test(test_plugins_and_models_are_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
