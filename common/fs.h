/* Files and directories: the few operations that must be right on a crash. */
#ifndef POLYAK_COMMON_FS_H
#define POLYAK_COMMON_FS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { FS_PATH_MAX = 4096 };

/* Makes a directory and its parents; fine when it is there. */
int fs_make_dirs(const char *path, Err *err);

/* Temporary file, fsync, rename, fsync of the directory. */
int fs_write_file(const char *path, const void *bytes, size_t num_bytes, Err *err);

/* Reads a whole file of at most bytes_max; *bytes is malloc'ed, with a zero byte after the last. */
int fs_read_file(const char *path, size_t bytes_max, char **bytes, size_t *num_bytes, Err *err);

bool fs_exists(const char *path);

/* Takes an exclusive lock on path (made when missing), held until fs_unlock or the process's end.
 * ERR_BUSY when another process has it. */
int fs_lock(const char *path, int *fd, Err *err);
void fs_unlock(int *fd);

/* Joins directory and name into out (FS_PATH_MAX bytes); ERR_USAGE when it does not fit. */
int fs_join(char *out, const char *directory, const char *name, Err *err);

#endif
