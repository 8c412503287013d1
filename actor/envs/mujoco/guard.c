/* MuJoCo hands errors that it cannot return, and warnings, to one log handler of the process, and
 * ends the process when that returns from an error. So ours jumps back to mujoco_guard, as MuJoCo's
 * own Python bindings do. The default handler would also write MUJOCO_LOG.TXT into the working
 * directory. What warnings in a step warn of is counted in mjData, where sim.c looks; those of the
 * compiler are about a model's age, not about its numbers. So warnings are dropped. */
#include <ctype.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/envs/mujoco/model.h"
#include "common/text.h"

static _Thread_local struct {
    jmp_buf *back; /* NULL outside mujoco_guard */
    char message[256];
} guard;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static mjfLogHandler earlier; /* the handler before ours */

void mujoco_one_line(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    for (char *c = text; *c; c++)
        if (isspace((unsigned char)*c))
            *c = ' ';
}

static void on_log(const mjLogMessage *message)
{
    if (message->level != mjLOG_ERROR)
        return;
    if (!guard.back) { /* not from a call of ours */
        if (earlier)
            earlier(message);
        return;
    }
    snprintf(guard.message, sizeof guard.message, "%.*s", (int)sizeof guard.message - 1,
             message->subject);
    mujoco_one_line(guard.message);
    longjmp(*guard.back, 1);
}

static void install(void)
{
    earlier = mju_setLogHandler(on_log);
}

/* The module may be unloaded before MuJoCo is. A handler that came after ours stays. */
__attribute__((destructor)) static void uninstall(void)
{
    mjfLogHandler present = mju_setLogHandler(earlier);
    if (present != on_log)
        mju_setLogHandler(present);
}

int mujoco_guard(void (*run)(void *), void *arg, Err *err)
{
    pthread_once(&once, install);
    jmp_buf back;
    char shown[sizeof guard.message];
    if (setjmp(back) != 0) {
        guard.back = NULL;
        return err_set(err, ERR_ENV, "MuJoCo: %s",
                       text_excerpt(guard.message, shown, sizeof shown));
    }
    guard.back = &back;
    run(arg);
    guard.back = NULL;
    return ERR_OK;
}
