#include "learner/log/log_reader.h"

#include <stdlib.h>
#include <string.h>

#include "learner/log/frame_input.h"
#include "learner/log/log_files.h"

typedef struct ReaderFile {
    LogFileName name;
    bool has_head;
    FileHead head;
} ReaderFile;

struct LogReader {
    const LogDisk *disk;
    char directory[FS_PATH_MAX];
    RunId run_id;
    LogDims dims;
    ReaderFile *files; /* in order */
    size_t num_files;
    size_t current; /* num_files: at the end */
    bool open;      /* the current file */
    FrameInput input;
    LogDims file_dims;     /* dims with the file's segment_steps */
    uint64_t given;        /* the highest position that was given, or passed over */
    uint64_t given_row;    /* the row behind it */
    uint64_t given_steps;  /* env steps up to it */
    uint64_t position_min; /* what ends before is not given */
    uint64_t row_min;
    SessionRecord table[LOG_TABLE_SESSIONS_MAX];
};

/* --- Opening
 * --------------------------------------------------------------------------------------- */

static int check_head(LogReader *reader, const LogFileName *name, const FileHead *head, Err *err)
{
    const LogDims *dims = &head->dims;
    if (memcmp(&head->run_id, &reader->run_id, sizeof head->run_id) != 0)
        return err_set(
            err, ERR_SPEC,
            "%.300s%s belongs to another run; move it away, or name this run's directory",
            reader->directory, name->text);
    if (reader->dims.obs_dim == 0)
        reader->dims = *dims;
    if (dims->obs_dim != reader->dims.obs_dim || dims->act_dim != reader->dims.act_dim)
        return err_set(err, ERR_SPEC,
                       "%.300s%s has obs_dim %d and act_dim %d, the run has %d and %d; use the "
                       "environment that the run began with",
                       reader->directory, name->text, dims->obs_dim, dims->act_dim,
                       reader->dims.obs_dim, reader->dims.act_dim);
    return ERR_OK;
}

/* From the newest on, so that it gives the dimensions. */
static int read_heads(LogReader *reader, const LogFileList *list, Err *err)
{
    if (list->num_files == 0)
        return ERR_OK;
    reader->files = calloc(list->num_files, sizeof *reader->files);
    if (!reader->files)
        return err_set(err, ERR_NOMEM, "no memory for the names of %zu log files", list->num_files);
    reader->num_files = list->num_files;
    for (size_t i = list->num_files; i-- > 0;) {
        ReaderFile *file = &reader->files[i];
        file->name = list->files[i];
        Err why;
        int code = log_file_head(reader->disk, reader->directory, &file->name, &file->head, &why);
        file->has_head = code == ERR_OK;
        if (code == ERR_OK)
            code = check_head(reader, &file->name, &file->head, &why);
        if (code != ERR_OK && code != ERR_MISSING)
            return err_set(err, code, "%s", why.text);
    }
    return ERR_OK;
}

int log_reader_open(const LogDisk *disk, const char *directory, const RunId *run_id,
                    const LogDims *dims, LogReader **out, Err *err)
{
    *out = NULL;
    LogReader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return err_set(err, ERR_NOMEM, "no memory for the log's reader");
    reader->disk = disk;
    reader->run_id = *run_id;
    reader->dims = *dims;
    reader->input.file = -1;
    LogFileList list = {0};
    int code = fs_join(reader->directory, directory, "", err);
    if (code == ERR_OK)
        code = log_files_list(disk, directory, &list, err);
    if (code == ERR_OK)
        code = read_heads(reader, &list, err);
    log_files_free(&list);
    if (code != ERR_OK)
        log_reader_close(&reader);
    *out = reader;
    return code;
}

void log_reader_close(LogReader **reader)
{
    if (!*reader)
        return;
    frame_input_free(&(*reader)->input);
    free((*reader)->files);
    free(*reader);
    *reader = NULL;
}

LogDims log_reader_dims(const LogReader *reader)
{
    return reader->dims;
}

const char *log_reader_newest(const LogReader *reader)
{
    return reader->num_files > 0 ? reader->files[reader->num_files - 1].name.text : NULL;
}

uint64_t log_reader_base_position(const LogReader *reader)
{
    return reader->num_files > 0 ? reader->files[reader->num_files - 1].name.base_position : 0;
}

/* --- Reading
 * --------------------------------------------------------------------------------------- */

static int open_current(LogReader *reader, Err *err)
{
    const ReaderFile *file = &reader->files[reader->current];
    char path[FS_PATH_MAX];
    int code = fs_join(path, reader->directory, file->name.text, err);
    if (code != ERR_OK)
        return code;
    reader->file_dims = reader->dims;
    if (file->has_head)
        reader->file_dims.segment_steps = file->head.dims.segment_steps;
    code = frame_input_open(&reader->input, reader->disk, path,
                            log_file_salt(&reader->run_id, &file->name),
                            log_payload_bytes_max(&reader->file_dims), err);
    reader->open = code == ERR_OK;
    return code;
}

/* Where the current file's records end: what it holds from there on was never counted as logged. */
static uint64_t position_limit(const LogReader *reader)
{
    if (reader->current + 1 < reader->num_files)
        return reader->files[reader->current + 1].name.base_position;
    return UINT64_MAX;
}

static bool take_segment(LogReader *reader, const SegmentRecord *record)
{
    if (record->position <= reader->given || record->position >= position_limit(reader))
        return false;
    reader->given = record->position;
    reader->given_row = record->row + segment_rows(&record->segment);
    reader->given_steps = record->env_steps;
    return record->position >= reader->position_min && reader->given_row > reader->row_min;
}

/* Leaves of the gap what was not given and is not begun again by the next file. */
static bool take_gap(LogReader *reader, GapRecord *gap)
{
    uint64_t end_row = gap->row + gap->rows;
    if (gap->last_position <= reader->given || gap->first_position >= position_limit(reader))
        return false;
    if (gap->first_position <= reader->given) {
        if (reader->given_row > end_row || reader->given_steps > gap->env_steps)
            return false;
        gap->first_position = reader->given + 1;
        gap->row = reader->given_row;
        gap->rows = end_row - gap->row;
        gap->steps = gap->env_steps - reader->given_steps;
    }
    reader->given = gap->last_position;
    reader->given_row = end_row;
    reader->given_steps = gap->env_steps;
    return gap->last_position >= reader->position_min && end_row > reader->row_min;
}

/* ERR_OK and *give, or the error of a decoder: the record is damage then. */
static int decode(LogReader *reader, FrameItem *frame, LogItem *item, bool *give)
{
    uint8_t *payload = frame->frame.payload;
    size_t payload_bytes = frame->frame.payload_bytes;
    size_t num_records = 1;
    int code;
    *give = true;
    if ((frame->frame.kind == LOG_KIND_HEAD) != (frame->offset == 0))
        return ERR_FORMAT;
    switch (frame->frame.kind) {
    case LOG_KIND_HEAD:
        item->kind = LOG_ITEM_HEAD;
        *give = reader->files[reader->current].has_head;
        item->head = reader->files[reader->current].head;
        return *give ? ERR_OK : ERR_FORMAT;
    case LOG_KIND_TABLE:
    case LOG_KIND_SESSION:
        item->kind = LOG_ITEM_SESSIONS;
        code = frame->frame.kind == LOG_KIND_TABLE
                   ? table_record_decode(payload, payload_bytes, reader->table, &num_records, NULL)
                   : session_record_decode(payload, payload_bytes, reader->table, NULL);
        item->sessions =
            (LogSessions){reader->table, num_records, frame->frame.kind == LOG_KIND_TABLE};
        return code;
    case LOG_KIND_SEGMENT:
        item->kind = LOG_ITEM_SEGMENT;
        if (reader->file_dims.obs_dim == 0)
            return ERR_FORMAT;
        code =
            segment_record_decode(payload, payload_bytes, &reader->file_dims, &item->segment, NULL);
        *give = code == ERR_OK && take_segment(reader, &item->segment);
        return code;
    case LOG_KIND_GAP:
        item->kind = LOG_ITEM_GAP;
        code = gap_record_decode(payload, payload_bytes, &item->gap, NULL);
        *give = code == ERR_OK && take_gap(reader, &item->gap);
        return code;
    default:
        return ERR_FORMAT;
    }
}

int log_reader_next(LogReader *reader, LogItem *item, Err *err)
{
    while (reader->current < reader->num_files) {
        int code = reader->open ? ERR_OK : open_current(reader, err);
        FrameItem frame;
        if (code == ERR_OK)
            code = frame_input_next(&reader->input, &frame, err);
        if (code != ERR_OK)
            return code;
        if (frame.kind == FRAME_ITEM_END) {
            frame_input_close(&reader->input);
            reader->open = false;
            reader->current++;
            continue;
        }
        bool give;
        if (frame.kind == FRAME_ITEM_FRAME && decode(reader, &frame, item, &give) == ERR_OK) {
            if (give)
                return ERR_OK;
            continue;
        }
        item->kind = frame.kind == FRAME_ITEM_TORN ? LOG_ITEM_TORN : LOG_ITEM_DAMAGE;
        item->damage = (LogDamage){reader->input.path, frame.offset, frame.num_bytes};
        return ERR_OK;
    }
    item->kind = LOG_ITEM_END;
    return ERR_OK;
}

/* --- Seeking
 * --------------------------------------------------------------------------------------- */

static void go_to(LogReader *reader, size_t current)
{
    frame_input_close(&reader->input);
    reader->open = false;
    reader->current = current;
    reader->given = 0;
    reader->given_row = 0;
    reader->given_steps = 0;
    reader->position_min = 0;
    reader->row_min = 0;
}

static size_t file_of_row(const LogReader *reader, uint64_t row)
{
    for (size_t i = reader->num_files; i-- > 0;) {
        if (reader->files[i].has_head && reader->files[i].head.base_row <= row)
            return i;
    }
    return 0;
}

int log_reader_seek_position(LogReader *reader, uint64_t position, Err *err)
{
    (void)err;
    size_t i = reader->num_files;
    while (i > 1 && reader->files[i - 1].name.base_position > position)
        i--;
    go_to(reader, i > 0 ? i - 1 : 0);
    reader->position_min = position;
    return ERR_OK;
}

int log_reader_seek_row(LogReader *reader, uint64_t row, Err *err)
{
    (void)err;
    go_to(reader, file_of_row(reader, row));
    reader->row_min = row;
    return ERR_OK;
}

int log_reader_seek_file(LogReader *reader, uint64_t row, Err *err)
{
    (void)err;
    go_to(reader, file_of_row(reader, row));
    return ERR_OK;
}
