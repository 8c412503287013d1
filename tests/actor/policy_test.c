/* The actor's copy of the policy: which weights it takes, and what it does with them. */
#include "actor/policy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"

enum { OBS_DIM = 5, ACT_DIM = 2, ROWS = 7, PARAMS_MAX = 4096 };

static Policy policy;
static Spec spec;
static Err err;
static float params[PARAMS_MAX];

static int setup(void **state)
{
    (void)state;
    spec = (Spec){.name = "test", .obs_dim = OBS_DIM, .act_dim = ACT_DIM};
    policy_init(&policy, ROWS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    policy_destroy(&policy);
    return 0;
}

/* Weights drawn from a stream of their own, wide enough that tanh matters. */
static Weights make_weights(int obs_dim, int act_dim, int width, uint64_t update)
{
    Weights weights = {.version = {1, update}, .params = params};
    int hidden[2] = {width, width};
    assert_int_equal(mlp_shape(&weights.mlp, obs_dim, hidden, 2, act_dim, true, &err), 0);
    size_t count = mlp_num_params(&weights.mlp);
    Rng rng = rng_stream(7, RNG_TEST, (uint64_t)width, update, 0);
    assert_true(count <= PARAMS_MAX);
    for (size_t i = 0; i < count; i++)
        params[i] = (float)(0.5 * rng_normal(&rng));
    return weights;
}

static void take(const Weights *weights)
{
    if (policy_set(&policy, weights, &spec, &err) != 0)
        fail_msg("%s", err.text);
}

static void draw_obs(float *obs, int rows)
{
    Rng rng = rng_stream(8, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < rows * OBS_DIM; i++)
        obs[i] = (float)rng_normal(&rng);
}

static void test_a_new_policy_has_no_version(void **state)
{
    (void)state;
    assert_false(policy_is_set(&policy));
    assert_int_equal(policy.version.epoch, 0);
}

static void test_the_version_is_that_of_the_weights(void **state)
{
    (void)state;
    Weights weights = make_weights(OBS_DIM, ACT_DIM, 8, 321);
    take(&weights);
    assert_true(policy_is_set(&policy));
    assert_true(version_equal(policy.version, weights.version));
}

static void test_weights_for_other_dimensions_are_refused_and_change_nothing(void **state)
{
    (void)state;
    float obs[OBS_DIM];
    float before[ACT_DIM];
    draw_obs(obs, 1);
    Weights good = make_weights(OBS_DIM, ACT_DIM, 8, 1);
    take(&good);
    memcpy(before, policy_act(&policy, obs, 1), sizeof before);
    const int wrong[][2] = {{OBS_DIM + 1, ACT_DIM}, {OBS_DIM, ACT_DIM - 1}, {ACT_DIM, OBS_DIM}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Weights weights = make_weights(wrong[i][0], wrong[i][1], 8, 2);
        assert_int_equal(policy_set(&policy, &weights, &spec, &err), ERR_SPEC);
        assert_non_null(strstr(err.text, "not 5 and 2"));
        assert_true(version_equal(policy.version, good.version));
        assert_memory_equal(policy_act(&policy, obs, 1), before, sizeof before);
    }
}

static void test_weights_are_copied(void **state)
{
    (void)state;
    float obs[OBS_DIM];
    float before[ACT_DIM];
    draw_obs(obs, 1);
    Weights weights = make_weights(OBS_DIM, ACT_DIM, 8, 1);
    take(&weights);
    memcpy(before, policy_act(&policy, obs, 1), sizeof before);
    memset(params, 0, sizeof params);
    assert_memory_equal(policy_act(&policy, obs, 1), before, sizeof before);
}

/* tanh(relu(relu(x W0 + b0) W1 + b1) W2 + b2), in double. */
static void forward(const Weights *weights, const float *obs, double *action)
{
    double x[2][64];
    const Mlp *mlp = &weights->mlp;
    for (int i = 0; i < OBS_DIM; i++)
        x[0][i] = (double)obs[i];
    for (int l = 0; l < mlp->num_layers; l++) {
        const float *w = weights->params + mlp_weight_offset(mlp, l);
        const float *b = weights->params + mlp_bias_offset(mlp, l);
        for (int o = 0; o < mlp->size[l + 1]; o++) {
            double y = (double)b[o];
            for (int i = 0; i < mlp->size[l]; i++)
                y += (double)w[i * mlp->size[l + 1] + o] * x[l % 2][i];
            x[(l + 1) % 2][o] = l + 1 < mlp->num_layers ? fmax(y, 0) : tanh(y);
        }
    }
    for (int d = 0; d < ACT_DIM; d++)
        action[d] = x[mlp->num_layers % 2][d];
}

static void test_a_batch_gives_what_single_rows_give(void **state)
{
    (void)state;
    float obs[ROWS * OBS_DIM];
    float batch[ROWS * ACT_DIM];
    draw_obs(obs, ROWS);
    Weights weights = make_weights(OBS_DIM, ACT_DIM, 33, 1);
    take(&weights);
    for (int rows = 1; rows <= ROWS; rows++) {
        memcpy(batch, policy_act(&policy, obs, rows), (size_t)rows * ACT_DIM * sizeof batch[0]);
        for (int r = 0; r < rows; r++) {
            double wanted[ACT_DIM];
            forward(&weights, obs + r * OBS_DIM, wanted);
            const float *single = policy_act(&policy, obs + r * OBS_DIM, 1);
            for (int d = 0; d < ACT_DIM; d++) {
                assert_true(fabs((double)batch[r * ACT_DIM + d] - wanted[d]) < 1e-5);
                assert_true(fabs((double)single[d] - wanted[d]) < 1e-5);
            }
        }
    }
}

static void test_actions_stay_within_one_for_large_observations(void **state)
{
    (void)state;
    float obs[ROWS * OBS_DIM];
    draw_obs(obs, ROWS);
    for (int i = 0; i < ROWS * OBS_DIM; i++)
        obs[i] *= 1e6F;
    Weights weights = make_weights(OBS_DIM, ACT_DIM, 16, 1);
    take(&weights);
    const float *action = policy_act(&policy, obs, ROWS);
    for (int i = 0; i < ROWS * ACT_DIM; i++)
        assert_true(action[i] >= -1.0F && action[i] <= 1.0F);
}

static void test_weights_of_another_shape_may_follow(void **state)
{
    (void)state;
    const int width[] = {8, 40, 3, 40};
    float obs[ROWS * OBS_DIM];
    draw_obs(obs, ROWS);
    for (uint64_t i = 0; i < 4; i++) {
        double wanted[ACT_DIM];
        Weights weights = make_weights(OBS_DIM, ACT_DIM, width[i], i + 1);
        take(&weights);
        const float *action = policy_act(&policy, obs, ROWS) + (ROWS - 1) * ACT_DIM;
        forward(&weights, obs + (ROWS - 1) * OBS_DIM, wanted);
        for (int d = 0; d < ACT_DIM; d++)
            assert_true(fabs((double)action[d] - wanted[d]) < 1e-5);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_new_policy_has_no_version),
        CASE(test_the_version_is_that_of_the_weights),
        CASE(test_weights_for_other_dimensions_are_refused_and_change_nothing),
        CASE(test_weights_are_copied),
        CASE(test_a_batch_gives_what_single_rows_give),
        CASE(test_actions_stay_within_one_for_large_observations),
        CASE(test_weights_of_another_shape_may_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
