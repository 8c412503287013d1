/* Where the weights are, and what a Welcome takes from the configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/endpoints.h"

static void test_weights_are_on_the_next_port_or_beside_the_path(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556"},
        {"tcp://0.0.0.0:1", "tcp://0.0.0.0:2"},
        {"tcp://[::1]:65534", "tcp://[::1]:65535"},
        {"ipc:///run/polyak", "ipc:///run/polyak.weights"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char weights[WIRE_ENDPOINT_MAX + 1];
        Err err;
        assert_int_equal(endpoints_weights(cases[i][0], weights, &err), 0);
        assert_string_equal(weights, cases[i][1]);
    }
}

static void test_endpoints_without_a_next_one_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"tcp://127.0.0.1:65535", "tcp://127.0.0.1", "tcp://host:x",
                                        "tcp://host:0",          "inproc://here",   "",
                                        "localhost:5555",        "tcp://*:*"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char weights[WIRE_ENDPOINT_MAX + 1];
        Err err = {""};
        assert_int_equal(endpoints_weights(cases[i], weights, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, "--bind"));
    }
    char longest[WIRE_ENDPOINT_MAX + 1];
    snprintf(longest, sizeof longest, "ipc:///%0*d", WIRE_ENDPOINT_MAX - 7, 0);
    char weights[WIRE_ENDPOINT_MAX + 1];
    Err err;
    assert_int_equal(endpoints_weights(longest, weights, &err), ERR_USAGE);
}

/* libzmq takes such a port modulo 65536. */
static void test_a_port_that_is_none_is_refused_before_it_is_bound(void **state)
{
    (void)state;
    static const char *const refused[] = {"tcp://0.0.0.0:99999",
                                          "tcp://0.0.0.0:70000",
                                          "tcp://0.0.0.0:65535",
                                          "tcp://0.0.0.0:-5",
                                          "tcp://0.0.0.0:0",
                                          "tcp://0.0.0.0:",
                                          "tcp://0.0.0.0:5555x",
                                          "tcp://0.0.0.0: 5555",
                                          "tcp://0.0.0.0:18446744073709551617",
                                          "tcp://0.0.0.0:000001",
                                          "tcp://[::1]",
                                          "tcp://",
                                          "ipc://",
                                          "udp://127.0.0.1:5555",
                                          "5555"};
    static const char *const taken[] = {"tcp://0.0.0.0:1",  "tcp://*:65534", "tcp://eth0:5555",
                                        "tcp://[::1]:5555", "tcp://*:*",     "ipc:///run/polyak"};
    Err err = {""};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        err.text[0] = '\0';
        if (endpoints_check(refused[i], &err) != ERR_USAGE)
            fail_msg("%s is taken", refused[i]);
        assert_non_null(strstr(err.text, "--bind"));
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (endpoints_check(taken[i], &err) != ERR_OK)
            fail_msg("%s", err.text);
}

static void test_actors_are_told_the_port_unless_that_is_not_enough(void **state)
{
    (void)state;
    static Config config;
    config_init(&config);
    Err err;
    Welcome welcome = {0};
    assert_int_equal(endpoints_advertise(&config, "tcp://0.0.0.0:5556", &welcome, &err), 0);
    assert_int_equal(welcome.weights_port, 5556);
    assert_string_equal(welcome.weights_endpoint, "");
    welcome = (Welcome){0};
    assert_int_equal(endpoints_advertise(&config, "ipc:///run/p.weights", &welcome, &err), 0);
    assert_int_equal(welcome.weights_port, 0);
    assert_string_equal(welcome.weights_endpoint, "ipc:///run/p.weights");
    welcome = (Welcome){0};
    snprintf(config.advertise, sizeof config.advertise, "tcp://gateway:7001");
    assert_int_equal(endpoints_advertise(&config, "tcp://0.0.0.0:5556", &welcome, &err), 0);
    assert_string_equal(welcome.weights_endpoint, "tcp://gateway:7001");
    memset(config.advertise, 'x', WIRE_ENDPOINT_MAX + 1);
    config.advertise[WIRE_ENDPOINT_MAX + 1] = '\0';
    assert_int_equal(endpoints_advertise(&config, "tcp://0.0.0.0:5556", &welcome, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "--advertise"));
}

static void test_a_welcome_says_what_is_configured(void **state)
{
    (void)state;
    static Config config;
    config_init(&config);
    config.seed = 12;
    config.segment_steps = 34;
    config.segment_flush_ms = 56;
    config.noise = NOISE_GAUSSIAN;
    config.sigma = 0.25;
    config.ou_theta = 0.5;
    config.ou_dt = 0.125;
    config.heartbeat_interval_ms = 78;
    config.publish_interval_ms = 90;
    config.policy_age_s_max = 21;
    config.sync = true;
    Welcome welcome = {.weights_port = 1234};
    endpoints_fill_welcome(&config, &welcome);
    assert_int_equal(welcome.seed, 12);
    assert_int_equal(welcome.segment_steps, 34);
    assert_int_equal(welcome.segment_flush_ms, 56);
    assert_int_equal(welcome.noise, NOISE_GAUSSIAN);
    assert_true(welcome.sigma == 0.25 && welcome.ou_theta == 0.5 && welcome.ou_dt == 0.125);
    assert_int_equal(welcome.heartbeat_interval_ms, 78);
    assert_int_equal(welcome.publish_interval_ms, 90);
    assert_int_equal(welcome.policy_age_s_max, 21);
    assert_true(welcome.sync);
    assert_int_equal(welcome.weights_port, 1234);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_are_on_the_next_port_or_beside_the_path),
        cmocka_unit_test(test_endpoints_without_a_next_one_are_refused),
        cmocka_unit_test(test_a_port_that_is_none_is_refused_before_it_is_bound),
        cmocka_unit_test(test_actors_are_told_the_port_unless_that_is_not_enough),
        cmocka_unit_test(test_a_welcome_says_what_is_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
