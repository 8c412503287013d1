/* Key files: who a program is, and whom a learner lets in. Only the format and its files; what is
 * done with a key is for those who open sockets.
 *
 *     NAME.key, mode 0600        NAME.pub, mode 0644
 *     polyak-key 1 secret        polyak-key 1 public
 *     name node7                 name node7
 *     public AbC…                roles actor,evaluator
 *     secret XyZ…                public AbC…
 *
 * Keys are 32 bytes as 40 characters of Z85, as ZeroMQ's CURVE has them. Empty lines and lines that
 * begin with '#' are passed over. A key without roles is a learner's. Plain functions; any
 * thread. */
#ifndef POLYAK_COMMON_KEYS_H
#define POLYAK_COMMON_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum {
    KEY_BYTES = 32,
    KEY_TEXT_CHARS = 40,
    KEY_NAME_MAX = 63,
    KEY_FILE_BYTES_MAX = 4096,
    KEY_ROLES_TEXT_BYTES = 64, /* holds all roles as text */
};

/* What a key may do: a set. The bits are 1 << Role of the wire. */
enum {
    KEY_ROLE_ACTOR = 1,
    KEY_ROLE_EVALUATOR = 2,
    KEY_ROLE_OBSERVER = 4,
    KEY_ROLE_OPERATOR = 8,
    KEY_ROLE_RELAY = 16, /* may speak for peers of the other roles that its key has */
};

typedef struct PublicKey {
    char name[KEY_NAME_MAX + 1];
    unsigned roles;
    char text[KEY_TEXT_CHARS + 1];
    uint8_t bytes[KEY_BYTES];
} PublicKey;

/* To be wiped by keys_wipe() when it is no longer needed. */
typedef struct SecretKey {
    char name[KEY_NAME_MAX + 1];
    char public_text[KEY_TEXT_CHARS + 1];
    char secret_text[KEY_TEXT_CHARS + 1];
} SecretKey;

/* 1 to KEY_NAME_MAX letters, digits, '-', '_' and '.', the first a letter or digit: it is a file's
 * name, and stands in logs. ERR_USAGE. */
int keys_check_name(const char *name, Err *err);

/* Reads "actor,evaluator"; ERR_USAGE for an empty list and a word that is no role. */
int keys_parse_roles(const char *text, unsigned *roles, Err *err);
const char *keys_format_roles(unsigned roles, char out[KEY_ROLES_TEXT_BYTES]);

/* Reads the bytes of a file, whatever they are. ERR_FORMAT or ERR_VERSION with path and line;
 * `path` is for that line only. */
int keys_parse_public(const char *text, size_t num_bytes, const char *path, PublicKey *key,
                      Err *err);
int keys_parse_secret(const char *text, size_t num_bytes, const char *path, SecretKey *key,
                      Err *err);

/* Reads a file. ERR_MISSING, ERR_IO, and as above. ERR_USAGE for a secret that is neither this
 * user's nor root's, or that others have a right to; root's own may be readable for its group. */
int keys_read_public(const char *path, PublicKey *key, Err *err);
int keys_read_secret(const char *path, SecretKey *key, Err *err);

/* Writes DIRECTORY/NAME.key and NAME.pub, which must not be there, with their modes from the first
 * moment. Writes both or none. ERR_EXISTS, ERR_IO, ERR_USAGE. */
int keys_write_pair(const char *directory, const SecretKey *secret, unsigned roles, Err *err);

void keys_wipe(SecretKey *key);

#endif
