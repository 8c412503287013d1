/* Environments in a Python worker that goes well: what arrives there and what comes back, options,
 * spaces, refusals and pictures. */
#include "gymnasium_fixture.h"

#include <math.h>

/* --- Episodes --------------------------------------------------------------------------------- */

static void test_an_episode_gives_observations_rewards_and_its_end(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "end=3");
    assert_string_equal(f->spec.name + strlen(f->spec.name) - 9 - strlen("Count-v0"),
                        strstr(f->spec.name, "Count-v0"));
    assert_int_equal(f->spec.obs_dim, 4);
    assert_int_equal(f->spec.act_dim, 2);
    assert_int_equal(f->spec.step_limit, 0);
    assert_true(f->spec.action_low[1] == -1.0f && f->spec.action_high[1] == 1.0f);
    for (int episode = 0; episode < 3; episode++) {
        reset(f, 0, 7);
        assert_true(f->obs[0][0] == 0.0f && f->obs[0][1] == 7.0f);
        for (int i = 1; i <= 3; i++) {
            step_ok(f, 0);
            assert_true(f->obs[0][0] == (float)i && f->obs[0][3] == 0.75f * (float)i);
            assert_true(f->result.reward == (float)i);
            assert_int_equal(f->result.terminated, i == 3);
            assert_int_equal(f->result.truncated, 0);
        }
    }
}

static void test_what_an_environment_truncates_is_truncated(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "cut=2");
    reset(f, 0, 1);
    step_ok(f, 0);
    assert_int_equal(f->result.truncated, 0);
    step_ok(f, 0);
    assert_int_equal(f->result.truncated, 1);
    assert_int_equal(f->result.terminated, 0);
}

static void test_the_time_limit_is_the_step_limit_of_the_spec(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "max_episode_steps=2");
    assert_int_equal(f->spec.step_limit, 2);
    reset(f, 0, 1);
    step_ok(f, 0);
    assert_int_equal(f->result.truncated, 0);
    step_ok(f, 0);
    assert_int_equal(f->result.truncated, 1);
}

static void test_a_seed_of_64_bits_reaches_reset_as_32(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "");
    const uint64_t seeds[] = {0, UINT64_MAX, UINT64_C(0x1234567800000000), 65537};
    const float seen[] = {0, 0, 0x5678, 1};
    for (size_t i = 0; i < 4; i++) {
        reset(f, 0, seeds[i]);
        assert_true(f->obs[0][1] == seen[i]);
    }
}

static void test_eight_lanes_are_in_flight_in_one_worker(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 8, "");
    for (int i = 0; i < 8; i++)
        reset_begin(f, i, (uint64_t)i);
    for (int i = 7; i >= 0; i--)
        finish_ok(f, i);
    for (int round = 1; round <= 50; round++) {
        for (int i = 0; i < 8; i++)
            step_begin(f, i, 0.0f, (float)i / 8);
        for (int i = 0; i < 8; i++) {
            int lane = round % 2 ? i : 7 - i;
            finish_ok(f, lane);
            assert_true(f->obs[lane][0] == (float)round && f->obs[lane][1] == (float)lane);
            assert_true(f->obs[lane][3] == (float)(round * lane) / 8);
            assert_int_equal(worker_pid(f, lane), worker_pid(f, 0));
        }
    }
}

static void test_lanes_need_not_step_together(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 3, "");
    int steps[3] = {0};
    for (int i = 0; i < 3; i++)
        reset(f, i, 1);
    for (unsigned i = 0, draw = 1; i < 300; i++) {
        draw = draw * 1103515245 + 12345;
        int lane = (int)(draw >> 16) % 3;
        step_ok(f, lane);
        assert_true(f->obs[lane][0] == (float)++steps[lane]);
    }
}

static void test_a_finish_waits_no_longer_than_it_is_told(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "slow_ms=300");
    reset(f, 0, 1);
    step_begin(f, 0, 0, 0);
    int64_t began_ms = clock_ms();
    assert_int_equal(finish(f, 0, 0), ERR_AGAIN);
    assert_int_equal(finish(f, 0, 20), ERR_AGAIN);
    assert_in_range(clock_ms() - began_ms, 20, 290);
    finish_ok(f, 0);
    assert_true(f->obs[0][0] == 1.0f);
    assert_in_range(clock_ms() - began_ms, 300, DEADLINE_MS);
}

static void test_long_steps_are_told_of_as_they_are_done(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 8, "slow_ms=200");
    for (int i = 0; i < 8; i++)
        reset(f, i, 1);
    for (int i = 0; i < 8; i++)
        step_begin(f, i, 0, 0);
    finish_ok(f, 0);
    assert_int_equal(finish(f, 7, 0), ERR_AGAIN);
    for (int i = 1; i < 8; i++)
        finish_ok(f, i);
}

static void test_numbers_of_other_types_are_taken(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=list");
    reset(f, 0, 1);
    step_ok(f, 0);
    assert_true(f->obs[0][0] == 1.0f && f->obs[0][3] == 4.0f && f->result.reward == 0.5f);
    assert_int_equal(f->result.terminated, 0);
    assert_int_equal(f->result.truncated, 1);
    close_kind(f);
    open_count(f, 1, "fault=double");
    reset(f, 0, 1);
    step_ok(f, 0);
    assert_true(f->obs[0][3] == 0.75f && f->result.reward == 3.0f);
}

static void test_what_is_not_finite_is_the_hosts_to_judge(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "fault=nan");
    reset(f, 0, 1);
    step_ok(f, 0);
    assert_true(isnan(f->obs[0][0]));
    step_ok(f, 0);
    assert_true(f->obs[0][0] == 2.0f);
}

/* --- Spaces ----------------------------------------------------------------------------------- */

static void test_bounds_are_rounded_inwards_to_float32(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "low=-0.3,high=0.1,dtype=float64"); /* float32 rounds both outwards */
    assert_true((double)f->spec.action_low[0] >= -0.3 && (double)f->spec.action_high[0] <= 0.1);
    assert_true((double)f->spec.action_low[0] < -0.2999999);
    reset(f, 0, 1);
    step_begin(f, 0, f->spec.action_low[0], f->spec.action_high[0]); /* the stub asserts */
    finish_ok(f, 0);
}

static void test_whole_numbers_are_rounded(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_id(f, "Whole-v0", 1, "");
    assert_true(f->spec.action_high[0] == 10.0f);
    reset(f, 0, 1);
    assert_true(f->obs[0][1] == 2.0f);
    step_begin(f, 0, 9.6f, 0.4f);
    finish_ok(f, 0);
    assert_true(f->obs[0][0] == 10.0f && f->obs[0][1] == 0.0f);
}

static void test_arrays_of_any_shape_are_flat_here_and_may_be_kept_there(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_id(f, "Matrix-v0", 1, "");
    assert_int_equal(f->spec.obs_dim, 4);
    assert_int_equal(f->spec.act_dim, 4);
    reset(f, 0, 1);
    const float action[] = {0.1f, 0.2f, 0.3f, 0.4f}, other[] = {0, 0, 0, 1.0f};
    assert_int_equal(backend->step_begin(f->lanes[0], action, &f->err), ERR_OK);
    finish_ok(f, 0);
    assert_int_equal(backend->step_begin(f->lanes[0], other, &f->err), ERR_OK);
    finish_ok(f, 0);
    for (int i = 0; i < 4; i++)
        assert_true(f->obs[0][i] == action[i]);
}

/* --- Names and options ------------------------------------------------------------------------ */

static void test_equal_names_mean_equal_options(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    const char *const options[] = {"",
                                   "end=3,cut=5",
                                   "cut=5, end=3",
                                   "end=3,cut=6",
                                   "render_mode=rgb_array",
                                   "render_mode=none,end=3,cut=5"};
    char names[6][SPEC_NAME_MAX + 1];
    for (int i = 0; i < 6; i++) {
        if (try_open(f, "Count-v0", 1, options[i]) != ERR_OK)
            fail_msg("%s", f->err.text);
        memcpy(names[i], f->spec.name, sizeof names[i]);
        close_kind(f);
    }
    assert_string_equal(names[0], "gymnasium:Count-v0");
    assert_string_equal(names[1], names[2]);
    assert_int_equal(strlen(names[1]), strlen(names[0]) + 9);
    assert_string_not_equal(names[1], names[3]);
    assert_string_equal(names[0], names[4]);
    assert_string_equal(names[1], names[5]);
}

static void test_the_workers_own_functions(void **state)
{
    (void)state;
    NEEDS_PYTHON();
    char command[1024];
    snprintf(command, sizeof command, "%s %s/worker_test.py %s/actor/envs/gymnasium 2>&1",
             test_python, HERE, POLYAK_SOURCE_DIR);
    assert_int_equal(system(command), 0);
}

/* --- Refusals --------------------------------------------------------------------------------- */

typedef struct Refusal {
    const char *id, *options;
    int code;
    const char *text;
} Refusal;

static const Refusal refusals[] = {
    {"", "", ERR_USAGE, "gymnasium: needs the ID of an environment, as in gymnasium:Pendulum-v1"},
    {"Cuont-v0", "", ERR_USAGE,
     "gymnasium:Cuont-v0: Environment `Cuont-v0` doesn't exist. Did you mean: `Count-v0`?"},
    {"no_such_module:Count-v0", "", ERR_USAGE, "No module named 'no_such_module'"},
    {"Count-v0", "limb=3", ERR_USAGE, "bad options: Count.__init__() got an unexpected keyword "},
    {"Count-v0", "end", ERR_USAGE, "bad options: \"end\" is not key=value"},
    {"Count-v0", "end=1,,", ERR_USAGE, "bad options: \"\" is not key=value"},
    {"Count-v0", "1st=1", ERR_USAGE, "bad options: \"1st=1\" is not key=value"},
    {"Count-v0", "end=1,end=2", ERR_USAGE, "bad options: end is there twice"},
    {"Count-v0", "text=[1", ERR_USAGE, "bad options: text is no JSON"},
    {"Count-v0", "id=Other-v0", ERR_USAGE, "bad options: id is not for the user to choose"},
    {"Discrete-v0", "", ERR_USAGE,
     "its action space is Discrete(4); only Box is supported: actions are continuous here"},
    {"Dict-v0", "", ERR_USAGE, "its observation space is Dict({'position'"},
    {"Dict-v0", "", ERR_USAGE, "make it one, as gymnasium.wrappers.FlattenObservation does"},
    {"Infinite-v0", "", ERR_USAGE, "action 0 has the bounds [-inf, inf]; both must be finite"},
    {"Count-v0", "low=1,high=1", ERR_USAGE, "action 0 has the bounds [1, 1]; it needs low < high"},
    {"Huge-v0", "", ERR_USAGE, "its observation has 27648 numbers; 1 to 4096 are supported"},
    {"NoPackage-v0", "", ERR_MISSING, "Box3D is not installed, run `pip install box3d` (for "},
    {"Count-v0", "fault=raise,at=-1", ERR_ENV,
     "gymnasium:Count-v0: it cannot be made: ValueError: the joint is broken"},
    {"Count-v0", "fault=exit,at=-1", ERR_ENV, "it cannot be made: SystemExit: 3"},
    {"Count-v0", "fault=die,at=-1", ERR_ENV,
     "the Python worker ended with exit code 7 while it started: goodbye"},
};

static void test_each_refusal_says_what_is_wrong(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const Refusal *refusal = &refusals[i];
        int code = try_open(f, refusal->id, 1, refusal->options);
        if (code != refusal->code || !strstr(f->err.text, refusal->text))
            fail_msg("%s %s: %d %s", refusal->id, refusal->options, code, f->err.text);
        assert_null(strchr(f->err.text, '\n'));
    }
}

static void test_a_refusal_is_one_line_alone(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    assert_int_equal(try_open(f, "Cuont-v0", 1, ""), ERR_USAGE);
    assert_string_equal(log_of(f), "");
}

static void test_a_python_that_is_not_there_is_named(void **state)
{
    Fixture *f = *state;
    f->setup.python = "no-such-python";
    assert_int_equal(try_open(f, "Count-v0", 1, ""), ERR_MISSING);
    assert_string_equal(f->err.text,
                        "gymnasium:Count-v0: the Python no-such-python cannot be run (No such file "
                        "or directory): install Python, or name one that has gymnasium, as in "
                        "--python .venv/bin/python");
    f->setup.python = f->directory;
    assert_int_equal(try_open(f, "Count-v0", 1, ""), ERR_MISSING);
    f->setup.python = "/bin/false";
    assert_int_equal(try_open(f, "Count-v0", 1, ""), ERR_ENV);
    assert_string_equal(f->err.text, "gymnasium:Count-v0: the Python worker ended with exit code 1 "
                                     "while it started");
}

static void test_a_python_without_gymnasium_is_named(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    setenv("PYTHONPATH", f->directory, 1);
    char command[128];
    snprintf(command, sizeof command, "echo 'raise ImportError(\"nothing here\")' >%s/gymnasium.py",
             f->directory);
    assert_int_equal(system(command), 0);
    int code = try_open(f, "Count-v0", 1, "");
    setenv("PYTHONPATH", HERE "/stub", 1);
    assert_int_equal(code, ERR_MISSING);
    assert_non_null(strstr(f->err.text, "cannot import gymnasium (ImportError: nothing here): run "
                                        "scripts/setup.sh --mujoco and use --python"));
}

static void test_no_more_instances_than_were_asked_for(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 2, "");
    void *third = NULL;
    assert_int_equal(backend->create(f->kind, &third, &f->err), ERR_ENV);
    backend->destroy(f->lanes[0]);
    assert_int_equal(backend->create(f->kind, &f->lanes[0], &f->err), ERR_OK);
    reset(f, 0, 1);
}

static void test_a_place_is_used_again_though_its_step_was_in_flight(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    open_count(f, 1, "slow_ms=100");
    reset(f, 0, 1);
    step_begin(f, 0, 0, 0);
    assert_int_equal(finish(f, 0, 0), ERR_AGAIN);
    backend->destroy(f->lanes[0]);
    assert_int_equal(backend->create(f->kind, &f->lanes[0], &f->err), ERR_OK);
    reset(f, 0, 5);
    assert_true(f->obs[0][0] == 0.0f && f->obs[0][1] == 5.0f);
    step_ok(f, 0);
    assert_true(f->obs[0][0] == 1.0f);
}

/* --- Pictures --------------------------------------------------------------------------------- */

static void test_a_picture_is_scaled_to_the_size_that_is_asked_for(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    enum { WIDTH = 60, HEIGHT = 20 };
    static uint8_t rgb[HEIGHT][WIDTH][3];
    open_count(f, 1, "render_mode=rgb_array");
    reset(f, 0, 1);
    for (int i = 1; i <= 3; i++) {
        step_ok(f, 0);
        memset(rgb, 0xff, sizeof rgb);
        assert_int_equal(backend->render(f->lanes[0], rgb[0][0], WIDTH, HEIGHT, &f->err), ERR_OK);
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++)
                assert_int_equal(rgb[y][x][y % 3], x < WIDTH / 2 ? 0 : i);
        }
    }
    assert_int_equal(backend->render(f->lanes[0], rgb[0][0], 2, 1, &f->err), ERR_OK);
    assert_int_equal(rgb[0][0][0], 0);
    assert_int_equal(rgb[0][1][0], 3);
    step_ok(f, 0);
    assert_true(f->obs[0][0] == 4.0f);
}

static void test_without_a_picture_the_environment_goes_on(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    uint8_t rgb[3 * 4];
    const char *const options[] = {"", "render_mode=rgb_array,picture=flat",
                                   "render_mode=rgb_array,picture=raises"};
    const int codes[] = {ERR_MISSING, ERR_MISSING, ERR_ENV};
    const char *const texts[] = {
        "gymnasium:Count-v0: it has no picture; --env-options render_mode=rgb_array gives it one",
        "gymnasium:Count-v0: its picture has shape (4, 6) and dtype uint8, not (height, width, 3)",
        "gymnasium:Count-v0: render raised RuntimeError: no GL here"};
    for (int i = 0; i < 3; i++) {
        open_count(f, 1, options[i]);
        reset(f, 0, 1);
        assert_int_equal(backend->render(f->lanes[0], rgb, 2, 2, &f->err), codes[i]);
        assert_string_equal(f->err.text, texts[i]);
        step_ok(f, 0);
        close_kind(f);
    }
}

/* Not even when it was asked to have one, as programs do by themselves. */
static void test_of_a_picture_that_cannot_be_no_more_is_said(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    uint8_t rgb[3 * 4];
    const char *const options[] = {"render_mode=rgb_array", "render_mode=rgb_array,claims=true"};
    for (int i = 0; i < 2; i++) {
        open_id(f, "Blind-v0", 1, options[i]);
        reset(f, 0, 1);
        assert_int_equal(backend->render(f->lanes[0], rgb, 2, 2, &f->err), ERR_MISSING);
        assert_string_equal(f->err.text, "gymnasium:Blind-v0: it has no picture");
        close_kind(f);
        assert_string_equal(log_of(f), "");
    }
    open_id(f, "Blind-v0", 1, "render_mode=human");
    assert_logged(f, "render_mode='human' that is not in the possible render_modes");
}

static void test_a_step_lasts_as_long_as_its_picture_is_shown(void **state)
{
    Fixture *f = *state;
    NEEDS_PYTHON();
    const char *const options[] = {"", "fps=50", "fps=12.5", "fps=0", "fps=-1", "fps=fast"};
    const float seconds[] = {0.0f, 0.02f, 0.08f, 0.0f, 0.0f, 0.0f};
    for (int i = 0; i < 6; i++) {
        open_count(f, 1, options[i]);
        assert_true((float)backend->step_seconds(f->lanes[0]) == seconds[i]);
        close_kind(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_an_episode_gives_observations_rewards_and_its_end),
        UNIT(test_what_an_environment_truncates_is_truncated),
        UNIT(test_the_time_limit_is_the_step_limit_of_the_spec),
        UNIT(test_a_seed_of_64_bits_reaches_reset_as_32),
        UNIT(test_eight_lanes_are_in_flight_in_one_worker),
        UNIT(test_lanes_need_not_step_together),
        UNIT(test_a_finish_waits_no_longer_than_it_is_told),
        UNIT(test_long_steps_are_told_of_as_they_are_done),
        UNIT(test_numbers_of_other_types_are_taken),
        UNIT(test_what_is_not_finite_is_the_hosts_to_judge),
        UNIT(test_bounds_are_rounded_inwards_to_float32),
        UNIT(test_whole_numbers_are_rounded),
        UNIT(test_arrays_of_any_shape_are_flat_here_and_may_be_kept_there),
        UNIT(test_equal_names_mean_equal_options),
        UNIT(test_the_workers_own_functions),
        UNIT(test_each_refusal_says_what_is_wrong),
        UNIT(test_a_refusal_is_one_line_alone),
        UNIT(test_a_python_that_is_not_there_is_named),
        UNIT(test_a_python_without_gymnasium_is_named),
        UNIT(test_no_more_instances_than_were_asked_for),
        UNIT(test_a_place_is_used_again_though_its_step_was_in_flight),
        UNIT(test_a_picture_is_scaled_to_the_size_that_is_asked_for),
        UNIT(test_without_a_picture_the_environment_goes_on),
        UNIT(test_of_a_picture_that_cannot_be_no_more_is_said),
        UNIT(test_a_step_lasts_as_long_as_its_picture_is_shown),
    };
    return cmocka_run_group_tests(tests, find_python, NULL);
}
