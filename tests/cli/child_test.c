#include "cli/child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"

enum { LONG_MS = 20000, SHORT_MS = 200 };

static Child child;
static Err err;
static volatile sig_atomic_t stop;

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    stop = 0;
    err.text[0] = '\0';
    return 0;
}

static void start(const char *script, ChildPipe direction)
{
    char text[256];
    snprintf(text, sizeof text, "%s", script);
    char *const args[] = {"sh", "-c", text, NULL};
    if (child_start(&child, args, direction, &err) != 0)
        fail_msg("%s", err.text);
}

static void assert_says(int got, int code, const char *excerpt)
{
    if (got != code || !strstr(err.text, excerpt))
        fail_msg("%d: \"%s\"", got, err.text);
}

static void test_a_program_that_is_not_there_is_missing(void **state)
{
    (void)state;
    char *const args[] = {"no-such-program", NULL};
    assert_says(child_start(&child, args, CHILD_IS_READ, &err), ERR_MISSING,
                "there is no such program");
    assert_int_equal(child.pid, 0);
    child_kill(&child); /* does no harm */
}

static void test_all_that_it_says_is_read(void **state)
{
    (void)state;
    char *text = NULL;
    start("cat; printf 'half '; sleep 0.1; echo words; seq 100000 | tail -n 1", CHILD_IS_READ);
    assert_int_equal(child_read(&child, 1000, LONG_MS, &text, &err), 0);
    assert_string_equal(text, "half words\n100000\n");
    free(text);
    assert_int_equal(child_end(&child, LONG_MS, &err), 0);
}

static void test_too_much_is_refused(void **state)
{
    (void)state;
    char *text = NULL;
    start("yes", CHILD_IS_READ);
    assert_says(child_read(&child, 1000, LONG_MS, &text, &err), ERR_IO, "more than 1000 bytes");
    assert_null(text);
    child_kill(&child);
}

static void test_silence_has_a_limit(void **state)
{
    (void)state;
    char *text = NULL;
    int64_t began_ms = clock_ms();
    start("exec sleep 100", CHILD_IS_READ);
    assert_says(child_read(&child, 1000, SHORT_MS, &text, &err), ERR_IO, "within 0.2 s");
    assert_says(child_end(&child, SHORT_MS, &err), ERR_IO, "did not end");
    assert_true(clock_ms() - began_ms < LONG_MS);
    assert_int_equal(child.pid, 0);
}

static void test_one_that_takes_nothing_has_a_limit(void **state)
{
    (void)state;
    static const char bytes[1 << 20];
    start("exec sleep 100", CHILD_IS_WRITTEN);
    assert_says(child_write(&child, bytes, sizeof bytes, SHORT_MS, &stop, &err), ERR_IO,
                "taken nothing");
    stop = 1;
    assert_says(child_write(&child, bytes, sizeof bytes, LONG_MS, &stop, &err), ERR_STOPPED,
                "stopped");
    child_kill(&child);
}

static void test_what_failed_says_its_last_line(void **state)
{
    (void)state;
    start("echo one >&2; printf 'the end\\n \\n' >&2; exit 4", CHILD_IS_WRITTEN);
    assert_says(child_end(&child, LONG_MS, &err), ERR_IO, "sh: the end");
    start("exit 4", CHILD_IS_WRITTEN);
    assert_says(child_end(&child, LONG_MS, &err), ERR_IO, "exit code 4");
    start("kill -9 $$", CHILD_IS_WRITTEN);
    assert_says(child_end(&child, LONG_MS, &err), ERR_IO, "killed by signal 9");
}

static void test_words_without_end_stop_nothing(void **state)
{
    (void)state;
    start("seq 200000 >&2; exit 1", CHILD_IS_WRITTEN);
    assert_says(child_end(&child, LONG_MS, &err), ERR_IO, "sh: 200000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_program_that_is_not_there_is_missing, setup),
        cmocka_unit_test_setup(test_all_that_it_says_is_read, setup),
        cmocka_unit_test_setup(test_too_much_is_refused, setup),
        cmocka_unit_test_setup(test_silence_has_a_limit, setup),
        cmocka_unit_test_setup(test_one_that_takes_nothing_has_a_limit, setup),
        cmocka_unit_test_setup(test_what_failed_says_its_last_line, setup),
        cmocka_unit_test_setup(test_words_without_end_stop_nothing, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
