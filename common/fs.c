#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"

/* A temporary name is the file's name, this, and 16 random hex digits. */
static const char temporary_mark[] = ".tmp-";
enum { TEMPORARY_DIGITS = 16, PARTS_AT_ONCE = 64 };

/* What a person can do about a system error; starts with "; " unless it is empty. */
static const char *advice(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return "; free some space on that disk, or use another one";
    case EFBIG:
        return "; raise the file size limit (ulimit -f)";
    case EACCES:
    case EPERM:
        return "; check its owner and permissions";
    case EROFS:
        return "; use a place that can be written";
    case ENOENT:
    case ENOTDIR:
        return "; check the directory's name";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files (ulimit -n)";
    case EIO:
        return "; the disk may be failing";
    default:
        return "";
    }
}

static int io_error(Err *err, const char *action, const char *path, int error)
{
    return err_set(err, ERR_IO, "cannot %s %s: %s%s", action, path, strerror(error), advice(error));
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Syncs the directory that holds path, so that a name made or changed there survives a power cut.
 * File systems that cannot sync a directory say EINVAL; they keep names in their own way. */
static int sync_directory_of(const char *path, Err *err)
{
    char directory[FS_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(directory, sizeof directory, ".");
    else if (slash == path)
        snprintf(directory, sizeof directory, "/");
    else
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);

    int fd = open_retrying(directory, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return io_error(err, "open the directory", directory, errno);
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    if (error != 0 && error != EINVAL)
        return io_error(err, "sync the directory", directory, error);
    return ERR_OK;
}

static int make_dir(const char *path, Err *err)
{
    if (mkdir(path, 0777) == 0)
        return sync_directory_of(path, err);
    /* Read-only and automounted parents may refuse with another reason than EEXIST. */
    int error = errno;
    if (is_directory(path))
        return ERR_OK;
    if (error == EEXIST)
        return err_set(err, ERR_IO, "%s is in the way: a directory is needed there", path);
    return io_error(err, "make the directory", path, error);
}

int fs_make_dirs(const char *path, Err *err)
{
    char prefix[FS_PATH_MAX];
    size_t length = strlen(path);
    if (length == 0)
        return err_set(err, ERR_USAGE, "the name of a directory is empty");
    if (length >= sizeof prefix)
        return err_set(err, ERR_USAGE, "the name of a directory has %zu bytes; at most %d work",
                       length, FS_PATH_MAX - 1);
    memcpy(prefix, path, length + 1);
    while (length > 1 && prefix[length - 1] == '/')
        prefix[--length] = '\0';

    for (size_t i = 1; i < length; i++) {
        if (prefix[i] != '/')
            continue;
        prefix[i] = '\0';
        int code = make_dir(prefix, err);
        if (code != ERR_OK)
            return code;
        prefix[i] = '/';
    }
    return make_dir(prefix, err);
}

bool fs_is_temporary(const char *name, size_t *stem_bytes)
{
    size_t length = strlen(name);
    size_t mark = strlen(temporary_mark);
    if (length <= mark + TEMPORARY_DIGITS)
        return false;
    size_t stem = length - mark - TEMPORARY_DIGITS;
    if (memcmp(name + stem, temporary_mark, mark) != 0 ||
        strspn(name + stem + mark, "0123456789abcdef") != TEMPORARY_DIGITS)
        return false;
    *stem_bytes = stem;
    return true;
}

int fs_replace_begin(FsReplacement *file, const char *path, Err *err)
{
    file->fd = -1;
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return io_error(err, "make a temporary name for", path, errno);
    int length = snprintf(file->temporary, sizeof file->temporary, "%s%s%016" PRIx64, path,
                          temporary_mark, random);
    if (length >= (int)sizeof file->temporary)
        return io_error(err, "write", path, ENAMETOOLONG);
    snprintf(file->path, sizeof file->path, "%s", path);

    /* A rename would put a plain file in the place of a device or pipe. */
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return err_set(err, ERR_IO, "cannot write %s: it is not a regular file; name another one",
                       path);
    file->fd = open_retrying(file->temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file->fd < 0)
        return io_error(err, "write", path, errno);
    return ERR_OK;
}

void fs_replace_abort(FsReplacement *file)
{
    if (file->fd < 0)
        return;
    close(file->fd);
    file->fd = -1;
    unlink(file->temporary);
}

/* Writes up to PARTS_AT_ONCE parts whole; changes them. Returns 0 or an errno. */
static int write_parts(int fd, struct iovec *parts, int num_parts)
{
    while (num_parts > 0) {
        ssize_t written = writev(fd, parts, num_parts);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        if (written == 0 && parts->iov_len > 0)
            return EIO; /* no progress: never spin on it */
        size_t left = (size_t)written;
        while (num_parts > 0 && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++;
            num_parts--;
        }
        if (num_parts > 0) {
            parts->iov_base = (char *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return 0;
}

int fs_replace_write(FsReplacement *file, const struct iovec *parts, int num_parts, Err *err)
{
    CHECK(file->fd >= 0);
    struct iovec some[PARTS_AT_ONCE];
    for (int first = 0; first < num_parts; first += PARTS_AT_ONCE) {
        int count = num_parts - first < PARTS_AT_ONCE ? num_parts - first : PARTS_AT_ONCE;
        memcpy(some, parts + first, (size_t)count * sizeof *some);
        int error = write_parts(file->fd, some, count);
        if (error != 0) {
            fs_replace_abort(file);
            return io_error(err, "write", file->path, error);
        }
    }
    return ERR_OK;
}

int fs_replace_commit(FsReplacement *file, Err *err)
{
    CHECK(file->fd >= 0);
    /* After a failed fsync the kernel may have dropped the pages and call them clean: a second one
     * would succeed without the data. So this file is given up. */
    if (fsync(file->fd) != 0) {
        int error = errno;
        fs_replace_abort(file);
        return io_error(err, "sync", file->path, error);
    }
    int error = close(file->fd) == 0 || errno == EINTR ? 0 : errno;
    file->fd = -1;
    if (error == 0 && rename(file->temporary, file->path) != 0)
        error = errno;
    if (error != 0) {
        unlink(file->temporary);
        return io_error(err, "write", file->path, error);
    }
    return sync_directory_of(file->path, err);
}

int fs_write_file(const char *path, const void *bytes, size_t num_bytes, Err *err)
{
    FsReplacement file;
    int code = fs_replace_begin(&file, path, err);
    if (code != ERR_OK)
        return code;
    struct iovec part = {(void *)(uintptr_t)bytes, num_bytes};
    code = fs_replace_write(&file, &part, 1, err);
    if (code != ERR_OK)
        return code;
    return fs_replace_commit(&file, err);
}

/* Reads fd to its end into *bytes, which has *room bytes and grows up to bytes_max + 1: the one
 * byte more holds the closing zero, or shows that the file is too large. */
static int read_to_end(int fd, const char *path, size_t bytes_max, char **bytes, size_t room,
                       size_t *num_bytes, Err *err)
{
    size_t used = 0;
    for (;;) {
        ssize_t count = read(fd, *bytes + used, room - used);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return io_error(err, "read", path, errno);
        if (count == 0)
            break;
        used += (size_t)count;
        if (used > bytes_max)
            return err_set(err, ERR_FORMAT, "%s has more than the %zu bytes that it may have", path,
                           bytes_max);
        if (used < room)
            continue;
        room = room <= bytes_max / 2 ? room * 2 : bytes_max + 1;
        char *larger = realloc(*bytes, room);
        if (!larger)
            return err_set(err, ERR_NOMEM, "not enough memory to read %s (%zu bytes)", path, room);
        *bytes = larger;
    }
    (*bytes)[used] = '\0';
    *num_bytes = used;
    return ERR_OK;
}

int fs_read_file(const char *path, size_t bytes_max, char **bytes, size_t *num_bytes, Err *err)
{
    CHECK(bytes_max < SIZE_MAX / 2);
    *bytes = NULL;
    *num_bytes = 0;
    int fd = open_retrying(path, O_RDONLY, 0);
    if (fd < 0) {
        if (errno == ENOENT)
            return err_set(err, ERR_MISSING, "there is no file %s", path);
        return io_error(err, "read", path, errno);
    }
    struct stat info;
    size_t size = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? (size_t)info.st_size : 0;
    int code = ERR_OK;
    char *block = NULL;
    size_t used = 0;
    if (size > bytes_max) {
        code = err_set(err, ERR_FORMAT, "%s has %zu bytes; at most %zu are read", path, size,
                       bytes_max);
    } else {
        /* A pipe's size is not known beforehand. */
        size_t room = size > 0 || bytes_max < 4096 ? size + 1 : 4096;
        block = malloc(room);
        code =
            block ? read_to_end(fd, path, bytes_max, &block, room, &used, err)
                  : err_set(err, ERR_NOMEM, "not enough memory to read %s (%zu bytes)", path, room);
    }
    close(fd);
    if (code != ERR_OK) {
        free(block);
        return code;
    }
    *bytes = block;
    *num_bytes = used;
    return ERR_OK;
}

bool fs_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

int fs_lock(const char *path, int *fd, Err *err)
{
    *fd = -1;
    int lock = open_retrying(path, O_RDWR | O_CREAT, 0666);
    if (lock < 0)
        return io_error(err, "open the lock", path, errno);
    int result;
    do
        result = flock(lock, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result != 0) {
        int error = errno;
        close(lock);
        if (error == EWOULDBLOCK)
            return err_set(err, ERR_BUSY, "%s is locked by another process; stop that one first",
                           path);
        return io_error(err, "lock", path, error);
    }
    *fd = lock;
    return ERR_OK;
}

void fs_unlock(int *fd)
{
    /* The file stays: deleting it would let two others lock two files of one name. */
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int fs_join(char *out, const char *directory, const char *name, Err *err)
{
    size_t length = strlen(directory);
    const char *slash = length > 0 && directory[length - 1] != '/' ? "/" : "";
    int needed = snprintf(out, FS_PATH_MAX, "%s%s%s", directory, slash, name);
    if (needed < 0 || needed >= FS_PATH_MAX)
        return err_set(err, ERR_USAGE, "the path of %s is too long: at most %d bytes work", name,
                       FS_PATH_MAX - 1);
    return ERR_OK;
}
