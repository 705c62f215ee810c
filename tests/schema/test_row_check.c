/* cp_row_check against rows that lie. A reader that trusts what passed touches every byte the row claims; under ASan, and
 * with the row at the very end of its allocation, a wrong yes would be seen. */
#include <time.h>

#include "tests/schema/fixture.h"

enum { ROW_ROOM = 4096, MUTATIONS = 200000 };

static cp_table *table;

/* A good row with something in every column; returns its size. */
static uint32_t row_make(uint8_t *bytes)
{
    static const char *const set[][2] = {
        {"flag", "true"},
        {"text", "hello"},
        {"tag", "BTCUSDT"},
        {"maybe_tag", "x"},
        {"e8", "z*/"},
        {"e16", "low"},
        {"n_i64", "-5"},
        {"n_text", "maybe"},
        {"n_flag", "false"},
        {"n_e8", "x"},
        {"a_f32", "[1.5, 2.5, 3.5]"},
        {"a_u64", "[1, 2]"},
        {"a_text", "['a', 'bc', '']"},
        {"a_flag", "[true, false, true]"},
        {"a_n", "[1, NULL, 3]"},
        {"a_tag", "['x', NULL]"},
        {"a_e8", "['x', 'y']"},
        {"a_n_e16", "['p', NULL]"},
        {"a_d38", "[1.25]"},
        {"a_code", "['ab', 'abc']"},
        {"a_at", "[5, 6]"},
        {"a_id", "['018f3a00-0000-7fff-8000-abcdef010203']"},
    };
    cp_row row;
    cp_error err = {0, ""};
    assert_int_equal(cp_row_begin(&row, table, bytes, ROW_ROOM), CP_OK);
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++) {
        if (cp_row_set_text(&row, column_of(table, set[i][0]), set[i][1], strlen(set[i][1]), &err) < 0)
            fail_msg("%s", err.text);
    }
    assert_int_equal(cp_row_end(&row, &err), CP_OK);
    return row.used;
}

static uint64_t bytes_sum(const uint8_t *bytes, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static bool enum_has(const cp_type *type, const uint8_t *at)
{
    int16_t value = (int16_t)(type->kind == CP_ENUM8 ? (int8_t)at[0] : at[0] | at[1] << 8);
    for (uint32_t i = 0; i < type->enum_count; i++) {
        if (type->enum_items[i].value == value)
            return true;
    }
    return false;
}

/* Reads one value as a consumer would, and asserts what cp_row_check promised about it. */
static uint64_t value_read(const cp_type *type, const uint8_t *row, const uint8_t *at, bool is_null)
{
    cp_ref ref;
    if (type->kind == CP_STRING) {
        memcpy(&ref, at, sizeof ref);
        return ref.length ? bytes_sum(row + ref.offset, ref.length) : 0;
    }
    if (type->kind == CP_BOOL)
        assert_true(at[0] <= 1);
    if ((type->kind == CP_ENUM8 || type->kind == CP_ENUM16) && !is_null)
        assert_true(enum_has(type, at));
    return bytes_sum(at, type->value_size);
}

static uint64_t row_read(const uint8_t *row)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        const cp_column *column = &table->columns[i];
        const cp_type *type = &column->type;
        if (column->provenance != CP_PROV_NONE)
            continue;
        if (!type->array) {
            const bool is_null = type->nullable && row[column->null_offset];
            assert_true(!type->nullable || row[column->null_offset] <= 1);
            sum += value_read(type, row, row + column->offset, is_null);
            continue;
        }
        cp_ref ref;
        memcpy(&ref, row + column->offset, sizeof ref);
        assert_true(ref.length == 0 || ref.offset % type->value_align == 0);
        for (uint32_t e = 0; e < ref.length; e++) {
            const uint8_t *elements = row + ref.offset;
            const bool is_null = type->nullable && elements[(size_t)ref.length * type->value_size + e];
            sum += value_read(type, row, elements + (size_t)e * type->value_size, is_null);
        }
    }
    return sum;
}

/* One to four small, spiteful changes. */
static void row_mutate(uint64_t *random, uint8_t *row, uint32_t size)
{
    static const uint32_t spite[] = {0,          1,          2,          7,          8,
                                     0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff8, 0xfffffff0,
                                     0x20000000, 0x1fffffff, 0x10000001, 0x00010000};
    for (uint64_t n = random_next(random) % 4 + 1; n > 0; n--) {
        const uint64_t r = random_next(random);
        const uint32_t column = (uint32_t)(r % table->column_count);
        const uint32_t at = r & 0x100 ? table->columns[column].offset + (r & 0x200 ? 4u : 0u)
                                      : (uint32_t)(r >> 32) % (size - 4);
        uint32_t word = spite[(r >> 16) % (sizeof spite / sizeof spite[0])];
        if (r & 0x400)
            word = size - (uint32_t)(r >> 40) % 64;
        if (at + 4 <= size)
            memcpy(row + at, &word, r & 0x800 ? 1 : 4);
    }
}

static void hostile_rows(void **state)
{
    (void)state;
    _Alignas(8) uint8_t good[ROW_ROOM];
    const uint32_t full = row_make(good);
    uint64_t random = random_start();
    uint64_t sum = 0;
    unsigned passed = 0;
    for (int i = 0; i < MUTATIONS; i++) {
        uint32_t size = full;
        if (i % 5 == 0)
            size = (uint32_t)(random_next(&random) % (full + 1));
        uint8_t *row = malloc(size ? size : 1); /* its own allocation: the byte behind it is not ours */
        assert_non_null(row);
        memcpy(row, good, size);
        if (i % 10 != 0 && size > 8)
            row_mutate(&random, row, size);
        if (cp_row_check(table, row, size, NULL) == CP_OK) {
            sum += row_read(row);
            passed++;
        }
        free(row);
    }
    print_message("%u of %d mutated rows passed and were read (%llx)\n", passed, MUTATIONS,
                  (unsigned long long)sum);
    assert_true(passed > MUTATIONS / 100);
    assert_true(passed < MUTATIONS);
}

/* Every lie one by one, and its name. */
static void each_lie_is_named(void **state)
{
    (void)state;
    _Alignas(8) uint8_t good[ROW_ROOM];
    _Alignas(8) uint8_t row[ROW_ROOM];
    const uint32_t size = row_make(good);
    const cp_ref beyond = {size - 4, 5};
    const cp_ref wraps = {8, 0xfffffffc};
    const cp_ref many = {0, 0x20000001}; /* × 8 wraps 32 bits */
    const cp_ref odd = {table->row_size + 1, 1};
    const cp_ref empty = {0xffffffff, 0};
    const struct {
        const char *column;
        const void *bytes;
        uint32_t len;
        const char *words; /* NULL: still good */
    } lies[] = {
        {"flag", "\2", 1, "neither 0 nor 1"},
        {"text", &beyond, 8, "beyond the row's end"},
        {"text", &wraps, 8, "beyond"},
        {"text", &empty, 8, NULL},
        {"e8", "\5", 1, "its Enum does not have"},
        {"e16", "\4\0", 2, "its Enum does not have"},
        {"e16", "\377\177", 2, NULL},
        {"a_u64", &many, 8, "beyond"},
        {"a_u64", &odd, 8, "not aligned"},
        {"a_u64", &empty, 8, NULL},
        {"a_code", &odd, 8, NULL},
        {"n_text", &wraps, 8, "beyond"},
        {"day", "\377\377", 2, NULL},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        cp_error err = {0, ""};
        memcpy(row, good, size);
        memcpy(row + table->columns[column_of(table, lies[i].column)].offset, lies[i].bytes, lies[i].len);
        const int code = cp_row_check(table, row, size, &err);
        assert_int_equal(code, lies[i].words ? CP_E_CORRUPT : CP_OK);
        if (lies[i].words && (!strstr(err.text, lies[i].words) || !strstr(err.text, lies[i].column)))
            fail_msg("%s", err.text);
    }
    cp_error err = {0, ""};
    memcpy(row, good, size);
    row[table->columns[column_of(table, "n_flag")].null_offset] = 0x80;
    assert_int_equal(cp_row_check(table, row, size, &err), CP_E_CORRUPT);
    assert_non_null(strstr(err.text, "'n_flag'"));
    assert_int_equal(cp_row_check(table, good, table->row_size - 1, &err), CP_E_CORRUPT);
    assert_non_null(strstr(err.text, "less than its fixed part"));
    assert_int_equal(cp_row_check(table, good, 0, &err), CP_E_CORRUPT);
    assert_int_equal(cp_row_check(table, good, size, NULL), CP_OK);
}

/* The elements of arrays are looked at, too. */
static void elements_lie(void **state)
{
    (void)state;
    _Alignas(8) uint8_t row[ROW_ROOM];
    static const struct {
        const char *column;
        uint32_t at; /* bytes behind the elements' begin */
        uint8_t byte;
        const char *words;
    } lies[] = {
        {"a_flag", 1, 2, "neither 0 nor 1"}, {"a_n", 13, 2, "neither 0 nor 1"},
        {"a_text", 14, 0xff, "beyond"},      {"a_e8", 1, 9, "Enum"},
        {"a_n_e16", 0, 9, "Enum"},           {"a_n_e16", 2, 9, NULL}, /* is NULL */
        {"a_tag", 17, 7, "neither 0 nor 1"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        cp_error err = {0, ""};
        cp_ref ref;
        const uint32_t size = row_make(row);
        memcpy(&ref, row + table->columns[column_of(table, lies[i].column)].offset, sizeof ref);
        row[ref.offset + lies[i].at] = lies[i].byte;
        assert_int_equal(cp_row_check(table, row, size, &err), lies[i].words ? CP_E_CORRUPT : CP_OK);
        if (lies[i].words)
            assert_non_null(strstr(err.text, lies[i].words));
    }
}

static void plain_tables_cost_nothing(void **state)
{
    (void)state;
    cp_table *plain =
        table_of("CREATE TABLE t (a Int64, b Float32, c FixedString(9), d UUID, _cp_slot UInt16)");
    assert_null(plain->plan);
    _Alignas(8) uint8_t row[64];
    memset(row, 0xff, sizeof row);
    assert_int_equal(cp_row_check(plain, row, plain->row_size, NULL), CP_OK);
    assert_int_equal(cp_row_check(plain, row, plain->row_size - 1, NULL), CP_E_CORRUPT);
    cp_table_free(plain);
}

static int setup(void **state)
{
    (void)state;
    table = table_load("tests/schema/every_type.sql");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cp_table_free(table);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_rows),
        cmocka_unit_test(each_lie_is_named),
        cmocka_unit_test(elements_lie),
        cmocka_unit_test(plain_tables_cost_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
