/* What the machine really gives this process: processors and memory, after affinity masks and
 * cgroup limits. A container on a machine with 64 processors may own two of them.
 *
 * Reads /proc and /sys at every call, so ask at start and not in a loop; any thread. */
#ifndef POLYAK_COMMON_CPU_H
#define POLYAK_COMMON_CPU_H

#include <stdint.h>

#include "common/err.h"

/* Keeps the process on these processors: "0,4-7"; empty: nothing is changed. To be called
 * before it starts threads; they and child processes inherit it, and cpu_usable_count() follows it.
 * ERR_USAGE for what is no such list, and for processors that the process may not use. */
int cpu_pin(const char *list, Err *err);

/* Processors that the process may use: the affinity mask, and the CPU quota of its cgroups (version
 * 1 and 2) rounded up. At least 1. */
int cpu_usable_count(void);

/* Bytes that the process can still take: the least of MemAvailable and what each of its cgroups has
 * left (the page cache that it can drop counts as left). INT64_MAX when nothing can be learned. */
int64_t memory_available_bytes(void);

/* The parts, with the text of /proc/self/cgroup and the directory of the cgroup file systems. */

/* Processors of the tightest quota, rounded up; 0 when there is none. */
int cpu_quota_count(const char *proc_cgroup, const char *cgroup_root);

/* INT64_MAX when there is no limit. */
int64_t memory_left_bytes(const char *proc_cgroup, const char *cgroup_root);

/* Processors of a cpu.max line, "quota period" or "max period", rounded up; 0: no limit. */
int cpu_parse_max(const char *text);

#endif
