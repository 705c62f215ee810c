/* Errors: negative codes, and a text that says what happened, to what, and what to do about it.
 *
 * A function that can fail returns CP_OK (0) or one of the codes below; where there is something to say beyond
 * the code it also fills a cp_error that its caller passed in (NULL when the caller does not care). The text is
 * built from the inside out: the place that fails states the fact, callers may prefix what they were doing. */
#ifndef COLDPATH_ERROR_H
#define COLDPATH_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CP_PUBLIC            __attribute__((visibility("default")))
#define CP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CP_PUBLIC
#define CP_PRINTF(fmt, args)
#endif

enum {
    CP_OK = 0,
    CP_FULL = -1,          /* the ring has no room for this row now; nothing was written */
    CP_E_INVAL = -2,       /* an argument is out of its documented range */
    CP_E_NOMEM = -3,       /* memory, or a declared memory limit, is exhausted */
    CP_E_IO = -4,          /* a system call on a file failed */
    CP_E_ABSENT = -5,      /* the region, table, file or recorder is not there */
    CP_E_ABI = -6,         /* the region was made by an incompatible version */
    CP_E_SCHEMA = -7,      /* two sides disagree about a table's columns */
    CP_E_PERM = -8,        /* the file permissions do not allow it */
    CP_E_BUSY = -9,        /* taken: no free producer slot, or another recorder runs */
    CP_E_TOO_BIG = -10,    /* over a declared limit */
    CP_E_CORRUPT = -11,    /* bytes that cannot be what they claim to be */
    CP_E_TIMEOUT = -12,    /* the time the caller gave is over */
    CP_E_RETIRED = -13,    /* the region was replaced: attach again */
    CP_E_PARSE = -14,      /* text that does not parse */
    CP_E_CONFIG = -15,     /* the configuration is not valid */
    CP_E_NET = -16,        /* the server cannot be reached */
    CP_E_SERVER = -17,     /* the server answered with an error */
    CP_E_UNSUPPORTED = -18 /* valid, but not supported here */
};

enum { CP_ERROR_TEXT = 1024 }; /* room for a message; longer ones are cut, never overrun */

typedef struct cp_error {
    int code;
    char text[CP_ERROR_TEXT];
} cp_error;

/* The short name of a code ("ring full"); never NULL, for unknown codes too. */
CP_PUBLIC const char *cp_strerror(int code);

#ifdef __cplusplus
}
#endif
#endif
