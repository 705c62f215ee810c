/* Rows from text: every format, exact values, and bad lines that cost nothing but themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/row_source.h"

static const char ddl[] =
    "CREATE TABLE t (u UInt64, i Int64, f Float64, d Decimal(38, 8), s String, "
    "n Nullable(Int32), a Array(Int32), w String DEFAULT 'x') ENGINE = MergeTree ORDER BY u";

enum { U, I, F, D, S, N, A, W };

static cp_table *table;
static _Alignas(8) uint8_t buffer[1024 * 1024];

static char *rejects; /* what the open input rejected, once its file is closed */
static size_t rejects_len;

/* An input under test: its rows and rejections are asked for one by one. */
typedef struct input {
    cp_row_source *source;
    cp_row row;
    cp_error err;
    FILE *rejects_file;
} input;

static input input_open(const char *bytes, size_t len, cp_format format, bool header)
{
    input in = {0};
    char path[64];
    snprintf(path, sizeof path, "/tmp/cp_rows_%d", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    in.rejects_file = open_memstream(&rejects, &rejects_len);
    const cp_row_source_options options = {.path = path, .format = format, .header = header};
    assert_int_equal(cp_row_source_open(&in.source, &options, table, &in.err), CP_OK);
    cp_row_source_set_rejects(in.source, in.rejects_file, true);
    unlink(path);
    return in;
}

static input input_text(const char *text, cp_format format, bool header)
{
    return input_open(text, strlen(text), format, header);
}

static int input_next(input *in)
{
    memset(&in->err, 0, sizeof in->err);
    return cp_row_source_next(in->source, &in->row, buffer, sizeof buffer, &in->err);
}

static void want_row(input *in, uint64_t u)
{
    const int rc = input_next(in);
    if (rc != 1)
        fail_msg("a row with u = %llu expected, got %d: %s", (unsigned long long)u, rc, in->err.text);
    uint64_t value;
    memcpy(&value, buffer + table->columns[U].offset, sizeof value);
    assert_true(value == u);
}

static void want_reject(input *in, const char *text)
{
    const int rc = input_next(in);
    if (rc != CP_E_PARSE || !strstr(in->err.text, text))
        fail_msg("a rejection with '%s' expected, got %d: %s", text, rc, in->err.text);
}

static void check_string(uint32_t column, const char *text, size_t len)
{
    cp_ref ref;
    memcpy(&ref, buffer + table->columns[column].offset, sizeof ref);
    assert_int_equal(ref.length, len);
    assert_memory_equal(buffer + ref.offset, text, len);
}

static void input_end(input *in, const char *rejected)
{
    assert_int_equal(input_next(in), 0);
    cp_row_source_close(in->source);
    fclose(in->rejects_file);
    assert_string_equal(rejects, rejected);
    free(rejects);
}

static void test_json_exact(void **state)
{
    (void)state;
    input in = input_text("{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"f\":1e-300,\"d\":"
                          "12345678901234567890.12345678,"
                          "\"s\":\"a\\u0000b\\n\",\"n\":null,\"a\":[1,-2,3]}\n"
                          "\n"
                          "  {\"a\":\"[4]\",\"n\":7,\"u\":1}  \n",
                          CP_FORMAT_JSON_EACH_ROW, false);
    want_row(&in, UINT64_MAX);
    int64_t i;
    memcpy(&i, buffer + table->columns[I].offset, sizeof i);
    assert_true(i == INT64_MIN);
    double f;
    memcpy(&f, buffer + table->columns[F].offset, sizeof f);
    assert_true(f == 1e-300);
    cp_i128 d;
    memcpy(&d, buffer + table->columns[D].offset, sizeof d);
    const __int128 expected = (__int128)UINT64_C(12345678901234567890) * 100000000 + 12345678;
    assert_true(d.lo == (uint64_t)expected && d.hi == (int64_t)(expected >> 64));
    check_string(S, "a\0b\n", 4);
    check_string(W, "x", 1);
    assert_int_equal(buffer[table->columns[N].null_offset], 1);
    cp_ref a;
    memcpy(&a, buffer + table->columns[A].offset, sizeof a);
    assert_int_equal(a.length, 3);
    want_row(&in, 1);
    assert_int_equal(buffer[table->columns[N].null_offset], 0);
    input_end(&in, "");
}

static void test_json_bad(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *text;
    } cases[] = {
        {"{\"u\":18446744073709551616}", "'u' (UInt64): '18446744073709551616'"},
        {"{\"i\":-9223372036854775809}", "'i' (Int64): '-9223372036854775809'"},
        {"{\"a\":[18446744073709551616]}", "'18446744073709551616'"},
        {"{\"u\":01}", "not JSON"},
        {"{\"i\":12,\"u\":1.}", "'1.'"},
        {"{\"u\":1e}", "not JSON"},
        {"{\"u\":+1}", "byte 6: not JSON"},
        {"{\"u\":--1}", "not JSON"},
        {"{\"u\":.5}", "byte 6: not JSON"},
        {"{\"u\":NaN}", "'NaN'"},
        {"{1:2}", "byte 2: not JSON"},
        {"{\"u\":1,2:3}", "byte 8: not JSON"},
        {"{\"u\":1,2}", "byte 9: not JSON"},
        {"{\"a\":[1,]}", "not JSON"},
        {"{\"a\":[1 2]}", "not JSON"},
        {"{\"u\" 1}", "byte 6: not JSON"},
        {"{\"u\":1,\"i\":12,\"a\":[1,2], nonsense}", "byte 26: not JSON"},
        {"{\"u\":1,\"u\":1}", "column 'u' stands twice in the object, at byte 8 again"},
        {"{\"u\":1,\"s\":\"{\\\"u\\\":2,\",\"\\u0075\":1}", "column 'u' stands twice"},
        {"{\"u\":1,\"uu\":1,\"uu\":1}", "did you mean 'u'?"},
        {"{\"u\":-1}", "'u' (UInt64): '-1'"},
        {"{\"u\":1.5}", "'u' (UInt64): '1.5'"},
        {"{\"u\":\"abc\"}", "'u' (UInt64): 'abc'"},
        {"{\"u\":true}", "'u' (UInt64)"},
        {"{\"u\":null}", "'u'"},
        {"{\"u\":[1]}", "an array does not fit"},
        {"{\"u\":{}}", "an object does not fit"},
        {"{\"a\":[[1]]}", "inside the array"},
        {"{\"a\":1}", "'a' (Array(Int32))"},
        {"{\"n\":2147483648}", "'n'"},
        {"{\"uu\":1}", "did you mean 'u'?"},
        {"{\"u\":1} {\"u\":2}", "not JSON"},
        {"{\"u\":1", "ends inside"},
        {"[1,2]", "a row is an object"},
        {"12", "a row is an object"},
        {"null", "a row is an object"},
        {"nonsense", "not JSON"},
        {"{u:1}", "not JSON"},
        {"\x80\xff\x01", "not JSON"},
        {"{\"a\":[[[[[[[[[[[[1]]]]]]]]]]]]}", "not JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"u\":1}\n%s\n{\"u\":2}\n", cases[i].line);
        input in = input_text(text, CP_FORMAT_JSON_EACH_ROW, false);
        want_row(&in, 1);
        want_reject(&in, cases[i].text);
        assert_non_null(strstr(in.err.text, ":2: "));
        want_row(&in, 2);
        snprintf(text, sizeof text, "%s\n", cases[i].line);
        input_end(&in, text);
    }
}

static cp_i128 decimal_of_row(void)
{
    cp_i128 value;
    memcpy(&value, buffer + table->columns[D].offset, sizeof value);
    return value;
}

/* Numbers of any length and every form reach the column as they stand; ClickHouse writes 128 bits without quotes. */
static void test_json_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *number;
        int64_t hi;
        uint64_t lo; /* times 10^8 */
    } cases[] = {
        {"123456789012345678901234567890", INT64_C(669260594276348691), UINT64_C(14143994781721465344)},
        {"-123456789012345678901234567890", -INT64_C(669260594276348692), UINT64_C(4302749291988086272)},
        {"18446744073709551616", 100000000, 0},
        {"-9223372036854775809", -50000001, UINT64_MAX - 100000000 + 1},
        {"9223372036854775807", 49999999, UINT64_MAX - 100000000 + 1},
        {"-0", 0, 0},
        {"0.00000001", 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"u\":1,\"d\" : %s , \"a\":[0,-1]}\n{\"u\":2,\"d\":%s}\n",
                 cases[i].number, cases[i].number);
        input in = input_text(text, CP_FORMAT_JSON_EACH_ROW, false);
        for (uint64_t u = 1; u <= 2; u++) {
            want_row(&in, u);
            const cp_i128 d = decimal_of_row();
            if (d.hi != cases[i].hi || d.lo != cases[i].lo)
                fail_msg("%s became %lld, %llu", cases[i].number, (long long)d.hi, (unsigned long long)d.lo);
        }
        input_end(&in, "");
    }
    input in =
        input_text("{\"u\":-0,\"f\":1.5E+1,\"n\":-0}\n{\"u\":1,\"s\":12345678901234567890123456789.50}\n"
                   "{\"u\":2,\"s\":\"a,1,\\\",[2] \\\\\"}\n",
                   CP_FORMAT_JSON_EACH_ROW, false);
    want_row(&in, 0);
    want_row(&in, 1);
    check_string(S, "12345678901234567890123456789.50", 32);
    want_row(&in, 2);
    check_string(S, "a,1,\",[2] \\", 11);
    input_end(&in, "");
}

/* What is skipped may stand twice; the names inside values are nobody's columns. */
static void test_json_twice_skipped(void **state)
{
    (void)state;
    const char text[] = "{\"x\":1,\"u\":7,\"x\":{\"u\":1,\"u\":2}}\n{\"x\":[{\"u\":1}],\"u\":8}\n";
    input in = {0};
    char path[64];
    snprintf(path, sizeof path, "/tmp/cp_rows_%d", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    const cp_row_source_options options = {
        .path = path, .format = CP_FORMAT_JSON_EACH_ROW, .skip_unknown = true};
    assert_int_equal(cp_row_source_open(&in.source, &options, table, &in.err), CP_OK);
    unlink(path);
    want_row(&in, 7);
    want_row(&in, 8);
    cp_row_source_close(in.source);
}

/* A number of the extremes beside digits in strings and fractions is no long number. */
static void test_json_extremes(void **state)
{
    (void)state;
    input in =
        input_text("{\"u\":18446744073709551615,\"s\":\"99999999999999999999 \\\" 99999999999999999999\"}\n"
                   "{\"u\":18446744073709551615,\"d\":0.99999999000000000000000000}\n",
                   CP_FORMAT_JSON_EACH_ROW, false);
    want_row(&in, UINT64_MAX);
    want_row(&in, UINT64_MAX);
    input_end(&in, "");
}

static void test_nul(void **state)
{
    (void)state;
    static const char text[] = "{\"u\":1}\n{\"u\"\0:1}\n{\"u\":2}\n";
    input in = input_open(text, sizeof text - 1, CP_FORMAT_JSON_EACH_ROW, false);
    want_row(&in, 1);
    want_reject(&in, "NUL");
    want_row(&in, 2);
    assert_int_equal(input_next(&in), 0);
    cp_row_source_close(in.source);
    fclose(in.rejects_file);
    free(rejects);
}

static void test_tsv(void **state)
{
    (void)state;
    input in = input_text("u\ts\tn\n1\ta\\tb\\\\\\n\\x41\t\\N\n2\t\t5\r\n3\tx\n4\ty\t\\\n5\t\\N\t1\n6\tz\t7",
                          CP_FORMAT_TSV, true);
    want_row(&in, 1);
    check_string(S, "a\tb\\\nA", 6);
    assert_int_equal(buffer[table->columns[N].null_offset], 1);
    want_row(&in, 2);
    check_string(S, "", 0);
    want_reject(&in, "2 fields where 3 are expected: from column 'n'");
    want_reject(&in, "lone backslash");
    want_reject(&in, "'s'");
    want_row(&in, 6);
    input_end(&in, "3\tx\n4\ty\t\\\n5\t\\N\t1\n");
}

static void test_csv(void **state)
{
    (void)state;
    input in = input_text("u,s,n,a\r\n"
                          "1,\"two\nlines, and \"\"quotes\"\"\",,\"[1,2]\"\r\n"
                          "\r\n"
                          "2,  spaces  ,\\N,[]\n"
                          "3,x,y,[]\n"
                          "4,x\n"
                          "5,last,6,[]",
                          CP_FORMAT_CSV, true);
    want_row(&in, 1);
    check_string(S, "two\nlines, and \"quotes\"", 23);
    assert_int_equal(buffer[table->columns[N].null_offset], 1);
    want_row(&in, 2);
    check_string(S, "spaces", 6);
    want_reject(&in, ":6: column 'n'");
    want_reject(&in, ":7: 2 fields where 4");
    want_row(&in, 5);
    input_end(&in, "3,x,y,[]\n4,x\n");
}

/* A stray quote costs its own line, not those that it would swallow. */
static void test_csv_stray_quotes(void **state)
{
    (void)state;
    input in =
        input_text("u,s\n1,a\n2,\"b\n3,c\n4,\"d\"\n5,e\"e\n6,\"f\" f\n7,\"g\n8,h", CP_FORMAT_CSV, true);
    want_row(&in, 1);
    want_reject(&in, ":3: a quote is opened here");
    want_row(&in, 3);
    want_row(&in, 4);
    check_string(S, "d", 1);
    want_reject(&in, ":6: ");
    want_reject(&in, ":7: ");
    want_reject(&in, ":8: ");
    want_row(&in, 8);
    input_end(&in, "2,\"b\n5,e\"e\n6,\"f\" f\n7,\"g\n");
}

/* A quote that is never closed, before many lines: it is given up, and they all come through. */
static void test_csv_unclosed(void **state)
{
    (void)state;
    enum { LINES = 3 * CP_CSV_RECORD_LINES };
    char *text = malloc(LINES * 16 + 64);
    assert_non_null(text);
    size_t used = (size_t)sprintf(text, "u,s\n1,\"open\n");
    for (int i = 0; i < LINES; i++)
        used += (size_t)sprintf(text + used, "%d,x\n", i);
    input in = input_open(text, used, CP_FORMAT_CSV, true);
    free(text);
    want_reject(&in, ":2: a quote is opened here");
    for (uint64_t i = 0; i < LINES; i++) {
        want_row(&in, i);
        assert_true(cp_row_source_line(in.source) == i + 3);
    }
    input_end(&in, "1,\"open\n");
}

static void test_headers(void **state)
{
    (void)state;
    input in = input_text("u,ss\n1,2\n", CP_FORMAT_CSV, true);
    assert_int_equal(input_next(&in), CP_E_SCHEMA);
    assert_non_null(strstr(in.err.text, "did you mean 's'?"));
    cp_row_source_close(in.source);
    fclose(in.rejects_file);
    free(rejects);
    in = input_text("u,u\n1,2\n", CP_FORMAT_CSV, true);
    assert_int_equal(input_next(&in), CP_E_SCHEMA);
    assert_non_null(strstr(in.err.text, "twice"));
    cp_row_source_close(in.source);
    fclose(in.rejects_file);
    free(rejects);
}

/* A header that does not parse, or is too long, ends the reading: the line below is not taken for it. */
static void test_headers_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        cp_format format;
        const char *why;
    } cases[] = {
        {"u,\"s\nu,n\n1,2\n", CP_FORMAT_CSV, "a quote is opened here and never closed"},
        {"u,s\"s\"\nu,n\n1,2\n", CP_FORMAT_CSV, "a quote in the wrong place"},
        {"u\ts\\\nu\tn\n1\t2\n", CP_FORMAT_TSV, "lone backslash"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        input in = input_text(cases[i].text, cases[i].format, true);
        assert_int_equal(input_next(&in), CP_E_SCHEMA);
        assert_int_equal(in.err.code, CP_E_SCHEMA);
        if (!strstr(in.err.text, ":1: the header: ") || !strstr(in.err.text, cases[i].why))
            fail_msg("'%s' does not name the header and '%s'", in.err.text, cases[i].why);
        cp_row_source_close(in.source);
        fclose(in.rejects_file);
        free(rejects);
    }
}

/* A byte order mark in front of a header or of JSON. */
static void test_byte_order_mark(void **state)
{
    (void)state;
    static const char *const texts[] = {"\xef\xbb\xbf{\"u\":7}\n", "\xef\xbb\xbfu,s\n7,x\n",
                                        "\xef\xbb\xbfu\ts\n7\tx\n"};
    for (cp_format format = CP_FORMAT_JSON_EACH_ROW; format <= CP_FORMAT_TSV; format++) {
        input in = input_text(texts[format], format, format != CP_FORMAT_JSON_EACH_ROW);
        want_row(&in, 7);
        input_end(&in, "");
    }
}

/* A line over the limit between good ones, in each format; in CSV also inside a quoted field. */
static void test_long_lines(void **state)
{
    (void)state;
    static const char *const good[] = {"{\"u\":1}\n", "1\n", "1\n"};
    const size_t len = CP_LINE_MAX + 100;
    char *text = malloc(len + 64);
    assert_non_null(text);
    for (cp_format format = CP_FORMAT_JSON_EACH_ROW; format <= CP_FORMAT_TSV; format++) {
        const bool header = format != CP_FORMAT_JSON_EACH_ROW;
        size_t used = (size_t)sprintf(text, "%s%s", header ? "u\n" : "", good[format]);
        memset(text + used, 'x', len - 64);
        used += len - 64;
        memset(text + used, 'y', 64);
        used += 64;
        used += (size_t)sprintf(text + used, "\n%s", good[format]);
        input in = input_open(text, used, format, header);
        want_row(&in, 1);
        want_reject(&in, "the limit is");
        want_row(&in, 1);
        assert_int_equal(input_next(&in), 0);
        cp_row_source_close(in.source);
        fclose(in.rejects_file);
        assert_int_equal(rejects_len, len + 1);
        free(rejects);
    }
    free(text);
}

/* Random bytes and random cuts of good lines: always an end, never a crash, line numbers never go back. */
static void test_random(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]\"\\,:\t\n\r\n 0123456789.eE-+nulltrueNaNusifdaw\"\"\",\n";
    const char *given = getenv("CP_SEED");
    const unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
    print_message("CP_SEED=%u\n", seed);
    srandom(seed);
    for (int round = 0; round < 600; round++) {
        char bytes[2048];
        const size_t len = (size_t)random() % sizeof bytes;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(round % 4 == 0 ? random() : alphabet[(size_t)random() % (sizeof alphabet - 1)]);
        input in = input_open(bytes, len, (cp_format)(round % 3), round % 2 == 0);
        uint64_t line = 0;
        int rc;
        while ((rc = input_next(&in)) == 1 || rc == CP_E_PARSE) {
            assert_true(cp_row_source_line(in.source) > line);
            line = cp_row_source_line(in.source);
            if (rc == 1)
                assert_int_equal(cp_row_check(table, in.row.bytes, in.row.used, &in.err), CP_OK);
        }
        assert_true(rc == 0 || rc == CP_E_SCHEMA || rc == CP_E_CORRUPT);
        cp_row_source_close(in.source);
        fclose(in.rejects_file);
        free(rejects);
    }
}

static int setup(void **state)
{
    (void)state;
    cp_error err = {0};
    const int rc = cp_table_parse(&table, NULL, ddl, strlen(ddl), &err);
    if (rc < 0)
        print_error("%s\n", err.text);
    return rc;
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
        cmocka_unit_test(test_json_exact),
        cmocka_unit_test(test_json_bad),
        cmocka_unit_test(test_json_numbers),
        cmocka_unit_test(test_json_twice_skipped),
        cmocka_unit_test(test_json_extremes),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_tsv),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_stray_quotes),
        cmocka_unit_test(test_csv_unclosed),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_headers_bad),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
