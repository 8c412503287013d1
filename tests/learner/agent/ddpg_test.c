/* What an update keeps, whatever its numbers are. The numbers themselves are in
 * ddpg_reference_test.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/learner/agent/ddpg_training.h"

static const DdpgConfig small = {
    .obs_dim = 5,
    .act_dim = 2,
    .num_hidden = 2,
    .hidden = {33, 20},
    .batch = 37,
    .gamma = 0.9,
    .tau = 0.25,
    .actor_lr = 1e-3,
    .critic_lr = 1e-3,
    .critic_weight_decay = 1e-2,
    .threads = 1,
    .seed = 5,
};

static void for_each_block(DdpgNetwork *a, DdpgNetwork *b,
                           void (*visit)(const float *a, const float *b, size_t n))
{
    assert_int_equal(a->num_params, b->num_params);
    visit(a->params, b->params, a->num_params);
    visit(a->target, b->target, a->num_params);
    visit(a->adam_m, b->adam_m, a->num_params);
    visit(a->adam_v, b->adam_v, a->num_params);
}

static void assert_same_bits(const float *a, const float *b, size_t n)
{
    assert_memory_equal(a, b, n * sizeof *a);
}

static void assert_close(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-5F + 1e-3F * fabsf(b[i])))
            fail_msg("%zu: %.9g and %.9g", i, (double)a[i], (double)b[i]);
}

static void assert_states(Ddpg *a, Ddpg *b, void (*visit)(const float *, const float *, size_t))
{
    assert_int_equal(ddpg_state(a)->updates, ddpg_state(b)->updates);
    for_each_block(&ddpg_state(a)->actor, &ddpg_state(b)->actor, visit);
    for_each_block(&ddpg_state(a)->critic, &ddpg_state(b)->critic, visit);
}

static void copy_network(DdpgNetwork *to, const DdpgNetwork *from)
{
    size_t bytes = from->num_params * sizeof(float);
    memcpy(to->params, from->params, bytes);
    memcpy(to->target, from->target, bytes);
    memcpy(to->adam_m, from->adam_m, bytes);
    memcpy(to->adam_v, from->adam_v, bytes);
    network_params_changed(to);
}

static void test_targets_start_as_exact_copies(void **state)
{
    (void)state;
    Ddpg *ddpg = make(&small);
    DdpgNetwork *networks[] = {&ddpg_state(ddpg)->actor, &ddpg_state(ddpg)->critic};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(networks[i]->num_params, mlp_num_params(&networks[i]->mlp));
        assert_same_bits(networks[i]->target, networks[i]->params, networks[i]->num_params);
        for (size_t p = 0; p < networks[i]->num_params; p++)
            assert_true(networks[i]->adam_m[p] == 0 && networks[i]->adam_v[p] == 0);
    }
    assert_true(networks[0]->mlp.tanh_output && !networks[1]->mlp.tanh_output);
    assert_int_equal(networks[1]->mlp.size[0], 7);
    assert_int_equal(ddpg_state(ddpg)->updates, 0);
    ddpg_destroy(&ddpg);
    assert_null(ddpg);
}

static void test_first_parameters_are_a_function_of_the_seed(void **state)
{
    (void)state;
    DdpgConfig other = small;
    other.seed++;
    Ddpg *a = make(&small);
    Ddpg *b = make(&small);
    Ddpg *c = make(&other);
    assert_states(a, b, assert_same_bits);
    assert_true(ddpg_state(a)->actor.params[0] != ddpg_state(c)->actor.params[0]);
    assert_true(ddpg_state(a)->critic.params[0] != ddpg_state(c)->critic.params[0]);
    assert_true(ddpg_state(a)->actor.params[0] * sqrtf(5) !=
                ddpg_state(a)->critic.params[0] * sqrtf(7));
    ddpg_destroy(&a);
    ddpg_destroy(&b);
    ddpg_destroy(&c);
}

static void test_targets_follow_by_tau(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        DdpgConfig config = small;
        config.threads = threads;
        Ddpg *ddpg = make(&config);
        train(ddpg, &config, 3);
        DdpgNetwork *networks[] = {&ddpg_state(ddpg)->actor, &ddpg_state(ddpg)->critic};
        float *before[2];
        for (int i = 0; i < 2; i++) {
            size_t bytes = networks[i]->num_params * sizeof(float);
            before[i] = malloc(bytes);
            assert_non_null(before[i]);
            memcpy(before[i], networks[i]->target, bytes);
        }
        train(ddpg, &config, 1);
        for (int i = 0; i < 2; i++) {
            for (size_t p = 0; p < networks[i]->num_params; p++) {
                double expected =
                    0.25 * (double)networks[i]->params[p] + 0.75 * (double)before[i][p];
                assert_true(fabs((double)networks[i]->target[p] - expected) < 1e-7);
            }
            free(before[i]);
        }
        ddpg_destroy(&ddpg);
    }
}

/* The critic's loss before any training, where Q and Q' are the same known function. */
static double first_loss(Ddpg *ddpg, Batch *batch, float bootstrap, float reward)
{
    DdpgStats stats;
    fill(batch, 0);
    for (int i = 0; i < batch->rows; i++) {
        batch->bootstrap[i] = bootstrap;
        batch->reward[i] = reward;
    }
    assert_int_equal(ddpg_update(ddpg, batch, &stats), 0);
    return stats.critic_loss;
}

/* A critic that says 10 everywhere, with reward 1 and gamma 0.9: where s' is terminal the target is
 * 1 and the loss (10 - 1)^2; where it is not, the target is 1 + 0.9 * 10 = 10 and the loss 0. */
static void test_only_a_terminal_state_ends_the_return(void **state)
{
    (void)state;
    Batch batch;
    assert_int_equal(batch_new(&batch, small.batch, small.obs_dim, small.act_dim), 0);
    for (int terminal = 0; terminal < 2; terminal++) {
        Ddpg *ddpg = make(&small);
        DdpgNetwork *critic = &ddpg_state(ddpg)->critic;
        memset(critic->params, 0, critic->num_params * sizeof(float));
        critic->params[critic->num_params - 1] = 10;
        memcpy(critic->target, critic->params, critic->num_params * sizeof(float));
        network_params_changed(critic);
        double loss = first_loss(ddpg, &batch, terminal ? 0 : 1, 1);
        assert_true(fabs(loss - (terminal ? 81 : 0)) < 1e-4);
        /* And the critic moves towards the target, or stays. */
        float q = critic->params[critic->num_params - 1];
        assert_true(terminal ? q < 10 : fabsf(q - 10) < 1.1e-3F);
        ddpg_destroy(&ddpg);
    }
    batch_destroy(&batch);
}

static void test_a_thread_count_repeats_bit_for_bit_and_others_agree(void **state)
{
    (void)state;
    Ddpg *one = make(&small);
    train(one, &small, 20);
    for (int threads = 1; threads <= 3; threads++) {
        DdpgConfig config = small;
        config.threads = threads;
        Ddpg *a = make(&config);
        Ddpg *b = make(&config);
        train(a, &config, 20);
        train(b, &config, 20);
        assert_states(a, b, assert_same_bits);
        assert_states(a, one, assert_close);
        ddpg_destroy(&a);
        ddpg_destroy(&b);
    }
    ddpg_destroy(&one);
}

/* A batch is taken through the networks in blocks of rows; the sums must not depend on it. */
static void test_a_large_batch_is_the_mean_of_its_parts(void **state)
{
    (void)state;
    DdpgConfig config = small;
    config.batch = 300;
    config.grad_clip = 0;
    DdpgConfig part = config;
    part.batch = 100;
    Ddpg *ddpg = make(&config);
    Batch batch;
    Batch third;
    DdpgStats whole;
    assert_int_equal(batch_new(&batch, config.batch, config.obs_dim, config.act_dim), 0);
    assert_int_equal(batch_new(&third, part.batch, part.obs_dim, part.act_dim), 0);
    fill(&batch, 0);
    double loss = 0;
    double q = 0;
    size_t floats = (size_t)(part.batch * (part.obs_dim + part.act_dim));
    for (size_t i = 0; i < 3; i++) {
        Ddpg *fresh = make(&part);
        DdpgStats stats;
        memcpy(third.obs_action, batch.obs_action + i * floats, floats * sizeof(float));
        memcpy(third.next_obs_action, batch.next_obs_action + i * floats, floats * sizeof(float));
        memcpy(third.reward, batch.reward + i * 100, 100 * sizeof(float));
        memcpy(third.bootstrap, batch.bootstrap + i * 100, 100 * sizeof(float));
        assert_int_equal(ddpg_update(fresh, &third, &stats), 0);
        loss += stats.critic_loss / 3;
        q += stats.q_mean / 3;
        ddpg_destroy(&fresh);
    }
    assert_int_equal(ddpg_update(ddpg, &batch, &whole), 0);
    assert_true(fabs(whole.critic_loss - loss) < 1e-5 * (1 + fabs(loss)));
    assert_true(fabs(whole.q_mean - q) < 1e-5 * (1 + fabs(q)));

    /* And all gradients: other numbers of threads cut the rows into other blocks. */
    for (int threads = 2; threads <= 5; threads++) {
        DdpgConfig other = config;
        other.threads = threads;
        Ddpg *a = make(&config);
        Ddpg *b = make(&other);
        train(a, &config, 3);
        train(b, &other, 3);
        assert_states(a, b, assert_close);
        ddpg_destroy(&a);
        ddpg_destroy(&b);
    }
    batch_destroy(&batch);
    batch_destroy(&third);
    ddpg_destroy(&ddpg);
}

static void test_a_copied_state_goes_on_bit_for_bit(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        DdpgConfig config = small;
        config.threads = threads;
        Ddpg *whole = make(&config);
        Ddpg *half = make(&config);
        train(whole, &config, 20);
        train(half, &config, 10);
        config.seed = 99; /* what it starts from must not matter */
        Ddpg *copy = make(&config);
        train(copy, &config, 1);
        copy_network(&ddpg_state(copy)->actor, &ddpg_state(half)->actor);
        copy_network(&ddpg_state(copy)->critic, &ddpg_state(half)->critic);
        ddpg_state(copy)->updates = ddpg_state(half)->updates;
        train(copy, &config, 10);
        assert_states(whole, copy, assert_same_bits);
        ddpg_destroy(&whole);
        ddpg_destroy(&half);
        ddpg_destroy(&copy);
    }
}

static void test_a_simple_problem_is_learned(void **state)
{
    (void)state;
    /* One step, reward a s: the best action has the sign of s. Q has a slope everywhere; at a
     * smooth maximum, a network of ReLUs can have a flat top on which the actor rightly stops. */
    DdpgConfig config = {.obs_dim = 1,
                         .act_dim = 1,
                         .num_hidden = 2,
                         .hidden = {16, 16},
                         .batch = 32,
                         .gamma = 0.9,
                         .tau = 0.05,
                         .actor_lr = 1e-3,
                         .critic_lr = 1e-2,
                         .threads = 2,
                         .seed = 1};
    Ddpg *ddpg = make(&config);
    Batch batch;
    DdpgStats stats;
    assert_int_equal(batch_new(&batch, config.batch, 1, 1), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        fill(&batch, i);
        for (int r = 0; r < config.batch; r++) {
            batch.reward[r] = batch.obs_action[2 * r] * batch.obs_action[2 * r + 1];
            batch.bootstrap[r] = 0;
        }
        assert_int_equal(ddpg_update(ddpg, &batch, &stats), 0);
    }
    float activations[100];
    const DdpgNetwork *actor = &ddpg_state(ddpg)->actor;
    for (int i = -4; i <= 4; i++) {
        float obs = (float)i / 4;
        float action = *mlp_forward(&actor->mlp, actor->params, &obs, 1, 1, activations);
        if (abs(i) >= 2 && !(action * obs > 0.8F * fabsf(obs)))
            fail_msg("at %g the policy does %g", (double)obs, (double)action);
    }
    batch_destroy(&batch);
    ddpg_destroy(&ddpg);
}

static void test_a_diverged_batch_changes_nothing(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        DdpgConfig config = small;
        config.threads = threads;
        Ddpg *ddpg = make(&config);
        Ddpg *untouched = make(&config);
        train(ddpg, &config, 5);
        train(untouched, &config, 5);
        Batch batch;
        DdpgStats stats;
        assert_int_equal(batch_new(&batch, config.batch, config.obs_dim, config.act_dim), 0);
        const float bad[] = {NAN, INFINITY, -INFINITY, 1e30F};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            fill(&batch, i);
            batch.reward[(i * 11) % (size_t)config.batch] = bad[i];
            assert_int_equal(ddpg_update(ddpg, &batch, &stats), ERR_DIVERGED);
            assert_false(isfinite(stats.critic_loss) && isfinite(stats.critic_grad_norm));
            fill(&batch, i);
            batch.obs_action[i * 7] = bad[i];
            assert_int_equal(ddpg_update(ddpg, &batch, &stats), ERR_DIVERGED);
            assert_states(ddpg, untouched, assert_same_bits);
        }
        train(ddpg, &config, 5);
        train(untouched, &config, 5);
        assert_states(ddpg, untouched, assert_same_bits);
        batch_destroy(&batch);
        ddpg_destroy(&ddpg);
        ddpg_destroy(&untouched);
    }
}

static void test_a_diverged_actor_stays_as_it_was(void **state)
{
    (void)state;
    Ddpg *ddpg = make(&small);
    train(ddpg, &small, 5);
    DdpgNetwork *actor = &ddpg_state(ddpg)->actor;
    actor->params[0] = NAN; /* of the actor, and not of its target: the critic's step is sound */
    network_params_changed(actor);
    Ddpg *before = make(&small);
    copy_network(&ddpg_state(before)->actor, actor);
    Batch batch;
    DdpgStats stats;
    assert_int_equal(batch_new(&batch, small.batch, small.obs_dim, small.act_dim), 0);
    fill(&batch, 5);
    assert_int_equal(ddpg_update(ddpg, &batch, &stats), ERR_DIVERGED);
    assert_true(isfinite(stats.critic_loss) && isfinite(stats.critic_grad_norm));
    assert_int_equal(ddpg_state(ddpg)->updates, 5);
    for_each_block(actor, &ddpg_state(before)->actor, assert_same_bits);
    batch_destroy(&batch);
    ddpg_destroy(&ddpg);
    ddpg_destroy(&before);
}

static void assert_refused(DdpgConfig config)
{
    Ddpg *ddpg = NULL;
    Err err = {0};
    assert_int_equal(ddpg_new(&config, &ddpg, &err), ERR_USAGE);
    assert_null(ddpg);
    assert_true(strlen(err.text) > 0);
}

static void test_impossible_configurations_are_refused(void **state)
{
    (void)state;
    DdpgConfig config = small;
    config.batch = 0;
    assert_refused(config);
    config = small;
    config.threads = 0;
    assert_refused(config);
    config = small;
    config.act_dim = 0;
    assert_refused(config);
    config = small;
    config.obs_dim = MLP_WIDTH_MAX;
    assert_refused(config);
    config = small;
    config.hidden[1] = 0;
    assert_refused(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets_start_as_exact_copies),
        cmocka_unit_test(test_first_parameters_are_a_function_of_the_seed),
        cmocka_unit_test(test_targets_follow_by_tau),
        cmocka_unit_test(test_only_a_terminal_state_ends_the_return),
        cmocka_unit_test(test_a_thread_count_repeats_bit_for_bit_and_others_agree),
        cmocka_unit_test(test_a_large_batch_is_the_mean_of_its_parts),
        cmocka_unit_test(test_a_copied_state_goes_on_bit_for_bit),
        cmocka_unit_test(test_a_simple_problem_is_learned),
        cmocka_unit_test(test_a_diverged_batch_changes_nothing),
        cmocka_unit_test(test_a_diverged_actor_stays_as_it_was),
        cmocka_unit_test(test_impossible_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
