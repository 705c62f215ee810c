#include "embedded/request.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

cp_request *cp_request_new(void)
{
    cp_request *request = calloc(1, sizeof *request);
    if (request) {
        request->session_timeout = CP_SESSION_TIMEOUT;
        request->http_compression = true;
        request->compression_level = CP_COMPRESSION_LEVEL;
        request->buffer_size = CP_BUFFER_SIZE;
        request->query_size = CP_QUERY_SIZE;
    }
    return request;
}

static void pairs_free(cp_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->names[i]);
        free(pairs->values[i]);
    }
}

/* A password is not left behind in freed memory. */
static void credentials_free(cp_credentials *credentials)
{
    free(credentials->user);
    if (credentials->password) {
        explicit_bzero(credentials->password, strlen(credentials->password));
        free(credentials->password);
    }
}

void cp_request_free(cp_request *request)
{
    if (!request)
        return;
    cp_text_free(&request->query);
    free(request->database);
    free(request->default_format);
    free(request->query_id);
    free(request->session_id);
    free(request->role);
    credentials_free(&request->by_url);
    credentials_free(&request->by_header);
    credentials_free(&request->by_basic);
    pairs_free(&request->settings);
    pairs_free(&request->params);
    free(request);
}

static int no_memory(cp_fault *fault)
{
    return cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY, "Out of memory.");
}

/* Keeps the first value: headers come before URL parameters, as on a server. */
static int string_set(char **field, const char *value, cp_fault *fault)
{
    if (*field)
        return 0;
    *field = strdup(value);
    return *field ? 0 : no_memory(fault);
}

static int pairs_add(cp_pairs *pairs, const char *name, const char *value, size_t length, cp_fault *fault)
{
    if (pairs->count == CP_REQUEST_PAIRS) {
        return cp_fault_set(fault, CP_FAULT_BAD_ARGUMENTS,
                            "More than %d settings or substitutions in one request.", CP_REQUEST_PAIRS);
    }
    char *name_copy = strdup(name);
    char *value_copy = malloc(length + 1);
    if (!name_copy || !value_copy) {
        free(name_copy);
        free(value_copy);
        return no_memory(fault);
    }
    memcpy(value_copy, value, length);
    value_copy[length] = '\0';
    const size_t at = pairs->count++;
    pairs->names[at] = name_copy;
    pairs->name_lengths[at] = strlen(name);
    pairs->values[at] = value_copy;
    pairs->value_lengths[at] = length;
    return 0;
}

static int number_parse(const char *name, const char *value, unsigned long limit, unsigned long *number,
                        cp_fault *fault)
{
    char *end = NULL;
    errno = 0;
    const unsigned long parsed = strtoul(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || parsed > limit) {
        return cp_fault_set(fault, CP_FAULT_BAD_ARGUMENTS,
                            "URL parameter %s: '%s' is not a number from 0 to %lu.", name, value, limit);
    }
    *number = parsed;
    return 0;
}

static int bool_parse(const char *name, const char *value, bool *flag, cp_fault *fault)
{
    if (strcmp(value, "1") == 0 || strcasecmp(value, "true") == 0) {
        *flag = true;
        return 0;
    }
    if (strcmp(value, "0") == 0 || strcasecmp(value, "false") == 0 || value[0] == '\0') {
        *flag = false;
        return 0;
    }
    return cp_fault_set(fault, CP_FAULT_BAD_ARGUMENTS, "URL parameter %s: '%s' is neither 0 nor 1.", name,
                        value);
}

static int session_timeout_parse(cp_request *request, const char *value, cp_fault *fault)
{
    cp_fault ignored = {0};
    unsigned long seconds = 0;
    if (number_parse("session_timeout", value, CP_SESSION_TIMEOUT_LIMIT, &seconds, &ignored) != 0) {
        cp_fault_clear(&ignored);
        return cp_fault_set(fault, CP_FAULT_INVALID_SESSION_TIMEOUT,
                            "Invalid session timeout: '%s', it must be a number of seconds up to %d.", value,
                            CP_SESSION_TIMEOUT_LIMIT);
    }
    request->session_timeout = (unsigned)seconds;
    return 0;
}

/* A query id goes back in a header: only what may stand there. */
static int query_id_set(cp_request *request, const char *value, cp_fault *fault)
{
    enum { LONGEST = 256 };
    if (strlen(value) > LONGEST)
        return cp_fault_set(fault, CP_FAULT_BAD_ARGUMENTS, "The query id is longer than %d bytes.", LONGEST);
    for (const char *c = value; *c; c++) {
        if (!isprint((unsigned char)*c)) {
            return cp_fault_set(fault, CP_FAULT_BAD_ARGUMENTS,
                                "The query id has characters that are not printable.");
        }
    }
    return value[0] != '\0' ? string_set(&request->query_id, value, fault) : 0;
}

/* Words of the interface that carry a text. *known is false when name is none of them. */
static int text_word(cp_request *request, const char *name, const char *value, size_t length, bool *known,
                     cp_fault *fault)
{
    *known = true;
    if (strcmp(name, "query") == 0) {
        cp_text_append(&request->query, value, length);
        return request->query.failed ? no_memory(fault) : 0;
    }
    if (strcmp(name, "query_id") == 0)
        return query_id_set(request, value, fault);
    if (strcmp(name, "session_timeout") == 0)
        return session_timeout_parse(request, value, fault);
    struct {
        const char *name;
        char **field;
    } const words[] = {
        {"database", &request->database},     {"default_format", &request->default_format},
        {"session_id", &request->session_id}, {"role", &request->role},
        {"user", &request->by_url.user},      {"password", &request->by_url.password},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(name, words[i].name) == 0)
            return string_set(words[i].field, value, fault);
    *known = false;
    return 0;
}

/* Words of the interface that are switches, and those that mean nothing to an embedded engine. */
static int switch_word(cp_request *request, const char *name, const char *value, bool *known, cp_fault *fault)
{
    *known = true;
    struct {
        const char *name;
        bool *flag;
    } const words[] = {
        {"session_check", &request->session_check},
        {"close_session", &request->close_session},
        {"compress", &request->compress},
        {"decompress", &request->decompress},
        {"wait_end_of_query", &request->wait_end_of_query},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(name, words[i].name) == 0)
            return bool_parse(name, value, words[i].flag, fault);
    if (strcmp(name, "buffer_size") == 0) {
        unsigned long size = 0;
        const int code = number_parse(name, value, CP_QUERY_SIZE_LIMIT, &size, fault);
        request->buffer_size = size > CP_BUFFER_SIZE ? size : CP_BUFFER_SIZE; /* never less, as on a server */
        return code;
    }
    static const char *const ignored[] = {"", "quota_key", "stacktrace", "client_protocol_version"};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        if (strcmp(name, ignored[i]) == 0)
            return 0;
    *known = false;
    return 0;
}

/* Settings that the HTTP interface itself obeys; the engine gets them too. */
static int setting_heed(cp_request *request, const char *name, const char *value, cp_fault *fault)
{
    unsigned long number = 0;
    if (strcmp(name, "enable_http_compression") == 0)
        return bool_parse(name, value, &request->http_compression, fault);
    if (strcmp(name, "http_wait_end_of_query") == 0)
        return bool_parse(name, value, &request->wait_end_of_query, fault);
    if (strcmp(name, "http_zlib_compression_level") == 0) {
        const int code = number_parse(name, value, 9, &number, fault);
        request->compression_level = number > 0 ? (int)number : 1;
        return code;
    }
    if (strcmp(name, "max_query_size") == 0) {
        const int code = number_parse(name, value, (unsigned long)-1, &number, fault);
        const bool unbounded = number == 0 || number > CP_QUERY_SIZE_LIMIT;
        request->query_size = unbounded ? CP_QUERY_SIZE_LIMIT : number;
        return code;
    }
    return 0;
}

/* A setting's name goes into SQL as it is. */
static bool setting_name_valid(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
    return name[0] != '\0' && !isdigit((unsigned char)name[0]);
}

int cp_request_parameter(cp_request *request, const char *name, const char *value, size_t length,
                         cp_fault *fault)
{
    static const char param[] = "param_";
    bool known = false;
    int code = text_word(request, name, value, length, &known, fault);
    if (!known)
        code = switch_word(request, name, value, &known, fault);
    if (known)
        return code;
    if (strncmp(name, param, sizeof param - 1) == 0)
        return pairs_add(&request->params, name + sizeof param - 1, value, length, fault);
    if (!setting_name_valid(name))
        return cp_fault_set(fault, CP_FAULT_UNKNOWN_SETTING, "Unknown setting '%s'.", name);
    code = setting_heed(request, name, value, fault);
    return code != 0 ? code : pairs_add(&request->settings, name, value, length, fault);
}

int cp_request_header(cp_request *request, const char *name, const char *value, cp_fault *fault)
{
    static const char prefix[] = "X-ClickHouse-";
    if (strncasecmp(name, prefix, sizeof prefix - 1) != 0)
        return 0;
    name += sizeof prefix - 1;
    struct {
        const char *name;
        char **field;
    } const headers[] = {
        {"User", &request->by_header.user},
        {"Key", &request->by_header.password},
        {"Database", &request->database},
        {"Format", &request->default_format},
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (strcasecmp(name, headers[i].name) == 0 && value[0] != '\0')
            return string_set(headers[i].field, value, fault);
    return strcasecmp(name, "Query-Id") == 0 ? query_id_set(request, value, fault) : 0;
}

int cp_request_basic(cp_request *request, const char *user, const char *password, cp_fault *fault)
{
    const int code = string_set(&request->by_basic.user, user, fault);
    return code != 0 ? code : string_set(&request->by_basic.password, password ? password : "", fault);
}

/* Equal or not, looking at every byte of `given` whatever they are. */
static bool secret_equal(const char *given, const char *expected)
{
    const size_t given_length = strlen(given);
    const size_t expected_length = strlen(expected);
    volatile unsigned char differs = given_length != expected_length;
    for (size_t i = 0; i < given_length; i++) {
        const char against = expected_length > 0 ? expected[i % expected_length] : '\0';
        differs |= (unsigned char)(given[i] ^ against);
    }
    return differs == 0;
}

static bool credentials_given(const cp_credentials *credentials)
{
    return credentials->user || credentials->password;
}

int cp_request_authenticate(const cp_request *request, const char *user, const char *password,
                            cp_fault *fault)
{
    const bool basic = credentials_given(&request->by_basic) || request->other_authorization;
    const bool header = credentials_given(&request->by_header);
    const bool url = credentials_given(&request->by_url);
    if (header + basic + url > 1) {
        const char *first = header ? "X-ClickHouse HTTP headers" : "Authorization HTTP header";
        const char *second = header && basic ? "Authorization HTTP header" : "authentication via parameters";
        return cp_fault_set(fault, CP_FAULT_AUTHENTICATION_FAILED,
                            "Invalid authentication: it is not allowed to use %s and %s simultaneously.",
                            first, second);
    }
    if (request->other_authorization) {
        return cp_fault_set(fault, CP_FAULT_AUTHENTICATION_FAILED,
                            "Invalid authentication: only the Basic HTTP Authorization scheme is supported.");
    }
    const cp_credentials *given = header  ? &request->by_header
                                  : basic ? &request->by_basic
                                          : &request->by_url;
    const char *given_user = given->user ? given->user : header ? "" : "default";
    const char *given_password = given->password ? given->password : "";
    const bool user_right = secret_equal(given_user, user);
    const bool password_right = secret_equal(given_password, password);
    if (user_right && password_right)
        return 0;
    return cp_fault_set(
        fault, CP_FAULT_AUTHENTICATION_FAILED,
        "%s: Authentication failed: password is incorrect, or there is no user with such name.", given_user);
}

void cp_request_set(const cp_request *request, cp_text *sql)
{
    for (size_t i = 0; i < request->settings.count; i++) {
        cp_text_print(sql, "%s%s = ", i == 0 ? "SET " : ", ", request->settings.names[i]);
        cp_text_quote(sql, '\'', request->settings.values[i], request->settings.value_lengths[i]);
    }
}

void cp_request_unset(const cp_request *request, cp_text *sql)
{
    for (size_t i = 0; i < request->settings.count; i++)
        cp_text_print(sql, "%s%s = DEFAULT", i == 0 ? "SET " : ", ", request->settings.names[i]);
}
