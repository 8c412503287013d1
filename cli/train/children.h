/* The processes of a run on this machine: one learner, its actors, an evaluator. Actors and the
 * evaluator that die are started again, and a learner that was killed: it goes on from its logs.
 * Belongs to the loop's thread.
 *
 * What always holds: once stopping has begun nothing is started any more, and every process is gone
 * within CHILDREN_KILL_MS + CHILDREN_LEAVE_MS, at worst killed. */
#ifndef POLYAK_CLI_TRAIN_CHILDREN_H
#define POLYAK_CLI_TRAIN_CHILDREN_H

#include <stdbool.h>
#include <uv.h>

#include "cli/train/process.h"
#include "common/err.h"

enum {
    CHILDREN_LEAVE_MS = 1000,  /* for leaving by themselves, once the learner is done */
    CHILDREN_KILL_MS = 10000,  /* from SIGTERM to SIGKILL */
    CHILDREN_RETURN_MS = 5000, /* before an actor that left in good order is started again */
};

typedef enum ChildKind { CHILD_LEARNER, CHILD_ACTOR, CHILD_EVALUATOR } ChildKind;

/* What is told to the owner. Only all_ended may destroy the children. */
typedef struct ChildrenSink {
    void *context;
    /* For good. */
    void (*learner_ended)(void *context, ProcessEnd end);
    /* An actor cannot be kept running; `code` is ERR_USAGE when it says that it was started
     * wrongly. */
    void (*gave_up)(void *context, int code, const char *line);
    /* The last process is gone, and none will be started. */
    void (*all_ended)(void *context);
} ChildrenSink;

typedef struct Children Children;

int children_new(uv_loop_t *loop, int children_max, const ChildrenSink *sink, Children **children,
                 Err *err);

/* No process may be running; the memory goes when the loop has closed its handles. */
void children_destroy(Children **children);

/* Takes over args (launch_free_args), also on failure. ERR_NOMEM when args is NULL. */
int children_start(Children *children, ChildKind kind, const char *name, char **args, Err *err);

/* The learner has accepted steps from the actor of that name: it works. */
void children_worked(Children *children, const char *name);

/* Whether the run still wants steps; when not, who leaves with exit code 0 stays away. */
void children_set_wanted(Children *children, bool wanted);

/* Lets all leave by themselves for CHILDREN_LEAVE_MS, then stops them. */
void children_wind_down(Children *children);

/* Sends SIGTERM to all, and SIGKILL after CHILDREN_KILL_MS. */
void children_stop(Children *children);

/* Sends SIGKILL to all. */
void children_kill(Children *children);

#endif
