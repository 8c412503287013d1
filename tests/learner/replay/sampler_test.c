/* Sampling: pure, uniform over steps, and whole transitions only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/rng.h"
#include "learner/agent/ddpg.h"
#include "learner/replay/sampler.h"
#include "tests/learner/replay/numbered_segments.h"

enum { ROWS = 512 };

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

static Batch make_batch(int rows)
{
    Batch batch;
    assert_int_equal(batch_new(&batch, rows, NUMBERED_OBS_DIM, NUMBERED_ACT_DIM), 0);
    return batch;
}

static bool same(const Batch *a, const Batch *b)
{
    size_t width = NUMBERED_OBS_DIM + NUMBERED_ACT_DIM;
    bool equal = memcmp(a->reward, b->reward, (size_t)a->rows * sizeof(float)) == 0 &&
                 memcmp(a->bootstrap, b->bootstrap, (size_t)a->rows * sizeof(float)) == 0 &&
                 memcmp(a->obs_action, b->obs_action, (size_t)a->rows * width * 4) == 0;
    for (int i = 0; equal && i < a->rows; i++)
        equal = memcmp(a->next_obs_action + (size_t)i * width,
                       b->next_obs_action + (size_t)i * width, NUMBERED_OBS_DIM * 4) == 0;
    return equal;
}

static void test_a_batch_is_a_function_of_seed_and_update(void **state)
{
    (void)state;
    Replay replay = make(ROWS);
    for (int k = 0; k < 10; k++)
        append(&replay, k, 20, SEGMENT_CONTINUES);
    Batch a = make_batch(32);
    Batch b = make_batch(32);
    sampler_draw(&replay, 7, 100, &a);
    sampler_draw(&replay, 7, 101, &b);
    assert_false(same(&a, &b));
    sampler_draw(&replay, 8, 100, &b);
    assert_false(same(&a, &b));
    sampler_draw(&replay, 7, 100, &b); /* whatever was drawn between */
    assert_true(same(&a, &b));
    batch_destroy(&a);
    batch_destroy(&b);
    replay_destroy(&replay);
}

/* Each of the steps that are there is equally likely, in segments of all lengths and with the ring
 * wrapped around. Fixed seed; the limit is the 99.9 % point of the chi-square distribution. */
static void test_every_step_is_equally_likely(void **state)
{
    (void)state;
    enum { DRAWS = 60000 };
    static int counts[100 * 100];
    memset(counts, 0, sizeof counts);
    Replay replay = make(70);
    for (int k = 0; k < 40; k++)
        append(&replay, k, 1 + k % 9, (SegmentEnd)(k % 3));
    Batch batch = make_batch(100);
    for (uint64_t update = 0; update < DRAWS / 100; update++) {
        sampler_draw(&replay, 3, update, &batch);
        for (int i = 0; i < batch.rows; i++)
            counts[(int)batch.reward[i]]++;
    }
    double expected = (double)DRAWS / (double)replay.steps;
    double chi_square = 0;
    int seen = 0;
    for (int i = 0; i < 100 * 100; i++) {
        if (counts[i] == 0)
            continue;
        double difference = (double)counts[i] - expected;
        chi_square += difference * difference / expected;
        seen++;
    }
    assert_int_equal(seen, replay.steps);
    assert_in_range(seen, 50, 60); /* 49 to 59 degrees of freedom */
    if (!(chi_square < 98.3))
        fail_msg("chi-square is %.1f over %d steps", chi_square, seen);
    batch_destroy(&batch);
    replay_destroy(&replay);
}

/* Segments k with `lengths[k]` steps were appended: the batch holds transitions of them alone. */
static void assert_transitions(const Batch *batch, const int *lengths, const SegmentEnd *ends,
                               int num_segments, uint64_t seed)
{
    for (int row = 0; row < batch->rows; row++) {
        const float *obs_action = batch->obs_action + (size_t)row * 3;
        const float *next = batch->next_obs_action + (size_t)row * 3;
        int k = (int)batch->reward[row] / 100;
        int i = (int)batch->reward[row] % 100;
        bool last = k < num_segments && i == lengths[k] - 1;
        bool terminal = last && ends[k] == SEGMENT_TERMINATED;
        if (k >= num_segments || i >= lengths[k] || obs_action[0] != batch->reward[row] ||
            obs_action[1] != -batch->reward[row] || obs_action[2] != (float)i / 64 ||
            next[0] != obs_action[0] + 1 || next[1] != obs_action[1] - 1 ||
            batch->bootstrap[row] != (terminal ? 0 : 1))
            fail_msg("seed %d: segment %d, step %d is not whole", (int)seed, k, i);
    }
}

static void test_a_sample_is_a_step_with_its_own_successor(void **state)
{
    (void)state;
    enum { SEGMENTS = 60 };
    Batch batch = make_batch(64);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        Rng rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
        Replay replay = make(10 + rng_below(&rng, 90));
        int lengths[SEGMENTS];
        SegmentEnd ends[SEGMENTS];
        for (int k = 0; k < SEGMENTS; k++) {
            lengths[k] = 1 + (int)rng_below(&rng, 9);
            ends[k] = (SegmentEnd)rng_below(&rng, 3);
            append(&replay, k, lengths[k], ends[k]);
            sampler_draw(&replay, seed, (uint64_t)k, &batch);
            assert_transitions(&batch, lengths, ends, k + 1, seed);
        }
        replay_destroy(&replay);
    }
    batch_destroy(&batch);
}

static void test_overwritten_steps_are_not_drawn(void **state)
{
    (void)state;
    Replay replay = make(20);
    for (int k = 0; k < 5; k++)
        append(&replay, k, 9, SEGMENT_CONTINUES); /* two segments fit: 3 and 4 */
    Batch batch = make_batch(500);
    sampler_draw(&replay, 1, 1, &batch);
    for (int i = 0; i < batch.rows; i++)
        assert_true(batch.reward[i] >= 300);
    batch_destroy(&batch);
    replay_destroy(&replay);
}

static void test_a_single_step_is_drawn_every_time(void **state)
{
    (void)state;
    Replay replay = make(2);
    append(&replay, 1, 1, SEGMENT_TERMINATED);
    Batch batch = make_batch(8);
    sampler_draw(&replay, 1, 1, &batch);
    for (int i = 0; i < batch.rows; i++)
        assert_true(batch.reward[i] == 100 && batch.bootstrap[i] == 0);
    batch_destroy(&batch);
    replay_destroy(&replay);
}

/* The mean square of y, where Q = 0 and Q' = 10 everywhere and gamma is 0.5: from a segment of one
 * step with reward 1, through replay and sampler, to what ddpg_update() learns from. */
static double loss_of_one_step(SegmentEnd end)
{
    const DdpgConfig config = {.obs_dim = NUMBERED_OBS_DIM,
                               .act_dim = NUMBERED_ACT_DIM,
                               .num_hidden = 1,
                               .hidden = {4},
                               .batch = 8,
                               .gamma = 0.5,
                               .threads = 1};
    Ddpg *ddpg = NULL;
    Err err;
    if (ddpg_new(&config, &ddpg, &err) != 0)
        fail_msg("%s", err.text);
    DdpgNetwork *critic = &ddpg_state(ddpg)->critic;
    memset(critic->params, 0, critic->num_params * sizeof(float));
    memset(critic->target, 0, critic->num_params * sizeof(float));
    network_params_changed(critic);
    critic->target[critic->num_params - 1] = 10; /* the bias of the output */

    NumberedSegment numbered;
    numbered_segment(&numbered, 1, 1, end);
    numbered.segment.reward[0] = 1;
    Replay replay = make(4);
    replay_append(&replay, &numbered.segment);
    Batch batch = make_batch(config.batch);
    sampler_draw(&replay, 1, 0, &batch);
    DdpgStats stats;
    assert_int_equal(ddpg_update(ddpg, &batch, &stats), 0);
    batch_destroy(&batch);
    replay_destroy(&replay);
    ddpg_destroy(&ddpg);
    return stats.critic_loss;
}

static void test_only_termination_takes_the_bootstrap_out_of_the_target(void **state)
{
    (void)state;
    assert_float_equal(loss_of_one_step(SEGMENT_TERMINATED), 1, 1e-5); /* y = 1 */
    assert_float_equal(loss_of_one_step(SEGMENT_TRUNCATED), 36, 1e-4); /* y = 1 + 0.5 · 10 */
    assert_float_equal(loss_of_one_step(SEGMENT_CONTINUES), 36, 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_is_a_function_of_seed_and_update),
        cmocka_unit_test(test_every_step_is_equally_likely),
        cmocka_unit_test(test_a_sample_is_a_step_with_its_own_successor),
        cmocka_unit_test(test_overwritten_steps_are_not_drawn),
        cmocka_unit_test(test_a_single_step_is_drawn_every_time),
        cmocka_unit_test(test_only_termination_takes_the_bootstrap_out_of_the_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
