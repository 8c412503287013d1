/* Makes the n-th file operation of the code under test fail, as a full or dying disk would.
 *
 * A test whose name ends in _fault_test.c is linked so that open, openat, write, pwrite, writev,
 * fsync, fdatasync, ftruncate, rename, close and unlink go through here (the linker's --wrap), from
 * this program's own objects only: libraries and the C library's streams are as ever. Counted and
 * failed only between fault_io_start() and fault_io_stop(). One thread. */
#ifndef POLYAK_TESTS_COMMON_FAULT_IO_H
#define POLYAK_TESTS_COMMON_FAULT_IO_H

#include <stdbool.h>
#include <sys/types.h>

enum { FAULT_CALLS_MAX = 512 };

typedef enum FaultWay {
    FAULT_NONE,   /* calls are counted only */
    FAULT_ONCE,   /* call n fails, and is not done */
    FAULT_ONWARD, /* call n and all after it; but a full disk (ENOSPC) can close and delete */
    FAULT_SHORT,  /* call n writes a part, where it writes; else it is as ever */
} FaultWay;

typedef struct FaultCall {
    const char *name; /* of the system call */
    int error;        /* 0: it succeeded */
    ino_t inode;      /* of its open file; 0 where there is none */
} FaultCall;

/* n from 1. A close that fails has closed all the same, as on Linux. */
void fault_io_start(FaultWay way, int n, int error);

/* The number of calls since fault_io_start(); no more are counted. */
int fault_io_stop(void);

/* Call n of the last start, n from 1. */
const FaultCall *fault_io_call(int n);

/* Whether a file was written or synced again after a sync of it had failed: what was lost then
 * would look as if it were there. */
bool fault_io_trusted_a_failed_sync(void);

#endif
