/* A program that a command needs for a moment, such as ffmpeg: started with one pipe, to it or from
 * it, and what it says on stderr kept, for the line that tells why it failed. Nothing here waits
 * without a limit. For one thread; SIGPIPE must be ignored, as program_start() sees to. */
#ifndef POLYAK_CLI_CHILD_H
#define POLYAK_CLI_CHILD_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

typedef enum ChildPipe {
    CHILD_IS_READ,    /* the pipe is its stdout; its stdin is empty. Ctrl-C reaches it too */
    CHILD_IS_WRITTEN, /* the pipe is its stdin; its stdout goes nowhere. It leads a process group of
                         its own, so that a Ctrl-C in the terminal is left to us */
} ChildPipe;

typedef struct Child {
    const char *name; /* in messages: args[0] */
    pid_t pid;        /* 0: there is none */
    int pipe;         /* -1: closed */
    int words;        /* its stderr, a memory file; -1: none */
} Child;

/* args is NULL-terminated; args[0] is looked for as a shell does, and must live as long as the
 * child. ERR_MISSING when there is no such program, ERR_IO. */
int child_start(Child *child, char *const *args, ChildPipe direction, Err *err);

/* Writes all the bytes. ERR_IO with its last words when it has ended, or does not take them within
 * timeout_ms; ERR_STOPPED when *stop is set. The child is there still. */
int child_write(Child *child, const void *bytes, size_t num_bytes, int timeout_ms,
                const volatile sig_atomic_t *stop, Err *err);

/* Reads what it says until it closes its stdout, at most bytes_max: *text is malloc'ed and ends
 * with a zero. ERR_IO when that takes longer than timeout_ms, or when it is more. */
int child_read(Child *child, size_t bytes_max, int timeout_ms, char **text, Err *err);

/* Closes the pipe, waits for the end, and forgets the child. ERR_IO with its last words when it
 * failed, or when it did not end within timeout_ms and was killed. */
int child_end(Child *child, int timeout_ms, Err *err);

/* Ends it at once, and forgets it; does nothing where there is none. */
void child_kill(Child *child);

#endif
