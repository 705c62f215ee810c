/* The programs' log: one logfmt line per event on standard error, which systemd's journal takes as it is.
 *
 *   ts=2026-01-02T03:04:05.678Z level=warn msg="insert failed" table=quotes rows=5000 error="Code: 60. …"
 *
 * Where standard error is systemd's journal (JOURNAL_STREAM names it) lines begin with the syslog priority, "<4>", and carry no time. A line is
 * one write(2); it may be cut at CP_LOG_LINE bytes, never split. Thread-safe. The library never logs.
 *
 * Warnings and errors that say the same of the same thing (message, and what the fields table, slot, key, url, class and code say) are limited
 * (log_limit.h): when some were left out, the next line of them ends with left_out=N. */
#ifndef CP_BASE_LOG_H
#define CP_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

typedef enum cp_log_level { CP_LOG_DEBUG, CP_LOG_INFO, CP_LOG_WARN, CP_LOG_ERROR } cp_log_level;

enum { CP_LOG_LINE = 2048 };

/* Events below level are dropped; the default is CP_LOG_INFO. */
void cp_log_set_level(cp_log_level level);

/* Parses "debug", "info", "warn" or "error"; false when it is none of them. */
bool cp_log_level_parse(const char *text, cp_log_level *level);

/* Writes one event. msg is a constant phrase; fmt gives further fields, already in logfmt ("table=%s rows=%lu"),
 * or is NULL. Free text inside fmt goes through cp_log_quote first. errno is preserved. */
void cp_log(cp_log_level level, const char *msg, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sees every warning and error whose level is not below the log's, also those whose line is left out; fields: as in the line, or "".
 * Called with the log's lock held, on the thread that logs: it must not log, and not wait. */
typedef void cp_log_observer(void *ctx, cp_log_level level, const char *msg, const char *fields);

/* One at a time; NULL: none. When this returns, the previous one is called no more. Any thread. */
void cp_log_observe(cp_log_observer *observer, void *ctx);

/* The value of a field of a line or of fields, unquoted, into out (size ≥ 1), cut to fit. False, and "", when there is none of
 * that name. */
bool cp_log_field(const char *fields, const char *name, char *out, size_t size);

/* Writes text as a quoted logfmt value into out (size ≥ 3), escaping quotes, backslashes, control characters
 * and bytes that are no UTF-8, cutting with "…" what does not fit. Returns out. */
char *cp_log_quote(char *out, size_t size, const char *text);

#endif
