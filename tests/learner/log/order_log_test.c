#include "learner/log/order_log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/learner/log/log_world.h"

enum { RECORDS_MAX = 4000 };
#define DIRECTORY "run/replay"

static MemoryDisk *memory;
static const LogDisk *disk;
static RunId run_id;
static OrderLog *log_;
static OrderItem put[RECORDS_MAX + 1]; /* [number] */
static uint64_t num_put;
static unsigned num_warnings;
static Rng rng;

static void warn(void *user, const char *line)
{
    (void)user;
    (void)line;
    num_warnings++;
}

static void open_log(void)
{
    Err err = {""};
    order_log_close(&log_);
    int code = order_log_open(disk, DIRECTORY, &run_id, warn, NULL, &log_, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, ERR_OK);
}

static int set_up(void **state)
{
    (void)state;
    uint64_t seed = world_seed();
    rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    memory = memory_disk_new();
    disk = memory_disk_table(memory);
    memcpy(run_id.bytes, &seed, sizeof seed);
    num_put = 0;
    num_warnings = 0;
    open_log();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    order_log_close(&log_);
    memory_disk_destroy(&memory);
    return 0;
}

static void random_item(OrderItem *item)
{
    memset(item, 0, sizeof *item);
    if (rng_below(&rng, 3)) {
        item->kind = ORDER_ITEM_BLOCK;
        item->block.first_update = rng_u64(&rng);
        item->block.position = rng_u64(&rng);
        item->block.count = (uint32_t)rng_below(&rng, ORDER_UPDATES_MAX + 1);
        for (uint32_t i = 0; i < item->block.count; i++)
            item->block.digests[i] = (uint32_t)rng_u64(&rng);
        return;
    }
    item->kind = ORDER_ITEM_EVENT;
    item->event.type = (OrderEventType)(ORDER_START + rng_below(&rng, ORDER_STOP));
    item->event.update = rng_below(&rng, 50);
    item->event.position = rng_u64(&rng);
    item->event.value = rng_u64(&rng);
    size_t length = rng_below(&rng, ORDER_TEXT_MAX + 1);
    for (size_t i = 0; i < length; i++)
        item->event.text[i] = (char)(1 + rng_below(&rng, 255));
}

static int append(void)
{
    Err err;
    OrderItem item;
    random_item(&item);
    int code = item.kind == ORDER_ITEM_BLOCK ? order_log_block(log_, &item.block, &err)
                                             : order_log_event(log_, &item.event, &err);
    if (code == ERR_OK) {
        item.number = ++num_put;
        put[num_put] = item;
    }
    return code;
}

static void append_all(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(append(), ERR_OK);
    assert_int_equal(order_log_flush(log_, NULL), ERR_OK);
}

typedef struct Seen {
    uint64_t records;
    uint64_t last;
    uint64_t damage;
    uint64_t torn;
} Seen;

static void assert_same(const OrderItem *item)
{
    const OrderItem *expected = &put[item->number];
    assert_true(item->number >= 1 && item->number <= num_put);
    assert_int_equal(item->kind, expected->kind);
    if (item->kind == ORDER_ITEM_BLOCK)
        assert_memory_equal(&item->block, &expected->block, sizeof item->block);
    else
        assert_memory_equal(&item->event, &expected->event, sizeof item->event);
}

static Seen read_all(void)
{
    Err err = {""};
    Seen seen = {0};
    OrderReader *reader;
    OrderItem item = {.kind = ORDER_ITEM_TORN};
    assert_int_equal(order_reader_open(disk, DIRECTORY, &run_id, &reader, &err), ERR_OK);
    while (item.kind != ORDER_ITEM_END) {
        memset(&item, 0, sizeof item);
        assert_int_equal(order_reader_next(reader, &item, &err), ERR_OK);
        seen.damage += item.kind == ORDER_ITEM_DAMAGE;
        seen.torn += item.kind == ORDER_ITEM_TORN;
        if (item.kind != ORDER_ITEM_BLOCK && item.kind != ORDER_ITEM_EVENT)
            continue;
        assert_true(item.number > seen.last);
        assert_same(&item);
        seen.last = item.number;
        seen.records++;
    }
    order_reader_close(&reader);
    return seen;
}

static void test_records_of_all_starts_come_back_in_order(void **state)
{
    (void)state;
    for (int start = 0; start < 5; start++) {
        append_all(200);
        assert_int_equal(order_log_flushed_number(log_), num_put);
        open_log();
    }
    assert_int_equal(memory_disk_num_files(memory), 6); /* one of each start */
    assert_string_equal(memory_disk_path(memory, 5), DIRECTORY "/order.plog");
    Seen seen = read_all();
    assert_int_equal(seen.records, 1000);
    assert_int_equal(seen.damage + seen.torn + num_warnings, 0);
}

/* A process that dies after a failed sync leaves a file of which nobody knows what is on disk. */
static void test_what_a_dead_process_gave_up_is_not_written_again(void **state)
{
    (void)state;
    size_t before, after;
    append_all(10);
    memory_disk_fault(memory, &(MemoryDiskFault){MEMORY_DISK_SYNC, 1, 1, EIO, false});
    assert_int_equal(order_log_sync(log_, NULL), ERR_IO);
    memory_disk_file(memory, DIRECTORY "/order.plog", &before);
    open_log();
    append_all(10);
    assert_int_equal(order_log_sync(log_, NULL), ERR_OK);
    memory_disk_file(memory, DIRECTORY "/order.plog", &after);
    assert_int_equal(after, before);
    assert_int_equal(memory_disk_num_files(memory), 2);
    assert_int_equal(read_all().records, 20);
}

/* A start counts on what it has read: that must survive the next power loss. */
static void test_what_a_start_has_read_survives_a_power_loss(void **state)
{
    (void)state;
    append_all(10);
    open_log();
    append_all(3);
    assert_int_equal(order_log_sync(log_, NULL), ERR_OK);
    memory_disk_power_loss(memory, NULL);
    assert_int_equal(read_all().records, 13);
}

static void remove_later_files(void)
{
    char path[256];
    for (int i = 1; i < 4; i++) {
        snprintf(path, sizeof path, DIRECTORY "/order-%d.plog", i);
        (void)disk->remove(disk->context, path);
    }
}

static void test_a_torn_tail_is_cut_and_gone_on_from(void **state)
{
    (void)state;
    append_all(20);
    order_log_close(&log_);
    size_t num_bytes;
    uint8_t *bytes = memory_disk_file(memory, DIRECTORY "/order.plog", &num_bytes);
    uint8_t *copy = malloc(num_bytes);
    assert_non_null(copy);
    memcpy(copy, bytes, num_bytes);
    for (size_t cut = 1; cut < 2000 && cut < num_bytes; cut += 1 + cut / 20) {
        memory_disk_put(memory, DIRECTORY "/order.plog", copy, num_bytes - cut);
        num_put = 20;
        Seen before = read_all();
        open_log();
        num_put = order_log_flushed_number(log_);
        assert_int_equal(num_put, before.last);
        append_all(5);
        order_log_close(&log_);
        Seen seen = read_all();
        assert_int_equal(seen.records, num_put);
        assert_int_equal(seen.torn + seen.damage, 0);
        /* What was overwritten must be made again as it was. */
        rng = rng_stream(1, RNG_TEST, cut, 0, 0);
        remove_later_files();
        memory_disk_put(memory, DIRECTORY "/order.plog", copy, num_bytes);
        num_put = 0;
        OrderReader *reader;
        OrderItem item;
        assert_int_equal(order_reader_open(disk, DIRECTORY, &run_id, &reader, NULL), ERR_OK);
        for (;;) {
            memset(&item, 0, sizeof item);
            assert_int_equal(order_reader_next(reader, &item, NULL), ERR_OK);
            if (item.kind == ORDER_ITEM_END)
                break;
            put[++num_put] = item;
        }
        order_reader_close(&reader);
    }
    free(copy);
    assert_true(num_warnings > 10);
}

static void test_flipped_bits_never_give_a_wrong_record(void **state)
{
    (void)state;
    append_all(20);
    size_t num_bytes;
    uint8_t *bytes = memory_disk_file(memory, DIRECTORY "/order.plog", &num_bytes);
    for (int i = 0; i < 3000; i++) {
        size_t bit = rng_below(&rng, num_bytes * 8);
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        Seen seen = read_all();
        assert_true(seen.records >= 19);
        assert_int_equal(seen.damage + seen.torn, 1);
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

static void test_after_a_fault_at_any_call_nothing_is_lost(void **state)
{
    (void)state;
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        uint64_t before = memory_disk_calls(memory);
        memory_disk_fault(memory, &(MemoryDiskFault){.calls = MEMORY_DISK_ANY,
                                                     .first = n,
                                                     .count = 1 + n % 4,
                                                     .error = n % 2 ? EIO : ENOSPC,
                                                     .short_write = n % 3 == 0});
        for (int i = 0; i < 30; i++) {
            (void)append();
            if (i % 3 == 0)
                (void)order_log_flush(log_, NULL);
            if (i % 9 == 0)
                (void)order_log_sync(log_, NULL);
            if (i % 4 == 0)
                (void)order_log_recover(log_, NULL);
        }
        reached = memory_disk_calls(memory) - before >= n;
        memory_disk_fault(memory, NULL);
        assert_int_equal(order_log_recover(log_, NULL), ERR_OK);
        append_all(3);
        Seen seen = read_all();
        assert_int_equal(seen.records, num_put);
        open_log();
        assert_int_equal(order_log_flushed_number(log_), num_put);
    }
}

/* A cut that a power loss undid brings a record back that was never counted. */
static void test_what_the_next_file_begins_again_is_passed_over(void **state)
{
    (void)state;
    append_all(10);
    assert_int_equal(append(), ERR_OK);
    assert_int_equal(order_log_flush(log_, NULL), ERR_OK);
    size_t num_bytes;
    uint8_t *bytes = memory_disk_file(memory, DIRECTORY "/order.plog", &num_bytes);
    uint8_t *longer = malloc(num_bytes);
    assert_non_null(longer);
    memcpy(longer, bytes, num_bytes);
    memory_disk_put(memory, DIRECTORY "/order.plog", longer, num_bytes - 8);
    num_put = 10;
    open_log();
    memory_disk_fault(memory, &(MemoryDiskFault){MEMORY_DISK_SYNC, 1, 1, EIO, false});
    assert_int_equal(order_log_sync(log_, NULL), ERR_IO);
    assert_int_equal(order_log_recover(log_, NULL), ERR_OK);
    append_all(1);
    memory_disk_put(memory, DIRECTORY "/order.plog", longer, num_bytes);
    free(longer);
    assert_int_equal(memory_disk_num_files(memory), 3);
    assert_int_equal(read_all().records, 11);
}

static void test_a_power_loss_spares_what_was_synced(void **state)
{
    (void)state;
    for (int run = 0; run < 200; run++) {
        append_all(rng_below(&rng, 10));
        assert_int_equal(order_log_sync(log_, NULL), ERR_OK);
        uint64_t synced = num_put;
        append_all(rng_below(&rng, 10));
        memory_disk_power_loss(memory, &rng);
        Seen seen = read_all();
        assert_true(seen.records >= synced);
        open_log();
        num_put = order_log_flushed_number(log_);
        assert_true(num_put >= synced);
    }
}

static void test_a_checkpoint_is_found_and_read_on_from(void **state)
{
    (void)state;
    Err err = {""};
    append_all(400);
    OrderReader *reader;
    OrderItem item;
    assert_int_equal(order_reader_open(disk, DIRECTORY, &run_id, &reader, &err), ERR_OK);
    for (uint64_t update = 0; update < 50; update++) {
        uint64_t last = 0;
        for (uint64_t i = 1; i <= num_put; i++) {
            if (put[i].kind == ORDER_ITEM_EVENT && put[i].event.type == ORDER_CHECKPOINT &&
                put[i].event.update == update)
                last = i;
        }
        int code = order_reader_find(reader, ORDER_CHECKPOINT, update, &err);
        assert_int_equal(code, last > 0 ? ERR_OK : ERR_MISSING);
        assert_int_equal(order_reader_next(reader, &item, &err), ERR_OK);
        if (last > 0 && last < num_put)
            assert_int_equal(item.number, last + 1);
        else
            assert_int_equal(item.kind, ORDER_ITEM_END);
    }
    order_reader_close(&reader);
}

static void test_another_run_is_refused(void **state)
{
    (void)state;
    Err err = {""};
    append_all(1);
    order_log_close(&log_);
    run_id.bytes[0] ^= 1;
    assert_int_equal(order_log_open(disk, DIRECTORY, &run_id, NULL, NULL, &log_, &err), ERR_SPEC);
    assert_null(log_);
    assert_non_null(strstr(err.text, "another run"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_records_of_all_starts_come_back_in_order),
        TEST(test_what_a_dead_process_gave_up_is_not_written_again),
        TEST(test_what_a_start_has_read_survives_a_power_loss),
        TEST(test_a_torn_tail_is_cut_and_gone_on_from),
        TEST(test_flipped_bits_never_give_a_wrong_record),
        TEST(test_after_a_fault_at_any_call_nothing_is_lost),
        TEST(test_what_the_next_file_begins_again_is_passed_over),
        TEST(test_a_power_loss_spares_what_was_synced),
        TEST(test_a_checkpoint_is_found_and_read_on_from),
        TEST(test_another_run_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
