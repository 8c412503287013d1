/* The table of sessions: found by all their bytes, kept as long as promised, and no more of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "learner/fleet/session_table.h"

static Session named(int number)
{
    Session session = {{0}};
    memcpy(session.id + 12, &number, sizeof number); /* they differ in the last bytes alone */
    return session;
}

static ActorSession *add(SessionTable *table, int number, int64_t now_ms)
{
    Session id = named(number);
    return session_table_add(table, &id, now_ms);
}

static ActorSession *find(SessionTable *table, int number)
{
    Session id = named(number);
    return session_table_find(table, &id);
}

static void test_a_session_is_found_by_its_id(void **state)
{
    (void)state;
    SessionTable table = {.max = 10, .retention_ms = 1000};
    assert_null(find(&table, 1));
    ActorSession *one = add(&table, 1, 5);
    ActorSession *two = add(&table, 2, 6);
    assert_true(one && two && one != two);
    assert_ptr_equal(find(&table, 1), one);
    assert_ptr_equal(find(&table, 2), two);
    assert_int_equal(one->last_heard_ms, 5);
    assert_int_equal(one->acked_sequence, 0);
    session_table_destroy(&table);
    assert_null(find(&table, 1));
}

static void test_only_silent_disconnected_sessions_expire(void **state)
{
    (void)state;
    SessionTable table = {.max = 10, .retention_ms = 1000};
    add(&table, 1, 0);
    add(&table, 2, 0)->link = 7; /* connected: it stays however silent it is */
    add(&table, 3, 500);
    session_table_expire(&table, 1000);
    assert_non_null(find(&table, 1));
    session_table_expire(&table, 1001);
    assert_null(find(&table, 1));
    assert_non_null(find(&table, 2));
    assert_non_null(find(&table, 3));
    session_table_destroy(&table);
}

static void test_a_session_that_waits_for_the_log_stays(void **state)
{
    (void)state;
    SessionTable table = {.max = 1, .retention_ms = 1000};
    add(&table, 1, 0)->unlogged = 1;
    session_table_expire(&table, 100000);
    assert_non_null(find(&table, 1));
    assert_null(add(&table, 2, 100000));
    find(&table, 1)->unlogged = 0;
    assert_non_null(add(&table, 2, 100000));
    session_table_destroy(&table);
}

static void test_the_longest_silent_one_makes_room(void **state)
{
    (void)state;
    SessionTable table = {.max = 3, .retention_ms = 100000};
    add(&table, 1, 10)->link = 7;
    add(&table, 2, 30);
    add(&table, 3, 20);
    assert_non_null(add(&table, 4, 40));
    assert_null(find(&table, 3));
    assert_non_null(find(&table, 1));
    assert_non_null(find(&table, 2));
    session_table_destroy(&table);
}

static void test_a_table_of_connected_sessions_takes_no_more(void **state)
{
    (void)state;
    SessionTable table = {.max = 2, .retention_ms = 100000};
    add(&table, 1, 10)->link = 7;
    add(&table, 2, 10)->link = 8;
    assert_null(add(&table, 3, 1000000));
    find(&table, 1)->link = 0;
    assert_non_null(add(&table, 3, 1000000));
    assert_null(find(&table, 1));
    session_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_is_found_by_its_id),
        cmocka_unit_test(test_only_silent_disconnected_sessions_expire),
        cmocka_unit_test(test_a_session_that_waits_for_the_log_stays),
        cmocka_unit_test(test_the_longest_silent_one_makes_room),
        cmocka_unit_test(test_a_table_of_connected_sessions_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
