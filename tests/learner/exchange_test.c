/* What crosses between the two threads: newest wins, nothing is taken twice, nothing sleeps through
 * a wake-up. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "learner/exchange.h"

enum { HIDDEN = 4 };

static void make(Exchange *exchange)
{
    Mlp policy;
    const int hidden[] = {HIDDEN};
    assert_int_equal(mlp_shape(&policy, 2, hidden, 1, 1, true, NULL), 0);
    assert_int_equal(exchange_new(exchange, &policy, 4, 2, 1, 8), 0);
}

enum { NUM_PARAMS = 2 * HIDDEN + HIDDEN + HIDDEN + 1 };

static void fill(float *params, float value)
{
    for (int i = 0; i < NUM_PARAMS; i++)
        params[i] = value + (float)i;
}

static void assert_params(const float *params, float value)
{
    for (int i = 0; i < NUM_PARAMS; i++)
        assert_true(params[i] == value + (float)i);
}

static void test_the_newest_policy_is_taken_once(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    assert_int_equal(mlp_num_params(&exchange.policy), NUM_PARAMS);
    float params[NUM_PARAMS];
    Version version = {0};
    assert_false(exchange_take_weights(&exchange, &version));
    for (uint64_t update = 1; update <= 3; update++) {
        fill(params, (float)update);
        exchange_publish(&exchange, params, (Version){2, update});
    }
    fill(params, 99); /* the trainer goes on with its own copy */
    assert_true(exchange_take_weights(&exchange, &version));
    assert_params(exchange.outgoing, 3);
    assert_true(version_equal(version, (Version){2, 3}));
    assert_false(exchange_take_weights(&exchange, &version));
    exchange_destroy(&exchange);
}

static void test_it_is_known_when_the_trainer_last_told_something(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    assert_int_equal(exchange_trainer_told_ms(&exchange), 0);
    int64_t before_ms = clock_ms();
    TrainerProgress progress = {.updates = 1};
    exchange_set_progress(&exchange, &progress);
    int64_t told_ms = exchange_trainer_told_ms(&exchange);
    assert_in_range(told_ms, before_ms, clock_ms());
    assert_int_equal(exchange_progress(&exchange).updates, 1);
    assert_int_equal(exchange_trainer_told_ms(&exchange), told_ms); /* asking tells nothing */
    exchange_destroy(&exchange);
}

static void test_progress_is_a_whole_snapshot(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    TrainerProgress progress = {.env_steps = 5, .updates = 6, .settled = true, .error = -3};
    exchange_set_progress(&exchange, &progress);
    progress.env_steps = 7;
    TrainerProgress seen = exchange_progress(&exchange);
    assert_true(seen.env_steps == 5 && seen.updates == 6 && seen.settled && seen.error == -3);
    exchange_destroy(&exchange);
}

static void test_the_newest_faults_are_seen(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    EnvFaults faults = exchange_faults(&exchange);
    assert_int_equal(env_faults_sum(&faults), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        faults.count[ENV_FAULT_HUNG] = i;
        exchange_set_faults(&exchange, &faults);
    }
    faults = exchange_faults(&exchange);
    assert_int_equal(faults.count[ENV_FAULT_HUNG], 3);
    exchange_destroy(&exchange);
}

static void test_evaluations_are_taken_oldest_first_and_keep_their_policy(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    float params[NUM_PARAMS];
    for (uint64_t id = 1; id <= 3; id++) {
        fill(params, (float)id * 100);
        assert_true(exchange_want_evaluation(&exchange, id, id * 10, params, (Version){1, id}));
    }
    fill(params, 0);
    for (uint64_t id = 1; id <= 3; id++) {
        const EvalTicket *ticket = exchange_take_ticket(&exchange);
        assert_non_null(ticket);
        assert_int_equal(ticket->eval_id, id);
        assert_int_equal(ticket->env_steps, id * 10);
        assert_params(ticket->params, (float)id * 100);
    }
    assert_null(exchange_take_ticket(&exchange));
    exchange_destroy(&exchange);
}

static void test_outcomes_come_back_in_the_order_of_the_answers(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    float params[NUM_PARAMS] = {0};
    EvalOutcome outcome;
    for (uint64_t id = 1; id <= 2; id++) {
        exchange_want_evaluation(&exchange, id, 0, params, (Version){1, id});
        exchange_take_ticket(&exchange);
    }
    exchange_answer(&exchange, &(EvalOutcome){.eval_id = 2, .return_mean = 20});
    exchange_answer(&exchange, &(EvalOutcome){.eval_id = 9, .return_mean = 90}); /* of nobody */
    exchange_answer(&exchange, &(EvalOutcome){.eval_id = 1, .skipped = true});
    exchange_answer(&exchange, &(EvalOutcome){.eval_id = 1}); /* once more */
    assert_true(exchange_take_outcome(&exchange, &outcome));
    assert_true(outcome.eval_id == 2 && outcome.return_mean == 20 && !outcome.skipped);
    assert_true(exchange_take_outcome(&exchange, &outcome));
    assert_true(outcome.eval_id == 1 && outcome.skipped);
    assert_false(exchange_take_outcome(&exchange, &outcome));
    exchange_destroy(&exchange);
}

static void test_unanswered_evaluations_are_bounded_and_every_outcome_fits(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    float params[NUM_PARAMS] = {0};
    uint64_t asked = 0;
    for (int round = 0; round < 5; round++) {
        uint64_t first = asked + 1;
        while (exchange_want_evaluation(&exchange, asked + 1, 0, params, (Version){1, 1}))
            asked++;
        assert_int_equal(asked - first + 1, EXCHANGE_EVALS_MAX);
        for (uint64_t id = first; id <= asked; id++) {
            assert_non_null(exchange_take_ticket(&exchange));
            exchange_answer(&exchange, &(EvalOutcome){.eval_id = id});
        }
        /* No new ones in between: there would be no place for all outcomes. */
        assert_false(exchange_want_evaluation(&exchange, 1000, 0, params, (Version){1, 1}));
        EvalOutcome outcome;
        for (uint64_t id = first; id <= asked; id++) {
            assert_true(exchange_take_outcome(&exchange, &outcome));
            assert_int_equal(outcome.eval_id, id);
        }
    }
    exchange_destroy(&exchange);
}

static void test_a_wait_ends_by_itself(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    int64_t began_ns = clock_ns();
    exchange_wait(&exchange, 30);
    assert_true(clock_ns() - began_ns >= 29000000);
    exchange_destroy(&exchange);
}

static void test_a_wake_up_before_the_wait_is_not_lost(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    int64_t began_ns = clock_ns();
    exchange_wake_trainer(&exchange);
    exchange_wait(&exchange, 60000);
    exchange_request_stop(&exchange);
    exchange_wait(&exchange, 60000);
    assert_true(atomic_load(&exchange.stop_requested));
    float params[NUM_PARAMS] = {0};
    exchange_want_evaluation(&exchange, 1, 0, params, (Version){1, 1});
    exchange_answer(&exchange, &(EvalOutcome){.eval_id = 1});
    exchange_wait(&exchange, 60000);
    assert_true(clock_ns() - began_ns < INT64_C(30) * 1000000000);
    exchange_destroy(&exchange);
}

/* --- Two threads -------------------------------------------------------------------------------
 */

enum { PUBLISHED = 2000 };

static void *publish(void *argument)
{
    Exchange *exchange = argument;
    float params[NUM_PARAMS];
    for (uint64_t update = 1; update <= PUBLISHED; update++) {
        fill(params, (float)update);
        exchange_publish(exchange, params, (Version){1, update});
    }
    return NULL;
}

static void test_a_policy_is_never_torn(void **state)
{
    (void)state;
    static Exchange exchange;
    make(&exchange);
    pthread_t trainer;
    assert_int_equal(pthread_create(&trainer, NULL, publish, &exchange), 0);
    Version version = {0};
    int torn = 0;
    while (version.update < PUBLISHED) {
        uint64_t before = version.update;
        if (!exchange_take_weights(&exchange, &version))
            continue;
        torn += version.update <= before;
        for (int i = 0; i < NUM_PARAMS; i++)
            torn += exchange.outgoing[i] != (float)version.update + (float)i;
    }
    pthread_join(trainer, NULL);
    assert_int_equal(torn, 0);
    exchange_destroy(&exchange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_policy_is_taken_once),
        cmocka_unit_test(test_it_is_known_when_the_trainer_last_told_something),
        cmocka_unit_test(test_progress_is_a_whole_snapshot),
        cmocka_unit_test(test_the_newest_faults_are_seen),
        cmocka_unit_test(test_evaluations_are_taken_oldest_first_and_keep_their_policy),
        cmocka_unit_test(test_outcomes_come_back_in_the_order_of_the_answers),
        cmocka_unit_test(test_unanswered_evaluations_are_bounded_and_every_outcome_fits),
        cmocka_unit_test(test_a_wait_ends_by_itself),
        cmocka_unit_test(test_a_wake_up_before_the_wait_is_not_lost),
        cmocka_unit_test(test_a_policy_is_never_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
