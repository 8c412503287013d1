/* Files and directories: the few operations that must be right on a crash.
 *
 * A file is never changed in place. It is written whole under a temporary name beside it, synced,
 * renamed into place, and its directory synced: after a crash or a power cut at any moment there is
 * the old file or the new one, and at worst a temporary file that nobody reads. No state of its
 * own; any thread may call. */
#ifndef POLYAK_COMMON_FS_H
#define POLYAK_COMMON_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "common/err.h"

enum { FS_PATH_MAX = 4096 };

/* Makes a directory and its parents; fine when it is there. */
int fs_make_dirs(const char *path, Err *err);

/* Temporary file, fsync, rename, fsync of the directory. ERR_IO with the path, the system's reason
 * and what to do. */
int fs_write_file(const char *path, const void *bytes, size_t num_bytes, Err *err);

/* The same in pieces: begin, write any number of times, commit. A plain value of its caller. When
 * any of them fails, the temporary file is already gone and only a new begin can follow. */
typedef struct FsReplacement {
    int fd; /* of the temporary file; -1 when there is none */
    char path[FS_PATH_MAX];
    char temporary[FS_PATH_MAX];
} FsReplacement;

int fs_replace_begin(FsReplacement *file, const char *path, Err *err);
int fs_replace_write(FsReplacement *file, const struct iovec *parts, int num_parts, Err *err);
int fs_replace_commit(FsReplacement *file, Err *err);
void fs_replace_abort(FsReplacement *file);

/* Whether `name` is one that fs_replace_begin makes; the file that it was to replace is then named
 * by the first *stem_bytes bytes. */
bool fs_is_temporary(const char *name, size_t *stem_bytes);

/* Reads a whole file (or pipe) of at most bytes_max; *bytes is malloc'ed, with a zero byte after
 * the last. ERR_MISSING, ERR_IO, ERR_NOMEM, or ERR_FORMAT when it is larger. */
int fs_read_file(const char *path, size_t bytes_max, char **bytes, size_t *num_bytes, Err *err);

bool fs_exists(const char *path);

/* Takes an exclusive lock on path (made when missing), held until fs_unlock or the process's end.
 * ERR_BUSY when another process has it. The file stays when the lock goes. */
int fs_lock(const char *path, int *fd, Err *err);
void fs_unlock(int *fd);

/* Joins directory and name into out (FS_PATH_MAX bytes); ERR_USAGE when it does not fit. */
int fs_join(char *out, const char *directory, const char *name, Err *err);

#endif
