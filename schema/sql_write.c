/* See sql_write.h. */
#include "schema/sql_write.h"

void cp_sql_write_name(FILE *out, const char *name)
{
    putc('`', out);
    for (; *name; name++) {
        if (*name == '`' || *name == '\\')
            putc('\\', out);
        putc(*name, out);
    }
    putc('`', out);
}

void cp_sql_write_text(FILE *out, const char *text)
{
    putc('\'', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '\'' || c == '\\')
            putc('\\', out);
        if (c == '\n')
            fputs("\\n", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02X", c);
        else
            putc(c, out);
    }
    putc('\'', out);
}

void cp_sql_write_column(FILE *out, const cp_column *column)
{
    cp_sql_write_name(out, column->name);
    if (column->type.text)
        fprintf(out, " %s", column->type.text);
    if (column->computed || column->default_expr)
        fprintf(out, " %s", column->computed ? column->computed : "DEFAULT");
    if (column->default_expr)
        fprintf(out, " %s", column->default_expr);
    if (column->comment) {
        fputs(" COMMENT ", out);
        cp_sql_write_text(out, column->comment);
    }
    if (column->codec)
        fprintf(out, " CODEC(%s)", column->codec);
    if (column->ttl)
        fprintf(out, " TTL %s", column->ttl);
}
