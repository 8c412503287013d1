#include "cli/bench/bench_process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

enum {
    LOOK_MS = 5,
    KILL_WAIT_MS = 5000,
    /* Below the ports that the system gives to those who dial out. */
    PORT_MIN = 20000,
    PORT_MAX = 32000,
    PORT_TRIES = 100,
};

void bench_sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

/* --- Signals -----------------------------------------------------------------------------------
 */

static volatile sig_atomic_t signal_came;

static void on_signal(int signal_number)
{
    signal_came = signal_number;
}

static void set_handler(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void bench_catch_signals(void)
{
    set_handler(on_signal);
}

int bench_check_signals(Err *err)
{
    return signal_came ? err_set(err, ERR_STOPPED, "stopped by a signal") : ERR_OK;
}

/* --- Processes ---------------------------------------------------------------------------------
 */

void *bench_share(size_t bytes, Err *err)
{
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared != MAP_FAILED)
        return shared;
    err_set(err, ERR_NOMEM, "no shared memory of %zu bytes", bytes);
    return NULL;
}

void bench_unshare(void *shared, size_t bytes)
{
    if (shared)
        munmap(shared, bytes);
}

int bench_fork(int (*run)(const void *arg, int index), const void *arg, int index, pid_t *pid,
               Err *err)
{
    pid_t parent = getpid();
    fflush(NULL);
    *pid = fork();
    if (*pid == 0) {
        set_handler(SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(getppid() == parent ? run(arg, index) : 1);
    }
    if (*pid > 0)
        return ERR_OK;
    *pid = 0;
    return err_set(err, ERR_IO, "no process for the benchmark: %s", strerror(errno));
}

bool bench_has_ended(pid_t *pid)
{
    if (*pid != 0 && waitpid(*pid, NULL, WNOHANG) != 0)
        *pid = 0;
    return *pid == 0;
}

void bench_end(pid_t *pid, int signal_number, int patience_ms)
{
    if (*pid != 0 && signal_number != 0)
        kill(*pid, signal_number);
    int64_t kill_ms = clock_ms() + patience_ms;
    int64_t give_up_ms = kill_ms + KILL_WAIT_MS;
    while (!bench_has_ended(pid) && clock_ms() < give_up_ms) {
        if (clock_ms() >= kill_ms)
            kill(*pid, SIGKILL);
        bench_sleep_ms(LOOK_MS);
    }
}

void bench_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* otherwise it is as it was */
}

/* --- Ports -------------------------------------------------------------------------------------
 */

static bool is_free(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    const int yes = 1; /* as libzmq does: a port whose last connections die is free */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return bound;
}

int bench_free_ports(int *port, Err *err)
{
    static int next = 0;
    if (next == 0)
        next = PORT_MIN + (int)(getpid() * 37L % (PORT_MAX - PORT_MIN));
    for (int i = 0; i < PORT_TRIES; i++) {
        *port = next;
        next = next + 2 < PORT_MAX ? next + 2 : PORT_MIN;
        if (is_free(*port) && is_free(*port + 1))
            return ERR_OK;
    }
    return err_set(err, ERR_NET, "no free port on loopback between %d and %d", PORT_MIN, PORT_MAX);
}

/* --- What the kernel says ----------------------------------------------------------------------
 */

double bench_resident_kib(pid_t pid)
{
    char path[64];
    unsigned long size = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return NAN;
    int found = fscanf(file, "%lu %lu", &size, &resident); // NOLINT(cert-err34-c): the kernel's own
    fclose(file);
    return found == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024.0 : NAN;
}

double bench_tcp_kib(void)
{
    char line[256];
    double kib = NAN;
    FILE *file = fopen("/proc/net/sockstat", "re");
    if (!file)
        return NAN;
    while (fgets(line, sizeof line, file)) {
        const char *pages = strstr(line, " mem ");
        if (strncmp(line, "TCP:", 4) == 0 && pages)
            kib = strtod(pages + 5, NULL) * (double)sysconf(_SC_PAGESIZE) / 1024.0;
    }
    fclose(file);
    return kib;
}

static double thread_cpu_s(pid_t pid, const char *thread)
{
    char path[320];
    double ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, thread);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    char line[128] = "";
    if (fgets(line, sizeof line, file))
        ns = strtod(line, NULL);
    fclose(file);
    return ns / 1e9;
}

/* Of the processes that a thread started. */
static double children_cpu_s(pid_t pid, const char *thread)
{
    char path[320];
    double seconds = 0;
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/children", (int)pid, thread);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fscanf(file, "%d", &child) == 1) // NOLINT(cert-err34-c): the kernel's own
        seconds += bench_cpu_family_s(child);
    fclose(file);
    return seconds;
}

static double sum_threads(pid_t pid, double (*seconds_of)(pid_t pid, const char *thread))
{
    char path[64];
    double seconds = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] != '.')
            seconds += seconds_of(pid, entry->d_name);
    }
    if (directory)
        closedir(directory);
    return seconds;
}

double bench_cpu_s(pid_t pid)
{
    return sum_threads(pid, thread_cpu_s);
}

double bench_cpu_family_s(pid_t pid)
{
    return bench_cpu_s(pid) + sum_threads(pid, children_cpu_s);
}

/* --- Directories -------------------------------------------------------------------------------
 */

int bench_make_directory(const char *parent, char *path, size_t path_bytes, Err *err)
{
    int length = snprintf(path, path_bytes, "%s/polyak-bench-XXXXXX", parent);
    if (length < 0 || (size_t)length >= path_bytes)
        return err_set(err, ERR_USAGE, "--run-dir is too long");
    if (!mkdtemp(path))
        return err_set(err, ERR_USAGE, "no directory below %s: %s; choose another --run-dir",
                       parent, strerror(errno));
    return ERR_OK;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    (void)remove(path); /* what cannot go stays: the rest still goes */
    return 0;
}

void bench_remove_directory(const char *path)
{
    enum { DESCRIPTORS = 16 };
    if (path[0] != '\0')
        nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}
