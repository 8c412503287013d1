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

enum { WORDS_MAX = 16, OUTPUT_BYTES = 64 * 1024 };

/* Parses words (ended by NULL) as the command line of a program. */
static int parse(Config *config, ConfigProgram program, const char *const words[], bool *done,
                 Err *err)
{
    char *argv[WORDS_MAX + 2] = {(char *)"/usr/bin/program"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    char name[64];
    config_program_names(program, name, sizeof name);
    err->text[0] = '\0';
    return config_parse_args(config, program, name, "Does something.", argc, argv, done, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_parses(Config *config, ConfigProgram program, const char *const words[])
{
    bool done = true;
    Err err;
    config_init(config);
    if (parse(config, program, words, &done, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_false(done);
}

static void check_refused(ConfigProgram program, const char *const words[], const char *message)
{
    Config config;
    bool done;
    Err err;
    config_init(&config);
    assert_int_equal(parse(&config, program, words, &done, &err), ERR_USAGE);
    assert_string_equal(err.text, message);
    assert_false(done);
}

static void test_flags_set_their_keys(void **state)
{
    (void)state;
    Config config;
    check_parses(&config, CONFIG_TRAIN, (const char *const[]){NULL});
    assert_int_equal(config.batch, 64);
    check_parses(&config, CONFIG_TRAIN,
                 WORDS("--batch=32", "--gamma", "0.5", "--env", "pendulum", "--env-options=a=1,b=2",
                       "--hidden", "5,6", "--sync", "--replay-capacity=1GiB", "--noise=gaussian"));
    assert_int_equal(config.batch, 32);
    assert_true(config.gamma == 0.5);
    assert_string_equal(config.env, "pendulum");
    assert_string_equal(config.env_options, "a=1,b=2");
    assert_int_equal(config.hidden.count, 2);
    assert_true(config.sync);
    assert_int_equal(config.replay_capacity.bytes, INT64_C(1) << 30);
    assert_int_equal(config.noise, NOISE_GAUSSIAN);
    assert_int_equal(config.source[config_key_number(config_key_find("batch"))], CONFIG_FLAG);
}

static void test_a_boolean_may_have_a_value(void **state)
{
    (void)state;
    Config config;
    check_parses(&config, CONFIG_TRAIN, WORDS("--sync", "--sync=false"));
    assert_false(config.sync);
    check_parses(&config, CONFIG_TRAIN, WORDS("--sync=true"));
    assert_true(config.sync);
    check_refused(CONFIG_TRAIN, WORDS("--sync=maybe"),
                  "--sync: \"maybe\" is neither true nor false");
    check_refused(CONFIG_TRAIN, WORDS("--sync", "false"),
                  "unexpected \"false\"; did you mean --sync=false?");
}

static void test_the_last_of_a_repeated_flag_wins(void **state)
{
    (void)state;
    Config config;
    check_parses(&config, CONFIG_TRAIN, WORDS("--batch=1", "--batch", "2", "--batch=3"));
    assert_int_equal(config.batch, 3);
}

static void test_values_may_be_empty_or_look_like_numbers(void **state)
{
    (void)state;
    Config config;
    check_parses(&config, CONFIG_TRAIN, WORDS("--env=", "--env-options", ""));
    assert_string_equal(config.env, "");
    check_parses(&config, CONFIG_TRAIN, WORDS("--env=--odd"));
    assert_string_equal(config.env, "--odd");
    check_refused(CONFIG_TRAIN, WORDS("--batch", "-5"), "--batch: -5 is out of range 1…65536");
    check_refused(CONFIG_TRAIN, WORDS("--batch="), "--batch: \"\" is not a whole number");
}

static void test_a_missing_value_is_told(void **state)
{
    (void)state;
    check_refused(CONFIG_TRAIN, WORDS("--batch"), "--batch needs a value");
    check_refused(CONFIG_TRAIN, WORDS("--env", "--seed", "1"), "--env needs a value");
    check_refused(CONFIG_TRAIN, WORDS("--config"), "--config needs a value");
    check_refused(CONFIG_TRAIN, WORDS("--help=yes"), "--help takes no value");
}

static void test_an_unknown_flag_names_the_nearest(void **state)
{
    (void)state;
    check_refused(CONFIG_TRAIN, WORDS("--batchsize", "5"),
                  "unknown flag --batchsize; did you mean --batch?");
    check_refused(CONFIG_TRAIN, WORDS("--batchsize=5"),
                  "unknown flag --batchsize; did you mean --batch?");
    check_refused(CONFIG_TRAIN, WORDS("--total_env_steps=5"),
                  "unknown flag --total_env_steps; did you mean --total-env-steps?");
    check_refused(CONFIG_TRAIN, WORDS("--total=5"),
                  "unknown flag --total; did you mean --total-env-steps?");
    check_refused(CONFIG_TRAIN, WORDS("--bat", "5"), "unknown flag --bat; did you mean --batch?");
    check_refused(CONFIG_TRAIN, WORDS("-batch", "5"), "unknown flag -batch; did you mean --batch?");
    check_refused(CONFIG_TRAIN, WORDS("--hlep"), "unknown flag --hlep; did you mean --help?");
    check_refused(CONFIG_TRAIN, WORDS("--conf=x"), "unknown flag --conf; did you mean --config?");
    check_refused(CONFIG_TRAIN, WORDS("--learning-starts=5"),
                  "unknown flag --learning-starts; polyak train --help lists all");
    check_refused(CONFIG_TRAIN, WORDS("-x"), "unknown flag -x; polyak train --help lists all");
    check_refused(CONFIG_TRAIN, WORDS("--=5"), "unknown flag --; polyak train --help lists all");
    char word[300] = "--";
    memset(word + 2, 'b', 290);
    Config config;
    bool done;
    Err err;
    config_init(&config);
    assert_int_equal(parse(&config, CONFIG_TRAIN, WORDS(word), &done, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "...; polyak train --help lists all"));
}

static void test_a_flag_of_another_program_says_so(void **state)
{
    (void)state;
    check_refused(CONFIG_ACTOR, WORDS("--bind=tcp://*:1"),
                  "--bind is a flag of polyak-learner, polyak-relay, not of polyak-actor");
    check_refused(CONFIG_STATUS, WORDS("--batch", "5"),
                  "--batch is a flag of polyak-learner, polyak train, polyak bench, not of polyak "
                  "status");
}

static void test_positional_arguments_are_refused(void **state)
{
    (void)state;
    const char *hint = "unexpected \"pendulum\"; values belong to a flag, as in --key=value";
    check_refused(CONFIG_TRAIN, WORDS("pendulum"), hint);
    check_refused(CONFIG_TRAIN, WORDS("--batch", "5", "pendulum"), hint);
    check_refused(CONFIG_TRAIN, WORDS("--batch=5", "pendulum", "--sync"), hint);
    check_refused(CONFIG_TRAIN, WORDS(""),
                  "unexpected \"\"; values belong to a flag, as in "
                  "--key=value");
    check_refused(CONFIG_TRAIN, WORDS("-"),
                  "unexpected \"-\"; values belong to a flag, as in "
                  "--key=value");
    check_refused(CONFIG_TRAIN, WORDS("--", "x"), "unexpected \"--\"; there are flags only");
}

static void test_flags_win_over_the_file_in_any_order(void **state)
{
    (void)state;
    char path[] = "/tmp/config_args_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char text[] = "batch: 10\ntau: 0.5\nbind: tcp://127.0.0.1:7\n";
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    Config config;
    check_parses(&config, CONFIG_TRAIN, WORDS("--batch=20", "--config", path));
    assert_int_equal(config.batch, 20);
    assert_true(config.tau == 0.5);
    check_parses(&config, CONFIG_TRAIN, WORDS("--config", path, "--batch=20"));
    assert_int_equal(config.batch, 20);
    /* One file may serve all programs. */
    assert_string_equal(config.bind, "tcp://127.0.0.1:7");
    check_refused(CONFIG_TRAIN, WORDS("--config", path, "--config", path),
                  "--config may be given once");
    unlink(path);
    Err err;
    bool done;
    assert_int_equal(parse(&config, CONFIG_TRAIN, WORDS("--config", path), &done, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, path));
}

/* Runs the parser with stdout and stderr in files, and gives back what came out. */
static int parse_and_capture(ConfigProgram program, const char *const words[], bool *done,
                             char *out, size_t *stderr_bytes)
{
    FILE *files[2] = {tmpfile(), tmpfile()};
    int saved[2];
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        assert_non_null(files[i]);
        saved[i] = dup(i + 1);
        dup2(fileno(files[i]), i + 1);
    }
    Config config;
    Err err;
    config_init(&config);
    int code = parse(&config, program, words, done, &err);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
    rewind(files[0]);
    out[fread(out, 1, OUTPUT_BYTES - 1, files[0])] = '\0';
    fseek(files[1], 0, SEEK_END);
    *stderr_bytes = (size_t)ftell(files[1]);
    fclose(files[0]);
    fclose(files[1]);
    return code;
}

static void test_help_lists_the_flags_of_the_program(void **state)
{
    (void)state;
    static char out[OUTPUT_BYTES];
    bool done = false;
    size_t stderr_bytes;
    assert_int_equal(
        parse_and_capture(CONFIG_ACTOR, WORDS("--env=x", "--help"), &done, out, &stderr_bytes),
        ERR_OK);
    assert_true(done);
    assert_int_equal(stderr_bytes, 0);
    assert_non_null(strstr(out, "Usage: polyak-actor [OPTION...]"));
    assert_non_null(strstr(out, "Does something."));
    assert_non_null(strstr(out, "What is learned"));
    assert_null(strstr(out, "Benchmarks"));
    for (int i = 0; i < config_num_keys(); i++) {
        const ConfigKey *key = config_key_at(i);
        char flag[CONFIG_LABEL_BYTES];
        char shown[CONFIG_LABEL_BYTES + 8];
        bool boolean = key->type == CONFIG_TYPE_BOOL;
        snprintf(shown, sizeof shown, "  %s%s", config_flag_name(key->name, flag),
                 boolean ? "[=" : "=");
        assert_int_equal(strstr(out, shown) != NULL, (key->programs & CONFIG_ACTOR) != 0);
    }
    assert_non_null(strstr(out, "--config=FILE"));
    assert_non_null(strstr(out, "--version"));
}

static void test_help_says_which_environments_have_presets(void **state)
{
    (void)state;
    static char out[OUTPUT_BYTES];
    bool done = false;
    size_t stderr_bytes;
    assert_int_equal(parse_and_capture(CONFIG_TRAIN, WORDS("--help"), &done, out, &stderr_bytes),
                     ERR_OK);
    const char *last = strstr(out, "Built-in environments: pendulum, ");
    assert_non_null(last);
    assert_non_null(strstr(last, "preset"));
    assert_true(last > strstr(out, "--version"));
    assert_int_equal(parse_and_capture(CONFIG_EVAL, WORDS("--help"), &done, out, &stderr_bytes),
                     ERR_OK);
    assert_null(strstr(out, "Built-in environments"));
    assert_non_null(strstr(out, "(default newest; newest,"));
}

static void test_version_is_printed(void **state)
{
    (void)state;
    static char out[OUTPUT_BYTES];
    bool done = false;
    size_t stderr_bytes;
    assert_int_equal(
        parse_and_capture(CONFIG_LEARNER, WORDS("--version"), &done, out, &stderr_bytes), ERR_OK);
    assert_true(done);
    assert_int_equal(strncmp(out, "polyak-learner ", 15), 0);
    assert_string_equal(strchr(out, '\n'), "\n");
}

static void test_errors_are_returned_and_never_printed(void **state)
{
    (void)state;
    static char out[OUTPUT_BYTES];
    const char *const *const lines[] = {
        WORDS("--bogus"),     WORDS("--batch"), WORDS("--batch=x"), WORDS("--sync=1", "--json"),
        WORDS("--version=1"), WORDS("word"),    WORDS("-?"),        WORDS("--usage"),
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        bool done = true;
        size_t stderr_bytes;
        assert_int_equal(parse_and_capture(CONFIG_TRAIN, lines[i], &done, out, &stderr_bytes),
                         ERR_USAGE);
        assert_false(done);
        assert_string_equal(out, "");
        assert_int_equal(stderr_bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_set_their_keys),
        cmocka_unit_test(test_a_boolean_may_have_a_value),
        cmocka_unit_test(test_the_last_of_a_repeated_flag_wins),
        cmocka_unit_test(test_values_may_be_empty_or_look_like_numbers),
        cmocka_unit_test(test_a_missing_value_is_told),
        cmocka_unit_test(test_an_unknown_flag_names_the_nearest),
        cmocka_unit_test(test_a_flag_of_another_program_says_so),
        cmocka_unit_test(test_positional_arguments_are_refused),
        cmocka_unit_test(test_flags_win_over_the_file_in_any_order),
        cmocka_unit_test(test_help_says_which_environments_have_presets),
        cmocka_unit_test(test_help_lists_the_flags_of_the_program),
        cmocka_unit_test(test_version_is_printed),
        cmocka_unit_test(test_errors_are_returned_and_never_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
