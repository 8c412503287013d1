#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"

static int saved_stderr;

/* Sends stderr to fd until release_stderr(). */
static void take_stderr(int fd)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
}

static void release_stderr(void)
{
    fflush(stderr);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
}

/* Lines begin with the time, which differs; this checks its form and gives back the rest. */
static const char *after_time(const char *line)
{
    static const char form[] = "dd:dd:dd ";
    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] == 'd')
            assert_true(line[i] >= '0' && line[i] <= '9');
        else
            assert_int_equal(line[i], form[i]);
    }
    return line + sizeof form - 1;
}

static void test_lines_have_time_name_and_level(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    take_stderr(fileno(file));
    bool terminal = log_is_terminal();
    log_info("%d before the name", 1);
    log_set_name("actor 3");
    log_warn("slow");
    log_error("gone");
    log_status_line("no terminal, no status line");
    log_raw("as it is");
    log_status_line(NULL);
    release_stderr();
    assert_false(terminal);

    const char *const expected[] = {"polyak: 1 before the name\n", "actor 3: warning: slow\n",
                                    "actor 3: error: gone\n"};
    char line[256];
    rewind(file);
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(fgets(line, sizeof line, file));
        assert_string_equal(after_time(line), expected[i]);
    }
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "as it is\n");
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
}

static void test_a_long_line_is_cut_and_stays_one_line(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    take_stderr(fileno(file));
    log_set_name(text);
    log_error("%s", text);
    log_set_name("polyak");
    release_stderr();
    static char all[8000];
    rewind(file);
    size_t length = fread(all, 1, sizeof all - 1, file);
    all[length] = '\0';
    assert_true(length < 1200);
    assert_ptr_equal(strchr(all, '\n'), all + length - 1);
    fclose(file);
}

static void test_the_status_line_stays_below_the_log_on_a_terminal(void **state)
{
    (void)state;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        skip();
    int screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    if (screen < 0)
        skip();
    struct termios raw;
    assert_int_equal(tcgetattr(screen, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(screen, TCSANOW, &raw), 0);
    struct winsize size = {.ws_row = 24, .ws_col = 11};
    assert_int_equal(ioctl(screen, TIOCSWINSZ, &size), 0);

    take_stderr(screen);
    bool is_terminal = log_is_terminal();
    log_status_line("0123456789 and more");
    log_raw("a line");
    log_status_line(NULL);
    log_raw("the end");
    release_stderr();
    assert_true(is_terminal);

    /* A terminal gives what is there, which may be a part at first. */
    static const char end[] = "the end\n";
    char seen[256] = "";
    size_t length = 0;
    while (length < sizeof seen - 1 && !strstr(seen, end)) {
        ssize_t more = read(terminal, seen + length, sizeof seen - 1 - length);
        assert_true(more > 0);
        length += (size_t)more;
        seen[length] = '\0';
    }
    /* Drawn to one column less than there are; taken away, line, drawn again; taken away. */
    assert_string_equal(seen, "\r\033[K0123456789"
                              "\r\033[Ka line\n"
                              "\r\033[K0123456789"
                              "\r\033[K"
                              "the end\n");
    close(screen);
    close(terminal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_have_time_name_and_level),
        cmocka_unit_test(test_a_long_line_is_cut_and_stays_one_line),
        cmocka_unit_test(test_the_status_line_stays_below_the_log_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
