/* The ring of rows: what a segment becomes, and what is left when it is overwritten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/cpu.h"
#include "common/rng.h"
#include "learner/replay/replay.h"
#include "tests/learner/replay/numbered_segments.h"

static Replay make(uint64_t rows)
{
    Replay replay;
    Err err;
    if (replay_new(&replay, rows, NUMBERED_OBS_DIM, NUMBERED_ACT_DIM, &err) != 0)
        fail_msg("%s", err.text);
    return replay;
}

static void append(Replay *replay, int k, int num_steps, SegmentEnd end)
{
    NumberedSegment numbered;
    replay_append(replay, numbered_segment(&numbered, k, num_steps, end));
}

static void assert_row(const Replay *replay, uint64_t row, float obs, float action, float reward,
                       float mark)
{
    const float *values = replay_row(replay, row);
    assert_true(values[0] == obs && values[1] == -obs);
    assert_true(values[2] == action && values[3] == reward && values[4] == mark);
}

static void test_a_segment_takes_a_row_for_each_observation(void **state)
{
    (void)state;
    Replay replay = make(16);
    append(&replay, 1, 3, SEGMENT_CONTINUES);
    assert_int_equal(replay.head, 4);
    assert_int_equal(replay.steps, 3);
    for (int i = 0; i < 3; i++)
        assert_row(&replay, (uint64_t)i, (float)(100 + i), (float)i / 64, (float)(100 + i),
                   REPLAY_BOOTSTRAP);
    assert_row(&replay, 3, 103, 0, 0, REPLAY_NO_STEP);
    replay_destroy(&replay);
    assert_null(replay.rows);
}

static void test_only_the_last_step_of_a_terminated_segment_has_no_bootstrap(void **state)
{
    (void)state;
    static const struct {
        SegmentEnd end;
        float last_mark;
    } cases[] = {{SEGMENT_CONTINUES, REPLAY_BOOTSTRAP},
                 {SEGMENT_TERMINATED, REPLAY_TERMINATED},
                 {SEGMENT_TRUNCATED, REPLAY_BOOTSTRAP}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Replay replay = make(8);
        append(&replay, 0, 3, cases[i].end);
        assert_true(replay_row(&replay, 0)[4] == REPLAY_BOOTSTRAP);
        assert_true(replay_row(&replay, 1)[4] == REPLAY_BOOTSTRAP);
        assert_true(replay_row(&replay, 2)[4] == cases[i].last_mark);
        assert_true(replay_row(&replay, 3)[4] == REPLAY_NO_STEP);
        replay_destroy(&replay);
    }
}

/* The rows that are there, counted one by one. */
static uint64_t count_steps(const Replay *replay)
{
    uint64_t steps = 0;
    for (uint64_t row = replay_tail(replay); row < replay->head; row++)
        steps += replay_row(replay, row)[4] != REPLAY_NO_STEP;
    return steps;
}

static void test_new_rows_overwrite_the_oldest_ones(void **state)
{
    (void)state;
    Replay replay = make(6);
    append(&replay, 1, 3, SEGMENT_CONTINUES);  /* rows 0 to 3 */
    append(&replay, 2, 2, SEGMENT_TERMINATED); /* rows 4 to 6: row 0 is gone */
    assert_int_equal(replay_tail(&replay), 1);
    assert_int_equal(replay.steps, 4);
    assert_row(&replay, 1, 101, 1.0F / 64, 101, REPLAY_BOOTSTRAP);
    assert_row(&replay, 6, 202, 0, 0, REPLAY_NO_STEP);
    append(&replay, 3, 5, SEGMENT_CONTINUES); /* all of them */
    assert_int_equal(replay_tail(&replay), 7);
    assert_int_equal(replay.steps, 5);
    assert_row(&replay, 7, 300, 0, 300, REPLAY_BOOTSTRAP);
    replay_destroy(&replay);
}

static void test_steps_are_counted_right_however_segments_fall(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
        Replay replay = make(2 + rng_below(&rng, 60));
        for (int k = 0; k < 100; k++) {
            int longest = replay.capacity - 1 < 64 ? (int)replay.capacity - 1 : 64;
            append(&replay, k, 1 + (int)rng_below(&rng, (uint64_t)longest),
                   (SegmentEnd)rng_below(&rng, 3));
            if (replay.steps != count_steps(&replay))
                fail_msg("seed %d, segment %d: %d steps are there, %d are counted", (int)seed, k,
                         (int)count_steps(&replay), (int)replay.steps);
        }
        replay_destroy(&replay);
    }
}

static void test_the_rows_hold_the_steps_that_were_asked_for(void **state)
{
    (void)state;
    static const int lengths[] = {1, 2, 7, 64};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (uint64_t steps = 1; steps < 200; steps += 13) {
            Replay replay = make(replay_rows_for_steps(steps, lengths[i]));
            for (int k = 0; k < 300; k++) {
                append(&replay, k, lengths[i], SEGMENT_CONTINUES);
                uint64_t ever = (uint64_t)(k + 1) * (uint64_t)lengths[i];
                assert_true(replay.steps >= (ever < steps ? ever : steps));
            }
            replay_destroy(&replay);
        }
    }
}

static bool append_at(Replay *replay, int k, int num_steps, uint64_t row)
{
    NumberedSegment numbered;
    return replay_append_at(replay, numbered_segment(&numbered, k, num_steps, SEGMENT_CONTINUES),
                            row);
}

static void test_lost_rows_keep_their_numbers(void **state)
{
    (void)state;
    Replay replay = make(16);
    replay_begin_at(&replay, 100, 0);
    assert_true(append_at(&replay, 1, 3, 100));
    assert_true(append_at(&replay, 2, 2, 107)); /* rows 104 to 106 are lost */
    assert_int_equal(replay_tail(&replay), 100);
    assert_int_equal(replay.head, 110);
    assert_int_equal(replay.steps, 5);
    assert_int_equal(count_steps(&replay), 5);
    assert_row(&replay, 107, 200, 0, 200, REPLAY_BOOTSTRAP);
    for (uint64_t row = 103; row < 107; row++)
        assert_true(replay_row(&replay, row)[4] == REPLAY_NO_STEP);
    replay_destroy(&replay);
}

static void test_rows_that_are_there_are_passed_over(void **state)
{
    (void)state;
    Replay replay = make(16);
    append(&replay, 1, 3, SEGMENT_CONTINUES);
    uint64_t digest = replay.digest;
    assert_false(append_at(&replay, 1, 3, 0));
    assert_int_equal(replay.head, 4);
    assert_true(replay.digest == digest);
    replay_destroy(&replay);
}

static void test_a_loss_of_more_than_the_ring_empties_it(void **state)
{
    (void)state;
    Replay replay = make(16);
    append(&replay, 1, 3, SEGMENT_CONTINUES);
    assert_true(append_at(&replay, 2, 2, 1000));
    assert_int_equal(replay_tail(&replay), 1000);
    assert_int_equal(replay.steps, 2);
    replay_destroy(&replay);
}

static void test_the_digest_tells_contents_apart_and_not_where_the_ring_wraps(void **state)
{
    (void)state;
    Replay small = make(8);
    Replay large = make(64);
    Replay other = make(64);
    for (int k = 0; k < 9; k++) {
        append(&small, k, 5, SEGMENT_CONTINUES);
        append(&large, k, 5, SEGMENT_CONTINUES);
        append(&other, k, 5, k == 4 ? SEGMENT_TERMINATED : SEGMENT_CONTINUES);
        assert_true(small.digest == large.digest);
        assert_true((large.digest == other.digest) == (k < 4));
    }
    replay_destroy(&small);
    replay_destroy(&large);
    replay_destroy(&other);
}

static void test_a_replay_that_does_not_fit_is_refused_with_the_numbers(void **state)
{
    (void)state;
    if (memory_available_bytes() < 0)
        skip();
    Replay replay;
    Err err;
    uint64_t rows = (uint64_t)memory_available_bytes() / 16;
    assert_int_equal(replay_new(&replay, rows, 8, 1, &err), ERR_NOMEM);
    assert_non_null(strstr(err.text, "MiB"));
    assert_non_null(strstr(err.text, "--replay-capacity"));
    assert_null(replay.rows);
    replay_destroy(&replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_segment_takes_a_row_for_each_observation),
        cmocka_unit_test(test_only_the_last_step_of_a_terminated_segment_has_no_bootstrap),
        cmocka_unit_test(test_new_rows_overwrite_the_oldest_ones),
        cmocka_unit_test(test_steps_are_counted_right_however_segments_fall),
        cmocka_unit_test(test_the_rows_hold_the_steps_that_were_asked_for),
        cmocka_unit_test(test_lost_rows_keep_their_numbers),
        cmocka_unit_test(test_rows_that_are_there_are_passed_over),
        cmocka_unit_test(test_a_loss_of_more_than_the_ring_empties_it),
        cmocka_unit_test(test_the_digest_tells_contents_apart_and_not_where_the_ring_wraps),
        cmocka_unit_test(test_a_replay_that_does_not_fit_is_refused_with_the_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
