/* A directory of a test's own, and small tools for the files in it. For tests only. */
#ifndef POLYAK_TESTS_COMMON_SCRATCH_H
#define POLYAK_TESTS_COMMON_SCRATCH_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"

typedef struct Scratch {
    char path[64];
} Scratch;

static inline Scratch scratch_make(void)
{
    Scratch scratch = {"/tmp/polyak-test-XXXXXX"};
    CHECK(mkdtemp(scratch.path));
    return scratch;
}

static inline int scratch_remove_entry(const char *path, const struct stat *info, int type,
                                       struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static inline void scratch_remove(Scratch *scratch)
{
    CHECK(nftw(scratch->path, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* The path of `name` in the directory; valid until the fourth call after this one. */
static inline const char *scratch_path(const Scratch *scratch, const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    CHECK(snprintf(path, sizeof paths[0], "%s/%s", scratch->path, name) < (int)sizeof paths[0]);
    return path;
}

static inline int scratch_count(const char *directory)
{
    DIR *open = opendir(directory);
    CHECK(open);
    int count = 0;
    struct dirent *entry;
    while ((entry = readdir(open)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(open);
    return count;
}

/* Reads a file into malloc'ed memory with nothing of the code under test. */
static inline unsigned char *scratch_read(const char *path, size_t *num_bytes)
{
    FILE *file = fopen(path, "rb");
    CHECK(file);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    CHECK(size >= 0);
    rewind(file);
    unsigned char *bytes = malloc((size_t)size + 1);
    CHECK(bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    *num_bytes = (size_t)size;
    return bytes;
}

static inline void scratch_write(const char *path, const void *bytes, size_t num_bytes)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, num_bytes, file) == num_bytes && fclose(file) == 0);
}

#endif
