/* Evaluations: asked for when due, the best is kept and the others leave nothing behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "learner/watch/evaluations.h"
#include "tests/common/scratch.h"
#include "tests/learner/agent/checkpoint_states.h"

typedef struct Fixture {
    Scratch scratch;
    DdpgState ddpg;
    RunState run;
    Exchange exchange;
    Evaluations evaluations;
} Fixture;

static void start(Fixture *fixture, uint64_t interval_env_steps)
{
    evaluations_start(&fixture->evaluations, &fixture->exchange, fixture->scratch.path,
                      interval_env_steps, 2, &fixture->run);
}

static int make(void **state)
{
    static Fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    fixture.scratch = scratch_make();
    fixture.ddpg = ddpg_make(small_hidden, 2);
    fixture.run = run_make(0);
    fixture.run.env_steps = 0;
    fixture.run.evals = 0;
    fixture.run.best_return = -INFINITY;
    CHECK(exchange_new(&fixture.exchange, &fixture.ddpg.actor.mlp, 4, 3, 2, 8) == 0);
    start(&fixture, 100);
    *state = &fixture;
    return 0;
}

static int unmake(void **state)
{
    Fixture *fixture = *state;
    exchange_destroy(&fixture->exchange);
    ddpg_free(&fixture->ddpg);
    scratch_remove(&fixture->scratch);
    return 0;
}

/* Asks at so many env steps and updates. */
static bool ask(Fixture *fixture, uint64_t env_steps, uint64_t updates)
{
    fixture->run.env_steps = env_steps;
    fixture->run.updates = updates;
    ddpg_fill(&fixture->ddpg, updates);
    fixture->ddpg.updates = updates;
    return evaluations_ask_if_due(&fixture->evaluations, true, false, &fixture->run,
                                  &fixture->ddpg);
}

static bool answer(Fixture *fixture, uint64_t eval_id, double return_mean, double *taken)
{
    exchange_take_ticket(&fixture->exchange);
    exchange_answer(&fixture->exchange,
                    &(EvalOutcome){.eval_id = eval_id, .return_mean = return_mean});
    return evaluations_take_result(&fixture->evaluations, &fixture->run, taken);
}

static uint64_t best_updates(const Fixture *fixture)
{
    RunState run;
    Err err;
    if (checkpoint_read_run(scratch_path(&fixture->scratch, CHECKPOINT_BEST), &run, &err) != 0)
        fail_msg("%s", err.text);
    return run.updates;
}

static void test_one_is_asked_for_in_each_interval(void **state)
{
    Fixture *fixture = *state;
    assert_false(ask(fixture, 99, 1));
    assert_true(ask(fixture, 100, 2));
    assert_false(ask(fixture, 150, 3));
    assert_true(ask(fixture, 350, 4)); /* two at once are one */
    assert_false(ask(fixture, 399, 5));
    assert_true(ask(fixture, 400, 6));
    assert_int_equal(evaluations_pending(&fixture->evaluations), 3);
    assert_int_equal(fixture->run.evals, 3);
    const EvalTicket *ticket = exchange_take_ticket(&fixture->exchange);
    assert_non_null(ticket);
    assert_int_equal(ticket->env_steps, 100);
    assert_true(version_equal(ticket->version, (Version){2, 2}));
}

static void test_none_is_asked_for_in_the_warm_up_or_with_interval_0(void **state)
{
    Fixture *fixture = *state;
    fixture->run.env_steps = 500;
    assert_false(
        evaluations_ask_if_due(&fixture->evaluations, false, false, &fixture->run, &fixture->ddpg));
    start(fixture, 0);
    assert_false(ask(fixture, 1000, 1));
    assert_false(
        evaluations_ask_if_due(&fixture->evaluations, true, true, &fixture->run, &fixture->ddpg));
}

static void test_the_last_policy_is_evaluated_once(void **state)
{
    Fixture *fixture = *state;
    ask(fixture, 100, 1);
    fixture->run.env_steps = 130;
    assert_true(
        evaluations_ask_if_due(&fixture->evaluations, true, true, &fixture->run, &fixture->ddpg));
    assert_false(
        evaluations_ask_if_due(&fixture->evaluations, true, true, &fixture->run, &fixture->ddpg));
}

static void test_the_best_policy_is_the_one_that_was_evaluated(void **state)
{
    Fixture *fixture = *state;
    double taken = 0;
    ask(fixture, 100, 11);
    ask(fixture, 200, 22);
    ask(fixture, 300, 33);
    ddpg_fill(&fixture->ddpg, 99); /* the networks go on */
    assert_true(answer(fixture, 1, -50, &taken));
    assert_true(taken == -50);
    assert_int_equal(best_updates(fixture), 11);
    assert_true(answer(fixture, 2, -20, &taken));
    assert_int_equal(best_updates(fixture), 22);
    assert_true(answer(fixture, 3, -30, &taken)); /* worse */
    assert_int_equal(best_updates(fixture), 22);
    assert_true(fixture->run.best_return == -20);
    assert_true(fixture->evaluations.newest_return == -30);

    DdpgState expected = ddpg_make(small_hidden, 2);
    DdpgState best = ddpg_make(small_hidden, 2);
    RunState run;
    Err err;
    ddpg_fill(&expected, 22);
    expected.updates = 22;
    assert_int_equal(
        checkpoint_read(scratch_path(&fixture->scratch, CHECKPOINT_BEST), &best, &run, &err), 0);
    assert_true(ddpg_equal(&best, &expected));
    ddpg_free(&expected);
    ddpg_free(&best);
    /* best.safetensors and best.json, and no candidate. */
    assert_int_equal(scratch_count(fixture->scratch.path), 2);
}

static void test_equal_is_not_better(void **state)
{
    Fixture *fixture = *state;
    double taken = 0;
    ask(fixture, 100, 11);
    ask(fixture, 200, 22);
    answer(fixture, 1, -50, &taken);
    answer(fixture, 2, -50, &taken);
    assert_int_equal(best_updates(fixture), 11);
}

/* The returns of its other episodes say nothing of a policy that breaks the environment. */
static void test_one_with_diverged_episodes_is_never_the_best(void **state)
{
    Fixture *fixture = *state;
    double taken = 0;
    ask(fixture, 100, 11);
    exchange_take_ticket(&fixture->exchange);
    exchange_answer(&fixture->exchange,
                    &(EvalOutcome){.eval_id = 1, .return_mean = -5, .episodes = 10, .diverged = 1});
    assert_true(evaluations_take_result(&fixture->evaluations, &fixture->run, &taken));
    assert_true(taken == -5);
    assert_true(isinf(fixture->run.best_return));
    assert_int_equal(scratch_count(fixture->scratch.path), 0);
    ask(fixture, 200, 22);
    assert_true(answer(fixture, 2, -100, &taken)); /* whatever its return is */
    assert_true(fixture->run.best_return == -100);
    assert_int_equal(best_updates(fixture), 22);
}

static void test_a_skipped_evaluation_leaves_nothing(void **state)
{
    Fixture *fixture = *state;
    double taken = 0;
    ask(fixture, 100, 11);
    exchange_take_ticket(&fixture->exchange);
    exchange_answer(&fixture->exchange, &(EvalOutcome){.eval_id = 1, .skipped = true});
    assert_true(evaluations_take_result(&fixture->evaluations, &fixture->run, &taken));
    assert_true(isnan(taken));
    assert_int_equal(evaluations_pending(&fixture->evaluations), 0);
    assert_true(isinf(fixture->run.best_return));
    assert_int_equal(scratch_count(fixture->scratch.path), 0);
    assert_false(evaluations_take_result(&fixture->evaluations, &fixture->run, &taken));
}

static void test_dropped_ones_leave_nothing(void **state)
{
    Fixture *fixture = *state;
    ask(fixture, 100, 11);
    ask(fixture, 200, 22);
    assert_int_equal(scratch_count(fixture->scratch.path), 2);
    evaluations_drop(&fixture->evaluations);
    assert_int_equal(evaluations_pending(&fixture->evaluations), 0);
    assert_int_equal(scratch_count(fixture->scratch.path), 0);
}

static void test_too_many_unanswered_ones_are_left_out(void **state)
{
    Fixture *fixture = *state;
    for (uint64_t i = 1; i <= EXCHANGE_EVALS_MAX; i++)
        assert_true(ask(fixture, 100 * i, i));
    assert_false(ask(fixture, 10000, 1000));
    assert_int_equal(evaluations_pending(&fixture->evaluations), EXCHANGE_EVALS_MAX);
    assert_int_equal(fixture->run.evals, EXCHANGE_EVALS_MAX);
    double taken = 0;
    answer(fixture, 1, 0, &taken);
    assert_true(ask(fixture, 20000, 1001));
}

static void test_the_best_of_an_earlier_start_stands(void **state)
{
    Fixture *fixture = *state;
    double taken = 0;
    ask(fixture, 100, 11);
    answer(fixture, 1, -50, &taken);
    ask(fixture, 200, 22); /* then the learner is killed */
    fixture->run.best_return = -INFINITY;
    fixture->run.env_steps = 150; /* of the checkpoint */
    exchange_destroy(&fixture->exchange);
    CHECK(exchange_new(&fixture->exchange, &fixture->ddpg.actor.mlp, 4, 3, 2, 8) == 0);
    start(fixture, 100);
    assert_true(fixture->run.best_return == -50);
    assert_int_equal(scratch_count(fixture->scratch.path), 2); /* what was pending is removed */
    assert_false(ask(fixture, 199, 20));
    assert_true(ask(fixture, 200, 21));
    answer(fixture, fixture->run.evals, -60, &taken);
    assert_int_equal(best_updates(fixture), 11);
}

static void test_a_damaged_best_json_is_passed_over(void **state)
{
    Fixture *fixture = *state;
    static const char *const texts[] = {"", "{", "[]", "{\"return_mean\": \"5\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        scratch_write(scratch_path(&fixture->scratch, "best.json"), texts[i], strlen(texts[i]));
        start(fixture, 100);
        assert_true(isinf(fixture->run.best_return));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_one_is_asked_for_in_each_interval),
        TEST(test_none_is_asked_for_in_the_warm_up_or_with_interval_0),
        TEST(test_the_last_policy_is_evaluated_once),
        TEST(test_the_best_policy_is_the_one_that_was_evaluated),
        TEST(test_equal_is_not_better),
        TEST(test_one_with_diverged_episodes_is_never_the_best),
        TEST(test_a_skipped_evaluation_leaves_nothing),
        TEST(test_dropped_ones_leave_nothing),
        TEST(test_too_many_unanswered_ones_are_left_out),
        TEST(test_the_best_of_an_earlier_start_stands),
        TEST(test_a_damaged_best_json_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
