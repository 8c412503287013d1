#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/agent/batch.h"

static void test_every_column_has_its_rows(void **state)
{
    (void)state;
    Batch batch;
    assert_int_equal(batch_new(&batch, 7, 3, 2), 0);
    assert_int_equal(batch.rows, 7);
    assert_int_equal(batch.obs_dim, 3);
    assert_int_equal(batch.act_dim, 2);
    for (int i = 0; i < 7 * 5; i++) { /* AddressSanitizer knows where they end */
        batch.obs_action[i] = 1;
        batch.next_obs_action[i] = 2;
    }
    for (int i = 0; i < 7; i++) {
        batch.reward[i] = 3;
        batch.bootstrap[i] = 4;
    }
    assert_true(batch.obs_action[34] == 1 && batch.next_obs_action[0] == 2);
    batch_destroy(&batch);
    assert_null(batch.obs_action);
    assert_int_equal(batch.rows, 0);
    batch_destroy(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_column_has_its_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
