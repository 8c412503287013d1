#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/segment.h"

enum { OBS_DIM = 3, ACT_DIM = 2, STEPS_MAX = 5 };

/* A sound segment of num_steps steps in a block of exactly the promised size. */
static Segment make_segment(int num_steps, void **block)
{
    Segment segment = {.sequence = 7,
                       .env_index = 1,
                       .episode = 2,
                       .first_step = 64,
                       .num_steps = num_steps,
                       .end = SEGMENT_TRUNCATED,
                       .episode_return = -3.5,
                       .version = {1, 99}};
    *block = malloc(segment_block_bytes(OBS_DIM, ACT_DIM, STEPS_MAX));
    assert_non_null(*block);
    segment_bind(&segment, *block, OBS_DIM, ACT_DIM, STEPS_MAX);
    for (int i = 0; i < (num_steps + 1) * OBS_DIM; i++)
        segment.obs[i] = (float)i;
    for (int i = 0; i < num_steps * ACT_DIM; i++)
        segment.action[i] = i % 2 ? 1.0F : -1.0F; /* the bounds themselves */
    for (int i = 0; i < num_steps; i++)
        segment.reward[i] = (float)-i;
    return segment;
}

static void test_columns_fill_the_block_without_overlap(void **state)
{
    (void)state;
    void *block;
    Segment segment = make_segment(STEPS_MAX, &block);
    assert_ptr_equal(segment.obs, block);
    assert_ptr_equal(segment.action, segment.obs + (STEPS_MAX + 1) * OBS_DIM);
    assert_ptr_equal(segment.reward, segment.action + STEPS_MAX * ACT_DIM);
    assert_ptr_equal((char *)(segment.reward + STEPS_MAX),
                     (char *)block + segment_block_bytes(OBS_DIM, ACT_DIM, STEPS_MAX));
    free(block);
}

static void test_a_copy_has_header_and_columns_of_its_own(void **state)
{
    (void)state;
    void *from_block;
    void *to_block;
    Segment from = make_segment(3, &from_block);
    Segment to = make_segment(STEPS_MAX, &to_block);
    float *obs = to.obs;
    memset(to_block, 0xFF, segment_block_bytes(OBS_DIM, ACT_DIM, STEPS_MAX));
    segment_copy(&to, &from, OBS_DIM, ACT_DIM);
    assert_ptr_equal(to.obs, obs);
    assert_int_equal(to.num_steps, 3);
    assert_int_equal(to.sequence, 7);
    assert_int_equal(to.version.update, 99);
    assert_memory_equal(to.obs, from.obs, sizeof(float) * 4 * OBS_DIM);
    assert_memory_equal(to.action, from.action, sizeof(float) * 3 * ACT_DIM);
    assert_memory_equal(to.reward, from.reward, sizeof(float) * 3);
    free(from_block);
    free(to_block);
}

static void test_a_sound_segment_passes(void **state)
{
    (void)state;
    for (int num_steps = 1; num_steps <= STEPS_MAX; num_steps++) {
        void *block;
        Segment segment = make_segment(num_steps, &block);
        assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, NULL), ERR_OK);
        free(block);
    }
}

static void test_an_unsound_header_is_refused(void **state)
{
    (void)state;
    void *block;
    Err err;
    Segment segment = make_segment(2, &block);
    segment.num_steps = 0;
    assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_FORMAT);
    segment.num_steps = -1;
    assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_FORMAT);
    segment.num_steps = SEGMENT_STEPS_MAX + 1;
    assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_FORMAT);
    segment.num_steps = 2;
    segment.end = (SegmentEnd)3;
    assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_FORMAT);
    segment.end = SEGMENT_CONTINUES;
    segment.episode_return = NAN;
    assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_DIVERGED);
    free(block);
}

static void test_a_number_that_is_not_finite_is_found_wherever_it_is(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    void *block;
    Err err;
    Segment segment = make_segment(3, &block);
    for (size_t b = 0; b < 3; b++) {
        for (int i = 0; i < 4 * OBS_DIM; i++) {
            float good = segment.obs[i];
            segment.obs[i] = bad[b];
            assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_DIVERGED);
            segment.obs[i] = good;
        }
        for (int i = 0; i < 3; i++) {
            float good = segment.reward[i];
            segment.reward[i] = bad[b];
            assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_DIVERGED);
            segment.reward[i] = good;
        }
    }
    assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_OK);
    free(block);
}

static void test_an_action_outside_its_bounds_is_refused(void **state)
{
    (void)state;
    const float bad[] = {1.0001F, -1.0001F, NAN, INFINITY};
    void *block;
    Err err;
    Segment segment = make_segment(3, &block);
    for (size_t b = 0; b < 4; b++) {
        for (int i = 0; i < 3 * ACT_DIM; i++) {
            float good = segment.action[i];
            segment.action[i] = bad[b];
            assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, &err), ERR_FORMAT);
            segment.action[i] = good;
        }
    }
    free(block);
}

static void test_large_finite_numbers_pass(void **state)
{
    (void)state;
    void *block;
    Segment segment = make_segment(1, &block);
    segment.obs[0] = 3e38F;
    segment.obs[1] = 3e38F; /* their sum would not be finite */
    segment.reward[0] = -3e38F;
    assert_int_equal(segment_check(&segment, OBS_DIM, ACT_DIM, NULL), ERR_OK);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_fill_the_block_without_overlap),
        cmocka_unit_test(test_a_copy_has_header_and_columns_of_its_own),
        cmocka_unit_test(test_a_sound_segment_passes),
        cmocka_unit_test(test_an_unsound_header_is_refused),
        cmocka_unit_test(test_a_number_that_is_not_finite_is_found_wherever_it_is),
        cmocka_unit_test(test_an_action_outside_its_bounds_is_refused),
        cmocka_unit_test(test_large_finite_numbers_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
