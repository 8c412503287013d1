/* The simulation itself: starts, rewards by hand, states, divergence, and MuJoCo's own errors. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/envs/mujoco/model.h"
#include "actor/envs/mujoco/sim.h"
#include "tests/actor/envs/mujoco/mujoco_files.h"

enum { OBS_MAX = 64, STATE_MAX = 512 };

static int try_open(const char *more, MujocoSim **sim, Err *err)
{
    char options[1024];
    MujocoTask task;
    bool changed;
    snprintf(options, sizeof options, "task=%s%s", files_path("cart.xml"), more);
    int rc = mujoco_task_parse(options, &task, &changed, err);
    return rc == ERR_OK ? mujoco_sim_new(&task, sim, err) : rc;
}

static MujocoSim *open_cart(const char *more)
{
    MujocoSim *sim = NULL;
    Err err = {""};
    if (try_open(more, &sim, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return sim;
}

static void test_starts_follow_from_the_seed_and_keep_their_ranges(void **state)
{
    (void)state;
    files_write_cart("-1 1", NULL);
    MujocoSim *sim = open_cart("");
    assert_int_equal(mujoco_sim_obs_dim(sim), 10);
    double obs[OBS_MAX], again[OBS_MAX], squares = 0.0, extent = 0.0;
    Err err = {""};
    for (uint64_t seed = 0; seed < 500; seed++) {
        assert_int_equal(mujoco_sim_reset(sim, seed, obs, &err), ERR_OK);
        assert_true(fabs(obs[0]) <= 0.1 && fabs(obs[1]) <= 0.1);
        assert_true(obs[2] >= 0.2 && obs[2] < 0.4); /* in place of its ref of 0.5 */
        squares += obs[3] * obs[3];
        extent = fmax(extent, fabs(obs[0]));
        assert_int_equal(mujoco_sim_reset(sim, seed, again, &err), ERR_OK);
        assert_memory_equal(obs, again, 10 * sizeof obs[0]);
    }
    double deviation = sqrt(squares / 500.0);
    assert_true(deviation > 0.45 && deviation < 0.55);
    assert_true(extent > 0.09);
    mujoco_sim_destroy(&sim);
    assert_null(sim);
}

static void test_the_reward_is_what_the_task_says(void **state)
{
    (void)state;
    files_write_cart("-1 1", NULL);
    MujocoSim *sim = open_cart(",forward_weight=2,ctrl_cost_weight=0.3");
    double obs[OBS_MAX], after[OBS_MAX], reward;
    bool terminated = true;
    Err err = {""};
    assert_int_equal(
        mujoco_sim_set_state(sim, (double[]){0.1, 0.2, 0.3}, (double[]){1.0, 0.0, 0.0}, obs, &err),
        ERR_OK);
    /* Bodies are where they were before the last integration: so a first step moves none. */
    assert_int_equal(mujoco_sim_step(sim, (float[]){0.5f}, obs, &reward, &terminated, &err),
                     ERR_OK);
    double distance = sqrt(pow(0.1 - (0.3 - 0.5), 2) + 1.0); /* from the mark, whose ref is 0.5 */
    assert_true(fabs(reward - (-0.5 * distance - 0.3 * 0.25)) < 1e-12);
    assert_false(terminated);
    assert_int_equal(mujoco_sim_step(sim, (float[]){0.0f}, after, &reward, &terminated, &err),
                     ERR_OK);
    double moved = obs[0] - 0.1; /* what the bodies do in the second step */
    distance = sqrt(pow(obs[0] - (obs[2] - 0.5), 2) + 1.0);
    assert_true(moved > 0.0);
    assert_true(fabs(reward - (2.0 * moved / 0.01 - 0.5 * distance)) < 1e-9);
    mujoco_sim_destroy(&sim);
}

static void test_health_ends_an_episode(void **state)
{
    (void)state;
    const double qpos[] = {1.999, 0.0, 0.3}, qvel[] = {1.0, 0.0, 0.0};
    double obs[OBS_MAX], reward;
    bool terminated = false;
    Err err = {""};
    files_write_cart("-1 1", NULL);
    MujocoSim *sim = open_cart("");
    assert_int_equal(mujoco_sim_set_state(sim, qpos, qvel, obs, &err), ERR_OK);
    mujoco_sim_step(sim, (float[]){0.0f}, obs, &reward, &terminated, &err);
    assert_true(terminated);
    mujoco_sim_destroy(&sim);

    sim = open_cart(",terminate_when_unhealthy=false");
    assert_int_equal(mujoco_sim_set_state(sim, qpos, qvel, obs, &err), ERR_OK);
    mujoco_sim_step(sim, (float[]){0.0f}, obs, &reward, &terminated, &err);
    assert_false(terminated);
    mujoco_sim_destroy(&sim);

    sim = open_cart(",healthy_x_range=-3:3");
    assert_int_equal(mujoco_sim_set_state(sim, qpos, qvel, obs, &err), ERR_OK);
    mujoco_sim_step(sim, (float[]){0.0f}, obs, &reward, &terminated, &err);
    assert_false(terminated);
    mujoco_sim_destroy(&sim);
}

/* Steps with actions that follow from the step's number; writes all numbers that come out. */
static void run(MujocoSim *sim, int first, int count, double *numbers)
{
    Err err = {""};
    bool terminated;
    for (int i = first; i < first + count; i++, numbers += 11) {
        float action = (float)sin(0.7 * i);
        if (mujoco_sim_step(sim, &action, numbers, &numbers[10], &terminated, &err) != ERR_OK)
            fail_msg("step %d: %s", i, err.text);
    }
}

static void test_a_saved_state_goes_on_bit_for_bit(void **state)
{
    (void)state;
    enum { STEPS = 50 };
    static double saved[STATE_MAX], first[11 * STEPS], second[11 * STEPS], obs[OBS_MAX];
    Err err = {""};
    files_write_cart("-1 1", NULL);
    MujocoSim *sim = open_cart(""), *other = open_cart("");
    assert_ptr_equal(mujoco_sim_model(sim), mujoco_sim_model(other)); /* one for both */
    assert_true(mujoco_sim_state_count(sim) <= STATE_MAX);
    assert_int_equal(mujoco_sim_reset(sim, 3, obs, &err), ERR_OK);
    run(sim, 0, 20, first);
    mujoco_sim_save(sim, saved);
    run(sim, 20, STEPS, first);

    assert_int_equal(mujoco_sim_restore(sim, saved, obs, &err), ERR_OK);
    run(sim, 20, STEPS, second);
    assert_memory_equal(first, second, sizeof first);

    assert_int_equal(mujoco_sim_restore(other, saved, obs, &err), ERR_OK);
    run(other, 20, STEPS, second);
    assert_memory_equal(first, second, sizeof first);
    mujoco_sim_destroy(&sim);
    mujoco_sim_destroy(&other);
}

static void test_bad_numbers_are_divergence(void **state)
{
    (void)state;
    const double qpos[] = {0.0, 0.0, 0.3};
    double obs[OBS_MAX], reward;
    bool terminated;
    Err err = {""};
    files_write_cart("-1e30 1e30", NULL);
    MujocoSim *sim = open_cart("");
    int rc = mujoco_sim_set_state(sim, qpos, (double[]){NAN, 0.0, 0.0}, obs, &err);
    if (rc == ERR_OK)
        rc = mujoco_sim_step(sim, (float[]){0.0f}, obs, &reward, &terminated, &err);
    assert_int_equal(rc, ERR_DIVERGED);
    assert_non_null(strstr(err.text, "bad q"));

    assert_int_equal(mujoco_sim_reset(sim, 1, obs, &err), ERR_OK); /* all is well again */
    assert_int_equal(mujoco_sim_step(sim, (float[]){1.0f}, obs, &reward, &terminated, &err),
                     ERR_OK);
    assert_int_equal(mujoco_sim_step(sim, (float[]){NAN}, obs, &reward, &terminated, &err),
                     ERR_DIVERGED);
    assert_non_null(strstr(err.text, "bad ctrl"));

    assert_int_equal(mujoco_sim_reset(sim, 1, obs, &err), ERR_OK);
    rc = ERR_OK;
    for (int i = 0; i < 10 && rc == ERR_OK; i++)
        rc = mujoco_sim_step(sim, (float[]){100.0f}, obs, &reward, &terminated, &err);
    assert_int_equal(rc, ERR_OK); /* large, but numbers */
    for (int i = 0; i < 10 && rc == ERR_OK; i++)
        rc = mujoco_sim_step(sim, (float[]){9e29f}, obs, &reward, &terminated, &err);
    assert_int_equal(rc, ERR_DIVERGED);
    mujoco_sim_destroy(&sim);
}

/* Opens, runs and closes, again and again; *arg is 0 while all is well. */
static void *open_and_run(void *arg)
{
    int *failures = arg;
    for (int i = 0; i < 20; i++) {
        MujocoSim *sim = NULL;
        Err err = {""};
        double obs[OBS_MAX], reward;
        bool terminated;
        int rc = try_open("", &sim, &err);
        if (rc == ERR_OK)
            rc = mujoco_sim_reset(sim, (uint64_t)i, obs, &err);
        for (int j = 0; j < 20 && rc == ERR_OK; j++)
            rc = mujoco_sim_step(sim, (float[]){0.5f}, obs, &reward, &terminated, &err);
        *failures += rc != ERR_OK;
        mujoco_sim_destroy(&sim);
    }
    return NULL;
}

static void test_threads_may_do_all_at_the_same_time(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int failures[THREADS] = {0};
    files_write_cart("-1 1", NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_run, &failures[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
}

static void fail_inside(void *arg)
{
    (void)arg;
    mju_error("the engine %s", "stalled\nfor good\n");
}

static void test_a_failure_of_mujoco_does_not_end_the_process(void **state)
{
    (void)state;
    Err err = {""};
    assert_int_equal(mujoco_guard(fail_inside, NULL, &err), ERR_ENV);
    assert_string_equal(err.text, "MuJoCo: the engine stalled for good");
}

static void test_shadows_are_not_finer_than_pictures(void **state)
{
    (void)state;
    files_write_cart("-1 1", NULL);
    MujocoSim *sim = open_cart("");
    assert_int_equal(mujoco_sim_model(sim)->vis.quality.shadowsize, 1024);
    mujoco_sim_destroy(&sim);
}

static void test_models_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *xml;
        const char *yaml;
        const char *words;
    } cases[] = {
        {"<mujoco><worldbody/></mujoco>", "observation: [{of: qpos}]\nreward: [{form: constant}]",
         "0 actuators"},
        {"<mujoco><worldbody><body><joint name='j'/><geom size='1'/></body></worldbody>"
         "<actuator><motor name='push' joint='j'/></actuator></mujoco>",
         "observation: [{of: qpos}]\nreward: [{form: constant}]",
         "actuator 0 push is unlimited: give it a ctrlrange"},
        {"<mujoco><worldboby/></mujoco>", "observation: [{of: qpos}]\nreward: [{form: constant}]",
         "is no model for MuJoCo: XML Error: Schema violation: unrecognized element Element"},
        {NULL, "observation: [{of: qpos, first: 3}]\nreward: [{form: constant}]",
         "qpos has 3 elements, not those with first 3, count 0"},
        {NULL, "observation: [{of: body_position, object: crat}]\nreward: [{form: constant}]",
         "no body 'crat', perhaps cart"},
        {NULL, "observation: [{of: body_position}]\nreward: [{form: constant}]", "needs an object"},
        {NULL, "observation: [{of: qpos, object: cart}]\nreward: [{form: constant}]",
         "qpos has no objects"},
        {NULL,
         "observation: [{of: qpos}]\nreward: [{form: constant}]\n"
         "start: [{of: qvel, first: 2, count: 2, normal: 1}]",
         "start: qvel has 3 elements"},
        {NULL, "observation: [{of: qpos}]\nreward: [{form: constant}]\ncamera: {track: green}",
         "camera: the model has no body 'green'"}, /* not at the first picture */
        {NULL,
         "observation: [{of: qpos, name: seen}]\nreward: [{form: constant}]\n"
         "start: [{of: qpos, low: [0, 0], high: [1, 1], norm: [5, 6]}]",
         "within its norm"}, /* at the first reset */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MujocoSim *sim = NULL;
        Err err = {""};
        double obs[OBS_MAX];
        files_write_cart("-1 1", cases[i].yaml);
        if (cases[i].xml)
            files_write("cart.xml", cases[i].xml);
        int rc = try_open("", &sim, &err);
        if (rc == ERR_OK)
            rc = mujoco_sim_reset(sim, 1, obs, &err);
        mujoco_sim_destroy(&sim);
        if (rc == ERR_OK || !strstr(err.text, cases[i].words))
            fail_msg("case %zu: %d '%s'", i, rc, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_follow_from_the_seed_and_keep_their_ranges),
        cmocka_unit_test(test_the_reward_is_what_the_task_says),
        cmocka_unit_test(test_health_ends_an_episode),
        cmocka_unit_test(test_a_saved_state_goes_on_bit_for_bit),
        cmocka_unit_test(test_bad_numbers_are_divergence),
        cmocka_unit_test(test_threads_may_do_all_at_the_same_time),
        cmocka_unit_test(test_a_failure_of_mujoco_does_not_end_the_process),
        cmocka_unit_test(test_shadows_are_not_finer_than_pictures),
        cmocka_unit_test(test_models_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
