#include "flush/error_class.h"

#include <curl/curl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { TOO_MANY_PARTS = 252 }; /* ClickHouse's code */

static const char *const class_names[CP_CLASS_COUNT] = {
    "ok",     "transient", "in_doubt",   "throttle",      "split",
    "poison", "malformed", "park_table", "park_endpoint", "unknown",
};

typedef struct code_list {
    cp_error_class class;
    short codes[48]; /* ends with 0 */
} code_list;

static const code_list code_lists[] = {
    {CP_CLASS_TRANSIENT,
     {95,  96,  159, 173, 198, 201, 202, 203, 209, 210, 216, 225, 236, 241, 242,  243,  254,  265,
      279, 285, 286, 364, 369, 373, 394, 416, 425, 439, 499, 519, 529, 999, 1000, 1001, 1002, 0}},
    {CP_CLASS_IN_DOUBT, {319, 0}},
    {CP_CLASS_THROTTLE, {252, 0}},
    {CP_CLASS_SPLIT, {158, 307, 396, 0}},
    {CP_CLASS_POISON, {6, 27, 38, 41, 69, 70, 72, 117, 128, 131, 190, 248, 321, 349, 376, 395, 407, 469, 0}},
    {CP_CLASS_MALFORMED, {3, 32, 33, 40, 0}},
    {CP_CLASS_PARK_TABLE,
     {7, 8, 9, 10, 15, 16, 20, 43, 44, 46, 47, 48, 50, 53, 60, 81, 122, 218, 342, 497, 0}},
    {CP_CLASS_PARK_ENDPOINT,
     {62, 73, 115, 164, 192, 193, 194, 195, 217, 291, 381, 452, 471, 472, 512, 516, 0}},
};

cp_error_class cp_error_class_of_code(int code)
{
    for (size_t i = 0; i < sizeof code_lists / sizeof code_lists[0]; i++) {
        for (const short *at = code_lists[i].codes; *at; at++) {
            if (*at == code)
                return code_lists[i].class;
        }
    }
    return CP_CLASS_UNKNOWN;
}

static cp_error_class class_of_curl(int code)
{
    switch ((CURLcode)code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_OUT_OF_MEMORY:
        return CP_CLASS_TRANSIENT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return CP_CLASS_PARK_ENDPOINT;
    default: /* time-outs, resets, half replies: the server may have stored the block */
        return CP_CLASS_IN_DOUBT;
    }
}

/* A status without any exception code: a proxy in between, or no ClickHouse at all. */
static cp_error_class class_of_status(long status)
{
    switch (status) {
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
        return CP_CLASS_TRANSIENT;
    case 413:
        return CP_CLASS_SPLIT;
    case 401:
    case 403:
    case 404:
    case 407:
        return CP_CLASS_PARK_ENDPOINT;
    default:
        break;
    }
    if (status >= 300 && status < 400)
        return CP_CLASS_PARK_ENDPOINT; /* redirects are not followed: the URL is not ClickHouse's */
    if (status >= 500 || (status >= 200 && status < 300))
        return CP_CLASS_IN_DOUBT;
    return CP_CLASS_UNKNOWN;
}

/* One code for two things: parts that merges do not keep up with, and rows of more partitions than one insert may have, which waiting does
 * not change. Nothing is stored then. */
static bool spans_too_many_partitions(const cp_http_reply *reply)
{
    return reply->exception_code == TOO_MANY_PARTS && reply->body &&
           strstr(reply->body, "Too many partitions for single INSERT") != NULL;
}

cp_error_class cp_error_classify(const cp_http_reply *reply)
{
    if (reply->net != CURLE_OK)
        return class_of_curl(reply->net);
    if (spans_too_many_partitions(reply))
        return CP_CLASS_SPLIT;
    if (reply->exception_code != 0)
        return cp_error_class_of_code(reply->exception_code);
    if (reply->exception_header)
        return CP_CLASS_IN_DOUBT;
    if (reply->status == 200 && reply->body_size == 0 && reply->whole)
        return CP_CLASS_OK;
    return class_of_status(reply->status);
}

const char *cp_error_class_name(cp_error_class class)
{
    return (unsigned)class < CP_CLASS_COUNT ? class_names[class] : "unknown";
}

bool cp_error_class_parks(cp_error_class class)
{
    return class == CP_CLASS_PARK_TABLE || class == CP_CLASS_PARK_ENDPOINT || class == CP_CLASS_POISON ||
           class == CP_CLASS_SPLIT;
}

/* What follows from a class; error_class.h. */
static const char *class_action(cp_error_class class)
{
    switch (class) {
    case CP_CLASS_TRANSIENT:
        return "the same bytes are sent again, with growing pauses";
    case CP_CLASS_IN_DOUBT:
        return "the same, under the same token: it may have been stored";
    case CP_CLASS_THROTTLE:
        return "the same; the table slows down";
    case CP_CLASS_SPLIT:
        return "sent again in smaller pieces";
    case CP_CLASS_POISON:
        return "sent in pieces, down to the row that is refused, which goes to the quarantine";
    case CP_CLASS_MALFORMED:
        return "the server is asked anew what it is, the batch sent twice more, then in pieces";
    case CP_CLASS_PARK_TABLE:
        return "the table is parked: its rows wait, it is asked again seldom";
    case CP_CLASS_PARK_ENDPOINT:
        return "nothing can be inserted there: all tables wait, or go to another endpoint";
    default:
        return "sent again eight times, then parked";
    }
}

void cp_error_class_document(FILE *out)
{
    fprintf(out, "| class | codes | what the recorder does |\n|---|---|---|\n");
    for (size_t i = 0; i < sizeof code_lists / sizeof code_lists[0]; i++) {
        fprintf(out, "| `%s` |", cp_error_class_name(code_lists[i].class));
        for (const short *at = code_lists[i].codes; *at; at++)
            fprintf(out, "%s %d", at == code_lists[i].codes ? "" : ",", *at);
        fprintf(out, " | %s |\n", class_action(code_lists[i].class));
    }
    fprintf(out, "| `unknown` | all others | %s |\n", class_action(CP_CLASS_UNKNOWN));
    fprintf(out, "\n| code | what to do |\n|---|---|\n");
    for (size_t i = 0; i < sizeof code_lists / sizeof code_lists[0]; i++) {
        for (const short *at = code_lists[i].codes; *at; at++) {
            const char *remedy = cp_error_remedy(*at);
            if (*remedy)
                fprintf(out, "| %d | %s |\n", *at, remedy + strlen(CP_ERROR_REMEDY_MARK));
        }
    }
}

const char *cp_error_remedy_field(char *out, size_t size, const cp_http_reply *reply)
{
    const char *remedy = cp_error_remedy_of_reply(reply);
    if (*remedy)
        snprintf(out, size, " remedy=\"%s\"", remedy + strlen(CP_ERROR_REMEDY_MARK));
    else
        out[0] = '\0';
    return out;
}

uint32_t cp_error_row_hint(const char *text)
{
    static const char mark[] = "at row ";
    const char *at = strstr(text, mark);
    unsigned long row = 0;
    if (!at || sscanf(at + sizeof mark - 1, "%9lu", &row) != 1 || row == 0)
        return UINT32_MAX;
    return (uint32_t)(row - 1);
}

const char *cp_error_remedy(int code)
{
    switch (code) {
    case 60:
        return ": the table is missing: coldpath schema apply makes it";
    case 81:
        return ": the database is missing: coldpath schema apply makes it, or name another one "
               "(clickhouse.database)";
    case 192:
    case 193:
    case 194:
    case 516:
        return ": check user and password (clickhouse.user, clickhouse.password_file)";
    case 497:
        return ": the user lacks a right: GRANT INSERT on the table";
    case 164:
    case 452:
        return ": the user's profile forbids a setting or writing";
    case 16:
    case 10:
    case 53:
        return ": the table's columns differ from its DDL here: coldpath schema diff";
    case 252:
        return ": too many parts: inserts outrun merges";
    case 243:
        return ": the server's disk is full";
    default:
        return "";
    }
}

const char *cp_error_remedy_of_reply(const cp_http_reply *reply)
{
    switch ((CURLcode)reply->net) {
    case CURLE_OK:
        if (reply->exception_code == 0 && reply->status == 404)
            return ": is this ClickHouse's HTTP port?";
        return cp_error_remedy(reply->exception_code);
    case CURLE_COULDNT_CONNECT:
        return ": is ClickHouse running there?";
    case CURLE_COULDNT_RESOLVE_HOST:
        return ": is the host name right?";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return ": is ca_file the authority that signed the server's certificate?";
    default:
        return "";
    }
}
