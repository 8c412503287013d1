#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>

#undef err_set
int err_set(Err *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

const char *err_name(int code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_NOMEM:
        return "out of memory";
    case ERR_IO:
        return "input/output";
    case ERR_USAGE:
        return "usage";
    case ERR_FORMAT:
        return "format";
    case ERR_CHECKSUM:
        return "checksum";
    case ERR_VERSION:
        return "version";
    case ERR_SPEC:
        return "spec";
    case ERR_FULL:
        return "full";
    case ERR_EXISTS:
        return "exists";
    case ERR_MISSING:
        return "missing";
    case ERR_BUSY:
        return "busy";
    case ERR_ENV:
        return "environment";
    case ERR_DIVERGED:
        return "not finite";
    case ERR_NET:
        return "network";
    case ERR_STOPPED:
        return "stopped";
    case ERR_LOST:
        return "lost";
    case ERR_AGAIN:
        return "not ready";
    default:
        return "unknown";
    }
}
