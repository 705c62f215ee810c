/* The generated C++ wrapper of a table's typed row: cp_table_cpp_header. It includes the C header, which has the struct and
 * the asserts, and adds a builder that holds a row with its tail, so that Strings and Arrays are set in one call each:
 *
 *     coldpath::rows::quotes_row_builder<64> quote;      64 bytes for the tail
 *     quote.row().bid_px = 6180020000000;
 *     quote.put_symbol("BTCUSDT");                       false: no room
 *     cp_put(ring, quote.data(), quote.size());
 *     quote.clear(); */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "schema/c_header.h"

typedef struct wrapper {
    FILE *out;
    const cp_table *table;
    char struct_name[CP_C_NAME_MAX];
    char prefix[CP_C_NAME_MAX];
} wrapper;

static bool is_bytes(cp_kind kind)
{
    return kind == CP_FIXED_STRING || kind == CP_UUID || kind == CP_IPV6;
}

static void string_write(FILE *out, const char *name)
{
    fprintf(
        out,
        "    bool put_%s(std::string_view text)\n    {\n"
        "        return text.size() <= UINT32_MAX && cp_tail_put(&tail_, &held_.row.%s, text.data(),\n"
        "                                                        static_cast<std::uint32_t>(text.size()));\n"
        "    }\n\n",
        name, name);
}

static void string_array_write(FILE *out, const char *name, bool nullable)
{
    fprintf(out,
            "    bool put_%s(std::span<const std::string_view> texts)\n    {\n"
            "        auto *refs = static_cast<cp_ref *>(reserve(held_.row.%s, texts.size(), sizeof(cp_ref), "
            "alignof(cp_ref), %s));\n"
            "        for (std::size_t i = 0; refs && i < texts.size(); i++) {\n"
            "            if (texts[i].size() > UINT32_MAX ||\n"
            "                !cp_tail_put(&tail_, &refs[i], texts[i].data(), "
            "static_cast<std::uint32_t>(texts[i].size())))\n"
            "                return false;\n"
            "        }\n"
            "        return refs != nullptr;\n"
            "    }\n\n",
            name, name, nullable ? "true" : "false");
}

static void value_array_write(FILE *out, const char *name, const cp_type *type)
{
    const char *value = cp_c_value_type(type->kind);
    fprintf(out,
            "    bool put_%s(std::span<const %s> values)\n    {\n"
            "        void *to = reserve(held_.row.%s, values.size(), sizeof(%s), alignof(%s), %s);\n"
            "        if (to && !values.empty())\n"
            "            std::memcpy(to, values.data(), values.size_bytes());\n"
            "        return to != nullptr;\n"
            "    }\n\n",
            name, value, name, value, value, type->nullable ? "true" : "false");
}

static void member_write(void *ctx, const cp_column *column, const char *name, uint32_t offset, bool flag)
{
    const wrapper *w = ctx;
    const cp_type *type = &column->type;
    (void)offset;
    if (flag || (!type->array && type->kind != CP_STRING))
        return;
    fputs("    /* ", w->out);
    cp_c_comment_write(w->out, type->text);
    fputs(" */\n", w->out);
    if (!type->array)
        string_write(w->out, name);
    else if (type->kind == CP_STRING)
        string_array_write(w->out, name, type->nullable);
    else if (!is_bytes(type->kind))
        value_array_write(w->out, name, type);
    if (type->array && is_bytes(type->kind))
        fprintf(w->out,
                "    void *reserve_%s(std::size_t count)\n    {\n"
                "        return reserve(held_.row.%s, count, %" PRIu32 ", 1, %s);\n    }\n\n",
                name, name, type->value_size, type->nullable ? "true" : "false");
    if (type->array && type->nullable)
        fprintf(w->out,
                "    bool *nulls_%s() /* of the elements put: true is NULL */\n    {\n"
                "        return reinterpret_cast<bool *>(&held_) + held_.row.%s.offset +\n"
                "               std::size_t{held_.row.%s.length} * %" PRIu32 ";\n    }\n\n",
                name, name, name, type->value_size);
}

static void file_name_write(const wrapper *w)
{
    fprintf(w->out, "%.*s", (int)(strlen(w->struct_name) - strlen("_row")), w->struct_name);
}

static void head_write(const wrapper *w)
{
    FILE *out = w->out;
    fputs("/* Rows of table ", out);
    cp_c_comment_write(out, w->table->name);
    fputs(" for C++20: a row with its tail.\n"
          " * Made from its CREATE TABLE by coldpath; change that, not this. */\n",
          out);
    fprintf(out, "#ifndef COLDPATH_ROWS_%sHPP\n#define COLDPATH_ROWS_%sHPP\n\n", w->prefix, w->prefix);
    fputs("#include <cstddef>\n#include <cstdint>\n#include <cstring>\n#include <span>\n#include "
          "<string_view>\n\n"
          "#include \"",
          out);
    file_name_write(w);
    fputs(".h\"\n\nnamespace coldpath::rows {\n\n", out);
    fprintf(out,
            "/* Tail: bytes for Strings and Arrays. Setting one twice takes room twice; clear() gives it "
            "back. */\n"
            "template <std::size_t Tail%s> class %s_builder {\npublic:\n"
            "    static constexpr const char *table = %sTABLE;\n"
            "    static constexpr std::uint64_t schema_hash = %sSCHEMA_HASH;\n\n"
            "    %s_builder() { clear(); }\n"
            "    %s_builder(const %s_builder &) = delete;\n"
            "    %s_builder &operator=(const %s_builder &) = delete;\n\n",
            w->table->has_tail ? "" : " = 0", w->struct_name, w->prefix, w->prefix, w->struct_name,
            w->struct_name, w->struct_name, w->struct_name, w->struct_name);
    fprintf(out,
            "    ::%s &row() { return held_.row; }\n"
            "    const void *data() const { return &held_; }\n"
            "    std::uint32_t size() const { return tail_.used; }\n\n"
            "    void clear()\n    {\n"
            "        held_.row = ::%s{};\n"
            "        tail_ = cp_tail_begin(&held_, sizeof held_.row, sizeof held_);\n    }\n\n",
            w->struct_name, w->struct_name);
}

static void tail_write(const wrapper *w)
{
    FILE *out = w->out;
    fputs("private:\n", out);
    bool arrays = false;
    for (uint32_t i = 0; i < w->table->column_count; i++)
        arrays = arrays || w->table->columns[i].type.array;
    if (arrays)
        fputs("    void *reserve(cp_ref &ref, std::size_t count, std::size_t size, std::size_t align, bool "
              "nullable)\n"
              "    {\n"
              "        if (count > UINT32_MAX)\n            return nullptr;\n"
              "        return cp_tail_array(&tail_, &ref, static_cast<std::uint32_t>(count), "
              "static_cast<std::uint32_t>(size),\n"
              "                             static_cast<std::uint32_t>(align), nullable);\n    }\n\n",
              out);
    fprintf(out,
            "    struct held {\n        ::%s row;\n        unsigned char tail[Tail + 8 - Tail %% 8];\n    } "
            "held_;\n"
            "    cp_tail tail_;\n};\n\n}\n\n#endif\n",
            w->struct_name);
}

char *cp_table_cpp_header(const cp_table *table)
{
    char *text = NULL;
    size_t len = 0;
    wrapper w = {.table = table};
    if (!cp_c_row_names(table, w.struct_name, w.prefix) || !(w.out = open_memstream(&text, &len)))
        return NULL;
    head_write(&w);
    const bool good = cp_c_members_visit(table, member_write, &w);
    tail_write(&w);
    if (fclose(w.out) != 0 || !good) {
        free(text);
        return NULL;
    }
    return text;
}
