#include "learner/log/log_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "learner/log/frame.h"

static const char suffix[] = ".plog";

enum {
    NAME_CHARS = 43,      /* log-0123456789abcdef-01234567-01234567.plog */
    HEAD_BYTES_MAX = 512, /* room for the head of another version, to name it */
};

void log_file_name(uint64_t base_position, uint32_t epoch, uint32_t number, LogFileName *name)
{
    name->base_position = base_position;
    name->epoch = epoch;
    name->number = number;
    snprintf(name->text, sizeof name->text, "log-%016" PRIx64 "-%08" PRIx32 "-%08" PRIx32 "%s",
             base_position, epoch, number, suffix);
}

/* `digits` hexadecimal digits, lower case; false when there are others. */
static bool parse_hex(const char *text, int digits, uint64_t *x)
{
    *x = 0;
    for (int i = 0; i < digits; i++) {
        const char *digit = strchr("0123456789abcdef", text[i]);
        if (text[i] == '\0' || !digit)
            return false;
        *x = *x << 4 | (uint64_t)(strlen("0123456789abcdef") - strlen(digit));
    }
    return true;
}

bool log_file_name_parse(const char *text, LogFileName *name)
{
    uint64_t base_position, epoch, number;
    if (strlen(text) != NAME_CHARS || !parse_hex(text + 4, 16, &base_position) ||
        !parse_hex(text + 21, 8, &epoch) || !parse_hex(text + 30, 8, &number))
        return false;
    log_file_name(base_position, (uint32_t)epoch, (uint32_t)number, name);
    return strcmp(text, name->text) == 0;
}

uint64_t log_file_salt(const RunId *run_id, const LogFileName *name)
{
    uint64_t hash = XXH3_64bits(run_id->bytes, sizeof run_id->bytes);
    return XXH3_64bits_withSeed(name->text, strlen(name->text), hash);
}

/* --- Listing
 * -------------------------------------------------------------------------------------- */

typedef struct Listing {
    LogFileList list;
    size_t capacity;
    bool out_of_memory;
} Listing;

static void take_name(void *user, const char *text)
{
    Listing *listing = user;
    LogFileName name;
    if (!log_file_name_parse(text, &name))
        return;
    if (listing->list.num_files == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : 64;
        LogFileName *files = realloc(listing->list.files, capacity * sizeof *files);
        if (!files) {
            listing->out_of_memory = true;
            return;
        }
        listing->list.files = files;
        listing->capacity = capacity;
    }
    listing->list.files[listing->list.num_files++] = name;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const LogFileName *)a)->text, ((const LogFileName *)b)->text);
}

int log_files_list(const LogDisk *disk, const char *directory, LogFileList *list, Err *err)
{
    Listing listing = {0};
    *list = (LogFileList){0};
    int result = disk->list(disk->context, directory, take_name, &listing);
    if (result < 0 || listing.out_of_memory) {
        free(listing.list.files);
        if (listing.out_of_memory)
            return err_set(err, ERR_NOMEM, "no memory for the names of the log's files");
        return disk_error(err, "list", directory, result);
    }
    if (listing.list.num_files > 0)
        qsort(listing.list.files, listing.list.num_files, sizeof *listing.list.files,
              compare_names);
    *list = listing.list;
    return ERR_OK;
}

void log_files_free(LogFileList *list)
{
    free(list->files);
    *list = (LogFileList){0};
}

/* --- Heads and bytes
 * ------------------------------------------------------------------------------ */

int log_file_head(const LogDisk *disk, const char *directory, const LogFileName *name,
                  FileHead *head, Err *err)
{
    char path[FS_PATH_MAX];
    _Alignas(8) uint8_t bytes[HEAD_BYTES_MAX];
    int code = fs_join(path, directory, name->text, err);
    if (code != ERR_OK)
        return code;
    int file = disk->open(disk->context, path, DISK_READ);
    if (file < 0)
        return disk_error(err, "read", path, file);
    ssize_t got = disk_read_all(disk, file, bytes, sizeof bytes, 0);
    disk->close(disk->context, file);
    if (got < 0)
        return disk_error(err, "read", path, (int)got);
    Frame frame;
    if (frame_decode(bytes, (size_t)got, HEAD_BYTES_MAX, 0, &frame) != FRAME_SOUND ||
        frame.kind != LOG_KIND_HEAD)
        return err_set(err, ERR_MISSING, "%s has no sound head", path);
    Err reason = {""};
    code = file_head_decode(frame.payload, frame.payload_bytes, head, &reason);
    if (code == ERR_VERSION)
        return err_set(err, code, "%s: %.300s", path, reason.text);
    if (code != ERR_OK || head->base_position != name->base_position)
        return err_set(err, ERR_MISSING, "%s has no sound head", path);
    return ERR_OK;
}

static int file_bytes(const LogDisk *disk, const char *path, uint64_t *num_bytes, Err *err)
{
    int file = disk->open(disk->context, path, DISK_READ);
    if (file < 0)
        return disk_error(err, "read", path, file);
    int64_t size = disk->size(disk->context, file);
    disk->close(disk->context, file);
    if (size < 0)
        return disk_error(err, "read", path, (int)size);
    *num_bytes = (uint64_t)size;
    return ERR_OK;
}

typedef struct Total {
    const LogDisk *disk;
    const char *directory;
    uint64_t num_bytes;
    int code;
    Err *err;
} Total;

static void add_bytes(void *user, const char *name)
{
    Total *total = user;
    char path[FS_PATH_MAX];
    uint64_t num_bytes = 0;
    size_t length = strlen(name);
    size_t end = strlen(suffix);
    if (total->code != ERR_OK || length < end || strcmp(name + length - end, suffix) != 0)
        return;
    total->code = fs_join(path, total->directory, name, total->err);
    if (total->code == ERR_OK)
        total->code = file_bytes(total->disk, path, &num_bytes, total->err);
    total->num_bytes += num_bytes;
}

int log_files_bytes(const LogDisk *disk, const char *directory, uint64_t *num_bytes, Err *err)
{
    Total total = {.disk = disk, .directory = directory, .err = err};
    int result = disk->list(disk->context, directory, add_bytes, &total);
    if (result < 0)
        return disk_error(err, "list", directory, result);
    *num_bytes = total.num_bytes;
    return total.code;
}

/* --- Retention
 * ------------------------------------------------------------------------------------ */

static int remove_file(const LogDisk *disk, const char *directory, const LogFileName *name,
                       uint64_t *bytes_removed, Err *err)
{
    char path[FS_PATH_MAX];
    uint64_t num_bytes = 0;
    int code = fs_join(path, directory, name->text, err);
    if (code == ERR_OK)
        code = file_bytes(disk, path, &num_bytes, err);
    if (code != ERR_OK)
        return code;
    int result = disk->remove(disk->context, path);
    if (result < 0)
        return disk_error(err, "remove", path, result);
    *bytes_removed += num_bytes;
    return ERR_OK;
}

int log_files_prune(const LogDisk *disk, const char *directory, uint64_t row_needed,
                    size_t *num_removed, uint64_t *bytes_removed, Err *err)
{
    LogFileList list;
    *num_removed = 0;
    *bytes_removed = 0;
    int code = log_files_list(disk, directory, &list, err);
    for (size_t i = 0; code == ERR_OK && i + 1 < list.num_files; i++) {
        FileHead next = {0};
        code = log_file_head(disk, directory, &list.files[i + 1], &next, err);
        if (code == ERR_MISSING || (code == ERR_OK && next.base_row > row_needed)) {
            code = ERR_OK;
            break;
        }
        if (code == ERR_OK)
            code = remove_file(disk, directory, &list.files[i], bytes_removed, err);
        if (code == ERR_OK)
            (*num_removed)++;
    }
    log_files_free(&list);
    return code;
}
