/* The built-in environments against recordings of the originals, step for step.
 *
 * tests/ref/gymnasium/make_traces.py makes the recordings and says what their lines mean. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/envs/env_host.h"

enum { VALUES_MAX = 16, STATE_BYTES_MAX = 64 };

/* A built-in, its recording, and how near it must be: |a − b| <= tolerance · max(|b|, 0.01). */
typedef struct Trace {
    const char *name;
    size_t number_bytes; /* of one number of its state: a float's or a double's */
    double tolerance;
    int steps_min;     /* a recording that is cut short must not pass */
    int truncated_min; /* ends by the step limit that it must contain */
    int terminated_min;
} Trace;

/* What replaying saw. */
typedef struct Replay {
    Env *env;
    int line;
    int steps;
    int truncated;
    int terminated;
    double worst; /* largest error, in units of max(|b|, 0.01) */
} Replay;

/* Reads all numbers of a line after its first word. */
static int parse_values(const char *text, double *values)
{
    int count = 0;
    for (;;) {
        char *end;
        double value = strtod(text, &end);
        if (end == text)
            return count;
        assert_true(count < VALUES_MAX);
        values[count++] = value;
        text = end;
    }
}

/* Starts an episode in the state that a line gives. */
static void set_state(Replay *replay, const Trace *trace, const double *values, int count)
{
    char state[STATE_BYTES_MAX];
    float obs[VALUES_MAX];
    Err err = {""};
    size_t own_bytes = (size_t)count * trace->number_bytes;
    assert_int_equal(env_state_bytes(replay->env), ENV_STATE_HOST_BYTES + own_bytes);
    assert_true(ENV_STATE_HOST_BYTES + own_bytes <= sizeof state);

    /* The host's part is that of a new episode. */
    assert_int_equal(env_reset(replay->env, 0, obs, &err), ERR_OK);
    assert_int_equal(env_state_get(replay->env, state, &err), ERR_OK);
    for (int i = 0; i < count; i++) {
        char *to = state + ENV_STATE_HOST_BYTES + (size_t)i * trace->number_bytes;
        float narrow = (float)values[i];
        if (trace->number_bytes == sizeof(float))
            memcpy(to, &narrow, sizeof narrow);
        else
            memcpy(to, &values[i], sizeof values[i]);
    }
    assert_int_equal(env_state_set(replay->env, state, obs, &err), ERR_OK);
}

static void compare(Replay *replay, const Trace *trace, const char *what, float value,
                    double recorded)
{
    double got = (double)value;
    double want = (double)(float)recorded; /* a recording has the digits of a float32 */
    double error = fabs(got - want) / fmax(fabs(want), 0.01);
    replay->worst = fmax(replay->worst, error);
    if (!(error <= trace->tolerance))
        fail_msg("%s, line %d: %s is %.9g, recorded %.9g", trace->name, replay->line, what, got,
                 want);
}

static void replay_step(Replay *replay, const Trace *trace, const Spec *spec, const double *values)
{
    float action[VALUES_MAX], obs[VALUES_MAX];
    for (int i = 0; i < spec->act_dim; i++) {
        double low = (double)spec->action_low[i], high = (double)spec->action_high[i];
        action[i] = (float)((2.0 * values[i] - low - high) / (high - low));
    }
    EnvOutcome outcome;
    Err err = {""};
    if (env_step(replay->env, action, obs, &outcome, &err) != ERR_OK)
        fail_msg("%s, line %d: %s", trace->name, replay->line, err.text);

    const double *want = values + spec->act_dim;
    char what[32];
    for (int i = 0; i < spec->obs_dim; i++) {
        snprintf(what, sizeof what, "observation %d", i);
        compare(replay, trace, what, obs[i], want[i]);
    }
    want += spec->obs_dim;
    compare(replay, trace, "reward", outcome.reward, want[0]);
    SegmentEnd end = want[1] > 0.0   ? SEGMENT_TERMINATED
                     : want[2] > 0.0 ? SEGMENT_TRUNCATED
                                     : SEGMENT_CONTINUES;
    if (outcome.end != end)
        fail_msg("%s, line %d: the episode's end is %d, recorded %d", trace->name, replay->line,
                 (int)outcome.end, (int)end);
    replay->steps++;
    replay->truncated += end == SEGMENT_TRUNCATED;
    replay->terminated += end == SEGMENT_TERMINATED;
}

static void replay_trace(const Trace *trace)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/ref/gymnasium/%s.txt", POLYAK_SOURCE_DIR, trace->name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    EnvKind *kind = NULL;
    Replay replay = {0};
    Err err = {""};
    assert_int_equal(env_kind_open(&(EnvSetup){.name = trace->name, .options = ""}, &kind, &err),
                     ERR_OK);
    assert_int_equal(env_new(kind, &replay.env, &err), ERR_OK);
    const Spec *spec = env_kind_spec(kind);

    char line[512];
    double values[VALUES_MAX];
    while (fgets(line, sizeof line, file)) {
        replay.line++;
        if (strncmp(line, "state ", 6) == 0) {
            int count = parse_values(line + 6, values);
            set_state(&replay, trace, values, count);
        } else if (strncmp(line, "step ", 5) == 0) {
            int count = parse_values(line + 5, values);
            assert_int_equal(count, spec->act_dim + spec->obs_dim + 3);
            replay_step(&replay, trace, spec, values);
        } else {
            assert_int_equal(line[0], '#');
        }
    }
    fclose(file);
    env_destroy(&replay.env);
    env_kind_close(&kind);

    print_message("%s: %d steps, largest error %.2g\n", trace->name, replay.steps, replay.worst);
    assert_true(replay.steps >= trace->steps_min);
    assert_true(replay.truncated >= trace->truncated_min);
    assert_true(replay.terminated >= trace->terminated_min);
}

static void test_pendulum_follows_gymnasium(void **state)
{
    (void)state;
    replay_trace(&(Trace){"pendulum", sizeof(double), 1e-6, 340, 1, 0});
}

static void test_mountain_car_follows_gymnasium_to_the_goal_and_to_the_limit(void **state)
{
    (void)state;
    replay_trace(&(Trace){"mountain_car_continuous", sizeof(float), 1e-6, 1120, 1, 1});
}

static void test_cartpole_follows_mujoco_onto_the_ends_of_its_rail(void **state)
{
    (void)state;
    replay_trace(&(Trace){"cartpole_swingup", sizeof(double), 1e-6, 480, 0, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pendulum_follows_gymnasium),
        cmocka_unit_test(test_mountain_car_follows_gymnasium_to_the_goal_and_to_the_limit),
        cmocka_unit_test(test_cartpole_follows_mujoco_onto_the_ends_of_its_rail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
