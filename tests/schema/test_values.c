/* Values from text: every type at its extremes and just beyond, in a locale that would trip a careless strtod. */
#include <locale.h>
#include <math.h>

#include "tests/schema/fixture.h"

enum { ROW_ROOM = 4096 };

typedef struct value_row {
    cp_table *table;
    cp_row row;
    _Alignas(8) uint8_t bytes[ROW_ROOM];
} value_row;

static void value_begin(value_row *v, const char *type)
{
    char ddl[1024];
    snprintf(ddl, sizeof ddl, "CREATE TABLE t (v %s)", type);
    v->table = table_of(ddl);
    memset(v->bytes, 0xa5, sizeof v->bytes);
    assert_int_equal(cp_row_begin(&v->row, v->table, v->bytes, sizeof v->bytes), CP_OK);
}

static void value_good(const char *type, const char *text, const void *expected, size_t size)
{
    value_row v;
    cp_error err = {0, ""};
    value_begin(&v, type);
    if (cp_row_set_text(&v.row, 0, text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(v.table->columns[0].type.value_size, size);
    assert_memory_equal(v.bytes + v.table->columns[0].offset, expected, size);
    assert_int_equal(cp_row_end(&v.row, &err), CP_OK);
    assert_int_equal(cp_row_check(v.table, v.bytes, v.row.used, &err), CP_OK);
    cp_table_free(v.table);
}

/* Refused with a message that has words in it, the row being left as it was. */
static void value_bad(const char *type, const char *text, const char *words)
{
    value_row v;
    uint8_t before[ROW_ROOM];
    cp_error err = {0, ""};
    value_begin(&v, type);
    memcpy(before, v.bytes, sizeof before);
    const uint32_t used = v.row.used;
    const int code = cp_row_set_text(&v.row, 0, text, strlen(text), &err);
    if (code != CP_E_PARSE)
        fail_msg("%s: '%s' gave %d", type, text, code);
    if (!strstr(err.text, words) || !strstr(err.text, "column 'v'"))
        fail_msg("%s: '%s' gave: %s", type, text, err.text);
    assert_memory_equal(before, v.bytes, v.table->row_size);
    assert_int_equal(v.row.used, used);
    cp_table_free(v.table);
}

#define GOOD(type, ctype, text, value)                                                                       \
    do {                                                                                                     \
        const ctype expected_ = (ctype)(value);                                                              \
        value_good(type, text, &expected_, sizeof expected_);                                                \
    } while (0)

static void whole_numbers(void **state)
{
    (void)state;
    GOOD("Int8", int8_t, "-128", -128);
    GOOD("Int8", int8_t, "+127", 127);
    GOOD("Int8", int8_t, "-0", 0);
    GOOD("Int16", int16_t, "-32768", INT16_MIN);
    GOOD("Int32", int32_t, "-2147483648", INT32_MIN);
    GOOD("Int64", int64_t, "-9223372036854775808", INT64_MIN);
    GOOD("Int64", int64_t, "9223372036854775807", INT64_MAX);
    GOOD("UInt8", uint8_t, "255", 255);
    GOOD("UInt8", uint8_t, "000000000000000000000000000000255", 255);
    GOOD("UInt64", uint64_t, "18446744073709551615", UINT64_MAX);
    value_bad("Int8", "128", "-128 to 127");
    value_bad("Int8", "-129", "out of range");
    value_bad("Int64", "9223372036854775808", "out of range");
    value_bad("Int64", "-9223372036854775809", "out of range");
    value_bad("UInt8", "256", "0 to 255");
    value_bad("UInt8", "-1", "0 to 255");
    value_bad("UInt64", "18446744073709551616", "out of range");
    value_bad("UInt64", "99999999999999999999999999", "out of range");
    static const char *const rubbish[] = {"",   "-",    "+",   "1.0", "1e3",   " 1",
                                          "1 ", "0x10", "one", "--1", "1,000", "\x01"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++)
        value_bad("Int32", rubbish[i], "not a whole number");
}

static void floats(void **state)
{
    (void)state;
    GOOD("Float64", double, "1.5", 1.5);
    GOOD("Float64", double, "-.5e-3", -.5e-3);
    GOOD("Float64", double, "5.", 5.0);
    GOOD("Float64", double, "1.7976931348623157e308", 1.7976931348623157e308);
    GOOD("Float64", double, "5e-324", 5e-324);
    GOOD("Float64", double, "1e-999", 0.0);
    GOOD("Float64", double, "inf", (double)INFINITY);
    GOOD("Float64", double, "-INF", (double)-INFINITY);
    GOOD("Float32", float, "3.4028235e38", 3.4028235e38F);
    GOOD("Float32", float, "Infinity", (double)INFINITY);
    /* 1 + 2^-24 + a little: rounded once it is 1 + 2^-23, by way of a double it would be 1. */
    GOOD("Float32", float, "1.000000059604644775390626", 1.00000012F);
    value_row v;
    double got;
    value_begin(&v, "Float64");
    assert_int_equal(cp_row_set_text(&v.row, 0, "nan", 3, NULL), CP_OK);
    memcpy(&got, v.bytes, sizeof got);
    assert_true(isnan(got));
    cp_table_free(v.table);
    value_bad("Float32", "3.5e38", "beyond the range of Float32");
    value_bad("Float64", "1e309", "beyond the range of Float64");
    static const char *const rubbish[] = {"",   ".",    "e5",     "1e",   "1e+", "1,5",   "0x1p3", " 1",
                                          "1 ", "1.5.", "nan(1)", "infx", "+-1", "--inf", "1f"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++)
        value_bad("Float64", rubbish[i], "not a number");
}

static void truths_and_enums(void **state)
{
    (void)state;
    GOOD("Bool", uint8_t, "true", 1);
    GOOD("Bool", uint8_t, "False", 0);
    GOOD("Bool", uint8_t, "1", 1);
    GOOD("Bool", uint8_t, "0", 0);
    value_bad("Bool", "2", "true, false, 1 or 0");
    value_bad("Bool", "", "true, false, 1 or 0");
    GOOD("Enum8('buy' = -128, 'sell' = 127)", int8_t, "buy", -128);
    GOOD("Enum8('buy' = -128, 'sell' = 127)", int8_t, "127", 127);
    GOOD("Enum16('2' = 1000, 'x' = 2)", int16_t, "2", 1000); /* a name goes first */
    GOOD("Enum16('2' = 1000, 'x' = -32768)", int16_t, "-32768", INT16_MIN);
    value_bad("Enum8('buy' = 1, 'sell' = 2)", "Buy", "did you mean 'buy'?");
    value_bad("Enum8('buy' = 1, 'sell' = 2)", "3", "neither a name nor a number");
    value_bad("Enum8('buy' = 1, 'sell' = 2)", "99999999999999", "neither a name nor a number");
}

static void dates(void **state)
{
    (void)state;
    GOOD("Date", uint16_t, "1970-01-01", 0);
    GOOD("Date", uint16_t, "2149-06-06", 65535);
    GOOD("Date", uint16_t, "2024-02-29", 19782);
    GOOD("Date", uint16_t, "65535", 65535);
    GOOD("Date32", int32_t, "1900-01-01", -25567);
    GOOD("Date32", int32_t, "2299-12-31", 120529);
    GOOD("Date32", int32_t, "2000-02-29", 11016);
    GOOD("Date32", int32_t, "-25567", -25567);
    value_bad("Date", "2149-06-07", "1970-01-01 to 2149-06-06");
    value_bad("Date", "1969-12-31", "out of range");
    value_bad("Date", "65536", "out of range");
    value_bad("Date", "-1", "out of range");
    value_bad("Date32", "1899-12-31", "1900-01-01 to 2299-12-31");
    value_bad("Date32", "2300-01-01", "out of range");
    value_bad("Date32", "-25568", "out of range");
    value_bad("Date32", "1900-02-29", "day that its month does not have"); /* no leap year */
    value_bad("Date", "2023-02-29", "day that its month does not have");
    value_bad("Date", "2023-04-31", "day that its month does not have");
    value_bad("Date", "2023-01-00", "day that its month does not have");
    value_bad("Date", "2023-13-01", "month that does not exist");
    value_bad("Date", "2023-00-01", "month that does not exist");
    static const char *const rubbish[] = {"",         "2023-1-1", "2023/01/01", "2023-01-01 ", "2023-01-01T",
                                          "23-01-01", "now"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++)
        value_bad("Date", rubbish[i], "not a date");
}

static void times(void **state)
{
    (void)state;
    GOOD("DateTime", uint32_t, "1970-01-01 00:00:00", 0);
    GOOD("DateTime", uint32_t, "2106-02-07 06:28:15", UINT32_MAX);
    GOOD("DateTime('UTC')", uint32_t, "2024-08-09T01:02:03Z", 1723165323);
    GOOD("DateTime", uint32_t, "2024-08-09 03:02:03+02:00", 1723165323);
    GOOD("DateTime", uint32_t, "2024-08-08 21:32:03-0330", 1723165323);
    GOOD("DateTime", uint32_t, "2024-08-09 03:02:03.000+02", 1723165323);
    GOOD("DateTime", uint32_t, "2024-08-09", 1723161600);
    GOOD("DateTime", uint32_t, "4294967295", UINT32_MAX);
    GOOD("DateTime('Europe/Berlin')", uint32_t, "2024-08-09 03:02:03+02:00", 1723165323);
    GOOD("DateTime('Etc/UTC')", uint32_t, "1970-01-01 00:00:01", 1);
    value_bad("DateTime('Europe/Berlin')", "2024-08-09 03:02:03", "append one, such as +02:00");
    value_bad("DateTime", "2106-02-07 06:28:16", "out of range");
    value_bad("DateTime", "1969-12-31 23:59:59", "out of range");
    value_bad("DateTime", "4294967296", "out of range");
    value_bad("DateTime", "1970-01-01 00:30:00+01:00", "out of range");
    value_bad("DateTime", "2024-08-09 01:02:03.5", "fraction of a second");
    value_bad("DateTime", "2024-08-09 24:00:00", "time of day");
    value_bad("DateTime", "2024-08-09 23:59:60", "leap seconds do not");
    value_bad("DateTime", "2024-08-09 01:02:03+16:00", "offset from UTC that no time zone has");
    value_bad("DateTime", "2024-08-09 01:02:03+01:60", "offset from UTC that no time zone has");
    static const char *const rubbish[] = {"",
                                          "2024-08-09 ",
                                          "2024-08-09 01:02",
                                          "2024-08-09 01:02:03.",
                                          "2024-08-09 01:02:03x",
                                          "2024-08-09 01:02:03+1",
                                          "2024-08-09 01:02:03+01:0",
                                          "2024-08-09 01:02:03 UTC",
                                          "2024-08-09  01:02:03",
                                          "1.5"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++)
        value_bad("DateTime", rubbish[i], "not a time");
}

static void times_with_ticks(void **state)
{
    (void)state;
    GOOD("DateTime64(9, 'UTC')", int64_t, "2024-08-09 01:02:03.123456789", INT64_C(1723165323123456789));
    GOOD("DateTime64(9)", int64_t, "1723161255030314667", INT64_C(1723161255030314667));
    GOOD("DateTime64(9)", int64_t, "2262-04-11 23:47:16.854775807", INT64_MAX);
    GOOD("DateTime64(9)", int64_t, "1900-01-01 00:00:00", INT64_C(-2208988800000000000));
    GOOD("DateTime64(3)", int64_t, "2299-12-31 23:59:59.999", INT64_C(10413791999999));
    GOOD("DateTime64(3)", int64_t, "1969-12-31 23:59:59.999", -1);
    GOOD("DateTime64(3)", int64_t, "-1", -1);
    GOOD("DateTime64(3)", int64_t, "2024-08-09 01:02:03.1000000000000", INT64_C(1723165323100));
    GOOD("DateTime64(0)", int64_t, "2024-08-09 01:02:03", INT64_C(1723165323));
    value_bad("DateTime64(9)", "2262-04-11 23:47:16.854775808", "out of range");
    value_bad("DateTime64(9)", "2262-04-12", "out of range");
    value_bad("DateTime64(3)", "2300-01-01", "out of range");
    value_bad("DateTime64(3)", "1899-12-31 23:59:59.999", "out of range");
    value_bad("DateTime64(3)", "1723161255030314667", "must be in the column's ticks"); /* ns for ms */
    value_bad("DateTime64(3)", "2024-08-09 01:02:03.1234", "more digits of a second");
    value_bad("DateTime64(3)", "2024-08-09 01:02:03.12345678901", "more digits of a second");
    value_bad("DateTime64(3)", "1723165323.123", "not a time");
    value_bad("DateTime64(6, 'America/New_York')", "2024-08-09 01:02:03", "offset from UTC");
}

static void decimals(void **state)
{
    (void)state;
    GOOD("Decimal(18, 8)", int64_t, "61800.20", INT64_C(6180020000000));
    GOOD("Decimal(18, 8)", int64_t, "-9999999999.99999999", INT64_C(-999999999999999999));
    GOOD("Decimal(18, 8)", int64_t, "1.1000000000000", 110000000); /* zeros lose nothing */
    GOOD("Decimal(9, 4)", int32_t, "99999.9999", 999999999);
    GOOD("Decimal(9, 9)", int32_t, "0.999999999", 999999999);
    GOOD("Decimal(9, 0)", int32_t, "-000000000000000007.", -7);
    GOOD("Decimal(9, 4)", int32_t, ".5", 5000);
    const cp_i128 largest = {UINT64_C(687399551400673279), INT64_C(5421010862427522170)}; /* 10^38 - 1 */
    value_good("Decimal(38, 10)", "9999999999999999999999999999.9999999999", &largest, sizeof largest);
    const cp_i128 minus_one = {UINT64_MAX, -1};
    value_good("Decimal(38, 0)", "-1", &minus_one, sizeof minus_one);
    value_bad("Decimal(18, 8)", "1.123456789", "more digits behind the point");
    value_bad("Decimal(18, 8)", "10000000000", "more digits before the point");
    value_bad("Decimal(9, 9)", "1", "more digits before the point");
    value_bad("Decimal(38, 0)", "100000000000000000000000000000000000000", "more digits before the point");
    static const char *const rubbish[] = {"", "-", ".", "1e5", "1,5", "1.2.3", "nan", " 1", "1 ", "0x1"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++)
        value_bad("Decimal(18, 8)", rubbish[i], "not a decimal number");
}

/* What ClickHouse 26.7 makes of them. */
static void decimals_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value; /* of Decimal(18, 8) */
    } good[] = {{"0.30000000000000004", 30000000},
                {"1e-7", 10},
                {"1.23456789999", 123456789},
                {"-1.999999999", -199999999},
                {"1e3", INT64_C(100000000000)},
                {"1e-9", 0},
                {"-1e-9", 0},
                {"2.5E-8", 2},
                {"0.000000015", 1},
                {"1e+2", INT64_C(10000000000)},
                {"1.", 100000000},
                {".5", 50000000},
                {"1e-400", 0},
                {"0e400", 0},
                {"0e99999999999999999999", 0},
                {"1e-99999999999999999999", 0},
                {"12345678901e-5", INT64_C(12345678901000)},
                {"0.00000000000001e12", 1000000},
                {"9999999999.99999999999", INT64_C(999999999999999999)},
                {"999999999999999999e-8", INT64_C(999999999999999999)},
                {"100.0e-2", 100000000}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        value_row v;
        cp_error err = {0, ""};
        value_begin(&v, "Decimal(18, 8)");
        v.row.cuts_digits = true;
        if (cp_row_set_text(&v.row, 0, good[i].text, strlen(good[i].text), &err) < 0)
            fail_msg("%s", err.text);
        int64_t value;
        memcpy(&value, v.bytes + v.table->columns[0].offset, sizeof value);
        if (value != good[i].value)
            fail_msg("%s gave %lld", good[i].text, (long long)value);
        cp_table_free(v.table);
    }
}

static void decimals_that_cannot_be_cut(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      ".",
                                      "e5",
                                      "1e",
                                      "1e-",
                                      "1e5.5",
                                      "1e 5",
                                      "1.2.3",
                                      "nan",
                                      "inf",
                                      "0x1",
                                      "1,5",
                                      " 1",
                                      "1 ",
                                      "1e10",
                                      "12345678901",
                                      "1e400",
                                      "1e99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value_row v;
        cp_error err = {0, ""};
        value_begin(&v, "Decimal(18, 8)");
        v.row.cuts_digits = true;
        if (cp_row_set_text(&v.row, 0, bad[i], strlen(bad[i]), &err) != CP_E_PARSE)
            fail_msg("%s was taken", bad[i]);
        cp_table_free(v.table);
    }
}

static void addresses(void **state)
{
    (void)state;
    static const uint8_t uuid[16] = {0x01, 0x8f, 0x3a, 0,    0,    0, 0x7f, 0xff,
                                     0x80, 0,    0xAB, 0xcd, 0xef, 1, 2,    3};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1};
    value_good("UUID", "018f3a00-0000-7fff-8000-ABcdef010203", uuid, sizeof uuid);
    value_bad("UUID", "018f3a00-0000-7fff-8000-ABcdef01020", "not a UUID");
    value_bad("UUID", "018f3a0000007fff8000ABcdef010203", "not a UUID");
    value_bad("UUID", "018f3a00-0000-7fff-8000-ABcdef01020g", "not a UUID");
    value_bad("UUID", "018f3a00-0000-7fff-80000-Bcdef010203", "not a UUID");
    GOOD("IPv4", uint32_t, "192.0.2.1", 0xc0000201);
    GOOD("IPv4", uint32_t, "255.255.255.255", UINT32_MAX);
    value_bad("IPv4", "256.0.0.1", "not an IPv4 address");
    value_bad("IPv4", "1.2.3", "not an IPv4 address");
    value_bad("IPv4", "1.2.3.4 ", "not an IPv4 address");
    value_bad("IPv4", "", "not an IPv4 address");
    value_good("IPv6", "2001:db8::1", v6, sizeof v6);
    value_good("IPv6", "::ffff:192.0.2.1", mapped, sizeof mapped);
    value_bad("IPv6", "2001:db8::1::", "not an IPv6 address");
    value_bad("IPv6", "fe80::1%eth0", "not an IPv6 address");
}

static void strings(void **state)
{
    (void)state;
    value_good("FixedString(5)", "abc", "abc\0\0", 5);
    value_good("FixedString(3)", "abc", "abc", 3);
    value_bad("FixedString(3)", "abcd", "more bytes than this FixedString holds");
    value_row v;
    cp_ref ref;
    value_begin(&v, "String");
    assert_int_equal(cp_row_set_text(&v.row, 0, "first", 5, NULL), CP_OK);
    assert_int_equal(cp_row_set_text(&v.row, 0, "se\0ond", 6, NULL), CP_OK);
    memcpy(&ref, v.bytes, sizeof ref);
    assert_int_equal(ref.length, 6);
    assert_memory_equal(v.bytes + ref.offset, "se\0ond", 6);
    assert_int_equal(cp_row_set_text(&v.row, 0, "", 0, NULL), CP_OK);
    memcpy(&ref, v.bytes, sizeof ref);
    assert_int_equal(ref.length, 0);
    static char large[ROW_ROOM];
    cp_error err = {0, ""};
    assert_int_equal(cp_row_set_text(&v.row, 0, large, sizeof large, &err), CP_E_TOO_BIG);
    assert_non_null(strstr(err.text, "column 'v'"));
    cp_table_free(v.table);
}

/* An element of an array column, as the text says it is. */
static void arrays(void **state)
{
    (void)state;
    value_row v;
    cp_ref ref;
    cp_error err = {0, ""};
    static const char ints[] = "[1, -2,NULL , 3]";
    value_begin(&v, "Array(Nullable(Int32))");
    assert_int_equal(cp_row_set_text(&v.row, 0, ints, sizeof ints - 1, &err), CP_OK);
    memcpy(&ref, v.bytes, sizeof ref);
    assert_int_equal(ref.length, 4);
    const int32_t expected[] = {1, -2, 0, 3};
    assert_memory_equal(v.bytes + ref.offset, expected, sizeof expected);
    assert_memory_equal(v.bytes + ref.offset + sizeof expected, "\0\0\1\0", 4); /* flags */
    assert_int_equal(cp_row_check(v.table, v.bytes, v.row.used, &err), CP_OK);
    cp_table_free(v.table);

    static const char texts[] = "['it''s', '', 'a\\tb,]', NULL, 'n\\0l']";
    static const char *const words[] = {"it's", "", "a\tb,]", NULL, "n\0l"};
    static const size_t lengths[] = {4, 0, 5, 0, 3};
    value_begin(&v, "Array(LowCardinality(Nullable(String)))");
    assert_int_equal(cp_row_set_text(&v.row, 0, texts, sizeof texts - 1, &err), CP_OK);
    memcpy(&ref, v.bytes, sizeof ref);
    assert_int_equal(ref.length, 5);
    for (uint32_t i = 0; i < 5; i++) {
        cp_ref word;
        memcpy(&word, v.bytes + ref.offset + i * sizeof word, sizeof word);
        assert_int_equal(word.length, lengths[i]);
        assert_int_equal(v.bytes[ref.offset + 5 * sizeof word + i], words[i] == NULL);
        if (lengths[i])
            assert_memory_equal(v.bytes + word.offset, words[i], lengths[i]);
    }
    assert_int_equal(cp_row_check(v.table, v.bytes, v.row.used, &err), CP_OK);
    cp_table_free(v.table);

    value_begin(&v, "Array(Date)");
    assert_int_equal(cp_row_set_text(&v.row, 0, "[2024-02-29,'1970-01-02']", 25, &err), CP_OK);
    const uint16_t days[] = {19782, 1};
    memcpy(&ref, v.bytes, sizeof ref);
    assert_memory_equal(v.bytes + ref.offset, days, sizeof days);
    assert_int_equal(cp_row_set_text(&v.row, 0, "[]", 2, &err), CP_OK);
    memcpy(&ref, v.bytes, sizeof ref);
    assert_int_equal(ref.length, 0);
    cp_table_free(v.table);

    value_bad("Array(Int8)", "", "not a complete array");
    value_bad("Array(Int8)", "[1, 2", "not a complete array");
    value_bad("Array(Int8)", "[1 2]", "cannot stand here");
    value_bad("Array(Int8)", "[1,,2]", "cannot stand here");
    value_bad("Array(Int8)", "[[1]]", "cannot stand here");
    value_bad("Array(Int8)", "[1] x", "cannot stand here");
    value_bad("Array(Int8)", "[1, 300]", "out of range");
    value_bad("Array(Int8)", "[NULL]", "not Nullable");
    value_bad("Array(String)", "[a]", "single quotes");
    value_bad("Array(String)", "['a", "not a complete array");
}

static void arrays_element_by_element(void **state)
{
    (void)state;
    value_row v;
    cp_row_array array;
    cp_ref ref;
    cp_error err = {0, ""};
    value_begin(&v, "Array(Nullable(UInt16))");
    assert_int_equal(cp_row_array_begin(&array, &v.row, 0, 3, &err), CP_OK);
    assert_int_equal(cp_row_array_add(&array, "7", 1, false, &err), CP_OK);
    assert_int_equal(cp_row_array_add(&array, "65536", 5, false, &err), CP_E_PARSE);
    assert_int_equal(cp_row_array_add(&array, NULL, 0, true, &err), CP_OK);
    assert_int_equal(cp_row_array_end(&array, &err), CP_OK); /* fewer than announced */
    memcpy(&ref, v.bytes, sizeof ref);
    assert_int_equal(ref.length, 2);
    assert_memory_equal(v.bytes + ref.offset, "\7\0\0\0\0\1", 6);
    assert_int_equal(cp_row_check(v.table, v.bytes, v.row.used, &err), CP_OK);
    assert_int_equal(cp_row_array_begin(&array, &v.row, 0, 1, &err), CP_OK);
    assert_int_equal(cp_row_array_add(&array, "1", 1, false, &err), CP_OK);
    assert_int_equal(cp_row_array_add(&array, "2", 1, false, &err), CP_E_TOO_BIG);
    assert_int_equal(cp_row_array_begin(&array, &v.row, 0, UINT32_MAX, &err), CP_E_TOO_BIG);
    cp_table_free(v.table);
}

static void nulls_and_defaults(void **state)
{
    (void)state;
    cp_table *t =
        table_of("CREATE TABLE t (a Nullable(Int8), b Nullable(Int8) DEFAULT 5, c String DEFAULT 'it''s', "
                 "d Enum8('x' = 3, 'y' = -2), e Array(Int8) DEFAULT [1, 2], f Bool DEFAULT true, "
                 "g Float64 DEFAULT -1.5, h DateTime64(3) DEFAULT '2024-08-09 00:00:00.5', "
                 "i Nullable(String) DEFAULT NULL, j Int8, k UInt64 DEFAULT now(), _cp_slot UInt16)");
    _Alignas(8) uint8_t bytes[256];
    cp_row row;
    cp_error err = {0, ""};
    assert_int_equal(cp_row_begin(&row, t, bytes, 8), CP_E_INVAL);
    assert_int_equal(cp_row_begin(&row, t, bytes + 1, 255), CP_E_INVAL);
    assert_int_equal(cp_row_begin(&row, t, bytes, sizeof bytes), CP_OK);
    assert_int_equal(cp_row_end(&row, &err), CP_E_PARSE);
    assert_non_null(strstr(err.text, "column 'k' must be given: its DEFAULT now()"));
    assert_int_equal(cp_row_set_text(&row, column_of(t, "_cp_slot"), "1", 1, &err), CP_E_PARSE);
    assert_non_null(strstr(err.text, "filled by the recorder"));
    assert_int_equal(cp_row_set_text(&row, 99, "1", 1, &err), CP_E_INVAL);
    assert_int_equal(cp_row_set_null(&row, column_of(t, "j"), &err), CP_E_PARSE);
    assert_int_equal(cp_row_begin(&row, t, bytes, sizeof bytes), CP_OK);
    assert_int_equal(cp_row_set_text(&row, column_of(t, "k"), "9", 1, &err), CP_OK);
    assert_int_equal(cp_row_end(&row, &err), CP_OK);
    assert_int_equal(cp_row_check(t, bytes, row.used, &err), CP_OK);
    assert_int_equal(bytes[t->columns[0].null_offset], 1);
    assert_int_equal(bytes[t->columns[1].null_offset], 0);
    assert_int_equal(bytes[t->columns[1].offset], 5);
    cp_ref ref;
    memcpy(&ref, bytes + t->columns[2].offset, sizeof ref);
    assert_memory_equal(bytes + ref.offset, "it's", 4);
    assert_int_equal((int8_t)bytes[t->columns[3].offset], -2); /* an Enum's least value, as in ClickHouse */
    memcpy(&ref, bytes + t->columns[4].offset, sizeof ref);
    assert_int_equal(ref.length, 2);
    assert_int_equal(bytes[t->columns[5].offset], 1);
    int64_t ticks;
    memcpy(&ticks, bytes + t->columns[7].offset, sizeof ticks);
    assert_true(ticks == INT64_C(1723161600500));
    assert_int_equal(bytes[t->columns[8].null_offset], 1);
    assert_int_equal(cp_row_set_text(&row, 0, "4", 1, &err), CP_OK);
    assert_int_equal(bytes[t->columns[0].null_offset], 0);
    assert_int_equal(cp_row_set_null(&row, 0, &err), CP_OK);
    assert_int_equal(bytes[t->columns[0].null_offset], 1);
    assert_int_equal(bytes[t->columns[0].offset], 0);
    cp_table_free(t);
}

/* What best effort makes of a text, in the column's own units; INT64_MIN: it is refused. The strict way refuses it in any case. */
static void best_effort(void **state)
{
    static const struct {
        const char *type;
        const char *text;
        int64_t value;
    } cases[] = {
        {"DateTime64(3, 'UTC')", "2026-06-11T10:00:00.123999Z", 1781172000123},
        {"DateTime64(0, 'UTC')", "1781172000123", 1781172000},
        {"DateTime('UTC')", "2026-06-11 10:00:00.75", 1781172000},
        {"DateTime('UTC')", "11 jun 2026 10:00", 1781172000},
        {"DateTime('UTC')", "11.06.2026 10:00:00+0000", 1781172000},
        {"DateTime('UTC')", "12:30 AM, Jun 11 2026", 1781137800},
        {"DateTime('Europe/Berlin')", "11 Jun 2026 12:00:00 +0200", 1781172000},
        {"DateTime('Europe/Berlin')", "11 Jun 2026 12:00:00", INT64_MIN},
        {"Date", "2026-06-11T23:59:59Z", 20615},
        {"Date32", "Thu 11 Jun 2026", 20615},
        {"DateTime('UTC')", "31 Jun 2026", INT64_MIN},
        {"DateTime('UTC')", "11 Jun", INT64_MIN},
        {"DateTime('UTC')", "11 Jun 2026 25:00", INT64_MIN},
        {"DateTime('UTC')", "11 Jun 2026 13:00 PM", INT64_MIN},
        {"DateTime('UTC')", "11 Jun 12 2026", INT64_MIN},
        {"DateTime('UTC')", "2026-06-11 10:00:00 Z Z", INT64_MIN},
        {"DateTime('UTC')", "2026-06/11", INT64_MIN},
        {"DateTime('UTC')", "yesterday", INT64_MIN},
        {"DateTime('UTC')", "", INT64_MIN},
        {"DateTime('UTC')", "2026-06-11 10:00:00 and then some more words than fit in sixty-four bytes",
         INT64_MIN},
    };
    cp_error err = {0, ""};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        value_row v;
        int64_t value = 0;
        const size_t len = strlen(cases[i].text);
        value_begin(&v, cases[i].type);
        if (cp_row_set_text(&v.row, 0, cases[i].text, len, &err) == CP_OK &&
            !strstr(cases[i].text, "1781172000123"))
            fail_msg("%s is taken without best effort", cases[i].text);
        v.row.best_effort = true;
        const int rc = cp_row_set_text(&v.row, 0, cases[i].text, len, &err);
        memcpy(&value, v.row.bytes, v.table->columns[0].type.value_size);
        if ((rc == CP_OK) != (cases[i].value != INT64_MIN) || (rc == CP_OK && value != cases[i].value))
            fail_msg("%s as %s is %lld (%s)", cases[i].text, cases[i].type, (long long)value,
                     rc < 0 ? err.text : "ok");
        cp_table_free(v.table);
    }
}

static void messages_are_printable(void **state)
{
    (void)state;
    char text[300];
    cp_error err = {0, ""};
    value_row v;
    value_begin(&v, "UInt64");
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7 + 1);
    assert_int_equal(cp_row_set_text(&v.row, 0, text, sizeof text, &err), CP_E_PARSE);
    assert_true(strlen(err.text) < 250);
    for (const char *p = err.text; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    cp_table_free(v.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(floats),
        cmocka_unit_test(truths_and_enums),
        cmocka_unit_test(dates),
        cmocka_unit_test(times),
        cmocka_unit_test(times_with_ticks),
        cmocka_unit_test(decimals),
        cmocka_unit_test(decimals_cut),
        cmocka_unit_test(decimals_that_cannot_be_cut),
        cmocka_unit_test(addresses),
        cmocka_unit_test(strings),
        cmocka_unit_test(arrays),
        cmocka_unit_test(arrays_element_by_element),
        cmocka_unit_test(nulls_and_defaults),
        cmocka_unit_test(best_effort),
        cmocka_unit_test(messages_are_printable),
    };
    static const char *const comma_locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
    for (size_t i = 0; i < sizeof comma_locales / sizeof comma_locales[0]; i++) {
        if (setlocale(LC_ALL, comma_locales[i]))
            break; /* a decimal comma, where the host has one */
    }
    setenv("TZ", "Asia/Kolkata", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
