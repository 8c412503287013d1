/* What a relay says of its parent, and which parent it refuses. */
#include "relay/parent.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static const char *trouble_of(const char *refusal)
{
    static Parent parent;
    strcpy(parent.uplink.hello.name, "rack1");
    strcpy(parent.uplink.refusal, refusal);
    return parent_trouble(&parent);
}

static void test_a_parent_is_said_to_be_silent_or_quoted(void **state)
{
    (void)state;
    assert_string_equal(trouble_of(""), "it does not answer");
    const char *others[] = {"relay rack12 has no connection to tcp://a:1 (it does not answer)",
                            "relay rack has no connection to tcp://a:1 (it does not answer)",
                            "reading the replay log back"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_string_equal(trouble_of(others[i]), others[i]);
}

static void test_own_words_that_come_back_are_a_circle(void **state)
{
    (void)state;
    const char *trouble =
        trouble_of("relay rack1 has no connection to tcp://a:1 (it does not answer)");
    assert_non_null(strstr(trouble, "it dials this relay in turn"));
}

static void test_a_relay_does_not_dial_itself(void **state)
{
    (void)state;
    static const struct {
        const char *bind, *connect;
        int code;
    } cases[] = {
        {"tcp://10.0.0.1:5555", "tcp://10.0.0.1:5555", ERR_USAGE},
        {"ipc:///run/relay", "ipc:///run/relay", ERR_USAGE},
        {"tcp://0.0.0.0:5555", "tcp://127.0.0.1:5555", ERR_USAGE},
        {"tcp://*:5555", "tcp://localhost:5555", ERR_USAGE},
        {"tcp://127.0.0.1:5555", "tcp://0.0.0.0:5555", ERR_USAGE},
        {"tcp://127.0.0.1:5555", "tcp://127.0.0.1:5557", ERR_OK},
        {"tcp://0.0.0.0:5555", "tcp://learner:5555", ERR_OK},
        {"tcp://10.0.0.1:5555", "tcp://127.0.0.1:5555", ERR_OK},
        {"tcp://127.0.0.1:5555", "tcp://127.0.0.2:5555", ERR_OK},
        {"tcp://0.0.0.0:5555", "@endpoint", ERR_OK},
        {"nonsense", "tcp:", ERR_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(parent_check(cases[i].bind, cases[i].connect, NULL), cases[i].code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_parent_is_said_to_be_silent_or_quoted),
        cmocka_unit_test(test_own_words_that_come_back_are_a_circle),
        cmocka_unit_test(test_a_relay_does_not_dial_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
