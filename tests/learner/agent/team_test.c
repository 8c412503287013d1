#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "learner/agent/team.h"

enum { WORKERS = 4 };

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* Plain fields on purpose: the team alone orders what the workers do. */
typedef struct Work {
    int round;
    int workers;
    long done[WORKERS];
    pthread_t thread[WORKERS];
    float tiny[WORKERS];
    int usr1_blocked[WORKERS];
} Work;

static void count(void *arg, int worker, int workers)
{
    Work *work = arg;
    if (workers == work->workers)
        work->done[worker] += work->round;
    work->thread[worker] = pthread_self();
}

static Team *make(int workers)
{
    Team *team = NULL;
    Err err;
    assert_int_equal(team_new(workers, &team, &err), 0);
    return team;
}

static void test_every_worker_runs_once_per_run(void **state)
{
    (void)state;
    for (int workers = 1; workers <= WORKERS; workers++) {
        Team *team = make(workers);
        Work work = {.workers = workers};
        long expected = 0;
        for (work.round = 1; work.round <= 3000; work.round++) {
            team_run(team, count, &work);
            expected += work.round;
            for (int w = 0; w < workers; w++)
                assert_true(work.done[w] == expected);
        }
        for (int w = 0; w < workers; w++)
            for (int other = 0; other < w; other++)
                assert_false(pthread_equal(work.thread[w], work.thread[other]));
        team_destroy(&team);
        assert_null(team);
    }
}

static void test_the_caller_is_worker_0(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        Team *team = make(workers);
        Work work = {.workers = workers};
        team_run(team, count, &work);
        assert_true(pthread_equal(work.thread[0], pthread_self()));
        team_destroy(&team);
    }
}

static void test_sleeping_workers_wake_up(void **state)
{
    (void)state;
    Team *team = make(3);
    Work work = {.workers = 3, .round = 1};
    for (int i = 1; i <= 10; i++) {
        sleep_ms(i);
        team_run(team, count, &work);
        for (int w = 0; w < 3; w++)
            assert_true(work.done[w] == i);
    }
    team_destroy(&team);
}

static double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

static void test_an_idle_team_does_not_burn_processors(void **state)
{
    (void)state;
    Team *team = make(WORKERS);
    Work work = {.workers = WORKERS};
    team_run(team, count, &work);
    double before = cpu_seconds();
    sleep_ms(200);
    assert_true(cpu_seconds() - before < 0.05);
    team_destroy(&team);
}

static void be_late(void *arg, int worker, int workers)
{
    if (worker == workers - 1)
        sleep_ms(100);
    count(arg, worker, workers);
}

static void test_a_caller_that_waits_long_sleeps_too(void **state)
{
    (void)state;
    Team *team = make(2);
    Work work = {.workers = 2, .round = 1};
    double before = cpu_seconds();
    team_run(team, be_late, &work);
    assert_true(cpu_seconds() - before < 0.05);
    assert_true(work.done[1] == 1);
    team_destroy(&team);
}

static void look_around(void *arg, int worker, int workers)
{
    (void)workers;
    Work *work = arg;
    volatile float least = 1.2e-38F;
    work->tiny[worker] = least / 4;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    work->usr1_blocked[worker] = sigismember(&blocked, SIGUSR1);
}

static void test_workers_flush_denormals_and_leave_signals_to_others(void **state)
{
    (void)state;
    fesetenv(FE_DFL_ENV); /* threads inherit the mode: earlier runs must not have set it for them */
    Team *team = make(WORKERS);
    Work work = {.workers = WORKERS};
    team_run(team, look_around, &work);
    for (int w = 0; w < WORKERS; w++) {
#if defined(__SSE2__) || defined(__aarch64__)
        uint32_t bits; /* this thread may take a denormal for 0 */
        memcpy(&bits, &work.tiny[w], sizeof bits);
        assert_int_equal(bits, 0);
#endif
        assert_int_equal(work.usr1_blocked[w], w > 0);
    }
    team_destroy(&team);
}

static void test_a_team_that_never_ran_can_be_destroyed(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        Team *team = make(1 + i % WORKERS);
        team_destroy(&team);
        team_destroy(&team);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_worker_runs_once_per_run),
        cmocka_unit_test(test_the_caller_is_worker_0),
        cmocka_unit_test(test_sleeping_workers_wake_up),
        cmocka_unit_test(test_an_idle_team_does_not_burn_processors),
        cmocka_unit_test(test_a_caller_that_waits_long_sleeps_too),
        cmocka_unit_test(test_workers_flush_denormals_and_leave_signals_to_others),
        cmocka_unit_test(test_a_team_that_never_ran_can_be_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
