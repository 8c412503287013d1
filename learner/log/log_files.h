/* The files of the logs in a directory: names, order, bytes, and which are no longer needed. Pure
 * but for the disk; one owner of the directory. */
#ifndef POLYAK_LEARNER_LOG_LOG_FILES_H
#define POLYAK_LEARNER_LOG_LOG_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/fs.h"
#include "learner/log/disk.h"
#include "learner/log/format.h"

enum { LOG_NAME_BYTES = 48 };

/* A file's name, log-<base position>-<epoch>-<number>.plog in hexadecimal digits of fixed width, so
 * that names sort as files were begun. */
typedef struct LogFileName {
    char text[LOG_NAME_BYTES];
    uint64_t base_position;
    uint32_t epoch;
    uint32_t number; /* of the files with equal base position and epoch, from 0 */
} LogFileName;

typedef struct LogFileList {
    LogFileName *files; /* in order */
    size_t num_files;
} LogFileList;

void log_file_name(uint64_t base_position, uint32_t epoch, uint32_t number, LogFileName *name);
bool log_file_name_parse(const char *text, LogFileName *name);

/* Seeds the checksums of a file's records. A record is sound in the file, and at the offset, where
 * it was written. */
uint64_t log_file_salt(const RunId *run_id, const LogFileName *name);

/* All replay log files; others in the directory are passed over. ERR_IO, ERR_NOMEM. */
int log_files_list(const LogDisk *disk, const char *directory, LogFileList *list, Err *err);
void log_files_free(LogFileList *list);

/* Reads a file's head. ERR_MISSING when it has no sound one; ERR_VERSION, ERR_IO. */
int log_file_head(const LogDisk *disk, const char *directory, const LogFileName *name,
                  FileHead *head, Err *err);

/* Bytes of all logs in the directory, the order log too. */
int log_files_bytes(const LogDisk *disk, const char *directory, uint64_t *num_bytes, Err *err);

/* Removes the files whose records all lie before replay row `row_needed`, oldest first, never the
 * newest. A file ends where the next one begins; one whose next has no sound head stays. While a
 * writer is there, call log_writer_prune(): the newest session table must be synced first. */
int log_files_prune(const LogDisk *disk, const char *directory, uint64_t row_needed,
                    size_t *num_removed, uint64_t *bytes_removed, Err *err);

#endif
