#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static void test_set_formats_and_returns_the_code(void **state)
{
    (void)state;
    Err err;
    assert_int_equal(err_set(&err, ERR_IO, "%s: %d", "file", 5), ERR_IO);
    assert_string_equal(err.text, "file: 5");
    assert_int_equal(err_set(NULL, ERR_FULL, "nobody reads it"), ERR_FULL);
}

static void test_a_long_message_is_cut(void **state)
{
    (void)state;
    Err err;
    char text[2 * sizeof err.text];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERR_IO, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void test_every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int code = ERR_AGAIN; code <= ERR_OK; code++) {
        assert_string_not_equal(err_name(code), "unknown");
        for (int other = ERR_AGAIN; other < code; other++)
            assert_string_not_equal(err_name(code), err_name(other));
    }
    assert_string_equal(err_name(1), "unknown");
    assert_string_equal(err_name(ERR_AGAIN - 1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_formats_and_returns_the_code),
        cmocka_unit_test(test_a_long_message_is_cut),
        cmocka_unit_test(test_every_code_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
