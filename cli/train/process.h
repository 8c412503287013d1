/* One child process under libuv: started with stdin from /dev/null, its output printed line by line
 * as log lines, its end reported once. Belongs to the loop's thread.
 *
 * A process leads a session of its own, so a Ctrl-C in the terminal reaches only its parent, which
 * ends its children in order. Lines that carry a time already are printed as they are; others get
 * the process's name in front. */
#ifndef POLYAK_CLI_TRAIN_PROCESS_H
#define POLYAK_CLI_TRAIN_PROCESS_H

#include <stdint.h>
#include <uv.h>

#include "common/err.h"

enum { PROCESS_NAME_MAX = 31, PROCESS_END_TEXT_MAX = 95 };

/* How a process ended: by a signal when it is not 0, else with an exit code. */
typedef struct ProcessEnd {
    int64_t exit_code;
    int signal;
} ProcessEnd;

typedef struct Process Process;

/* Called when the process has ended and its output is printed. It may destroy the process. */
typedef void (*ProcessEnded)(void *owner, Process *process, ProcessEnd end);

/* args is NULL-terminated, args[0] the program's path; only used during the call. */
int process_start(uv_loop_t *loop, const char *name, char **args, ProcessEnded ended, void *owner,
                  Process **process, Err *err);

/* Releases it; the memory goes when the loop has closed its handles. The process must have ended.
 */
void process_destroy(Process **process);

void process_signal(Process *process, int signal_number);

/* "was killed by signal 11 (Segmentation fault)" or "failed with exit code 1" into text
 * (PROCESS_END_TEXT_MAX + 1 bytes); returns text. */
const char *process_end_text(ProcessEnd end, char *text);

#endif
