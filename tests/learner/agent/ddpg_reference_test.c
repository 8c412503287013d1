/* ddpg_update() against tests/ref/ddpg: five updates that an independent program computed in double
 * precision, for one and for several threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "learner/agent/ddpg.h"

enum { VALUES_MAX = 1 << 16 };

static const double TOLERANCE = 1e-5;

static json_t *get(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!value)
        fail_msg("no key %s", key);
    return value;
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(get(object, key));
}

static int whole(const json_t *object, const char *key)
{
    return (int)json_integer_value(get(object, key));
}

static json_t *read_case(const char *name)
{
    char path[1000];
    snprintf(path, sizeof path, "%s/tests/ref/ddpg/%s.json", POLYAK_SOURCE_DIR, name);
    json_error_t error;
    json_t *vectors = json_load_file(path, 0, &error);
    if (!vectors)
        fail_msg("%s: %s", path, error.text);
    return vectors;
}

static DdpgConfig config_of(const json_t *vectors, int threads)
{
    const json_t *json = get(vectors, "config");
    DdpgConfig config = {
        .obs_dim = whole(json, "obs_dim"),
        .act_dim = whole(json, "act_dim"),
        .batch = whole(json, "batch"),
        .gamma = number(json, "gamma"),
        .tau = number(json, "tau"),
        .actor_lr = number(json, "actor_lr"),
        .critic_lr = number(json, "critic_lr"),
        .critic_weight_decay = number(json, "critic_weight_decay"),
        .grad_clip = number(json, "grad_clip"),
        .threads = threads,
    };
    const json_t *hidden = get(json, "hidden");
    config.num_hidden = (int)json_array_size(hidden);
    for (int l = 0; l < config.num_hidden; l++)
        config.hidden[l] = (int)json_integer_value(json_array_get(hidden, (size_t)l));
    return config;
}

/* Rows of `count` numbers each, `stride` floats apart. */
static void load(const json_t *object, const char *key, int rows, int count, int stride, float *to)
{
    const json_t *array = get(object, key);
    assert_int_equal(json_array_size(array), rows * count);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < count; i++)
            to[r * stride + i] =
                (float)json_number_value(json_array_get(array, (size_t)(r * count + i)));
}

/* The vectors have weights as (out, in). */
static void start_from(DdpgNetwork *network, const json_t *vectors, const char *key)
{
    load(vectors, key, 1, (int)network->num_params, 0, network->target);
    mlp_transpose_weights(&network->mlp, network->target, false, network->params);
    memcpy(network->target, network->params, network->num_params * sizeof *network->params);
    network_params_changed(network);
}

static void load_batch(const json_t *update, Batch *batch)
{
    int width = batch->obs_dim + batch->act_dim;
    load(update, "obs", batch->rows, batch->obs_dim, width, batch->obs_action);
    load(update, "action", batch->rows, batch->act_dim, width, batch->obs_action + batch->obs_dim);
    load(update, "next_obs", batch->rows, batch->obs_dim, width, batch->next_obs_action);
    load(update, "reward", 1, batch->rows, 0, batch->reward);
    load(update, "bootstrap", 1, batch->rows, 0, batch->bootstrap);
}

/* Equal to TOLERANCE of each number, plus TOLERANCE of the block's root mean square for what nearly
 * cancels in float. */
static void compare_block(const json_t *network, const char *key, const Mlp *mlp,
                          const float *block)
{
    static float values[VALUES_MAX];
    const json_t *array = get(network, key);
    size_t n = mlp_num_params(mlp);
    assert_true(json_array_size(array) == n && n <= VALUES_MAX);
    mlp_transpose_weights(mlp, block, true, values);
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += pow(json_number_value(json_array_get(array, i)), 2);
    double scale = sqrt(squares / (double)n);
    assert_true(scale > 0);
    for (size_t i = 0; i < n; i++) {
        double expected = json_number_value(json_array_get(array, i));
        if (!(fabs((double)values[i] - expected) <= TOLERANCE * (fabs(expected) + scale)))
            fail_msg("%s[%zu] is %.9g, not %.9g", key, i, (double)values[i], expected);
    }
}

static void compare_network(const json_t *update, const char *key, const DdpgNetwork *network)
{
    const json_t *expected = get(update, key);
    compare_block(expected, "params", &network->mlp, network->params);
    compare_block(expected, "target", &network->mlp, network->target);
    compare_block(expected, "adam_m", &network->mlp, network->adam_m);
    compare_block(expected, "adam_v", &network->mlp, network->adam_v);
}

static void compare_stat(const json_t *update, const char *key, double value)
{
    double expected = number(get(update, "stats"), key);
    if (!(fabs(value - expected) <= TOLERANCE * (0.1 + fabs(expected))))
        fail_msg("%s is %.9g, not %.9g", key, value, expected);
}

static void check_case(const char *name, int threads)
{
    json_t *vectors = read_case(name);
    DdpgConfig config = config_of(vectors, threads);
    Ddpg *ddpg = NULL;
    Batch batch;
    Err err = {0};
    if (ddpg_new(&config, &ddpg, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(batch_new(&batch, config.batch, config.obs_dim, config.act_dim), 0);
    DdpgState *state = ddpg_state(ddpg);
    start_from(&state->actor, vectors, "actor_start");
    start_from(&state->critic, vectors, "critic_start");

    const json_t *updates = get(vectors, "updates");
    size_t compared = 0;
    for (size_t u = 0; u < json_array_size(updates); u++) {
        const json_t *update = json_array_get(updates, u);
        DdpgStats stats;
        load_batch(update, &batch);
        assert_int_equal(ddpg_update(ddpg, &batch, &stats), 0);
        assert_int_equal(state->updates, u + 1);
        compare_stat(update, "critic_loss", stats.critic_loss);
        compare_stat(update, "actor_loss", stats.actor_loss);
        compare_stat(update, "q_mean", stats.q_mean);
        compare_stat(update, "critic_grad_norm", stats.critic_grad_norm);
        compare_stat(update, "actor_grad_norm", stats.actor_grad_norm);
        if (json_object_get(update, "actor")) {
            compare_network(update, "actor", &state->actor);
            compare_network(update, "critic", &state->critic);
            compared++;
        }
    }
    assert_int_equal(compared, 2);
    batch_destroy(&batch);
    ddpg_destroy(&ddpg);
    json_decref(vectors);
}

static void check_case_on_teams(const char *name)
{
    check_case(name, 1);
    check_case(name, 3);
    check_case(name, 64); /* more than there are rows */
}

static void test_plain_updates_match_the_reference(void **state)
{
    (void)state;
    check_case_on_teams("plain");
}

static void test_weight_decay_matches_the_reference(void **state)
{
    (void)state;
    check_case_on_teams("decay");
}

static void test_clipping_matches_the_reference(void **state)
{
    (void)state;
    check_case_on_teams("clip");
}

static void test_decay_after_clipping_matches_the_reference(void **state)
{
    (void)state;
    check_case_on_teams("decay_clip");
}

static void test_other_shapes_match_the_reference(void **state)
{
    (void)state;
    check_case_on_teams("one_hidden");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_updates_match_the_reference),
        cmocka_unit_test(test_weight_decay_matches_the_reference),
        cmocka_unit_test(test_clipping_matches_the_reference),
        cmocka_unit_test(test_decay_after_clipping_matches_the_reference),
        cmocka_unit_test(test_other_shapes_match_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
