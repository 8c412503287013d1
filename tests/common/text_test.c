#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/text.h"

static void test_thousands_are_separated(void **state)
{
    (void)state;
    char out[TEXT_NUMBER_BYTES];
    assert_string_equal(text_thousands(0, out), "0");
    assert_string_equal(text_thousands(999, out), "999");
    assert_string_equal(text_thousands(1000, out), "1,000");
    assert_string_equal(text_thousands(1234567, out), "1,234,567");
    assert_string_equal(text_thousands(UINT64_MAX, out), "18,446,744,073,709,551,615");
}

static void test_an_excerpt_is_one_line_that_fits(void **state)
{
    (void)state;
    char out[8];
    assert_string_equal(text_excerpt("short", out, sizeof out), "short");
    assert_string_equal(text_excerpt("1234567", out, sizeof out), "1234567");
    assert_string_equal(text_excerpt("12345678", out, sizeof out), "1234...");
    assert_string_equal(text_excerpt("a\nb\x7F", out, sizeof out), "a?b?");
    /* "äää…" is cut between characters, not inside one. */
    assert_string_equal(text_excerpt("x\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4", out, sizeof out),
                        "x\xC3\xA4...");
}

static void test_utf8_is_read_and_bad_bytes_are_told(void **state)
{
    (void)state;
    const char *text = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80";
    assert_int_equal(text_utf8_next(&text), 'a');
    assert_int_equal(text_utf8_next(&text), 0xE4);
    assert_int_equal(text_utf8_next(&text), 0x20AC);
    assert_int_equal(text_utf8_next(&text), 0x1F600);
    assert_int_equal(text_utf8_next(&text), 0);
    assert_int_equal(text_utf8_next(&text), 0);

    const char *const bad[] = {
        "\x80",             /* a continuation without a beginning */
        "\xC3",             /* cut off */
        "\xE2\x82",         /* cut off */
        "\xC0\x80",         /* overlong zero */
        "\xE0\x80\xAF",     /* overlong slash */
        "\xF0\x80\x80\xAF", /* overlong slash */
        "\xED\xA0\x80",     /* surrogate */
        "\xF4\x90\x80\x80", /* above U+10FFFF */
        "\xFF",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *rest = bad[i];
        assert_int_equal(text_utf8_next(&rest), -1);
        assert_ptr_equal(rest, bad[i]);
    }
}

static void test_distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(text_distance("", ""), 0);
    assert_int_equal(text_distance("batch", "batch"), 0);
    assert_int_equal(text_distance("", "tau"), 3);
    assert_int_equal(text_distance("gama", "gamma"), 1);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_int_equal(text_distance("bacth", "batch"), 1); /* a swap is one edit */
    char long_word[TEXT_DISTANCE_MAX + 2];
    memset(long_word, 'x', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = '\0';
    assert_int_equal(text_distance(long_word, long_word), INT_MAX);
    assert_int_equal(text_distance(long_word + 1, long_word + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousands_are_separated),
        cmocka_unit_test(test_an_excerpt_is_one_line_that_fits),
        cmocka_unit_test(test_utf8_is_read_and_bad_bytes_are_told),
        cmocka_unit_test(test_distance_counts_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
