/* Layout: that the struct of a generated header, as this compiler lays it out, is the row that the descriptor describes;
 * that the header compiles as C++ too; that rows fill and check through it. */
#include <sys/wait.h>
#include <unistd.h>

#include "rows/every_type.h"
#include "rows/system_stats.h"
#include "tests/schema/fixture.h"

#define DDL "tests/schema/every_type.sql"

static void offsets_equal(const cp_table *t, const char *name, size_t offset, size_t size)
{
    const cp_column *column = &t->columns[column_of(t, name)];
    assert_int_equal(column->offset, offset);
    assert_int_equal(column->type.array ? sizeof(cp_ref) : column->type.value_size, size);
}

#define SAME(name)                                                                                           \
    offsets_equal(t, #name, offsetof(every_type_row, name), sizeof(((every_type_row *)0)->name))
#define SAME_AS(name, member)                                                                                \
    offsets_equal(t, name, offsetof(every_type_row, member), sizeof(((every_type_row *)0)->member))
#define SAME_FLAG(name, member)                                                                              \
    assert_int_equal(t->columns[column_of(t, name)].null_offset, offsetof(every_type_row, member))

static void the_struct_is_the_row(void **state)
{
    (void)state;
    cp_table *t = table_load(DDL);
    SAME(i8), SAME(u8), SAME(i16), SAME(u16), SAME(i32), SAME(u32), SAME(i64), SAME(u64), SAME(f32),
        SAME(f64);
    SAME(flag), SAME(day), SAME(day32), SAME(at), SAME(at_berlin), SAME(at64), SAME(at_ns), SAME(at_s);
    SAME(text), SAME(tag), SAME(maybe_tag), SAME(code), SAME(e8), SAME(e16), SAME(id), SAME(d9), SAME(d18);
    SAME(d38), SAME(d38_0), SAME(d9_9), SAME(v4), SAME(v6), SAME(n_i64), SAME(n_text), SAME(n_flag),
        SAME(n_e8);
    SAME(n_code), SAME(a_f32), SAME(a_u64), SAME(a_text), SAME(a_flag), SAME(a_n), SAME(a_tag), SAME(a_e8);
    SAME(a_n_e16), SAME(a_d38), SAME(a_code), SAME(a_at), SAME(a_id);
    SAME_AS("class", class_), SAME_AS("2nd", _2nd), SAME_AS("a-b", a_b), SAME_AS("a_b", a_b_2);
    SAME_AS("n i64", n_i64_2), SAME_AS("n_i64_is_null", n_i64_is_null);
    SAME_FLAG("maybe_tag", maybe_tag_is_null), SAME_FLAG("n_i64", n_i64_is_null_2);
    SAME_FLAG("n_text", n_text_is_null), SAME_FLAG("n_flag", n_flag_is_null), SAME_FLAG("n_e8", n_e8_is_null);
    SAME_FLAG("n_code", n_code_is_null);
    assert_int_equal(t->row_size, sizeof(every_type_row));
    assert_int_equal(t->row_size, EVERY_TYPE_ROW_SIZE);
    assert_int_equal(_Alignof(every_type_row), 8);
    assert_true(t->has_tail);
    assert_true(t->schema_hash == EVERY_TYPE_SCHEMA_HASH);
    assert_string_equal(t->name, EVERY_TYPE_TABLE);
    assert_int_equal(EVERY_TYPE_E8_A, -128);
    assert_int_equal(EVERY_TYPE_E16_HIGH, 32767);
    cp_table_free(t);
}

/* The layout rules spelled out once, without the generator. */
static void the_rules_by_hand(void **state)
{
    (void)state;
    cp_table *t = table_of(
        "CREATE TABLE t (a UInt8, _cp_epoch UInt64, b Nullable(Int64), c Array(Int8), d Nullable(Bool),"
        " e Decimal(38, 0), f UUID)");
    assert_int_equal(t->columns[0].offset, 0);
    assert_int_equal(t->columns[2].offset, 8);
    assert_int_equal(t->columns[3].offset, 16); /* cp_ref */
    assert_int_equal(t->columns[4].offset, 24);
    assert_int_equal(t->columns[5].offset, 32);
    assert_int_equal(t->columns[6].offset, 48);
    assert_int_equal(t->columns[2].null_offset, 64); /* flags behind the last column */
    assert_int_equal(t->columns[4].null_offset, 65);
    assert_int_equal(t->row_size, 72);
    assert_int_equal(t->columns[1].provenance, CP_PROV_EPOCH);
    cp_table_free(t);
    t = table_of("CREATE TABLE t (a UInt8)");
    assert_int_equal(t->row_size, 8);
    assert_false(t->has_tail);
    cp_table_free(t);
}

static void the_hash_depends_on_names_and_types_alone(void **state)
{
    (void)state;
    static const char *const same[] = {
        "CREATE TABLE t (a Int8, b String)",
        "CREATE TABLE IF NOT EXISTS d.t (`a` Int8 COMMENT 'x' CODEC(ZSTD), b VARCHAR(3), _cp_slot UInt16) "
        "ENGINE = Log",
    };
    static const char *const other[] = {
        "CREATE TABLE u (a Int8, b String)",
        "CREATE TABLE t (b String, a Int8)",
        "CREATE TABLE t (a Int8)",
        "CREATE TABLE t (a UInt8, b String)",
        "CREATE TABLE t (ab Int8, String String)",
        "CREATE TABLE t (a Int8, b LowCardinality(String))",
    };
    cp_table *first = table_of(same[0]);
    cp_table *second = table_of(same[1]);
    assert_true(first->schema_hash == second->schema_hash && first->schema_hash != 0);
    cp_table_free(second);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        second = table_of(other[i]);
        assert_true(first->schema_hash != second->schema_hash);
        cp_table_free(second);
    }
    cp_table_free(first);
}

static void the_header_is_deterministic(void **state)
{
    (void)state;
    cp_table *t = table_load(DDL);
    cp_table *u = table_load(DDL);
    char *a = cp_table_c_header(t);
    char *b = cp_table_c_header(u);
    assert_non_null(a);
    assert_string_equal(a, b);
    free(a);
    free(b);
    cp_table_free(t);
    cp_table_free(u);
}

static void the_header_is_cpp_too(void **state)
{
    (void)state;
    char command[1024];
    if (system("c++ --version > /dev/null 2>&1") != 0)
        skip();
    snprintf(command, sizeof command,
             "c++ -x c++ -std=c++17 -fsyntax-only -Wall -Wextra -Werror -I%s -I%s/schema/include "
             "-include rows/every_type.h /dev/null",
             CP_GENERATED_DIR, CP_SOURCE_DIR);
    const int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_typed_row_with_a_tail(void **state)
{
    (void)state;
    cp_table *t = table_load("schema/ddl/system_stats.sql");
    struct {
        system_stats_row row;
        uint8_t tail[32];
    } put = {.row.ts = 5};
    cp_tail tail = cp_tail_begin(&put, sizeof put.row, sizeof put);
    assert_true(cp_tail_put(&tail, &put.row.net_iface, "eth", 3));
    assert_true(cp_tail_put(&tail, &put.row.host, "", 0));
    float *cpu = cp_tail_array(&tail, &put.row.cpu_busy_pct, 3, sizeof *cpu, _Alignof(float), false);
    assert_non_null(cpu);
    cpu[2] = 99.5F;
    assert_int_equal(put.row.cpu_busy_pct.offset, 68); /* 67, aligned */
    assert_int_equal(tail.used, 80);
    cp_error err = {0, ""};
    assert_int_equal(cp_row_check(t, (uint8_t *)&put, tail.used, &err), CP_OK);
    const cp_ref before = put.row.host;
    assert_false(cp_tail_put(&tail, &put.row.host, "0123456789abcdefg", 17));
    assert_null(cp_tail_array(&tail, &put.row.cpu_busy_pct, UINT32_MAX, 4, 4, true));
    assert_memory_equal(&before, &put.row.host, sizeof before);
    assert_true(cp_tail_put(&tail, &put.row.host, "0123456789abcdef", 16));
    assert_int_equal(cp_row_check(t, (uint8_t *)&put, tail.used, &err), CP_OK);
    cp_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_struct_is_the_row),
        cmocka_unit_test(the_rules_by_hand),
        cmocka_unit_test(the_hash_depends_on_names_and_types_alone),
        cmocka_unit_test(the_header_is_deterministic),
        cmocka_unit_test(the_header_is_cpp_too),
        cmocka_unit_test(a_typed_row_with_a_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
