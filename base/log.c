#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int log_threshold = CP_LOG_INFO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const int level_priorities[] = {7, 6, 4, 3}; /* syslog(3) */

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

char *cp_log_quote(char *out, size_t size, const char *text)
{
    static const char ellipsis[] = "…";
    const size_t reserve = sizeof ellipsis + 1; /* the ellipsis, the closing quote, the NUL */
    size_t used = 0;
    out[used++] = '"';
    for (const char *p = text; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        if (used + 4 + reserve > size) {
            if (size > reserve + used) {
                memcpy(out + used, ellipsis, sizeof ellipsis - 1);
                used += sizeof ellipsis - 1;
            }
            break;
        }
        if (c == '"' || c == '\\') {
            out[used++] = '\\';
            out[used++] = (char)c;
        } else if (c == '\n') {
            out[used++] = '\\';
            out[used++] = 'n';
        } else if (c < 0x20 || c == 0x7f) {
            used += (size_t)snprintf(out + used, size - used, "\\x%02x", c);
        } else {
            out[used++] = (char)c;
        }
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}

static size_t log_prefix(char *line, size_t size, cp_log_level level)
{
    if (getenv("JOURNAL_STREAM"))
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

void cp_log(cp_log_level level, const char *msg, const char *fmt, ...)
{
    if ((int)level < atomic_load_explicit(&log_threshold, memory_order_relaxed))
        return;
    const int saved = errno;
    char line[CP_LOG_LINE];
    size_t used = log_prefix(line, sizeof line, level);
    used += (size_t)snprintf(line + used, sizeof line - used, " msg=\"%s\"", msg);
    if (fmt && used < sizeof line - 1) {
        line[used++] = ' ';
        va_list args;
        va_start(args, fmt);
        const int more = vsnprintf(line + used, sizeof line - used, fmt, args);
        va_end(args);
        used += more > 0 ? (size_t)more : 0;
    }
    if (used > sizeof line - 1)
        used = sizeof line - 1;
    line[used++] = '\n';
    ssize_t written;
    do
        written = write(STDERR_FILENO, line, used);
    while (written < 0 && errno == EINTR);
    errno = saved;
}
