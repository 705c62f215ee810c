/* What is generated of a table, for random tables: the descriptor as JSON has the parser's layout, which is the layout that
 * follows from the rules in table.h, worked out here once more; C and C++ compilers agree with it (the headers' asserts)
 * for a sample; a row put together with the C++ builder is a sound row with the values that were set. */
#include <json-c/json.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/row_text.h"
#include "tests/schema/fixture.h"

enum { TABLES = 12000, COMPILED = 1000, WRAPPED = 200, COLUMNS = 24 };

static char directory[] = "/tmp/coldpath-generate-XXXXXX";

/* ---- random tables ------------------------------------------------------------------------------------------------ */

static const char *const scalars[] = {"Int8",
                                      "Int16",
                                      "Int32",
                                      "Int64",
                                      "UInt8",
                                      "UInt16",
                                      "UInt32",
                                      "UInt64",
                                      "Float32",
                                      "Float64",
                                      "Bool",
                                      "Date",
                                      "Date32",
                                      "DateTime",
                                      "DateTime64(6, 'UTC')",
                                      "String",
                                      "FixedString(7)",
                                      "FixedString(1)",
                                      "Enum8('x' = 1, 'it''s' = -3)",
                                      "Enum16('y' = 300)",
                                      "UUID",
                                      "Decimal(9, 2)",
                                      "Decimal(18, 8)",
                                      "Decimal(38, 10)",
                                      "IPv4",
                                      "IPv6"};

static const char *const odd_names[] = {"class", "2nd", "a-b",  "a_b",       "int",
                                        "ü",     "x y", "this", "n_is_null", "row"};

static void type_write(FILE *out, uint64_t *random)
{
    const char *scalar = scalars[random_next(random) % (sizeof scalars / sizeof scalars[0])];
    const bool low = strcmp(scalar, "String") == 0 && random_next(random) % 2;
    const bool nullable = random_next(random) % 4 == 0;
    const bool array = random_next(random) % 5 == 0;
    fprintf(out, "%s%s%s%s%s%s%s", array ? "Array(" : "", low ? "LowCardinality(" : "",
            nullable ? "Nullable(" : "", scalar, nullable ? ")" : "", low ? ")" : "", array ? ")" : "");
}

/* "CREATE TABLE t<number> (…)", malloc'd. */
static char *ddl_make(unsigned number, uint64_t *random)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    const uint64_t columns = 1 + random_next(random) % COLUMNS;
    fprintf(out, "CREATE TABLE t%u (", number);
    for (uint64_t i = 0; i < columns; i++) {
        const uint64_t odd = random_next(random) % 40;
        if (odd < 10 && i < 10)
            fprintf(out, "`%s` ", odd_names[odd]);
        else
            fprintf(out, "c%llu ", (unsigned long long)i);
        type_write(out, random);
        fputs(random_next(random) % 3 ? ", " : " COMMENT 'a */ comment' CODEC(ZSTD(1)), ", out);
    }
    fputs("_cp_epoch UInt64) ENGINE = MergeTree ORDER BY tuple()", out);
    fclose(out);
    return text;
}

/* A random table; names may come twice, then another is made. */
static cp_table *table_make(unsigned number, uint64_t *random)
{
    for (;;) {
        cp_table *table = NULL;
        cp_error err = {0, ""};
        char *ddl = ddl_make(number, random);
        const int rc = cp_table_parse(&table, "t.sql", ddl, strlen(ddl), &err);
        if (rc < 0 && !strstr(err.text, "is there twice"))
            fail_msg("%s\n%s", err.text, ddl);
        free(ddl);
        if (rc == CP_OK)
            return table;
    }
}

/* ---- the rules, once more ------------------------------------------------------------------------------------------ */

/* Size and alignment of a value of a type, from its name alone. */
static void value_size(const char *kind, uint32_t fixed, uint32_t *size, uint32_t *align)
{
    static const struct {
        const char *kind;
        uint32_t size;
        uint32_t align;
    } sizes[] = {{"Int8", 1, 1},       {"Int16", 2, 2},       {"Int32", 4, 4},      {"Int64", 8, 8},
                 {"UInt8", 1, 1},      {"UInt16", 2, 2},      {"UInt32", 4, 4},     {"UInt64", 8, 8},
                 {"Float32", 4, 4},    {"Float64", 8, 8},     {"Bool", 1, 1},       {"Date", 2, 2},
                 {"Date32", 4, 4},     {"DateTime", 4, 4},    {"DateTime64", 8, 8}, {"String", 8, 4},
                 {"Enum8", 1, 1},      {"Enum16", 2, 2},      {"UUID", 16, 1},      {"Decimal32", 4, 4},
                 {"Decimal64", 8, 8},  {"Decimal128", 16, 8}, {"IPv4", 4, 4},       {"IPv6", 16, 1},
                 {"FixedString", 0, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(sizes[i].kind, kind) == 0) {
            *size = sizes[i].size ? sizes[i].size : fixed;
            *align = sizes[i].align;
            return;
        }
    }
    fail_msg("the descriptor has kind %s", kind);
}

static json_object *get(json_object *object, const char *key)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value))
        fail_msg("the descriptor lacks %s", key);
    return value;
}

static uint32_t number(json_object *object, const char *key)
{
    return (uint32_t)json_object_get_int64(get(object, key));
}

/* Walks the descriptor's columns and works the layout out; everything must be where parser and descriptor say. */
static void layout_check(const cp_table *table, json_object *descriptor)
{
    json_object *columns = get(descriptor, "columns");
    uint32_t at = 0;
    uint32_t flags = 0;
    assert_int_equal(json_object_array_length(columns), table->column_count - 1);
    for (uint32_t i = 0; i + 1 < table->column_count; i++) {
        json_object *column = json_object_array_get_idx(columns, i);
        const cp_column *parsed = &table->columns[i];
        const char *type = json_object_get_string(get(column, "type"));
        const char *fixed = strstr(type, "FixedString(");
        uint32_t size = 0;
        uint32_t align = 0;
        value_size(json_object_get_string(get(column, "kind")),
                   fixed ? (uint32_t)strtoul(fixed + 12, NULL, 10) : 0, &size, &align);
        assert_string_equal(json_object_get_string(get(column, "name")), parsed->name);
        assert_string_equal(type, parsed->type.text);
        assert_int_equal(number(column, "value_size"), size);
        assert_int_equal(size, parsed->type.value_size);
        if (json_object_get_boolean(get(column, "array"))) {
            size = 8;
            align = 4;
        }
        at = (at + align - 1) / align * align;
        assert_int_equal(number(column, "offset"), at);
        assert_int_equal(parsed->offset, at);
        at += size;
        flags += json_object_object_get_ex(column, "null_offset", NULL) ? 1 : 0;
    }
    for (uint32_t i = 0, flag = at; i + 1 < table->column_count; i++) {
        json_object *column = json_object_array_get_idx(columns, i);
        if (!json_object_object_get_ex(column, "null_offset", NULL))
            continue;
        assert_int_equal(number(column, "null_offset"), flag);
        assert_int_equal(table->columns[i].null_offset, flag++);
    }
    assert_int_equal(number(descriptor, "row_size"), (at + flags + 7) / 8 * 8);
    assert_int_equal(table->row_size, number(descriptor, "row_size"));
}

static void layouts_agree(void **state)
{
    uint64_t random = random_start();
    (void)state;
    for (unsigned i = 0; i < TABLES; i++) {
        cp_table *table = table_make(i, &random);
        char *text = cp_table_descriptor(table);
        char hash[20];
        assert_non_null(text);
        json_object *descriptor = json_tokener_parse(text);
        if (!descriptor)
            fail_msg("no JSON: %s", text);
        layout_check(table, descriptor);
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)table->schema_hash);
        assert_string_equal(json_object_get_string(get(descriptor, "schema_hash")), hash);
        char *again = cp_table_descriptor(table);
        assert_string_equal(text, again);
        free(again);
        json_object_put(descriptor);
        free(text);
        cp_table_free(table);
    }
}

/* ---- compilers ----------------------------------------------------------------------------------------------------- */

static FILE *file_open(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

static void run(const char *command)
{
    const int status = system(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s", command);
}

static void text_write(const char *name, char *text)
{
    FILE *file = file_open(name);
    assert_non_null(text);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    free(text);
}

#define WARNINGS "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I schema/include -fsyntax-only "

static void compilers_agree(void **state)
{
    uint64_t random = random_start() + 1;
    char command[512];
    char name[32];
    (void)state;
    FILE *c = file_open("all.c");
    FILE *cpp = file_open("all.cpp");
    for (unsigned i = 0; i < COMPILED; i++) {
        cp_table *table = table_make(i, &random);
        snprintf(name, sizeof name, "t%u.h", i);
        text_write(name, cp_table_c_header(table));
        fprintf(c, "#include \"t%u.h\"\n", i);
        if (i < WRAPPED) {
            snprintf(name, sizeof name, "t%u.hpp", i);
            text_write(name, cp_table_cpp_header(table));
            fprintf(cpp, "#include \"t%u.hpp\"\ntemplate class coldpath::rows::t%u_row_builder<100>;\n", i,
                    i);
        } else {
            fprintf(cpp, "#include \"t%u.h\"\n", i);
        }
        cp_table_free(table);
    }
    fputs("int main(void) { return 0; }\n", c);
    assert_int_equal(fclose(c), 0);
    assert_int_equal(fclose(cpp), 0);
    snprintf(command, sizeof command, "cc -std=c17 " WARNINGS "%s/all.c", directory);
    run(command);
    snprintf(command, sizeof command, "c++ -std=c++20 " WARNINGS "%s/all.cpp", directory);
    run(command);
}

/* ---- a row of the C++ builder ---------------------------------------------------------------------------------------- */

static const char builder_ddl[] = "CREATE TABLE made (n Int64, s String, a Array(Float32), t "
                                  "Array(LowCardinality(String)), z Array(Nullable(Int32)), "
                                  "x Nullable(String), f Array(FixedString(2)), b Array(Bool))";

static const char builder_program[] = "#include \"made.hpp\"\n#include <cstdio>\n#include <array>\n"
                                      "int main() {\n"
                                      "    coldpath::rows::made_row_builder<200> made;\n"
                                      "    made.row().n = 99;\n    made.put_s(\"gone\");\n    made.clear();\n"
                                      "    const std::array<float, 2> a = {1.5f, -2.0f};\n"
                                      "    const std::array<std::string_view, 2> t = {\"one\", \"\"};\n"
                                      "    const std::array<std::int32_t, 3> z = {7, 0, -9};\n"
                                      "    const bool flags[] = {true, false};\n"
                                      "    made.row().n = -5;\n    made.row().x_is_null = true;\n"
                                      "    bool good = made.put_s(\"text\") && made.put_a(a) && "
                                      "made.put_t(t) && made.put_z(z) && made.put_b(flags);\n"
                                      "    made.nulls_z()[1] = true;\n"
                                      "    void *f = made.reserve_f(2);\n    std::memcpy(f, \"abcd\", 4);\n"
                                      "    good = good && !made.put_x(std::string_view{\"too long for what "
                                      "is left of the room, which is two hundred bytes in all, \"\n"
                                      "        \"so that it is refused and nothing of the row changes by it, "
                                      "however long the text may be\"});\n"
                                      "    std::fwrite(made.data(), 1, made.size(), stdout);\n"
                                      "    return good && made.schema_hash == MADE_SCHEMA_HASH ? 0 : 1;\n}\n";

static void a_row_of_the_builder(void **state)
{
    char command[512];
    _Alignas(8) uint8_t bytes[512];
    cp_error err = {0, ""};
    (void)state;
    cp_table *table = table_of(builder_ddl);
    text_write("made.h", cp_table_c_header(table));
    text_write("made.hpp", cp_table_cpp_header(table));
    text_write("made.cpp", strdup(builder_program));
    snprintf(command, sizeof command,
             "cd %s && c++ -std=c++20 -Wall -Wextra -Werror -I \"$OLDPWD/schema/include\" made.cpp -o made "
             "&& ./made > made.row",
             directory);
    run(command);
    snprintf(command, sizeof command, "%s/made.row", directory);
    FILE *file = fopen(command, "r");
    assert_non_null(file);
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_int_equal(cp_row_check(table, bytes, (uint32_t)size, &err), CP_OK);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    cp_row_print(out, table, bytes, CP_ROW_JSON);
    fclose(out);
    assert_string_equal(
        text, "{\"n\":-5,\"s\":\"text\",\"a\":[1.5,-2],\"t\":[\"one\",\"\"],\"z\":[7,null,-9],\"x\":null,"
              "\"f\":[\"ab\",\"cd\"],\"b\":[true,false]}");
    free(text);
    cp_table_free(table);
}

/* Type hints are Python: python3 reads them, and finds the names and types it should. */
static void type_hints_are_python(void **state)
{
    char command[512];
    (void)state;
    cp_table *table = table_load("tests/schema/every_type.sql");
    const unsigned columns = table->column_count - 3; /* without provenance */
    text_write("every.py", cp_table_pyi(table));
    cp_table_free(table);
    snprintf(command, sizeof command,
             "cd %s && python3 -B -c 'import every, typing; h = typing.get_type_hints(every.Row); assert "
             "len(h) == %d, "
             "len(h); assert h[\"class\"] is int; assert h[\"n_i64\"] == (int | None); assert every.TABLE == "
             "\"every type\"; "
             "assert every.SCHEMA_HASH > 2**32; assert \"it\\x27s\" in "
             "typing.get_args(typing.get_args(h[\"e8\"])[0]), h[\"e8\"]'",
             directory, columns);
    run(command);
}

static int directory_make(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int directory_remove(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_agree),
        cmocka_unit_test(compilers_agree),
        cmocka_unit_test(a_row_of_the_builder),
        cmocka_unit_test(type_hints_are_python),
    };
    return cmocka_run_group_tests(tests, directory_make, directory_remove);
}
