#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"

enum {
    LOOK_MS = 5,          /* between two looks whether it has ended */
    STOP_LOOK_MS = 100,   /* a signal that comes just before a wait is seen after this */
    WORDS_BYTES = 4096,   /* of its stderr's end, among which its last line is looked for */
    WORDS_SHOWN = 301,    /* of that line, with the terminating zero */
    READ_BYTES = 1 << 16, /* that are read at once */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- Start -------------------------------------------------------------------------------------
 */

/* What the child has for stdin, stdout and stderr, and how it is to take signals. */
static int spawn(Child *child, char *const *args, ChildPipe direction, int its_end)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    bool written = direction == CHILD_IS_WRITTEN;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int other = written ? STDOUT_FILENO : STDIN_FILENO;
    int failed = posix_spawn_file_actions_addopen(&actions, other, "/dev/null", O_RDWR, 0);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(&actions, its_end,
                                                  written ? STDIN_FILENO : STDOUT_FILENO);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(&actions, child->words, STDERR_FILENO);
    sigemptyset(&defaults); /* what program_start() ignores, and we may catch */
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGXFSZ);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, (short)(POSIX_SPAWN_SETSIGDEF | (written ? POSIX_SPAWN_SETPGROUP : 0)));
    if (!failed)
        failed = posix_spawnp(&child->pid, args[0], &actions, &attributes, args, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

int child_start(Child *child, char *const *args, ChildPipe direction, Err *err)
{
    int ends[2];
    *child = (Child){.name = args[0], .pipe = -1, .words = -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, "no pipe to %.100s: %s", args[0], strerror(errno));
    bool written = direction == CHILD_IS_WRITTEN;
    child->pipe = ends[written ? 1 : 0];
    int its_end = ends[written ? 0 : 1];
    child->words = memfd_create("stderr", MFD_CLOEXEC);
    int failed = child->words < 0 || fcntl(child->pipe, F_SETFL, O_NONBLOCK) != 0 ? errno : 0;
    if (!failed)
        failed = spawn(child, args, direction, its_end);
    close_fd(&its_end);
    if (!failed)
        return ERR_OK;
    child->pid = 0;
    close_fd(&child->pipe);
    close_fd(&child->words);
    bool missing = failed == ENOENT || failed == ENOTDIR;
    return err_set(err, missing ? ERR_MISSING : ERR_IO, "%.200s cannot be started: %s", args[0],
                   missing ? "there is no such program" : strerror(failed));
}

/* --- End ---------------------------------------------------------------------------------------
 */

/* The last line that it said, as one that ends; "" when it said nothing. */
static void last_words(const Child *child, char line[WORDS_SHOWN])
{
    char words[WORDS_BYTES + 1];
    off_t length = lseek(child->words, 0, SEEK_END);
    off_t from = length > WORDS_BYTES ? length - WORDS_BYTES : 0;
    ssize_t got = length > 0 ? pread(child->words, words, WORDS_BYTES, from) : 0;
    if (got < 0)
        got = 0;
    while (got > 0 && strchr(" \t\r\n", words[got - 1]))
        got--;
    words[got] = '\0';
    const char *newline = strrchr(words, '\n');
    text_excerpt(newline ? newline + 1 : words, line, WORDS_SHOWN);
}

static int failure(const Child *child, int status, Err *err)
{
    char line[WORDS_SHOWN];
    last_words(child, line);
    if (line[0] != '\0')
        return err_set(err, ERR_IO, "%.100s: %s", child->name, line);
    if (WIFSIGNALED(status))
        return err_set(err, ERR_IO, "%.100s was killed by signal %d (%s)", child->name,
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
    return err_set(err, ERR_IO, "%.100s failed with exit code %d", child->name,
                   WEXITSTATUS(status));
}

void child_kill(Child *child)
{
    if (child->pid == 0)
        return;
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close_fd(&child->pipe);
    close_fd(&child->words);
    child->pid = 0;
}

int child_end(Child *child, int timeout_ms, Err *err)
{
    int64_t deadline_ms = clock_ms() + timeout_ms;
    int status = 0;
    close_fd(&child->pipe);
    while (waitpid(child->pid, &status, WNOHANG) == 0) {
        if (clock_ms() >= deadline_ms) {
            child_kill(child);
            return err_set(err, ERR_IO, "%.100s did not end within %d s", child->name,
                           timeout_ms / 1000);
        }
        poll(NULL, 0, LOOK_MS);
    }
    int code = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? ERR_OK : failure(child, status, err);
    close_fd(&child->words);
    child->pid = 0;
    return code;
}

/* --- The pipe ----------------------------------------------------------------------------------
 */

/* It went away in the middle: why, as far as it says. */
static int gone(const Child *child, Err *err)
{
    char line[WORDS_SHOWN];
    poll(NULL, 0, LOOK_MS); /* its last words may come behind the end of its pipe */
    last_words(child, line);
    return err_set(err, ERR_IO, "%.100s: %s", child->name,
                   line[0] ? line : "it ended in the middle");
}

int child_write(Child *child, const void *bytes, size_t num_bytes, int timeout_ms,
                const volatile sig_atomic_t *stop, Err *err)
{
    const char *from = bytes;
    int64_t deadline_ms = clock_ms() + timeout_ms;
    while (num_bytes > 0) {
        if (*stop)
            return err_set(err, ERR_STOPPED, "stopped");
        ssize_t written = write(child->pipe, from, num_bytes);
        if (written > 0) {
            from += written;
            num_bytes -= (size_t)written;
            deadline_ms = clock_ms() + timeout_ms;
            continue;
        }
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            return gone(child, err);
        if (clock_ms() >= deadline_ms)
            return err_set(err, ERR_IO, "%.100s has taken nothing for %d s", child->name,
                           timeout_ms / 1000);
        struct pollfd writable = {.fd = child->pipe, .events = POLLOUT};
        poll(&writable, 1, STOP_LOOK_MS);
    }
    return ERR_OK;
}

int child_read(Child *child, size_t bytes_max, int timeout_ms, char **text, Err *err)
{
    int64_t deadline_ms = clock_ms() + timeout_ms;
    size_t used = 0;
    int code = ERR_OK;
    *text = NULL;
    while (!code) {
        char *larger = realloc(*text, used + READ_BYTES + 1);
        if (!larger) {
            code = err_set(err, ERR_NOMEM, "not enough memory for what %.100s says", child->name);
            break;
        }
        *text = larger;
        ssize_t got = read(child->pipe, *text + used, READ_BYTES);
        if (got == 0)
            break;
        if (got > 0)
            used += (size_t)got;
        else if (errno != EAGAIN && errno != EINTR)
            code = err_set(err, ERR_IO, "%.100s cannot be read: %s", child->name, strerror(errno));
        int64_t left_ms = deadline_ms - clock_ms();
        if (used > bytes_max)
            code = err_set(err, ERR_IO, "%.100s says more than %zu bytes", child->name, bytes_max);
        else if (left_ms <= 0)
            code = err_set(err, ERR_IO, "%.100s does not answer within %.1f s", child->name,
                           timeout_ms / 1000.0);
        struct pollfd readable = {.fd = child->pipe, .events = POLLIN};
        if (!code && got < 0)
            poll(&readable, 1, (int)left_ms);
    }
    if (code) {
        free(*text);
        *text = NULL;
        return code;
    }
    (*text)[used] = '\0';
    return ERR_OK;
}
