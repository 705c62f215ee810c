#include "cli/cli.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_code.h"

enum { OPTION_JSON = 0x1000, OPTION_CONFIG, OPTION_REGION };

static const struct argp_option common_options[] = {
    {"json", OPTION_JSON, NULL, 0, "Answer with one JSON object on standard output", 90},
    {"config", OPTION_CONFIG, "FILE", 0,
     "Configuration (default: $COLDPATH_CONFIG, ./coldpath.yaml, /etc/coldpath/coldpath.yaml)", 90},
    {"region", OPTION_REGION, "PATH", 0, "Region directory (default: the configuration's)", 90},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t common_parse(int key, char *arg, struct argp_state *state)
{
    cp_common *common = state->input;
    switch (key) {
    case OPTION_JSON:
        common->json = true;
        return 0;
    case OPTION_CONFIG:
        common->config = arg;
        return 0;
    case OPTION_REGION:
        common->region = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cp_common_argp = {.options = common_options, .parser = common_parse};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
error_t cp_common_parse_only(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = state->input;
    return 0;
}

void cp_message(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    flockfile(stderr);
    fputs("coldpath: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(args);
}

int cp_fail(const cp_error *err)
{
    cp_message("%s", err->text[0] ? err->text : cp_strerror(err->code));
    return cp_exit_of(err->code);
}

bool cp_number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || value < min || value > max)
        return false;
    *out = value;
    return true;
}

/* ---- JSON --------------------------------------------------------------------------- */

static json_object *json_must(json_object *object)
{
    if (!object) {
        cp_message("out of memory");
        exit(CP_EXIT_FAILED);
    }
    return object;
}

json_object *cp_json_begin(const char *verb)
{
    json_object *object = json_must(json_object_new_object());
    cp_json_add_uint(object, "schema_version", CP_JSON_SCHEMA_VERSION);
    cp_json_add_string(object, "verb", verb);
    return object;
}

void cp_json_add(json_object *object, const char *key, json_object *value)
{
    if (json_object_object_add(object, key, value) != 0)
        json_must(NULL);
}

void cp_json_add_uint(json_object *object, const char *key, uint64_t value)
{
    cp_json_add(object, key, json_must(json_object_new_uint64(value)));
}

void cp_json_add_double(json_object *object, const char *key, double value)
{
    char text[64];
    snprintf(text, sizeof text, "%.6g", value);
    cp_json_add(object, key, isfinite(value) ? json_must(json_object_new_double_s(value, text)) : NULL);
}

/* Texts of servers and files may be cut in the midst of a character, or be none: a parser would refuse the whole document. */
static json_object *json_text(const char *value)
{
    char *text = strdup(value);
    if (text)
        cp_utf8_clean(text);
    json_object *object = json_must(text ? json_object_new_string(text) : NULL);
    free(text);
    return object;
}

void cp_json_add_string(json_object *object, const char *key, const char *value)
{
    cp_json_add(object, key, value ? json_text(value) : NULL);
}

void cp_json_append_string(json_object *array, const char *text)
{
    if (json_object_array_add(array, json_text(text)) != 0)
        json_must(NULL);
}

void cp_json_add_bool(json_object *object, const char *key, bool value)
{
    cp_json_add(object, key, json_must(json_object_new_boolean(value)));
}

void cp_json_add_made(json_object *object, const char *key, char *text)
{
    json_object *value = text ? json_must(json_object_new_object()) : NULL;
    if (value)
        json_object_set_serializer(value, json_object_userdata_to_json_string, text,
                                   json_object_free_userdata);
    cp_json_add(object, key, value);
}

int cp_json_end(json_object *object)
{
    const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    puts(json_object_to_json_string_ext(object, flags));
    json_object_put(object);
    return cp_output_finish();
}

bool cp_output_closed(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

int cp_output_finish(void)
{
    const bool failed = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed)
        return CP_EXIT_OK;
    const int errnum = errno;
    if (cp_output_closed())
        return CP_EXIT_OK;
    cp_message("cannot write to standard output: %s", strerror(errnum));
    return CP_EXIT_IO;
}

/* ---- figures for people ------------------------------------------------------------- */

char *cp_human_count(char out[CP_HUMAN_TEXT], uint64_t value)
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, value);
    size_t used = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

char *cp_human_bytes(char out[CP_HUMAN_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(out, CP_HUMAN_TEXT, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

char *cp_human_ns(char out[CP_HUMAN_TEXT], uint64_t ns)
{
    if (ns < CP_NS_PER_US)
        snprintf(out, CP_HUMAN_TEXT, "%" PRIu64 " ns", ns);
    else if (ns < CP_NS_PER_MS)
        snprintf(out, CP_HUMAN_TEXT, "%.1f us", (double)ns / 1e3);
    else if (ns < CP_NS_PER_S)
        snprintf(out, CP_HUMAN_TEXT, "%.1f ms", (double)ns / 1e6);
    else
        snprintf(out, CP_HUMAN_TEXT, "%.1f s", (double)ns / 1e9);
    return out;
}
