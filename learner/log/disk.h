/* What the logs ask of a disk, as a table of functions: the real one, or one in memory that fails
 * and loses power when a test says so. Paths are whole. A table and what stands behind it belong to
 * one thread at a time; disk_real() has no state and any thread may use it.
 *
 * Results are >= 0, or a negative errno, so that a full disk and a broken one can be told apart. */
#ifndef POLYAK_LEARNER_LOG_DISK_H
#define POLYAK_LEARNER_LOG_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

typedef enum DiskMode {
    DISK_READ,   /* a file that is there, for reading */
    DISK_APPEND, /* a file that is there, for reading, truncating and writing at its end */
    DISK_CREATE, /* a new file, as DISK_APPEND; -EEXIST when it is there */
} DiskMode;

typedef void DiskName(void *user, const char *name);

typedef struct LogDisk {
    void *context;                                               /* the first argument of all */
    int (*open)(void *context, const char *path, DiskMode mode); /* a handle */
    int (*close)(void *context, int file);
    /* At the file's end; may write less, and then says how much. */
    ssize_t (*write)(void *context, int file, const void *bytes, size_t num_bytes);
    /* May read less; 0 at the file's end. */
    ssize_t (*read)(void *context, int file, void *bytes, size_t num_bytes, uint64_t offset);
    int (*sync)(void *context, int file); /* as fdatasync */
    int (*truncate)(void *context, int file, uint64_t size);
    int64_t (*size)(void *context, int file);
    int (*remove)(void *context, const char *path);
    /* Calls `name` for each entry of the directory, in any order. */
    int (*list)(void *context, const char *directory, DiskName *name, void *user);
    int (*sync_dir)(void *context, const char *directory);
} LogDisk;

const LogDisk *disk_real(void);

/* Writes all, in as many calls as it takes. 0 or a negative errno; then an unknown part of it is
 * written. */
int disk_write_all(const LogDisk *disk, int file, const void *bytes, size_t num_bytes);

/* Reads until num_bytes or the file's end. */
ssize_t disk_read_all(const LogDisk *disk, int file, void *bytes, size_t num_bytes,
                      uint64_t offset);

/* The error for a negative errno: ERR_FULL when there is no room, ERR_IO otherwise. The line reads
 * "cannot <verb> <path>: <reason>; <what to do>". */
int disk_error(Err *err, const char *verb, const char *path, int negative_errno);

#endif
