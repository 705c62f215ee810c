/* Filling a cp_error; the codes and the struct itself are public, see <coldpath/error.h>. */
#ifndef CP_BASE_ERROR_H
#define CP_BASE_ERROR_H

#include <coldpath/error.h>

/* Sets *err (if not NULL) to code and the formatted text. Returns code, so that `return cp_error_set(…)` reads well. */
int cp_error_set(cp_error *err, int code, const char *fmt, ...) CP_PRINTF(3, 4);

/* The same, with ": " and strerror(errnum) appended. */
int cp_error_errno(cp_error *err, int code, int errnum, const char *fmt, ...) CP_PRINTF(4, 5);

/* Puts "<formatted>: " in front of what *err says already. Returns err->code (CP_E_INVAL when err is NULL). */
int cp_error_prefix(cp_error *err, const char *fmt, ...) CP_PRINTF(2, 3);

/* The code for an errno of a failed open, mmap or the like: EACCES/EPERM → CP_E_PERM, ENOENT → CP_E_ABSENT,
 * ENOMEM → CP_E_NOMEM, all else → CP_E_IO. */
int cp_error_code_of_errno(int errnum);

/* The analyzer cannot see that these return what is below 0, and would follow callers into what they do after success. */
#if defined(__clang_analyzer__) && !defined(CP_BASE_ERROR_C)
#define cp_error_set(err, code, ...)                                                                         \
    ((void)cp_error_set((err), (code), __VA_ARGS__), (code) < 0 ? (code) : CP_E_INVAL)
#define cp_error_errno(err, code, errnum, ...)                                                               \
    ((void)cp_error_errno((err), (code), (errnum), __VA_ARGS__), (code) < 0 ? (code) : CP_E_INVAL)
#define cp_error_prefix(err, ...) ((void)cp_error_prefix((err), __VA_ARGS__), CP_E_INVAL)
#endif

#endif
