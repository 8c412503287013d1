/* Following a parent process: a program that `polyak train` starts ends when train ends, also when
 * train was killed. */
#ifndef POLYAK_COMMON_PARENT_H
#define POLYAK_COMMON_PARENT_H

#include <stdbool.h>

#define PARENT_PID_VARIABLE "POLYAK_PARENT_PID"

/* Where the environment names a parent: asks the kernel for SIGTERM when it ends. False when it has
 * ended already. To be called first in main(). */
bool parent_follow(void);

#endif
