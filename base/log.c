#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_limit.h"
#include "base/utf8.h"

enum { SUBJECT_ROOM = 160 }; /* of a subject, what is compared: a table's name fits */

static _Atomic int log_threshold = CP_LOG_INFO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const int level_priorities[] = {7, 6, 4, 3}; /* syslog(3) */

/* Guards what follows. Held for some comparisons, and for what the observer does. */
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static cp_log_limit log_limit;
static cp_log_observer *log_observer;
static void *log_observer_ctx;

void cp_log_set_level(cp_log_level level)
{
    atomic_store_explicit(&log_threshold, (int)level, memory_order_relaxed);
}

bool cp_log_level_parse(const char *text, cp_log_level *level)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (cp_log_level)i;
            return true;
        }
    }
    return false;
}

enum { QUOTED_MAX = sizeof "\\xc2\\x80" }; /* what stands for one character; a longer one stands for itself */

/* What stands for the character at text, of `bytes` bytes, into out (QUOTED_MAX); returns its length. */
static size_t character_quote(char *out, const unsigned char *text, size_t bytes, bool plain)
{
    size_t used = 0;
    if (bytes == 1 && (*text == '"' || *text == '\\' || *text == '\n')) {
        out[used++] = '\\';
        out[used++] = *text == '\n' ? 'n' : (char)*text;
    } else if (plain) {
        memcpy(out, text, used = bytes);
    } else {
        for (size_t i = 0; i < bytes; i++)
            used += (size_t)snprintf(out + used, QUOTED_MAX - used, "\\x%02x", text[i]);
    }
    return used;
}

char *cp_log_quote(char *out, size_t size, const char *text)
{
    static const char ellipsis[] = "…";
    const size_t reserve = sizeof ellipsis + 1; /* the ellipsis, the closing quote, the NUL */
    size_t used = 0;
    out[used++] = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        char quoted[QUOTED_MAX];
        const size_t control = cp_utf8_control(p);
        const size_t length = cp_utf8_length(p, CP_UTF8_MAX);
        const size_t bytes = length ? length : 1;
        const size_t room = character_quote(quoted, p, bytes, length && !control);
        if (used + room + reserve > size) {
            if (size > reserve + used) {
                memcpy(out + used, ellipsis, sizeof ellipsis - 1);
                used += sizeof ellipsis - 1;
            }
            break;
        }
        memcpy(out + used, quoted, room);
        used += room;
        p += bytes;
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}

/* systemd names the journal's stream in the environment, and whatever it started hands that on: what goes elsewhere has to carry its
 * time itself. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device;
    unsigned long long inode;
    struct stat status;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

static size_t log_prefix(char *line, size_t size, cp_log_level level)
{
    if (is_journal())
        return (size_t)snprintf(line, size, "<%d>level=%s", level_priorities[level], level_names[level]);
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, size, "ts=%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(line + used, size - used, ".%03ldZ level=%s", now.tv_nsec / 1000000,
                             level_names[level]);
    return used;
}

/* ---- fields ---------------------------------------------------------------------------------------------------- */

/* Behind the value that begins at text: a quoted one, or a word. */
static const char *value_end(const char *text)
{
    if (*text != '"')
        return text + strcspn(text, " ");
    for (text++; *text && *text != '"'; text++)
        text += *text == '\\' && text[1];
    return *text ? text + 1 : text;
}

/* A quoted value that was cut off ends where the text does. */
static void value_copy(const char *text, const char *end, char *out, size_t size)
{
    size_t used = 0;
    const bool quoted = *text == '"';
    for (text += quoted; text < end && !(quoted && *text == '"') && used + 1 < size; text++) {
        const bool escaped = quoted && *text == '\\' && text[1];
        text += escaped;
        out[used++] = escaped && *text == 'n' ? '\n' : *text;
    }
    out[used] = '\0';
}

bool cp_log_field(const char *fields, const char *name, char *out, size_t size)
{
    const size_t len = strlen(name);
    out[0] = '\0';
    while (*fields) {
        fields += strspn(fields, " ");
        const size_t word = strcspn(fields, "= ");
        if (fields[word] != '=') {
            fields += word;
            continue;
        }
        const char *value = fields + word + 1;
        const char *end = value_end(value);
        if (word == len && memcmp(fields, name, len) == 0) {
            value_copy(value, end, out, size);
            return true;
        }
        fields = end;
    }
    return false;
}

/* ---- the same again --------------------------------------------------------------------------------------------- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++) /* FNV-1a */
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

/* What makes two events the same. */
static uint64_t event_key(const char *msg, const char *fields)
{
    static const char *const subjects[] = {"table", "slot", "key", "url", "class", "code"};
    char value[SUBJECT_ROOM];
    uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), msg);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        cp_log_field(fields, subjects[i], value, sizeof value);
        hash = hash_text(hash, value);
    }
    return hash;
}

/* Tells the observer. False: the line is to be left out. */
static bool event_pass(cp_log_level level, const char *msg, const char *fields, uint32_t *left_out)
{
    const uint64_t key = event_key(msg, fields);
    pthread_mutex_lock(&log_mutex);
    const bool passes = cp_log_limit_take(&log_limit, key, cp_boottime_ns(), left_out);
    if (log_observer)
        log_observer(log_observer_ctx, level, msg, fields);
    pthread_mutex_unlock(&log_mutex);
    return passes;
}

void cp_log_observe(cp_log_observer *observer, void *ctx)
{
    pthread_mutex_lock(&log_mutex);
    log_observer = observer;
    log_observer_ctx = ctx;
    pthread_mutex_unlock(&log_mutex);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* Ends the line, and writes it. used may be past its room: what did not fit is cut. */
static void line_write(char line[CP_LOG_LINE], size_t used, uint32_t left_out)
{
    if (left_out && used < CP_LOG_LINE - 1)
        used += (size_t)snprintf(line + used, CP_LOG_LINE - used, " left_out=%" PRIu32, left_out);
    if (used > CP_LOG_LINE - 1)
        used = CP_LOG_LINE - 1;
    line[used++] = '\n';
    ssize_t written;
    do
        written = write(STDERR_FILENO, line, used);
    while (written < 0 && errno == EINTR);
}

void cp_log(cp_log_level level, const char *msg, const char *fmt, ...)
{
    if ((int)level < atomic_load_explicit(&log_threshold, memory_order_relaxed))
        return;
    const int saved = errno;
    char line[CP_LOG_LINE];
    const char *fields = "";
    uint32_t left_out = 0;
    size_t used = log_prefix(line, sizeof line, level);
    used += (size_t)snprintf(line + used, sizeof line - used, " msg=\"%s\"", msg);
    if (fmt && used < sizeof line - 1) {
        line[used++] = ' ';
        fields = line + used;
        va_list args;
        va_start(args, fmt);
        const int more = vsnprintf(line + used, sizeof line - used, fmt, args);
        va_end(args);
        used += more > 0 ? (size_t)more : 0;
    }
    if (level < CP_LOG_WARN || event_pass(level, msg, fields, &left_out))
        line_write(line, used, left_out);
    errno = saved;
}
