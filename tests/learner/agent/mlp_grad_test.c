/* The backward pass against central differences of an independent forward pass in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/rng.h"
#include "learner/agent/mlp_grad.h"
#include "tests/common/mlp_reference.h"

enum { OBS_DIM = 5, ACT_DIM = 3, WIDTH = OBS_DIM + ACT_DIM, BATCH = 9, PARAMS_MAX = 2000 };

static const double STEP = 1e-6;
static const double MARGIN = 1e-4; /* far more than a step, or float's rounding, moves a ReLU */

/* An actor and a critic with their parameters in both precisions, and a batch. */
typedef struct Case {
    Mlp actor;
    Mlp critic;
    float actor_params[PARAMS_MAX];
    float critic_params[PARAMS_MAX];
    float actor_transposed[PARAMS_MAX];
    float critic_transposed[PARAMS_MAX];
    double actor_exact[PARAMS_MAX];
    double critic_exact[PARAMS_MAX];
    float obs_action[BATCH * WIDTH];
    float y[BATCH];
    double margin; /* of all ReLUs in the losses so far */
} Case;

static Rng rng;

/* Ranges that keep the size of signals from layer to layer, so that no gradient fades away. */
static void fill_params(const Mlp *mlp, float *params, double *exact)
{
    assert_true(mlp_num_params(mlp) <= PARAMS_MAX);
    for (int l = 0; l < mlp->num_layers; l++) {
        double bound = sqrt(6.0 / mlp->size[l]);
        for (size_t i = mlp_weight_offset(mlp, l); i < mlp_weight_offset(mlp, l + 1); i++)
            exact[i] = (double)(params[i] = (float)(bound * (2 * rng_uniform(&rng) - 1)));
    }
}

typedef double Loss(Case *c);

/* mean (Q(s, a) - y)^2 */
static double critic_loss(Case *c)
{
    double loss = 0;
    for (int r = 0; r < BATCH; r++) {
        double row[WIDTH];
        double q;
        for (int i = 0; i < WIDTH; i++)
            row[i] = (double)c->obs_action[r * WIDTH + i];
        mlp_reference(&c->critic, c->critic_exact, row, &q, &c->margin);
        loss += (q - (double)c->y[r]) * (q - (double)c->y[r]);
    }
    return loss / BATCH;
}

/* mean -Q(s, mu(s)) */
static double actor_loss(Case *c)
{
    double loss = 0;
    for (int r = 0; r < BATCH; r++) {
        double row[WIDTH];
        double q;
        for (int i = 0; i < OBS_DIM; i++)
            row[i] = (double)c->obs_action[r * WIDTH + i];
        mlp_reference(&c->actor, c->actor_exact, row, row + OBS_DIM, &c->margin);
        mlp_reference(&c->critic, c->critic_exact, row, &q, &c->margin);
        loss -= q;
    }
    return loss / BATCH;
}

static void draw_case(Case *c, const int *hidden, int num_hidden)
{
    assert_int_equal(mlp_shape(&c->actor, OBS_DIM, hidden, num_hidden, ACT_DIM, true, NULL), 0);
    assert_int_equal(mlp_shape(&c->critic, WIDTH, hidden, num_hidden, 1, false, NULL), 0);
    fill_params(&c->actor, c->actor_params, c->actor_exact);
    fill_params(&c->critic, c->critic_params, c->critic_exact);
    mlp_transpose_weights(&c->actor, c->actor_params, true, c->actor_transposed);
    mlp_transpose_weights(&c->critic, c->critic_params, true, c->critic_transposed);
    for (int i = 0; i < BATCH * WIDTH; i++)
        c->obs_action[i] = (float)rng_normal(&rng);
    for (int i = 0; i < BATCH; i++)
        c->y[i] = (float)rng_normal(&rng);
}

/* A case in which no ReLU is near its kink. */
static Case *make_case(const int *hidden, int num_hidden)
{
    Case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    for (int draw = 0; draw < 100; draw++) {
        draw_case(c, hidden, num_hidden);
        c->margin = 1;
        critic_loss(c);
        actor_loss(c);
        if (c->margin > MARGIN)
            return c;
    }
    fail_msg("no case of 100 is clear of the kinks");
    return NULL;
}

/* Compares grad with central differences of the loss along every parameter. Returns the greatest
 * derivative. */
static double check_gradient(Case *c, Loss *loss, double *params, size_t num_params,
                             const float *grad)
{
    double greatest = 0;
    for (size_t i = 0; i < num_params; i++) {
        double before = params[i];
        params[i] = before + STEP;
        double above = loss(c);
        params[i] = before - STEP;
        double below = loss(c);
        params[i] = before;
        double expected = (above - below) / (2 * STEP);
        greatest = fmax(greatest, fabs(expected));
        if (!(fabs((double)grad[i] - expected) <= 2e-5 * (0.1 + fabs(expected))))
            fail_msg("parameter %zu: gradient %.9g, not %.9g", i, (double)grad[i], expected);
    }
    return greatest;
}

/* Raises the greatest derivatives that were seen, of the critic's and of the actor's loss. */
static void check_case(const int *hidden, int num_hidden, double greatest[2])
{
    Case *c = make_case(hidden, num_hidden);
    float *actor_activations = calloc(mlp_num_activations(&c->actor, BATCH), sizeof(float));
    float *critic_activations = calloc(mlp_num_activations(&c->critic, BATCH), sizeof(float));
    float *scratch =
        calloc(mlp_grad_num_scratch(&c->critic, BATCH) + mlp_grad_num_scratch(&c->actor, BATCH),
               sizeof *scratch);
    float grad[PARAMS_MAX];
    float d_q[BATCH];
    float d_action[BATCH * ACT_DIM];

    const float *q =
        mlp_forward(&c->critic, c->critic_params, c->obs_action, WIDTH, BATCH, critic_activations);
    for (int r = 0; r < BATCH; r++)
        d_q[r] = 2 * (q[r] - c->y[r]) / BATCH;
    MlpPass critic = {&c->critic, c->critic_params,  c->critic_transposed, c->obs_action, WIDTH,
                      BATCH,      critic_activations};
    mlp_grad_params(&critic, d_q, scratch, false, grad);
    greatest[0] = fmax(greatest[0], check_gradient(c, critic_loss, c->critic_exact,
                                                   mlp_num_params(&c->critic), grad));

    const float *action =
        mlp_forward(&c->actor, c->actor_params, c->obs_action, WIDTH, BATCH, actor_activations);
    for (int r = 0; r < BATCH; r++) {
        memcpy(c->obs_action + r * WIDTH + OBS_DIM, action + r * ACT_DIM, ACT_DIM * sizeof(float));
        d_q[r] = -1.0F / BATCH;
    }
    mlp_forward(&c->critic, c->critic_params, c->obs_action, WIDTH, BATCH, critic_activations);
    mlp_grad_input(&critic, d_q, scratch, OBS_DIM, d_action);
    MlpPass actor = {&c->actor, c->actor_params, c->actor_transposed, c->obs_action,
                     WIDTH,     BATCH,           actor_activations};
    mlp_grad_params(&actor, d_action, scratch, false, grad);
    greatest[1] = fmax(greatest[1], check_gradient(c, actor_loss, c->actor_exact,
                                                   mlp_num_params(&c->actor), grad));
    free(actor_activations);
    free(critic_activations);
    free(scratch);
    free(c);
}

/* Several draws: in one of them all ReLUs of a narrow layer may be off, and all gradients 0. */
static void check_both_losses(const int *hidden, int num_hidden)
{
    double greatest[2] = {0};
    for (int draw = 0; draw < 5; draw++)
        check_case(hidden, num_hidden, greatest);
    assert_true(greatest[0] > 0.01 && greatest[1] > 0.01);
}

static void test_gradients_agree_with_central_differences(void **state)
{
    (void)state;
    check_both_losses((int[]){8, 7}, 2);
    check_both_losses((int[]){33, 17}, 2);
    check_both_losses((int[]){20}, 1);
    check_both_losses((int[]){9, 16, 5, 12}, 4);
}

static void test_gradients_of_a_single_layer_agree_too(void **state)
{
    (void)state;
    check_both_losses(NULL, 0);
}

static void test_the_columns_asked_for_are_the_last_ones(void **state)
{
    (void)state;
    Case *c = make_case((int[]){8, 7}, 2);
    float activations[BATCH * 16];
    float scratch[2 * BATCH * 8];
    float all[BATCH * WIDTH];
    float some[BATCH * 2];
    float d_q[BATCH];
    assert_true(mlp_num_activations(&c->critic, BATCH) <= BATCH * 16);
    assert_true(mlp_grad_num_scratch(&c->critic, BATCH) <= 2 * BATCH * 8);
    mlp_forward(&c->critic, c->critic_params, c->obs_action, WIDTH, BATCH, activations);
    for (int r = 0; r < BATCH; r++)
        d_q[r] = 1;
    MlpPass pass = {&c->critic, c->critic_params, c->critic_transposed, c->obs_action, WIDTH,
                    BATCH,      activations};
    mlp_grad_input(&pass, d_q, scratch, 0, all);
    mlp_grad_input(&pass, d_q, scratch, WIDTH - 2, some);
    for (int r = 0; r < BATCH; r++)
        for (int j = 0; j < 2; j++)
            assert_true(fabsf(some[r * 2 + j] - all[r * WIDTH + WIDTH - 2 + j]) < 1e-6F);
    free(c);
}

static void test_gradients_of_parts_of_a_batch_add_up(void **state)
{
    (void)state;
    Case *c = make_case((int[]){33, 17}, 2);
    float activations[BATCH * 51];
    float scratch[2 * BATCH * 33];
    float d_q[BATCH];
    static float whole[PARAMS_MAX];
    static float parts[PARAMS_MAX];
    assert_true(mlp_num_activations(&c->critic, BATCH) <= BATCH * 51);
    for (int r = 0; r < BATCH; r++)
        d_q[r] = (float)rng_normal(&rng);
    MlpPass pass = {&c->critic, c->critic_params, c->critic_transposed, c->obs_action, WIDTH,
                    BATCH,      activations};
    mlp_forward(&c->critic, c->critic_params, c->obs_action, WIDTH, BATCH, activations);
    mlp_grad_params(&pass, d_q, scratch, false, whole);
    for (int first = 0; first < BATCH; first += 4) {
        pass.x = c->obs_action + (ptrdiff_t)first * WIDTH;
        pass.batch = BATCH - first < 4 ? BATCH - first : 4;
        mlp_forward(&c->critic, c->critic_params, pass.x, WIDTH, pass.batch, activations);
        mlp_grad_params(&pass, d_q + first, scratch, first > 0, parts);
    }
    for (size_t i = 0; i < mlp_num_params(&c->critic); i++)
        assert_true(fabsf(whole[i] - parts[i]) <= 1e-5F * (1 + fabsf(whole[i])));
    free(c);
}

int main(void)
{
    const char *again = getenv("POLYAK_TEST_SEED");
    uint64_t seed = again ? (uint64_t)strtoull(again, NULL, 10) : (uint64_t)getpid();
    printf("seed %llu (POLYAK_TEST_SEED repeats it)\n", (unsigned long long)seed);
    rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_agree_with_central_differences),
        cmocka_unit_test(test_gradients_of_a_single_layer_agree_too),
        cmocka_unit_test(test_gradients_of_parts_of_a_batch_add_up),
        cmocka_unit_test(test_the_columns_asked_for_are_the_last_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
