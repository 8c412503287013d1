#include "learner/log/order_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "learner/log/frame.h"

enum { FILES_MAX = 1 << 20 };

static void file_name(uint32_t number, char name[32])
{
    if (number == 0)
        snprintf(name, 32, "order.plog");
    else
        snprintf(name, 32, "order-%" PRIu32 ".plog", number);
}

static void count_name(void *user, const char *name)
{
    uint32_t *num_files = user;
    char again[32];
    unsigned long number = 0;
    if (strncmp(name, "order-", 6) == 0)
        number = strtoul(name + 6, NULL, 10);
    if (number >= FILES_MAX)
        return;
    file_name((uint32_t)number, again);
    if (strcmp(name, again) == 0 && number >= *num_files)
        *num_files = (uint32_t)number + 1;
}

int order_files_count(const LogDisk *disk, const char *directory, uint32_t *num_files, Err *err)
{
    *num_files = 0;
    int result = disk->list(disk->context, directory, count_name, num_files);
    return result < 0 ? disk_error(err, "list", directory, result) : ERR_OK;
}

int order_file_path(const char *directory, uint32_t number, char path[FS_PATH_MAX], Err *err)
{
    char name[32];
    file_name(number, name);
    return fs_join(path, directory, name, err);
}

uint64_t order_file_salt(const RunId *run_id, uint32_t number)
{
    char name[32];
    file_name(number, name);
    uint64_t hash = XXH3_64bits(run_id->bytes, sizeof run_id->bytes);
    return XXH3_64bits_withSeed(name, strlen(name), hash);
}

int order_file_head(const LogDisk *disk, const char *directory, uint32_t number,
                    const RunId *run_id, OrderHead *head, Err *err)
{
    enum { HEAD_BYTES_MAX = 512 };
    char path[FS_PATH_MAX];
    _Alignas(8) uint8_t bytes[HEAD_BYTES_MAX];
    int code = order_file_path(directory, number, path, err);
    if (code != ERR_OK)
        return code;
    int file = disk->open(disk->context, path, DISK_READ);
    if (file == -ENOENT)
        return err_set(err, ERR_MISSING, "%s is not there", path);
    if (file < 0)
        return disk_error(err, "read", path, file);
    ssize_t got = disk_read_all(disk, file, bytes, sizeof bytes, 0);
    disk->close(disk->context, file);
    if (got < 0)
        return disk_error(err, "read", path, (int)got);
    Frame frame;
    if (frame_decode(bytes, (size_t)got, HEAD_BYTES_MAX, 0, &frame) != FRAME_SOUND ||
        frame.kind != LOG_KIND_ORDER_HEAD)
        return err_set(err, ERR_MISSING, "%s has no sound head", path);
    Err reason = {""};
    code = order_head_decode(frame.payload, frame.payload_bytes, head, &reason);
    if (code == ERR_VERSION)
        return err_set(err, code, "%s: %.300s", path, reason.text);
    if (code != ERR_OK)
        return err_set(err, ERR_MISSING, "%s has no sound head", path);
    if (memcmp(&head->run_id, run_id, sizeof *run_id) != 0)
        return err_set(err, ERR_SPEC,
                       "%s belongs to another run; move it away, or name this run's directory",
                       path);
    return ERR_OK;
}

int order_files_end(const LogDisk *disk, const char *directory, const RunId *run_id, OrderEnd *end,
                    Err *err)
{
    char path[FS_PATH_MAX] = "";
    uint32_t num_files;
    *end = (OrderEnd){0};
    OrderReader *reader;
    int code = order_reader_open(disk, directory, run_id, &reader, err);
    if (code == ERR_OK)
        code = order_files_count(disk, directory, &num_files, err);
    if (code == ERR_OK && num_files > 0) {
        OrderHead head = {.base_number = 1};
        int head_code = order_file_head(disk, directory, num_files - 1, run_id, &head, err);
        if (head_code != ERR_OK && head_code != ERR_MISSING)
            code = head_code;
        end->has_head = head_code == ERR_OK;
        if (head_code == ERR_OK)
            end->last_number = head.base_number - 1;
        if (code == ERR_OK)
            code = order_file_path(directory, num_files - 1, path, err);
    }
    OrderItem item = {.kind = ORDER_ITEM_END};
    if (code == ERR_OK)
        code = order_reader_next(reader, &item, err);
    while (code == ERR_OK && item.kind != ORDER_ITEM_END) {
        bool record = item.kind == ORDER_ITEM_BLOCK || item.kind == ORDER_ITEM_EVENT;
        if (record && item.number > end->last_number)
            end->last_number = item.number;
        if (item.kind == ORDER_ITEM_TORN && strcmp(item.damage.path, path) == 0) {
            end->torn_bytes = item.damage.num_bytes;
            end->sound_bytes = item.damage.offset;
        }
        code = order_reader_next(reader, &item, err);
    }
    order_reader_close(&reader);
    return code;
}
