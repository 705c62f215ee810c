/* See value.h. Numbers are parsed digit by digit with overflow checks: strtoull takes signs, blanks
 * and prefixes that a configuration should not. */
#include "recorder/config/value.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "flush/flusher.h"

enum { QUOTE_BYTES = 60, NEAREST_BYTES = 64 };

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* The first of equal factors is the one that is printed. k, M, G are binary here as everywhere memory is
 * meant; the decimal kB and MB are refused, because nobody can tell what was meant. */
static const unit size_units[] = {
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"", 1},
    {"B", 1},
    {"k", UINT64_C(1) << 10},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"m", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"g", UINT64_C(1) << 30},
    {"Ki", UINT64_C(1) << 10},
    {"Mi", UINT64_C(1) << 20},
    {"Gi", UINT64_C(1) << 30},
    {NULL, 0},
};

static const unit time_units[] = {
    {"h", UINT64_C(3600000000000)}, {"m", UINT64_C(60000000000)},  {"s", UINT64_C(1000000000)},
    {"ms", UINT64_C(1000000)},      {"us", UINT64_C(1000)},        {"ns", 1},
    {"min", UINT64_C(60000000000)}, {"sec", UINT64_C(1000000000)}, {NULL, 0},
};

static bool refuse(cp_config_refusal *why, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(cp_config_refusal *why, const char *remedy, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why->what, sizeof why->what, fmt, args);
    va_end(args);
    snprintf(why->remedy, sizeof why->remedy, "%s", remedy);
    return false;
}

char *cp_config_quote(char *out, size_t size, const char *text, size_t len)
{
    const size_t room = size - 4 < QUOTE_BYTES ? size - 4 : QUOTE_BYTES;
    size_t take = len < room ? len : room;
    while (take < len && take > 0 && ((unsigned char)text[take] & 0xC0) == 0x80)
        take--; /* do not cut inside a UTF-8 character */
    for (size_t i = 0; i < take; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool c1 = c == 0xC2 && i + 1 < take && (unsigned char)text[i + 1] < 0xA0;
        out[i] = (char)(c < 0x20 || c == 0x7F || c1 ? '?' : c);
        if (c1)
            out[++i] = '?';
    }
    memcpy(out + take, take < len ? "…" : "", take < len ? 4 : 1);
    return out;
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

/* Digits at the front of [text, text + len); *used counts them. False on overflow or when there are none. */
static bool take_digits(const char *text, size_t len, uint64_t *number, size_t *used)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        const uint64_t digit = (uint64_t)(text[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *number = n;
    *used = i;
    return i > 0;
}

static bool parse_with_unit(const unit *units, const char *text, size_t len, uint64_t *number)
{
    size_t used = 0;
    uint64_t n = 0;
    if (!take_digits(text, len, &n, &used))
        return false;
    while (used < len && text[used] == ' ')
        used++;
    for (const unit *u = units; u->name; u++) {
        if (strlen(u->name) == len - used && memcmp(u->name, text + used, len - used) == 0) {
            *number = n * u->factor;
            return n <= UINT64_MAX / u->factor;
        }
    }
    return false;
}

static void format_with_unit(const unit *units, uint64_t number, char *out, size_t size)
{
    const unit *best = units;
    while (number % best->factor != 0 || (number == 0 && best->factor != 1))
        best++;
    snprintf(out, size, "%llu%s", (unsigned long long)(number / best->factor), best->name);
}

void cp_config_value_format(const cp_config_key *key, uint64_t number, char *out, size_t size)
{
    switch (key->kind) {
    case CP_CONFIG_SIZE:
    case CP_CONFIG_SIZE2:
        format_with_unit(size_units, number, out, size);
        break;
    case CP_CONFIG_DURATION:
        if (number == 0) {
            snprintf(out, size, "0s");
            break;
        }
        format_with_unit(time_units, number, out, size);
        break;
    case CP_CONFIG_PERCENT:
        snprintf(out, size, "%llu%%", (unsigned long long)number);
        break;
    case CP_CONFIG_MODE:
        snprintf(out, size, "%04llo", (unsigned long long)number);
        break;
    case CP_CONFIG_CHOICE:
        snprintf(out, size, "%s", key->choices[number]);
        break;
    default:
        if (key->kind == CP_CONFIG_CPU && number == CP_CONFIG_ANY_CPU)
            snprintf(out, size, "any");
        else
            snprintf(out, size, "%llu", (unsigned long long)number);
    }
}

static bool check_range(const cp_config_key *key, uint64_t number, const char *shown, cp_config_refusal *why)
{
    if (number >= key->min && number <= key->max)
        return true;
    char min[32], max[32], remedy[96];
    cp_config_value_format(key, key->min, min, sizeof min);
    cp_config_value_format(key, key->max, max, sizeof max);
    snprintf(remedy, sizeof remedy, "give a value from %s to %s", min, max);
    return refuse(why, remedy, "%s: %s is too %s", key->path, shown, number < key->min ? "small" : "large");
}

static bool check_power(const cp_config_key *key, uint64_t number, const char *shown, cp_config_refusal *why)
{
    if ((number & (number - 1)) == 0)
        return true;
    uint64_t below = key->min;
    while (below <= number / 2)
        below *= 2;
    char a[32], b[32], remedy[96];
    cp_config_value_format(key, below, a, sizeof a);
    cp_config_value_format(key, below * 2, b, sizeof b);
    snprintf(remedy, sizeof remedy, "the nearest are %s and %s", a, b);
    return refuse(why, remedy, "%s: %s is not a power of two", key->path, shown);
}

static bool parse_number(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                         cp_config_refusal *why)
{
    char shown[QUOTE_BYTES + 8];
    cp_config_quote(shown, sizeof shown, text, len);
    size_t used = 0;
    if (key->kind == CP_CONFIG_CPU && len == 3 && memcmp(text, "any", 3) == 0) {
        *number = CP_CONFIG_ANY_CPU;
        return true;
    }
    switch (key->kind) {
    case CP_CONFIG_DURATION:
        if (!parse_with_unit(time_units, text, len, number))
            return refuse(why, "write a whole number and a unit: ns, us, ms, s, m, h (250ms)",
                          "%s: \"%s\" is not a time", key->path, shown);
        break;
    case CP_CONFIG_SIZE:
    case CP_CONFIG_SIZE2:
        if (!parse_with_unit(size_units, text, len, number))
            return refuse(why, "write a whole number of bytes, or one with KiB, MiB or GiB (64MiB)",
                          "%s: \"%s\" is not a size", key->path, shown);
        break;
    case CP_CONFIG_PERCENT:
        if (!take_digits(text, len, number, &used) || used + 1 != len || text[used] != '%')
            return refuse(why, "write a whole number and the sign: 75%", "%s: \"%s\" is not a percentage",
                          key->path, shown);
        break;
    default:
        if (!take_digits(text, len, number, &used) || used != len)
            return refuse(why,
                          key->kind == CP_CONFIG_CPU
                              ? "write \"any\" or a CPU's number, from 0"
                              : "write digits alone, without sign, point or separators (5000)",
                          "%s: \"%s\" is not a %s", key->path, shown,
                          key->kind == CP_CONFIG_CPU ? "CPU" : "whole number");
    }
    return check_range(key, *number, shown, why) &&
           (key->kind != CP_CONFIG_SIZE2 || check_power(key, *number, shown, why));
}

static bool parse_mode(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                       cp_config_refusal *why)
{
    static const struct {
        const char *text;
        uint64_t mode;
    } modes[] = {{"0600", 0600},  {"0660", 0660}, {"0666", 0666}, {"0o600", 0600}, {"0o660", 0660},
                 {"0o666", 0666}, {"600", 0600},  {"660", 0660},  {"666", 0666}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strlen(modes[i].text) == len && memcmp(modes[i].text, text, len) == 0) {
            *number = modes[i].mode;
            return true;
        }
    }
    char shown[QUOTE_BYTES + 8];
    return refuse(why, "0600: producers of the same user; 0660: of the region's group; 0666: of every user",
                  "%s: \"%s\" is not a mode for producers", key->path,
                  cp_config_quote(shown, sizeof shown, text, len));
}

/* ---- text ---------------------------------------------------------------------------------------------- */

static bool parse_choice(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                         cp_config_refusal *why)
{
    char list[CP_CONFIG_WORDS] = "one of: ";
    size_t count = 0;
    for (; key->choices[count]; count++) {
        if (strlen(key->choices[count]) == len && memcmp(key->choices[count], text, len) == 0) {
            *number = count;
            return true;
        }
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", count ? ", " : "", key->choices[count]);
    }
    char shown[QUOTE_BYTES + 8];
    cp_config_quote(shown, sizeof shown, text, len);
    const int near = cp_config_nearest(key->choices, count, text, len);
    if (near >= 0)
        snprintf(list, sizeof list, "did you mean \"%s\"?", key->choices[near]);
    return refuse(why, list, "%s: \"%s\" is not known here", key->path, shown);
}

static bool parse_text(const cp_config_key *key, const char *text, size_t len, cp_config_refusal *why)
{
    if (len == 0)
        return refuse(why, "leave the key out to have the default", "%s is empty", key->path);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return refuse(why, "control characters, line ends among them, cannot be part of it",
                          "%s has a control character at byte %zu", key->path, i + 1);
    return true;
}

static bool parse_name(const cp_config_key *key, const char *text, size_t len, cp_config_refusal *why)
{
    char shown[QUOTE_BYTES + 8];
    cp_config_quote(shown, sizeof shown, text, len);
    if (len > CP_MAX_CONFIG_NAME)
        return refuse(why, "at most 63 bytes", "%s: \"%s\" is too long", key->path, shown);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_' && (text[i] != '-' || i == 0))
            return refuse(why, "letters, digits, _ and, not first, -", "%s: \"%s\" cannot be a name",
                          key->path, shown);
    return true;
}

/* One of a list of names: a column, or one of the key's choices, whose bit is set in *number. */
static bool parse_one_name(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                           cp_config_refusal *why)
{
    uint64_t choice = 0;
    if (!key->choices)
        return parse_name(key, text, len, why);
    if (!parse_choice(key, text, len, &choice, why))
        return false;
    *number |= UINT64_C(1) << choice;
    return true;
}

typedef bool parse_item(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                        cp_config_refusal *why);

/* Items between commas, without the blanks around them. */
static bool parse_list(const cp_config_key *key, const char *text, size_t len, parse_item *parse,
                       uint64_t *number, cp_config_refusal *why)
{
    size_t at = 0;
    while (at <= len) {
        const char *comma = memchr(text + at, ',', len - at);
        size_t end = comma ? (size_t)(comma - text) : len;
        const size_t next = end + 1;
        while (at < end && text[at] == ' ')
            at++;
        while (end > at && text[end - 1] == ' ')
            end--;
        if (end == at)
            return refuse(why, "write [a, b]", "%s: %s in the list is empty", key->path,
                          key->kind == CP_CONFIG_NAMES ? "a name" : "one URL");
        if (!parse(key, text + at, end - at, number, why))
            return false;
        at = next;
    }
    return true;
}

/* The part between "//" and the end: host[:port], host a name, an IPv4 address or [IPv6]. */
static bool host_is_good(const char *host, size_t len)
{
    size_t i = 0;
    if (len && host[0] == '[') {
        for (i = 1; i < len && (isxdigit((unsigned char)host[i]) || host[i] == ':' || host[i] == '.');)
            i++;
        if (i < 3 || i >= len || host[i] != ']')
            return false;
        i++;
    } else {
        while (i < len &&
               (isalnum((unsigned char)host[i]) || host[i] == '-' || host[i] == '.' || host[i] == '_'))
            i++;
        if (i == 0 || i > 253)
            return false;
    }
    uint64_t port = 1;
    size_t used = 0;
    return i == len || (host[i] == ':' && take_digits(host + i + 1, len - i - 1, &port, &used) &&
                        i + 1 + used == len && port >= 1 && port <= 65535);
}

static bool parse_listen(const cp_config_key *key, const char *text, size_t len, cp_config_refusal *why)
{
    cp_address address;
    if (cp_address_parse(text, len, &address))
        return true;
    char shown[QUOTE_BYTES + 8];
    return refuse(why, "write an IP address and a port: 127.0.0.1:9464, or [::1]:9464",
                  "%s: \"%s\" is no address to listen on", key->path,
                  cp_config_quote(shown, sizeof shown, text, len));
}

static bool parse_url(const cp_config_key *key, const char *text, size_t len, cp_config_refusal *why)
{
    size_t at = 0;
    if (len > 7 && strncasecmp(text, "http://", 7) == 0)
        at = 7;
    else if (len > 8 && strncasecmp(text, "https://", 8) == 0)
        at = 8;
    if (memchr(text, '@', len))
        return refuse(why,
                      "put the user into clickhouse.user and the password into a file named by password_file",
                      "%s has a user or password in it", key->path);
    if (at == 0)
        return refuse(why, "http://127.0.0.1:8123, or https://host:8443",
                      "%s does not begin with http:// or https://", key->path);
    if (text[len - 1] == '/')
        len--;
    if (memchr(text + at, '/', len - at) || memchr(text + at, '?', len - at) ||
        memchr(text + at, '#', len - at))
        return refuse(why,
                      "scheme, host and port alone: the database has a key of its own, clickhouse.database",
                      "%s has a path or parameters in it", key->path);
    if (!host_is_good(text + at, len - at))
        return refuse(why, "http://host:port with a port from 1 to 65535", "%s has no valid host and port",
                      key->path);
    return true;
}

/* One of a list of URLs, which are counted. */
static bool parse_one_url(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                          cp_config_refusal *why)
{
    if (!parse_url(key, text, len, why))
        return false;
    if (++*number > CP_MAX_ENDPOINTS)
        return refuse(why, "leave out those that are needed least", "%s: more than %d URLs", key->path,
                      CP_MAX_ENDPOINTS);
    return true;
}

bool cp_config_value_parse(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                           cp_config_refusal *why)
{
    *number = 0;
    if (len > CP_MAX_CONFIG_VALUE)
        return refuse(why, "at most 4096 bytes", "%s is too long: %zu bytes", key->path, len);
    if (!parse_text(key, text, len, why))
        return false;
    switch (key->kind) {
    case CP_CONFIG_TEXT:
    case CP_CONFIG_PATH:
        return true;
    case CP_CONFIG_NAME:
        return parse_name(key, text, len, why);
    case CP_CONFIG_LISTEN:
        return parse_listen(key, text, len, why);
    case CP_CONFIG_CHOICE:
        return parse_choice(key, text, len, number, why);
    case CP_CONFIG_MODE:
        return parse_mode(key, text, len, number, why);
    case CP_CONFIG_NAMES:
        return parse_list(key, text, len, parse_one_name, number, why);
    case CP_CONFIG_URLS:
        return parse_list(key, text, len, parse_one_url, number, why);
    default:
        return parse_number(key, text, len, number, why);
    }
}

/* ---- nearest name -------------------------------------------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance (insert, delete, replace, swap neighbours), case ignored; both shorter
 * than NEAREST_BYTES. Damerau, "A technique for computer detection and correction of spelling errors", CACM
 * 7(3), 1964. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t d[3][NEAREST_BYTES + 1];
    for (size_t j = 0; j <= b_len; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = d[i % 3], *above = d[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            const int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = smaller(smaller(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                row[j] = smaller(row[j], d[(i - 2) % 3][j - 2] + 1);
        }
    }
    return d[a_len % 3][b_len];
}

int cp_config_nearest(const char *const *names, size_t count, const char *text, size_t len)
{
    if (len == 0 || len >= NEAREST_BYTES)
        return -1;
    int best = -1;
    size_t best_distance = len / 3 > 1 ? len / 3 : 1;
    for (size_t i = 0; i < count; i++) {
        const size_t name_len = strlen(names[i]);
        if (name_len >= NEAREST_BYTES)
            continue;
        const size_t distance = edit_distance(text, len, names[i], name_len);
        if (distance < best_distance || (distance == best_distance && best < 0)) {
            best = (int)i;
            best_distance = distance;
        }
    }
    return best;
}
