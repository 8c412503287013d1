/* The directory of checkpoints: which are there, which is newest, which may go. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "common/fs.h"
#include "common/log.h"
#include "learner/agent/checkpoint.h"

enum { NAME_BYTES = 64 };

static void checkpoint_name(char name[NAME_BYTES], uint64_t updates)
{
    snprintf(name, NAME_BYTES, "checkpoint-%012" PRIu64 ".safetensors", updates);
}

/* Whether `name` is one that checkpoint_name() makes, and of how many updates. */
static bool parse_name(const char *name, uint64_t *updates)
{
    static const char prefix[] = "checkpoint-";
    char again[NAME_BYTES];
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    *updates = strtoull(name + sizeof prefix - 1, NULL, 10);
    checkpoint_name(again, *updates);
    return strcmp(name, again) == 0;
}

/* Whether `name` is what an interrupted write of a checkpoint left behind. */
static bool is_leftover(const char *name)
{
    size_t stem;
    char target[NAME_BYTES];
    uint64_t updates;
    if (!fs_is_temporary(name, &stem) || stem >= sizeof target)
        return false;
    memcpy(target, name, stem);
    target[stem] = '\0';
    return parse_name(target, &updates) || strcmp(target, CHECKPOINT_BEST) == 0;
}

/* Update numbers of the checkpoints in a directory, newest first. */
typedef struct Listing {
    uint64_t *updates; /* (count) malloc'ed */
    size_t count;
} Listing;

static int compare_newest_first(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? 1 : left > right ? -1 : 0;
}

static bool listing_add(Listing *listing, uint64_t updates)
{
    /* Grows at every power of two. */
    if ((listing->count & (listing->count - 1)) == 0) {
        size_t room = listing->count == 0 ? 1 : listing->count * 2;
        uint64_t *larger = realloc(listing->updates, room * sizeof *larger);
        if (!larger)
            return false;
        listing->updates = larger;
    }
    listing->updates[listing->count++] = updates;
    return true;
}

/* ERR_MISSING when there is no directory. The caller frees listing->updates, also on failure. */
static int list_checkpoints(const char *directory, Listing *listing, Err *err)
{
    *listing = (Listing){0};
    DIR *open = opendir(directory);
    if (!open)
        return err_set(err, errno == ENOENT ? ERR_MISSING : ERR_IO,
                       "cannot read the checkpoints of %s: %s", directory, strerror(errno));
    int code = ERR_OK;
    struct dirent *entry;
    errno = 0;
    while (code == ERR_OK && (entry = readdir(open)) != NULL) {
        uint64_t updates;
        if (parse_name(entry->d_name, &updates) && !listing_add(listing, updates))
            code = err_set(err, ERR_NOMEM, "not enough memory to list %s", directory);
        errno = 0;
    }
    if (code == ERR_OK && errno != 0)
        code = err_set(err, ERR_IO, "cannot read the checkpoints of %s: %s", directory,
                       strerror(errno));
    closedir(open);
    if (listing->count > 0)
        qsort(listing->updates, listing->count, sizeof *listing->updates, compare_newest_first);
    return code;
}

static void delete_file(const char *directory, const char *name)
{
    char path[FS_PATH_MAX];
    if (fs_join(path, directory, name, NULL) != ERR_OK)
        return;
    if (unlink(path) != 0 && errno != ENOENT)
        log_warn("cannot delete the old file %s: %s; delete it by hand", path, strerror(errno));
}

static void delete_leftovers(const char *directory)
{
    DIR *open = opendir(directory);
    if (!open)
        return; /* the write that follows says why */
    struct dirent *entry;
    while ((entry = readdir(open)) != NULL) {
        if (is_leftover(entry->d_name))
            delete_file(directory, entry->d_name);
    }
    closedir(open);
}

/* Deletes all but the newest `keep` of those up to `updates`. What fails is warned of only: the new
 * checkpoint is safe. */
static void prune(const char *directory, uint64_t updates, int keep)
{
    Listing listing;
    Err err;
    int kept = 0;
    if (list_checkpoints(directory, &listing, &err) != ERR_OK)
        log_warn("old checkpoints are not deleted: %s", err.text);
    for (size_t i = 0; i < listing.count; i++) {
        if (listing.updates[i] > updates)
            continue;
        if (kept < keep) {
            kept++;
            continue;
        }
        char name[NAME_BYTES];
        checkpoint_name(name, listing.updates[i]);
        delete_file(directory, name);
    }
    free(listing.updates);
}

uint64_t checkpoint_bytes(const DdpgState *ddpg)
{
    const uint64_t metadata = 32768; /* and names of tensors */
    return metadata + 4 * sizeof(float) * (ddpg->actor.num_params + ddpg->critic.num_params);
}

int checkpoint_save(const char *directory, const DdpgState *ddpg, const RunState *run, int keep,
                    Err *err)
{
    CHECK(keep >= 1);
    char name[NAME_BYTES];
    char path[FS_PATH_MAX];
    checkpoint_name(name, run->updates);
    int code = fs_join(path, directory, name, err);
    if (code == ERR_OK)
        code = fs_make_dirs(directory, err);
    if (code != ERR_OK)
        return code;
    /* Before the write: where the disk is full, what a crash left may be what fills it. */
    delete_leftovers(directory);
    code = checkpoint_write(path, ddpg, run, err);
    if (code == ERR_OK)
        prune(directory, run->updates, keep);
    return code;
}

/* Whether an older file can stand in for one that failed so: not when memory is out, nor when a
 * newer Polyak wrote it. */
static bool may_pass_over(int code)
{
    return code == ERR_FORMAT || code == ERR_CHECKSUM || code == ERR_IO || code == ERR_MISSING;
}

static int take_path(const char *from, char *path, int path_bytes, Err *err)
{
    size_t length = strlen(from);
    if (length >= (size_t)path_bytes)
        return err_set(err, ERR_USAGE, "the path %s is too long", from);
    memcpy(path, from, length + 1);
    return ERR_OK;
}

int checkpoint_path(const char *directory, uint64_t updates, char *path, int path_bytes, Err *err)
{
    char name[NAME_BYTES];
    char joined[FS_PATH_MAX];
    checkpoint_name(name, updates);
    int code = fs_join(joined, directory, name, err);
    return code == ERR_OK ? take_path(joined, path, path_bytes, err) : code;
}

int checkpoint_find_oldest(const char *directory, char *path, int path_bytes, Err *err)
{
    Listing listing;
    int code = list_checkpoints(directory, &listing, err);
    if (code == ERR_OK && listing.count == 0)
        code = err_set(err, ERR_MISSING, "there is no checkpoint in %s yet", directory);
    if (code == ERR_OK)
        code =
            checkpoint_path(directory, listing.updates[listing.count - 1], path, path_bytes, err);
    free(listing.updates);
    return code;
}

int checkpoint_find_newest(const char *directory, char *path, int path_bytes, Err *err)
{
    Listing listing;
    int code = list_checkpoints(directory, &listing, err);
    if (code == ERR_OK && listing.count == 0)
        code = err_set(err, ERR_MISSING, "there is no checkpoint in %s yet", directory);
    bool found = false;
    char candidate[FS_PATH_MAX] = "";
    for (size_t i = 0; code == ERR_OK && !found && i < listing.count; i++) {
        char name[NAME_BYTES];
        RunState run;
        Err reason;
        checkpoint_name(name, listing.updates[i]);
        code = fs_join(candidate, directory, name, err);
        if (code != ERR_OK)
            break;
        code = checkpoint_read_run(candidate, &run, &reason);
        found = code == ERR_OK;
        if (may_pass_over(code)) {
            log_warn("checkpoint passed over: %s", reason.text);
            code = ERR_OK;
        } else if (!found) {
            err_set(err, code, "%s", reason.text);
        }
    }
    if (code == ERR_OK && !found)
        code = err_set(err, ERR_CHECKSUM,
                       "none of the %zu checkpoints in %s is sound; look whether %s is",
                       listing.count, directory, CHECKPOINT_BEST);
    free(listing.updates);
    return code == ERR_OK ? take_path(candidate, path, path_bytes, err) : code;
}

int checkpoint_resolve(const char *run_dir, const char *which, char *path, int path_bytes, Err *err)
{
    bool newest = strcmp(which, "newest") == 0;
    bool best = strcmp(which, "best") == 0;
    bool has_run_dir = run_dir && run_dir[0] != '\0';
    char directory[FS_PATH_MAX];
    char candidate[FS_PATH_MAX] = "";
    if (!newest && !best && fs_exists(which))
        return take_path(which, path, path_bytes, err);
    if (!has_run_dir && (newest || best))
        return err_set(err, ERR_USAGE, "the %s checkpoint of which run? name it with --run-dir",
                       which);
    if (!has_run_dir)
        return err_set(err, ERR_MISSING, "there is no checkpoint %s", which);

    int code = fs_join(directory, run_dir, CHECKPOINT_DIRECTORY, err);
    if (code == ERR_OK && newest)
        return checkpoint_find_newest(directory, path, path_bytes, err);
    if (code == ERR_OK)
        code = fs_join(candidate, directory, best ? CHECKPOINT_BEST : which, err);
    if (code != ERR_OK)
        return code;
    if (fs_exists(candidate))
        return take_path(candidate, path, path_bytes, err);
    if (best)
        return err_set(err, ERR_MISSING,
                       "there is no best checkpoint in %s: no evaluation has finished yet",
                       directory);
    return err_set(err, ERR_MISSING, "there is no checkpoint %s, here or in %s", which, directory);
}
