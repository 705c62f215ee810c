/* A table's descriptor as JSON (cp_table_descriptor) and as Python type hints (cp_table_pyi): for bindings and tools that do not
 * link this library. Both follow from the descriptor alone, so the same DDL always gives the same bytes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "schema/c_header.h"

enum { DESCRIPTOR_VERSION = 1 }; /* counts changes after which a reader of before would be wrong */

static const char *const kinds[CP_KIND_COUNT] = {
    [CP_INT8] = "Int8",
    [CP_INT16] = "Int16",
    [CP_INT32] = "Int32",
    [CP_INT64] = "Int64",
    [CP_UINT8] = "UInt8",
    [CP_UINT16] = "UInt16",
    [CP_UINT32] = "UInt32",
    [CP_UINT64] = "UInt64",
    [CP_FLOAT32] = "Float32",
    [CP_FLOAT64] = "Float64",
    [CP_BOOL] = "Bool",
    [CP_DATE] = "Date",
    [CP_DATE32] = "Date32",
    [CP_DATETIME] = "DateTime",
    [CP_DATETIME64] = "DateTime64",
    [CP_STRING] = "String",
    [CP_FIXED_STRING] = "FixedString",
    [CP_ENUM8] = "Enum8",
    [CP_ENUM16] = "Enum16",
    [CP_UUID] = "UUID",
    [CP_DECIMAL32] = "Decimal32",
    [CP_DECIMAL64] = "Decimal64",
    [CP_DECIMAL128] = "Decimal128",
    [CP_IPV4] = "IPv4",
    [CP_IPV6] = "IPv6",
};

/* A literal of both JSON and Python: UTF-8 stays, other bytes, which neither takes, become U+FFFD. */
static void literal_write(FILE *out, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    putc('"', out);
    while (*p) {
        const size_t len = cp_utf8_length(p, CP_UTF8_MAX);
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", *p);
        else if (len == 0)
            fputs("\\ufffd", out);
        else
            fwrite(p, 1, len, out);
        p += len ? len : 1;
    }
    putc('"', out);
}

static void text_member(FILE *out, const char *name, const char *text)
{
    fprintf(out, ", \"%s\": ", name);
    if (text)
        literal_write(out, text);
    else
        fputs("null", out);
}

static void enum_write(FILE *out, const cp_type *type)
{
    fputs(", \"enum\": {", out);
    for (uint32_t i = 0; i < type->enum_count; i++) {
        fputs(i ? ", " : "", out);
        literal_write(out, type->enum_items[i].name);
        fprintf(out, ": %d", type->enum_items[i].value);
    }
    putc('}', out);
}

static void column_write(FILE *out, const cp_column *column, const char *member)
{
    const cp_type *type = &column->type;
    fputs("    {\"name\": ", out);
    literal_write(out, column->name);
    text_member(out, "type", type->text);
    fprintf(out, ", \"kind\": \"%s\", \"array\": %s, \"nullable\": %s, \"low_cardinality\": %s",
            kinds[type->kind], type->array ? "true" : "false", type->nullable ? "true" : "false",
            type->low_cardinality ? "true" : "false");
    fprintf(out, ", \"precision\": %u, \"scale\": %u, \"value_size\": %" PRIu32 ", \"value_align\": %" PRIu32,
            type->precision, type->scale, type->value_size, type->value_align);
    text_member(out, "timezone", type->timezone);
    if (member)
        fprintf(out, ", \"member\": \"%s\", \"offset\": %" PRIu32, member, column->offset);
    if (member && type->nullable && !type->array)
        fprintf(out, ", \"null_offset\": %" PRIu32, column->null_offset);
    if (type->enum_count)
        enum_write(out, type);
    text_member(out, "default", column->default_expr);
    text_member(out, "comment", column->comment);
    putc('}', out);
}

typedef struct columns_run {
    FILE *out;
    bool any;
} columns_run;

static void member_visit(void *ctx, const cp_column *column, const char *name, uint32_t offset, bool flag)
{
    columns_run *run = ctx;
    (void)offset;
    if (flag)
        return;
    fputs(run->any ? ",\n" : "\n", run->out);
    run->any = true;
    column_write(run->out, column, name);
}

char *cp_table_descriptor(const cp_table *table)
{
    char *text = NULL;
    size_t len = 0;
    columns_run run = {.out = open_memstream(&text, &len)};
    FILE *out = run.out;
    if (!out)
        return NULL;
    fprintf(out, "{\n  \"descriptor_version\": %d, \"table\": ", DESCRIPTOR_VERSION);
    literal_write(out, table->name);
    text_member(out, "database", table->database);
    fprintf(out, ",\n  \"schema_hash\": \"%016" PRIx64 "\", \"row_size\": %" PRIu32 ", \"has_tail\": %s",
            table->schema_hash, table->row_size, table->has_tail ? "true" : "false");
    text_member(out, "comment", table->comment);
    fputs(",\n  \"columns\": [", out);
    const bool good = cp_c_members_visit(table, member_visit, &run);
    fputs("\n  ],\n  \"provenance\": [", out);
    run.any = false;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].provenance == CP_PROV_NONE)
            continue;
        fputs(run.any ? ",\n" : "\n", out);
        run.any = true;
        column_write(out, &table->columns[i], NULL);
    }
    fputs(run.any ? "\n  ]\n}\n" : "]\n}\n", out);
    if (fclose(out) != 0 || !good) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- Python ----------------------------------------------------------------------------------------------------- */

static void value_type_write(FILE *out, const cp_type *type)
{
    static const char *const python[CP_KIND_COUNT] = {
        [CP_FLOAT32] = "float",
        [CP_FLOAT64] = "float",
        [CP_BOOL] = "bool",
        [CP_DATE] = "date | str | int",
        [CP_DATE32] = "date | str | int",
        [CP_DATETIME] = "datetime | str | int",
        [CP_DATETIME64] = "datetime | str | int",
        [CP_STRING] = "str | bytes",
        [CP_FIXED_STRING] = "str | bytes",
        [CP_UUID] = "UUID | str",
        [CP_DECIMAL32] = "Decimal | str | int",
        [CP_DECIMAL64] = "Decimal | str | int",
        [CP_DECIMAL128] = "Decimal | str | int",
        [CP_IPV4] = "IPv4Address | str",
        [CP_IPV6] = "IPv6Address | str",
    };
    if (type->enum_count) {
        fputs("Literal[", out);
        for (uint32_t i = 0; i < type->enum_count; i++) {
            fputs(i ? ", " : "", out);
            literal_write(out, type->enum_items[i].name);
        }
        fputs("] | int", out);
    } else {
        fputs(python[type->kind] ? python[type->kind] : "int", out);
    }
    if (type->nullable)
        fputs(" | None", out);
}

char *cp_table_pyi(const cp_table *table)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    fputs("# Rows of a table, made from its CREATE TABLE by coldpath; change that, not this.\n"
          "from collections.abc import Sequence\nfrom datetime import date, datetime\nfrom decimal import "
          "Decimal\n"
          "from ipaddress import IPv4Address, IPv6Address\nfrom typing import Final, Literal, TypedDict\n"
          "from uuid import UUID\n\nTABLE: Final = ",
          out);
    literal_write(out, table->name);
    fprintf(out,
            "\nSCHEMA_HASH: Final = 0x%016" PRIx64 "\nROW_SIZE: Final = %" PRIu32
            "\n\nRow = TypedDict(\"Row\", {\n",
            table->schema_hash, table->row_size);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        if (column->provenance != CP_PROV_NONE)
            continue;
        fputs("    ", out);
        literal_write(out, column->name);
        fputs(column->type.array ? ": Sequence[" : ": ", out);
        value_type_write(out, &column->type);
        fputs(column->type.array ? "],\n" : ",\n", out);
    }
    fputs("}, total=False)\n", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
