/* What a run did, out of an order log that several starts have written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/train/history.h"
#include "tests/learner/log/memory_disk.h"
#include "tests/learner/train/train_world.h"

static uint64_t seed;
static MemoryDisk *memory;
static OrderLog *order;
static RunId run_id;
static History history;

static int set_up(void **state)
{
    (void)state;
    Err err;
    seed = train_seed();
    memcpy(run_id.bytes, &seed, sizeof seed);
    memory = memory_disk_new();
    assert_int_equal(order_log_open(memory_disk_table(memory), TRAIN_DIRECTORY, &run_id, NULL, NULL,
                                    &order, &err),
                     ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    history_free(&history);
    order_log_close(&order);
    memory_disk_destroy(&memory);
    return 0;
}

static uint32_t digest_of(uint64_t update)
{
    return (uint32_t)(update * 2654435761U);
}

static void block(uint64_t first_update, uint32_t count, uint64_t position)
{
    Err err;
    OrderBlock made = {.first_update = first_update, .position = position, .count = count};
    for (uint32_t i = 0; i < count; i++)
        made.digests[i] = digest_of(first_update + i);
    assert_int_equal(order_log_block(order, &made, &err), ERR_OK);
}

static void event(OrderEventType type, uint64_t update, uint64_t position, uint64_t value,
                  const char *text)
{
    Err err;
    OrderEvent made = {.type = type, .update = update, .position = position, .value = value};
    snprintf(made.text, sizeof made.text, "%s", text);
    assert_int_equal(order_log_event(order, &made, &err), ERR_OK);
}

static void load(void)
{
    Err err = {""};
    history_free(&history);
    assert_int_equal(order_log_flush(order, &err), ERR_OK);
    assert_int_equal(
        history_load(&history, memory_disk_table(memory), TRAIN_DIRECTORY, &run_id, &err), ERR_OK);
}

static void assert_block(size_t i, uint64_t first_update, uint32_t count, uint64_t position)
{
    const HistoryItem *item = &history.items[i];
    assert_true(i < history.num_items);
    assert_false(item->is_event);
    assert_int_equal(item->first_update, first_update);
    assert_int_equal(item->count, count);
    assert_int_equal(item->position, position);
    for (uint32_t k = 0; k < count; k++)
        assert_int_equal(history.digests[item->first_digest + k], digest_of(first_update + k));
}

static void assert_event(size_t i, OrderEventType type, uint64_t update, uint64_t position)
{
    const HistoryItem *item = &history.items[i];
    assert_true(i < history.num_items);
    assert_true(item->is_event);
    assert_int_equal(item->event, type);
    assert_int_equal(item->first_update, update);
    assert_int_equal(item->position, position);
    assert_int_equal(item->count, 0);
}

static void test_no_log_is_an_empty_history(void **state)
{
    (void)state;
    load();
    assert_int_equal(history.num_items, 0);
    assert_int_equal(history.damaged, 0);
}

static void test_updates_and_events_keep_their_order(void **state)
{
    (void)state;
    event(ORDER_START, 0, 0, 1, "");
    block(0, 256, 10);
    block(256, 4, 10);
    event(ORDER_SET, 260, 10, 0, "actor_lr=0.1 was 0.2");
    event(ORDER_SKIPPED, 260, 10, 259, "");
    block(260, 3, 11);
    event(ORDER_CHECKPOINT, 263, 11, 77, "");
    event(ORDER_STOP, 263, 11, 0, "");
    load();
    assert_int_equal(history.num_items, 8);
    assert_event(0, ORDER_START, 0, 0);
    assert_block(1, 0, 256, 10);
    assert_block(2, 256, 4, 10);
    assert_event(3, ORDER_SET, 260, 10);
    assert_string_equal(history.items[3].text, "actor_lr=0.1 was 0.2");
    assert_event(4, ORDER_SKIPPED, 260, 10);
    assert_block(5, 260, 3, 11);
    assert_event(6, ORDER_CHECKPOINT, 263, 11);
    assert_int_equal(history.items[6].value, 77);
    assert_event(7, ORDER_STOP, 263, 11);
}

static void test_a_resume_leaves_out_what_the_crash_undid(void **state)
{
    (void)state;
    block(0, 10, 5);
    event(ORDER_CHECKPOINT, 10, 5, 0, "");
    block(10, 10, 6);
    event(ORDER_SET, 20, 6, 0, "actor_lr=1 was 2");
    block(20, 10, 7);
    event(ORDER_ROLLBACK, 30, 7, 10, "");
    event(ORDER_RESUME, 20, 6, 10, "");
    block(20, 5, 6);
    load();
    assert_int_equal(history.num_items, 6);
    assert_block(0, 0, 10, 5);
    assert_event(1, ORDER_CHECKPOINT, 10, 5);
    assert_block(2, 10, 10, 6);
    assert_event(3, ORDER_SET, 20, 6); /* it happened before what was undone */
    assert_event(4, ORDER_RESUME, 20, 6);
    assert_block(5, 20, 5, 6);
}

static void test_a_block_that_reaches_beyond_a_resume_is_trimmed(void **state)
{
    (void)state;
    block(0, 10, 5);
    block(10, 10, 6);
    event(ORDER_RESUME, 13, 6, 10, "");
    block(13, 2, 9);
    event(ORDER_RESUME, 15, 9, 15, "");
    load();
    assert_int_equal(history.num_items, 5);
    assert_block(1, 10, 3, 6);
    assert_event(2, ORDER_RESUME, 13, 6);
    assert_block(3, 13, 2, 9);
    assert_event(4, ORDER_RESUME, 15, 9);
}

static void test_a_resume_at_the_beginning_leaves_nothing(void **state)
{
    (void)state;
    event(ORDER_CHECKPOINT, 0, 0, 0, "");
    block(0, 10, 5);
    event(ORDER_RESUME, 0, 0, 0, "");
    block(0, 4, 3);
    load();
    assert_int_equal(history.num_items, 3);
    assert_event(0, ORDER_CHECKPOINT, 0, 0);
    assert_event(1, ORDER_RESUME, 0, 0);
    assert_block(2, 0, 4, 3);
}

/* A rollback undoes networks, and nothing of the record. */
static void test_a_rollback_undoes_nothing_of_the_record(void **state)
{
    (void)state;
    block(0, 10, 5);
    event(ORDER_ROLLBACK, 10, 5, 3, "");
    block(10, 2, 6);
    load();
    assert_int_equal(history.num_items, 3);
    assert_block(2, 10, 2, 6);
}

static void test_damage_is_counted_and_passed_over(void **state)
{
    (void)state;
    Err err;
    size_t num_bytes = 0;
    block(0, 3, 5);
    event(ORDER_SET, 3, 5, 0, "actor_lr=1 was 2");
    block(3, 3, 5);
    assert_int_equal(order_log_flush(order, &err), ERR_OK);
    uint8_t *bytes = memory_disk_file(memory, TRAIN_DIRECTORY "/order.plog", &num_bytes);
    uint8_t *text = NULL;
    for (size_t i = 0; i + 8 < num_bytes && !text; i++)
        text = memcmp(bytes + i, "actor_lr", 8) == 0 ? bytes + i : NULL;
    assert_non_null(text);
    *text ^= 1;
    load();
    assert_int_equal(history.num_items, 2);
    assert_int_equal(history.damaged, 1);
    assert_block(0, 0, 3, 5);
    assert_block(1, 3, 3, 5);
}

/* More than one piece of memory. */
static void test_a_long_history_is_read_whole(void **state)
{
    (void)state;
    enum { BLOCKS = 5000 };
    for (uint64_t i = 0; i < BLOCKS; i++)
        block(3 * i, 3, i + 1);
    load();
    assert_int_equal(history.num_items, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_block(i, 3 * i, 3, i + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_no_log_is_an_empty_history),
        TEST(test_updates_and_events_keep_their_order),
        TEST(test_a_resume_leaves_out_what_the_crash_undid),
        TEST(test_a_block_that_reaches_beyond_a_resume_is_trimmed),
        TEST(test_a_resume_at_the_beginning_leaves_nothing),
        TEST(test_a_rollback_undoes_nothing_of_the_record),
        TEST(test_damage_is_counted_and_passed_over),
        TEST(test_a_long_history_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
