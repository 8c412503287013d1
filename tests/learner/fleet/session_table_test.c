/* The table of sessions: found by all their bytes, kept as long as promised, and no more of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

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

static void set_link(SessionTable *table, int number, Link link)
{
    ActorSession *session = find(table, number);
    session->link = link;
    session_table_update(table, session);
}

static void set_unlogged(SessionTable *table, int number, uint64_t unlogged)
{
    ActorSession *session = find(table, number);
    session->unlogged = unlogged;
    session_table_update(table, session);
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
    add(&table, 2, 0);
    set_link(&table, 2, 7); /* connected: it stays however silent it is */
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
    add(&table, 1, 0);
    set_unlogged(&table, 1, 1);
    session_table_expire(&table, 100000);
    assert_non_null(find(&table, 1));
    assert_null(add(&table, 2, 100000));
    set_unlogged(&table, 1, 0);
    assert_non_null(add(&table, 2, 100000));
    session_table_destroy(&table);
}

static void test_the_longest_idle_one_makes_room(void **state)
{
    (void)state;
    SessionTable table = {.max = 3, .retention_ms = 100000};
    add(&table, 1, 10);
    set_link(&table, 1, 7);
    add(&table, 2, 20);
    set_link(&table, 2, 8);
    add(&table, 3, 30);
    set_link(&table, 2, 0);
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
    add(&table, 1, 10);
    set_link(&table, 1, 7);
    add(&table, 2, 10);
    set_link(&table, 2, 8);
    assert_null(add(&table, 3, 1000000));
    set_link(&table, 1, 0);
    assert_non_null(add(&table, 3, 1000000));
    assert_null(find(&table, 1));
    session_table_destroy(&table);
}

static double add_many(SessionTable *table, int first, int count)
{
    clock_t start = clock();
    for (int i = first; i < first + count; i++)
        assert_non_null(add(table, i, i));
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}

/* A flood of new sessions must not hold up the loop: in time of the processor, against that of the
 * same sessions without the search. */
static void test_to_make_room_takes_no_longer_in_a_large_table(void **state)
{
    (void)state;
    enum { MAX = 30000 };
    SessionTable table = {.max = MAX, .retention_ms = 100000};
    double filling_s = add_many(&table, 0, MAX);
    double flood_s = add_many(&table, MAX, MAX);
    assert_int_equal(HASH_COUNT(table.by_id), MAX);
    assert_null(find(&table, MAX - 1));
    assert_non_null(find(&table, MAX));
    assert_true(flood_s < 20 * filling_s + 0.05);
    session_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_is_found_by_its_id),
        cmocka_unit_test(test_only_silent_disconnected_sessions_expire),
        cmocka_unit_test(test_a_session_that_waits_for_the_log_stays),
        cmocka_unit_test(test_the_longest_idle_one_makes_room),
        cmocka_unit_test(test_a_table_of_connected_sessions_takes_no_more),
        cmocka_unit_test(test_to_make_room_takes_no_longer_in_a_large_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
