#include "common/cpu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_BYTES = 4096,
    TEXT_BYTES = 16384, /* of a file in /proc or /sys */
    CPUS_MAX = 1 << 16,
};

/* Version 1 writes "no limit" as the largest multiple of the page size. */
#define V1_NO_LIMIT (INT64_C(1) << 62)

/* Both kinds of files are read with the same calls; only their names differ. */
typedef struct Controller {
    const char *v1_name; /* of the controller in /proc/self/cgroup */
    const char *limit_file[2];
    const char *usage_file[2];
    const char *cache_key[2]; /* in memory.stat */
} Controller;

static const Controller memory = {
    .v1_name = "memory",
    .limit_file = {"memory.limit_in_bytes", "memory.max"},
    .usage_file = {"memory.usage_in_bytes", "memory.current"},
    .cache_key = {"total_inactive_file ", "inactive_file "},
};

/* Reads the beginning of a file; false when there is none. */
static bool read_text(const char *path, char text[TEXT_BYTES])
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t length = fread(text, 1, TEXT_BYTES - 1, file);
    text[length] = '\0';
    fclose(file);
    return length > 0;
}

static bool read_file_in(const char *directory, const char *name, char text[TEXT_BYTES])
{
    char path[PATH_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return read_text(path, text);
}

/* Parses a number of bytes or microseconds; false for "max", -1 and the like. */
static bool parse_amount(const char *text, int64_t *amount)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (end == text || value < 0)
        return false;
    *amount = value;
    return true;
}

static int quota_cpus(int64_t quota, int64_t period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    int64_t cpus = quota / period + (quota % period != 0);
    return cpus > CPUS_MAX ? CPUS_MAX : (int)cpus;
}

int cpu_parse_max(const char *text)
{
    int64_t quota;
    int64_t period;
    const char *space = strchr(text, ' ');
    if (!space || !parse_amount(text, &quota) || !parse_amount(space + 1, &period))
        return 0;
    return quota_cpus(quota, period);
}

/* The CPU quota of one cgroup's directory; 0: none. */
static int quota_in(const char *directory, bool v2)
{
    char text[TEXT_BYTES];
    if (v2)
        return read_file_in(directory, "cpu.max", text) ? cpu_parse_max(text) : 0;
    int64_t quota;
    int64_t period;
    if (!read_file_in(directory, "cpu.cfs_quota_us", text) || !parse_amount(text, &quota) ||
        !read_file_in(directory, "cpu.cfs_period_us", text) || !parse_amount(text, &period))
        return 0;
    return quota_cpus(quota, period);
}

/* What one cgroup's directory has left of its memory limit; INT64_MAX: no limit. */
static int64_t left_in(const char *directory, bool v2)
{
    char text[TEXT_BYTES];
    int64_t limit;
    int64_t usage;
    int64_t cache = 0;
    if (!read_file_in(directory, memory.limit_file[v2], text) || !parse_amount(text, &limit) ||
        !read_file_in(directory, memory.usage_file[v2], text) || !parse_amount(text, &usage))
        return INT64_MAX;
    if (limit >= V1_NO_LIMIT)
        return INT64_MAX;
    if (read_file_in(directory, "memory.stat", text)) {
        for (char *line = text; line; line = strchr(line, '\n')) {
            line += *line == '\n';
            size_t length = strlen(memory.cache_key[v2]);
            if (strncmp(line, memory.cache_key[v2], length) == 0)
                parse_amount(line + length, &cache);
        }
    }
    int64_t used = usage > cache ? usage - cache : 0;
    return limit > used ? limit - used : 0;
}

/* Whether a comma list of controllers, such as "cpu,cpuacct", has this one. */
static bool has_controller(const char *list, const char *controller)
{
    size_t length = strlen(controller);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, controller, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* Splits a line "7:cpu,cpuacct:/path" of /proc/self/cgroup in place and writes the directory that
 * holds the controller's files. False when the line is about others. */
static bool find_directory(char *line, const char *cgroup_root, const char *controller,
                           char directory[PATH_BYTES], size_t *root_length, bool *v2)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return false;
    *controllers++ = '\0';
    *path++ = '\0';
    *v2 = controllers[0] == '\0';
    if (!*v2 && !has_controller(controllers, controller))
        return false;
    int length = snprintf(directory, PATH_BYTES, "%s%s%s", cgroup_root, *v2 ? "" : "/",
                          *v2 ? "" : controllers);
    if (length < 0 || length >= PATH_BYTES)
        return false;
    *root_length = (size_t)length;
    length = snprintf(directory + *root_length, PATH_BYTES - *root_length, "%s",
                      strcmp(path, "/") == 0 ? "" : path);
    return length >= 0 && (size_t)length < PATH_BYTES - *root_length;
}

/* Calls visit for every directory of the process's cgroups with this controller, from its own up to
 * the root: a limit holds for all below. In a container the upper part of the path may not be
 * there; those directories have no files and so no limits. */
static void visit_cgroups(const char *proc_cgroup, const char *cgroup_root, const char *controller,
                          void (*visit)(const char *directory, bool v2, void *result), void *result)
{
    char *text = strdup(proc_cgroup);
    char *rest = text;
    char *line;
    while (text && (line = strsep(&rest, "\n"))) {
        char directory[PATH_BYTES];
        size_t root_length;
        bool v2;
        if (!find_directory(line, cgroup_root, controller, directory, &root_length, &v2))
            continue;
        for (;;) {
            visit(directory, v2, result);
            char *slash = strrchr(directory + root_length, '/');
            if (!slash)
                break;
            *slash = '\0';
        }
    }
    free(text);
}

static void visit_quota(const char *directory, bool v2, void *result)
{
    int *least = result;
    int cpus = quota_in(directory, v2);
    if (cpus > 0 && (*least == 0 || cpus < *least))
        *least = cpus;
}

static void visit_memory(const char *directory, bool v2, void *result)
{
    int64_t *least = result;
    int64_t left = left_in(directory, v2);
    if (left < *least)
        *least = left;
}

int cpu_quota_count(const char *proc_cgroup, const char *cgroup_root)
{
    int least = 0;
    visit_cgroups(proc_cgroup, cgroup_root, "cpu", visit_quota, &least);
    return least;
}

int64_t memory_left_bytes(const char *proc_cgroup, const char *cgroup_root)
{
    int64_t least = INT64_MAX;
    visit_cgroups(proc_cgroup, cgroup_root, memory.v1_name, visit_memory, &least);
    return least;
}

static int affinity_count(void)
{
    /* The kernel refuses a mask that is shorter than its own. */
    for (size_t cpus = 1024; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set)
            return 1;
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return 1;
}

/* Reads "4" or "4-7" and moves *at behind it. */
static bool parse_range(const char **at, long *first, long *last)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**at))
        return false;
    *first = *last = strtol(*at, &end, 10);
    if (*end == '-') {
        *at = end + 1;
        if (!isdigit((unsigned char)**at))
            return false;
        *last = strtol(*at, &end, 10);
    }
    *at = end;
    return *first <= *last && *last < CPUS_MAX;
}

/* Writes the processors of a set as a list, cut where it does not fit. */
static void print_set(const cpu_set_t *set, size_t bytes, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < CPUS_MAX && used < text_bytes; i++) {
        size_t last = i;
        if (!CPU_ISSET_S(i, bytes, set))
            continue;
        while (last + 1 < CPUS_MAX && CPU_ISSET_S(last + 1, bytes, set))
            last++;
        used += (size_t)snprintf(text + used, text_bytes - used, last > i ? "%s%zu-%zu" : "%s%zu",
                                 used > 0 ? "," : "", i, last);
        i = last;
    }
}

static int parse_list(const char *list, cpu_set_t *set, size_t bytes, Err *err)
{
    for (const char *at = list;; at++) {
        long first = 0;
        long last = 0;
        if (!parse_range(&at, &first, &last) || (*at != ',' && *at != '\0'))
            return err_set(err, ERR_USAGE,
                           "--cpus %.100s: write processors and ranges of them, as in 0,4-7", list);
        for (long i = first; i <= last; i++)
            CPU_SET_S((size_t)i, bytes, set);
        if (*at == '\0')
            return ERR_OK;
    }
}

/* Libraries may have threads of their own before main() begins. */
static int pin_threads(const cpu_set_t *wanted, size_t bytes)
{
    int code = sched_setaffinity(0, bytes, wanted);
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry = NULL;
    while (tasks && code == 0 && (entry = readdir(tasks))) {
        pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        if (thread > 0)
            code = sched_setaffinity(thread, bytes, wanted);
    }
    if (tasks)
        closedir(tasks);
    return code;
}

/* Takes the processors of the list; `usable` is what the process has. */
static int pin(const char *list, const cpu_set_t *usable, cpu_set_t *wanted, size_t bytes, Err *err)
{
    char text[128];
    int code = parse_list(list, wanted, bytes, err);
    if (code != ERR_OK)
        return code;
    for (size_t i = 0; i < CPUS_MAX; i++) {
        if (!CPU_ISSET_S(i, bytes, wanted) || CPU_ISSET_S(i, bytes, usable))
            continue;
        print_set(usable, bytes, text, sizeof text);
        return err_set(err, ERR_USAGE, "--cpus %.100s: this process may not use %zu, but only %s",
                       list, i, text);
    }
    if (pin_threads(wanted, bytes) != 0)
        return err_set(err, ERR_USAGE, "--cpus %.100s: %s", list, strerror(errno));
    return ERR_OK;
}

int cpu_pin(const char *list, Err *err)
{
    if (list[0] == '\0')
        return ERR_OK;
    size_t bytes = CPU_ALLOC_SIZE(CPUS_MAX);
    cpu_set_t *usable = calloc(2, bytes);
    if (!usable)
        return err_set(err, ERR_NOMEM, "out of memory");
    cpu_set_t *wanted = (cpu_set_t *)((char *)usable + bytes);
    int code = sched_getaffinity(0, bytes, usable) == 0
                   ? pin(list, usable, wanted, bytes, err)
                   : err_set(err, ERR_USAGE, "--cpus: the kernel does not say which there are: %s",
                             strerror(errno));
    free(usable);
    return code;
}

int cpu_usable_count(void)
{
    int count = affinity_count();
    char text[TEXT_BYTES];
    int quota = read_text("/proc/self/cgroup", text) ? cpu_quota_count(text, "/sys/fs/cgroup") : 0;
    return quota > 0 && quota < count ? quota : count;
}

int64_t memory_available_bytes(void)
{
    int64_t available = INT64_MAX;
    char text[TEXT_BYTES];
    if (read_text("/proc/meminfo", text)) {
        const char *line = strstr(text, "MemAvailable:");
        int64_t kib;
        if (line && parse_amount(line + strlen("MemAvailable:"), &kib))
            available = kib * 1024;
    }
    if (read_text("/proc/self/cgroup", text)) {
        int64_t left = memory_left_bytes(text, "/sys/fs/cgroup");
        if (left < available)
            available = left;
    }
    return available;
}
