#include "learner/agent/checkpoint.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/common/scratch.h"
#include "tests/learner/agent/checkpoint_states.h"

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

static void test_everything_comes_back_bit_for_bit(void **state)
{
    (void)state;
    Err err;
    static const int shapes[][3] = {{4, 3, 0}, {64, 64, 0}, {7, 0, 0}, {0, 0, 0}};
    const char *path = scratch_path(&scratch, "file");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        int num_hidden = shapes[i][0] == 0 ? 0 : shapes[i][1] == 0 ? 1 : 2;
        DdpgState ddpg = ddpg_make(shapes[i], num_hidden);
        DdpgState read = ddpg_make(shapes[i], num_hidden);
        ddpg_fill(&ddpg, i);
        RunState run = run_make(i);
        static RunState read_run;
        memset(&read_run, 0xa5, sizeof read_run);
        assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
        assert_int_equal(checkpoint_read(path, &read, &read_run, &err), ERR_OK);
        assert_true(ddpg_equal(&ddpg, &read));
        assert_true(run_equal(&run, &read_run));
        ddpg_free(&ddpg);
        ddpg_free(&read);
    }
}

static void test_doubles_and_bounds_come_back_exactly(void **state)
{
    (void)state;
    Err err;
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    const char *path = scratch_path(&scratch, "file");
    Rng rng = rng_stream(3, RNG_TEST, 0, 0, 0);
    static const double edges[] = {-INFINITY, INFINITY, 0.0, -0.0, DBL_MAX, -DBL_MIN, 5e-324, 0.1};
    for (size_t i = 0; i < 40; i++) {
        RunState run = run_make(i);
        RunState read;
        run.best_return = i < 8 ? edges[i] : rng_normal(&rng) * pow(10, (double)i - 20);
        run.spec.action_low[0] = -(float)rng_uniform(&rng);
        /* Just below 2^10, neighbours are so close that 8 digits do not tell them apart. */
        run.spec.action_high[0] = 1000 + 24 * (float)rng_uniform(&rng);
        assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
        assert_int_equal(checkpoint_read_run(path, &read, &err), ERR_OK);
        assert_true(run_equal(&run, &read));
    }
    ddpg_free(&ddpg);
}

static void test_the_largest_action_space_comes_back(void **state)
{
    (void)state;
    Err err;
    static RunState run;
    static RunState read;
    run = run_make(1);
    run.spec.act_dim = SPEC_ACT_DIM_MAX;
    for (int i = 0; i < SPEC_ACT_DIM_MAX; i++) {
        run.spec.action_low[i] = -1.23456789e-38f; /* the longest texts */
        run.spec.action_high[i] = -1.2345678e-38f;
    }
    memset(run.config_yaml, 'x', sizeof run.config_yaml - 1);
    DdpgState ddpg = {0};
    network_make(&ddpg.actor, 3, NULL, 0, SPEC_ACT_DIM_MAX, true);
    network_make(&ddpg.critic, 3 + SPEC_ACT_DIM_MAX, NULL, 0, 1, false);
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
    assert_int_equal(checkpoint_read_run(path, &read, &err), ERR_OK);
    assert_true(run_equal(&run, &read));
    ddpg_free(&ddpg);
}

static void test_the_same_state_gives_the_same_bytes(void **state)
{
    (void)state;
    Err err;
    unsigned char *bytes[2];
    size_t num_bytes[2];
    for (int i = 0; i < 2; i++) {
        DdpgState ddpg = ddpg_make(small_hidden, 2);
        ddpg_fill(&ddpg, 5);
        RunState run = run_make(5);
        const char *path = scratch_path(&scratch, i == 0 ? "one" : "two");
        assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
        bytes[i] = scratch_read(path, &num_bytes[i]);
        ddpg_free(&ddpg);
    }
    assert_int_equal(num_bytes[0], num_bytes[1]);
    assert_memory_equal(bytes[0], bytes[1], num_bytes[0]);
    free(bytes[0]);
    free(bytes[1]);
}

static void test_tensors_have_the_names_and_shapes_of_the_docs(void **state)
{
    (void)state;
    Err err;
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    ddpg_fill(&ddpg, 1);
    RunState run = run_make(1);
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
    SafetensorsFile *file;
    assert_int_equal(safetensors_open(path, &file, &err), ERR_OK);
    assert_int_equal(safetensors_num_tensors(file), 8 * 3 * 2);
    static const char *const blocks[] = {"actor",         "target_actor", "actor_adam_m",
                                         "actor_adam_v",  "critic",       "target_critic",
                                         "critic_adam_m", "critic_adam_v"};
    static const int sizes[][4] = {{3, 4, 3, 2}, {5, 4, 3, 1}};
    for (int i = 0; i < 48; i++) {
        const int *size = sizes[i / 24];
        int layer = i % 6 / 2;
        char name[64];
        snprintf(name, sizeof name, "%s.%d.%s", blocks[i / 6], layer,
                 i % 2 == 0 ? "weight" : "bias");
        const Tensor *tensor = safetensors_tensor(file, i);
        assert_string_equal(tensor->name, name);
        assert_int_equal(tensor->rank, i % 2 == 0 ? 2 : 1);
        assert_int_equal(tensor->dim[0], size[layer + 1]);
        if (i % 2 == 0)
            assert_int_equal(tensor->dim[1], size[layer]);
    }
    const Tensor *weight = safetensors_find(file, "critic_adam_v.0.weight");
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 5; i++)
            assert_true(weight->data[o * 5 + i] == ddpg.critic.adam_v[i * 4 + o]);
    const Tensor *bias = safetensors_find(file, "critic_adam_v.0.bias");
    assert_memory_equal(bias->data, ddpg.critic.adam_v + 5 * 4, 4 * sizeof(float));
    safetensors_destroy(&file);
    ddpg_free(&ddpg);
}

static void test_a_policy_is_read_alone(void **state)
{
    (void)state;
    Err err;
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    ddpg_fill(&ddpg, 1);
    RunState run = run_make(1);
    RunState read;
    Mlp mlp;
    float *params = NULL;
    const char *path = scratch_path(&scratch, "file");
    assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
    assert_int_equal(checkpoint_read_policy(path, &mlp, &params, &read, &err), ERR_OK);
    assert_true(mlp_equal(&mlp, &ddpg.actor.mlp));
    assert_memory_equal(params, ddpg.actor.params, ddpg.actor.num_params * sizeof(float));
    assert_true(run_equal(&run, &read));
    free(params);
    ddpg_free(&ddpg);
}

/* Reads what cannot be read, and looks whether anything changed. */
static void assert_unreadable(const char *path, const DdpgState *shape, int code)
{
    Err err = {""};
    DdpgState read = *shape;
    RunState run = run_make(77);
    RunState before = run_make(77);
    DdpgState copy = ddpg_make(small_hidden, 2);
    bool same_shape = mlp_equal(&shape->actor.mlp, &copy.actor.mlp);
    if (same_shape) {
        ddpg_fill(&read, 9);
        ddpg_fill(&copy, 9);
    }
    int got = checkpoint_read(path, &read, &run, &err);
    if (code != 0)
        assert_int_equal(got, code);
    else
        assert_true(got == ERR_FORMAT || got == ERR_CHECKSUM);
    assert_non_null(strstr(err.text, path));
    assert_true(run_equal(&run, &before));
    if (same_shape)
        assert_true(ddpg_equal(&read, &copy));
    ddpg_free(&copy);
}

static void test_a_damaged_file_changes_nothing(void **state)
{
    (void)state;
    Err err;
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    DdpgState read = ddpg_make(small_hidden, 2);
    ddpg_fill(&ddpg, 1);
    RunState run = run_make(1);
    const char *path = scratch_path(&scratch, "file");
    const char *bad = scratch_path(&scratch, "bad");
    assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
    size_t num_bytes;
    unsigned char *bytes = scratch_read(path, &num_bytes);
    /* Every single byte is the business of the safetensors test. */
    for (size_t i = 0; i < num_bytes; i += 7) {
        bytes[i] ^= 0x10;
        scratch_write(bad, bytes, num_bytes);
        assert_unreadable(bad, &read, 0);
        bytes[i] ^= 0x10;
    }
    for (size_t length = 0; length < num_bytes; length += 97) {
        scratch_write(bad, bytes, length);
        assert_unreadable(bad, &read, ERR_FORMAT);
    }
    free(bytes);
    ddpg_free(&ddpg);
    ddpg_free(&read);
}

static void test_other_shapes_are_refused_and_change_nothing(void **state)
{
    (void)state;
    Err err;
    static const int others[][3] = {{4, 4, 0}, {4, 0, 0}, {4, 3, 2}};
    static const int num_others[] = {2, 1, 3};
    DdpgState read = ddpg_make(small_hidden, 2);
    RunState run = run_make(1);
    const char *path = scratch_path(&scratch, "file");
    for (int i = 0; i < 3; i++) {
        DdpgState other = ddpg_make(others[i], num_others[i]);
        assert_int_equal(checkpoint_write(path, &other, &run, &err), ERR_OK);
        assert_unreadable(path, &read, ERR_SPEC);
        ddpg_free(&other);
    }
    /* The critic alone differs. */
    DdpgState wide = ddpg_make(small_hidden, 2);
    network_destroy(&wide.critic);
    network_make(&wide.critic, 5, (int[]){4, 5}, 2, 1, false);
    assert_int_equal(checkpoint_write(path, &wide, &run, &err), ERR_OK);
    assert_unreadable(path, &read, ERR_SPEC);
    ddpg_free(&wide);
    ddpg_free(&read);
}

static void test_a_sound_file_with_wrong_contents_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *value;
        const char *tensor;
        int code;
    } cases[] = {
        {"polyak_checkpoint", "3", NULL, ERR_VERSION},
        {"polyak_checkpoint", NULL, NULL, ERR_FORMAT},
        {"env", "", NULL, ERR_FORMAT},
        {"env", NULL, NULL, ERR_FORMAT},
        {"obs_dim", "4", NULL, ERR_FORMAT}, /* not the networks' */
        {"obs_dim", "-3", NULL, ERR_FORMAT},
        {"act_dim", "1", NULL, ERR_FORMAT}, /* two bounds */
        {"act_dim", "129", NULL, ERR_FORMAT},
        {"step_limit", "4294967296", NULL, ERR_FORMAT},
        {"action_low", "0.2,0.2", NULL, ERR_FORMAT}, /* above action_high */
        {"action_low", "-1,-inf", NULL, ERR_FORMAT},
        {"action_low", "-1", NULL, ERR_FORMAT},
        {"action_high", "1,1,1", NULL, ERR_FORMAT},
        {"env_steps", "18446744073709551616", NULL, ERR_FORMAT},
        {"updates", "12x", NULL, ERR_FORMAT},
        {"updates", " 12", NULL, ERR_FORMAT},
        {"adam_steps", "", NULL, ERR_FORMAT},
        {"best_return", "none", NULL, ERR_FORMAT},
        {"seed", NULL, NULL, ERR_FORMAT},
        {"config", NULL, NULL, ERR_FORMAT},
        {NULL, NULL, "actor.0.weight", ERR_FORMAT},
        {NULL, NULL, "actor.2.weight", ERR_FORMAT},
        {NULL, NULL, "critic.1.bias", ERR_FORMAT},
        {NULL, NULL, "critic_adam_v.2.bias", ERR_FORMAT},
    };
    Err err;
    DdpgState ddpg = ddpg_make(small_hidden, 2);
    RunState run = run_make(1);
    const char *path = scratch_path(&scratch, "file");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
        rewrite(path, cases[i].key, cases[i].value, cases[i].tensor);
        assert_unreadable(path, &ddpg, cases[i].code);
        Mlp mlp;
        float *params = NULL;
        assert_int_equal(checkpoint_read_policy(path, &mlp, &params, &run, &err), cases[i].code);
        assert_null(params);
    }
    assert_int_equal(checkpoint_write(path, &ddpg, &run, &err), ERR_OK);
    rewrite(path, NULL, NULL, NULL); /* that alone changes nothing */
    assert_int_equal(checkpoint_read(path, &ddpg, &run, &err), ERR_OK);
    ddpg_free(&ddpg);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_everything_comes_back_bit_for_bit),
        TEST(test_doubles_and_bounds_come_back_exactly),
        TEST(test_the_largest_action_space_comes_back),
        TEST(test_the_same_state_gives_the_same_bytes),
        TEST(test_tensors_have_the_names_and_shapes_of_the_docs),
        TEST(test_a_policy_is_read_alone),
        TEST(test_a_damaged_file_changes_nothing),
        TEST(test_other_shapes_are_refused_and_change_nothing),
        TEST(test_a_sound_file_with_wrong_contents_is_refused),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
