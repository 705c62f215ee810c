/* Statements: where an INSERT's data begins, which format a result has, and that no cut of the text misleads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "embedded/statement.h"

static cp_statement parse(const char *text)
{
    cp_statement statement;
    cp_statement_parse(text, strlen(text), 0, true, &statement);
    return statement;
}

static void check_insert(const char *text, const char *format, const char *head, const char *data)
{
    const cp_statement statement = parse(text);
    assert_int_equal(statement.kind, CP_STATEMENT_INSERT);
    assert_string_equal(statement.format, format);
    assert_string_equal(text + statement.data, data);
    assert_int_equal(statement.head, strlen(head));
    assert_memory_equal(text, head, strlen(head));
}

static void test_inserts(void **state)
{
    (void)state;
    check_insert("INSERT INTO t FORMAT CSV\n1,2\n", "CSV", "INSERT INTO t ", "1,2\n");
    check_insert("insert into t format csv \t\n1", "csv", "insert into t ", "1");
    check_insert("INSERT INTO t FORMAT CSV 1,2", "CSV", "INSERT INTO t ", "1,2");
    check_insert("INSERT INTO t FORMAT CSV\n\n1", "CSV", "INSERT INTO t ", "\n1");
    check_insert("INSERT INTO t VALUES (1), (2)", "Values", "INSERT INTO t ", " (1), (2)");
    check_insert("INSERT INTO t(a)VALUES(1)", "Values", "INSERT INTO t(a)", "(1)");
    check_insert("INSERT INTO t (a, `b)`, \"c(\") SETTINGS x = 'FORMAT CSV' FORMAT TSV\nz", "TSV",
                 "INSERT INTO t (a, `b)`, \"c(\") SETTINGS x = 'FORMAT CSV' ", "z");
    check_insert("INSERT INTO `values`.format FORMAT CSV\n1", "CSV", "INSERT INTO `values`.format ", "1");
    check_insert("INSERT INTO values FORMAT CSV\n1", "CSV", "INSERT INTO values ", "1");
    check_insert("INSERT INTO TABLE t FORMAT CSV\n1", "CSV", "INSERT INTO TABLE t ", "1");
    check_insert("INSERT INTO FUNCTION file('x', 'CSV') FORMAT CSV\n1", "CSV",
                 "INSERT INTO FUNCTION file('x', 'CSV') ", "1");
    check_insert("-- FORMAT TSV\n/* VALUES */ INSERT INTO t FORMAT CSV\n1", "CSV",
                 "-- FORMAT TSV\n/* VALUES */ INSERT INTO t ", "1");
    check_insert("INSERT INTO {t:Identifier} FORMAT CSV\n1", "CSV", "INSERT INTO {t:Identifier} ", "1");
}

static void test_data_may_look_like_sql(void **state)
{
    (void)state;
    check_insert("INSERT INTO t FORMAT TSV\nSELECT 'unclosed /* FORMAT CSV", "TSV", "INSERT INTO t ",
                 "SELECT 'unclosed /* FORMAT CSV");
}

static void test_query_parameter_ends_before_the_data(void **state)
{
    (void)state;
    const char *texts[] = {"INSERT INTO t FORMAT Native\n", "INSERT INTO t FORMAT Native  \n\n",
                           "INSERT INTO t FORMAT Native;\n", "INSERT INTO t FORMAT Native -- x\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[64];
        const size_t query = strlen(texts[i]);
        memcpy(text, texts[i], query);
        memcpy(text + query, " \n\x01", 4); /* binary data that begins like white space */
        cp_statement statement;
        cp_statement_parse(text, query + 3, query, false, &statement);
        assert_int_equal(statement.kind, CP_STATEMENT_INSERT);
        assert_int_equal(statement.data, query);
        assert_int_equal(statement.tail, statement.tail_end);
    }
}

static void test_settings_behind_the_format(void **state)
{
    (void)state;
    const char *text = "INSERT INTO t FORMAT CSV SETTINGS a = 1\n1,2";
    const size_t query = strlen("INSERT INTO t FORMAT CSV SETTINGS a = 1\n");
    cp_statement statement;
    cp_statement_parse(text, strlen(text), query, true, &statement);
    assert_int_equal(statement.kind, CP_STATEMENT_INSERT);
    assert_string_equal(text + statement.data, "1,2");
    assert_memory_equal(text + statement.tail, "SETTINGS a = 1\n", statement.tail_end - statement.tail);
}

/* Whatever has arrived so far, the answer is "not yet" or the right one. */
static void test_every_cut(void **state)
{
    (void)state;
    const char *text = "/* c */ INSERT INTO db.`t` (a, b) SETTINGS s = 'it''s' FORMAT JSONEachRow \n{}";
    const cp_statement whole = parse(text);
    size_t decided = 0;
    for (size_t length = 0; length <= strlen(text); length++) {
        cp_statement cut;
        cp_statement_parse(text, length, 0, false, &cut);
        if (cut.kind == CP_STATEMENT_INCOMPLETE) {
            assert_int_equal(decided, 0);
            continue;
        }
        decided++;
        assert_int_equal(cut.kind, CP_STATEMENT_INSERT);
        assert_int_equal(cut.data, whole.data);
        assert_int_equal(cut.head, whole.head);
        assert_string_equal(cut.format, "JSONEachRow");
    }
    assert_int_equal(decided, 3);
}

static void check_query(const char *text, cp_statement_kind kind, const char *format)
{
    const cp_statement statement = parse(text);
    assert_int_equal(statement.kind, kind);
    assert_string_equal(statement.format, format);
}

static void test_queries(void **state)
{
    (void)state;
    check_query("SELECT 1", CP_STATEMENT_SELECT, "");
    check_query("SELECT 1 FORMAT JSON", CP_STATEMENT_SELECT, "JSON");
    check_query("SELECT 1 FORMAT JSON;", CP_STATEMENT_SELECT, "JSON");
    check_query("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", CP_STATEMENT_SELECT, "JSON");
    check_query("SELECT 1 SETTINGS max_threads = 1 FORMAT CSV -- end", CP_STATEMENT_SELECT, "CSV");
    check_query("SELECT format FROM t", CP_STATEMENT_SELECT, "");
    check_query("SELECT 'FORMAT JSON'", CP_STATEMENT_SELECT, "");
    check_query("SELECT $$ FORMAT JSON $$", CP_STATEMENT_SELECT, "");
    check_query("SELECT $x$ FORMAT JSON $$ $x$ FORMAT CSV", CP_STATEMENT_SELECT, "CSV");
    check_query("(SELECT 1) UNION ALL (SELECT 2 FORMAT JSON) FORMAT TSV", CP_STATEMENT_SELECT, "TSV");
    check_query("WITH 1 AS x SELECT x", CP_STATEMENT_SELECT, "");
    check_query("SHOW TABLES FORMAT JSON", CP_STATEMENT_OTHER, "JSON");
    check_query("CREATE TABLE t (a Int8) ENGINE = Memory", CP_STATEMENT_OTHER, "");
    check_query("INSERT INTO t SELECT 1", CP_STATEMENT_OTHER, "");
    check_query("INSERT INTO t", CP_STATEMENT_OTHER, "");
    check_query("", CP_STATEMENT_EMPTY, "");
    check_query(" \n-- nothing\n/* at all */", CP_STATEMENT_EMPTY, "");
    check_query("INSERT INTO t SELECT 'unclosed", CP_STATEMENT_OTHER, "");
    check_query("SELECT 'unclosed", CP_STATEMENT_SELECT, "");
}

static void test_files_of_the_host(void **state)
{
    (void)state;
    assert_true(parse("SELECT 1 INTO OUTFILE 'x' FORMAT CSV").into_outfile);
    assert_true(parse("SELECT 1 INTO/**/OUTFILE 'x'").into_outfile);
    assert_false(parse("SELECT 'INTO OUTFILE'").into_outfile);
    assert_true(parse("INSERT INTO t FROM INFILE 'x' FORMAT CSV").from_infile);
    assert_true(parse("INSERT INTO t SELECT a FROM input('a Int8') FORMAT CSV\n1").reads_input);
    assert_false(parse("INSERT INTO t SELECT a FROM u").reads_input);
}

static void test_content_types(void **state)
{
    (void)state;
    assert_string_equal(cp_format_content_type("TabSeparated"), "text/tab-separated-values; charset=UTF-8");
    assert_string_equal(cp_format_content_type("CSV"), "text/csv; charset=UTF-8; header=absent");
    assert_string_equal(cp_format_content_type("CSVWithNames"), "text/csv; charset=UTF-8; header=present");
    assert_string_equal(cp_format_content_type("JSON"), "application/json; charset=UTF-8");
    assert_string_equal(cp_format_content_type("JSONEachRow"), "application/x-ndjson; charset=UTF-8");
    assert_string_equal(cp_format_content_type("Native"), "application/octet-stream");
    assert_string_equal(cp_format_content_type("Pretty"), "text/plain; charset=UTF-8");
    assert_true(cp_format_streams("JSONEachRow"));
    assert_true(cp_format_streams("native"));
    assert_false(cp_format_streams("JSON"));
    assert_false(cp_format_streams("Parquet"));
    assert_false(cp_format_streams("TSVWithNames"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inserts),
        cmocka_unit_test(test_data_may_look_like_sql),
        cmocka_unit_test(test_query_parameter_ends_before_the_data),
        cmocka_unit_test(test_settings_behind_the_format),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_files_of_the_host),
        cmocka_unit_test(test_content_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
