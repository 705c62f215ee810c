#include "cli/text_table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

struct cp_text_table {
    char align[CP_TEXT_COLUMNS + 1];
    char **lines; /* the first is the headings */
    size_t count;
    size_t capacity;
};

static void out_of_memory(void)
{
    cp_message("out of memory");
    exit(CP_EXIT_FAILED);
}

static void line_add(cp_text_table *table, const char *text)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 32;
        table->lines = reallocarray(table->lines, table->capacity, sizeof *table->lines);
        if (!table->lines)
            out_of_memory();
    }
    char *copy = strdup(text);
    if (!copy)
        out_of_memory();
    for (char *p = copy; *p; p++) {
        const bool c1 =
            (unsigned char)*p == 0xc2 && ((unsigned char)p[1] & 0xe0) == 0x80; /* U+0080 to U+009F */
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f || c1) {
            *p = '?';
            if (c1)
                *++p = '?';
        }
    }
    table->lines[table->count++] = copy;
}

cp_text_table *cp_text_table_new(const char *headings, const char *align)
{
    cp_text_table *table = calloc(1, sizeof *table);
    if (!table)
        out_of_memory();
    snprintf(table->align, sizeof table->align, "%s", align);
    line_add(table, headings);
    return table;
}

void cp_text_table_row(cp_text_table *table, const char *fmt, ...)
{
    char line[CP_TEXT_LINE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (table->count < CP_TEXT_ROWS)
        line_add(table, line);
}

/* Characters of a UTF-8 text: bytes that do not continue one. */
static size_t text_width(const char *text, size_t len)
{
    size_t width = 0;
    for (size_t i = 0; i < len; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

static void widths_find(const cp_text_table *table, size_t widths[CP_TEXT_COLUMNS])
{
    memset(widths, 0, CP_TEXT_COLUMNS * sizeof widths[0]);
    for (size_t i = 0; i < table->count; i++) {
        const char *cell = table->lines[i];
        for (size_t column = 0; column < CP_TEXT_COLUMNS; column++) {
            const size_t len = strcspn(cell, "\t");
            const size_t width = text_width(cell, len);
            widths[column] = width > widths[column] ? width : widths[column];
            if (!cell[len])
                break;
            cell += len + 1;
        }
    }
}

static void pad(FILE *out, size_t count)
{
    while (count-- > 0)
        fputc(' ', out);
}

static void line_print(const cp_text_table *table, const char *cell, const size_t widths[CP_TEXT_COLUMNS],
                       FILE *out)
{
    for (size_t column = 0; column < CP_TEXT_COLUMNS; column++) {
        const size_t len = strcspn(cell, "\t");
        const size_t blank = widths[column] - text_width(cell, len);
        const bool right = column < strlen(table->align) && table->align[column] == 'r';
        const bool last = !cell[len];
        if (column > 0)
            pad(out, 2);
        if (right)
            pad(out, blank);
        fwrite(cell, 1, len, out);
        if (last)
            break;
        if (!right)
            pad(out, blank);
        cell += len + 1;
    }
    fputc('\n', out);
}

bool cp_text_styled(FILE *out)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

void cp_text_table_print(cp_text_table *table, FILE *out)
{
    size_t widths[CP_TEXT_COLUMNS];
    const bool terminal = isatty(fileno(out));
    const bool styled = cp_text_styled(out);
    widths_find(table, widths);
    for (size_t i = 0; i < table->count; i++) {
        if (!terminal) {
            fprintf(out, "%s\n", table->lines[i]);
        } else {
            fputs(styled && i == 0 ? "\033[1m" : "", out);
            line_print(table, table->lines[i], widths, out);
            fputs(styled && i == 0 ? "\033[0m" : "", out);
        }
        free(table->lines[i]);
    }
    free(table->lines);
    free(table);
}
