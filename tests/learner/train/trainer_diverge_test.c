/* Numbers that are not finite: no update is made of them, and nobody gets to see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/train/history.h"
#include "tests/learner/train/train_run.h"

static Scratch scratch;
static TrainRun one, other;
static char here[128], there[128];
static TrainOutcome outcome;

static const char *const settings[] = {"skipped_updates_max=4", NULL};

static int set_up(void **state)
{
    (void)state;
    scratch = scratch_make();
    one.seed = other.seed = 5; /* always the same batches: whether one is bad is chance */
    one.position = other.position = 0;
    snprintf(here, sizeof here, "%s", scratch_path(&scratch, "here"));
    snprintf(there, sizeof there, "%s", scratch_path(&scratch, "there"));
    train_listen(&scratch);
    /* A run with a checkpoint that is worth going back to. */
    train_run_start(&one, here, false, settings);
    train_run_feed(&one, 20);
    train_run_stop(&one);
    train_outcome(here, &outcome);
    train_run_start(&one, here, true, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    train_run_stop_if_running(&one);
    train_run_stop_if_running(&other);
    train_stop_listening();
    scratch_remove(&scratch);
    return 0;
}

/* As train_run_feed, with rewards that no update survives. */
static void feed_rewards(TrainRun *r, int count, float reward)
{
    for (int i = 0; i < count; i++) {
        TrainSegment made;
        train_segment(r->seed, ++r->position, &made);
        for (int k = 0; k < made.segment.num_steps; k++)
            made.segment.reward[k] = reward;
        uint64_t before = train_run_progress(r).env_steps;
        train_run_put(r, &made);
        int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
        while (train_run_progress(r).env_steps == before && !train_run_progress(r).ended) {
            assert_true(clock_ms() < deadline_ms);
            usleep(200);
        }
        train_run_settle(r);
    }
}

/* Whether the newest policy that went out is finite. */
static void assert_published_finite(TrainRun *r)
{
    Version version;
    if (!exchange_take_weights(&r->run.exchange, &version))
        return;
    for (size_t i = 0; i < mlp_num_params(&r->run.exchange.policy); i++)
        assert_true(isfinite(r->run.exchange.outgoing[i]));
}

static uint64_t fingerprint_of(TrainRun *r)
{
    DdpgState *state = ddpg_state(r->run.ddpg);
    uint64_t updates = state->updates;
    state->updates = outcome.run.updates;
    uint64_t fingerprint = core_fingerprint(state);
    state->updates = updates;
    return fingerprint;
}

static void test_an_update_that_is_not_finite_is_skipped_and_counted(void **state)
{
    (void)state;
    uint64_t updates = train_run_progress(&one).updates;
    for (int i = 0; i < 20 && train_run_progress(&one).skipped_updates == 0; i++)
        feed_rewards(&one, 1, 1e38F); /* until one of these steps is drawn */
    TrainerProgress progress = train_run_progress(&one);
    assert_true(progress.skipped_updates > 0);
    assert_true(progress.updates > updates); /* skipped ones count */
    assert_published_finite(&one);
    train_run_feed(&one, 40); /* the bad steps leave the replay */
    uint64_t skipped = train_run_progress(&one).skipped_updates;
    uint64_t rollbacks = train_run_progress(&one).rollbacks;
    train_run_feed(&one, 10);
    assert_int_equal(train_run_progress(&one).skipped_updates, skipped);
    assert_int_equal(train_run_progress(&one).rollbacks, rollbacks);
    assert_published_finite(&one);
    train_run_stop(&one);
    train_outcome(here, &outcome);
    assert_true(outcome.finite);
    assert_int_equal(outcome.run.skipped_updates, skipped);
    assert_true(train_said("a loss or gradient is not finite"));
}

/* A replay of nothing else: one, two, three times back, and then the run ends. */
static void test_a_run_that_diverges_for_good_goes_back_and_then_ends(void **state)
{
    (void)state;
    uint64_t rollbacks = 0;
    while (!train_run_progress(&one).ended) {
        feed_rewards(&one, 1, 3e38F);
        TrainerProgress progress = train_run_progress(&one);
        assert_published_finite(&one);
        rollbacks = progress.rollbacks;
    }
    TrainerProgress progress = train_run_progress(&one);
    assert_true(rollbacks >= 3);
    assert_int_equal(progress.error, ERR_DIVERGED);
    assert_false(progress.finished);
    assert_true(train_said("going back to those of update"));
    assert_true(train_said("going back to a checkpoint did not help"));
    train_run_stop(&one);
    TrainOutcome after;
    train_outcome(here, &after);
    assert_true(after.finite);
    assert_int_equal(after.fingerprint, outcome.fingerprint);
}

static void poke(TrainRun *r, int which, float value)
{
    DdpgState *state = ddpg_state(r->run.ddpg);
    float *const params[] = {state->actor.params, state->critic.params};
    const size_t num_params[] = {state->actor.num_params, state->critic.num_params};
    size_t k = (size_t)which / 2 * 7 % num_params[which % 2];
    params[which % 2][k] = value;
    network_params_changed(which % 2 ? &state->critic : &state->actor);
}

/* A parameter of either network, any place, NaN or infinite: the trainer goes back by itself. */
static void test_a_parameter_that_is_not_finite_is_never_published(void **state)
{
    (void)state;
    for (int which = 0; which < 20; which++) {
        uint64_t rollbacks = train_run_progress(&one).rollbacks;
        poke(&one, which, which % 3 ? NAN : INFINITY); /* the trainer waits */
        train_run_feed(&one, 3);
        TrainerProgress progress = train_run_progress(&one);
        assert_int_equal(progress.error, 0);
        assert_true(progress.rollbacks > rollbacks);
        assert_published_finite(&one);
    }
    train_run_stop(&one);
    train_outcome(here, &outcome);
    assert_true(outcome.finite);
}

/* A run that ends there ends with the networks before. */
static void test_a_parameter_that_is_not_finite_is_never_saved(void **state)
{
    (void)state;
    poke(&one, 0, NAN);
    char assignment[64];
    snprintf(assignment, sizeof assignment, "total_env_steps=%llu was 100000",
             (unsigned long long)train_run_progress(&one).env_steps);
    assert_true(exchange_set(&one.run.exchange, assignment));
    int64_t deadline_ms = clock_ms() + TRAIN_DEADLINE_MS;
    while (!train_run_progress(&one).ended && clock_ms() < deadline_ms)
        usleep(1000);
    assert_true(train_run_progress(&one).finished);
    assert_int_equal(fingerprint_of(&one), outcome.fingerprint);
    train_run_stop(&one);
    train_outcome(here, &outcome);
    assert_true(outcome.finite);
}

/* A crash after skipped updates and a rollback: they are done again as they were. */
static void test_skipped_updates_and_rollbacks_are_followed(void **state)
{
    (void)state;
    feed_rewards(&one, 4, 1e38F);
    train_run_feed(&one, 40);
    assert_true(train_run_progress(&one).rollbacks > 0);
    train_run_copy(&one, there);
    other.position = one.position;
    train_run_feed(&one, 5);
    train_run_stop(&one);
    train_run_start(&other, there, true, NULL);
    train_run_feed(&other, 5);
    train_run_stop(&other);
    TrainOutcome after;
    train_outcome(here, &outcome);
    train_outcome(there, &after);
    assert_same_outcome(&outcome, &after);
    assert_false(train_said("differs from what it was"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_update_that_is_not_finite_is_skipped_and_counted),
        TEST(test_a_run_that_diverges_for_good_goes_back_and_then_ends),
        TEST(test_a_parameter_that_is_not_finite_is_never_published),
        TEST(test_a_parameter_that_is_not_finite_is_never_saved),
        TEST(test_skipped_updates_and_rollbacks_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
