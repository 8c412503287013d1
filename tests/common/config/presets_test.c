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
        for (const PresetValue *value = preset->values; value->key; value++) {
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
        for (const PresetValue *a = preset->values; a->key; a++) {
            for (const PresetValue *b = a + 1; b->key; b++)
                assert_string_not_equal(a->key, b->key);
        }
    }
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
    assert_null(preset_find("./pendulum.so"));
    assert_null(preset_find(""));
}

static void test_only_a_preset_or_a_path_can_be_an_environment(void **state)
{
    (void)state;
    assert_true(presets_allow("./mine.so"));
    assert_true(presets_allow("mine.so"));
    assert_true(presets_allow("/opt/envs/arm"));
    assert_false(presets_allow("pendulu"));
    assert_false(presets_allow(".so"));
    assert_string_equal(presets_names(), "pendulum, mountain_car_continuous, cartpole_swingup");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_preset_value_is_accepted),
        cmocka_unit_test(test_no_preset_names_a_key_twice),
        cmocka_unit_test(test_a_preset_is_found_by_its_exact_name_only),
        cmocka_unit_test(test_only_a_preset_or_a_path_can_be_an_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
