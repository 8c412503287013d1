/* Reads the replay log in the order in which it was written. One owner at a time.
 *
 * What always holds: a segment that is given was written so, byte for byte. The positions of
 * segments and gaps only rise, and each is given at most once: what a file holds from the next
 * file's base position on was never counted as logged, and is passed over. Damage is reported, and
 * reading goes on after it. */
#ifndef POLYAK_LEARNER_LOG_LOG_READER_H
#define POLYAK_LEARNER_LOG_LOG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "learner/log/disk.h"
#include "learner/log/format.h"

typedef enum LogItemKind {
    LOG_ITEM_HEAD,     /* a file begins */
    LOG_ITEM_SESSIONS, /* a piece of the table at a file's head, or a session that is new or changed
                        */
    LOG_ITEM_SEGMENT,
    LOG_ITEM_GAP,    /* what of it was not given as segments */
    LOG_ITEM_DAMAGE, /* bytes that are no record, before others that are */
    LOG_ITEM_TORN,   /* bytes that are no record, up to the file's end */
    LOG_ITEM_END,    /* of the newest file */
} LogItemKind;

/* Where bytes are not what they should be. */
typedef struct LogDamage {
    const char *path; /* of the file */
    uint64_t offset;
    uint64_t num_bytes;
} LogDamage;

typedef struct LogSessions {
    const SessionRecord *records;
    size_t num_records;
    bool table; /* of the table at the file's head; otherwise a session that is new or changed */
} LogSessions;

typedef struct LogItem {
    LogItemKind kind;
    union {
        FileHead head;
        LogSessions sessions;
        SegmentRecord segment;
        GapRecord gap;
        LogDamage damage; /* of DAMAGE and TORN */
    };
} LogItem;

typedef struct LogReader LogReader;

/* Lists the files and reads their heads. An empty directory is fine. `dims` may have obs_dim 0:
 * then the newest file's are taken (log_reader_dims). ERR_SPEC: another run, or other dimensions.
 * ERR_VERSION: another format. ERR_IO, ERR_NOMEM. */
int log_reader_open(const LogDisk *disk, const char *directory, const RunId *run_id,
                    const LogDims *dims, LogReader **out, Err *err);
void log_reader_close(LogReader **reader);

/* obs_dim is 0 while nobody has said. */
LogDims log_reader_dims(const LogReader *reader);

/* The newest file's name, and where it begins by its name; NULL and 0 when there is none. */
const char *log_reader_newest(const LogReader *reader);
uint64_t log_reader_base_position(const LogReader *reader);

/* The next item; what it points to is valid until the next call. After LOG_ITEM_END it gives END
 * again. ERR_IO when the disk cannot be read. */
int log_reader_next(LogReader *reader, LogItem *item, Err *err);

/* Goes on from the file that holds it, found by the heads alone; segments and gaps that end before
 * the position (or the replay row) are not given. Also backwards. */
int log_reader_seek_position(LogReader *reader, uint64_t position, Err *err);
int log_reader_seek_row(LogReader *reader, uint64_t row, Err *err);

/* The same file, but from its head on, with all that it holds. */
int log_reader_seek_file(LogReader *reader, uint64_t row, Err *err);

#endif
