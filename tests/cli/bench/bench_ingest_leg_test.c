/* One short leg of each kind: the whole learner with senders, and what it is measured against. */
#include "cli/bench/bench_ingest_leg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fs.h"

static void run_leg(BenchMode mode, bool raw)
{
    static Config config;
    static IngestLeg leg;
    Err err = {""};
    IngestRate rate = {0};
    char directory[sizeof leg.learner.directory];
    config_init(&config);
    config.mode = mode;
    config.replay_capacity.steps = 10000;
    leg = (IngestLeg){.config = &config, .raw = raw, .peers = 3};
    int code = ingest_leg_begin(&leg, 3, &err);
    if (!code)
        code = ingest_leg_measure(&leg, 0.2, &rate, &err);
    snprintf(directory, sizeof directory, "%s", leg.learner.directory);
    if (code)
        print_message("%s\n", err.text);
    assert_int_equal(ingest_leg_end(&leg, &err), ERR_OK);
    assert_int_equal(code, ERR_OK);
    assert_true(rate.segments_per_s > 0);
    assert_true(rate.acks > 0);
    assert_true(rate.all_us > rate.server_us && rate.server_us > 0);
    assert_false(fs_exists(directory));
}

static void test_bare_sockets(void **state)
{
    (void)state;
    run_leg(BENCH_MODE_PLAIN, true);
}

static void test_a_learner_without_log(void **state)
{
    (void)state;
    run_leg(BENCH_MODE_PLAIN, false);
}

static void test_a_learner_with_its_log(void **state)
{
    (void)state;
    run_leg(BENCH_MODE_LOG, false);
}

static void test_a_learner_with_curve(void **state)
{
    (void)state;
    run_leg(BENCH_MODE_CURVE, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare_sockets),
        cmocka_unit_test(test_a_learner_without_log),
        cmocka_unit_test(test_a_learner_with_its_log),
        cmocka_unit_test(test_a_learner_with_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
