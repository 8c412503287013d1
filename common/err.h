/* The one list of error codes, and the text that goes with an error.
 *
 * Functions return 0 or one of these negative codes. What the world can cause (a bad message, a
 * lost peer, a full disk) is returned, and logged once where it is handled. What only a programmer
 * can cause hits CHECK() (check.h). Only main() exits. */
#ifndef POLYAK_COMMON_ERR_H
#define POLYAK_COMMON_ERR_H

enum {
    ERR_OK = 0,
    ERR_NOMEM = -1,     /* not enough memory, or a budget used up */
    ERR_IO = -2,        /* a file or directory could not be read or written */
    ERR_USAGE = -3,     /* a flag, key or value that a person must mend */
    ERR_FORMAT = -4,    /* bytes that do not follow their format */
    ERR_CHECKSUM = -5,  /* bytes whose checksum does not match */
    ERR_VERSION = -6,   /* a format or protocol version that is not ours */
    ERR_SPEC = -7,      /* dimensions, bounds or names that differ from the run's */
    ERR_FULL = -8,      /* a bounded queue or table has no place left */
    ERR_EXISTS = -9,    /* what was to be made is there already */
    ERR_MISSING = -10,  /* what was looked for is not there */
    ERR_BUSY = -11,     /* somebody else holds it: a lock, an endpoint */
    ERR_ENV = -12,      /* an environment reported an error */
    ERR_DIVERGED = -13, /* numbers that are not finite */
    ERR_NET = -14,      /* a socket operation failed */
    ERR_STOPPED = -15,  /* a stop was requested */
    ERR_LOST = -16,     /* what was asked for was lost with the process that did it */
    ERR_AGAIN = -17,    /* not ready yet: ask again */
};

/* A one-line message for a person: what is wrong and what to do. */
typedef struct Err {
    char text[512];
} Err;

/* Formats a message into err (which may be NULL) and returns `code`, so that a failing function
 * ends with `return err_set(err, ERR_USAGE, "…");`. A message that does not fit is cut. */
int err_set(Err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__
/* It sees one file at a time: without this it would think that 0 may be returned. */
#define err_set(err, code, ...) (err_set(err, code, __VA_ARGS__), (code))
#endif

/* The name of a code, as in "checksum"; never NULL. */
const char *err_name(int code);

#endif
