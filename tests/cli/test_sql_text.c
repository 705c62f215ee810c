/* FORMAT is added where an answer has rows, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sql_text.h"

static void check(const char *sql, bool override, const char *expected)
{
    char *text = cp_sql_with_format(sql, "X", override);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void test_format(void **state)
{
    (void)state;
    check("SELECT 1", false, "SELECT 1\nFORMAT X");
    check(" select 1 ; \n", false, " select 1\nFORMAT X");
    check("-- a comment\n/* and\nanother */ (SELECT 1)", false,
          "-- a comment\n/* and\nanother */ (SELECT 1)\nFORMAT X");
    check("SELECT 1 -- why", false, "SELECT 1 -- why\nFORMAT X");
    check("SELECT 1 FORMAT JSON;", false, "SELECT 1 FORMAT JSON");
    check("SELECT 1\nformat  JSON", true, "SELECT 1\n\nFORMAT X");
    check("SELECT format", false, "SELECT format\nFORMAT X");
    check("SELECT a AS reformat x", false, "SELECT a AS reformat x\nFORMAT X");
    check("INSERT INTO t SELECT 1", false, "INSERT INTO t SELECT 1");
    check("CREATE TABLE t (a Int8) ENGINE = Memory;", false, "CREATE TABLE t (a Int8) ENGINE = Memory");
    check("SELECTED", false, "SELECTED");
    check("", false, "");
    check(";", false, "");
    check("/* never closed", false, "/* never closed");
}

static void test_quote(void **state)
{
    (void)state;
    char out[16];
    assert_true(cp_sql_quote_name(out, sizeof out, "a`b\\c"));
    assert_string_equal(out, "`a\\`b\\\\c`");
    assert_true(cp_sql_quote_text(out, sizeof out, "a'b\\c`"));
    assert_string_equal(out, "'a\\'b\\\\c`'");
    assert_false(cp_sql_quote_name(out, 4, "abc"));
    assert_false(cp_sql_quote_name(out, 2, ""));
    assert_true(cp_sql_quote_name(out, 3, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_format), cmocka_unit_test(test_quote)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
