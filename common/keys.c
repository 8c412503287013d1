#include "common/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

enum { FORMAT_VERSION = 1, LINE_MAX_BYTES = 255 };

static const char z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          ".-:+=^!/*?&<>()[]{}@%$#";

static const struct {
    const char *word;
    unsigned bit;
} role_words[] = {
    {"actor", KEY_ROLE_ACTOR},       {"evaluator", KEY_ROLE_EVALUATOR},
    {"observer", KEY_ROLE_OBSERVER}, {"operator", KEY_ROLE_OPERATOR},
    {"relay", KEY_ROLE_RELAY},
};
enum { NUM_ROLES = sizeof role_words / sizeof role_words[0] };

/* --- Names and roles ---------------------------------------------------------------------------
 */

static bool is_name(const char *name)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";
    size_t length = strlen(name);
    return length >= 1 && length <= KEY_NAME_MAX && strchr(letters, name[0]) &&
           strspn(name, others) == length;
}

int keys_check_name(const char *name, Err *err)
{
    if (is_name(name))
        return ERR_OK;
    return err_set(err, ERR_USAGE,
                   "the name of a key has 1 to %d letters, digits, '-', '_' and '.', the first a "
                   "letter or digit",
                   KEY_NAME_MAX);
}

/* The bit of the word at *text, and *text moved behind it and its comma; 0 when it is no role. */
static unsigned take_role(const char **text)
{
    size_t length = strcspn(*text, ",");
    for (int i = 0; i < NUM_ROLES; i++) {
        const char *word = role_words[i].word;
        if (strlen(word) != length || strncmp(*text, word, length) != 0)
            continue;
        *text += length;
        /* A comma at the end leaves an empty word, which is no role. */
        if (**text == ',' && (*text)[1] != '\0')
            ++*text;
        return role_words[i].bit;
    }
    return 0;
}

int keys_parse_roles(const char *text, unsigned *roles, Err *err)
{
    *roles = 0;
    do {
        unsigned bit = take_role(&text);
        if (bit == 0)
            return err_set(err, ERR_USAGE,
                           "roles are a comma list of actor, evaluator, observer, operator, "
                           "relay");
        *roles |= bit;
    } while (*text != '\0');
    return ERR_OK;
}

const char *keys_format_roles(unsigned roles, char out[KEY_ROLES_TEXT_BYTES])
{
    size_t length = 0;
    out[0] = '\0';
    for (int i = 0; i < NUM_ROLES; i++) {
        if (roles & role_words[i].bit)
            length += (size_t)snprintf(out + length, KEY_ROLES_TEXT_BYTES - length, "%s%s",
                                       length > 0 ? "," : "", role_words[i].word);
    }
    return out;
}

/* --- Parsing -----------------------------------------------------------------------------------
 */

/* What the lines of a file say; a text is empty where its line did not come. */
typedef struct Fields {
    char name[KEY_NAME_MAX + 1];
    char roles[KEY_ROLES_TEXT_BYTES];
    char public_text[KEY_TEXT_CHARS + 1];
    char secret_text[KEY_TEXT_CHARS + 1];
} Fields;

typedef struct Parser {
    const char *path;
    int line; /* number */
    bool secret;
    bool headed;
    Fields fields;
    Err *err;
} Parser;

static int refuse(const Parser *parser, const char *what)
{
    return err_set(parser->err, ERR_FORMAT, "%s:%d: %s", parser->path, parser->line, what);
}

/* Decodes 40 characters to 32 bytes: five to a big-endian word. */
static bool decode(const char *text, uint8_t bytes[KEY_BYTES])
{
    unsigned any = 0;
    if (strlen(text) != KEY_TEXT_CHARS)
        return false;
    for (int word = 0; word < KEY_BYTES / 4; word++) {
        uint64_t value = 0;
        for (int i = 0; i < 5; i++) {
            const char *digit = strchr(z85, text[5 * word + i]);
            if (!digit)
                return false;
            value = 85 * value + (uint64_t)(digit - z85);
        }
        if (value > UINT32_MAX)
            return false;
        for (int i = 0; i < 4; i++)
            bytes[4 * word + i] = (uint8_t)(value >> (24 - 8 * i));
        any |= value != 0;
    }
    /* A key of zeros is nobody's, and anybody's. */
    return any != 0;
}

static int take_header(Parser *parser, const char *line)
{
    static const char mark[] = "polyak-key ";
    const char *rest = line + sizeof mark - 1;
    char *end = NULL;
    long version = 0;
    if (strncmp(line, mark, sizeof mark - 1) == 0 && rest[0] >= '0' && rest[0] <= '9')
        version = strtol(rest, &end, 10);
    if (version < 1)
        return refuse(parser, "the first line of a key file is \"polyak-key 1 public\" or "
                              "\"polyak-key 1 secret\"; make keys with polyak keygen");
    if (version != FORMAT_VERSION)
        return err_set(parser->err, ERR_VERSION,
                       "%s:%d: a key file of version %ld; this program reads version %d",
                       parser->path, parser->line, version, FORMAT_VERSION);
    if (strcmp(end, parser->secret ? " secret" : " public") != 0)
        return refuse(parser, parser->secret ? "a secret key is needed here: the file NAME.key"
                                             : "a public key is needed here: the file NAME.pub");
    parser->headed = true;
    return ERR_OK;
}

/* Copies the value of a field, which may come once. */
static int take_value(Parser *parser, const char *value, char *out, size_t out_bytes)
{
    if (out[0] != '\0')
        return refuse(parser, "this stands there twice");
    if (value[0] == '\0')
        return refuse(parser, "a value is missing");
    if (strlen(value) >= out_bytes)
        return refuse(parser, "this is too long");
    memcpy(out, value, strlen(value) + 1);
    return ERR_OK;
}

static int take_key(Parser *parser, const char *value, char *out)
{
    uint8_t bytes[KEY_BYTES];
    int code = take_value(parser, value, out, KEY_TEXT_CHARS + 1);
    if (code == ERR_OK && !decode(out, bytes))
        code = refuse(parser, "this is no key: 40 characters of Z85 are needed");
    explicit_bzero(bytes, sizeof bytes);
    return code;
}

static int take_field(Parser *parser, const char *line)
{
    Fields *fields = &parser->fields;
    if (strncmp(line, "name ", 5) == 0) {
        int code = take_value(parser, line + 5, fields->name, sizeof fields->name);
        if (code == ERR_OK && !is_name(fields->name))
            code = refuse(parser, "a name has letters, digits, '-', '_' and '.' only");
        return code;
    }
    if (strncmp(line, "public ", 7) == 0)
        return take_key(parser, line + 7, fields->public_text);
    if (parser->secret && strncmp(line, "secret ", 7) == 0)
        return take_key(parser, line + 7, fields->secret_text);
    if (!parser->secret && strncmp(line, "roles ", 6) == 0)
        return take_value(parser, line + 6, fields->roles, sizeof fields->roles);
    return refuse(parser, parser->secret ? "a line is name, public or secret and its value"
                                         : "a line is name, roles or public and its value");
}

static int take_line(Parser *parser, const char *bytes, size_t length)
{
    char line[LINE_MAX_BYTES + 1];
    parser->line++;
    if (length > 0 && bytes[length - 1] == '\r')
        length--;
    if (length > LINE_MAX_BYTES)
        return refuse(parser, "this line is too long");
    if (memchr(bytes, '\0', length))
        return refuse(parser, "this is no text");
    memcpy(line, bytes, length);
    line[length] = '\0';
    int code = ERR_OK;
    if (line[0] != '\0' && line[0] != '#')
        code = parser->headed ? take_field(parser, line) : take_header(parser, line);
    explicit_bzero(line, sizeof line);
    return code;
}

static int parse(Parser *parser, const char *text, size_t num_bytes)
{
    if (num_bytes > KEY_FILE_BYTES_MAX)
        return err_set(parser->err, ERR_FORMAT, "%s: larger than the %d bytes of a key file",
                       parser->path, KEY_FILE_BYTES_MAX);
    for (size_t at = 0; at < num_bytes;) {
        const char *end = memchr(text + at, '\n', num_bytes - at);
        size_t length = end ? (size_t)(end - text) - at : num_bytes - at;
        int code = take_line(parser, text + at, length);
        if (code != ERR_OK)
            return code;
        at += length + 1;
    }
    parser->line++;
    if (!parser->headed)
        return refuse(parser, "the file is empty; make keys with polyak keygen");
    if (parser->fields.name[0] == '\0')
        return refuse(parser, "the line with the name is missing");
    if (parser->fields.public_text[0] == '\0')
        return refuse(parser, "the line with the public key is missing");
    if (parser->secret && parser->fields.secret_text[0] == '\0')
        return refuse(parser, "the line with the secret key is missing");
    return ERR_OK;
}

int keys_parse_public(const char *text, size_t num_bytes, const char *path, PublicKey *key,
                      Err *err)
{
    Parser parser = {.path = path, .err = err};
    memset(key, 0, sizeof *key);
    int code = parse(&parser, text, num_bytes);
    if (code != ERR_OK)
        return code;
    const Fields *fields = &parser.fields;
    Err reason;
    if (fields->roles[0] != '\0' && keys_parse_roles(fields->roles, &key->roles, &reason) != 0)
        return err_set(err, ERR_FORMAT, "%s: %s", path, reason.text);
    memcpy(key->name, fields->name, sizeof key->name);
    memcpy(key->text, fields->public_text, sizeof key->text);
    decode(key->text, key->bytes);
    return ERR_OK;
}

int keys_parse_secret(const char *text, size_t num_bytes, const char *path, SecretKey *key,
                      Err *err)
{
    Parser parser = {.path = path, .secret = true, .err = err};
    memset(key, 0, sizeof *key);
    int code = parse(&parser, text, num_bytes);
    if (code == ERR_OK) {
        memcpy(key->name, parser.fields.name, sizeof key->name);
        memcpy(key->public_text, parser.fields.public_text, sizeof key->public_text);
        memcpy(key->secret_text, parser.fields.secret_text, sizeof key->secret_text);
    }
    explicit_bzero(&parser.fields, sizeof parser.fields);
    return code;
}

/* --- Files -------------------------------------------------------------------------------------
 */

/* Whether a secret is kept as one: it is this user's or root's, and nobody else has a right to it.
 * Root may let a group read it: what systemd hands to a service, and Kubernetes to a process that
 * is not root, are files of root's. */
static int check_secret(const char *path, const struct stat *info, Err *err)
{
    unsigned mode = (unsigned)(info->st_mode & 07777U);
    mode_t not_allowed = S_IRWXG | S_IRWXO;
    if (info->st_uid != geteuid() && info->st_uid != 0)
        return err_set(
            err, ERR_USAGE,
            "%s belongs to another user (%u, not %u): a secret key is its user's own, or "
            "root's",
            path, (unsigned)info->st_uid, (unsigned)geteuid());
    if (info->st_uid == 0)
        not_allowed &= ~(mode_t)S_IRGRP;
    if (info->st_mode & not_allowed)
        return err_set(err, ERR_USAGE,
                       "%s has mode %04o, and others may have read it: chmod 600 it, or make "
                       "another key",
                       path, mode);
    return ERR_OK;
}

/* Reads a key file into text (KEY_FILE_BYTES_MAX + 1). What is checked is what is read. */
static int read_file(const char *path, bool secret, char *text, size_t *num_bytes, Err *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_MISSING : ERR_IO, "cannot read the key %s: %s",
                       path, strerror(errno));
    int code = ERR_OK;
    if (fstat(fd, &info) != 0)
        code = err_set(err, ERR_IO, "cannot read the key %s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        code = err_set(err, ERR_USAGE, "%s is no file: a key file is needed", path);
    else if (secret)
        code = check_secret(path, &info, err);
    *num_bytes = 0;
    while (code == ERR_OK && *num_bytes <= KEY_FILE_BYTES_MAX) {
        ssize_t got = read(fd, text + *num_bytes, KEY_FILE_BYTES_MAX + 1 - *num_bytes);
        if (got == 0)
            break;
        if (got > 0)
            *num_bytes += (size_t)got;
        else if (errno != EINTR)
            code = err_set(err, ERR_IO, "cannot read the key %s: %s", path, strerror(errno));
    }
    close(fd);
    return code;
}

int keys_read_public(const char *path, PublicKey *key, Err *err)
{
    char text[KEY_FILE_BYTES_MAX + 1];
    size_t num_bytes = 0;
    int code = read_file(path, false, text, &num_bytes, err);
    return code == ERR_OK ? keys_parse_public(text, num_bytes, path, key, err) : code;
}

int keys_read_secret(const char *path, SecretKey *key, Err *err)
{
    char text[KEY_FILE_BYTES_MAX + 1];
    size_t num_bytes = 0;
    int code = read_file(path, true, text, &num_bytes, err);
    if (code == ERR_OK)
        code = keys_parse_secret(text, num_bytes, path, key, err);
    explicit_bzero(text, sizeof text);
    return code;
}

/* Makes a file that is not there. Its mode is right before its first byte, whatever the umask. */
static int write_new(const char *path, mode_t mode, const char *text, size_t num_bytes, Err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
        return err_set(err, ERR_EXISTS,
                       "%s is there already: a key is not overwritten; choose another name, or "
                       "take it away",
                       path);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot make %s: %s", path, strerror(errno));
    bool good =
        fchmod(fd, mode) == 0 && write(fd, text, num_bytes) == (ssize_t)num_bytes && fsync(fd) == 0;
    int reason = errno;
    good = close(fd) == 0 && good;
    if (good)
        return ERR_OK;
    unlink(path);
    return err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(reason));
}

static int join(char *path, const char *directory, const char *name, const char *ending, Err *err)
{
    char file[KEY_NAME_MAX + 8];
    snprintf(file, sizeof file, "%s.%s", name, ending);
    return fs_join(path, directory, file, err);
}

int keys_write_pair(const char *directory, const SecretKey *secret, unsigned roles, Err *err)
{
    char secret_path[FS_PATH_MAX];
    char public_path[FS_PATH_MAX];
    char text[512];
    char roles_text[KEY_ROLES_TEXT_BYTES];
    int code = keys_check_name(secret->name, err);
    if (code == ERR_OK)
        code = join(secret_path, directory, secret->name, "key", err);
    if (code == ERR_OK)
        code = join(public_path, directory, secret->name, "pub", err);
    if (code != ERR_OK)
        return code;
    keys_format_roles(roles, roles_text);
    int bytes = snprintf(text, sizeof text, "polyak-key %d public\nname %s\n%s%s%spublic %s\n",
                         FORMAT_VERSION, secret->name, roles ? "roles " : "", roles_text,
                         roles ? "\n" : "", secret->public_text);
    code = write_new(public_path, 0644, text, (size_t)bytes, err);
    if (code != ERR_OK)
        return code;
    bytes = snprintf(text, sizeof text, "polyak-key %d secret\nname %s\npublic %s\nsecret %s\n",
                     FORMAT_VERSION, secret->name, secret->public_text, secret->secret_text);
    code = write_new(secret_path, 0600, text, (size_t)bytes, err);
    explicit_bzero(text, sizeof text);
    if (code != ERR_OK)
        unlink(public_path); /* made a moment ago */
    return code;
}

void keys_wipe(SecretKey *key)
{
    explicit_bzero(key, sizeof *key);
}
