/* What every program of ours does first: sound standard streams, errors in place of deadly signals,
 * a name in the log, the service manager's wishes, and following a parent. */
#ifndef POLYAK_COMMON_PROGRAM_H
#define POLYAK_COMMON_PROGRAM_H

#include <stdbool.h>

/* Names the process that a program follows: it ends when that one ends, also when it was killed. So
 * nothing that `polyak train` started outlives it. */
#define PROGRAM_PARENT_VARIABLE "POLYAK_PARENT_PID"

/* To be called first in main(). False when the parent to follow has ended already. */
bool program_start(const char *name);

/* The end of main() for a program that a signal told to end, and that did so in order: it ends by
 * that signal, so that its caller sees it. As the first process of a container it cannot, since the
 * kernel passes over signals without a handler there: then what a shell would show is returned. */
int program_end_by(int signal_number);

/* Whether it was started by another program of ours, and not by a person. */
bool program_is_child(void);

#endif
