/* Lines of any length, from plain, gzip and concatenated gzip input; damage is reported, what came before is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/line_reader.h"

static char path[64];

static void write_file(const char *bytes, size_t len)
{
    snprintf(path, sizeof path, "/tmp/cp_lines_%d", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static cp_line_reader *open_bytes(const char *bytes, size_t len, size_t line_max)
{
    cp_line_reader *reader = NULL;
    cp_error err = {0};
    write_file(bytes, len);
    assert_int_equal(cp_line_reader_open(&reader, path, line_max, &err), CP_OK);
    unlink(path);
    return reader;
}

static void expect_line(cp_line_reader *reader, const char *text, uint64_t number, bool ended)
{
    cp_line line;
    cp_error err = {0};
    assert_int_equal(cp_line_reader_next(reader, &line, &err), 1);
    assert_int_equal(line.len, strlen(text));
    assert_memory_equal(line.text, text, line.len);
    assert_int_equal(line.number, number);
    assert_int_equal(line.ended, ended);
}

static void expect_code(cp_line_reader *reader, int code)
{
    cp_line line;
    cp_error err = {0};
    assert_int_equal(cp_line_reader_next(reader, &line, &err), code);
}

static void test_plain(void **state)
{
    (void)state;
    cp_line_reader *reader = open_bytes("a\n\nbcd\ne", 8, 100);
    expect_line(reader, "a", 1, true);
    expect_line(reader, "", 2, true);
    expect_line(reader, "bcd", 3, true);
    expect_line(reader, "e", 4, false);
    expect_code(reader, 0);
    expect_code(reader, 0);
    cp_line_reader_close(reader);
}

static void test_empty(void **state)
{
    (void)state;
    cp_line_reader *reader = open_bytes("", 0, 1);
    expect_code(reader, 0);
    cp_line_reader_close(reader);
    reader = open_bytes("x", 1, 1);
    expect_line(reader, "x", 1, false);
    cp_line_reader_close(reader);
}

/* For every limit and line length: exactly at the limit is kept, one over is skipped, its neighbours come through. */
static void test_limit(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 40; limit++) {
        for (size_t len = 0; len < 3 * limit; len++) {
            char text[200] = "k\n";
            memset(text + 2, 'x', len);
            strcpy(text + 2 + len, "\nz\n");
            char long_line[200] = "";
            memset(long_line, 'x', len);
            cp_line_reader *reader = open_bytes(text, strlen(text), limit);
            expect_line(reader, "k", 1, true);
            if (len <= limit) {
                expect_line(reader, long_line, 2, true);
            } else {
                cp_line line;
                cp_error err = {0};
                assert_int_equal(cp_line_reader_next(reader, &line, &err), CP_E_TOO_BIG);
                assert_int_equal(line.number, 2);
                assert_int_equal(line.len, len);
            }
            expect_line(reader, "z", 3, true);
            expect_code(reader, 0);
            cp_line_reader_close(reader);
        }
    }
}

static void test_spill(void **state)
{
    (void)state;
    cp_line_reader *reader = open_bytes("0123456789\nab\n", 14, 4);
    char *spilt = NULL;
    size_t spilt_len = 0;
    FILE *spill = open_memstream(&spilt, &spilt_len);
    cp_line_reader_set_spill(reader, spill);
    expect_code(reader, CP_E_TOO_BIG);
    expect_line(reader, "ab", 2, true);
    fclose(spill);
    assert_string_equal(spilt, "0123456789\n");
    free(spilt);
    cp_line_reader_close(reader);
}

/* gzip of "one\n", and of "two\nthree", as gzip(1) writes them. */
static size_t gzip_bytes(const char *text, char *out, size_t size)
{
    char command[256];
    snprintf(command, sizeof command, "printf '%s' | gzip -c", text);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): a fixed command of this test */
    assert_non_null(pipe);
    const size_t len = fread(out, 1, size, pipe);
    assert_int_equal(pclose(pipe), 0);
    return len;
}

static void test_gzip(void **state)
{
    (void)state;
    char bytes[512];
    size_t len = gzip_bytes("one\\n", bytes, sizeof bytes);
    len += gzip_bytes("two\\nthree", bytes + len, sizeof bytes - len);
    cp_line_reader *reader = open_bytes(bytes, len, 100);
    expect_line(reader, "one", 1, true);
    expect_line(reader, "two", 2, true);
    expect_line(reader, "three", 3, false);
    expect_code(reader, 0);
    cp_line_reader_close(reader);
}

/* Cut anywhere: never a crash, never a line that was not there, and the cut is reported. */
static void test_gzip_cut(void **state)
{
    (void)state;
    char bytes[512];
    const size_t len = gzip_bytes("first line\\nsecond line\\nthird line\\n", bytes, sizeof bytes);
    for (size_t cut = 2; cut < len; cut++) {
        cp_line_reader *reader = open_bytes(bytes, cut, 100);
        cp_line line;
        cp_error err = {0};
        int rc;
        while ((rc = cp_line_reader_next(reader, &line, &err)) == 1)
            assert_true(line.ended);
        assert_int_equal(rc, CP_E_CORRUPT);
        assert_non_null(strstr(err.text, "cut short"));
        cp_line_reader_close(reader);
    }
}

static void test_gzip_trailing(void **state)
{
    (void)state;
    char bytes[512];
    size_t len = gzip_bytes("one\\n", bytes, sizeof bytes);
    memcpy(bytes + len, "junk", 4);
    cp_line_reader *reader = open_bytes(bytes, len + 4, 100);
    expect_line(reader, "one", 1, true);
    expect_code(reader, CP_E_CORRUPT);
    cp_line_reader_close(reader);
}

/* A byte order mark is no part of the first line, whatever comes behind it; anywhere else it is text. */
static void test_byte_order_mark(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *first; /* NULL: no line at all */
    } cases[] = {
        {"\xef\xbb\xbf"
         "ab\nz",
         "ab"},
        {"\xef\xbb\xbf\nz", ""},
        {"\xef\xbb\xbf\xef\xbb\xbf\nz", "\xef\xbb\xbf"},
        {"\xef\xbb\xbf", NULL},
        {"\xef\xbb\nz", "\xef\xbb"},
        {"\xef\nz", "\xef"},
        {"\nz", ""},
        {"\xef\xbb", "\xef\xbb"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *bytes = cases[i].bytes;
        cp_line_reader *reader = open_bytes(bytes, strlen(bytes), 3);
        const bool more = strchr(bytes, '\n') != NULL;
        if (cases[i].first)
            expect_line(reader, cases[i].first, 1, more);
        if (more)
            expect_line(reader, "z", 2, false);
        expect_code(reader, 0);
        cp_line_reader_close(reader);
    }
    cp_line_reader *reader = open_bytes("a\n\xef\xbb\xbfz", 6, 100);
    expect_line(reader, "a", 1, true);
    expect_line(reader, "\xef\xbb\xbfz", 2, false);
    cp_line_reader_close(reader);
}

/* The limit is on the line, without the mark; and the mark is found inside gzip, too. */
static void test_byte_order_mark_and_limit(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 5; limit++) {
        char bytes[16] = "\xef\xbb\xbf";
        memset(bytes + 3, 'x', limit);
        cp_line_reader *reader = open_bytes(bytes, 3 + limit, limit);
        expect_line(reader, bytes + 3, 1, false);
        expect_code(reader, 0);
        cp_line_reader_close(reader);
        bytes[3 + limit] = 'x';
        reader = open_bytes(bytes, 3 + limit + 1, limit);
        expect_code(reader, CP_E_TOO_BIG);
        expect_code(reader, 0);
        cp_line_reader_close(reader);
    }
    char packed[256];
    const size_t len = gzip_bytes("\\357\\273\\277one\\n", packed, sizeof packed);
    cp_line_reader *reader = open_bytes(packed, len, 100);
    expect_line(reader, "one", 1, true);
    cp_line_reader_close(reader);
}

static void test_same_file(void **state)
{
    (void)state;
    write_file("a", 1);
    cp_line_reader *reader = NULL;
    cp_error err = {0};
    assert_int_equal(cp_line_reader_open(&reader, path, 10, &err), CP_OK);
    const int same = open(path, O_RDONLY | O_CLOEXEC);
    const int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(same >= 0 && other >= 0);
    assert_true(cp_line_reader_reads(reader, same));
    assert_false(cp_line_reader_reads(reader, other));
    close(same);
    close(other);
    unlink(path);
    cp_line_reader_close(reader);
}

static void test_absent(void **state)
{
    (void)state;
    cp_line_reader *reader = NULL;
    cp_error err = {0};
    assert_int_equal(cp_line_reader_open(&reader, "/nonexistent/file", 10, &err), CP_E_ABSENT);
    assert_non_null(strstr(err.text, "/nonexistent/file"));
    assert_int_equal(cp_line_reader_open(&reader, "/tmp", 10, &err),
                     CP_OK); /* a directory opens, reading fails */
    expect_code(reader, CP_E_IO);
    cp_line_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_spill),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_gzip_cut),
        cmocka_unit_test(test_gzip_trailing),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_byte_order_mark_and_limit),
        cmocka_unit_test(test_same_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
