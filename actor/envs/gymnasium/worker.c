#include "actor/envs/gymnasium/worker.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

enum {
    LOOK_MS = 100,    /* between looks at the process: a bell may stay open with its children */
    GRACE_MS = 2000,  /* for environments to be closed */
    ENDING_MS = 1000, /* for a process that has hung up to end */
    TRACEBACK_LINES = 40,
};

int worker_new(const WorkerConfig *config, Worker **worker, Err *err)
{
    Worker *made = calloc(1, sizeof *made);
    size_t lanes = (size_t)config->num_lanes;
    int rc = ERR_OK;
    if (made) {
        made->config = *config;
        made->process.output_fd = -1;
        made->lanes = calloc(lanes, sizeof *made->lanes);
        made->ring = calloc(lanes, sizeof *made->ring);
        made->taken = calloc(lanes, sizeof *made->taken);
    }
    if (!made || !made->lanes || !made->ring || !made->taken)
        rc = err_set(err, ERR_NOMEM, "no memory for a worker with %d environments",
                     config->num_lanes);
    if (rc == ERR_OK)
        rc = channel_open(&made->channel, config->num_lanes, err);
    if (rc != ERR_OK)
        worker_destroy(&made);
    else
        *worker = made;
    return rc;
}

void worker_destroy(Worker **worker)
{
    Worker *gone = *worker;
    if (!gone)
        return;
    char how[64];
    channel_disconnect(&gone->channel); /* it closes its environments then, and ends */
    worker_process_end(&gone->process, GRACE_MS, how, sizeof how);
    channel_close(&gone->channel);
    free(gone->lanes);
    free(gone->ring);
    free(gone->taken);
    free(gone);
    *worker = NULL;
}

int worker_start(Worker *worker, Err *err)
{
    CHECK(worker->state == WORKER_ENDED);
    const WorkerConfig *config = &worker->config;
    worker->num_ring = worker->num_told = 0;
    for (int i = 0; i < config->num_lanes; i++) {
        if (worker->lanes[i].state != LANE_DONE)
            worker->lanes[i].state = LANE_IDLE;
    }
    int bell = -1;
    int rc = channel_connect(&worker->channel, &bell, err);
    if (rc != ERR_OK)
        return rc;
    rc = worker_process_start(&worker->process, config->python, config->name, config->id,
                              config->options, worker->channel.memory_fd, bell, err);
    close(bell);
    if (rc != ERR_OK) {
        channel_disconnect(&worker->channel);
        return rc;
    }
    worker->state = WORKER_STARTING;
    worker->starts++;
    worker->started_ms = worker->progress_ms = clock_ms();
    return ERR_OK;
}

void worker_begin(Worker *worker, int lane)
{
    CHECK(worker->lanes[lane].state == LANE_IDLE);
    worker->lanes[lane].state = LANE_BEGUN;
    worker->lanes[lane].done = worker->channel.done[lane] + 1;
    worker->ring[worker->num_ring++] = (uint16_t)lane;
}

/* The worker has ended, or is ended now; what it has done until then counts. */
static void ended(Worker *worker, EnvFault fault, int grace_ms)
{
    char how[64];
    worker_process_end(&worker->process, grace_ms, how, sizeof how);
    channel_disconnect(&worker->channel);
    const Channel *channel = &worker->channel;
    for (int i = 0; i < worker->config.num_lanes; i++) {
        WorkerLane *lane = &worker->lanes[i];
        if (lane->state == LANE_TOLD && channel->done[i] == lane->done)
            lane->state = LANE_DONE;
    }
    const char *name = worker->config.name;
    const char *last = worker->process.output.last;
    if (fault == ENV_FAULT_DIED && worker->state == WORKER_STARTING)
        err_set(&worker->ending, 0, "%.150s: the Python worker %s while it started%s%.150s", name,
                how, last[0] ? ": " : "", last);
    else if (fault == ENV_FAULT_DIED)
        err_set(&worker->ending, 0, "%.150s: the Python worker %s", name, how);
    worker->fault = fault;
    worker->state = WORKER_ENDED;
}

/* Logs the traceback that a worker left; it has bounded it, and may write there still. */
static void log_traceback(const Worker *worker)
{
    char text[CHANNEL_TRACEBACK_BYTES];
    memcpy(text, worker->channel.header->traceback, sizeof text);
    text[sizeof text - 1] = '\0';
    char *line = text;
    for (int i = 0; i < TRACEBACK_LINES && *line; i++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        char excerpt[OUTPUT_LINE_BYTES];
        log_warn("%s: %s", worker->config.name, text_excerpt(line, excerpt, sizeof excerpt));
        if (!end)
            break;
        line = end + 1;
    }
}

/* It says that it failed; it waits to be ended. */
static void failed(Worker *worker)
{
    char text[CHANNEL_TEXT_BYTES];
    worker->failure = worker->channel.header->failure;
    channel_text(&worker->channel, text, sizeof text);
    err_set(&worker->ending, 0, "%.150s: %s", worker->config.name, text);
    worker_process_listen(&worker->process); /* what it printed comes before */
    log_traceback(worker);
    ended(worker, ENV_FAULT_RAISED, 0);
}

static void hung(Worker *worker, int timeout_ms)
{
    worker_process_ask_where(&worker->process);
    err_set(&worker->ending, 0,
            worker->state == WORKER_STARTING
                ? "%.150s: the Python worker did not start within %g s, and was ended"
                : "%.150s: no step or reset was done within %g s, and the Python worker was ended; "
                  "--env-step-timeout-ms gives it longer",
            worker->config.name, timeout_ms / 1000.0);
    ended(worker, ENV_FAULT_HUNG, 0);
}

/* Takes all rings that are there. False when the worker has ended over it. */
static bool take_rings(Worker *worker)
{
    for (;;) {
        char what = 0;
        int count = channel_take(&worker->channel, worker->taken, &what);
        if (count == ERR_AGAIN)
            return true;
        if (count == ERR_LOST) {
            ended(worker, ENV_FAULT_DIED, ENDING_MS);
            return false;
        }
        if (count == 0 && what == 'F') {
            failed(worker);
            return false;
        }
        if (count == 0 && worker->state == WORKER_STARTING)
            worker->state = WORKER_READY;
        for (int i = 0; i < count; i++) {
            WorkerLane *lane = &worker->lanes[worker->taken[i]];
            if (lane->state != LANE_TOLD)
                continue;
            lane->state = LANE_DONE;
            worker->num_told--;
        }
        if (count == ERR_FORMAT) {
            err_set(&worker->ending, 0, "%.150s: its Python worker rings with nonsense",
                    worker->config.name);
            ended(worker, ENV_FAULT_RAISED, 0);
            return false;
        }
        worker->progress_ms = clock_ms();
    }
}

/* Tells the worker what was begun. */
static void ring(Worker *worker)
{
    if (worker->num_ring == 0 || worker->state != WORKER_READY)
        return;
    if (channel_ring(&worker->channel, worker->ring, worker->num_ring) == ERR_AGAIN)
        return;
    /* Where it is gone, looking at the bell will say so. */
    for (int i = 0; i < worker->num_ring; i++)
        worker->lanes[worker->ring[i]].state = LANE_TOLD;
    if (worker->num_told == 0) /* it was idle: its time begins now */
        worker->progress_ms = clock_ms();
    worker->num_told += worker->num_ring;
    worker->num_ring = 0;
}

/* Milliseconds that the worker may still take; -1: it has nothing to do. */
static int64_t time_left_ms(const Worker *worker)
{
    int64_t end_ms = worker->state == WORKER_STARTING
                         ? worker->started_ms + worker->config.start_timeout_ms
                         : worker->progress_ms + worker->config.step_timeout_ms;
    if (worker->state == WORKER_READY && worker->num_told == 0)
        return -1;
    int64_t left_ms = end_ms - clock_ms();
    return left_ms > 0 ? left_ms : 0;
}

void worker_wait(Worker *worker, int timeout_ms)
{
    if (worker->state == WORKER_ENDED)
        return;
    ring(worker);
    int64_t left_ms = time_left_ms(worker);
    int64_t wait_ms = timeout_ms >= 0 && timeout_ms < LOOK_MS ? timeout_ms : LOOK_MS;
    if (left_ms >= 0 && left_ms < wait_ms)
        wait_ms = left_ms;
    struct pollfd fds[] = {{.fd = worker->channel.bell_fd, .events = POLLIN},
                           {.fd = worker->process.output_fd, .events = POLLIN}};
    int ready = poll(fds, 2, (int)wait_ms);
    if (ready > 0 && fds[1].revents)
        worker_process_listen(&worker->process);
    if (ready > 0 && fds[0].revents) {
        if (take_rings(worker))
            ring(worker); /* one that has just become ready */
        return;
    }
    if (ready == 0 && worker_process_ended(&worker->process)) {
        if (take_rings(worker))
            ended(worker, ENV_FAULT_DIED, 0);
        return;
    }
    if (time_left_ms(worker) == 0)
        hung(worker, worker->state == WORKER_STARTING ? worker->config.start_timeout_ms
                                                      : worker->config.step_timeout_ms);
}
