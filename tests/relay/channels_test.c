/* The table of channels: beside a plain list, through many turns of chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "relay/channels.h"

enum { PLACES = 37, TURNS = 200000, LINKS = 300, KEYS = 5 };

static Session session_of(Link link)
{
    Session session = {{1}};
    memcpy(session.id + 8, &link, sizeof link);
    return session;
}

static const char *key_of(Link link)
{
    static const char *keys[KEYS] = {"", "a", "b", "node1", "node2"};
    return keys[link_connection(link) % KEYS];
}

static Channel *add(Channels *channels, Link link)
{
    const Session session = session_of(link);
    return channels_add(channels, link, key_of(link), &session);
}

static void test_a_full_table_has_no_place(void **state)
{
    (void)state;
    Channels *channels = channels_new(3);
    for (uint32_t i = 1; i <= 3; i++)
        assert_non_null(add(channels, link_make(i, 0)));
    assert_null(add(channels, link_make(4, 0)));
    channels_remove(channels, channels_find_link(channels, link_make(2, 0)));
    assert_non_null(add(channels, link_make(4, 0)));
    assert_int_equal(channels_count(channels), 3);
    channels_destroy(&channels);
    assert_null(channels);
}

static void test_the_channels_of_one_connection_are_many(void **state)
{
    (void)state;
    Channels *channels = channels_new(PLACES);
    for (uint32_t i = 0; i < PLACES; i++)
        assert_non_null(add(channels, link_make(7, i)));
    for (uint32_t i = 0; i < PLACES; i++)
        assert_true(channels_find_link(channels, link_make(7, i))->link == link_make(7, i));
    assert_null(channels_find_link(channels, link_make(8, 0)));
    channels_destroy(&channels);
}

static void test_a_number_does_not_come_again_soon(void **state)
{
    (void)state;
    Channels *channels = channels_new(1);
    uint32_t first = 0;
    for (uint32_t i = 0; i < 65535; i++) {
        Channel *channel = add(channels, link_make(1, 0));
        assert_int_not_equal(channel->number, 0);
        assert_int_not_equal(channel->number, first);
        if (i == 0)
            first = channel->number;
        else
            assert_null(channels_find(channels, first));
        channels_remove(channels, channel);
    }
    assert_int_equal(add(channels, link_make(1, 0))->number, first);
    channels_destroy(&channels);
}

static void test_numbers_that_are_none_find_nobody(void **state)
{
    (void)state;
    Channels *channels = channels_new(2);
    assert_null(channels_find(channels, 0));
    assert_null(channels_find(channels, 1));
    assert_null(channels_find(channels, UINT32_MAX));
    Channel *channel = add(channels, link_make(5, 0));
    assert_ptr_equal(channels_find(channels, channel->number), channel);
    assert_null(channels_find(channels, channel->number + 1));
    channels_destroy(&channels);
}

/* Adds or removes by chance, and compares all that can be asked with `number_of` (by link). */
static void test_it_keeps_what_a_list_keeps(void **state)
{
    (void)state;
    static uint32_t number_of[LINKS];
    uint32_t of_key[KEYS] = {0};
    Channels *channels = channels_new(PLACES);
    Rng rng = rng_stream(1, RNG_BACKOFF, 2, 3, 4);
    uint32_t count = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        uint32_t i = (uint32_t)rng_below(&rng, LINKS);
        Link link = link_make(1 + i / 4, i % 4);
        Channel *channel = channels_find_link(channels, link);
        assert_int_equal(channel ? channel->number : 0, number_of[i]);
        const Session session = session_of(link);
        uint32_t key = link_connection(link) % KEYS;
        assert_ptr_equal(channels_find_session(channels, key_of(link), &session), channel);
        assert_null(channels_find_session(channels, "c", &session));
        assert_int_equal(channels_count_of_key(channels, key_of(link)), of_key[key]);
        if (channel) {
            assert_ptr_equal(channels_find(channels, number_of[i]), channel);
            channels_remove(channels, channel);
            assert_null(channels_find(channels, number_of[i]));
            number_of[i] = 0;
            count--;
            of_key[key]--;
        } else {
            channel = add(channels, link);
            assert_int_equal(channel != NULL, count < PLACES);
            number_of[i] = channel ? channel->number : 0;
            count += channel != NULL;
            of_key[key] += channel != NULL;
        }
        assert_int_equal(channels_count(channels), count);
    }
    uint32_t place = 0;
    for (Channel *channel; (channel = channels_next(channels, &place)) != NULL; count--)
        channels_remove(channels, channel);
    assert_int_equal(count, 0);
    assert_int_equal(channels_count(channels), 0);
    for (uint32_t key = 0; key < KEYS; key++)
        assert_int_equal(channels_count_of_key(channels, key_of(link_make(key, 0))), 0);
    channels_destroy(&channels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_table_has_no_place),
        cmocka_unit_test(test_the_channels_of_one_connection_are_many),
        cmocka_unit_test(test_a_number_does_not_come_again_soon),
        cmocka_unit_test(test_numbers_that_are_none_find_nobody),
        cmocka_unit_test(test_it_keeps_what_a_list_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
