/* A process of `bench fleet`: many simulated actors in one thread. Their next turns stand in one
 * array, which is read through at every round: for thousands that takes a microsecond, and a
 * round is at most every millisecond. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <zmq.h>

#include "cli/bench/bench_fleet_actor.h"
#include "common/clock.h"
#include "common/kernels.h"

enum {
    EVENTS_MAX = 256,
    SOCKETS_PER_ACTOR = 16, /* it has 4; while it dials again, those before may not be gone yet */
    CONNECTING_MAX = 32,    /* actors that wait for their first Welcome */
    ROUND_MS_MAX = 50,      /* the phase is looked at so often */
    LEAVE_MS = 15000,       /* longest wait for the last acknowledgements */
};

typedef struct Process {
    SimFleet all;
    int num; /* actors that are open */
    int max;
    SimActor *actors;
    int64_t *turn_ns; /* (max) when each wants its next turn */
    bool *woken;      /* (max) */
    FleetPhase phase;
    int64_t leave_ms; /* then it leaves, acknowledged or not */
} Process;

/* --- Rounds ------------------------------------------------------------------------------------
 */

/* Lets more dial in, but not all at once: a learner takes connections one by one. */
static int open_more(Process *process, Err *err)
{
    const Fleet *fleet = process->all.fleet;
    FleetCount *count = process->all.count;
    uint64_t known = atomic_load(&count->joined) + atomic_load(&count->refused);
    while (process->phase != FLEET_LEAVE && process->num < process->max &&
           (uint64_t)process->num < known + CONNECTING_MAX) {
        int i = process->num;
        int code = sim_actor_open(&process->actors[i], &process->all,
                                  i * fleet->processes + process->all.index, err);
        if (code)
            return code;
        process->turn_ns[i] = 0;
        process->num++;
    }
    return ERR_OK;
}

static void take_turns(Process *process)
{
    int64_t now_ns = clock_ns();
    bool steps_wanted = process->phase != FLEET_LEAVE;
    for (int i = 0; i < process->num; i++) {
        if (!process->woken[i] && process->turn_ns[i] > now_ns)
            continue;
        process->turn_ns[i] = sim_actor_turn(&process->actors[i], &process->all, process->woken[i],
                                             steps_wanted, now_ns);
        process->woken[i] = false;
    }
}

static void wait_for_events(Process *process)
{
    static struct epoll_event events[EVENTS_MAX];
    int64_t due_ns = INT64_MAX;
    for (int i = 0; i < process->num; i++)
        due_ns = process->turn_ns[i] < due_ns ? process->turn_ns[i] : due_ns;
    int64_t wait_ns = due_ns == INT64_MAX ? INT64_MAX : due_ns - clock_ns();
    int wait_ms = wait_ns <= 0 ? 0 : ROUND_MS_MAX;
    if (wait_ns > 0 && wait_ns < ROUND_MS_MAX * INT64_C(1000000))
        wait_ms = (int)((wait_ns + 999999) / 1000000);
    int n = epoll_wait(process->all.epoll, events, EVENTS_MAX, wait_ms);
    for (int i = 0; i < n; i++)
        process->woken[(const SimActor *)events[i].data.ptr - process->actors] = true;
}

static void look_at_phase(Process *process)
{
    FleetPhase phase = (FleetPhase)atomic_load(&process->all.fleet->shared->phase);
    if (phase == process->phase)
        return;
    process->phase = phase;
    process->all.measuring = phase == FLEET_MEASURE;
    if (phase != FLEET_LEAVE)
        return;
    process->leave_ms = clock_ms() + LEAVE_MS;
    for (int i = 0; i < process->num; i++) {
        sim_actor_stop(&process->actors[i], &process->all);
        process->turn_ns[i] = 0;
    }
}

/* Whether there is nothing more to wait for. */
static bool may_leave(const Process *process)
{
    if (process->phase != FLEET_LEAVE)
        return false;
    if (clock_ms() >= process->leave_ms)
        return true;
    for (int i = 0; i < process->num; i++)
        if (!sim_actor_is_done(&process->actors[i]))
            return false;
    return true;
}

static int run_until_left(Process *process, Err *err)
{
    int code = ERR_OK;
    while (!code && !may_leave(process)) {
        look_at_phase(process);
        code = open_more(process, err);
        take_turns(process);
        wait_for_events(process);
    }
    ByeReason reason =
        atomic_load(&process->all.fleet->shared->in_time) ? BYE_FINISHED : BYE_STOPPING;
    for (int i = 0; i < process->num; i++)
        sim_actor_leave(&process->actors[i], &process->all, reason);
    return code;
}

/* --- Its life ----------------------------------------------------------------------------------
 */

/* What its actors would say each, the main process says once; and a terminal's Ctrl-C is for that
 * one alone. */
static void be_quiet(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGTERM, &ignore, NULL);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static int prepare(Process *process, const Fleet *fleet, int index, Err *err)
{
    SimFleet *all = &process->all;
    process->max = (fleet->peers - index + fleet->processes - 1) / fleet->processes;
    size_t max = (size_t)process->max;
    *all = (SimFleet){.fleet = fleet,
                      .index = index,
                      .count = &fleet->shared->counts[index],
                      .step_ns = (int64_t)(fleet->config->step_ms * 1e6),
                      .arrivals = fleet->arrivals + (size_t)index * FLEET_ARRIVALS_MAX};
    policy_init(&all->scratch, 1);
    process->actors = calloc(max, sizeof *process->actors);
    process->turn_ns = calloc(max, sizeof *process->turn_ns);
    process->woken = calloc(max, sizeof *process->woken);
    all->epoll = epoll_create1(EPOLL_CLOEXEC);
    all->zmq_context = zmq_ctx_new();
    if (!process->actors || !process->turn_ns || !process->woken || all->epoll < 0 ||
        !all->zmq_context ||
        zmq_ctx_set(all->zmq_context, ZMQ_MAX_SOCKETS, SOCKETS_PER_ACTOR * process->max + 16) != 0)
        return err_set(err, ERR_NOMEM,
                       "not enough memory for %d actors in one process: give more "
                       "--processes",
                       process->max);
    return ERR_OK;
}

int fleet_process_main(const void *arg, int index)
{
    const Fleet *fleet = arg;
    static Process process;
    FleetCount *count = &fleet->shared->counts[index];
    Err err = {""};
    be_quiet();
    int code = prepare(&process, fleet, index, &err);
    if (!code)
        code = run_until_left(&process, &err);
    if (code && !atomic_load(&count->failed)) {
        count->trouble = err;
        atomic_store(&count->failed, true);
    }
    if (!code)
        zmq_ctx_term(process.all.zmq_context); /* waits for the last Byes to leave */
    policy_destroy(&process.all.scratch);
    close(process.all.epoll);
    free(process.actors);
    free(process.turn_ns);
    free(process.woken);
    return code ? 1 : 0;
}
