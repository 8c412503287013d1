/* Gives the code under test a file whose contents are the input, without a disk. For fuzz targets
 * of what reads files by their path; one thread. */
#ifndef POLYAK_TESTS_FUZZ_FUZZ_FILE_H
#define POLYAK_TESTS_FUZZ_FUZZ_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/check.h"

/* The path of a file in memory that holds these bytes, until the next call with the same `number`
 * (0 or 1). */
static inline const char *fuzz_file(int number, const void *bytes, size_t num_bytes)
{
    static int fds[2] = {-1, -1};
    static char paths[2][32];
    if (fds[number] < 0) {
        fds[number] = memfd_create("fuzz", MFD_CLOEXEC);
        CHECK(fds[number] >= 0);
        snprintf(paths[number], sizeof paths[number], "/proc/self/fd/%d", fds[number]);
    }
    CHECK(ftruncate(fds[number], 0) == 0);
    CHECK(pwrite(fds[number], bytes, num_bytes, 0) == (ssize_t)num_bytes);
    return paths[number];
}

#endif
