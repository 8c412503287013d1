/* Training that is interrupted goes on as if it had not been: by way of a file, into another Ddpg.
 * That a DdpgState holds all that matters is the business of ddpg_test.c, and that a file holds
 * all of a DdpgState that of checkpoint_test.c; here is the whole way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/scratch.h"
#include "tests/learner/agent/checkpoint_states.h"
#include "tests/learner/agent/ddpg_training.h"

enum { HALF = 25 };

static Scratch scratch;

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static DdpgConfig config_make(int threads)
{
    return (DdpgConfig){
        .obs_dim = 3,
        .act_dim = 2,
        .num_hidden = 2,
        .hidden = {33, 20},
        .batch = 37,
        .gamma = 0.9,
        .tau = 0.25,
        .actor_lr = 1e-3,
        .critic_lr = 1e-3,
        .critic_weight_decay = 1e-2,
        .grad_clip = 0.5,
        .threads = threads,
        .seed = 5,
    };
}

static const char *write_checkpoint(Ddpg *ddpg, const char *name)
{
    Err err = {0};
    const char *path = scratch_path(&scratch, name);
    RunState run = run_make(ddpg_state(ddpg)->updates);
    if (checkpoint_write(path, ddpg_state(ddpg), &run, &err) != 0)
        fail_msg("%s", err.text);
    return path;
}

/* Trained from other first parameters, so that all that is not restored would differ. */
static Ddpg *restore(const char *path, DdpgConfig config)
{
    Err err = {0};
    static RunState run;
    config.seed = 99;
    Ddpg *ddpg = make(&config);
    train(ddpg, &config, 3);
    if (checkpoint_read(path, ddpg_state(ddpg), &run, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(run.updates, ddpg_state(ddpg)->updates);
    return ddpg;
}

static void assert_same_file(const char *one, const char *other)
{
    size_t num_bytes;
    size_t num_other_bytes;
    unsigned char *bytes = scratch_read(one, &num_bytes);
    unsigned char *other_bytes = scratch_read(other, &num_other_bytes);
    assert_int_equal(num_bytes, num_other_bytes);
    assert_memory_equal(bytes, other_bytes, num_bytes);
    free(bytes);
    free(other_bytes);
}

static void test_a_restored_run_goes_on_bit_for_bit(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        DdpgConfig config = config_make(threads);
        Ddpg *whole = make(&config);
        train(whole, &config, 2 * HALF);

        Ddpg *half = make(&config);
        train(half, &config, HALF);
        const char *path = write_checkpoint(half, "half");
        ddpg_destroy(&half);

        Ddpg *resumed = restore(path, config);
        assert_int_equal(ddpg_state(resumed)->updates, HALF);
        train(resumed, &config, HALF);
        assert_true(ddpg_equal(ddpg_state(whole), ddpg_state(resumed)));
        assert_same_file(write_checkpoint(whole, "whole"), write_checkpoint(resumed, "resumed"));
        ddpg_destroy(&whole);
        ddpg_destroy(&resumed);
    }
}

static void test_an_interruption_at_any_update_changes_nothing(void **state)
{
    (void)state;
    DdpgConfig config = config_make(1);
    Ddpg *whole = make(&config);
    Ddpg *resumed = make(&config);
    for (int i = 0; i < HALF; i++) {
        train(whole, &config, 1);
        const char *path = write_checkpoint(resumed, "file");
        ddpg_destroy(&resumed);
        resumed = restore(path, config);
        train(resumed, &config, 1);
        assert_true(ddpg_equal(ddpg_state(whole), ddpg_state(resumed)));
    }
    ddpg_destroy(&whole);
    ddpg_destroy(&resumed);
}

/* What the comparisons above would see: a run that went another way once. */
static void test_another_input_gives_another_state(void **state)
{
    (void)state;
    DdpgConfig config = config_make(1);
    Ddpg *one = make(&config);
    Ddpg *other = make(&config);
    train(one, &config, HALF);
    train(other, &config, HALF - 1);
    Batch batch;
    DdpgStats stats;
    assert_int_equal(batch_new(&batch, config.batch, config.obs_dim, config.act_dim), 0);
    fill(&batch, HALF); /* not HALF - 1 */
    assert_int_equal(ddpg_update(other, &batch, &stats), 0);
    batch_destroy(&batch);
    assert_int_equal(ddpg_state(one)->updates, ddpg_state(other)->updates);
    assert_false(ddpg_equal(ddpg_state(one), ddpg_state(other)));
    ddpg_destroy(&one);
    ddpg_destroy(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_restored_run_goes_on_bit_for_bit),
        TEST(test_an_interruption_at_any_update_changes_nothing),
        TEST(test_another_input_gives_another_state),
    };
    return cmocka_run_group_tests_name("checkpoint_resume", tests, NULL, NULL);
}
