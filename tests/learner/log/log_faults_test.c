/* The writer, the reader and the recovery together, on a disk that fails at any call and loses
 * power at any moment. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/learner/log/log_world.h"

static LogWorld world;
static WorldSeen seen;

/* What was promised so far. */
typedef struct Promise {
    uint64_t flushed;
    uint64_t synced;
    bool lost[WORLD_FACTS_MAX + 1]; /* [position]: suspect, or a gap that nobody could name */
} Promise;

static Promise promise;

static void note_promises(void)
{
    promise.flushed = log_writer_flushed_position(world.writer);
    promise.synced = log_writer_synced_position(world.writer);
    uint64_t first, last;
    if (log_writer_suspect(world.writer, &first, &last)) {
        for (uint64_t i = first; i <= last; i++)
            promise.lost[i] = true;
    }
}

/* Everything up to `position` is read as it was written, but for gaps that are named; `suspects`
 * may be lost. */
static void check_reading(uint64_t position, bool suspects_may_be_lost)
{
    Err err = {""};
    assert_int_equal(world_read_all(&world, &seen, &err), ERR_OK);
    assert_int_equal(seen.num_wrong, 0);
    for (uint64_t i = 1; i <= position; i++) {
        if (!(suspects_may_be_lost && promise.lost[i]) &&
            !(world.facts[i].skipped ? seen.gap[i] : seen.segment[i]))
            fail_msg("position %llu of %llu is lost", (unsigned long long)i,
                     (unsigned long long)position);
    }
}

/* After a failure: either a new file, or on without the log. */
static void mend(uint64_t choice)
{
    Err err = {""};
    if (!log_writer_failed(world.writer))
        return;
    if (choice % 3 == 0)
        world_skip(&world);
    (void)log_writer_recover(world.writer, &err);
}

/* One step of a run; faults make any of it fail. */
static void step(uint64_t i, uint64_t choice)
{
    Err err = {""};
    size_t num_removed;
    for (uint64_t n = 1 + choice % 4; n > 0; n--)
        (void)world_append(&world, &err);
    if (i % 2 == 0)
        (void)log_writer_flush(world.writer, &err);
    if (i % 5 == 0)
        (void)log_writer_sync(world.writer, &err);
    if (i % 31 == 30)
        (void)log_writer_prune(world.writer, 0, &num_removed, &err);
    note_promises();
    mend(choice / 4);
    note_promises();
}

static void start_over(uint64_t seed)
{
    memset(&promise, 0, sizeof promise);
    world_init(&world, seed);
    world.config.file_bytes_max = 6000;
    world_restart(&world);
}

static void test_a_fault_at_any_call_costs_nothing_that_was_promised(void **state)
{
    (void)state;
    uint64_t seed = world_seed();
    static const int errors[] = {EIO, ENOSPC};
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        for (uint64_t variant = 0; variant < 4; variant++) {
            Err err = {""};
            start_over(seed + n);
            uint64_t before = memory_disk_calls(world.disk);
            memory_disk_fault(world.disk, &(MemoryDiskFault){.calls = MEMORY_DISK_ANY,
                                                             .first = n,
                                                             .count = variant < 2 ? 1 : 3 + n % 7,
                                                             .error = errors[variant % 2],
                                                             .short_write = n % 2 == 0});
            memory_disk_write_max(world.disk, n % 3 == 0 ? 500 : 0);
            for (uint64_t i = 0; i < 40; i++)
                step(i, seed / 3 + i * n);
            reached = memory_disk_calls(world.disk) - before >= n;
            memory_disk_fault(world.disk, NULL);
            check_reading(promise.flushed, false);
            /* The fault is over: it recovers, and nothing is missing from there on. */
            assert_int_equal(log_writer_recover(world.writer, &err), ERR_OK);
            for (uint64_t i = 0; i < 5; i++)
                step(i, i);
            assert_int_equal(log_writer_flush(world.writer, &err), ERR_OK);
            note_promises();
            assert_int_equal(promise.flushed, world.num_facts);
            check_reading(world.num_facts, false);
            memory_disk_process_death(world.disk);
            world_restart(&world);
            assert_int_equal(world.num_facts, promise.flushed);
            world_end(&world);
        }
    }
}

static void test_a_power_loss_at_any_moment_spares_what_was_synced(void **state)
{
    (void)state;
    uint64_t seed = world_seed();
    for (uint64_t run = 0; run < 300; run++) {
        Rng rng = rng_stream(seed, RNG_TEST, run, 1, 0);
        start_over(seed + run);
        for (int life = 0; life < 5; life++) {
            if (rng_below(&rng, 2))
                memory_disk_fault(world.disk, &(MemoryDiskFault){.calls = MEMORY_DISK_ANY,
                                                                 .first = 1 + rng_below(&rng, 60),
                                                                 .count = 1 + rng_below(&rng, 4),
                                                                 .error = EIO,
                                                                 .short_write = true});
            for (uint64_t i = rng_below(&rng, 60); i > 0; i--)
                step(rng_below(&rng, 40), rng_u64(&rng));
            log_writer_destroy(&world.writer);
            memory_disk_power_loss(world.disk, rng_below(&rng, 4) ? &rng : NULL);
            check_reading(promise.synced, true);
            /* What was lost now stays lost: the next start does not know it. */
            for (uint64_t i = 1; i <= world.num_facts; i++)
                promise.lost[i] = promise.lost[i] || i > promise.synced;
            world_restart(&world);
            assert_true(world.num_facts >= promise.synced || promise.lost[promise.synced]);
            for (uint64_t i = 1; i <= promise.synced && i <= world.num_facts; i++)
                assert_true(promise.lost[i] || seen.segment[i] || seen.gap[i]);
            for (uint64_t i = world.num_facts + 1; i <= WORLD_FACTS_MAX; i++)
                promise.lost[i] = false;
            note_promises();
        }
        world_end(&world);
    }
}

static void test_the_death_of_the_process_spares_what_was_flushed(void **state)
{
    (void)state;
    uint64_t seed = world_seed();
    for (uint64_t run = 0; run < 100; run++) {
        Rng rng = rng_stream(seed, RNG_TEST, run, 2, 0);
        start_over(seed + run);
        for (int life = 0; life < 6; life++) {
            for (uint64_t i = rng_below(&rng, 40); i > 0; i--)
                step(rng_below(&rng, 40), rng_u64(&rng));
            /* In the midst of a write. */
            Err err;
            memory_disk_fault(world.disk,
                              &(MemoryDiskFault){.calls = MEMORY_DISK_WRITE | MEMORY_DISK_TRUNCATE,
                                                 .first = 1,
                                                 .count = 2,
                                                 .error = EIO,
                                                 .short_write = true});
            (void)world_append(&world, &err);
            (void)log_writer_flush(world.writer, &err);
            note_promises();
            log_writer_destroy(&world.writer);
            memory_disk_process_death(world.disk);
            memory_disk_fault(world.disk, NULL);
            check_reading(promise.flushed, false);
            uint64_t flushed = promise.flushed;
            world_restart(&world);
            assert_true(world.num_facts >= flushed);
            /* What a start has read is safe from a power loss from then on. */
            memory_disk_power_loss(world.disk, NULL);
            check_reading(flushed, true);
            world_restart(&world);
            note_promises();
        }
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fault_at_any_call_costs_nothing_that_was_promised),
        cmocka_unit_test(test_a_power_loss_at_any_moment_spares_what_was_synced),
        cmocka_unit_test(test_the_death_of_the_process_spares_what_was_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
