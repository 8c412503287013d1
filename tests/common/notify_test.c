#include "common/notify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "tests/common/scratch.h"

/* The service manager of the test: a socket, and what came to it. */
static Scratch scratch;
static int manager;
static char word[512];

/* Listens at a path, or at a name of the abstract kind, and lets the program know. */
static void listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    assert_true(length < sizeof address.sun_path);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(manager >= 0);
    socklen_t bytes =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
    assert_int_equal(bind(manager, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static int setup(void **state)
{
    (void)state;
    scratch = scratch_make();
    listen_at(scratch_path(&scratch, "notify"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(manager);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    notify_start();
    scratch_remove(&scratch);
    return 0;
}

/* The next word that came; empty when there is none. */
static const char *heard(void)
{
    ssize_t bytes = recv(manager, word, sizeof word - 1, MSG_DONTWAIT);
    word[bytes > 0 ? bytes : 0] = '\0';
    return word;
}

static void expect_watchdog(const char *usec, const char *pid)
{
    setenv("WATCHDOG_USEC", usec, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
    notify_start();
}

static void test_each_word_is_said_once(void **state)
{
    (void)state;
    notify_start();
    notify_ready();
    notify_ready();
    assert_string_equal(heard(), "READY=1");
    assert_string_equal(heard(), "");
    notify_stopping();
    assert_string_equal(heard(), "STOPPING=1");
    notify_tick(1000, true);
    assert_string_equal(heard(), "");
}

static void test_a_name_of_the_abstract_kind(void **state)
{
    (void)state;
    char name[64];
    close(manager);
    snprintf(name, sizeof name, "@polyak-test-%ld", (long)getpid());
    listen_at(name);
    notify_start();
    notify_ready();
    assert_string_equal(heard(), "READY=1");
}

static void test_children_do_not_inherit_it(void **state)
{
    (void)state;
    expect_watchdog("3000000", NULL);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
}

static void test_signs_of_life_come_three_times_in_the_time(void **state)
{
    (void)state;
    expect_watchdog("3000000", NULL);
    int signs = 0;
    for (int64_t now_ms = 5000; now_ms < 5000 + 9000; now_ms += 100) {
        notify_tick(now_ms, true);
        signs += strcmp(heard(), "WATCHDOG=1") == 0;
    }
    assert_int_equal(signs, 9);
}

static void test_what_is_not_well_gives_no_sign(void **state)
{
    (void)state;
    expect_watchdog("3000000", NULL);
    for (int64_t now_ms = 5000; now_ms < 15000; now_ms += 100)
        notify_tick(now_ms, false);
    assert_string_equal(heard(), "");
    notify_tick(15000, true);
    assert_string_equal(heard(), "WATCHDOG=1");
}

static void test_only_who_is_meant_gives_signs(void **state)
{
    (void)state;
    char pid[32];
    expect_watchdog("3000000", "1");
    notify_tick(5000, true);
    assert_string_equal(heard(), "");
    setenv("NOTIFY_SOCKET", scratch_path(&scratch, "notify"), 1);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    expect_watchdog("3000000", pid);
    notify_tick(5000, true);
    assert_string_equal(heard(), "WATCHDOG=1");
    static const char *const none[] = {"0", "-5", "soon", ""};
    for (size_t i = 0; i < 4; i++) {
        setenv("NOTIFY_SOCKET", scratch_path(&scratch, "notify"), 1);
        expect_watchdog(none[i], NULL);
        notify_tick(5000, true);
        assert_string_equal(heard(), "");
    }
}

static void test_a_status_is_due_every_two_seconds(void **state)
{
    (void)state;
    notify_start();
    int due = 0;
    for (int64_t now_ms = 5000; now_ms < 15000; now_ms += 100)
        due += notify_tick(now_ms, true);
    assert_int_equal(due, 5);
    notify_status("%d env steps\nREADY=1", 12);
    assert_string_equal(heard(), "STATUS=12 env steps?READY=1");
    char longest[1000];
    memset(longest, 'x', sizeof longest);
    notify_status("%.*s", (int)sizeof longest, longest);
    assert_int_equal(strlen(heard()), strlen("STATUS=") + 250);
}

/* A manager that does not read does not hold the program up, and hears all that matters later. */
static void test_a_busy_manager_hears_it_later(void **state)
{
    (void)state;
    expect_watchdog("3000000", NULL);
    for (int i = 0; i < 100000; i++)
        notify_status("%d", i);
    notify_ready();
    while (heard()[0] != '\0')
        assert_non_null(strstr(word, "STATUS="));
    notify_tick(5000, true);
    assert_string_equal(heard(), "READY=1");
    assert_string_equal(heard(), "WATCHDOG=1");
}

static void check_nothing_is_said(void)
{
    notify_start();
    notify_ready();
    assert_false(notify_tick(5000, true));
    notify_status("x");
    notify_stopping();
}

static void test_without_a_manager_nothing_is_done(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    check_nothing_is_said();
    setenv("NOTIFY_SOCKET", "", 1);
    check_nothing_is_said();
    assert_string_equal(heard(), "");
}

static void test_what_is_no_socket_is_passed_over(void **state)
{
    (void)state;
    char longest[200];
    memset(longest, '/', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {"relative", "/", "@", "vsock:2:1234", longest};
    for (size_t i = 0; i < 5; i++) {
        setenv("NOTIFY_SOCKET", bad[i], 1);
        check_nothing_is_said();
    }
    setenv("NOTIFY_SOCKET", scratch_path(&scratch, "nobody"), 1);
    notify_start();
    notify_ready();
    assert_true(notify_tick(5000, true));
    notify_stopping();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_word_is_said_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_name_of_the_abstract_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_children_do_not_inherit_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signs_of_life_come_three_times_in_the_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_well_gives_no_sign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_who_is_meant_gives_signs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_status_is_due_every_two_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_busy_manager_hears_it_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_manager_nothing_is_done, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_socket_is_passed_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
