/* A checkpoint that was cut or has flipped bits is never taken for a sound one, and changes
 * nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/common/scratch.h"
#include "tests/learner/agent/checkpoint_states.h"

enum { FLIPS = 10000, CUT_STEP = 4096, CUTS_AT_END = 64 };

/* Large enough for a few dozen pages, small enough to be read ten thousand times. */
static const int hidden[] = {48, 48};

static uint64_t seed;
static Scratch scratch;
static const char *path;
static unsigned char *bytes;
static size_t num_bytes;
static DdpgState state_before; /* what is in memory when a damaged file is read */
static DdpgState state_read;

static int set_up(void **state)
{
    (void)state;
    Err err = {""};
    scratch = scratch_make();
    path = scratch_path(&scratch, "file");
    DdpgState ddpg = ddpg_make(hidden, 2);
    ddpg_fill(&ddpg, 1);
    RunState run = run_make(1);
    assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
    bytes = scratch_read(path, &num_bytes);
    state_before = ddpg_make(hidden, 2);
    state_read = ddpg_make(hidden, 2);
    ddpg_fill(&state_before, 9);
    ddpg_fill(&state_read, 9);
    ddpg_free(&ddpg);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ddpg_free(&state_before);
    ddpg_free(&state_read);
    free(bytes);
    scratch_remove(&scratch);
    return 0;
}

/* Overwrites a part of the file in place. */
static void patch(size_t at, size_t count)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file && fseek(file, (long)at, SEEK_SET) == 0);
    CHECK(fwrite(bytes + at, 1, count, file) == count && fclose(file) == 0);
}

/* Every reader refuses the file with a line that names it; the last one of them would have changed
 * the state. */
static void assert_refused(const char *how, size_t where)
{
    static RunState run;
    Err err = {""};
    int code = checkpoint_read_run(path, &run, &err);
    if ((code != ERR_FORMAT && code != ERR_CHECKSUM) || !strstr(err.text, path) ||
        strchr(err.text, '\n'))
        fail_msg("%s at %zu: %d, %s", how, where, code, err.text);
    if (checkpoint_read(path, &state_read, &run, NULL) != code ||
        !ddpg_equal(&state_read, &state_before))
        fail_msg("%s at %zu: the state has changed", how, where);
}

static void test_a_file_cut_at_every_page_and_near_its_end_is_refused(void **state)
{
    (void)state;
    assert_true(num_bytes > 16 * CUT_STEP);
    for (size_t length = 0; length < num_bytes; length += CUT_STEP) {
        scratch_write(path, bytes, length);
        assert_refused("cut", length);
    }
    for (size_t left_out = 1; left_out <= CUTS_AT_END; left_out++) {
        scratch_write(path, bytes, num_bytes - left_out);
        assert_refused("cut", num_bytes - left_out);
    }
    bytes[num_bytes] = 0; /* scratch_read() has room for it */
    scratch_write(path, bytes, num_bytes + 1);
    assert_refused("longer", num_bytes + 1);
}

/* The file system may give back whole pages of zeros where a write was lost. */
static void test_a_file_with_a_page_of_zeros_is_refused(void **state)
{
    (void)state;
    unsigned char page[CUT_STEP];
    for (size_t at = 0; at < num_bytes; at += CUT_STEP) {
        size_t count = num_bytes - at < CUT_STEP ? num_bytes - at : CUT_STEP;
        memcpy(page, bytes + at, count);
        memset(bytes + at, 0, count);
        patch(at, count);
        assert_refused("zeros", at);
        memcpy(bytes + at, page, count);
        patch(at, count);
    }
}

static void test_random_bit_flips_are_refused(void **state)
{
    (void)state;
    Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < FLIPS; i++) {
        /* Every other one in the header, which is a small part of the file. */
        size_t within = i % 2 == 0 ? num_bytes : CUT_STEP;
        size_t bit = rng_below(&rng, within * 8);
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        patch(bit / 8, 1);
        assert_refused("bit", bit);
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        patch(bit / 8, 1);
    }
    RunState run;
    assert_int_equal(checkpoint_read(path, &state_read, &run, NULL), ERR_OK); /* all undone */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const char *given = getenv("POLYAK_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_ns();
    printf("POLYAK_TEST_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_cut_at_every_page_and_near_its_end_is_refused),
        TEST(test_a_file_with_a_page_of_zeros_is_refused),
        TEST(test_random_bit_flips_are_refused),
    };
    return cmocka_run_group_tests_name("checkpoint_damage", tests, NULL, NULL);
}
