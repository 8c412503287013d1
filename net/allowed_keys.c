#include "net/allowed_keys.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/log.h"

enum { LINES_MAX = 20 /* of one comparison */ };

/* What tells whether a file is as it was. */
typedef struct Signature {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
    struct timespec changed;
} Signature;

typedef struct KeyFile {
    char file[NAME_MAX + 1];
    Signature signature;
    int code;      /* of reading it: ERR_OK, or why its key is not allowed */
    bool doubled;  /* its key is another file's, too */
    char why[256]; /* for a person; empty when the key is allowed */
    PublicKey key;
} KeyFile;

typedef struct AllowedKey {
    uint8_t bytes[KEY_BYTES];
    int file; /* its place */
} AllowedKey;

struct AllowedKeys {
    KeyFile *files; /* by the file's name */
    int num_files;
    int capacity;
    AllowedKey *allowed; /* by the key's bytes */
    int num_allowed;
};

/* --- Reading -----------------------------------------------------------------------------------
 */

static bool is_key_file(const char *name)
{
    /* Names that begin with a dot are other things: temporary files, a Kubernetes volume's inner
     * directories. */
    size_t length = strlen(name);
    return name[0] != '.' && length > 4 && strcmp(name + length - 4, ".pub") == 0;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const KeyFile *)a)->file, ((const KeyFile *)b)->file);
}

static int compare_bytes(const void *a, const void *b)
{
    return memcmp(((const AllowedKey *)a)->bytes, ((const AllowedKey *)b)->bytes, KEY_BYTES);
}

static const KeyFile *find_file(const AllowedKeys *table, const char *name)
{
    if (!table || table->num_files == 0)
        return NULL;
    KeyFile wanted = {.code = ERR_OK};
    snprintf(wanted.file, sizeof wanted.file, "%s", name);
    return bsearch(&wanted, table->files, (size_t)table->num_files, sizeof *table->files,
                   compare_files);
}

static bool add_file(AllowedKeys *table, const char *name)
{
    if (table->num_files == table->capacity) {
        int capacity = table->capacity ? 2 * table->capacity : 64;
        KeyFile *files = realloc(table->files, (size_t)capacity * sizeof *files);
        if (!files)
            return false;
        table->files = files;
        table->capacity = capacity;
    }
    KeyFile *file = &table->files[table->num_files++];
    memset(file, 0, sizeof *file);
    snprintf(file->file, sizeof file->file, "%s", name);
    return true;
}

static int list_files(AllowedKeys *table, const char *directory, Err *err)
{
    DIR *open = opendir(directory);
    if (!open)
        return err_set(err, ERR_IO, "the allowed keys in %s cannot be read: %s", directory,
                       strerror(errno));
    int code = ERR_OK;
    while (code == ERR_OK) {
        errno = 0;
        const struct dirent *entry = readdir(open);
        if (!entry && errno != 0)
            code = err_set(err, ERR_IO, "the allowed keys in %s cannot be read: %s", directory,
                           strerror(errno));
        if (!entry)
            break;
        if (!is_key_file(entry->d_name))
            continue;
        if (table->num_files == ALLOWED_KEYS_MAX)
            code = err_set(err, ERR_IO, "%s has more than %d keys: take some away", directory,
                           ALLOWED_KEYS_MAX);
        else if (!add_file(table, entry->d_name))
            code = err_set(err, ERR_NOMEM, "out of memory for the allowed keys");
    }
    closedir(open);
    return code;
}

static bool same_signature(const Signature *a, const Signature *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static int refuse(KeyFile *file, int code, const char *why)
{
    snprintf(file->why, sizeof file->why, "%s", why);
    file->code = code;
    return code;
}

static void read_file(KeyFile *file, const char *directory, const AllowedKeys *before)
{
    char path[FS_PATH_MAX];
    struct stat info;
    Err err = {""};
    if (fs_join(path, directory, file->file, &err) != ERR_OK) {
        refuse(file, ERR_IO, err.text);
        return;
    }
    if (stat(path, &info) != 0) {
        refuse(file, ERR_IO, strerror(errno));
        return;
    }
    file->signature =
        (Signature){info.st_dev, info.st_ino, info.st_size, info.st_mtim, info.st_ctim};
    const KeyFile *old = find_file(before, file->file);
    /* What could not be read is tried again even when it looks the same. */
    if (old && old->code != ERR_IO && same_signature(&old->signature, &file->signature)) {
        *file = *old;
        if (file->doubled)
            file->why[0] = '\0'; /* to be found again */
        file->doubled = false;
        return;
    }
    int code = keys_read_public(path, &file->key, &err);
    size_t stem = strlen(file->file) - 4;
    if (code != ERR_OK)
        refuse(file, code == ERR_MISSING ? ERR_IO : code, err.text);
    else if (strlen(file->key.name) != stem || strncmp(file->key.name, file->file, stem) != 0)
        refuse(file, ERR_FORMAT, "the file is not called NAME.pub after the name in it");
    else if (file->key.roles == 0)
        refuse(file, ERR_FORMAT, "the key grants no role: make one with polyak keygen --roles");
}

/* The files of two keys in a row say that they are the same. */
static void refuse_doubled(AllowedKeys *table, const AllowedKey *first, const AllowedKey *second)
{
    char why[sizeof table->files->why];
    KeyFile *files[2] = {&table->files[first->file], &table->files[second->file]};
    snprintf(why, sizeof why, "the same key stands in two files: %.80s and %.80s", files[0]->file,
             files[1]->file);
    for (int i = 0; i < 2; i++) {
        files[i]->doubled = true;
        memcpy(files[i]->why, why, sizeof why);
    }
}

/* Sorts the sound keys, and takes out those that stand in several files: it cannot be told whose
 * they are. */
static int index_keys(AllowedKeys *table, Err *err)
{
    AllowedKey *keys = calloc((size_t)table->num_files + 1, sizeof *keys);
    if (!keys)
        return err_set(err, ERR_NOMEM, "out of memory for the allowed keys");
    int count = 0;
    for (int i = 0; i < table->num_files; i++) {
        if (table->files[i].code != ERR_OK)
            continue;
        memcpy(keys[count].bytes, table->files[i].key.bytes, KEY_BYTES);
        keys[count++].file = i;
    }
    qsort(keys, (size_t)count, sizeof *keys, compare_bytes);
    for (int i = 0; i + 1 < count; i++) {
        if (compare_bytes(&keys[i], &keys[i + 1]) == 0)
            refuse_doubled(table, &keys[i], &keys[i + 1]);
    }
    for (int i = 0; i < count; i++) {
        if (!table->files[keys[i].file].doubled)
            keys[table->num_allowed++] = keys[i];
    }
    table->allowed = keys;
    return ERR_OK;
}

int allowed_keys_read(const char *directory, const AllowedKeys *before, AllowedKeys **table_pointer,
                      Err *err)
{
    AllowedKeys *table = calloc(1, sizeof *table);
    if (!table)
        return err_set(err, ERR_NOMEM, "out of memory for the allowed keys");
    int code = list_files(table, directory, err);
    if (code == ERR_OK) {
        if (table->num_files > 0)
            qsort(table->files, (size_t)table->num_files, sizeof *table->files, compare_files);
        for (int i = 0; i < table->num_files; i++)
            read_file(&table->files[i], directory, before);
        code = index_keys(table, err);
    }
    if (code != ERR_OK)
        allowed_keys_destroy(&table);
    *table_pointer = table;
    return code;
}

void allowed_keys_destroy(AllowedKeys **table)
{
    if (!*table)
        return;
    free((*table)->files);
    free((*table)->allowed);
    free(*table);
    *table = NULL;
}

/* --- Looking up --------------------------------------------------------------------------------
 */

static int find_place(const AllowedKeys *table, const uint8_t bytes[KEY_BYTES])
{
    int low = 0;
    int high = table ? table->num_allowed : 0;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = memcmp(bytes, table->allowed[middle].bytes, KEY_BYTES);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

static const PublicKey *allowed_key(const AllowedKeys *table, int place)
{
    return &table->files[table->allowed[place].file].key;
}

const PublicKey *allowed_keys_find(const AllowedKeys *table, const uint8_t bytes[KEY_BYTES])
{
    int place = find_place(table, bytes);
    return table && place >= 0 ? allowed_key(table, place) : NULL;
}

int allowed_keys_place(const AllowedKeys *table, const PublicKey *key)
{
    return find_place(table, key->bytes);
}

int allowed_keys_count(const AllowedKeys *table)
{
    return table->num_allowed;
}

/* --- What is new -------------------------------------------------------------------------------
 */

/* Whether another line may be logged of this comparison; a directory may have thousands. */
static bool may_say(int *lines)
{
    if (*lines == LINES_MAX)
        log_info("… and more changes of the allowed keys");
    return (*lines)++ < LINES_MAX;
}

static void say_new(const AllowedKeys *before, const KeyFile *file, int *lines)
{
    const KeyFile *old = find_file(before, file->file);
    char roles[KEY_ROLES_TEXT_BYTES];
    if (file->why[0] != '\0') {
        if ((!old || strcmp(old->why, file->why) != 0) && may_say(lines))
            log_warn("%s is not allowed: %s", file->file, file->why);
        return;
    }
    const PublicKey *known = allowed_keys_find(before, file->key.bytes);
    if (before && (!known || known->roles != file->key.roles) && may_say(lines))
        log_info("key %s is allowed as %s", file->key.name,
                 keys_format_roles(file->key.roles, roles));
}

void allowed_keys_compare(const AllowedKeys *before, const AllowedKeys *after,
                          void (*revoked)(void *context, const PublicKey *key), void *context)
{
    int lines = 0;
    for (int i = 0; before && i < before->num_allowed; i++) {
        const PublicKey *key = allowed_key(before, i);
        const PublicKey *now = allowed_keys_find(after, key->bytes);
        if (now && now->roles == key->roles && strcmp(now->name, key->name) == 0)
            continue;
        if (!now && may_say(&lines))
            log_info("key %s is no longer allowed", key->name);
        revoked(context, key);
    }
    for (int i = 0; after->files && i < after->num_files; i++)
        say_new(before, &after->files[i], &lines);
}
