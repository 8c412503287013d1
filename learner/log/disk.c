#include "learner/log/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int real_open(void *context, const char *path, DiskMode mode)
{
    (void)context;
    int flags = O_CLOEXEC;
    if (mode == DISK_READ)
        flags |= O_RDONLY;
    else
        flags |= O_RDWR | O_APPEND | (mode == DISK_CREATE ? O_CREAT | O_EXCL : 0);
    int file;
    do
        file = open(path, flags, 0666);
    while (file < 0 && errno == EINTR);
    return file < 0 ? -errno : file;
}

static int real_close(void *context, int file)
{
    (void)context;
    return close(file) < 0 ? -errno : 0;
}

static ssize_t real_write(void *context, int file, const void *bytes, size_t num_bytes)
{
    (void)context;
    ssize_t written;
    do
        written = write(file, bytes, num_bytes);
    while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : written;
}

static ssize_t real_read(void *context, int file, void *bytes, size_t num_bytes, uint64_t offset)
{
    (void)context;
    ssize_t got;
    do
        got = pread(file, bytes, num_bytes, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static int real_sync(void *context, int file)
{
    (void)context;
    int result;
    do
        result = fdatasync(file);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int real_truncate(void *context, int file, uint64_t size)
{
    (void)context;
    int result;
    do
        result = ftruncate(file, (off_t)size);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int64_t real_size(void *context, int file)
{
    (void)context;
    struct stat info;
    return fstat(file, &info) < 0 ? -errno : info.st_size;
}

static int real_remove(void *context, const char *path)
{
    (void)context;
    return unlink(path) < 0 ? -errno : 0;
}

static int real_list(void *context, const char *directory, DiskName *name, void *user)
{
    (void)context;
    DIR *stream = opendir(directory);
    if (!stream)
        return -errno;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry)
            break;
        name(user, entry->d_name);
    }
    int result = -errno;
    closedir(stream);
    return result;
}

static int real_sync_dir(void *context, const char *directory)
{
    (void)context;
    int file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    int result = fsync(file) < 0 ? -errno : 0;
    close(file);
    return result;
}

const LogDisk *disk_real(void)
{
    static const LogDisk disk = {
        .open = real_open,
        .close = real_close,
        .write = real_write,
        .read = real_read,
        .sync = real_sync,
        .truncate = real_truncate,
        .size = real_size,
        .remove = real_remove,
        .list = real_list,
        .sync_dir = real_sync_dir,
    };
    return &disk;
}

int disk_write_all(const LogDisk *disk, int file, const void *bytes, size_t num_bytes)
{
    const uint8_t *at = bytes;
    while (num_bytes > 0) {
        ssize_t written = disk->write(disk->context, file, at, num_bytes);
        if (written < 0)
            return (int)written;
        if (written == 0)
            return -EIO; /* no progress: never spin on it */
        at += written;
        num_bytes -= (size_t)written;
    }
    return 0;
}

ssize_t disk_read_all(const LogDisk *disk, int file, void *bytes, size_t num_bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < num_bytes) {
        ssize_t got = disk->read(disk->context, file, (uint8_t *)bytes + done, num_bytes - done,
                                 offset + done);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static const char *advice(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return "free some space there, or give the run directory a larger disk";
    case EACCES:
    case EPERM:
    case EROFS:
        return "make it writable for this user";
    case ENOENT:
        return "it was there before: has somebody removed it?";
    default:
        return "check the disk";
    }
}

int disk_error(Err *err, const char *verb, const char *path, int negative_errno)
{
    int number = -negative_errno;
    if (number == ENOMEM)
        return err_set(err, ERR_NOMEM, "cannot %s %s: %s", verb, path, strerror(number));
    int code = number == ENOSPC || number == EDQUOT || number == EFBIG ? ERR_FULL : ERR_IO;
    return err_set(err, code, "cannot %s %s: %s; %s", verb, path, strerror(number), advice(number));
}
