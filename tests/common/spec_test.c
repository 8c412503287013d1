#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/spec.h"

static Spec make_spec(void)
{
    Spec spec = {.name = "pendulum", .obs_dim = 3, .act_dim = 2, .step_limit = 200};
    for (int i = 0; i < spec.act_dim; i++) {
        spec.action_low[i] = -2;
        spec.action_high[i] = 2;
    }
    return spec;
}

static void check_refused(const Spec *spec, const char *message)
{
    Err err = {""};
    assert_int_equal(spec_check(spec, &err), ERR_SPEC);
    assert_string_equal(err.text, message);
}

static void test_a_sound_spec_passes(void **state)
{
    (void)state;
    Spec spec = make_spec();
    assert_int_equal(spec_check(&spec, NULL), ERR_OK);
    spec.step_limit = 0;
    strcpy(spec.name, "gymnasium:Ant-v5/x_1.2");
    assert_int_equal(spec_check(&spec, NULL), ERR_OK);
    spec.obs_dim = SPEC_OBS_DIM_MAX;
    memset(spec.name, 'x', SPEC_NAME_MAX);
    assert_int_equal(spec_check(&spec, NULL), ERR_OK);
}

static void test_a_bad_name_is_refused(void **state)
{
    (void)state;
    Spec spec = make_spec();
    spec.name[0] = '\0';
    check_refused(&spec, "an environment's name has 1 to 127 bytes");
    memset(spec.name, 'x', sizeof spec.name); /* without an end */
    check_refused(&spec, "an environment's name has 1 to 127 bytes");
    strcpy(spec.name, "two words");
    check_refused(&spec, "an environment's name has letters, digits and _.:/- only");
    strcpy(spec.name, "a\nb");
    check_refused(&spec, "an environment's name has letters, digits and _.:/- only");
}

static void test_bad_numbers_are_refused(void **state)
{
    (void)state;
    Spec spec = make_spec();
    spec.obs_dim = 0;
    check_refused(&spec, "pendulum: obs_dim 0 is not in 1…4096");
    spec.obs_dim = SPEC_OBS_DIM_MAX + 1;
    check_refused(&spec, "pendulum: obs_dim 4097 is not in 1…4096");
    spec = make_spec();
    spec.act_dim = SPEC_ACT_DIM_MAX + 1;
    check_refused(&spec, "pendulum: act_dim 129 is not in 1…128");
    spec = make_spec();
    spec.step_limit = -1;
    check_refused(&spec, "pendulum: step_limit -1 is negative");
}

static void test_bounds_must_be_finite_and_in_order(void **state)
{
    (void)state;
    const float bad[][2] = {{-INFINITY, 1}, {-1, INFINITY}, {NAN, 1}, {-1, NAN}, {1, 1}, {2, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Spec spec = make_spec();
        Err err = {""};
        spec.action_low[1] = bad[i][0];
        spec.action_high[1] = bad[i][1];
        assert_int_equal(spec_check(&spec, &err), ERR_SPEC);
        assert_non_null(strstr(err.text, "action 1 has the bounds ["));
    }
    /* What is beyond act_dim does not matter. */
    Spec spec = make_spec();
    spec.action_low[2] = NAN;
    assert_int_equal(spec_check(&spec, NULL), ERR_OK);
}

static void check_differs(const Spec *other, const char *difference)
{
    Spec run = make_spec();
    char text[200];
    assert_false(spec_equal(&run, other));
    assert_false(spec_equal(other, &run));
    spec_difference(&run, other, text, sizeof text);
    assert_string_equal(text, difference);
}

static void test_a_difference_is_found_and_named(void **state)
{
    (void)state;
    Spec run = make_spec();
    Spec other = make_spec();
    other.action_low[2] = 5; /* beyond act_dim */
    assert_true(spec_equal(&run, &other));
    strcpy(other.name, "acrobot");
    check_differs(&other, "the run trains pendulum, not acrobot");
    other = make_spec();
    other.obs_dim = 4;
    check_differs(&other, "the run has obs_dim 3 and act_dim 2, not 4 and 2");
    other = make_spec();
    other.act_dim = 1;
    check_differs(&other, "the run has obs_dim 3 and act_dim 2, not 3 and 1");
    other = make_spec();
    other.step_limit = 0;
    check_differs(&other, "the run has a step limit of 200, not 0");
    other = make_spec();
    other.action_high[1] = 3;
    check_differs(&other, "the run has other action bounds");
    other = make_spec();
    other.action_low[0] = -1;
    check_differs(&other, "the run has other action bounds");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_spec_passes),
        cmocka_unit_test(test_a_bad_name_is_refused),
        cmocka_unit_test(test_bad_numbers_are_refused),
        cmocka_unit_test(test_bounds_must_be_finite_and_in_order),
        cmocka_unit_test(test_a_difference_is_found_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
