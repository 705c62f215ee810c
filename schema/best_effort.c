/* See best_effort.h. The text is read as a row of numbers, words and marks, each of which says by its form and its place what it
 * is; what is said twice, or not understood, makes the whole no time. */
#include "schema/best_effort.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { FRACTION = 9, EPOCH_DIGITS_MIN = 9 };

typedef struct moment {
    int year; /* -1: not yet read; likewise month … hour */
    int month;
    int day;
    int hour;
    int minute;
    int second;
    unsigned fraction_digits;
    char fraction[FRACTION + 1];
    char offset[12]; /* "", "Z", "+02:00" */
    int half;        /* 1: AM, 2: PM */
} moment;

typedef struct reader {
    const char *at;
    const char *end;
} reader;

static bool is_digit_at(const reader *r, size_t ahead)
{
    return (size_t)(r->end - r->at) > ahead && r->at[ahead] >= '0' && r->at[ahead] <= '9';
}

/* A run of digits: how many, and their value as far as nine of them go. */
static unsigned number_read(reader *r, int *value)
{
    unsigned digits = 0;
    *value = 0;
    for (; is_digit_at(r, 0); r->at++, digits++) {
        if (digits < EPOCH_DIGITS_MIN)
            *value = *value * 10 + (*r->at - '0');
    }
    return digits;
}

static bool take(reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool set(int *field, int value)
{
    const bool first = *field < 0;
    *field = value;
    return first;
}

/* ".123456789…": digits beyond the ninth are nothing that a column could hold. */
static bool fraction_read(reader *r, moment *m)
{
    if (!take(r, '.'))
        return true;
    if (!is_digit_at(r, 0))
        return false;
    for (; is_digit_at(r, 0); r->at++) {
        if (m->fraction_digits < FRACTION)
            m->fraction[m->fraction_digits++] = *r->at;
    }
    return true;
}

/* Behind the hour: ":mm", ":mm:ss", ":mm:ss.fff". */
static bool clock_read(reader *r, moment *m, int hour)
{
    int minute = 0;
    int second = 0;
    if (!take(r, ':') || number_read(r, &minute) != 2)
        return false;
    if (take(r, ':') && number_read(r, &second) != 2)
        return false;
    m->minute = minute;
    m->second = second;
    return set(&m->hour, hour) && fraction_read(r, m);
}

/* "100000" or "1000" behind a T. */
static bool clock_packed(reader *r, moment *m, unsigned digits, int value)
{
    if (digits == 4)
        value *= 100;
    m->minute = value / 100 % 100;
    m->second = value % 100;
    return (digits == 4 || digits == 6) && set(&m->hour, value / 10000) && fraction_read(r, m);
}

/* Behind the first number of "2026-06-11", "2026/6/1" or "11.06.2026". */
static bool date_read(reader *r, moment *m, unsigned digits, int first)
{
    const char mark = *r->at++;
    int second = 0;
    int third = 0;
    const unsigned middle = number_read(r, &second);
    if (middle < 1 || middle > 2 || !take(r, mark))
        return false;
    const unsigned last = number_read(r, &third);
    if (digits == 4)
        return (last == 1 || last == 2) && set(&m->year, first) && set(&m->month, second) &&
               set(&m->day, third);
    return digits <= 2 && last == 4 && set(&m->day, first) && set(&m->month, second) && set(&m->year, third);
}

static bool number_place(reader *r, moment *m, bool behind_t)
{
    int value = 0;
    const unsigned digits = number_read(r, &value);
    const char next = r->at < r->end ? *r->at : '\0';
    if (next == ':' && digits <= 2)
        return clock_read(r, m, value);
    if (behind_t)
        return clock_packed(r, m, digits, value);
    if ((next == '-' || next == '/' || next == '.') && m->year < 0 && m->day < 0 && digits != 8)
        return date_read(r, m, digits, value);
    if (digits == 8)
        return set(&m->year, value / 10000) && set(&m->month, value / 100 % 100) && set(&m->day, value % 100);
    if (digits == 4)
        return set(&m->year, value);
    return digits <= 2 && set(&m->day, value);
}

/* "+02:00", "-0530", "+2" behind the time of day. */
static bool offset_read(reader *r, moment *m)
{
    const char sign = *r->at++;
    int hours = 0;
    int minutes = 0;
    const unsigned digits = number_read(r, &hours);
    if (m->hour < 0 || m->offset[0])
        return false;
    if (digits == 4) {
        minutes = hours % 100;
        hours /= 100;
    } else if (digits < 1 || digits > 2 || (take(r, ':') && number_read(r, &minutes) != 2)) {
        return false;
    }
    snprintf(m->offset, sizeof m->offset, "%c%02u:%02u", sign, (unsigned)hours % 100u,
             (unsigned)minutes % 100u);
    return true;
}

/* A month, a weekday, T, Z, UTC, GMT, AM or PM. */
static bool word_place(reader *r, moment *m, bool *behind_t)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char days[] = "MonTueWedThuFriSatSun";
    const char *word = r->at;
    while (r->at < r->end && isalpha((unsigned char)*r->at))
        r->at++;
    const size_t len = (size_t)(r->at - word);
    if (len == 1 && (*word == 'T' || *word == 't') && m->day >= 0 && m->hour < 0)
        return *behind_t = true;
    if ((len == 1 && (*word == 'Z' || *word == 'z')) ||
        (len == 3 && (strncasecmp(word, "UTC", 3) == 0 || strncasecmp(word, "GMT", 3) == 0))) {
        const bool first = !m->offset[0];
        memcpy(m->offset, "Z", sizeof "Z");
        return first;
    }
    if (len == 2 && (strncasecmp(word, "AM", 2) == 0 || strncasecmp(word, "PM", 2) == 0)) {
        const bool first = m->half == 0;
        m->half = word[0] == 'P' || word[0] == 'p' ? 2 : 1;
        return first && m->hour >= 0;
    }
    for (int i = 0; len >= 3 && i < 12; i++) {
        if (strncasecmp(word, months + (size_t)3 * (size_t)i, 3) == 0)
            return set(&m->month, i + 1);
    }
    for (int i = 0; len >= 3 && i < 7; i++) {
        if (strncasecmp(word, days + (size_t)3 * (size_t)i, 3) == 0)
            return true;
    }
    return false;
}

static bool text_read(reader *r, moment *m)
{
    bool behind_t = false;
    while (r->at < r->end) {
        bool good = true;
        if (*r->at == ' ' || *r->at == ',')
            r->at++;
        else if (is_digit_at(r, 0))
            good = number_place(r, m, behind_t);
        else if (isalpha((unsigned char)*r->at))
            good = word_place(r, m, &behind_t);
        else if (*r->at == '+' || *r->at == '-')
            good = offset_read(r, m);
        else
            good = false;
        if (!good)
            return false;
    }
    if (m->half && (m->hour < 1 || m->hour > 12))
        return false;
    if (m->half)
        m->hour = m->hour % 12 + (m->half == 2 ? 12 : 0);
    return m->year >= 0 && m->month >= 0 && m->day >= 0;
}

/* Digits alone: packed dates, and counts since 1970 by their size. */
static bool digits_read(const char *text, size_t len, moment *m)
{
    long long seconds = 0;
    size_t whole = strspn(text, "0123456789");
    whole = whole < len ? whole : len;
    const char *rest = text + whole;
    const bool fraction =
        whole + 1 < len && *rest == '.' && strspn(rest + 1, "0123456789") >= len - whole - 1;
    if (whole == 14 && len == 14) {
        const int read = sscanf(text, "%4d%2d%2d%2d%2d%2d", &m->year, &m->month, &m->day, &m->hour,
                                &m->minute, &m->second);
        return read == 6;
    }
    if (whole < EPOCH_DIGITS_MIN || whole > 19 || (whole != len && !fraction) || (fraction && whole > 10))
        return false;
    const size_t unit = whole <= 10 ? 0 : whole <= 13 ? 3 : whole <= 16 ? 6 : 9; /* digits below the second */
    for (size_t i = 0; i < whole - unit; i++)
        seconds = seconds * 10 + (text[i] - '0');
    reader r = {fraction ? rest + 1 : text + whole - unit, fraction ? text + len : text + whole};
    for (; r.at < r.end && m->fraction_digits < FRACTION; r.at++)
        m->fraction[m->fraction_digits++] = *r.at;
    struct tm tm;
    const time_t at = (time_t)seconds;
    if (!gmtime_r(&at, &tm))
        return false;
    *m = (moment){.year = tm.tm_year + 1900,
                  .month = tm.tm_mon + 1,
                  .day = tm.tm_mday,
                  .hour = tm.tm_hour,
                  .minute = tm.tm_min,
                  .second = tm.tm_sec,
                  .fraction_digits = m->fraction_digits,
                  .offset = "Z"};
    memcpy(m->fraction, fraction ? rest + 1 : text + whole - unit, m->fraction_digits);
    return true;
}

size_t cp_best_effort_time(const cp_type *type, const char *text, size_t len, char out[CP_BEST_EFFORT_TEXT])
{
    char copy[CP_BEST_EFFORT_TEXT];
    moment m = {.year = -1, .month = -1, .day = -1, .hour = -1};
    if (len == 0 || len >= sizeof copy || memchr(text, '\0', len))
        return 0;
    memcpy(copy, text, len); /* with an end, for what reads up to one */
    copy[len] = '\0';
    const bool date = type->kind == CP_DATE || type->kind == CP_DATE32;
    reader r = {copy, copy + len};
    if (!digits_read(copy, len, &m) && !text_read(&r, &m))
        return 0;
    int used = snprintf(out, CP_BEST_EFFORT_TEXT, "%04d-%02d-%02d", m.year, m.month, m.day);
    if (!date && m.hour >= 0) {
        const unsigned most = type->kind == CP_DATETIME64 ? type->precision : 0;
        const unsigned digits = m.fraction_digits < most ? m.fraction_digits : most;
        used += snprintf(out + used, CP_BEST_EFFORT_TEXT - (size_t)used, " %02d:%02d:%02d%s%.*s%s", m.hour,
                         m.minute, m.second, digits ? "." : "", (int)digits, m.fraction, m.offset);
    }
    return (size_t)used;
}
