/* Keys and a directory of allowed ones, for tests of the learner's trust. */
#ifndef POLYAK_TESTS_NET_KEY_DIRECTORY_H
#define POLYAK_TESTS_NET_KEY_DIRECTORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "common/fs.h"
#include "common/keys.h"
#include "tests/common/scratch.h"

typedef struct KeyDirectory {
    Scratch scratch;
    char allowed[128];
} KeyDirectory;

static inline KeyDirectory key_directory_make(void)
{
    KeyDirectory keys = {.scratch = scratch_make()};
    Err err;
    snprintf(keys.allowed, sizeof keys.allowed, "%s/allowed", keys.scratch.path);
    assert_int_equal(fs_make_dirs(keys.allowed, &err), 0);
    return keys;
}

/* Makes NAME.key and NAME.pub beside the directory. */
static inline SecretKey key_directory_new_key(const KeyDirectory *keys, const char *name,
                                              unsigned roles)
{
    SecretKey key = {.name = ""};
    Err err;
    snprintf(key.name, sizeof key.name, "%s", name);
    assert_int_equal(zmq_curve_keypair(key.public_text, key.secret_text), 0);
    if (keys_write_pair(keys->scratch.path, &key, roles, &err) != 0)
        fail_msg("%s", err.text);
    return key;
}

static inline void key_directory_path(const KeyDirectory *keys, const char *file, char out[256])
{
    snprintf(out, 256, "%s/%s", keys->allowed, file);
}

/* Copies FROM.pub into the directory as TO.pub: written beside, and renamed into place. */
static inline void key_directory_allow_as(const KeyDirectory *keys, const char *from,
                                          const char *to)
{
    char path[256], file[96];
    size_t bytes = 0;
    Err err;
    snprintf(file, sizeof file, "%s.pub", from);
    unsigned char *text = scratch_read(scratch_path(&keys->scratch, file), &bytes);
    snprintf(file, sizeof file, "%s.pub", to);
    key_directory_path(keys, file, path);
    assert_int_equal(fs_write_file(path, text, bytes, &err), 0);
    free(text);
}

static inline void key_directory_allow(const KeyDirectory *keys, const char *name)
{
    key_directory_allow_as(keys, name, name);
}

static inline SecretKey key_directory_add(const KeyDirectory *keys, const char *name,
                                          unsigned roles)
{
    SecretKey key = key_directory_new_key(keys, name, roles);
    key_directory_allow(keys, name);
    return key;
}

static inline void key_directory_revoke(const KeyDirectory *keys, const char *name)
{
    char path[256], file[96];
    snprintf(file, sizeof file, "%s.pub", name);
    key_directory_path(keys, file, path);
    assert_int_equal(remove(path), 0);
}

#endif
