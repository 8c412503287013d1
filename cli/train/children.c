#include "cli/train/children.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/train/launch.h"
#include "cli/train/restart.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"

typedef struct Child {
    Children *children;
    ChildKind kind;
    char name[PROCESS_NAME_MAX + 1];
    char **args;
    Process *process; /* NULL while it does not run */
    uv_timer_t again; /* runs while it waits to be started again */
    Restart restart;
    int64_t started_ms;
    bool worked; /* since it was started */
} Child;

typedef enum Phase { PHASE_RUNNING, PHASE_LEAVING, PHASE_STOPPING, PHASE_KILLED } Phase;

struct Children {
    uv_loop_t *loop;
    ChildrenSink sink;
    Phase phase;
    bool wanted;
    bool all_ended_told;
    bool released;
    uv_timer_t deadline; /* of the phase */
    int handles_open;
    int num_children;
    int children_max;
    Child list[]; /* (children_max) */
};

/* --- Life of the set ---------------------------------------------------------------------------
 */

int children_new(uv_loop_t *loop, int children_max, const ChildrenSink *sink, Children **children,
                 Err *err)
{
    Children *self = calloc(1, sizeof *self + (size_t)children_max * sizeof self->list[0]);
    *children = self;
    if (!self)
        return err_set(err, ERR_NOMEM, "not enough memory for %d child processes", children_max);
    self->loop = loop;
    self->sink = *sink;
    self->wanted = true;
    self->children_max = children_max;
    self->deadline.data = self;
    uv_timer_init(loop, &self->deadline);
    self->handles_open = 1;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    Children *self = handle->data;
    if (--self->handles_open == 0)
        free(self);
}

static void on_again_closed(uv_handle_t *handle)
{
    Child *child = handle->data;
    handle->data = child->children;
    on_closed(handle);
}

void children_destroy(Children **children)
{
    Children *self = *children;
    if (!self)
        return;
    *children = NULL;
    for (int i = 0; i < self->num_children; i++) {
        CHECK(!self->list[i].process);
        launch_free_args(self->list[i].args);
        uv_close((uv_handle_t *)&self->list[i].again, on_again_closed);
    }
    uv_close((uv_handle_t *)&self->deadline, on_closed);
}

static void tell_if_all_ended(Children *self)
{
    if (self->phase == PHASE_RUNNING || self->all_ended_told)
        return;
    for (int i = 0; i < self->num_children; i++)
        if (self->list[i].process)
            return;
    self->all_ended_told = true;
    uv_timer_stop(&self->deadline);
    self->sink.all_ended(self->sink.context);
}

/* --- One child ---------------------------------------------------------------------------------
 */

static void on_process_ended(void *owner, Process *process, ProcessEnd end);
static void on_again(uv_timer_t *timer);

static int start(Child *child, Err *err)
{
    child->worked = false;
    child->started_ms = clock_ms();
    return process_start(child->children->loop, child->name, child->args, on_process_ended, child,
                         &child->process, err);
}

int children_start(Children *children, ChildKind kind, const char *name, char **args, Err *err)
{
    if (!args)
        return err_set(err, ERR_NOMEM, "not enough memory to start %s", name);
    CHECK(children->num_children < children->children_max);
    Child *child = &children->list[children->num_children++];
    child->children = children;
    child->kind = kind;
    child->args = args;
    snprintf(child->name, sizeof child->name, "%s", name);
    uv_timer_init(children->loop, &child->again);
    child->again.data = child;
    children->handles_open++;
    return start(child, err);
}

static void give_up(Child *child, int code, const char *reason)
{
    char line[300];
    if (code == ERR_USAGE)
        snprintf(line, sizeof line, "%s was started wrongly; its line above says how", child->name);
    else
        snprintf(line, sizeof line,
                 "%s fails again and again (%d times within %d s), at last: it %s", child->name,
                 RESTART_FAILURES_MAX, RESTART_WINDOW_MS / 1000, reason);
    child->children->sink.gave_up(child->children->sink.context, code, line);
}

/* A child has failed: again after a while, unless that is hopeless. */
static void start_again_later(Child *child, const char *reason)
{
    int delay_ms = restart_after(&child->restart, child->started_ms, clock_ms(), child->worked);
    if (delay_ms < 0) {
        give_up(child, ERR_STOPPED, reason);
        return;
    }
    log_warn("%s %s; starting it again in %.1f s", child->name, reason, delay_ms / 1000.0);
    uv_timer_start(&child->again, on_again, (uint64_t)delay_ms, 0);
}

static void on_again(uv_timer_t *timer)
{
    Child *child = timer->data;
    Err err;
    if (start(child, &err))
        start_again_later(child, err.text);
}

static void on_return(uv_timer_t *timer)
{
    Child *child = timer->data;
    if (!child->children->wanted)
        return;
    log_warn("%s has left, but the run goes on; starting it again", child->name);
    on_again(timer);
}

static void on_ended_while_running(Child *child, ProcessEnd end)
{
    Children *self = child->children;
    char reason[PROCESS_END_TEXT_MAX + 1];
    process_end_text(end, reason);
    /* A learner that was killed goes on from its logs, and its actors wait for it. One that ended
     * by itself has said why, and would do the same again. */
    if (child->kind == CHILD_LEARNER && end.signal == 0)
        self->sink.learner_ended(self->sink.context, end);
    else if (end.signal == 0 && end.exit_code == 0)
        uv_timer_start(&child->again, on_return, CHILDREN_RETURN_MS, 0);
    else if (end.signal == 0 && end.exit_code == 2)
        give_up(child, ERR_USAGE, reason);
    else
        start_again_later(child, reason);
}

static void on_process_ended(void *owner, Process *process, ProcessEnd end)
{
    Child *child = owner;
    Children *self = child->children;
    process_destroy(&process);
    child->process = NULL;
    if (self->phase == PHASE_RUNNING) {
        on_ended_while_running(child, end);
    } else if (end.exit_code != 0 || (end.signal != 0 && end.signal != SIGTERM)) {
        char reason[PROCESS_END_TEXT_MAX + 1];
        if (self->phase != PHASE_KILLED)
            log_warn("%s %s while stopping", child->name, process_end_text(end, reason));
    }
    tell_if_all_ended(self);
}

/* --- The end -----------------------------------------------------------------------------------
 */

static void signal_all(Children *self, int signal_number)
{
    for (int i = 0; i < self->num_children; i++)
        if (self->list[i].process)
            process_signal(self->list[i].process, signal_number);
}

static void on_deadline(uv_timer_t *timer)
{
    Children *self = timer->data;
    if (self->phase == PHASE_LEAVING) {
        children_stop(self);
        return;
    }
    for (int i = 0; i < self->num_children; i++)
        if (self->list[i].process)
            log_warn("%s has not stopped within %d s; killing it", self->list[i].name,
                     CHILDREN_KILL_MS / 1000);
    children_kill(self);
}

/* Enters a later phase; returns whether it is one. */
static bool enter(Children *self, Phase phase, int deadline_ms)
{
    if (phase <= self->phase)
        return false;
    self->phase = phase;
    for (int i = 0; i < self->num_children; i++)
        uv_timer_stop(&self->list[i].again);
    uv_timer_stop(&self->deadline);
    if (deadline_ms > 0)
        uv_timer_start(&self->deadline, on_deadline, (uint64_t)deadline_ms, 0);
    return true;
}

void children_wind_down(Children *children)
{
    if (enter(children, PHASE_LEAVING, CHILDREN_LEAVE_MS))
        tell_if_all_ended(children);
}

void children_stop(Children *children)
{
    if (!enter(children, PHASE_STOPPING, CHILDREN_KILL_MS))
        return;
    signal_all(children, SIGTERM);
    tell_if_all_ended(children);
}

void children_kill(Children *children)
{
    if (!enter(children, PHASE_KILLED, 0))
        return;
    signal_all(children, SIGKILL);
    tell_if_all_ended(children);
}

/* --- What the status tells ---------------------------------------------------------------------
 */

void children_worked(Children *children, const char *name)
{
    for (int i = 0; i < children->num_children; i++)
        if (strcmp(children->list[i].name, name) == 0)
            children->list[i].worked = true;
}

void children_set_wanted(Children *children, bool wanted)
{
    children->wanted = wanted;
}
