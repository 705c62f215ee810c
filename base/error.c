#define CP_BASE_ERROR_C /* see the end of error.h */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *cp_strerror(int code)
{
    static const char *const names[] = {
        "ok",
        "ring full",
        "invalid argument",
        "out of memory",
        "input/output error",
        "not there",
        "incompatible region version",
        "schema mismatch",
        "permission denied",
        "busy",
        "over a limit",
        "corrupt data",
        "timed out",
        "region replaced, attach again",
        "syntax error",
        "invalid configuration",
        "server unreachable",
        "server error",
        "not supported",
    };
    const int count = (int)(sizeof names / sizeof names[0]);
    return code <= 0 && code > -count ? names[-code] : "unknown error";
}

int(cp_error_set)(cp_error *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
    }
    return code;
}

int(cp_error_errno)(cp_error *err, int code, int errnum, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        const size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(errnum));
    }
    return code;
}

int cp_error_prefix(cp_error *err, const char *fmt, ...)
{
    if (!err)
        return CP_E_INVAL;
    char inner[CP_ERROR_TEXT];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    const size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
    return err->code;
}

int cp_error_code_of_errno(int errnum)
{
    switch (errnum) {
    case EACCES:
    case EPERM:
    case EROFS:
        return CP_E_PERM;
    case ENOENT:
        return CP_E_ABSENT;
    case ENOMEM:
        return CP_E_NOMEM;
    default:
        return CP_E_IO;
    }
}
