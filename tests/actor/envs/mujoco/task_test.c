/* What a task is asked to be: the options string, the YAML file, and the name that comes of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/envs/mujoco/task.h"
#include "tests/actor/envs/mujoco/mujoco_files.h"

static MujocoTask parse(const char *options, bool *hashed)
{
    MujocoTask task;
    Err err = {""};
    if (mujoco_task_parse(options, &task, hashed, &err) != ERR_OK)
        fail_msg("%s: %s", options, err.text);
    return task;
}

static void must_refuse(const char *options, const char *words)
{
    MujocoTask task;
    bool hashed;
    Err err = {""};
    int rc = mujoco_task_parse(options, &task, &hashed, &err);
    if (rc != ERR_USAGE || !strstr(err.text, words) || strchr(err.text, '\n'))
        fail_msg("'%s' gave %d '%s', not '%s'", options, rc, err.text, words);
}

static void test_options_change_what_they_name(void **state)
{
    (void)state;
    bool hashed = true;
    MujocoTask task = parse("task=Ant-v5", &hashed);
    assert_false(hashed);
    assert_string_equal(task.name, "Ant-v5");

    task = parse("task=Ant-v5,healthy_z_range=0.3:inf,contact_force_range=-2:3,step_limit=7,"
                 "include_cfrc_ext_in_observation=0,terminate_when_unhealthy=false,frame_skip=2,"
                 "exclude_current_positions_from_observation=false,reset_noise_scale=0,"
                 "ctrl_cost_weight=2.5",
                 &hashed);
    assert_true(hashed);
    assert_true(task.health[2].range.low == 0.3 && isinf(task.health[2].range.high));
    assert_true(task.observation[2].of.clip.low == -2.0 && task.reward[3].of.clip.high == 3.0);
    assert_true(task.observation[2].left_out && task.goes_on_unhealthy);
    assert_int_equal(task.step_limit, 7);
    assert_int_equal(task.frame_skip, 2);
    assert_int_equal(task.observation[0].of.first, 0);
    assert_true(task.start[0].scale == 0.0 && task.start[1].scale == 0.0);
    assert_true(task.reward[2].weight == 2.5);
}

static void test_equal_tasks_have_equal_names(void **state)
{
    (void)state;
    bool hashed;
    MujocoTask hopper = parse("task=Hopper-v5", &hashed);
    uint32_t plain = mujoco_task_hash(&hopper);
    MujocoTask same = parse("task=Hopper-v5,healthy_reward=1.0,reset_noise_scale=5e-3", &hashed);
    assert_false(hashed);
    assert_int_equal(mujoco_task_hash(&same), plain);
    MujocoTask other = parse("task=Hopper-v5,healthy_reward=1.1", &hashed);
    assert_true(hashed);
    MujocoTask third = parse("task=Hopper-v5,ctrl_cost_weight=1.1", &hashed);
    assert_true(hashed);
    assert_int_not_equal(mujoco_task_hash(&other), plain);
    assert_int_not_equal(mujoco_task_hash(&other), mujoco_task_hash(&third));
}

static void test_wrong_options_are_explained(void **state)
{
    (void)state;
    must_refuse("", "task=HalfCheetah-v5");
    must_refuse("frame_skip=2", "the first option is task=NAME");
    must_refuse("task=Cheetah", "no task 'Cheetah'; known: Ant-v5, HalfCheetah-v5,");
    must_refuse("task=Cheetah", "Walker2d-v5; or a model file");
    must_refuse("task=Hopper-v5,frame_skip", "'frame_skip' is no option");
    must_refuse("task=Hopper-v5,helthy_reward=2", "no option 'helthy_reward', perhaps healthy_rew");
    must_refuse("task=Swimmer-v5,terminate_when_unhealthy=true", "no option 'terminate_when_unhe");
    must_refuse("task=Hopper-v5,frame_skip=0", "frame_skip is a whole number from 1, not '0'");
    must_refuse("task=Hopper-v5,frame_skip=2x", "not '2x'");
    must_refuse("task=Hopper-v5,frame_skip=99999999999999999999", "not '9999");
    must_refuse("task=Hopper-v5,step_limit=-1", "step_limit is a whole number from 0");
    must_refuse("task=Hopper-v5,healthy_reward=inf", "healthy_reward is a number");
    must_refuse("task=Hopper-v5,healthy_reward=", "healthy_reward is a number");
    must_refuse("task=Hopper-v5,healthy_z_range=1", "a range low:high");
    must_refuse("task=Hopper-v5,healthy_z_range=2:1", "a range low:high");
    must_refuse("task=Hopper-v5,healthy_z_range=nan:1", "a range low:high");
    must_refuse("task=Hopper-v5,terminate_when_unhealthy=yes", "true or false, not 'yes'");
}

static const char *cart_options(void)
{
    static char options[3 * FILES_PATH_MAX];
    snprintf(options, sizeof options, "task=%s", files_path("cart.xml"));
    return options;
}

static void test_a_file_says_what_a_table_can_say(void **state)
{
    (void)state;
    files_write_cart(
        "-1 1", "name: my.task\nframe_skip: 3\nstep_limit: 0\nterminate_when_unhealthy: false\n"
                "camera: {track: cart, distance: 2, azimuth: 45, elevation: -5, lookat: [1]}\n"
                "start: [{of: qvel, normal: 0.5, name: noise}]\n"
                "observation: [{of: qpos, first: -2, count: -1, function: cos, clip: [0, .inf]}]\n"
                "reward: [{form: square, of: qvel, target: 2, limit: [-1, 1], weight: -3}]\n"
                "cost: [{form: constant}]\n"
                "healthy: [{of: qpos, range: [-.inf, 1], name: r}]\n");
    bool hashed;
    MujocoTask task = parse(cart_options(), &hashed);
    assert_string_equal(task.name, "my.task");
    assert_string_equal(task.model, files_path("cart.xml"));
    assert_int_equal(task.frame_skip, 3);
    assert_int_equal(task.step_limit, 0);
    assert_true(task.goes_on_unhealthy);
    assert_string_equal(task.camera.track, "cart");
    assert_true(task.camera.azimuth == 45.0 && task.camera.lookat[0] == 1.0);
    assert_int_equal(task.start[0].distribution, MUJOCO_NORMAL);
    assert_true(task.start[0].scale == 0.5);
    const MujocoQuantity *of = &task.observation[0].of;
    assert_int_equal(of->source, MUJOCO_QPOS);
    assert_int_equal(of->first, -2);
    assert_int_equal(of->count, -1);
    assert_int_equal(of->function, MUJOCO_COS);
    assert_true(of->clip.low == 0.0 && isinf(of->clip.high));
    assert_int_equal(task.reward[0].form, MUJOCO_SQUARE);
    assert_true(task.reward[0].target == 2.0 && task.reward[0].weight == -3.0);
    assert_true(task.reward[0].limit.low == -1.0 && !task.reward[0].cost);
    assert_int_equal(task.reward[1].form, MUJOCO_CONSTANT);
    assert_true(task.reward[1].cost && task.reward[1].weight == 1.0);
    assert_true(isinf(task.health[0].range.low) && task.health[0].range.high == 1.0);
    assert_int_equal(task.reward[2].form, MUJOCO_NO_FORM);

    files_write_cart("-1 1", NULL);
    task = parse(cart_options(), &hashed);
    assert_string_equal(task.name, "cart"); /* the file's */
    assert_int_equal(task.step_limit, 1000);
    assert_int_equal(task.frame_skip, 1);
}

/* The hash of the cart with these files. */
static uint32_t hash_of_cart(const char *ctrlrange, const char *yaml)
{
    files_write_cart(ctrlrange, yaml);
    bool hashed = false;
    MujocoTask task = parse(cart_options(), &hashed);
    assert_true(hashed); /* its name alone tells nothing of what is in the files */
    return mujoco_task_hash(&task);
}

static void test_the_hash_of_a_file_tells_its_task_and_its_model(void **state)
{
    (void)state;
    const char *light = "observation: [{of: qpos}]\nreward: [{form: constant, weight: 1}]\n";
    const char *heavy = "observation: [{of: qpos}]\nreward: [{form: constant, weight: 2}]\n";
    const char *same = "# a note\nreward: [{form: constant}]\nobservation: [{of: qpos}]\n";
    uint32_t hash = hash_of_cart("-1 1", light);
    assert_int_equal(hash_of_cart("-1 1", light), hash);
    assert_int_equal(hash_of_cart("-1 1", same), hash); /* what the task is, not how it is said */
    assert_int_not_equal(hash_of_cart("-1 1", heavy), hash);
    assert_int_not_equal(hash_of_cart("-2 2", light), hash); /* the model alone differs */
}

#define GOOD "observation: [{of: qpos}]\nreward: [{form: constant}]\n"

static void test_wrong_files_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *words;
    } cases[] = {
        {"", "cart.yaml:1: it is empty"},
        {"- 1\n", "cart.yaml:1: a task is keys"},
        {"a: [\n", "cart.yaml:2: no valid YAML"},
        {GOOD "frameskip: 2\n", "cart.yaml:3: a task has no key 'frameskip', perhaps frame_skip"},
        {GOOD "frame_skip: 2\nframe_skip: 3\n", "cart.yaml:4: frame_skip is given twice"},
        {GOOD "frame_skip: 0\n", "cart.yaml:3: frame_skip is a whole number from 1 to 1000"},
        {GOOD "frame_skip: [2]\n", "frame_skip is a whole number"},
        {GOOD "step_limit: many\n", "step_limit is a whole number"},
        {GOOD "terminate_when_unhealthy: yes\n", "is true or false"},
        {GOOD "name: a b\n", "cart.yaml:3: a name is letters"},
        {GOOD "name: HalfCheetah-v5\n", "cart.yaml:3: HalfCheetah-v5 is a task of Gymnasium's"},
        {GOOD "name: \"\"\n", "name is a name of up to 63 characters"},
        {GOOD "camera: {zoom: 2}\n", "camera has no key 'zoom'"},
        {GOOD "camera: {lookat: [1, 2, 3, 4]}\n", "lookat is a list of up to 3 numbers"},
        {GOOD "start: {of: qpos}\n", "start is a list"},
        {GOOD "start: [{of: qpos}]\n", "needs the key of, and uniform, normal, or low and high"},
        {GOOD "start: [{of: ctrl, normal: 1}]\n", "of: there is no 'ctrl'"},
        {GOOD "start: [{of: qpos, normal: 1, uniform: 1}]\n", "a start needs the key of"},
        {GOOD "start: [{of: qpos, normal: -1}]\n", "is not negative"},
        {GOOD "start: [{of: qpos, low: [1], high: [1]}]\n", "low is below high"},
        {GOOD "start: [{of: qpos, low: [1], high: [2, 3]}]\n", "of equal length"},
        {GOOD "start: [{of: qpos, normal: 1, norm: [0, 1]}]\n", "norm goes with low and high"},
        {"reward: [{form: constant}]\n", "a task needs an observation and a reward"},
        {"observation:\n  - {of: qposs}\n", "cart.yaml:2: of: there is no 'qposs', perhaps qpos"},
        {"observation:\n  - {first: 1}\n", "cart.yaml:2: an observation needs the key of"},
        {"observation: [{of: qpos, clip: [1, 0]}]\n", "clip is a range [low, high]"},
        {"observation: [{of: qpos, clip: 1}]\n", "clip is a range"},
        {GOOD "cost: [{wieght: 1}]\n", "cart.yaml:3: a cost has no key 'wieght', perhaps weight"},
        {GOOD "cost: [1]\n", "a cost is keys with values"},
        {"observation: [{of: qpos}]\nreward: [{wieght: 1}]\n", "a reward has no key 'wieght'"},
        {GOOD "cost: [{form: sqare, of: ctrl}]\n", "form: there is no 'sqare', perhaps square"},
        {GOOD "cost: [{of: ctrl}]\n", "a cost needs the key form"},
        {GOOD "cost: [{form: square}]\n", "the form square needs the key of"},
        {GOOD "cost: [{form: healthy, of: ctrl}]\n", "the form healthy is not of anything"},
        {GOOD "cost: [{form: sum, of: ctrl, target: 1}]\n", "the form sum has no target"},
        {GOOD "cost: [{form: sum, of: ctrl, weight: .inf}]\n", "weight is a number"},
        {GOOD "cost: [{form: sum, of: ctrl, weight: .nan}]\n", "weight is a number"},
        {GOOD "healthy: [{of: qpos}]\n", "healthy needs the keys of and range"},
        {GOOD "healthy: [{of: qpos, range: [0, 1], first: 1.5}]\n", "first is a whole number"},
        {GOOD "? [a]\n: b\n", "a key is expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        files_write_cart("-1 1", cases[i].yaml);
        must_refuse(cart_options(), cases[i].words);
    }
    char many[2048] = GOOD "cost:\n";
    for (int i = 0; i < MUJOCO_LIST_MAX; i++)
        strncat(many, "- {form: constant}\n", sizeof many - strlen(many) - 1);
    files_write_cart("-1 1", many);
    must_refuse(cart_options(), "cost has more than 32 entries");
}

static void test_a_missing_task_file_or_a_taken_name_is_named(void **state)
{
    (void)state;
    char options[3 * FILES_PATH_MAX];
    snprintf(options, sizeof options, "task=%s", files_path("none.xml"));
    must_refuse(options, "none.yaml is not there");
    snprintf(options, sizeof options, "task=%s", files_path("Hopper-v5.xml"));
    files_write("Hopper-v5.xml", "<mujoco/>");
    files_write("Hopper-v5.yaml", GOOD);
    must_refuse(options, "Hopper-v5 is a task of Gymnasium's: give this one a name of its own");
    must_refuse("task=./robot.urdf", "a model is a file NAME.xml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_change_what_they_name),
        cmocka_unit_test(test_equal_tasks_have_equal_names),
        cmocka_unit_test(test_wrong_options_are_explained),
        cmocka_unit_test(test_a_file_says_what_a_table_can_say),
        cmocka_unit_test(test_the_hash_of_a_file_tells_its_task_and_its_model),
        cmocka_unit_test(test_wrong_files_are_explained),
        cmocka_unit_test(test_a_missing_task_file_or_a_taken_name_is_named),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
