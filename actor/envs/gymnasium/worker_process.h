/* A child process that runs Python: started, watched, and ended with all that it started. It has a
 * process group of its own, so that an interrupt of the terminal reaches this program alone, and
 * dies with this process, whatever that dies of. */
#ifndef POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_PROCESS_H
#define POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "actor/envs/gymnasium/worker_output.h"
#include "common/err.h"

typedef struct WorkerProcess {
    pid_t pid;     /* 0: none */
    int output_fd; /* what it prints; -1: nothing comes any more */
    WorkerOutput output;
} WorkerProcess;

/* Starts `python` with the script in worker.py, which finds the memory as descriptor 3, the bell as
 * 4. `prefix` stands before what it prints. ERR_MISSING when there is no such Python, ERR_IO. */
int worker_process_start(WorkerProcess *process, const char *python, const char *prefix,
                         const char *id, const char *options, int memory_fd, int bell_fd, Err *err);

/* Logs what it has printed, as far as it is there. */
void worker_process_listen(WorkerProcess *process);

/* Whether it has ended; it is not waited for, and its process id stays its own. */
bool worker_process_ended(const WorkerProcess *process);

/* Asks it to print where it is, for one that hangs, and waits a moment for that. */
void worker_process_ask_where(WorkerProcess *process);

/* Waits up to grace_ms for its end, then kills it and all of its group. Writes how it ended, such
 * as "was killed by signal 9 (Killed)", into `how`. */
void worker_process_end(WorkerProcess *process, int grace_ms, char *how, size_t how_bytes);

#endif
