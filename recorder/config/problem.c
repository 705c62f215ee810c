/* See problem.h. Lines of a file are untrusted bytes on their way to a terminal: controls are
 * replaced, secrets masked, long lines shown around the caret only. The file is known to be UTF-8
 * (config_yaml.c checks first). */
#include "recorder/config/problem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/secret_name.h"

enum { LINE_CHARS = 120, LINE_BYTES = 4 * LINE_CHARS + 8, MAX_UNDERLINE = 60 };

/* The same complaint about one value, as when many tables take it from table_defaults. */
static bool is_repeated(const cp_config_problems *problems, const cp_config_place *place, const char *remedy)
{
    for (uint32_t i = 0; remedy && i < problems->count; i++) {
        const cp_config_problem *have = &problems->list[i];
        if (have->place.source == place->source && have->place.line == place->line &&
            have->place.column == place->column && have->remedy && strcmp(have->remedy, remedy) == 0)
            return true;
    }
    return false;
}

__attribute__((format(printf, 5, 0))) static void add(cp_config_problems *problems,
                                                      const cp_config_place *place, bool warning,
                                                      const char *remedy, const char *fmt, va_list args)
{
    if (is_repeated(problems, place, remedy && *remedy ? remedy : NULL))
        return;
    if (!warning)
        problems->errors++;
    if (problems->count == CP_MAX_CONFIG_PROBLEMS)
        return;
    char *what = NULL;
    if (vasprintf(&what, fmt, args) < 0)
        return;
    problems->list[problems->count++] =
        (cp_config_problem){.place = *place,
                            .what = what,
                            .remedy = remedy && *remedy ? strdup(remedy) : NULL,
                            .warning = warning};
}

void cp_config_problem_add(cp_config_problems *problems, const cp_config_place *place, const char *remedy,
                           const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(problems, place, false, remedy, fmt, args);
    va_end(args);
}

void cp_config_problem_warn(cp_config_problems *problems, const cp_config_place *place, const char *remedy,
                            const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(problems, place, true, remedy, fmt, args);
    va_end(args);
}

void cp_config_problem_foreign(cp_config_problems *problems, const cp_config_place *place, const char *text)
{
    const uint32_t before = problems->count;
    cp_config_problem_add(problems, place, NULL, "%s", text);
    if (problems->count > before)
        problems->list[before].positioned = true;
}

void cp_config_problems_clear(cp_config_problems *problems)
{
    for (uint32_t i = 0; i < problems->count; i++) {
        free(problems->list[i].what);
        free(problems->list[i].remedy);
    }
    problems->count = problems->errors = 0;
}

char *cp_config_place_format(const cp_config_place *place, char *out, size_t size)
{
    if (place->line)
        snprintf(out, size, "%s:%u:%u", place->source->name, place->line, place->column);
    else
        snprintf(out, size, "%s", place->source->name);
    return out;
}

/* ---- the line ------------------------------------------------------------------------------------------ */

static bool find_line(const cp_config_source *source, uint32_t line, const char **begin, size_t *len)
{
    if (!source->text || line == 0)
        return false;
    const char *at = source->text, *end = source->text + source->len;
    for (uint32_t n = 1; n < line; n++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (!at)
            return false;
        at++;
    }
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    *begin = at;
    *len = (size_t)((stop ? stop : end) - at);
    if (*len && at[*len - 1] == '\r')
        --*len;
    return true;
}

static size_t char_bytes(const char *text, size_t left)
{
    size_t n = 1;
    while (n < left && ((unsigned char)text[n] & 0xC0) == 0x80)
        n++;
    return n;
}

/* The bytes of line that must not be shown: what follows the colon of a key that would hold a secret, misspelt ones as well, or the =
 * of such a parameter of a URL, or the word before an @. *from = *to when there are none. */
static void find_secret(const char *line, size_t len, size_t *from, size_t *to)
{
    *from = *to = 0;
    for (size_t sign = 0; sign < len; sign++) {
        size_t end = sign;
        if (line[sign] != ':' && line[sign] != '=')
            continue;
        while (end > 0 && strchr(" \t\"'", line[end - 1]))
            end--;
        size_t begin = end;
        while (begin > 0 && !strchr(" \t\"'{,?&", line[begin - 1]))
            begin--;
        if (cp_secret_is_named(line + begin, end - begin)) {
            *from = sign + 1;
            *to = len;
            return;
        }
    }
    const char *at = memrchr(line, '@', len);
    if (!at)
        return;
    *from = *to = (size_t)(at - line);
    while (*from > 0 && !strchr(" \t\"'/", line[*from - 1]))
        --*from;
}

/* Copies the characters [skip, skip + LINE_CHARS) of a line into out, printable; tabs stay, so that the caret
 * fits. */
static void copy_line(const char *line, size_t len, uint32_t skip, char *out)
{
    size_t secret_from, secret_to, used = 0;
    uint32_t column = 0;
    find_secret(line, len, &secret_from, &secret_to);
    for (size_t i = 0; i < len && column < skip + LINE_CHARS; column++) {
        const size_t n = char_bytes(line + i, len - i);
        const unsigned char c = (unsigned char)line[i];
        const bool c1 = n == 2 && c == 0xC2 && (unsigned char)line[i + 1] < 0xA0;
        if (column < skip) {
            ;
        } else if (i >= secret_from && i < secret_to && c != ' ') {
            out[used++] = '*';
        } else if ((c < 0x20 && c != '\t') || c == 0x7F || c1 || n > 4) {
            out[used++] = '?';
        } else {
            memcpy(out + used, line + i, n);
            used += n;
        }
        i += n;
    }
    out[used] = '\0';
}

static void show_line(FILE *out, const cp_config_place *place)
{
    const char *line = NULL;
    size_t len = 0;
    if (place->hidden || !find_line(place->source, place->line, &line, &len))
        return;
    const uint32_t caret = place->column ? place->column - 1 : 0;
    const uint32_t skip = caret >= LINE_CHARS - MAX_UNDERLINE / 2 ? caret - LINE_CHARS / 2 : 0;
    char text[LINE_BYTES];
    copy_line(line, len, skip, text);
    fprintf(out, "%6u | %s\n       | ", place->line, text);
    size_t at = 0;
    const size_t shown = strlen(text);
    for (uint32_t i = skip; i < caret; i++) {
        fputc(at < shown && text[at] == '\t' ? '\t' : ' ', out);
        at += at < shown ? char_bytes(text + at, shown - at) : 0;
    }
    fputc('^', out);
    for (uint32_t i = 1; i < place->width && i < MAX_UNDERLINE && at + i < shown; i++)
        fputc('~', out);
    fputc('\n', out);
}

/* ---- the report ---------------------------------------------------------------------------------------- */

/* By source, then line, then column; equal ones stay in the order they were found. */
static bool comes_before(const cp_config_problem *a, const cp_config_problem *b)
{
    if (a->place.source->rank != b->place.source->rank)
        return a->place.source->rank < b->place.source->rank;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line;
    return a->place.column < b->place.column;
}

static void sort_problems(cp_config_problems *problems)
{
    for (uint32_t i = 1; i < problems->count; i++) {
        const cp_config_problem moving = problems->list[i];
        uint32_t j = i;
        for (; j > 0 && comes_before(&moving, &problems->list[j - 1]); j--)
            problems->list[j] = problems->list[j - 1];
        problems->list[j] = moving;
    }
}

static void show_problem(FILE *out, const cp_config_problem *problem)
{
    char place[CP_ERROR_TEXT];
    cp_config_place_format(&problem->place, place, sizeof place);
    if (problem->positioned)
        fprintf(out, "%s\n       = for %s\n", problem->what, place);
    else
        fprintf(out, "%s: %s: %s\n", place, problem->warning ? "warning" : "error", problem->what);
    show_line(out, &problem->place);
    if (problem->remedy)
        fprintf(out, "       = %s\n", problem->remedy);
}

int cp_config_problems_report(cp_config_problems *problems, FILE *out, cp_error *err)
{
    sort_problems(problems);
    const cp_config_problem *first = NULL;
    for (uint32_t i = 0; i < problems->count; i++) {
        if (!first && !problems->list[i].warning)
            first = &problems->list[i];
        if (out)
            show_problem(out, &problems->list[i]);
    }
    if (problems->errors == 0)
        return CP_OK;
    char place[CP_ERROR_TEXT / 2] = "", more[64] = "";
    if (first && !first->positioned) {
        cp_config_place_format(&first->place, place, sizeof place - 2);
        snprintf(place + strlen(place), 3, ": ");
    }
    if (problems->errors > 1)
        snprintf(more, sizeof more, " (and %u more)", problems->errors - 1);
    if (out && problems->errors > CP_MAX_CONFIG_PROBLEMS)
        fprintf(out, "only the first %d problems are shown, of %u\n", CP_MAX_CONFIG_PROBLEMS,
                problems->errors);
    return cp_error_set(err, CP_E_CONFIG, "%s%s%s%s%s", place, first ? first->what : "out of memory",
                        first && first->remedy ? "; " : "", first && first->remedy ? first->remedy : "",
                        more);
}
