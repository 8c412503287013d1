/* What the network benchmarks are made of: processes of their own, the memory that they share, and
 * what the kernel says of them. For the main thread, while it has no ZeroMQ context: a process that
 * is forked then is as good as a new one.
 *
 * What is forked here dies with this process. */
#ifndef POLYAK_CLI_BENCH_BENCH_PROCESS_H
#define POLYAK_CLI_BENCH_BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

/* Memory that starts as zeros and is shared with what is forked later. NULL with err set. */
void *bench_share(size_t bytes, Err *err);
void bench_unshare(void *shared, size_t bytes);

/* A process that runs run(arg, index) and ends with what it returns. */
int bench_fork(int (*run)(const void *arg, int index), const void *arg, int index, pid_t *pid,
               Err *err);

/* Whether a process has ended; then *pid is 0. A process that is 0 has ended. */
bool bench_has_ended(pid_t *pid);

/* Sends a signal (0: none), and ends the process for good when it is still there after a while. */
void bench_end(pid_t *pid, int signal_number, int patience_ms);

/* Also returns when a signal comes. */
void bench_sleep_ms(int ms);

/* From now on SIGINT and SIGTERM only end waits, so that what was made can be removed. Not for what
 * is forked. */
void bench_catch_signals(void);

/* ERR_STOPPED once one came. */
int bench_check_signals(Err *err);

/* As many descriptors as the system gives: a connection takes up to three. */
void bench_raise_descriptors(void);

/* Two ports of loopback TCP, `port` and the next, that were free a moment ago. */
int bench_free_ports(int *port, Err *err);

/* Resident memory of a process, and the memory of all TCP sockets of this machine, in KiB; NaN when
 * the kernel does not say. */
double bench_resident_kib(pid_t pid);
double bench_tcp_kib(void);

/* CPU time that a process has used, all its threads together, in seconds. */
double bench_cpu_s(pid_t pid);

/* The same with all processes that descend from it and live. */
double bench_cpu_family_s(pid_t pid);

/* A new directory below `parent`; and away with it and all that is in it. */
int bench_make_directory(const char *parent, char *path, size_t path_bytes, Err *err);
void bench_remove_directory(const char *path);

#endif
