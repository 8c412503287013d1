/* What bits depend on: named, and compared both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/kernels.h"
#include "learner/machine.h"

enum { TEXT = 2048 };

static int set_up(void **state)
{
    (void)state;
    return kernels_init(NULL);
}

static void test_the_machine_is_described(void **state)
{
    (void)state;
    static const char *const texts[] = {"polyak_version", "build_id",      "compiler", "isa",
                                        "openblas",       "openblas_core", "matmul",   "cpu"};
    json_t *machine = machine_describe(3);
    assert_non_null(machine);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *text = json_string_value(json_object_get(machine, texts[i]));
        assert_non_null(text);
        assert_true(text[0] != '\0');
    }
    assert_int_equal(json_integer_value(json_object_get(machine, "threads")), 3);
    assert_true(json_is_true(json_object_get(machine, "flush_to_zero")));
    json_decref(machine);
}

static void test_a_machine_does_not_differ_from_itself(void **state)
{
    (void)state;
    char text[TEXT] = "not empty";
    json_t *a = machine_describe(2);
    json_t *b = machine_describe(2);
    machine_difference(a, b, text, sizeof text);
    assert_string_equal(text, "");
    json_decref(a);
    json_decref(b);
}

static void test_each_difference_is_named_with_both_values(void **state)
{
    (void)state;
    char text[TEXT];
    json_t *here = machine_describe(2);
    json_t *there = machine_describe(4);
    json_object_set_new(there, "isa", json_string("other"));
    machine_difference(here, there, text, sizeof text);
    assert_non_null(strstr(text, "threads: 2 here, 4 there"));
    assert_non_null(strstr(text, "here, \"other\" there"));
    assert_non_null(strstr(text, "; "));
    json_decref(here);
    json_decref(there);
}

static void test_what_only_one_of_them_knows_is_a_difference(void **state)
{
    (void)state;
    char text[TEXT];
    json_t *bare = machine_describe(1);
    json_t *full = machine_describe(1);
    json_object_set_new(full, "newer", json_integer(5));
    machine_difference(bare, full, text, sizeof text);
    assert_string_equal(text, "newer: unknown here, 5 there");
    machine_difference(full, bare, text, sizeof text);
    assert_string_equal(text, "newer: 5 here, unknown there");
    machine_difference(bare, NULL, text, sizeof text);
    assert_non_null(strstr(text, "threads: 1 here, unknown there"));
    json_decref(bare);
    json_decref(full);
}

static void test_a_short_text_is_cut_and_ends(void **state)
{
    (void)state;
    char text[40];
    json_t *here = machine_describe(1);
    json_t *there = json_object();
    memset(text, 'x', sizeof text);
    machine_difference(here, there, text, 24);
    assert_int_equal(strlen(text), 23);
    assert_int_equal(text[24], 'x');
    json_decref(here);
    json_decref(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_machine_is_described),
        cmocka_unit_test(test_a_machine_does_not_differ_from_itself),
        cmocka_unit_test(test_each_difference_is_named_with_both_values),
        cmocka_unit_test(test_what_only_one_of_them_knows_is_a_difference),
        cmocka_unit_test(test_a_short_text_is_cut_and_ends),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
