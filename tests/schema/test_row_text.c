/* Rows printed as text: exact forms of every type, and back again to the same bytes. */
#include "schema/row_text.h"
#include "tests/schema/fixture.h"

enum { ROOM = 4096 };

/* One value of one type: as given, as printed in TSV, as printed in JSON (NULL: the TSV form in double quotes). */
typedef struct sample {
    const char *type;
    const char *given;
    const char *tsv;
    const char *json;
} sample;

static const sample samples[] = {
    {"Int8", "-128", "-128", "-128"},
    {"Int16", "-32768", "-32768", "-32768"},
    {"Int32", "-1", "-1", "-1"},
    {"Int64", "-9223372036854775808", "-9223372036854775808", "-9223372036854775808"},
    {"UInt8", "255", "255", "255"},
    {"UInt16", "65535", "65535", "65535"},
    {"UInt32", "4294967295", "4294967295", "4294967295"},
    {"UInt64", "18446744073709551615", "18446744073709551615", "18446744073709551615"},
    {"Float32", "0.1", "0.1", "0.1"},
    {"Float32", "-inf", "-inf", "null"},
    {"Float64", "0.30000000000000004", "0.30000000000000004", "0.30000000000000004"},
    {"Float64", "nan", "nan", "null"},
    {"Float64", "5e-324", "5e-324", "5e-324"},
    {"Bool", "1", "true", "true"},
    {"Date", "2149-06-06", "2149-06-06", NULL},
    {"Date32", "1900-01-01", "1900-01-01", NULL},
    {"Date32", "2000-02-29", "2000-02-29", NULL},
    {"DateTime", "2026-01-31 23:59:59", "2026-01-31 23:59:59", NULL},
    {"DateTime('Europe/Berlin')", "2026-01-31 23:59:59Z", "2026-01-31 23:59:59Z", NULL},
    {"DateTime64(3)", "1969-12-31 23:59:59.250", "1969-12-31 23:59:59.250", NULL},
    {"DateTime64(9, 'UTC')", "2026-01-31 00:00:00.000000001", "2026-01-31 00:00:00.000000001", NULL},
    {"DateTime64(0)", "2026-01-31 00:00:00", "2026-01-31 00:00:00", NULL},
    {"String", "a\tb\\c'd\"e\n", "a\\tb\\\\c\\'d\"e\\n", "\"a\\tb\\\\c'd\\\"e\\n\""},
    {"String", "", "", NULL},
    {"String", "\x01", "\\x01", "\"\\u0001\""},
    {"FixedString(3)", "ab", "ab\\0", "\"ab\\u0000\""},
    {"Enum8('x' = -1, 'y\tz' = 2)", "y\tz", "y\\tz", NULL},
    {"Enum16('p' = 300)", "p", "p", NULL},
    {"UUID", "018f3a00-0000-7fff-8000-abcdef010203", "018f3a00-0000-7fff-8000-abcdef010203", NULL},
    {"Decimal(9, 4)", "-0.5", "-0.5", "-0.5"},
    {"Decimal(18, 4)", "12.3400", "12.34", "12.34"},
    {"Decimal(18, 0)", "100", "100", "100"},
    {"Decimal(18, 2)", "100", "100", "100"},
    {"Decimal(38, 10)", "-9999999999999999999999999999.9999999999",
     "-9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999"},
    {"IPv4", "192.0.2.1", "192.0.2.1", NULL},
    {"IPv6", "2001:db8::1", "2001:db8::1", NULL},
    {"LowCardinality(String)", "BTC", "BTC", NULL},
    {"Nullable(Int32)", NULL, "\\N", "null"},
    {"Nullable(Int32)", "7", "7", "7"},
    {"Array(UInt8)", "[]", "[]", "[]"},
    {"Array(Nullable(Int16))", "[1, NULL, -3]", "[1,NULL,-3]", "[1,null,-3]"},
    {"Array(String)", "['a', 'b\\'c']", "['a','b\\'c']", "[\"a\",\"b'c\"]"},
    {"Array(Date)", "['2026-01-31']", "['2026-01-31']", "[\"2026-01-31\"]"},
    {"Array(LowCardinality(Nullable(String)))", "['x', NULL]", "['x',NULL]", "[\"x\",null]"},
    {"Array(Decimal(38, 2))", "[1.25]", "[1.25]", "[1.25]"},
};

static cp_table *text_table(const char *type)
{
    char ddl[512];
    cp_table *table = NULL;
    cp_error err = {0, ""};
    snprintf(ddl, sizeof ddl, "CREATE TABLE t (v %s) ENGINE = Null", type);
    if (cp_table_parse(&table, NULL, ddl, strlen(ddl), &err) < 0)
        fail_msg("%s", err.text);
    return table;
}

static void row_of(const cp_table *table, const char *text, uint8_t *bytes)
{
    cp_row row;
    cp_error err = {0, ""};
    memset(bytes, 0, ROOM);
    assert_int_equal(cp_row_begin(&row, table, bytes, ROOM), CP_OK);
    const int code =
        text ? cp_row_set_text(&row, 0, text, strlen(text), &err) : cp_row_set_null(&row, 0, &err);
    if (code < 0 || cp_row_end(&row, &err) < 0)
        fail_msg("%s", err.text);
}

static char *printed(const cp_table *table, const uint8_t *bytes, cp_row_format format)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    cp_row_print(out, table, bytes, format);
    fclose(out);
    return text;
}

static void test_every_type(void **state)
{
    (void)state;
    static _Alignas(8) uint8_t row[ROOM];
    static _Alignas(8) uint8_t again[ROOM];
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const sample *s = &samples[i];
        cp_table *table = text_table(s->type);
        char json[512];
        snprintf(json, sizeof json, s->json ? "{\"v\":%s}" : "{\"v\":\"%s\"}", s->json ? s->json : s->tsv);
        row_of(table, s->given, row);
        char *text = printed(table, row, CP_ROW_TSV);
        assert_string_equal(text, s->tsv);
        if (!strchr(text, '\\')) { /* the unescaped form is what a row takes */
            row_of(table, text, again);
            assert_memory_equal(row, again, ROOM);
        }
        free(text);
        text = printed(table, row, CP_ROW_JSON);
        assert_string_equal(text, json);
        free(text);
        cp_table_free(table);
    }
}

/* Bytes that are no text, and characters that a terminal would obey. */
static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *given, *tsv, *json, *raw;
    } texts[] = {
        {"a\x1b[31mb", "a\\x1b[31mb", "a\\u001b[31mb", "a\\u001b[31mb"},
        {"\x7f\xc2\x9b", "\\x7f\\xc2\\x9b", "\\u007f\\u009b", "\\u007f\\u009b"},
        {"\xff\xed\xa0\x80z", "\\xff\\xed\\xa0\\x80z", "\\ufffd\\ufffd\\ufffd\\ufffdz", "\xff\xed\xa0\x80z"},
        {"\xe2\x82", "\\xe2\\x82", "\\ufffd\\ufffd", "\xe2\x82"},
        {"\u20ac \U0001f600", "\u20ac \U0001f600", "\u20ac \U0001f600", "\u20ac \U0001f600"},
    };
    static _Alignas(8) uint8_t row[ROOM];
    cp_table *table = text_table("String");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char wanted[128];
        row_of(table, texts[i].given, row);
        char *text = printed(table, row, CP_ROW_TSV);
        assert_string_equal(text, texts[i].tsv);
        free(text);
        snprintf(wanted, sizeof wanted, "{\"v\":\"%s\"}", texts[i].json);
        text = printed(table, row, CP_ROW_JSON);
        assert_string_equal(text, wanted);
        free(text);
        snprintf(wanted, sizeof wanted, "{\"v\":\"%s\"}", texts[i].raw);
        text = printed(table, row, CP_ROW_JSON_RAW);
        assert_string_equal(text, wanted);
        free(text);
    }
    cp_table_free(table);
}

/* Provenance is no part of a row; names stand before the rows. */
static void test_columns(void **state)
{
    (void)state;
    static const char ddl[] =
        "CREATE TABLE t (a UInt8, _cp_epoch UInt64, b String) ENGINE = MergeTree ORDER BY a";
    static _Alignas(8) uint8_t row[ROOM];
    cp_table *table = NULL;
    cp_error err = {0, ""};
    assert_int_equal(cp_table_parse(&table, NULL, ddl, sizeof ddl - 1, &err), CP_OK);
    row_of(table, "3", row);
    char *text = printed(table, row, CP_ROW_TSV);
    assert_string_equal(text, "3\t");
    free(text);
    text = printed(table, row, CP_ROW_JSON);
    assert_string_equal(text, "{\"a\":3,\"b\":\"\"}");
    free(text);
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cp_row_print_names(out, table);
    fclose(out);
    assert_string_equal(text, "a\tb");
    free(text);
    cp_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_type), cmocka_unit_test(test_bytes),
                                       cmocka_unit_test(test_columns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
