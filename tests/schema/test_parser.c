/* CREATE TABLE: what is understood, and the exact words about what is not. */
#include "tests/schema/fixture.h"

typedef struct bad_ddl {
    const char *ddl;
    int code;
    const char *text;
} bad_ddl;

static const bad_ddl bad_ddls[] = {
#include "tests/schema/bad_ddl.inc"
};
enum { BAD_DDLS = sizeof bad_ddls / sizeof bad_ddls[0], AT_LEAST = 120 };
_Static_assert(BAD_DDLS >= AT_LEAST, "of many kinds");

static void bad_statements_say_where_and_what(void **state)
{
    (void)state;
    for (size_t i = 0; i < BAD_DDLS; i++) {
        cp_table *table = NULL;
        cp_error err = {0, ""};
        const int code = cp_table_parse(&table, "t.sql", bad_ddls[i].ddl, strlen(bad_ddls[i].ddl), &err);
        assert_string_equal(err.text, bad_ddls[i].text);
        assert_int_equal(code, bad_ddls[i].code);
        assert_int_equal(err.code, code);
        assert_null(table);
        assert_int_equal(cp_table_parse(&table, NULL, bad_ddls[i].ddl, strlen(bad_ddls[i].ddl), NULL), code);
    }
}

/* ClickHouse 26.7 takes all of these: nothing of them is refused here. */
static void expressions_that_clickhouse_takes(void **state)
{
    (void)state;
    static const char *const columns =
        "k UInt8, d Date, v Nullable(UInt8), m UInt8 MATERIALIZED k, al UInt8 ALIAS k, e UInt8 EPHEMERAL";
    static const char *const tails[] = {
        "ORDER BY arrayMap(x -> x + k, [1])",
        "ORDER BY k + 1",
        "ORDER BY CAST(k AS UInt64)",
        "ORDER BY (k::UInt64)",
        "ORDER BY v.null",
        "ORDER BY _part",
        "ORDER BY EXTRACT(YEAR FROM toDate(k))",
        "ORDER BY tuple()",
        "ORDER BY ()",
        "ORDER BY k DESC",
        "ORDER BY (k DESC, m)",
        "ORDER BY (k, m,)",
        "ORDER BY if(k > 1, 1, 2)",
        "ORDER BY CASE WHEN k THEN 1 ELSE 2 END",
        "ORDER BY m",
        "ORDER BY `k`",
        "ORDER BY k TTL d + INTERVAL k DAY",
        "ORDER BY k TTL d + toIntervalDay(k)",
        "ORDER BY k TTL d + INTERVAL 1 DAY RECOMPRESS CODEC(ZSTD), d + INTERVAL 2 DAY DELETE",
        "ORDER BY k TTL d + INTERVAL 1 DAY DELETE WHERE k IN (1, 2) AND NOT m = 3",
        "ORDER BY k TTL d + INTERVAL 1 DAY TO VOLUME 'slow', d + INTERVAL 2 MONTH TO DISK 'x'",
        "ORDER BY k TTL d + INTERVAL 1 DAY GROUP BY k SET m = max(m)",
        "ORDER BY k PARTITION BY toYYYYMM(d) SAMPLE BY k"};
    static const char *const defaults[] = {"UInt8 DEFAULT 300",
                                           "UInt8 DEFAULT -1",
                                           "UInt8 DEFAULT '12'",
                                           "UInt8 DEFAULT NULL",
                                           "UInt8 DEFAULT 1.5",
                                           "UInt8 DEFAULT true",
                                           "UInt8 DEFAULT 1e2",
                                           "Int32 DEFAULT 99999999999",
                                           "Float64 DEFAULT 'nan'",
                                           "Float64 DEFAULT '1e5'",
                                           "Decimal(9,2) DEFAULT 1.239",
                                           "Decimal(9,2) DEFAULT '1e3'",
                                           "Date DEFAULT '2020-1-1'",
                                           "Date DEFAULT 0",
                                           "Date DEFAULT '2020-13-45'",
                                           "DateTime DEFAULT '2020-01-01T00:00:00Z'",
                                           "DateTime DEFAULT now",
                                           "DateTime64(3) DEFAULT '1700000000.5'",
                                           "IPv4 DEFAULT '1.2.3.4'",
                                           "Enum8('a'=1,'b'=2) DEFAULT 1",
                                           "Bool DEFAULT 'yes'",
                                           "Bool DEFAULT 2",
                                           "String DEFAULT 5",
                                           "String DEFAULT NULL",
                                           "Array(UInt8) DEFAULT [300]",
                                           "LowCardinality(String) DEFAULT 5",
                                           "Nullable(UInt8) DEFAULT 'abc'"};
    char ddl[512];
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        snprintf(ddl, sizeof ddl, "CREATE TABLE t (%s) %s", columns, tails[i]);
        cp_table_free(table_of(ddl));
    }
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        snprintf(ddl, sizeof ddl, "CREATE TABLE t (k UInt8, v %s) ORDER BY k", defaults[i]);
        cp_table_free(table_of(ddl));
    }
}

static void the_whole_grammar(void **state)
{
    (void)state;
    cp_table *t = table_of(
        "\xef\xbb\xbf-- leading comment\n# another\n"
        "create table if not exists `my db`.\"my `table`\" uuid '11111111-2222-3333-4444-555555555555'\n"
        "on cluster '{cluster}' (\n"
        "  ts DateTime64(6,'UTC') default now64(6) comment 'it''s \\'when\\'' codec(DoubleDelta, ZSTD(3)) /* "
        "here */,\n"
        "  `b\\`c` String ttl ts + interval 1 day collate utf8,\n"
        "  n Int32 NULL default 5 settings (min_compress_block_size = 1),\n"
        "  k UInt64 not null primary key,\n"
        "  m UInt8 materialized k % 7, al String alias toString(k), ep UInt8 ephemeral, ep2 ephemeral 5,\n"
        "  arr Array(LowCardinality(Nullable(String))) default ['a', 'b)'],\n"
        "  index i1 (k, n) type minmax granularity 4,\n"
        "  constraint c1 check k > 3,\n"
        "  projection p1 (select k, sum(n) group by k),\n"
        ")\n"
        "comment 'a ; in it' settings index_granularity = 8192, storage_policy = 'x;y', neg = -1\n"
        "order by (k, ts) engine = ReplicatedMergeTree('/x/{shard}', '{replica}', ts)\n"
        "ttl ts + interval 1 day to disk 'x', ts + interval 3 day delete where k > 1\n"
        "partition by (toDate(ts), k % 4) sample by k;\n ; -- the end");
    assert_string_equal(t->database, "my db");
    assert_string_equal(t->name, "my `table`");
    assert_int_equal(t->column_count, 5);
    assert_string_equal(t->columns[0].default_expr, "now64(6)");
    assert_string_equal(t->columns[0].comment, "it's 'when'");
    assert_string_equal(t->columns[0].codec, "DoubleDelta, ZSTD(3)");
    assert_string_equal(t->columns[1].name, "b`c");
    assert_string_equal(t->columns[2].type.text, "Nullable(Int32)");
    assert_string_equal(t->columns[4].default_expr, "['a', 'b)']");
    assert_string_equal(t->comment, "a ; in it");
    assert_int_equal(t->setting_count, 3);
    assert_string_equal(t->settings[1].name, "storage_policy");
    assert_string_equal(t->settings[1].value, "'x;y'");
    assert_string_equal(t->settings[2].value, "-1");
    assert_string_equal(t->order_by, "(k, ts)");
    assert_string_equal(t->engine, "ReplicatedMergeTree('/x/{shard}', '{replica}', ts)");
    assert_string_equal(t->ttl, "ts + interval 1 day to disk 'x', ts + interval 3 day delete where k > 1");
    assert_string_equal(t->partition_by, "(toDate(ts), k % 4)");
    assert_string_equal(t->primary_key, "k");
    assert_string_equal(t->sample_by, "k");
    assert_memory_equal(t->create, "create table if not exists", 26);
    assert_string_equal(t->create + strlen(t->create) - 11, "sample by k");
    cp_table_free(t);
}

static void a_bare_table(void **state)
{
    (void)state;
    cp_table *t = table_of("CREATE TABLE t (comment String, ttl DateTime DEFAULT ttl, `index` Int8)");
    assert_null(t->database);
    assert_string_equal(t->engine, "MergeTree");
    assert_null(t->order_by);
    assert_null(t->comment);
    assert_string_equal(t->columns[0].name, "comment");
    assert_string_equal(t->columns[1].default_expr, "ttl");
    cp_table_free(t);
    t = table_of("CREATE TABLE t (a Int8) ENGINE MergeTree() PRIMARY KEY (a) ORDER BY a");
    assert_string_equal(t->engine, "MergeTree()");
    cp_table_free(t);
}

/* The spellings that ClickHouse 26.7 shows in system.columns. */
static void types_as_system_columns_shows_them(void **state)
{
    (void)state;
    static const char *const types[][2] = {
        {"Enum('x','y')", "Enum8('x' = 1, 'y' = 2)"},
        {"Enum8('b'=5,'a'=-3)", "Enum8('a' = -3, 'b' = 5)"},
        {"Enum8('p' = 5, 'q')", "Enum8('p' = 5, 'q' = 6)"},
        {"Enum8('q', 'p' = 5)", "Enum8('q' = 1, 'p' = 5)"},
        {"Enum8('q' = 3, 'p', 'r')", "Enum8('q' = 3, 'p' = 4, 'r' = 5)"},
        {"Enum8('it''s\\n\\tx\\\\' = 1, 'ü' = 2)", "Enum8('it\\'s\\n\\tx\\\\' = 1, 'ü' = 2)"},
        {"enum('x' = 1000)", "Enum16('x' = 1000)"},
        {"DateTime64", "DateTime64(3)"},
        {"datetime64(6,'UTC')", "DateTime64(6, 'UTC')"},
        {"DateTime(3)", "DateTime64(3)"},
        {"TIMESTAMP(6, 'UTC')", "DateTime64(6, 'UTC')"},
        {"DateTime32('UTC')", "DateTime('UTC')"},
        {"datetime('Europe/Berlin')", "DateTime('Europe/Berlin')"},
        {"Decimal32(4)", "Decimal(9, 4)"},
        {"Decimal64(4)", "Decimal(18, 4)"},
        {"Decimal128(4)", "Decimal(38, 4)"},
        {"Decimal(7)", "Decimal(7, 0)"},
        {"DEC", "Decimal(10, 0)"},
        {"numeric(10,2)", "Decimal(10, 2)"},
        {"Int32 NULL", "Nullable(Int32)"},
        {"VARCHAR(20) NOT NULL", "String"},
        {"INT UNSIGNED", "UInt32"},
        {"INT(11) UNSIGNED", "UInt32"},
        {"smallint signed", "Int16"},
        {"INT1 UNSIGNED", "UInt8"},
        {"bigint", "Int64"},
        {"unsigned", "UInt64"},
        {"DOUBLE PRECISION", "Float64"},
        {"double(10, 2)", "Float64"},
        {"float", "Float32"},
        {"BINARY(8)", "FixedString(8)"},
        {"binary varying(8)", "String"},
        {"character large object", "String"},
        {"NATIONAL CHAR", "String"},
        {"bool", "Bool"},
        {"BOOLEAN", "Bool"},
        {"date32", "Date32"},
        {"INET6", "IPv6"},
        {"Array(LowCardinality(Nullable(String)))", "Array(LowCardinality(Nullable(String)))"},
        {"Array(Nullable(UUID))", "Array(Nullable(UUID))"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char ddl[256];
        snprintf(ddl, sizeof ddl, "CREATE TABLE t (a %s)", types[i][0]);
        cp_table *t = table_of(ddl);
        assert_string_equal(t->columns[0].type.text, types[i][1]);
        cp_table_free(t);
    }
}

/* Statement over every limit: an error, no crash. */
static void limits_hold(void **state)
{
    (void)state;
    static char ddl[CP_MAX_DDL + 2];
    cp_table *table = NULL;
    cp_error err;
    size_t used = (size_t)snprintf(ddl, sizeof ddl, "CREATE TABLE t (");
    for (int i = 0; i <= CP_MAX_COLUMNS; i++)
        used += (size_t)snprintf(ddl + used, sizeof ddl - used, "c%d Int8,", i);
    assert_int_equal(cp_table_parse(&table, "t.sql", ddl, used, &err), CP_E_TOO_BIG);
    assert_non_null(strstr(err.text, "more than 512 columns"));

    used = (size_t)snprintf(ddl, sizeof ddl, "CREATE TABLE t (a Enum16(");
    for (int i = 0; i <= CP_MAX_ENUM_ITEMS; i++)
        used += (size_t)snprintf(ddl + used, sizeof ddl - used, "'n%d',", i);
    assert_int_equal(cp_table_parse(&table, "t.sql", ddl, used, &err), CP_E_TOO_BIG);

    used = (size_t)snprintf(ddl, sizeof ddl, "CREATE TABLE t (a Enum16(");
    for (int i = 0; i < 200; i++)
        used += (size_t)snprintf(ddl + used, sizeof ddl - used, "'a_rather_long_name_%d',", i);
    ddl[used - 1] = ')';
    assert_int_equal(cp_table_parse(&table, "t.sql", ddl, used, &err), CP_E_TOO_BIG);
    assert_non_null(strstr(err.text, "type's text"));

    used = (size_t)snprintf(ddl, sizeof ddl, "CREATE TABLE t (a Int8 DEFAULT ");
    memset(ddl + used, '(', sizeof ddl - used);
    assert_int_equal(cp_table_parse(&table, "t.sql", ddl, CP_MAX_DDL, &err), CP_E_TOO_BIG);
    assert_int_equal(cp_table_parse(&table, "t.sql", ddl, CP_MAX_DDL + 1, &err), CP_E_TOO_BIG);
    assert_non_null(strstr(err.text, "262145 bytes"));

    used = (size_t)snprintf(ddl, sizeof ddl, "CREATE TABLE t (");
    for (int i = 0; i < 400; i++)
        used += (size_t)snprintf(ddl + used, sizeof ddl - used, "c%d FixedString(4096),", i);
    ddl[used - 1] = ')';
    assert_int_equal(cp_table_parse(&table, "t.sql", ddl, used, &err), CP_E_TOO_BIG);
    assert_non_null(strstr(err.text, "1638400 bytes"));

    assert_int_equal(cp_table_parse(&table, "t.sql", "CREATE TABLE t\0(a Int8)", 23, &err), CP_E_PARSE);
    assert_non_null(strstr(err.text, "t.sql:1:15: a NUL byte"));
}

static void files_that_are_none(void **state)
{
    (void)state;
    cp_table *table = NULL;
    cp_error err;
    assert_int_equal(cp_table_load(&table, "/nonexistent/x.sql", &err), CP_E_ABSENT);
    assert_non_null(strstr(err.text, "/nonexistent/x.sql"));
    assert_int_equal(cp_table_load(&table, "/dev/zero", &err), CP_E_IO);
    assert_int_equal(cp_table_load(&table, "/", &err), CP_E_IO);
    assert_null(table);
}

static void names_found_and_guessed(void **state)
{
    (void)state;
    cp_table *t = table_load("schema/ddl/quotes.sql");
    assert_int_equal(cp_table_find(t, "bid_px", 6), column_of(t, "bid_px"));
    assert_int_equal(cp_table_find(t, "bid_px_", 7), -1);
    assert_int_equal(cp_table_find(t, "bid_p", 5), -1);
    assert_int_equal(cp_table_find(t, "bid\0px", 6), -1);
    assert_int_equal(cp_table_find(t, "", 0), -1);
    assert_string_equal(cp_table_suggest(t, "bid_xp", 6), "bid_px");
    assert_string_equal(cp_table_suggest(t, "SYMBL", 5), "symbol");
    assert_null(cp_table_suggest(t, "completely_else", 15));
    assert_null(cp_table_suggest(t, "_cp_slo", 7)); /* provenance is not the user's */
    cp_table_free(t);
}

static void compared(const char *a, const char *b, const char *text)
{
    cp_table *left = table_of(a);
    cp_table *right = table_of(b);
    cp_error err = {0, ""};
    const int code = cp_table_compare(left, "the program", right, "the region", &err);
    assert_int_equal(code, text ? CP_E_SCHEMA : CP_OK);
    if (text)
        assert_string_equal(err.text, text);
    assert_int_equal(left->schema_hash == right->schema_hash, text == NULL);
    cp_table_free(left);
    cp_table_free(right);
}

static void differences_are_named(void **state)
{
    (void)state;
    compared("CREATE TABLE t (a Int8, _cp_slot UInt16, b Int8)",
             "CREATE TABLE x.t (a Int8, b TINYINT COMMENT 'c')", NULL);
    compared("CREATE TABLE t (a Int8)", "CREATE TABLE u (a Int8)",
             "the program has table 't', the region has table 'u'");
    compared("CREATE TABLE t (a Int8)", "CREATE TABLE t (a Int16)",
             "table 't': column 'a' is Int8 for the program, but Int16 for the region");
    compared("CREATE TABLE t (a Int8, b Int8)", "CREATE TABLE t (a Int8)",
             "table 't': column 'b' (Int8) is known to the program, but not to the region");
    compared("CREATE TABLE t (a Int8)", "CREATE TABLE t (x String, a Int8)",
             "table 't': column 'x' (String) is known to the region, but not to the program");
    compared("CREATE TABLE t (a Int8, b Int8)", "CREATE TABLE t (b Int8, a Int8)",
             "table 't': the columns' order differs: the program has 'a' where the region has 'b'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_statements_say_where_and_what),
        cmocka_unit_test(expressions_that_clickhouse_takes),
        cmocka_unit_test(the_whole_grammar),
        cmocka_unit_test(a_bare_table),
        cmocka_unit_test(types_as_system_columns_shows_them),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(names_found_and_guessed),
        cmocka_unit_test(differences_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
