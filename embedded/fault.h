/* What a failed statement is answered with: ClickHouse's own error number and text, and the HTTP status the
 * server gives to that number.
 *
 * The engine's texts arrive as "Code: 60. DB::Exception: … (UNKNOWN_TABLE)", sometimes wrapped several times
 * over and sometimes without the version a server appends; cp_fault_take brings them all to the form a server
 * sends:
 *
 *   Code: 60. DB::Exception: Unknown table expression identifier 'x' … (UNKNOWN_TABLE) (version 26.7.2.1)
 *
 * Numbers, names and statuses are those of ClickHouse's ErrorCodes.cpp and exceptionCodeToHTTPStatus.cpp. */
#ifndef CP_EMBEDDED_FAULT_H
#define CP_EMBEDDED_FAULT_H

#include <stdbool.h>
#include <stddef.h>

/* The numbers this program raises itself; every other one comes from the engine as it is. */
enum {
    CP_FAULT_CANNOT_READ_ALL_DATA = 33,
    CP_FAULT_BAD_ARGUMENTS = 36,
    CP_FAULT_NOT_IMPLEMENTED = 48,
    CP_FAULT_SYNTAX_ERROR = 62,
    CP_FAULT_UNKNOWN_TYPE_OF_QUERY = 78,
    CP_FAULT_UNKNOWN_SETTING = 115,
    CP_FAULT_TIMEOUT_EXCEEDED = 159,
    CP_FAULT_READONLY = 164,
    CP_FAULT_CANNOT_ALLOCATE_MEMORY = 173,
    CP_FAULT_TOO_MANY_SIMULTANEOUS_QUERIES = 202,
    CP_FAULT_QUERY_IS_TOO_LARGE = 229,
    CP_FAULT_ABORTED = 236,
    CP_FAULT_TOO_MANY_BYTES = 307,
    CP_FAULT_ZLIB_INFLATE_FAILED = 354,
    CP_FAULT_INTO_OUTFILE_NOT_ALLOWED = 358,
    CP_FAULT_SESSION_NOT_FOUND = 372,
    CP_FAULT_SESSION_IS_LOCKED = 373,
    CP_FAULT_INVALID_SESSION_TIMEOUT = 374,
    CP_FAULT_HTTP_LENGTH_REQUIRED = 381,
    CP_FAULT_AUTHENTICATION_FAILED = 516,
    CP_FAULT_ZSTD_DECODER_FAILED = 561,
    CP_FAULT_LZ4_DECODER_FAILED = 618,
    CP_FAULT_ENGINE = 1002 /* UNKNOWN_EXCEPTION: the engine failed without a number */
};

/* All zero is "no fault". The text is owned by the fault; release it with cp_fault_clear. */
typedef struct cp_fault {
    int code; /* 0: none */
    char *text;
} cp_fault;

/* Records a fault of this program's own: the printf text becomes the message between "DB::Exception: " and
 * the name. A fault that is set already stays: the first cause is the one to tell. Returns fault->code. */
int cp_fault_set(cp_fault *fault, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Records an error text of the engine, brought to the server's form. Same rule for a fault already set. */
int cp_fault_take(cp_fault *fault, const char *engine_text);

/* Frees the text and makes it "no fault" again. */
void cp_fault_clear(cp_fault *fault);

/* The HTTP status a server answers with for this error number. */
unsigned cp_fault_http_status(int code);

/* The version the texts end with; set once, before any thread runs. version is copied, at most 31 bytes. */
void cp_fault_set_version(const char *version);

#endif
