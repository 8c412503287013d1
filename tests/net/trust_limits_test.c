/* What is refused before anything is opened, and how many peers the limit of open files leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "net/trust.h"

static Config config;
static Err err;

static int setup(void **state)
{
    (void)state;
    config_init(&config);
    return 0;
}

static void set(const char *key, const char *value)
{
    assert_int_equal(config_set(&config, key, value, CONFIG_FLAG, &err), 0);
}

static void test_others_are_let_near_only_with_keys_or_a_word(void **state)
{
    (void)state;
    static const char *const local[] = {"tcp://127.0.0.1:5555", "tcp://[::1]:5555", "ipc:///x/y"};
    static const char *const open[] = {"tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://eth0:5555",
                                       "tcp://10.0.0.1:5555", "tcp://[::]:5555"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        set("bind", local[i]);
        assert_int_equal(trust_check(&config, &err), 0);
    }
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        set("bind", open[i]);
        assert_int_equal(trust_check(&config, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, open[i]));
        assert_non_null(strstr(err.text, "--insecure"));
    }
    set("insecure", "true");
    assert_int_equal(trust_check(&config, &err), 0);
    set("insecure", "false");
    set("key", "learner.key");
    set("allowed_keys", "allowed");
    assert_int_equal(trust_check(&config, &err), 0);
}

static void test_flags_that_do_not_go_together(void **state)
{
    (void)state;
    set("key", "learner.key");
    assert_int_equal(trust_check(&config, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "--key needs --allowed-keys"));
    set("allowed_keys", "allowed");
    set("insecure", "true");
    assert_int_equal(trust_check(&config, &err), ERR_USAGE);
    config_init(&config);
    set("allowed_keys", "allowed");
    assert_int_equal(trust_check(&config, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "--allowed-keys needs --key"));
}

/* Goes downwards: an ordinary user cannot raise a hard limit again. */
static void test_peers_are_lowered_to_what_the_open_files_allow(void **state)
{
    (void)state;
    set("half_open_max", "10");
    set("peers_max", "100");
    struct rlimit files = {.rlim_cur = 300, .rlim_max = 466}; /* 256 + 10 + 2 x 100 */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(trust_fit_limits(&config, &err), 0);
    assert_int_equal(config.peers_max, 100);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(files.rlim_cur, 466); /* raised as far as it goes */

    files = (struct rlimit){.rlim_cur = 300, .rlim_max = 401};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(trust_fit_limits(&config, &err), 0);
    assert_int_equal(config.peers_max, 67);

    files = (struct rlimit){.rlim_cur = 267, .rlim_max = 267};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(trust_fit_limits(&config, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "ulimit -Hn"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_others_are_let_near_only_with_keys_or_a_word, setup),
        cmocka_unit_test_setup(test_flags_that_do_not_go_together, setup),
        cmocka_unit_test_setup(test_peers_are_lowered_to_what_the_open_files_allow, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
