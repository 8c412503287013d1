#include "cli/train/train_run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "cli/observer.h"
#include "cli/train/children.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/program.h"

enum {
    TICK_MS = 200,
    TICKS_PER_REQUEST = 5,
    PLAIN_PROGRESS_MS = 10000, /* where stderr is no terminal */
    SILENCE_MS = 10000,        /* of the learner, before it is named */
    NUM_SIGNALS = 3,
};

typedef struct TrainRun {
    const Config *config;
    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t signals[NUM_SIGNALS];
    Children *children;
    Observer *observer; /* NULL when there is no progress to be had */
    uint64_t ticks;
    int64_t status_ms;   /* when the newest status came, or the run began */
    int64_t progress_ms; /* when a plain line was printed last */
    bool silence_said;
    bool stop_asked; /* by a signal */
    bool learner_done;
    TrainEnd end;
    int code;
    Err err;
} TrainRun;

/* --- Progress ----------------------------------------------------------------------------------
 */

static void show_status(TrainRun *run, const RunStatus *status, int64_t now_ms)
{
    char line[512];
    if (run->config->progress == PROGRESS_OFF)
        return;
    run_status_line(status, line, sizeof line);
    if (log_is_terminal()) {
        log_status_line(line);
    } else if (now_ms - run->progress_ms >= PLAIN_PROGRESS_MS) {
        run->progress_ms = now_ms;
        log_info("%s", line);
    }
}

static void take_status(TrainRun *run, const RunStatus *status, int64_t now_ms)
{
    run->status_ms = now_ms;
    run->silence_said = false;
    run->end.faults = status->faults;
    memcpy(run->end.last_fault, status->last_fault, sizeof run->end.last_fault);
    if (status->env_steps > 0)
        children_worked(run->children, "learner");
    for (uint32_t i = 0; i < status->num_actors; i++)
        if (status->actors[i].env_steps > 0)
            children_worked(run->children, status->actors[i].name);
    children_set_wanted(run->children, status->env_steps < status->total_env_steps);
    show_status(run, status, now_ms);
}

static void on_tick(uv_timer_t *timer)
{
    TrainRun *run = timer->data;
    int64_t now_ms = clock_ms();
    if (!run->observer || run->learner_done)
        return;
    if (run->ticks++ % TICKS_PER_REQUEST == 0)
        observer_ask(run->observer);
    const RunStatus *status = NULL;
    Err err;
    if (observer_advance(run->observer, now_ms, &status, &err) != 0) {
        log_warn("no progress is shown: %s", err.text);
        observer_destroy(&run->observer);
    } else if (status) {
        take_status(run, status, now_ms);
    } else if (now_ms - run->status_ms > SILENCE_MS && !run->silence_said) {
        run->silence_said = true;
        log_warn("the learner has not answered for %d s", SILENCE_MS / 1000);
    }
}

/* --- Ends --------------------------------------------------------------------------------------
 */

/* The first reason counts. */
static void fail(TrainRun *run, int code, const char *text)
{
    if (run->code == 0)
        run->code = err_set(&run->err, code, "%s", text);
}

static void on_learner_ended(void *context, ProcessEnd end)
{
    TrainRun *run = context;
    run->learner_done = true;
    run->end.learner_done_ms = clock_ms();
    log_status_line(NULL);
    if (end.signal == 0 && end.exit_code == 0) {
        children_wind_down(run->children);
        return;
    }
    char reason[PROCESS_END_TEXT_MAX + 1], line[PROCESS_END_TEXT_MAX + 64];
    if (end.signal == 0 && end.exit_code == 2)
        snprintf(line, sizeof line, "the learner was started wrongly; its line above says how");
    else
        snprintf(line, sizeof line, "the learner %s", process_end_text(end, reason));
    fail(run, end.signal == 0 && end.exit_code == 2 ? ERR_USAGE : ERR_IO, line);
    children_stop(run->children);
}

static void on_gave_up(void *context, int code, const char *line)
{
    TrainRun *run = context;
    fail(run, code == ERR_USAGE ? ERR_USAGE : ERR_IO, line);
    children_stop(run->children);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    TrainRun *run = handle->data;
    log_status_line(NULL);
    if (run->stop_asked) {
        log_warn("%s again: killing all processes", strsignal(signal_number));
        children_kill(run->children);
        return;
    }
    run->stop_asked = true;
    log_info("%s: stopping; once more stops at once", strsignal(signal_number));
    fail(run, ERR_STOPPED, "stopped");
    children_stop(run->children);
}

static void close_all(TrainRun *run)
{
    uv_close((uv_handle_t *)&run->tick, NULL);
    for (int i = 0; i < NUM_SIGNALS; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    children_destroy(&run->children);
}

static void on_all_ended(void *context)
{
    close_all(context);
}

/* --- Start -------------------------------------------------------------------------------------
 */

/* Every child process takes pipes, and its sockets: as many descriptors as the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void watch_signals(TrainRun *run)
{
    static const int numbers[NUM_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < NUM_SIGNALS; i++) {
        uv_signal_init(&run->loop, &run->signals[i]);
        run->signals[i].data = run;
        struct sigaction action;
        /* nohup and background jobs of a shell ignore some: so do we then. */
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            uv_signal_start(&run->signals[i], on_signal, numbers[i]);
    }
}

static int start_children(TrainRun *run, const Launch *launch, Err *err)
{
    const Config *config = run->config;
    int code = children_start(run->children, CHILD_LEARNER, "learner",
                              launch_learner_args(launch, config), err);
    for (int i = 0; !code && i < (int)config->actors; i++) {
        char name[PROCESS_NAME_MAX + 1];
        snprintf(name, sizeof name, "actor-%d", i);
        code = children_start(run->children, CHILD_ACTOR, name,
                              launch_actor_args(launch, config, i), err);
    }
    if (!code && config->eval_interval_env_steps > 0)
        code = children_start(run->children, CHILD_EVALUATOR, "evaluator",
                              launch_actor_args(launch, config, -1), err);
    return code;
}

static void begin(TrainRun *run, const Launch *launch)
{
    const ChildrenSink sink = {run, on_learner_ended, on_gave_up, on_all_ended};
    uv_timer_init(&run->loop, &run->tick);
    run->tick.data = run;
    watch_signals(run);
    if (children_new(&run->loop, (int)run->config->actors + 2, &sink, &run->children, &run->err)) {
        run->code = ERR_NOMEM;
        close_all(run);
        return;
    }
    int code = start_children(run, launch, &run->err);
    /* The sockets come after the forks. */
    if (!code)
        code = observer_new(launch->endpoint, "polyak train", NULL, &run->observer, &run->err);
    if (code) {
        run->code = code;
        children_stop(run->children);
        return;
    }
    run->status_ms = run->progress_ms = clock_ms();
    uv_timer_start(&run->tick, on_tick, TICK_MS, TICK_MS);
}

int train_run(const Launch *launch, const Config *config, TrainEnd *end, Err *err)
{
    TrainRun run = {.config = config};
    char parent[24];
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    setenv(PROGRAM_PARENT_VARIABLE, parent, 1); /* children leave when this process is gone */
    signal(SIGPIPE, SIG_IGN);                   /* a closed stderr must not cost the run */
    raise_file_limit();
    int failed = uv_loop_init(&run.loop);
    if (failed)
        return err_set(err, ERR_IO, "no event loop: %s", uv_strerror(failed));
    begin(&run, launch);
    uv_run(&run.loop, UV_RUN_DEFAULT);
    log_status_line(NULL);
    observer_destroy(&run.observer);
    CHECK(uv_loop_close(&run.loop) == 0);
    *end = run.end;
    *err = run.err;
    return run.code;
}
