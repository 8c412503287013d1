/* A disk around another one: several threads may use it, it can be slow, and it counts calls that
 * no log may make: a write or a sync of a file on which one failed before. For tests only. */
#ifndef POLYAK_TESTS_LEARNER_LOG_WATCHED_DISK_H
#define POLYAK_TESTS_LEARNER_LOG_WATCHED_DISK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "tests/learner/log/memory_disk.h"

enum { WATCHED_FILES_MAX = 1024 };

typedef struct WatchedFile {
    char path[256];
    int file; /* the newest handle */
    bool failed;
    uint64_t syncs;
} WatchedFile;

typedef struct WatchedDisk {
    LogDisk table;
    MemoryDisk *inner; /* with `mutex` held only, while other threads run */
    pthread_mutex_t mutex;
    WatchedFile files[WATCHED_FILES_MAX];
    int num_files;
    useconds_t write_us;  /* every write takes so long */
    uint64_t touched;     /* writes and syncs of files that failed before */
    uint64_t syncs;       /* that worked */
    uint64_t syncs_tried; /* all */
} WatchedDisk;

static inline const LogDisk *watched_lock(WatchedDisk *disk)
{
    pthread_mutex_lock(&disk->mutex);
    return memory_disk_table(disk->inner);
}

static inline WatchedFile *watched_file(WatchedDisk *disk, int file)
{
    for (int i = disk->num_files; i > 0; i--) {
        if (disk->files[i - 1].file == file)
            return &disk->files[i - 1];
    }
    return NULL;
}

static inline int watched_open(void *context, const char *path, DiskMode mode)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    int file = inner->open(inner->context, path, mode);
    int i = 0;
    while (i < disk->num_files && strcmp(disk->files[i].path, path) != 0)
        i++;
    if (file >= 0 && mode != DISK_READ) {
        CHECK(i < WATCHED_FILES_MAX);
        if (i == disk->num_files || mode == DISK_CREATE)
            disk->files[i] = (WatchedFile){0};
        disk->num_files += i == disk->num_files;
        snprintf(disk->files[i].path, sizeof disk->files[i].path, "%s", path);
        disk->files[i].file = file;
    }
    pthread_mutex_unlock(&disk->mutex);
    return file;
}

static inline int watched_close(void *context, int file)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    WatchedFile *watched = watched_file(disk, file);
    if (watched)
        watched->file = -1;
    int result = inner->close(inner->context, file);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline ssize_t watched_write(void *context, int file, const void *bytes, size_t num_bytes)
{
    WatchedDisk *disk = context;
    if (disk->write_us > 0)
        usleep(disk->write_us);
    const LogDisk *inner = watched_lock(disk);
    WatchedFile *watched = watched_file(disk, file);
    disk->touched += watched && watched->failed;
    ssize_t result = inner->write(inner->context, file, bytes, num_bytes);
    if (watched && result < 0)
        watched->failed = true;
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline ssize_t watched_read(void *context, int file, void *bytes, size_t num_bytes,
                                   uint64_t offset)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    ssize_t result = inner->read(inner->context, file, bytes, num_bytes, offset);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline int watched_sync(void *context, int file)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    WatchedFile *watched = watched_file(disk, file);
    disk->touched += watched && watched->failed;
    int result = inner->sync(inner->context, file);
    disk->syncs_tried++;
    disk->syncs += result == 0;
    if (watched && result < 0)
        watched->failed = true;
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline int watched_truncate(void *context, int file, uint64_t size)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    int result = inner->truncate(inner->context, file, size);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline int64_t watched_size(void *context, int file)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    int64_t result = inner->size(inner->context, file);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline int watched_remove(void *context, const char *path)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    int result = inner->remove(inner->context, path);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline int watched_list(void *context, const char *directory, DiskName *name, void *user)
{
    /* The callback opens files, so the list is made without the lock's help: one thread lists. */
    WatchedDisk *disk = context;
    char paths[256][256];
    int count = 0;
    (void)watched_lock(disk);
    size_t length = strlen(directory);
    while (length > 0 && directory[length - 1] == '/')
        length--;
    for (size_t i = 0; i < memory_disk_num_files(disk->inner); i++) {
        const char *path = memory_disk_path(disk->inner, i);
        if (strncmp(path, directory, length) == 0 && path[length] == '/') {
            CHECK(count < 256);
            snprintf(paths[count++], sizeof paths[0], "%s", path + length + 1);
        }
    }
    pthread_mutex_unlock(&disk->mutex);
    for (int i = 0; i < count; i++)
        name(user, paths[i]);
    return 0;
}

static inline int watched_sync_dir(void *context, const char *directory)
{
    WatchedDisk *disk = context;
    const LogDisk *inner = watched_lock(disk);
    int result = inner->sync_dir(inner->context, directory);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static inline void watched_disk_init(WatchedDisk *disk, MemoryDisk *inner)
{
    memset(disk, 0, sizeof *disk);
    pthread_mutex_init(&disk->mutex, NULL);
    disk->inner = inner;
    disk->table = (LogDisk){
        .context = disk,
        .open = watched_open,
        .close = watched_close,
        .write = watched_write,
        .read = watched_read,
        .sync = watched_sync,
        .truncate = watched_truncate,
        .size = watched_size,
        .remove = watched_remove,
        .list = watched_list,
        .sync_dir = watched_sync_dir,
    };
}

/* Faults and room, while other threads use the disk. */
static inline void watched_disk_fault(WatchedDisk *disk, const MemoryDiskFault *fault)
{
    (void)watched_lock(disk);
    memory_disk_fault(disk->inner, fault);
    pthread_mutex_unlock(&disk->mutex);
}

static inline void watched_disk_room(WatchedDisk *disk, uint64_t room)
{
    (void)watched_lock(disk);
    memory_disk_space(disk->inner,
                      room == UINT64_MAX ? room : memory_disk_bytes(disk->inner) + room);
    pthread_mutex_unlock(&disk->mutex);
}

#endif
