/* A disk in memory that fails and loses power as a test says. Behind the same table of functions as
 * the real one. One thread; for tests and simulators only.
 *
 * A file survives a power loss if its directory was synced after it was made, and its bytes as far
 * as the file was synced. Of the rest a random part may survive. Removing a file cannot be undone.
 */
#ifndef POLYAK_TESTS_LEARNER_LOG_MEMORY_DISK_H
#define POLYAK_TESTS_LEARNER_LOG_MEMORY_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rng.h"
#include "learner/log/disk.h"

typedef struct MemoryDisk MemoryDisk;

typedef enum MemoryDiskCall { /* bits of MemoryDiskFault.calls */
                              MEMORY_DISK_OPEN = 1,
                              MEMORY_DISK_WRITE = 2,
                              MEMORY_DISK_READ = 4,
                              MEMORY_DISK_SYNC = 8,
                              MEMORY_DISK_TRUNCATE = 16,
                              MEMORY_DISK_REMOVE = 32,
                              MEMORY_DISK_LIST = 64,
                              MEMORY_DISK_SYNC_DIR = 128,
                              MEMORY_DISK_ANY = 255,
} MemoryDiskCall;

/* Calls of the kinds `calls`, from the `first`-th from now (1 is the next), `count` in succession,
 * fail with `error` (such as EIO). A failing write first writes a part when `short_write`. */
typedef struct MemoryDiskFault {
    uint32_t calls;
    uint64_t first;
    uint64_t count;
    int error;
    bool short_write;
} MemoryDiskFault;

MemoryDisk *memory_disk_new(void);
void memory_disk_destroy(MemoryDisk **disk);

/* Valid as long as the disk. */
const LogDisk *memory_disk_table(MemoryDisk *disk);

/* Replaces the fault; NULL takes it away. */
void memory_disk_fault(MemoryDisk *disk, const MemoryDiskFault *fault);

/* Room for all files together; writes beyond write what fits and then fail with ENOSPC. */
void memory_disk_space(MemoryDisk *disk, uint64_t bytes_max);

/* No write writes more than this in one call; 0: no limit. */
void memory_disk_write_max(MemoryDisk *disk, size_t num_bytes);

/* Calls so far, of any kind; bytes of all files. */
uint64_t memory_disk_calls(const MemoryDisk *disk);
uint64_t memory_disk_bytes(const MemoryDisk *disk);

/* Everything not synced is gone; with `rng`, a random part of it survives, and it may end in bytes
 * that were never written. Handles are stale, and faults taken away. */
void memory_disk_power_loss(MemoryDisk *disk, Rng *rng);

/* The process died: its handles are stale, and nothing is lost. Its writers and readers may still
 * be destroyed. */
void memory_disk_process_death(MemoryDisk *disk);

/* A file's bytes, for tests that read or damage them: NULL when it is not there. */
uint8_t *memory_disk_file(MemoryDisk *disk, const char *path, size_t *num_bytes);

/* Makes or replaces a file, synced. */
void memory_disk_put(MemoryDisk *disk, const char *path, const void *bytes, size_t num_bytes);

/* The number of files, and the path of the i-th, sorted. */
size_t memory_disk_num_files(const MemoryDisk *disk);
const char *memory_disk_path(const MemoryDisk *disk, size_t i);

#endif
