/* An actor meets learners of every version that was released: it is welcome, or gives up with one
 * line that names both versions. */
#include "tests/proto/wire_recorded.h"

#include "tests/actor/uplink_fixture.h" /* its globals' names are those of everybody's arguments */

/* Joins, and takes the recorded frame for the answer; false when none is recorded. */
static bool answer_with(int version, const char *name)
{
    static Recorded recorded;
    static Message answer;
    if (!recorded_find(version, name, &recorded))
        return false;
    expect_hello(&first_session, 1);
    assert_int_equal(recorded_unpack(&recorded, NULL, &answer, NULL), ERR_OK);
    receive(&answer);
    return true;
}

static void test_a_recorded_welcome_is_taken_or_refused_naming_both_versions(void **state)
{
    for (int version = RECORDED_FIRST_VERSION; version <= WIRE_PROTOCOL_VERSION; version++) {
        teardown(state);
        assert_int_equal(setup(state), 0);
        if (!answer_with(version, "welcome"))
            continue;
        if (version == WIRE_PROTOCOL_VERSION) {
            assert_int_equal(uplink.state, UPLINK_ACTIVE);
        } else {
            assert_int_equal(uplink.state, UPLINK_REFUSED);
            assert_true(recorded_names_both(uplink.refusal, version));
        }
    }
}

static void test_a_recorded_reject_ends_it_with_what_the_learner_said(void **state)
{
    for (int version = RECORDED_FIRST_VERSION; version <= WIRE_PROTOCOL_VERSION; version++) {
        teardown(state);
        assert_int_equal(setup(state), 0);
        if (!answer_with(version, "reject"))
            continue;
        assert_int_equal(uplink.state, UPLINK_REFUSED);
        assert_non_null(strstr(uplink.refusal, "use programs of one version"));
    }
}

static void test_a_welcome_of_the_next_version_is_refused_naming_both(void **state)
{
    (void)state;
    Message welcome = {.kind = MESSAGE_WELCOME,
                       .welcome.protocol_version = WIRE_PROTOCOL_VERSION + 1};
    expect_hello(&first_session, 1);
    receive(&welcome);
    assert_int_equal(uplink.state, UPLINK_REFUSED);
    assert_true(recorded_names_both(uplink.refusal, WIRE_PROTOCOL_VERSION + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_recorded_welcome_is_taken_or_refused_naming_both_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_recorded_reject_ends_it_with_what_the_learner_said,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_welcome_of_the_next_version_is_refused_naming_both,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
