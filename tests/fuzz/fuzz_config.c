/* Fuzz target: the YAML configuration, as a person writes it (--config) and as a run directory
 * keeps it, which somebody may have changed by hand. */
#include <stdlib.h>
#include <string.h>

#include "common/config/config_table.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"

/* What is said to a person is one line. */
static void check_refusal(int rc, const Err *err)
{
    CHECK(rc == ERR_USAGE || rc == ERR_FORMAT);
    CHECK(err->text[0] != '\0' && !strchr(err->text, '\n'));
}

/* Every value that was read is printed in a way that is read as the same value. */
static void check_round_trip(const Config *config)
{
    static Config again;
    char *text = NULL;
    CHECK(config_to_yaml(config, false, &text, NULL) == ERR_OK);
    Err err = {""};
    config_init(&again);
    const char *path = fuzz_file(1, text, strlen(text));
    CHECK(config_read_file(&again, path, CONFIG_STORED, &err) == ERR_OK);
    free(text);
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        ConfigValue value;
        char first[CONFIG_VALUE_TEXT_BYTES], second[CONFIG_VALUE_TEXT_BYTES];
        config_value_load(config, key, &value);
        config_value_format(key, &value, first);
        config_value_load(&again, key, &value);
        config_value_format(key, &value, second);
        CHECK(strcmp(first, second) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Config config, before;
    const char *path = fuzz_file(0, data, size);
    Err err = {""};
    config_init(&config);
    before = config;
    int rc = config_read_file(&config, path, CONFIG_FILE, &err);
    if (rc == ERR_OK) {
        check_round_trip(&config);
        Err reason = {""};
        if (config_check(&config, &reason) != ERR_OK)
            CHECK(reason.text[0] != '\0');
    } else {
        check_refusal(rc, &err);
        CHECK(memcmp(&config, &before, sizeof config) == 0);
    }

    err.text[0] = '\0';
    config_init(&config);
    CHECK(config_set(&config, "gamma", "0.5", CONFIG_FLAG, NULL) == ERR_OK);
    before = config;
    int rc_stored = config_resume(&config, path, &err);
    if (rc_stored == ERR_OK) {
        CHECK(rc == ERR_OK);
        check_round_trip(&config);
    } else {
        check_refusal(rc_stored, &err);
        CHECK(memcmp(&config, &before, sizeof config) == 0);
    }
    return 0;
}

/* Some lines of the configuration with all keys at their defaults, or with one in another form. */
size_t fuzz_seed(Rng *rng, uint8_t *input)
{
    static const char *const forms[] = {
        "hidden: [400, 300]\n",
        "---\nhidden:\n  - 64\n  - 64\n...\n",
        "{env: pendulum, seed: 7}\n",
        "env: \"a \\\"name\\\" \\u00e9\"  # with a comment\n",
        "env: 'it''s'\nrun_dir: ~\n",
        "env: >\n  folded\n  text\n",
        "&a gamma: 0.5\ntau: *a\n",
        "%YAML 1.1\n---\n? replay_capacity\n: 4GiB\n",
        "\xef\xbb\xbfseed: 1\r\nsync: true\r\n",
        "!!str env: !!str pendulum\n",
        "gamma: 1e-3\nsigma: .5\nseed: 0x10\n",
    };
    uint64_t form = rng_below(rng, 2 * sizeof forms / sizeof forms[0]);
    if (form < sizeof forms / sizeof forms[0]) {
        memcpy(input, forms[form], strlen(forms[form]));
        return strlen(forms[form]);
    }
    static Config config;
    char *text = NULL;
    config_init(&config);
    CHECK(config_to_yaml(&config, rng_below(rng, 2) == 0, &text, NULL) == ERR_OK);
    size_t used = 0;
    uint64_t keep_one_in = 1 + rng_below(rng, 20);
    for (char *line = text; *line;) {
        size_t bytes = strcspn(line, "\n");
        bytes += line[bytes] == '\n';
        if (used + bytes <= FUZZ_INPUT_BYTES_MAX && rng_below(rng, keep_one_in) == 0) {
            memcpy(input + used, line, bytes);
            used += bytes;
        }
        line += bytes;
    }
    free(text);
    return used;
}
