#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/config/config.h"
#include "common/config/config_table.h"
#include "common/rng.h"

static char path[64];

static void write_bytes(const void *bytes, size_t num_bytes)
{
    strcpy(path, "/tmp/config_yaml_test.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, num_bytes), (ssize_t)num_bytes);
    close(fd);
}

/* Reads text as a file; the path in a message becomes FILE. */
static int read_yaml(Config *config, const char *text, Err *err)
{
    write_bytes(text, strlen(text));
    err->text[0] = '\0';
    int code = config_read_file(config, path, CONFIG_FILE, err);
    unlink(path);
    size_t length = strlen(path);
    if (strncmp(err->text, path, length) == 0) {
        memmove(err->text + 4, err->text + length, strlen(err->text + length) + 1);
        memcpy(err->text, "FILE", 4);
    }
    return code;
}

static void check_read(Config *config, const char *text)
{
    Err err;
    config_init(config);
    if (read_yaml(config, text, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static void check_refused(const char *text, const char *message)
{
    Config config;
    Err err;
    config_init(&config);
    Config before = config;
    assert_int_equal(read_yaml(&config, text, &err), ERR_USAGE);
    assert_string_equal(err.text, message);
    assert_memory_equal(&before, &config, sizeof config);
}

static void test_a_file_is_read(void **state)
{
    (void)state;
    Config config;
    check_read(&config, "# a comment\n"
                        "---\n"
                        "env: ./mine.so   # plain\n"
                        "name: 'single'\n"
                        "run_dir: \"double \\u00e4\"\n"
                        "batch: 32\n"
                        "sync: true\n"
                        "noise: gaussian\n"
                        "replay_capacity: 4GiB\n"
                        "hidden: [10, 20, 30]\n");
    assert_string_equal(config.env, "./mine.so");
    assert_string_equal(config.name, "single");
    assert_string_equal(config.run_dir, "double \xC3\xA4");
    assert_int_equal(config.batch, 32);
    assert_true(config.sync);
    assert_int_equal(config.noise, NOISE_GAUSSIAN);
    assert_int_equal(config.replay_capacity.bytes, INT64_C(4) << 30);
    assert_int_equal(config.hidden.count, 3);
    assert_int_equal(config.hidden.size[2], 30);
    check_read(&config, "hidden:\n  - 5\n  - 6\n");
    assert_int_equal(config.hidden.count, 2);
    check_read(&config, "hidden: 7,8");
    assert_int_equal(config.hidden.size[1], 8);
    check_read(&config, "env: \"\"\n");
    check_read(&config, "{batch: 5, tau: 0.5}");
    assert_int_equal(config.batch, 5);
}

static void test_a_file_without_keys_is_fine(void **state)
{
    (void)state;
    Config config;
    Config fresh;
    config_init(&fresh);
    const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n...\n", "{}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        check_read(&config, texts[i]);
        assert_memory_equal(&config, &fresh, sizeof config);
    }
}

static void test_a_message_names_file_and_line(void **state)
{
    (void)state;
    check_refused("env: x\n\nbatch: 0\n", "FILE:3: batch: 0 is out of range 1…65536");
    check_refused("env: x\nbatchsize: 5\n", "FILE:2: unknown key batchsize; did you mean batch?");
    check_refused("total-env-steps: 5\n",
                  "FILE:1: unknown key total-env-steps; did you mean total_env_steps?");
    check_refused("tau: 0.1\nbatch: 5\ntau: 0.2\n", "FILE:3: tau is given twice, first in line 1");
    check_refused("batch: many\n", "FILE:1: batch: \"many\" is not a whole number");
    check_refused("\nhidden: [64, sixty]\n",
                  "FILE:2: hidden: \"64,sixty\" is not a list of widths such as 400,300");
}

static void test_a_wrong_shape_is_refused(void **state)
{
    (void)state;
    check_refused("batch: [1, 2]\n", "FILE:1: batch takes one value, not a list");
    check_refused("tau: 0.1\nbatch:\n  size: 5\n", "FILE:3: batch takes one value, not a mapping");
    check_refused("hidden: {a: 1}\n", "FILE:1: hidden takes one value, not a mapping");
    check_refused("hidden: [[1], 2]\n", "FILE:1: hidden: a list of numbers is expected");
    check_refused("hidden: []\n", "FILE:1: hidden: \"\" is not a list of widths such as 400,300");
    check_refused("- batch\n", "FILE:1: lines of \"key: value\" are expected");
    check_refused("just text\n", "FILE:1: lines of \"key: value\" are expected");
    check_refused("[a]: 5\n", "FILE:1: a key is expected");
    check_refused("batch:\n", "FILE:1: batch has no value");
    check_refused("batch: ~\n", "FILE:1: batch has no value");
    check_refused("env: null\n", "FILE:1: env has no value; \"\" is an empty text");
    check_refused("env: \"a\\0b\"\n", "FILE:1: env has a zero byte in its value");
    check_refused("env: \"a\\nb\"\n", "FILE:1: env: \"a?b\" has control characters or is no UTF-8");
    check_refused("env: &a x\nname: *a\n", "FILE:2: name takes a value, not a YAML alias");
    check_refused("batch: 5\n---\ntau: 1\n", "FILE:2: a second YAML document begins");
}

static void test_what_is_no_yaml_is_refused(void **state)
{
    (void)state;
    const char *const texts[] = {"batch: 5\n\ttau: 1\n", "hidden: [1, 2\n", "env: \"open\n",
                                 "batch: 5\ntau: \xFF\n", "env: b: c\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        Config config;
        Err err;
        config_init(&config);
        assert_int_equal(read_yaml(&config, texts[i], &err), ERR_USAGE);
        assert_int_equal(strncmp(err.text, "FILE:", 5), 0);
        assert_true(err.text[5] >= '1' && err.text[5] <= '9');
        if (!strstr(err.text, ": no valid YAML: "))
            fail_msg("%s", err.text);
        assert_null(strchr(err.text, '\n'));
    }
}

static void test_a_file_that_is_not_there_or_too_large_is_refused(void **state)
{
    (void)state;
    Config config;
    Err err = {""};
    config_init(&config);
    assert_true(config_read_file(&config, "/nonexistent.yaml", CONFIG_FILE, &err) < 0);
    assert_non_null(strstr(err.text, "/nonexistent.yaml"));
    size_t num_bytes = (1 << 20) + 1;
    char *bytes = malloc(num_bytes);
    assert_non_null(bytes);
    memset(bytes, '#', num_bytes);
    write_bytes(bytes, num_bytes);
    assert_true(config_read_file(&config, path, CONFIG_FILE, &err) < 0);
    unlink(path);
    free(bytes);
}

/* A random value of a key's type and range, as text. */
static void random_text(const ConfigKey *key, Rng *rng, char *out)
{
    static const char *const pieces[] = {"a",
                                         "\"",
                                         "\\",
                                         "#",
                                         ": ",
                                         " ",
                                         "\xC3\xA4",
                                         "\xE2\x80\xA8",
                                         "\xEF\xBB\xBF",
                                         "\xEF\xBF\xBF",
                                         "\xF0\x9F\x98\x80",
                                         "~",
                                         "'",
                                         "%",
                                         "\xC2\xA0"};
    ConfigValue value = {0};
    switch (key->type) {
    case CONFIG_TYPE_INT:
        value.integer = key->integer.min +
                        (int64_t)rng_below(rng, (uint64_t)(key->integer.max - key->integer.min));
        break;
    case CONFIG_TYPE_REAL:
        value.real = key->real.min + rng_uniform(rng) * (key->real.max - key->real.min);
        break;
    case CONFIG_TYPE_BOOL:
        value.boolean = rng_below(rng, 2) == 1;
        break;
    case CONFIG_TYPE_TEXT:
        for (uint64_t i = rng_below(rng, 20); i > 0; i--)
            strcat(value.text, pieces[rng_below(rng, sizeof pieces / sizeof pieces[0])]);
        break;
    case CONFIG_TYPE_CHOICE:
        value.choice = (int)rng_below(rng, 2);
        break;
    case CONFIG_TYPE_SIZES:
        value.sizes.count = 1 + (int)rng_below(rng, CONFIG_HIDDEN_MAX);
        for (int i = 0; i < value.sizes.count; i++)
            value.sizes.size[i] = 1 + (int)rng_below(rng, 8192);
        break;
    case CONFIG_TYPE_CAPACITY:
        if (rng_below(rng, 2) == 0)
            value.capacity.steps = 1 + (int64_t)rng_below(rng, 1000000000000);
        else
            value.capacity.bytes = (int64_t)(1 + rng_below(rng, 1000)) << rng_below(rng, 35);
        break;
    }
    config_value_format(key, &value, out);
}

static void test_a_stored_configuration_reads_back_the_same(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    for (int round = 0; round < 50; round++) {
        Config config;
        Config back;
        Err err = {""};
        config_init(&config);
        config_init(&back);
        for (int i = 0; i < config_num_keys(); i++) {
            char text[CONFIG_VALUE_TEXT_BYTES];
            random_text(config_key_at(i), &rng, text);
            if (config_set(&config, config_key_at(i)->name, text, CONFIG_FLAG, &err) != ERR_OK)
                fail_msg("%s", err.text);
        }
        char *yaml;
        assert_int_equal(config_to_yaml(&config, false, &yaml, &err), ERR_OK);
        if (read_yaml(&back, yaml, &err) != ERR_OK)
            fail_msg("%s in\n%s", err.text, yaml);
        assert_memory_equal(&config, &back, offsetof(Config, source));
        free(yaml);
    }
}

static void test_what_is_stored_has_unit_and_source_and_no_local_keys(void **state)
{
    (void)state;
    Config config;
    Err err;
    config_init(&config);
    assert_int_equal(config_set(&config, "env", "pendulum", CONFIG_FLAG, &err), ERR_OK);
    assert_int_equal(config_apply_preset(&config, "pendulum", &err), ERR_OK);
    char *yaml;
    assert_int_equal(config_to_yaml(&config, true, &yaml, &err), ERR_OK);
    const char *const lines[] = {
        "# What is learned\nenv: \"pendulum\" # name or path; flag\n",
        "\nbatch: 100 # transitions; preset\n",
        "\nhidden: [64,64] # units; preset\n",
        "\nou_dt: 1 # steps; default\n",
        "\nsync: false # default\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_non_null(strstr(yaml, lines[i]));
    for (int i = 0; i < config_num_keys(); i++) {
        char start[100];
        snprintf(start, sizeof start, "\n%s: ", config_key_at(i)->name);
        bool stored = strstr(yaml, start) != NULL;
        assert_int_equal(stored, config_key_at(i)->trait != CONFIG_TRAIT_LOCAL);
    }
    free(yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_read),
        cmocka_unit_test(test_a_file_without_keys_is_fine),
        cmocka_unit_test(test_a_message_names_file_and_line),
        cmocka_unit_test(test_a_wrong_shape_is_refused),
        cmocka_unit_test(test_what_is_no_yaml_is_refused),
        cmocka_unit_test(test_a_file_that_is_not_there_or_too_large_is_refused),
        cmocka_unit_test(test_a_stored_configuration_reads_back_the_same),
        cmocka_unit_test(test_what_is_stored_has_unit_and_source_and_no_local_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
