#include "learner/agent/team.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "common/check.h"
#include "common/fpu.h"

/* About 20 to 50 microseconds: longer than the gap between two runs of an update, shorter than
 * anybody would notice on an idle learner. */
enum { SPINS = 1000 };

typedef struct Worker {
    Team *team;
    int index;
    pthread_t thread;
} Worker;

/* A run begins when `round` changes and ends when `working` is 0. Who has spun long enough on one
 * of the two counts itself in `sleepers` and sleeps on the condition; who changes one of them looks
 * at `sleepers` afterwards. Both orders are sequentially consistent, so one of the two sees the
 * other, and no wake-up is lost. */
struct Team {
    int workers;
    int threads; /* made: workers - 1, or fewer while team_new fails */
    Worker *worker;
    TeamFunction *function;
    void *arg;
    bool stop;
    _Alignas(64) atomic_uint round;
    _Alignas(64) atomic_int working;
    _Alignas(64) atomic_int sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

/* --- Waiting ---------------------------------------------------------------------------------- */

static void pause_briefly(void)
{
#ifdef __SSE2__
    _mm_pause();
#endif
}

static void wake_sleepers(Team *team)
{
    if (atomic_load(&team->sleepers) == 0)
        return;
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->mutex);
}

static bool has_begun(Team *team, unsigned last_round)
{
    return atomic_load(&team->round) != last_round;
}

static bool has_ended(Team *team, unsigned unused)
{
    (void)unused;
    return atomic_load(&team->working) == 0;
}

static void wait_until(Team *team, bool (*is_true)(Team *, unsigned), unsigned round)
{
    for (int i = 0; i < SPINS; i++) {
        if (is_true(team, round))
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->sleepers, 1);
    while (!is_true(team, round))
        pthread_cond_wait(&team->changed, &team->mutex);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->mutex);
}

/* --- Running ---------------------------------------------------------------------------------- */

static void *worker_main(void *arg)
{
    Worker *worker = arg;
    Team *team = worker->team;
    pthread_setname_np(pthread_self(), "team");
    fpu_flush_denormals();
    for (unsigned round = 0;; round++) {
        wait_until(team, has_begun, round);
        if (team->stop)
            return NULL;
        team->function(team->arg, worker->index, team->workers);
        if (atomic_fetch_sub(&team->working, 1) == 1)
            wake_sleepers(team);
    }
}

static void begin_round(Team *team)
{
    atomic_store(&team->working, team->threads);
    atomic_fetch_add(&team->round, 1);
    wake_sleepers(team);
}

void team_run(Team *team, TeamFunction *function, void *arg)
{
    fpu_flush_denormals();
    if (team->workers > 1) {
        team->function = function;
        team->arg = arg;
        begin_round(team);
    }
    function(arg, 0, team->workers);
    if (team->workers > 1)
        wait_until(team, has_ended, 0);
}

/* Signals are for the threads that know what to do with them. */
static int start_thread(Worker *worker)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int team_new(int workers, Team **team, Err *err)
{
    CHECK(workers >= 1 && workers <= TEAM_WORKERS_MAX);
    Team *self = aligned_alloc(_Alignof(Team), sizeof *self);
    Worker *worker = calloc((size_t)workers, sizeof *worker);
    if (!self || !worker) {
        free(self);
        free(worker);
        return err_set(err, ERR_NOMEM, "no memory for a team of %d threads", workers);
    }
    memset(self, 0, sizeof *self);
    self->workers = workers;
    self->worker = worker;
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->changed, NULL);
    for (int i = 1; i < workers; i++) {
        worker[i] = (Worker){.team = self, .index = i};
        int result = start_thread(&worker[i]);
        if (result != 0) {
            team_destroy(&self);
            return err_set(err, ERR_NOMEM, "could not start thread %d of %d: %s", i + 1, workers,
                           strerror(result));
        }
        self->threads++;
    }
    *team = self;
    return 0;
}

void team_destroy(Team **team)
{
    Team *self = *team;
    if (!self)
        return;
    self->stop = true;
    begin_round(self);
    for (int i = 1; i <= self->threads; i++)
        pthread_join(self->worker[i].thread, NULL);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->mutex);
    free(self->worker);
    free(self);
    *team = NULL;
}
