/* Dates and times from text:
 *
 *     date       2026-01-31
 *     time       2026-01-31[( |T)23:59:59[.123456789][Z | +02:00 | +0200 | +02]]
 *     count      1769903999, days, seconds or ticks since 1970, as the column counts
 *
 * Dates are checked against the proleptic Gregorian calendar. A text without an offset is UTC; of a column
 * that names another zone than UTC it is refused, because turning local time into UTC needs the zone's whole
 * history, is ambiguous once a year, and the writer of the text knows its offset anyway. */
#include <string.h>
#include <strings.h>

#include "schema/value.h"

enum {
    SECONDS_PER_DAY = 86400,
    DATE32_MIN = -25567,  /* 1900-01-01, in days; also the first day of DateTime64 */
    DATE32_MAX = 120529,  /* 2299-12-31; likewise the last */
    OFFSET_HOURS_MAX = 15 /* no zone was ever further from UTC */
};

static const char not_a_date[] = "is not a date; write one such as 2026-01-31, or a count of days since 1970";
static const char not_a_time[] =
    "is not a time; write one such as 2026-01-31 23:59:59, or a count of seconds since 1970";
static const char not_a_time64[] =
    "is not a time; write one such as 2026-01-31 23:59:59.123, or a count of the column's ticks since 1970";

/* A time taken apart. */
typedef struct civil_time {
    int64_t days;    /* since 1970 */
    int64_t seconds; /* of the day, less the offset from UTC: may be negative */
    uint32_t nanos;  /* of the second */
    uint32_t digits; /* of the fraction as written, trailing zeros not counted */
    bool offset;     /* one was given */
} civil_time;

/* What is left of the text. */
typedef struct scanner {
    const char *at;
    const char *end;
} scanner;

/* Exactly count digits. */
static bool scan_digits(scanner *scan, int count, uint32_t *out)
{
    uint32_t value = 0;
    if (scan->end - scan->at < count)
        return false;
    for (int i = 0; i < count; i++) {
        const char c = scan->at[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (uint32_t)(c - '0');
    }
    scan->at += count;
    *out = value;
    return true;
}

static bool scan_char(scanner *scan, char c)
{
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static uint32_t month_length(uint32_t year, uint32_t month)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return lengths[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* Days from 1970-01-01; the year is taken to begin in March, so that the leap day is its last. After Howard
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_from_civil(uint32_t year, uint32_t month, uint32_t day)
{
    const int64_t y = (int64_t)year - (month <= 2);
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static const char *scan_date(scanner *scan, int64_t *days, const char *problem)
{
    uint32_t year;
    uint32_t month;
    uint32_t day;
    if (!scan_digits(scan, 4, &year) || !scan_char(scan, '-') || !scan_digits(scan, 2, &month) ||
        !scan_char(scan, '-') || !scan_digits(scan, 2, &day))
        return problem;
    if (month < 1 || month > 12)
        return "has a month that does not exist; months are 01 to 12";
    if (day < 1 || day > month_length(year, month))
        return "has a day that its month does not have";
    *days = days_from_civil(year, month, day);
    return NULL;
}

static const char *scan_fraction(scanner *scan, civil_time *time, const char *problem)
{
    uint32_t scale = 100000000;
    uint32_t digits = 0;
    if (!scan_char(scan, '.'))
        return NULL;
    const char *first = scan->at;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++) {
        const uint32_t digit = (uint32_t)(*scan->at - '0');
        digits++;
        if (digit)
            time->digits = digits;
        time->nanos += digit * scale; /* behind the ninth digit scale is 0 */
        scale /= 10;
    }
    return scan->at == first ? problem : NULL;
}

static const char *scan_offset(scanner *scan, civil_time *time, const char *problem)
{
    if (scan->at == scan->end)
        return NULL;
    time->offset = true;
    if (scan_char(scan, 'Z') || scan_char(scan, 'z'))
        return NULL;
    const bool west = scan_char(scan, '-');
    uint32_t hours;
    uint32_t minutes = 0;
    if ((!west && !scan_char(scan, '+')) || !scan_digits(scan, 2, &hours))
        return problem;
    const bool colon = scan_char(scan, ':');
    if ((colon || scan->at < scan->end) && !scan_digits(scan, 2, &minutes))
        return problem;
    if (hours > OFFSET_HOURS_MAX || minutes > 59)
        return "has an offset from UTC that no time zone has; write one such as +02:00";
    const int64_t seconds = (int64_t)hours * 3600 + (int64_t)minutes * 60;
    time->seconds += west ? seconds : -seconds;
    return NULL;
}

static const char *scan_time(scanner *scan, civil_time *time, const char *problem)
{
    uint32_t hour;
    uint32_t minute;
    uint32_t second;
    const char *wrong = scan_date(scan, &time->days, problem);
    if (wrong || scan->at == scan->end)
        return wrong; /* a date alone is its midnight */
    if (!scan_char(scan, ' ') && !scan_char(scan, 'T') && !scan_char(scan, 't'))
        return problem;
    if (!scan_digits(scan, 2, &hour) || !scan_char(scan, ':') || !scan_digits(scan, 2, &minute) ||
        !scan_char(scan, ':') || !scan_digits(scan, 2, &second))
        return problem;
    if (hour > 23 || minute > 59 || second > 59)
        return "has a time of day that does not exist; 00:00:00 to 23:59:59 do, leap seconds do not";
    time->seconds = (int64_t)hour * 3600 + (int64_t)minute * 60 + (int64_t)second;
    wrong = scan_fraction(scan, time, problem);
    if (!wrong)
        wrong = scan_offset(scan, time, problem);
    return wrong ? wrong : scan->at == scan->end ? NULL : problem;
}

static bool zone_is_utc(const char *zone)
{
    static const char *const names[] = {"UTC",       "GMT",  "UCT",   "Zulu", "Universal",
                                        "Greenwich", "GMT0", "GMT+0", "GMT-0"};
    if (!zone)
        return true;
    if (strncmp(zone, "Etc/", 4) == 0)
        zone += 4;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(zone, names[i]) == 0)
            return true;
    }
    return false;
}

/* The whole text as a time, in seconds since 1970 and nanoseconds. */
static const char *time_read(const cp_type *type, const char *text, size_t len, int64_t *seconds,
                             civil_time *time)
{
    scanner scan = {text, text + len};
    const char *wrong = scan_time(&scan, time, type->kind == CP_DATETIME ? not_a_time : not_a_time64);
    if (wrong)
        return wrong;
    if (!time->offset && !zone_is_utc(type->timezone))
        return "does not say its offset from UTC, and the column's zone is not UTC; append one, such as "
               "+02:00 or Z";
    *seconds = time->days * SECONDS_PER_DAY + time->seconds;
    return NULL;
}

static const char *date_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    const bool wide = type->kind == CP_DATE32;
    const int64_t min = wide ? DATE32_MIN : 0;
    const int64_t max = wide ? DATE32_MAX : UINT16_MAX;
    const char *outside = wide ? "is out of range: 1900-01-01 to 2299-12-31 (days -25567 to 120529)"
                               : "is out of range: 1970-01-01 to 2149-06-06 (days 0 to 65535)";
    uint64_t count;
    int64_t days;
    switch (cp_digits_parse(text, len, min, (uint64_t)max, &count)) {
    case CP_DIGITS_OK:
        days = (int64_t)count;
        break;
    case CP_DIGITS_RANGE:
        return outside;
    default: {
        scanner scan = {text, text + len};
        const char *wrong = scan_date(&scan, &days, not_a_date);
        if (wrong || scan.at != scan.end)
            return wrong ? wrong : not_a_date;
    }
    }
    if (days < min || days > max)
        return outside;
    memcpy(out, &days, type->value_size);
    return NULL;
}

static const char *datetime_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    static const char outside[] = "is out of range: 1970-01-01 00:00:00 to 2106-02-07 06:28:15 UTC";
    uint64_t count;
    const cp_digits digits = cp_digits_parse(text, len, 0, UINT32_MAX, &count);
    if (digits == CP_DIGITS_RANGE)
        return outside;
    if (digits == CP_DIGITS_NONE) {
        civil_time time = {0};
        int64_t seconds;
        const char *wrong = time_read(type, text, len, &seconds, &time);
        if (wrong)
            return wrong;
        if (time.digits)
            return "has a fraction of a second, which DateTime cannot hold; cut it off, or use DateTime64";
        if (seconds < 0 || seconds > UINT32_MAX)
            return outside;
        count = (uint64_t)seconds;
    }
    const uint32_t value = (uint32_t)count;
    memcpy(out, &value, sizeof value);
    return NULL;
}

/* Both limits in ticks: the years that ClickHouse knows, as far as 64 bits reach. */
static void ticks_range(int64_t per_second, int64_t *min, int64_t *max)
{
    *min = (int64_t)DATE32_MIN * SECONDS_PER_DAY * per_second; /* at 10^9 ticks: -2.2e18, still fits */
    const int64_t end = ((int64_t)DATE32_MAX + 1) * SECONDS_PER_DAY;
    *max = end > INT64_MAX / per_second ? INT64_MAX : end * per_second - 1;
}

static const char *datetime64_parse(const cp_type *type, const char *text, size_t len, void *out)
{
    static const char outside[] =
        "is out of range: 1900-01-01 to 2299-12-31 (to 2262-04-11 with nanoseconds); a count "
        "must be in the column's ticks, 10^-precision of a second";
    int64_t per_second = 1;
    for (uint8_t i = 0; i < type->precision; i++)
        per_second *= 10;
    int64_t min;
    int64_t max;
    ticks_range(per_second, &min, &max);
    uint64_t count;
    const cp_digits digits = cp_digits_parse(text, len, min, (uint64_t)max, &count);
    if (digits == CP_DIGITS_RANGE)
        return outside;
    if (digits == CP_DIGITS_NONE) {
        civil_time time = {0};
        int64_t seconds;
        const char *wrong = time_read(type, text, len, &seconds, &time);
        if (wrong)
            return wrong;
        if (time.digits > type->precision)
            return "has more digits of a second than the column's precision; cut them off";
        const int64_t fraction = (int64_t)time.nanos / (1000000000 / per_second);
        if (seconds < min / per_second || seconds > max / per_second ||
            (seconds == max / per_second && fraction > max % per_second))
            return outside;
        count = (uint64_t)(seconds * per_second + fraction);
    }
    memcpy(out, &count, sizeof count);
    return NULL;
}

const char *cp_value_parse_time(const cp_type *type, const char *text, size_t len, void *out)
{
    switch (type->kind) {
    case CP_DATETIME:
        return datetime_parse(type, text, len, out);
    case CP_DATETIME64:
        return datetime64_parse(type, text, len, out);
    default:
        return date_parse(type, text, len, out);
    }
}
