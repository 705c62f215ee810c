#include "embedded/fault.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char engine_version[32] = "unknown";

typedef struct fault_name {
    int code;
    const char *name;
} fault_name;

static const fault_name fault_names[] = {
    {CP_FAULT_CANNOT_READ_ALL_DATA, "CANNOT_READ_ALL_DATA"},
    {CP_FAULT_BAD_ARGUMENTS, "BAD_ARGUMENTS"},
    {CP_FAULT_NOT_IMPLEMENTED, "NOT_IMPLEMENTED"},
    {CP_FAULT_SYNTAX_ERROR, "SYNTAX_ERROR"},
    {CP_FAULT_UNKNOWN_TYPE_OF_QUERY, "UNKNOWN_TYPE_OF_QUERY"},
    {CP_FAULT_QUERY_IS_TOO_LARGE, "QUERY_IS_TOO_LARGE"},
    {CP_FAULT_UNKNOWN_SETTING, "UNKNOWN_SETTING"},
    {CP_FAULT_READONLY, "READONLY"},
    {CP_FAULT_TIMEOUT_EXCEEDED, "TIMEOUT_EXCEEDED"},
    {CP_FAULT_TOO_MANY_SIMULTANEOUS_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES"},
    {CP_FAULT_ABORTED, "ABORTED"},
    {CP_FAULT_CANNOT_ALLOCATE_MEMORY, "CANNOT_ALLOCATE_MEMORY"},
    {CP_FAULT_TOO_MANY_BYTES, "TOO_MANY_BYTES"},
    {CP_FAULT_ZLIB_INFLATE_FAILED, "ZLIB_INFLATE_FAILED"},
    {CP_FAULT_INTO_OUTFILE_NOT_ALLOWED, "INTO_OUTFILE_NOT_ALLOWED"},
    {CP_FAULT_SESSION_NOT_FOUND, "SESSION_NOT_FOUND"},
    {CP_FAULT_SESSION_IS_LOCKED, "SESSION_IS_LOCKED"},
    {CP_FAULT_INVALID_SESSION_TIMEOUT, "INVALID_SESSION_TIMEOUT"},
    {CP_FAULT_HTTP_LENGTH_REQUIRED, "HTTP_LENGTH_REQUIRED"},
    {CP_FAULT_AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED"},
    {CP_FAULT_LZ4_DECODER_FAILED, "LZ4_DECODER_FAILED"},
    {CP_FAULT_ZSTD_DECODER_FAILED, "ZSTD_DECODER_FAILED"},
    {CP_FAULT_ENGINE, "UNKNOWN_EXCEPTION"},
};

static const char out_of_memory[] = "Code: 173. DB::Exception: Out of memory. (CANNOT_ALLOCATE_MEMORY)";

static const char *name_of(int code)
{
    for (size_t i = 0; i < sizeof fault_names / sizeof fault_names[0]; i++)
        if (fault_names[i].code == code)
            return fault_names[i].name;
    return "UNKNOWN_EXCEPTION";
}

void cp_fault_set_version(const char *version)
{
    snprintf(engine_version, sizeof engine_version, "%s", version);
}

/* Takes over text, which may be NULL when memory ran out while it was made. */
static int fault_own(cp_fault *fault, int code, char *text)
{
    fault->code = text ? code : CP_FAULT_CANNOT_ALLOCATE_MEMORY;
    fault->text = text ? text : strdup(out_of_memory); /* a second failure leaves NULL; readers expect that */
    return fault->code;
}

int cp_fault_set(cp_fault *fault, int code, const char *fmt, ...)
{
    if (fault->code != 0)
        return fault->code;
    char *message = NULL;
    va_list args;
    va_start(args, fmt);
    const int made = vasprintf(&message, fmt, args);
    va_end(args);
    if (made < 0)
        return fault_own(fault, code, NULL);
    char *text = NULL;
    if (asprintf(&text, "Code: %d. DB::Exception: %s (%s) (version %s)", code, message, name_of(code),
                 engine_version) < 0)
        text = NULL;
    free(message);
    return fault_own(fault, code, text);
}

/* The length of a leading "Code: N. DB::Exception: " (or DB::ErrnoException and the like), with N stored; 0 when
 * there is none. */
static size_t code_prefix(const char *text, int *code)
{
    int end = 0;
    int number = 0;
    if (sscanf(text, "Code: %9d. DB::%*[A-Za-z]: %n", &number, &end) == 1 && end > 0) {
        *code = number;
        return (size_t)end;
    }
    return 0;
}

/* Where a trailing " (NAME)" of capitals begins in text[0..length), or length when there is none. */
static size_t name_suffix(const char *text, size_t length)
{
    if (length < 4 || text[length - 1] != ')')
        return length;
    size_t at = length - 1;
    while (at > 0 && ((text[at - 1] >= 'A' && text[at - 1] <= 'Z') || text[at - 1] == '_' ||
                      (text[at - 1] >= '0' && text[at - 1] <= '9')))
        at--;
    return at >= 2 && text[at - 1] == '(' && text[at - 2] == ' ' && at < length - 1 ? at - 2 : length;
}

/* Where a trailing " (version …)" begins in text[0..length), or length when there is none. */
static size_t version_suffix(const char *text, size_t length)
{
    static const char mark[] = " (version ";
    for (size_t at = length; length > 0 && text[length - 1] == ')' && at-- > 0;) {
        if (text[at] == '(') {
            const bool is_mark =
                at > 0 && length - at >= sizeof mark && memcmp(text + at - 1, mark, sizeof mark - 1) == 0;
            return is_mark ? at - 1 : length;
        }
    }
    return length;
}

/* Cuts one wrapping of the engine: "Code: N. DB::Exception: Code: N. …(version V). (NAME)" → "Code: N.
 * …(version V)". Returns the new beginning; *length is adjusted. */
static const char *unwrap(const char *text, size_t *length)
{
    int code = 0;
    int inner = 0;
    const size_t prefix = code_prefix(text, &code);
    if (prefix == 0 || code_prefix(text + prefix, &inner) == 0)
        return text;
    const size_t named = version_suffix(text, *length);
    size_t end = name_suffix(text, named);
    if (end == named)
        return text;
    if (end > prefix && text[end - 1] == '.')
        end--;
    *length = end - prefix;
    return text + prefix;
}

int cp_fault_take(cp_fault *fault, const char *engine_text)
{
    if (fault->code != 0)
        return fault->code;
    int code = 0;
    size_t length = strlen(engine_text);
    if (code_prefix(engine_text, &code) == 0 || code == 0)
        return cp_fault_set(fault, CP_FAULT_ENGINE, "%s.", engine_text);
    for (const char *next = unwrap(engine_text, &length); next != engine_text;
         next = unwrap(engine_text, &length))
        engine_text = next;
    if (length > INT32_MAX)
        length = INT32_MAX;
    static const char mark[] = "(version ";
    const bool versioned = memmem(engine_text, length, mark, sizeof mark - 1) != NULL;
    char *text = NULL;
    const int made = versioned
                         ? asprintf(&text, "%.*s", (int)length, engine_text)
                         : asprintf(&text, "%.*s (version %s)", (int)length, engine_text, engine_version);
    return fault_own(fault, code, made < 0 ? NULL : text);
}

void cp_fault_clear(cp_fault *fault)
{
    free(fault->text);
    *fault = (cp_fault){0};
}

typedef struct status_row {
    short code;
    short status;
} status_row;

/* exceptionCodeToHTTPStatus.cpp of ClickHouse; a number that is not here is 500. */
static const status_row status_rows[] = {
    {6, 400},   /* CANNOT_PARSE_TEXT */
    {8, 400},   /* THERE_IS_NO_COLUMN */
    {15, 400},  /* DUPLICATE_COLUMN */
    {25, 400},  /* CANNOT_PARSE_ESCAPE_SEQUENCE */
    {26, 400},  /* CANNOT_PARSE_QUOTED_STRING */
    {27, 400},  /* CANNOT_PARSE_INPUT_ASSERTION_FAILED */
    {36, 400},  /* BAD_ARGUMENTS */
    {37, 400},  /* UNKNOWN_ELEMENT_IN_AST */
    {38, 400},  /* CANNOT_PARSE_DATE */
    {41, 400},  /* CANNOT_PARSE_DATETIME */
    {44, 400},  /* ILLEGAL_COLUMN */
    {46, 404},  /* UNKNOWN_FUNCTION */
    {47, 404},  /* UNKNOWN_IDENTIFIER */
    {48, 501},  /* NOT_IMPLEMENTED */
    {50, 404},  /* UNKNOWN_TYPE */
    {53, 400},  /* TYPE_MISMATCH */
    {56, 404},  /* UNKNOWN_STORAGE */
    {60, 404},  /* UNKNOWN_TABLE */
    {62, 400},  /* SYNTAX_ERROR */
    {63, 404},  /* UNKNOWN_AGGREGATE_FUNCTION */
    {72, 400},  /* CANNOT_PARSE_NUMBER */
    {73, 404},  /* UNKNOWN_FORMAT */
    {76, 503},  /* CANNOT_OPEN_FILE */
    {78, 404},  /* UNKNOWN_TYPE_OF_QUERY */
    {81, 404},  /* UNKNOWN_DATABASE */
    {115, 404}, /* UNKNOWN_SETTING */
    {117, 400}, /* INCORRECT_DATA */
    {123, 400}, /* UNKNOWN_TYPE_OF_AST_NODE */
    {152, 404}, /* UNKNOWN_DIRECTION_OF_SORTING */
    {159, 408}, /* TIMEOUT_EXCEEDED */
    {167, 400}, /* TOO_DEEP_AST */
    {168, 400}, /* TOO_BIG_AST */
    {192, 403}, /* UNKNOWN_USER */
    {193, 403}, /* WRONG_PASSWORD */
    {194, 401}, /* REQUIRED_PASSWORD */
    {209, 503}, /* SOCKET_TIMEOUT */
    {223, 400}, /* UNEXPECTED_AST_STRUCTURE */
    {229, 413}, /* QUERY_IS_TOO_LARGE */
    {321, 400}, /* VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE */
    {336, 404}, /* UNKNOWN_DATABASE_ENGINE */
    {376, 400}, /* CANNOT_PARSE_UUID */
    {381, 411}, /* HTTP_LENGTH_REQUIRED */
    {427, 400}, /* CANNOT_COMPILE_REGEXP */
    {439, 503}, /* CANNOT_SCHEDULE_TASK */
    {441, 400}, /* CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING */
    {497, 403}, /* ACCESS_DENIED */
    {511, 404}, /* UNKNOWN_ROLE */
    {512, 403}, /* SET_NON_GRANTED_ROLE */
    {516, 403}, /* AUTHENTICATION_FAILED */
    {675, 400}, /* CANNOT_PARSE_IPV4 */
    {676, 400}, /* CANNOT_PARSE_IPV6 */
    {779, 415}, /* UNSUPPORTED_MEDIA_TYPE */
};

unsigned cp_fault_http_status(int code)
{
    enum { INTERNAL_SERVER_ERROR = 500 };
    for (size_t i = 0; i < sizeof status_rows / sizeof status_rows[0]; i++)
        if (status_rows[i].code == code)
            return (unsigned)status_rows[i].status;
    return INTERNAL_SERVER_ERROR;
}
