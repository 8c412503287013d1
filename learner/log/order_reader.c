#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "learner/log/frame_input.h"
#include "learner/log/order_files.h"

struct OrderReader {
    const LogDisk *disk;
    char directory[FS_PATH_MAX];
    RunId run_id;
    uint32_t num_files;
    uint64_t *bases; /* (num_files): number of each file's first record; 0: not known */
    uint32_t current;
    bool open;
    FrameInput input;
    uint64_t given; /* the highest number that was given */
};

static int read_bases(OrderReader *reader, Err *err)
{
    reader->bases = calloc(reader->num_files, sizeof *reader->bases);
    if (!reader->bases)
        return err_set(err, ERR_NOMEM, "no memory for %u files of the order log",
                       reader->num_files);
    for (uint32_t i = 0; i < reader->num_files; i++) {
        OrderHead head = {.base_number = 0};
        Err why;
        int code =
            order_file_head(reader->disk, reader->directory, i, &reader->run_id, &head, &why);
        if (code != ERR_OK && code != ERR_MISSING)
            return err_set(err, code, "%s", why.text);
        reader->bases[i] = code == ERR_OK ? head.base_number : 0;
    }
    return ERR_OK;
}

int order_reader_open(const LogDisk *disk, const char *directory, const RunId *run_id,
                      OrderReader **out, Err *err)
{
    *out = NULL;
    OrderReader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return err_set(err, ERR_NOMEM, "no memory for the order log's reader");
    reader->disk = disk;
    reader->run_id = *run_id;
    reader->input.file = -1;
    int code = fs_join(reader->directory, directory, "", err);
    if (code == ERR_OK)
        code = order_files_count(disk, directory, &reader->num_files, err);
    if (code == ERR_OK && reader->num_files > 0)
        code = read_bases(reader, err);
    if (code != ERR_OK)
        order_reader_close(&reader);
    *out = reader;
    return code;
}

void order_reader_close(OrderReader **reader)
{
    if (!*reader)
        return;
    frame_input_free(&(*reader)->input);
    free((*reader)->bases);
    free(*reader);
    *reader = NULL;
}

static int open_current(OrderReader *reader, Err *err)
{
    char path[FS_PATH_MAX];
    int code = order_file_path(reader->directory, reader->current, path, err);
    if (code != ERR_OK)
        return code;
    /* One that could not even be begun was removed again: the next one has its number and more. */
    int file = reader->disk->open(reader->disk->context, path, DISK_READ);
    if (file == -ENOENT)
        return ERR_MISSING;
    if (file >= 0)
        (void)reader->disk->close(reader->disk->context, file);
    code = frame_input_open(&reader->input, reader->disk, path,
                            order_file_salt(&reader->run_id, reader->current),
                            ORDER_PAYLOAD_BYTES_MAX, err);
    reader->open = code == ERR_OK;
    return code;
}

/* What a file holds from the next file's first number on was never counted as recorded. */
static uint64_t number_limit(const OrderReader *reader)
{
    for (uint32_t i = reader->current + 1; i < reader->num_files; i++) {
        if (reader->bases[i] > 0)
            return reader->bases[i];
    }
    return UINT64_MAX;
}

/* ERR_OK and *give, or an error: the record is damage then. */
static int decode(OrderReader *reader, const FrameItem *frame, OrderItem *item, bool *give)
{
    const uint8_t *payload = frame->frame.payload;
    size_t payload_bytes = frame->frame.payload_bytes;
    *give = false;
    int code = ERR_FORMAT;
    if (frame->offset == 0)
        return frame->frame.kind == LOG_KIND_ORDER_HEAD && reader->bases[reader->current] > 0
                   ? ERR_OK
                   : ERR_FORMAT;
    if (frame->frame.kind == LOG_KIND_BLOCK) {
        item->kind = ORDER_ITEM_BLOCK;
        code = order_block_decode(payload, payload_bytes, &item->number, &item->block, NULL);
    } else if (frame->frame.kind == LOG_KIND_EVENT) {
        item->kind = ORDER_ITEM_EVENT;
        code = order_event_decode(payload, payload_bytes, &item->number, &item->event, NULL);
    }
    if (code != ERR_OK)
        return code;
    *give = item->number > reader->given && item->number < number_limit(reader);
    if (*give)
        reader->given = item->number;
    return ERR_OK;
}

static int next_in_file(OrderReader *reader, OrderItem *item, bool *give, Err *err)
{
    FrameItem frame;
    *give = false;
    int code = frame_input_next(&reader->input, &frame, err);
    if (code != ERR_OK)
        return code;
    if (frame.kind == FRAME_ITEM_END) {
        frame_input_close(&reader->input);
        reader->open = false;
        reader->current++;
        return ERR_OK;
    }
    if (frame.kind == FRAME_ITEM_FRAME && decode(reader, &frame, item, give) == ERR_OK)
        return ERR_OK;
    item->kind = frame.kind == FRAME_ITEM_TORN ? ORDER_ITEM_TORN : ORDER_ITEM_DAMAGE;
    item->number = 0;
    item->damage = (LogDamage){reader->input.path, frame.offset, frame.num_bytes};
    *give = true;
    return ERR_OK;
}

int order_reader_next(OrderReader *reader, OrderItem *item, Err *err)
{
    while (reader->current < reader->num_files) {
        int code = reader->open ? ERR_OK : open_current(reader, err);
        if (code == ERR_MISSING) {
            reader->current++;
            continue;
        }
        bool give = false;
        if (code == ERR_OK)
            code = next_in_file(reader, item, &give, err);
        if (code != ERR_OK || give)
            return code;
    }
    item->kind = ORDER_ITEM_END;
    item->number = 0;
    return ERR_OK;
}

int order_reader_rewind(OrderReader *reader, Err *err)
{
    (void)err;
    frame_input_close(&reader->input);
    reader->open = false;
    reader->current = 0;
    reader->given = 0;
    return ERR_OK;
}

int order_reader_find(OrderReader *reader, OrderEventType type, uint64_t update, Err *err)
{
    OrderItem item = {.kind = ORDER_ITEM_DAMAGE};
    uint64_t found = 0;
    int code = order_reader_rewind(reader, err);
    while (code == ERR_OK && item.kind != ORDER_ITEM_END) {
        code = order_reader_next(reader, &item, err);
        if (code == ERR_OK && item.kind == ORDER_ITEM_EVENT && item.event.type == type &&
            item.event.update == update)
            found = item.number;
    }
    if (code == ERR_OK && found == 0)
        return err_set(err, ERR_MISSING, "the order log has no such event of update %llu",
                       (unsigned long long)update);
    if (code == ERR_OK)
        code = order_reader_rewind(reader, err);
    while (code == ERR_OK && item.number != found)
        code = order_reader_next(reader, &item, err);
    return code;
}
