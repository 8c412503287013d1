/* The files of the order log: order.plog, then order-1.plog and so on. Private to the log. */
#ifndef POLYAK_LEARNER_LOG_ORDER_FILES_H
#define POLYAK_LEARNER_LOG_ORDER_FILES_H

#include <stdbool.h>

#include "common/fs.h"
#include "learner/log/order_format.h"

/* One past the highest file number of the directory; 0 when there is no file. */
int order_files_count(const LogDisk *disk, const char *directory, uint32_t *num_files, Err *err);

int order_file_path(const char *directory, uint32_t number, char path[FS_PATH_MAX], Err *err);
uint64_t order_file_salt(const RunId *run_id, uint32_t number);

/* Reads a file's head. ERR_MISSING when there is no file or no sound head; ERR_SPEC (another run),
 * ERR_VERSION, ERR_IO. */
int order_file_head(const LogDisk *disk, const char *directory, uint32_t number,
                    const RunId *run_id, OrderHead *head, Err *err);

/* For the writer: where the newest file's sound records end, and its size. */
typedef struct OrderEnd {
    uint64_t last_number; /* of the last record in all files */
    bool has_head;        /* the newest file has a sound one */
    uint64_t sound_bytes; /* of the newest file, without its torn tail */
    uint64_t torn_bytes;
} OrderEnd;

int order_files_end(const LogDisk *disk, const char *directory, const RunId *run_id, OrderEnd *end,
                    Err *err);

#endif
