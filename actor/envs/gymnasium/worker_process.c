#include "actor/envs/gymnasium/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/envs/gymnasium/worker_script.h"
#include "common/clock.h"

enum {
    MEMORY_FD = 3, /* in the worker */
    BELL_FD = 4,
    SCRIPT_FD = 5,
    LOWEST_FD = 10, /* here, so that none is where it is to be in the worker */
    WHERE_MS = 300, /* for a traceback to be printed */
    KILL_MS = 2000, /* for a killed process to be gone; one that waits for a disk is left behind */
    POLL_MS = 20,
    READS_MAX = 16,
};

/* The script comes through a descriptor, and `ps` shows a short line. */
static const char bootstrap[] =
    "exec(compile(open(5, encoding='utf-8').read(), 'polyak-worker', 'exec'))";

/* What the worker's environment has unless the user has set it. One thread per library: actors are
 * many. And an order of sets that is the same in every worker, so that equal seeds stay equal. */
static const char *const variables[] = {
    "OMP_NUM_THREADS=1",
    "OPENBLAS_NUM_THREADS=1",
    "MKL_NUM_THREADS=1",
    "PYTHONHASHSEED=0",
};
enum { NUM_VARIABLES = sizeof variables / sizeof variables[0] };

/* A copy of the environment with `variables`; only the array is to be freed. */
static char **worker_environment(void)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **copy = calloc(count + NUM_VARIABLES + 1, sizeof *copy);
    if (!copy)
        return NULL;
    memcpy(copy, environ, count * sizeof *copy);
    for (size_t i = 0; i < NUM_VARIABLES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(variables[i], "="), variables[i]);
        if (!getenv(name))
            copy[count++] = (char *)(uintptr_t)variables[i];
    }
    return copy;
}

/* Moves a descriptor out of the way of the worker's; it is closed on exec. */
static int moved(int fd)
{
    if (fd < 0)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
    close(fd);
    return high;
}

static int script_fd(void)
{
    int fd = moved(memfd_create("polyak-worker.py", MFD_CLOEXEC));
    if (fd < 0)
        return fd;
    size_t bytes = (size_t)worker_script_bytes;
    if (write(fd, worker_script, bytes) != (ssize_t)bytes || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Where the worker's descriptors come from. */
typedef struct Sources {
    int memory, bell, script, output, output_end;
} Sources;

static void close_sources(const Sources *sources)
{
    const int fds[] = {sources->memory, sources->bell, sources->script, sources->output};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static int open_sources(Sources *sources, int memory_fd, int bell_fd)
{
    int pipe_ends[2] = {-1, -1};
    *sources = (Sources){.memory = fcntl(memory_fd, F_DUPFD_CLOEXEC, LOWEST_FD),
                         .bell = fcntl(bell_fd, F_DUPFD_CLOEXEC, LOWEST_FD),
                         .script = script_fd(),
                         .output = -1};
    int rc = pipe2(pipe_ends, O_CLOEXEC);
    sources->output = moved(pipe_ends[1]);
    sources->output_end = pipe_ends[0];
    if (rc == 0 && sources->memory >= 0 && sources->bell >= 0 && sources->script >= 0 &&
        sources->output >= 0 && fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) == 0)
        return ERR_OK;
    rc = errno;
    close_sources(sources);
    if (pipe_ends[0] >= 0)
        close(pipe_ends[0]);
    errno = rc;
    return ERR_IO;
}

/* Nothing of this process but what is named: no sockets, no blocked or ignored signals. */
static int spawn(pid_t *pid, const char *python, char *const *argv, char *const *env,
                 const Sources *sources)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, ignored;
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    sigaddset(&ignored, SIGXFSZ);
    sigaddset(&ignored, SIGCHLD);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, sources->output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, sources->output, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&files, sources->memory, MEMORY_FD);
    posix_spawn_file_actions_adddup2(&files, sources->bell, BELL_FD);
    posix_spawn_file_actions_adddup2(&files, sources->script, SCRIPT_FD);
    posix_spawn_file_actions_addclosefrom_np(&files, SCRIPT_FD + 1);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ignored);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    int error = posix_spawnp(pid, python, &files, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

int worker_process_start(WorkerProcess *process, const char *python, const char *prefix,
                         const char *id, const char *options, int memory_fd, int bell_fd, Err *err)
{
    *process = (WorkerProcess){.output_fd = -1};
    worker_output_init(&process->output, prefix);
    char parent[16];
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    const char *const argv[] = {python,    "-u", "-X",    "faulthandler", "-c",
                                bootstrap, id,   options, parent,         NULL};
    Sources sources;
    char **env = worker_environment();
    if (!env)
        return err_set(err, ERR_NOMEM, "no memory for a Python worker");
    if (open_sources(&sources, memory_fd, bell_fd) != ERR_OK) {
        free(env);
        return err_set(err, ERR_IO, "no descriptors for a Python worker: %s", strerror(errno));
    }
    int error = spawn(&process->pid, python, (char *const *)(uintptr_t)argv, env, &sources);
    close_sources(&sources);
    free(env);
    if (error == 0) {
        process->output_fd = sources.output_end;
        return ERR_OK;
    }
    process->pid = 0;
    close(sources.output_end);
    if (error == ENOENT || error == EACCES || error == ENOTDIR || error == ENOEXEC)
        return err_set(err, ERR_MISSING,
                       "%.150s: the Python %.100s cannot be run (%s): install Python, or name one "
                       "that has gymnasium, as in --python .venv/bin/python",
                       prefix, python, strerror(error));
    return err_set(err, ERR_IO, "%.150s: %.100s cannot be started: %s", prefix, python,
                   strerror(error));
}

void worker_process_listen(WorkerProcess *process)
{
    char bytes[4096];
    for (int i = 0; i < READS_MAX && process->output_fd >= 0; i++) {
        ssize_t got = read(process->output_fd, bytes, sizeof bytes);
        if (got > 0) {
            worker_output_take(&process->output, bytes, (size_t)got);
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else {
            if (got == 0 || errno != EAGAIN) {
                close(process->output_fd);
                process->output_fd = -1;
            }
            return;
        }
    }
}

bool worker_process_ended(const WorkerProcess *process)
{
    siginfo_t info = {0};
    if (process->pid == 0)
        return true;
    /* Not found: somebody has set this program to ignore the ends of its children. */
    return waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid != 0;
}

/* Logs what it prints until it ends, or the time is up. */
static void listen_for(WorkerProcess *process, int duration_ms)
{
    int64_t end_ms = clock_ms() + duration_ms;
    while (!worker_process_ended(process)) {
        int64_t left_ms = end_ms - clock_ms();
        if (left_ms <= 0)
            return;
        struct pollfd output = {.fd = process->output_fd, .events = POLLIN};
        poll(&output, 1, left_ms < POLL_MS ? (int)left_ms : POLL_MS);
        worker_process_listen(process);
    }
}

void worker_process_ask_where(WorkerProcess *process)
{
    worker_output_allow(&process->output);
    kill(process->pid, SIGUSR1); /* faulthandler prints where it is */
    listen_for(process, WHERE_MS);
}

static void describe(int status, char *how, size_t how_bytes)
{
    if (WIFSIGNALED(status))
        snprintf(how, how_bytes, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, how_bytes, "ended with exit code %d", WEXITSTATUS(status));
}

void worker_process_end(WorkerProcess *process, int grace_ms, char *how, size_t how_bytes)
{
    int status = 0;
    snprintf(how, how_bytes, "is gone");
    if (process->pid == 0)
        return;
    listen_for(process, grace_ms);
    /* As long as it is not waited for, the group is its own and nobody else's. */
    kill(-process->pid, SIGKILL);
    worker_output_allow(&process->output);
    listen_for(process, KILL_MS);
    if (waitpid(process->pid, &status, WNOHANG) == process->pid)
        describe(status, how, how_bytes);
    worker_process_listen(process);
    worker_output_end(&process->output);
    if (process->output_fd >= 0)
        close(process->output_fd);
    process->output_fd = -1;
    process->pid = 0;
}
