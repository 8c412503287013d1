/* The keys that may connect: a directory of public key files (common/keys.h), read again and again.
 * A table never changes once it is made, so one thread may read the directory into a new table
 * while another one looks keys up in the old one. What cannot be read or is not sound is not
 * allowed. */
#ifndef POLYAK_NET_ALLOWED_KEYS_H
#define POLYAK_NET_ALLOWED_KEYS_H

#include <stdint.h>

#include "common/err.h"
#include "common/keys.h"

enum { ALLOWED_KEYS_MAX = 16384 };

typedef struct AllowedKeys AllowedKeys;

/* Reads all files DIRECTORY/NAME.pub. Those that are as they were in `before` (may be NULL) are
 * taken from there. A file that is no sound key, is called other than its key, grants nothing, or
 * has the key of another file, is not allowed; the table knows why. ERR_IO when the directory
 * cannot be read or holds more than ALLOWED_KEYS_MAX files, ERR_NOMEM: then there is no table. */
int allowed_keys_read(const char *directory, const AllowedKeys *before, AllowedKeys **table,
                      Err *err);
void allowed_keys_destroy(AllowedKeys **table);

/* NULL when the key is not allowed. */
const PublicKey *allowed_keys_find(const AllowedKeys *table, const uint8_t bytes[KEY_BYTES]);

/* The place of a key that allowed_keys_find() gave: below allowed_keys_count(). */
int allowed_keys_place(const AllowedKeys *table, const PublicKey *key);
int allowed_keys_count(const AllowedKeys *table);

/* Logs what is new in `after` (`before` may be NULL), and calls `revoked` for each key that is no
 * longer allowed, or grants something else than before. */
void allowed_keys_compare(const AllowedKeys *before, const AllowedKeys *after,
                          void (*revoked)(void *context, const PublicKey *key), void *context);

#endif
