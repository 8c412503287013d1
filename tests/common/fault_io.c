#include "tests/common/fault_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/check.h"

static struct {
    bool counting;
    FaultWay way;
    int n;
    int error;
    int num_calls;
    FaultCall calls[FAULT_CALLS_MAX];
} fault;

void fault_io_start(FaultWay way, int n, int error)
{
    memset(&fault, 0, sizeof fault);
    fault.counting = true;
    fault.way = way;
    fault.n = n;
    fault.error = error;
}

int fault_io_stop(void)
{
    fault.counting = false;
    return fault.num_calls;
}

const FaultCall *fault_io_call(int n)
{
    CHECK(n >= 1 && n <= fault.num_calls);
    return &fault.calls[n - 1];
}

static bool is_sync(const FaultCall *call)
{
    return strcmp(call->name, "fsync") == 0 || strcmp(call->name, "fdatasync") == 0;
}

bool fault_io_trusted_a_failed_sync(void)
{
    for (int i = 0; i < fault.num_calls; i++) {
        if (!is_sync(&fault.calls[i]) || fault.calls[i].error == 0)
            continue;
        for (int j = i + 1; j < fault.num_calls; j++) {
            const FaultCall *later = &fault.calls[j];
            bool uses = is_sync(later) || strstr(later->name, "write") != NULL;
            if (uses && later->inode != 0 && later->inode == fault.calls[i].inode)
                return true;
        }
    }
    return false;
}

/* Counts a call and says with which errno it is to fail; 0: with none. */
static int next_error(const char *name, int fd, bool needs_disk)
{
    if (!fault.counting)
        return 0;
    CHECK(fault.num_calls < FAULT_CALLS_MAX);
    struct stat info;
    FaultCall *call = &fault.calls[fault.num_calls++];
    bool due = false;
    if (fault.way == FAULT_ONCE)
        due = fault.num_calls == fault.n;
    else if (fault.way == FAULT_ONWARD)
        due = fault.num_calls >= fault.n && (needs_disk || fault.error != ENOSPC);
    *call = (FaultCall){name, due ? fault.error : 0,
                        fd >= 0 && fstat(fd, &info) == 0 ? info.st_ino : 0};
    return call->error;
}

static bool is_short_write(void)
{
    return fault.counting && fault.way == FAULT_SHORT && fault.num_calls == fault.n;
}

/* --- What the linker puts in the place of the system's ------------------------------------- */

/* The names are the linker's.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */

int __real_open(const char *path, int flags, mode_t mode);
int __real_openat(int directory, const char *path, int flags, mode_t mode);
ssize_t __real_write(int fd, const void *bytes, size_t num_bytes);
ssize_t __real_pwrite(int fd, const void *bytes, size_t num_bytes, off_t offset);
ssize_t __real_writev(int fd, const struct iovec *parts, int num_parts);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_ftruncate(int fd, off_t length);
int __real_rename(const char *from, const char *to);
int __real_close(int fd);
int __real_unlink(const char *path);

int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *bytes, size_t num_bytes);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t num_bytes, off_t offset);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int num_parts);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_rename(const char *from, const char *to);
int __wrap_close(int fd);
int __wrap_unlink(const char *path);

/* Sets errno and returns -1 where a call is to fail. */
#define FAIL_IF_DUE(name, fd, needs_disk)                                                          \
    do {                                                                                           \
        int due = next_error(name, fd, needs_disk);                                                \
        if (due != 0) {                                                                            \
            errno = due;                                                                           \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & O_CREAT ? (mode_t)va_arg(arguments, int) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    FAIL_IF_DUE("open", -1, true);
    return __real_open(path, flags, mode);
}

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    FAIL_IF_DUE("openat", -1, true);
    return __real_openat(directory, path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t num_bytes)
{
    FAIL_IF_DUE("write", fd, true);
    return __real_write(fd, bytes, is_short_write() ? (num_bytes + 1) / 2 : num_bytes);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t num_bytes, off_t offset)
{
    FAIL_IF_DUE("pwrite", fd, true);
    return __real_pwrite(fd, bytes, is_short_write() ? (num_bytes + 1) / 2 : num_bytes, offset);
}

ssize_t __wrap_writev(int fd, const struct iovec *parts, int num_parts)
{
    FAIL_IF_DUE("writev", fd, true);
    if (!is_short_write())
        return __real_writev(fd, parts, num_parts);
    for (; num_parts > 1 && parts->iov_len == 0; num_parts--)
        parts++;
    return __real_write(fd, parts->iov_base, (parts->iov_len + 1) / 2);
}

int __wrap_fsync(int fd)
{
    FAIL_IF_DUE("fsync", fd, true);
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    FAIL_IF_DUE("fdatasync", fd, true);
    return __real_fdatasync(fd);
}

int __wrap_ftruncate(int fd, off_t length)
{
    FAIL_IF_DUE("ftruncate", fd, true);
    return __real_ftruncate(fd, length);
}

int __wrap_rename(const char *from, const char *to)
{
    FAIL_IF_DUE("rename", -1, true);
    return __real_rename(from, to);
}

int __wrap_close(int fd)
{
    int error = next_error("close", fd, false);
    int result = __real_close(fd);
    if (error == 0)
        return result;
    errno = error;
    return -1;
}

int __wrap_unlink(const char *path)
{
    FAIL_IF_DUE("unlink", -1, false);
    return __real_unlink(path);
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */
