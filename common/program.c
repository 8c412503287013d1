#include "common/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/log.h"
#include "common/notify.h"

/* A program that is started with a standard stream closed would get a socket in its place, and
 * print into it. What fills the place can be read, so that printing fails. */
static void fill_standard_streams(void)
{
    int fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY);
    if (fd >= 0)
        close(fd);
}

static bool follow_parent(void)
{
    const char *text = getenv(PROGRAM_PARENT_VARIABLE);
    if (!text)
        return true;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* The parent may have ended before the kernel was asked. */
    return getppid() == (pid_t)strtol(text, NULL, 10);
}

int program_end_by(int signal_number)
{
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    return 128 + signal_number;
}

bool program_is_child(void)
{
    return getenv(PROGRAM_PARENT_VARIABLE) != NULL;
}

bool program_start(const char *name)
{
    fill_standard_streams();
    /* A reader that went away, and a file that grows past a limit, are errors of the write, not the
     * end of the process: the last checkpoint must still be written. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    log_set_name(name);
    notify_start();
    return follow_parent();
}
