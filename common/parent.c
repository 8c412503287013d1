#include "common/parent.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

bool parent_follow(void)
{
    const char *text = getenv(PARENT_PID_VARIABLE);
    if (!text)
        return true;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* The parent may have ended before the kernel was asked. */
    return getppid() == (pid_t)strtol(text, NULL, 10);
}
