#include "tests/learner/log/memory_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/fs.h"

enum { FILES_MAX = 4096, HANDLES_MAX = 64 };

typedef struct Bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} Bytes;

typedef struct MemoryFile {
    char path[256];
    Bytes live;
    Bytes durable;
    size_t unchanged; /* live and durable agree up to here */
    bool named;       /* its directory was synced since it was made */
} MemoryFile;

typedef struct Handle {
    MemoryFile *file; /* NULL: free */
    bool writable;
} Handle;

struct MemoryDisk {
    LogDisk table;
    MemoryFile *files[FILES_MAX]; /* sorted by path */
    size_t num_files;
    Handle handles[HANDLES_MAX];
    int deaths; /* handles from before the last one are stale */
    MemoryDiskFault fault;
    uint64_t fault_calls; /* calls of the fault's kinds, since it was set */
    uint64_t calls;
    uint64_t space;
    size_t write_max;
};

/* --- Bytes and files
 * ------------------------------------------------------------------------------ */

static void bytes_resize(Bytes *bytes, size_t size)
{
    if (size > bytes->capacity) {
        bytes->capacity = size > 2 * bytes->capacity ? size : 2 * bytes->capacity;
        bytes->data = realloc(bytes->data, bytes->capacity);
        CHECK(bytes->data);
    }
    bytes->size = size;
}

static void bytes_append(Bytes *bytes, const void *data, size_t num_bytes)
{
    size_t size = bytes->size;
    bytes_resize(bytes, size + num_bytes);
    if (num_bytes > 0)
        memcpy(bytes->data + size, data, num_bytes);
}

static size_t place(const MemoryDisk *disk, const char *path, bool *found)
{
    size_t i = 0;
    while (i < disk->num_files && strcmp(disk->files[i]->path, path) < 0)
        i++;
    *found = i < disk->num_files && strcmp(disk->files[i]->path, path) == 0;
    return i;
}

static MemoryFile *find_file(const MemoryDisk *disk, const char *path)
{
    bool found;
    size_t i = place(disk, path, &found);
    return found ? disk->files[i] : NULL;
}

static MemoryFile *add_file(MemoryDisk *disk, const char *path)
{
    bool found;
    size_t i = place(disk, path, &found);
    MemoryFile *file = calloc(1, sizeof *file);
    CHECK(file && !found && disk->num_files < FILES_MAX && strlen(path) < sizeof file->path);
    snprintf(file->path, sizeof file->path, "%s", path);
    for (size_t j = disk->num_files++; j > i; j--)
        disk->files[j] = disk->files[j - 1];
    disk->files[i] = file;
    return file;
}

static void remove_file(MemoryDisk *disk, size_t i)
{
    MemoryFile *file = disk->files[i];
    for (size_t h = 0; h < HANDLES_MAX; h++)
        CHECK(disk->handles[h].file != file);
    disk->num_files--;
    for (size_t j = i; j < disk->num_files; j++)
        disk->files[j] = disk->files[j + 1];
    free(file->live.data);
    free(file->durable.data);
    free(file);
}

/* --- Faults
 * --------------------------------------------------------------------------------------- */

/* 0, or the error that this call is to give. */
static int begin_call(MemoryDisk *disk, MemoryDiskCall call)
{
    const MemoryDiskFault *fault = &disk->fault;
    disk->calls++;
    if (!(fault->calls & (uint32_t)call))
        return 0;
    uint64_t number = ++disk->fault_calls;
    return number >= fault->first && number - fault->first < fault->count ? -fault->error : 0;
}

/* NULL when the process that opened it is dead. */
static Handle *handle_of(MemoryDisk *disk, int file)
{
    CHECK(file >= 0);
    if (file / HANDLES_MAX != disk->deaths)
        return NULL;
    Handle *handle = &disk->handles[file % HANDLES_MAX];
    CHECK(handle->file);
    return handle;
}

/* --- The table
 * ------------------------------------------------------------------------------------ */

static int memory_open(void *context, const char *path, DiskMode mode)
{
    MemoryDisk *disk = context;
    int error = begin_call(disk, MEMORY_DISK_OPEN);
    if (error < 0)
        return error;
    MemoryFile *file = find_file(disk, path);
    if (mode == DISK_CREATE && file)
        return -EEXIST;
    if (mode != DISK_CREATE && !file)
        return -ENOENT;
    int h = 0;
    while (h < HANDLES_MAX && disk->handles[h].file)
        h++;
    CHECK(h < HANDLES_MAX);
    if (!file)
        file = add_file(disk, path);
    disk->handles[h] = (Handle){.file = file, .writable = mode != DISK_READ};
    return disk->deaths * HANDLES_MAX + h;
}

static int memory_close(void *context, int file)
{
    Handle *handle = handle_of(context, file);
    if (!handle)
        return -EBADF;
    handle->file = NULL;
    return 0;
}

static ssize_t memory_write(void *context, int file, const void *bytes, size_t num_bytes)
{
    MemoryDisk *disk = context;
    Handle *handle = handle_of(disk, file);
    if (!handle)
        return -EBADF;
    CHECK(handle->writable);
    int error = begin_call(disk, MEMORY_DISK_WRITE);
    if (error < 0) {
        if (disk->fault.short_write)
            bytes_append(&handle->file->live, bytes, num_bytes / 2 + num_bytes / 3);
        return error;
    }
    if (disk->write_max > 0 && num_bytes > disk->write_max)
        num_bytes = disk->write_max;
    uint64_t used = memory_disk_bytes(disk);
    uint64_t room = disk->space > used ? disk->space - used : 0;
    if (num_bytes > 0 && room == 0)
        return -ENOSPC;
    if (num_bytes > room)
        num_bytes = (size_t)room;
    bytes_append(&handle->file->live, bytes, num_bytes);
    return (ssize_t)num_bytes;
}

static ssize_t memory_read(void *context, int file, void *bytes, size_t num_bytes, uint64_t offset)
{
    MemoryDisk *disk = context;
    const Handle *handle = handle_of(disk, file);
    if (!handle)
        return -EBADF;
    const Bytes *live = &handle->file->live;
    int error = begin_call(disk, MEMORY_DISK_READ);
    if (error < 0)
        return error;
    if (offset >= live->size)
        return 0;
    if (num_bytes > live->size - offset)
        num_bytes = live->size - (size_t)offset;
    memcpy(bytes, live->data + offset, num_bytes);
    return (ssize_t)num_bytes;
}

static void make_durable(MemoryFile *file)
{
    bytes_resize(&file->durable, file->unchanged);
    if (file->live.size > file->unchanged)
        bytes_append(&file->durable, file->live.data + file->unchanged,
                     file->live.size - file->unchanged);
    file->unchanged = file->live.size;
}

static int memory_sync(void *context, int file)
{
    MemoryDisk *disk = context;
    Handle *handle = handle_of(disk, file);
    if (!handle)
        return -EBADF;
    int error = begin_call(disk, MEMORY_DISK_SYNC);
    if (error == 0)
        make_durable(handle->file);
    return error;
}

static int memory_truncate(void *context, int file, uint64_t size)
{
    MemoryDisk *disk = context;
    Handle *handle = handle_of(disk, file);
    if (!handle)
        return -EBADF;
    CHECK(handle->writable);
    int error = begin_call(disk, MEMORY_DISK_TRUNCATE);
    if (error < 0)
        return error;
    CHECK(size <= handle->file->live.size);
    handle->file->live.size = (size_t)size;
    if (handle->file->unchanged > size)
        handle->file->unchanged = (size_t)size;
    return 0;
}

static int64_t memory_size(void *context, int file)
{
    const Handle *handle = handle_of(context, file);
    return handle ? (int64_t)handle->file->live.size : -EBADF;
}

static int memory_remove(void *context, const char *path)
{
    MemoryDisk *disk = context;
    int error = begin_call(disk, MEMORY_DISK_REMOVE);
    bool found;
    size_t i = place(disk, path, &found);
    if (error < 0 || !found)
        return error < 0 ? error : -ENOENT;
    remove_file(disk, i);
    return 0;
}

/* The part of a path behind the directory, or NULL when it lies elsewhere. */
static const char *name_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    while (length > 0 && directory[length - 1] == '/')
        length--;
    return strncmp(path, directory, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

static int memory_list(void *context, const char *directory, DiskName *name, void *user)
{
    MemoryDisk *disk = context;
    int error = begin_call(disk, MEMORY_DISK_LIST);
    for (size_t i = disk->num_files; error == 0 && i-- > 0;) { /* not in order, as on a disk */
        const char *text = name_in(disk->files[i]->path, directory);
        if (text)
            name(user, text);
    }
    return error;
}

static int memory_sync_dir(void *context, const char *directory)
{
    MemoryDisk *disk = context;
    int error = begin_call(disk, MEMORY_DISK_SYNC_DIR);
    for (size_t i = 0; error == 0 && i < disk->num_files; i++) {
        if (name_in(disk->files[i]->path, directory))
            disk->files[i]->named = true;
    }
    return error;
}

MemoryDisk *memory_disk_new(void)
{
    MemoryDisk *disk = calloc(1, sizeof *disk);
    CHECK(disk);
    disk->space = UINT64_MAX;
    disk->table = (LogDisk){
        .context = disk,
        .open = memory_open,
        .close = memory_close,
        .write = memory_write,
        .read = memory_read,
        .sync = memory_sync,
        .truncate = memory_truncate,
        .size = memory_size,
        .remove = memory_remove,
        .list = memory_list,
        .sync_dir = memory_sync_dir,
    };
    return disk;
}

void memory_disk_destroy(MemoryDisk **disk)
{
    if (!*disk)
        return;
    memory_disk_process_death(*disk);
    while ((*disk)->num_files > 0)
        remove_file(*disk, (*disk)->num_files - 1);
    free(*disk);
    *disk = NULL;
}

const LogDisk *memory_disk_table(MemoryDisk *disk)
{
    return &disk->table;
}

/* --- What tests do to it
 * -------------------------------------------------------------------------- */

void memory_disk_fault(MemoryDisk *disk, const MemoryDiskFault *fault)
{
    disk->fault = fault ? *fault : (MemoryDiskFault){0};
    disk->fault_calls = 0;
}

void memory_disk_space(MemoryDisk *disk, uint64_t bytes_max)
{
    disk->space = bytes_max;
}

void memory_disk_write_max(MemoryDisk *disk, size_t num_bytes)
{
    disk->write_max = num_bytes;
}

uint64_t memory_disk_calls(const MemoryDisk *disk)
{
    return disk->calls;
}

uint64_t memory_disk_bytes(const MemoryDisk *disk)
{
    uint64_t num_bytes = 0;
    for (size_t i = 0; i < disk->num_files; i++)
        num_bytes += disk->files[i]->live.size;
    return num_bytes;
}

void memory_disk_process_death(MemoryDisk *disk)
{
    memset(disk->handles, 0, sizeof disk->handles);
    disk->deaths++;
}

/* What is not synced survives up to a random byte; a size that was written may also survive without
 * its bytes, or a cut not. */
static void lose_bytes(MemoryFile *file, Rng *rng)
{
    Bytes *durable = &file->durable;
    const Bytes *live = &file->live;
    uint64_t how = rng ? rng_below(rng, 4) : 0;
    if (how > 0 && live->size > file->unchanged) {
        size_t extra = (size_t)rng_below(rng, live->size - file->unchanged + 1);
        bytes_resize(durable, file->unchanged);
        bytes_append(durable, live->data + file->unchanged, extra);
        size_t before = durable->size;
        if (how == 3) {
            bytes_resize(durable, before + (size_t)rng_below(rng, live->size - before + 1));
            memset(durable->data + before, 0, durable->size - before);
        }
    }
    if (how > 1 && live->size < durable->size)
        bytes_resize(durable, live->size);
    bytes_resize(&file->live, durable->size);
    if (durable->size > 0)
        memcpy(file->live.data, durable->data, durable->size);
    file->unchanged = durable->size;
}

void memory_disk_power_loss(MemoryDisk *disk, Rng *rng)
{
    memory_disk_process_death(disk);
    memory_disk_fault(disk, NULL);
    for (size_t i = disk->num_files; i-- > 0;) {
        MemoryFile *file = disk->files[i];
        if (!file->named && (!rng || rng_below(rng, 2) == 0)) {
            remove_file(disk, i);
            continue;
        }
        file->named = true;
        lose_bytes(file, rng);
    }
}

uint8_t *memory_disk_file(MemoryDisk *disk, const char *path, size_t *num_bytes)
{
    MemoryFile *file = find_file(disk, path);
    *num_bytes = file ? file->live.size : 0;
    return file ? file->live.data : NULL;
}

void memory_disk_put(MemoryDisk *disk, const char *path, const void *bytes, size_t num_bytes)
{
    MemoryFile *file = find_file(disk, path);
    if (!file)
        file = add_file(disk, path);
    file->live.size = 0;
    file->unchanged = 0;
    file->named = true;
    bytes_append(&file->live, bytes, num_bytes);
    make_durable(file);
}

size_t memory_disk_num_files(const MemoryDisk *disk)
{
    return disk->num_files;
}

const char *memory_disk_path(const MemoryDisk *disk, size_t i)
{
    CHECK(i < disk->num_files);
    return disk->files[i]->path;
}
