#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/config/config_table.h"
#include "common/rng.h"

/* Parses text as a value of the key, and gives back the key's own text for it. */
static const char *round_trip(const char *key_name, const char *text)
{
    static char out[CONFIG_VALUE_TEXT_BYTES];
    const ConfigKey *key = config_key_find(key_name);
    ConfigValue value;
    Err err = {""};
    assert_non_null(key);
    if (config_value_parse(key, key_name, text, &value, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return config_value_format(key, &value, out);
}

static void check_refused(const char *key_name, const char *text, const char *message)
{
    ConfigValue value;
    Err err = {""};
    int code = config_value_parse(config_key_find(key_name), key_name, text, &value, &err);
    assert_int_equal(code, ERR_USAGE);
    assert_string_equal(err.text, message);
}

static void test_whole_numbers(void **state)
{
    (void)state;
    assert_string_equal(round_trip("batch", "1"), "1");
    assert_string_equal(round_trip("batch", "65536"), "65536");
    assert_string_equal(round_trip("batch", "0064"), "64");
    assert_string_equal(round_trip("total_env_steps", "1e6"), "1000000");
    assert_string_equal(round_trip("seed", "9223372036854775807"), "9223372036854775807");
    assert_string_equal(round_trip("seed", "0e99999999999999999999"), "0");
    check_refused("batch", "0", "batch: 0 is out of range 1…65536");
    check_refused("batch", "65537", "batch: 65537 is out of range 1…65536");
    check_refused("batch", "-1", "batch: -1 is out of range 1…65536");
    check_refused("seed", "9223372036854775808",
                  "seed: 9223372036854775808 is out of range 0…9223372036854775807");
    check_refused("seed", "1e99", "seed: 1e99 is out of range 0…9223372036854775807");
    const char *const malformed[] = {"", " 1", "1 ", "+1", "1.5", "0x10", "1e", "1e-2", "-", "abc"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char message[100];
        snprintf(message, sizeof message, "batch: \"%s\" is not a whole number", malformed[i]);
        check_refused("batch", malformed[i], message);
    }
}

static void test_real_numbers(void **state)
{
    (void)state;
    assert_string_equal(round_trip("tau", "1e-3"), "0.001");
    assert_string_equal(round_trip("tau", "0.10"), "0.1");
    assert_string_equal(round_trip("tau", "1"), "1");
    assert_string_equal(round_trip("tau", "-0"), "0");
    assert_string_equal(round_trip("sigma", "10.0"), "10");
    assert_string_equal(round_trip("grad_clip", "1e9"), "1000000000");
    assert_string_equal(round_trip("ou_dt", "0.000001"), "1e-06");
    check_refused("gamma", "1.01", "gamma: 1.01 is out of range 0…1");
    check_refused("gamma", "-1e-9", "gamma: -1e-9 is out of range 0…1");
    check_refused("gamma", "1e999", "gamma: 1e999 is out of range 0…1");
    const char *const malformed[] = {"", "nan", "inf", "0x1p-3", "0,5", " 0.5", "0.5 ", ".", "e5"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char message[100];
        snprintf(message, sizeof message, "gamma: \"%s\" is not a number", malformed[i]);
        check_refused("gamma", malformed[i], message);
    }
}

static void test_a_real_number_prints_shortest_and_reads_back_exactly(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    const ConfigKey *key = config_key_find("grad_clip");
    for (int i = 0; i < 2000; i++) {
        ConfigValue value = {.real = rng_uniform(&rng) * pow(10, rng_uniform(&rng) * 18 - 9)};
        ConfigValue parsed;
        char text[CONFIG_VALUE_TEXT_BYTES];
        config_value_format(key, &value, text);
        assert_int_equal(config_value_parse(key, "x", text, &parsed, NULL), ERR_OK);
        assert_true(value.real == parsed.real);
    }
}

static void test_booleans_and_choices(void **state)
{
    (void)state;
    assert_string_equal(round_trip("sync", "true"), "true");
    assert_string_equal(round_trip("sync", "false"), "false");
    check_refused("sync", "yes", "sync: \"yes\" is neither true nor false");
    check_refused("sync", "", "sync: \"\" is neither true nor false");
    assert_string_equal(round_trip("noise", "gaussian"), "gaussian");
    assert_string_equal(round_trip("noise", "ou"), "ou");
    assert_string_equal(round_trip("role", "evaluator"), "evaluator");
    check_refused("noise", "uo", "noise: \"uo\" is not one of gaussian|ou");
    check_refused("noise", "gaussian|ou", "noise: \"gaussian|ou\" is not one of gaussian|ou");
    check_refused("noise", "", "noise: \"\" is not one of gaussian|ou");

    ConfigValue value;
    config_value_parse(config_key_find("noise"), "noise", "ou", &value, NULL);
    assert_int_equal(value.choice, NOISE_OU);
    config_value_parse(config_key_find("role"), "role", "evaluator", &value, NULL);
    assert_int_equal(value.choice, ACTOR_ROLE_EVALUATOR);
    config_value_parse(config_key_find("progress"), "progress", "off", &value, NULL);
    assert_int_equal(value.choice, PROGRESS_OFF);
}

static void test_text(void **state)
{
    (void)state;
    assert_string_equal(round_trip("env", ""), "");
    assert_string_equal(round_trip("env", "./my plugin.so"), "./my plugin.so");
    assert_string_equal(round_trip("run_dir", "/l\xC3\xA4ufe/1"), "/l\xC3\xA4ufe/1");
    check_refused("env", "a\nb", "env: \"a?b\" has control characters or is no UTF-8");
    check_refused("env", "\xC2\x85", "env: \"\xC2\x85\" has control characters or is no UTF-8");
    check_refused("env", "\xFF", "env: \"\xFF\" has control characters or is no UTF-8");
    char long_text[CONFIG_TEXT_MAX + 2];
    memset(long_text, 'x', sizeof long_text);
    long_text[CONFIG_TEXT_MAX] = '\0';
    assert_string_equal(round_trip("env", long_text), long_text);
    long_text[CONFIG_TEXT_MAX] = 'x';
    long_text[CONFIG_TEXT_MAX + 1] = '\0';
    check_refused("env", long_text, "env: 1024 bytes of text are more than 1023");
}

static void test_lists_of_widths(void **state)
{
    (void)state;
    assert_string_equal(round_trip("hidden", "400,300"), "400,300");
    assert_string_equal(round_trip("hidden", "400, 300"), "400,300");
    assert_string_equal(round_trip("hidden", "64"), "64");
    assert_string_equal(round_trip("hidden", "1,2,3,4,5,6,7,8192"), "1,2,3,4,5,6,7,8192");
    check_refused("hidden", "1,2,3,4,5,6,7,8,9",
                  "hidden: \"1,2,3,4,5,6,7,8,9\" has more than 8 widths");
    check_refused("hidden", "0", "hidden: \"0\" has a width out of range 1…8192");
    check_refused("hidden", "64,8193", "hidden: \"64,8193\" has a width out of range 1…8192");
    const char *const malformed[] = {"", "64,", ",64", "64;64", "64 64", "64x", "[64]"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char message[100];
        snprintf(message, sizeof message, "hidden: \"%s\" is not a list of widths such as 400,300",
                 malformed[i]);
        check_refused("hidden", malformed[i], message);
    }
}

static void check_capacity(const char *text, int64_t steps, int64_t bytes, const char *back)
{
    ConfigValue value;
    assert_int_equal(
        config_value_parse(config_key_find("replay_capacity"), "x", text, &value, NULL), ERR_OK);
    assert_int_equal(value.capacity.steps, steps);
    assert_int_equal(value.capacity.bytes, bytes);
    assert_string_equal(round_trip("replay_capacity", text), back);
}

static void test_capacities_in_steps_and_bytes(void **state)
{
    (void)state;
    const int64_t gib = INT64_C(1) << 30;
    check_capacity("1000000", 1000000, 0, "1000000");
    check_capacity("1e6", 1000000, 0, "1000000");
    check_capacity("4GiB", 0, 4 * gib, "4GiB");
    check_capacity("4096MiB", 0, 4 * gib, "4GiB");
    check_capacity("1025KiB", 0, 1025 * 1024, "1025KiB");
    check_capacity("1B", 0, 1, "1B");
    check_capacity("1048576GiB", 0, gib << 20, "1048576GiB");
    const char *name = "replay_capacity";
    check_refused(name, "10x",
                  "replay_capacity: \"10x\" has an unknown unit; "
                  "known are B, KiB, MiB and GiB");
    check_refused(name, "4GB",
                  "replay_capacity: \"4GB\" has an unknown unit; "
                  "known are B, KiB, MiB and GiB");
    check_refused(name, "1.5GiB",
                  "replay_capacity: \"1.5GiB\" has an unknown unit; "
                  "known are B, KiB, MiB and GiB");
    check_refused(name, "big",
                  "replay_capacity: \"big\" is neither steps (1000000) "
                  "nor bytes (4GiB)");
    check_refused(name, "", "replay_capacity: \"\" is neither steps (1000000) nor bytes (4GiB)");
    check_refused(name, "0", "replay_capacity: \"0\" is out of range 1…1000000000000 steps");
    check_refused(name, "-5", "replay_capacity: \"-5\" is out of range 1…1000000000000 steps");
    check_refused(name, "0GiB", "replay_capacity: \"0GiB\" is out of range 1B…1048576GiB");
    /* Shifted, this would wrap around to a small number. */
    check_refused(name, "17179869185GiB",
                  "replay_capacity: \"17179869185GiB\" is out of range 1B…1048576GiB");
}

static void test_a_long_value_leaves_room_for_the_message(void **state)
{
    (void)state;
    char text[2000];
    memset(text, '7', sizeof text);
    text[sizeof text - 1] = '\0';
    ConfigValue value;
    Err err;
    assert_int_equal(config_value_parse(config_key_find("batch"), "--batch", text, &value, &err),
                     ERR_USAGE);
    assert_non_null(strstr(err.text, "... is out of range 1…65536"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_real_numbers),
        cmocka_unit_test(test_a_real_number_prints_shortest_and_reads_back_exactly),
        cmocka_unit_test(test_booleans_and_choices),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_lists_of_widths),
        cmocka_unit_test(test_capacities_in_steps_and_bytes),
        cmocka_unit_test(test_a_long_value_leaves_room_for_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
