#include "cli/train/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TAKEN_MAX = 16 };

typedef struct Taken {
    int count;
    char line[TAKEN_MAX][LINE_BYTES_MAX + 1];
} Taken;

static void take(void *owner, const char *line)
{
    Taken *taken = owner;
    assert_true(taken->count < TAKEN_MAX);
    snprintf(taken->line[taken->count++], sizeof taken->line[0], "%s", line);
}

static Lines lines;
static Taken taken;

static int setup(void **state)
{
    (void)state;
    memset(&lines, 0, sizeof lines);
    memset(&taken, 0, sizeof taken);
    return 0;
}

static void add(const char *text)
{
    lines_add(&lines, text, strlen(text), take, &taken);
}

static void test_a_line_comes_when_its_newline_does(void **state)
{
    (void)state;
    add("12:00:00 learner: on");
    assert_int_equal(taken.count, 0);
    add("e\n12:00:01 learner: two\n12");
    assert_int_equal(taken.count, 2);
    assert_string_equal(taken.line[0], "12:00:00 learner: one");
    assert_string_equal(taken.line[1], "12:00:01 learner: two");
}

static void test_the_end_of_the_stream_ends_the_last_line(void **state)
{
    (void)state;
    add("no newline");
    lines_end(&lines, take, &taken);
    lines_end(&lines, take, &taken);
    assert_int_equal(taken.count, 1);
    assert_string_equal(taken.line[0], "no newline");
}

static void test_an_empty_line_is_a_line(void **state)
{
    (void)state;
    add("\n\r\n");
    lines_end(&lines, take, &taken);
    assert_int_equal(taken.count, 2);
    assert_string_equal(taken.line[0], "");
    assert_string_equal(taken.line[1], "");
}

static void test_control_bytes_do_not_reach_the_terminal(void **state)
{
    (void)state;
    add("a\tb\033[2Jc\r\n");
    assert_string_equal(taken.line[0], "a b?[2Jc");
}

static void test_utf8_stays_as_it_is(void **state)
{
    (void)state;
    add("ret\xC3\xA9rn \xC2\xB1 1\n");
    assert_string_equal(taken.line[0], "ret\xC3\xA9rn \xC2\xB1 1");
}

static void test_a_line_without_end_comes_in_pieces(void **state)
{
    (void)state;
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 5; i++)
        lines_add(&lines, piece, sizeof piece, take, &taken);
    add("\n");
    assert_int_equal(taken.count, 3);
    assert_int_equal(strlen(taken.line[0]), LINE_BYTES_MAX);
    assert_int_equal(strlen(taken.line[1]), LINE_BYTES_MAX);
    assert_int_equal(strlen(taken.line[2]), 5000 - 2 * LINE_BYTES_MAX);
}

static void test_a_line_of_exactly_the_limit_is_one_line(void **state)
{
    (void)state;
    char line[LINE_BYTES_MAX];
    memset(line, 'x', sizeof line);
    lines_add(&lines, line, sizeof line, take, &taken);
    add("\n");
    assert_int_equal(taken.count, 1);
    assert_int_equal(strlen(taken.line[0]), LINE_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_line_comes_when_its_newline_does, setup),
        cmocka_unit_test_setup(test_the_end_of_the_stream_ends_the_last_line, setup),
        cmocka_unit_test_setup(test_an_empty_line_is_a_line, setup),
        cmocka_unit_test_setup(test_control_bytes_do_not_reach_the_terminal, setup),
        cmocka_unit_test_setup(test_utf8_stays_as_it_is, setup),
        cmocka_unit_test_setup(test_a_line_without_end_comes_in_pieces, setup),
        cmocka_unit_test_setup(test_a_line_of_exactly_the_limit_is_one_line, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
