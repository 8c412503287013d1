/* MuJoCo reports an error that it cannot return through a handler, and ends the process when the
 * handler returns. So ours jumps back to mujoco_guard, as MuJoCo's own Python bindings do. Its
 * warnings would be written to MUJOCO_LOG.TXT in the working directory; what they warn of is
 * counted in mjData, where sim.c looks, so they are dropped. */
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

static void on_error(const char *message)
{
    text_excerpt(message, guard.message, sizeof guard.message);
    if (guard.back)
        longjmp(*guard.back, 1);
    fprintf(stderr, "mujoco: %s\n", guard.message); /* not from a call of ours */
}

static void on_warning(const char *message)
{
    (void)message;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void install(void)
{
    mju_user_error = on_error;
    mju_user_warning = on_warning;
}

/* The module may be unloaded before MuJoCo is. */
__attribute__((destructor)) static void uninstall(void)
{
    if (mju_user_error == on_error)
        mju_user_error = NULL;
    if (mju_user_warning == on_warning)
        mju_user_warning = NULL;
}

int mujoco_guard(void (*run)(void *), void *arg, Err *err)
{
    pthread_once(&once, install);
    jmp_buf back;
    if (setjmp(back) != 0) {
        guard.back = NULL;
        return err_set(err, ERR_ENV, "MuJoCo: %s", guard.message);
    }
    guard.back = &back;
    run(arg);
    guard.back = NULL;
    return ERR_OK;
}
