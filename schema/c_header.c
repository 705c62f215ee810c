/* The generated header of a table's typed row: cp_table_c_header. Everything in it follows from the descriptor, in the
 * order of the declaration, so the same DDL always gives the same bytes; what the compiler makes of the struct is
 * proved by static asserts against the offsets that the recorder uses. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/c_header.h"
#include "schema/table.h"

enum { COMMENT_MAX = 160 }; /* bytes of a type or comment quoted in the header */

typedef struct header {
    FILE *out;
    const cp_table *table;
    cp_c_names constants;
    char struct_name[CP_C_NAME_MAX]; /* quotes_row */
    char prefix[CP_C_NAME_MAX];      /* QUOTES_ */
    bool failed;
} header;

/* Nothing in the text may end the comment or begin another. */
void cp_c_comment_write(FILE *out, const char *text)
{
    char before = ' ';
    size_t written = 0;
    for (; *text && written < COMMENT_MAX; text++, written++) {
        const unsigned char c = (unsigned char)*text;
        const bool token = (before == '*' && c == '/') || (before == '/' && c == '*');
        if (token)
            putc(' ', out);
        putc(c < 0x20 || c == 0x7f || c == '\\' ? '?' : c, out);
        before = (char)c;
    }
    while (((unsigned char)*text & 0xc0u) == 0x80u) /* do not cut inside a character */
        putc(*text++, out);
    if (*text)
        fputs(" ...", out);
}

/* A C string literal; odd bytes as octal escapes, which end after three digits. */
static void literal_write(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\' || c == '?' || c < 0x20 || c >= 0x7f)
            fprintf(out, "\\%03o", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

const char *cp_c_value_type(cp_kind kind)
{
    static const char *const types[CP_KIND_COUNT] = {
        [CP_INT8] = "int8_t",       [CP_INT16] = "int16_t",      [CP_INT32] = "int32_t",
        [CP_INT64] = "int64_t",     [CP_UINT8] = "uint8_t",      [CP_UINT16] = "uint16_t",
        [CP_UINT32] = "uint32_t",   [CP_UINT64] = "uint64_t",    [CP_FLOAT32] = "float",
        [CP_FLOAT64] = "double",    [CP_BOOL] = "bool",          [CP_DATE] = "uint16_t",
        [CP_DATE32] = "int32_t",    [CP_DATETIME] = "uint32_t",  [CP_DATETIME64] = "int64_t",
        [CP_STRING] = "cp_ref",     [CP_FIXED_STRING] = "char",  [CP_ENUM8] = "int8_t",
        [CP_ENUM16] = "int16_t",    [CP_UUID] = "uint8_t",       [CP_DECIMAL32] = "int32_t",
        [CP_DECIMAL64] = "int64_t", [CP_DECIMAL128] = "cp_i128", [CP_IPV4] = "uint32_t",
        [CP_IPV6] = "uint8_t",
    };
    return types[kind];
}

static const char *member_type(const cp_type *type)
{
    return type->array ? "cp_ref" : cp_c_value_type(type->kind);
}

static bool is_bytes(const cp_type *type)
{
    return !type->array && (type->kind == CP_FIXED_STRING || type->kind == CP_UUID || type->kind == CP_IPV6);
}

/* The name of a member, noted so that the asserts find it again. */
static void name_make(header *h, cp_c_names *names, const char *prefix, const char *text, bool upper,
                      char *out)
{
    if (!cp_c_name_make(names, prefix, text, upper, out)) {
        h->failed = true;
        memcpy(out, "_", sizeof "_");
    }
}

static void member_write(header *h, const cp_column *column, const char *name)
{
    FILE *out = h->out;
    fprintf(out, "    %s %s", member_type(&column->type), name);
    if (is_bytes(&column->type))
        fprintf(out, "[%" PRIu32 "]", column->type.value_size);
    fputs("; /* ", out);
    cp_c_comment_write(out, column->type.text);
    if (column->type.array)
        fprintf(out, ", elements %s%s", cp_c_value_type(column->type.kind),
                column->type.nullable ? ", then their NULL flags" : "");
    if (column->comment) {
        fputs(": ", out);
        cp_c_comment_write(out, column->comment);
    }
    fputs(" */\n", out);
}

/* The row's columns are visited twice with the same names: once for the members, once for the asserts. */
static void member_print(void *ctx, const cp_column *column, const char *name, uint32_t offset, bool flag)
{
    header *h = ctx;
    (void)offset;
    if (!flag)
        member_write(h, column, name);
    else
        fprintf(h->out, "    bool %s; /* true: NULL */\n", name);
}

static void assert_print(void *ctx, const cp_column *column, const char *name, uint32_t offset, bool flag)
{
    const header *h = ctx;
    (void)column;
    (void)flag;
    fprintf(h->out, "CP_ROW_ASSERT(offsetof(%s, %s) == %" PRIu32 ");\n", h->struct_name, name, offset);
}

bool cp_c_members_visit(const cp_table *table, cp_c_member_visit *visit, void *ctx)
{
    char name[CP_C_NAME_MAX];
    cp_c_names members = {0};
    bool good = true;
    for (int flags = 0; flags < 2; flags++) {
        for (uint32_t i = 0; i < table->column_count && good; i++) {
            const cp_column *column = &table->columns[i];
            const bool flag = column->type.nullable && !column->type.array;
            if (column->provenance != CP_PROV_NONE || (flags && !flag))
                continue;
            char wanted[CP_MAX_NAME + sizeof "_is_null"];
            snprintf(wanted, sizeof wanted, "%s%s", column->name, flags ? "_is_null" : "");
            good = cp_c_name_make(&members, "", wanted, false, name);
            if (good)
                visit(ctx, column, name, flags ? column->null_offset : column->offset, flags != 0);
        }
    }
    cp_c_names_free(&members);
    return good;
}

bool cp_c_row_names(const cp_table *table, char struct_name[CP_C_NAME_MAX], char prefix[CP_C_NAME_MAX])
{
    char wanted[CP_MAX_NAME + 8];
    cp_c_names scratch = {0};
    snprintf(wanted, sizeof wanted, "%s_", table->name);
    bool good = cp_c_name_make(&scratch, "", wanted, true, prefix);
    snprintf(wanted, sizeof wanted, "%s_row", table->name);
    good = good && cp_c_name_make(&scratch, "", wanted, false, struct_name);
    cp_c_names_free(&scratch);
    return good;
}

static void enums_write(header *h)
{
    char prefix[2 * CP_C_NAME_MAX];
    char name[CP_C_NAME_MAX];
    for (uint32_t i = 0; i < h->table->column_count; i++) {
        const cp_column *column = &h->table->columns[i];
        if (column->type.enum_count == 0 || column->provenance != CP_PROV_NONE)
            continue;
        snprintf(prefix, sizeof prefix, "%s%s_", h->prefix, column->name);
        fputs("\nenum {\n", h->out);
        for (uint32_t item = 0; item < column->type.enum_count; item++) {
            name_make(h, &h->constants, prefix, column->type.enum_items[item].name, true, name);
            fprintf(h->out, "    %s = %d%s\n", name, column->type.enum_items[item].value,
                    item + 1 < column->type.enum_count ? "," : "");
        }
        fputs("};\n", h->out);
    }
}

static void head_write(header *h)
{
    const cp_table *table = h->table;
    FILE *out = h->out;
    fputs("/* Rows of table ", out);
    cp_c_comment_write(out, table->name);
    if (table->comment) {
        fputs(": ", out);
        cp_c_comment_write(out, table->comment);
    }
    fputs(".\n * Made from its CREATE TABLE by coldpath; change that, not this. See <coldpath/row.h> for "
          "tails. */\n",
          out);
    fprintf(out, "#ifndef COLDPATH_ROWS_%sH\n#define COLDPATH_ROWS_%sH\n\n", h->prefix, h->prefix);
    fputs("#include <coldpath/row.h>\n\n", out);
    fprintf(out, "#define %sTABLE ", h->prefix);
    literal_write(out, table->name);
    fprintf(out, "\n#define %sSCHEMA_HASH UINT64_C(0x%016" PRIx64 ")\n", h->prefix, table->schema_hash);
    fprintf(out, "#define %sROW_SIZE %" PRIu32 "\n", h->prefix, table->row_size);
}

static void header_write(header *h)
{
    static const char *const constants[] = {"TABLE", "SCHEMA_HASH", "ROW_SIZE"};
    char name[CP_C_NAME_MAX];
    h->failed = !cp_c_row_names(h->table, h->struct_name, h->prefix);
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++)
        name_make(h, &h->constants, h->prefix, constants[i], true, name); /* so that no Enum takes them */
    head_write(h);
    enums_write(h);
    fprintf(h->out, "\ntypedef struct CP_ROW_ALIGNED %s {\n", h->struct_name);
    h->failed = !cp_c_members_visit(h->table, member_print, h) || h->failed;
    fprintf(h->out, "} %s;\n\n", h->struct_name);
    h->failed = !cp_c_members_visit(h->table, assert_print, h) || h->failed;
    fprintf(h->out, "CP_ROW_ASSERT(sizeof(%s) == %" PRIu32 ");\n\n#endif\n", h->struct_name,
            h->table->row_size);
    cp_c_names_free(&h->constants);
}

char *cp_table_c_header(const cp_table *table)
{
    char *text = NULL;
    size_t len = 0;
    header h = {.table = table};
    h.out = open_memstream(&text, &len);
    if (!h.out)
        return NULL;
    header_write(&h);
    if (fclose(h.out) != 0 || h.failed) {
        free(text);
        return NULL;
    }
    return text;
}
