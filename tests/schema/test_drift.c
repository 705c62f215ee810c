/* Declared against server's: what counts as equal, which changes of a type lose nothing, and what a cluster is told. */
#include "schema/drift.h"

#include <glob.h>

#include "schema/cluster.h"
#include "schema/expression.h"
#include "schema/widen.h"
#include "tests/schema/fixture.h"

static void expressions(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } cases[] = {
        {"ts", "(ts)", true},
        {"(ts,asset)", "( ts /* and */ , `asset` )", true},
        {"(a), (b)", "a, b", false},
        {"((a + b))", "a+b", true},
        {"tuple()", NULL, true},
        {"", NULL, true},
        {"toDateTime(ts) + INTERVAL 90 DAY", "toDateTime(ts) + toIntervalDay(90)", true},
        {"ts + interval 1 week delete", "ts + toIntervalWeek(1)", true},
        {"ts + INTERVAL 90 DAY", "ts + toIntervalDay(91)", false},
        {"ts + INTERVAL 90 DAY DELETE WHERE n > 3", "ts + toIntervalDay(90) WHERE n > 3", true},
        {"a and b", "a AND b", true},
        {"'it''s'", "'it\\'s'", true},
        {"'a'", "'A'", false},
        {"now()", "NOW()", false},
        {"`2nd`", "\"2nd\"", true},
        {"f('(', a)", "f('(', a)", true},
        {"(a) + (b)", "a) + (b", false},
        {"'unterminated", "'unterminated", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cp_expression_equal(cases[i].a, cases[i].b) != cases[i].equal ||
            cp_expression_equal(cases[i].b, cases[i].a) != cases[i].equal)
            fail_msg("%s against %s", cases[i].a, cases[i].b ? cases[i].b : "nothing");
    }
    assert_true(cp_expression_names("(symbol, toDate(`ts`))", "ts"));
    assert_false(cp_expression_names("(symbol, toDate(ts))", "date"));
    assert_false(cp_expression_names(NULL, "ts"));
}

static void codecs(void **state)
{
    (void)state;
    assert_true(cp_default_equal("'spot'", "CAST('spot' AS LowCardinality(String))"));
    assert_true(cp_default_equal("5", "CAST(5, 'UInt8')"));
    assert_true(cp_default_equal(NULL, NULL));
    assert_false(cp_default_equal(NULL, "CAST(5, 'UInt8')"));
    assert_false(cp_default_equal("5", "CAST(55, 'UInt8')"));
    assert_false(cp_default_equal("5", "CAST(5 + 1, 'UInt8')"));
    assert_true(cp_codec_equal("Delta, ZSTD(1)", "Delta(8), ZSTD(1)"));
    assert_true(cp_codec_equal("DoubleDelta,LZ4", "DoubleDelta(8), LZ4"));
    assert_true(cp_codec_equal(NULL, NULL));
    assert_false(cp_codec_equal("Delta(4), ZSTD(1)", "Delta(8), ZSTD(1)"));
    assert_false(cp_codec_equal("ZSTD(1)", "ZSTD(3)"));
    assert_false(cp_codec_equal("ZSTD(1)", NULL));
    assert_false(cp_codec_equal("Delta", "Delta(8), ZSTD(1)"));
    assert_false(cp_codec_equal("Delta", "DoubleDelta(8)"));
}

static void ttls(void **state)
{
    uint64_t seconds = 0;
    (void)state;
    char *front = cp_ttl_split("toDateTime(ts) + INTERVAL 90 DAY DELETE", &seconds);
    assert_string_equal(front, "toDateTime ( ts ) ");
    assert_int_equal(seconds, 90 * 86400);
    free(front);
    front = cp_ttl_split("ts + toIntervalYear(7)", &seconds);
    assert_int_equal(seconds, 7 * 365 * 86400);
    free(front);
    assert_null(cp_ttl_split("ts + INTERVAL 1 DAY, ts + INTERVAL 2 DAY TO DISK 'cold'", &seconds));
    assert_null(cp_ttl_split("ts", &seconds));
    assert_null(cp_ttl_split(NULL, &seconds));
}

static void types(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        bool loses;
    } cases[] = {
        {"UInt8", "UInt16", false},
        {"UInt8", "Int16", false},
        {"UInt16", "Int16", true},
        {"Int8", "UInt64", true},
        {"UInt64", "UInt8", true},
        {"Float32", "Float64", false},
        {"Float64", "Float32", true},
        {"Int64", "Float64", true},
        {"String", "LowCardinality(String)", false},
        {"LowCardinality(String)", "String", false},
        {"String", "Nullable(String)", false},
        {"Nullable(String)", "String", true},
        {"String", "FixedString(9)", true},
        {"FixedString(4)", "FixedString(8)", false},
        {"FixedString(8)", "FixedString(4)", true},
        {"Date", "Date32", false},
        {"Date32", "Date", true},
        {"DateTime", "DateTime64(3)", false},
        {"DateTime64(3)", "DateTime", true},
        {"DateTime64(3, 'UTC')", "DateTime64(6, 'UTC')", false},
        {"DateTime64(6)", "DateTime64(9)", true},
        {"DateTime64(9)", "DateTime64(6)", true},
        {"DateTime64(3, 'UTC')", "DateTime64(3)", false},
        {"Decimal(9, 2)", "Decimal(18, 4)", false},
        {"Decimal(9, 2)", "Decimal(9, 4)", true},
        {"Decimal(9, 4)", "Decimal(18, 2)", true},
        {"Enum8('a' = 1)", "Enum8('a' = 1, 'b' = 2)", false},
        {"Enum8('a' = 1)", "Enum16('a' = 1)", false},
        {"Enum8('a' = 1)", "Enum8('a' = 2)", true},
        {"Enum8('a' = 1, 'b' = 2)", "Enum8('a' = 1)", true},
        {"Enum16('a' = 1)", "Enum8('a' = 1)", true},
        {"UUID", "String", true},
        {"Array(UInt8)", "Array(UInt16)", false},
        {"Array(UInt8)", "UInt8", true},
        {"Bool", "UInt8", false},
        {"UInt8", "Bool", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char ddl[256];
        snprintf(ddl, sizeof ddl, "CREATE TABLE t (a %s, b %s)", cases[i].from, cases[i].to);
        cp_table *table = table_of(ddl);
        const char *loss = cp_type_loss(&table->columns[0].type, &table->columns[1].type);
        if ((loss != NULL) != cases[i].loses)
            fail_msg("%s to %s: %s", cases[i].from, cases[i].to, loss ? loss : "loses nothing");
        cp_table_free(table);
    }
}

static const char ddl[] =
    "CREATE TABLE IF NOT EXISTS old.trades ON CLUSTER x (ts DateTime64(9, 'UTC'), `the symbol` "
    "String CODEC(ZSTD(1)), INDEX i ts TYPE minmax /* ENGINE here */)\n"
    "ENGINE = ReplacingMergeTree(ts) ORDER BY (ts, `the symbol`) "
    "SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000 COMMENT "
    "'ENGINE = none'";

static void cluster_texts(void **state)
{
    (void)state;
    cp_table *table = table_of(ddl);
    char *local = cp_cluster_create(table, "market", "three `shards`");
    char *front = cp_cluster_distributed(table, "market", "three `shards`");
    char *plain = cp_cluster_create(table, "market", NULL);
    assert_string_equal(
        local,
        "CREATE TABLE IF NOT EXISTS `market`.`trades_local` ON CLUSTER `three \\`shards\\``\n(ts "
        "DateTime64(9, "
        "'UTC'), `the symbol` String CODEC(ZSTD(1)), INDEX i ts TYPE minmax /* ENGINE here */)\nENGINE = "
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/market/trades_local', '{replica}', ts) "
        "ORDER BY "
        "(ts, `the symbol`) SETTINGS index_granularity = 1024, replicated_deduplication_window = 10000 "
        "COMMENT "
        "'ENGINE = none'");
    assert_string_equal(front,
                        "CREATE TABLE IF NOT EXISTS `market`.`trades` ON CLUSTER `three \\`shards\\`` AS "
                        "`market`.`trades_local`\nENGINE = Distributed('three `shards`', 'market', "
                        "'trades_local', cityHash64(`the symbol`))");
    assert_memory_equal(plain, "CREATE TABLE IF NOT EXISTS `market`.`trades`\n(ts ", 49);
    assert_non_null(strstr(plain, "non_replicated_deduplication_window = 10000"));
    cp_table *again = table_of(local);
    assert_string_equal(again->name, "trades_local");
    assert_string_equal(again->database, "market");
    free(local);
    free(front);
    free(plain);
    cp_table_free(again);
    cp_table_free(table);
}

/* The server's default, which cp_table_parse fills in, is replicated like any other. */
static void no_engine_in_a_cluster(void **state)
{
    (void)state;
    cp_table *table = table_of("CREATE TABLE t (a Int64 DEFAULT (1), b String) ORDER BY (a, b)");
    char *local = cp_cluster_create(table, "d", "c");
    char *plain = cp_cluster_create(table, "d", NULL);
    assert_string_equal(
        local,
        "CREATE TABLE IF NOT EXISTS `d`.`t_local` ON CLUSTER `c`\n(a Int64 DEFAULT (1), b String)\nENGINE = "
        "ReplicatedMergeTree('/clickhouse/tables/{shard}/d/t_local', '{replica}') ORDER BY (a, b)");
    assert_null(strstr(plain, "ENGINE"));
    free(local);
    free(plain);
    cp_table_free(table);
}

/* Every shipped table has a replicated form that parses, with the same rows, and a shard key among its columns. */
static void shipped_tables_in_a_cluster(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("schema/ddl/*.sql", 0, NULL, &found), 0);
    assert_int_equal(glob("schema/ddl/*/*.sql", GLOB_APPEND, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        cp_table *table = table_load(found.gl_pathv[i]);
        char *local = cp_cluster_create(table, "d", "c");
        char *key = cp_cluster_shard_key(table);
        cp_table *parsed = table_of(local);
        assert_memory_equal(parsed->engine, "ReplicatedMergeTree('/clickhouse/tables/{shard}/d/",
                            strlen("ReplicatedMergeTree('/clickhouse/tables/{shard}/d/"));
        assert_int_equal(parsed->row_size, table->row_size);
        assert_int_equal(parsed->column_count, table->column_count);
        bool among = false;
        for (uint32_t c = 0; c < table->column_count; c++)
            among = among || cp_expression_names(key, table->columns[c].name);
        assert_true(among);
        cp_drifts drifts = {0};
        const cp_drift_target target = {"d", "c", true};
        cp_drift_table(&drifts, &target, table, parsed);
        assert_int_equal(drifts.count, 0);
        cp_drifts_clear(&drifts);
        cp_table_free(parsed);
        cp_table_free(table);
        free(local);
        free(key);
    }
    globfree(&found);
}

/* In a cluster a column goes to both tables; the statements name the cluster. What the table in front has otherwise is
 * closed, as it holds nothing, but for its engine. */
static void a_column_in_a_cluster(void **state)
{
    (void)state;
    cp_table *declared = table_of(
        "CREATE TABLE t (a UInt8, b String DEFAULT 'x' CODEC(ZSTD(1))) ENGINE = MergeTree ORDER BY a");
    cp_table *server =
        table_of("CREATE TABLE d.t_local (a UInt8) ENGINE = ReplicatedMergeTree('/p', 'r') ORDER BY a");
    cp_table *front = table_of("CREATE TABLE d.t (`x` Int8, `a` UInt16) ENGINE = Distributed('c', 'd', "
                               "'t_local', cityHash64(a))");
    cp_table *other = table_of("CREATE TABLE d.t (`a` UInt8, b String DEFAULT 'x') ENGINE = Distributed('c', "
                               "'d', 't_local', rand())");
    const cp_drift_target target = {"d", "c", true};
    cp_drifts drifts = {0};
    cp_drift_table(&drifts, &target, declared, server);
    assert_int_equal(drifts.count, 1);
    assert_string_equal(drifts.items[0].object, "t_local");
    assert_string_equal(drifts.items[0].statement,
                        "ALTER TABLE `d`.`t_local` ON CLUSTER `c` ADD COLUMN IF NOT EXISTS `b` "
                        "String DEFAULT 'x' CODEC(ZSTD(1)) AFTER `a`");
    cp_drift_table(&drifts, &target, declared, server); /* another server of the same cluster */
    cp_drifts_unify(&drifts);
    assert_int_equal(drifts.count, 1);
    cp_drift_front(&drifts, &target, declared, front);
    static const char *const statements[] = {
        "ALTER TABLE `d`.`t` ON CLUSTER `c` MODIFY COLUMN `a` UInt8",
        "ALTER TABLE `d`.`t` ON CLUSTER `c` ADD COLUMN IF NOT EXISTS `b` String DEFAULT 'x' AFTER `a`",
        "ALTER TABLE `d`.`t` ON CLUSTER `c` DROP COLUMN IF EXISTS `x`"};
    assert_int_equal(drifts.count, 4);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(drifts.items[1 + i].statement, statements[i]);
    cp_drifts_cut(&drifts, 0);
    cp_drift_front(&drifts, &target, declared, other);
    assert_int_equal(drifts.count, 1);
    assert_string_equal(drifts.items[0].what, "engine");
    assert_int_equal(cp_drifts_refused(&drifts), 1);
    cp_drifts_clear(&drifts);
    cp_table_free(declared);
    cp_table_free(server);
    cp_table_free(front);
    cp_table_free(other);
}

/* Columns in any other order are moved, as few as it takes, and the moves make the declared order. */
static void the_order_of_columns(void **state)
{
    (void)state;
    uint64_t random = random_start();
    for (int round = 0; round < 500; round++) {
        char order[12];
        const size_t count = 1 + random_next(&random) % sizeof order;
        char sql[2][256] = {"CREATE TABLE t (", "CREATE TABLE t ("};
        for (size_t i = 0; i < count; i++) {
            order[i] = (char)('a' + i);
            snprintf(sql[0] + strlen(sql[0]), 32, "%s%c UInt8", i ? ", " : "", order[i]);
        }
        for (size_t i = count; i-- > 1;) {
            const size_t k = random_next(&random) % (i + 1);
            const char other = order[k];
            order[k] = order[i];
            order[i] = other;
        }
        for (size_t i = 0; i < count; i++)
            snprintf(sql[1] + strlen(sql[1]), 32, "%s%c UInt8", i ? ", " : "", order[i]);
        for (size_t i = 0; i < 2; i++)
            strcat(sql[i], ") ENGINE = MergeTree ORDER BY tuple()");
        cp_table *declared = table_of(sql[0]);
        cp_table *server = table_of(sql[1]);
        const cp_drift_target target = {"d", NULL, false};
        cp_drifts drifts = {0};
        cp_drift_table(&drifts, &target, declared, server);
        assert_true(drifts.count < count);
        for (uint32_t i = 0; i < drifts.count; i++) {
            assert_string_equal(drifts.items[i].what, "place of column");
            const char column = *drifts.items[i].column;
            char *from = memchr(order, column, count);
            memmove(from, from + 1, (size_t)(order + count - from - 1));
            const char *place = strstr(drifts.items[i].statement, "UInt8 AFTER `");
            char *to = place ? (char *)memchr(order, place[strlen("UInt8 AFTER `")], count - 1) + 1 : order;
            memmove(to + 1, to, (size_t)(order + count - 1 - to));
            *to = column;
        }
        for (size_t i = 0; i < count; i++)
            assert_int_equal(order[i], 'a' + i);
        cp_drifts_clear(&drifts);
        cp_table_free(declared);
        cp_table_free(server);
    }
}

static void views(void **state)
{
    static const char text[] =
        "-- about\nCREATE VIEW IF NOT EXISTS v AS\nWITH x AS (SELECT 1) SELECT a FROM t JOIN `u v` "
        "ON 1 JOIN (SELECT 1 FROM w) AS s ON 1, numbers(3) -- end\n;";
    static const char *const bad[] = {"CREATE TABLE v (a Int8)",
                                      "CREATE VIEW v",
                                      "CREATE VIEW d.v AS SELECT 1",
                                      "CREATE VIEW v AS INSERT",
                                      "CREATE VIEW v AS SELECT (1",
                                      "CREATE VIEW v AS SELECT 1; SELECT 2",
                                      "",
                                      "CREATE VIEW IF v AS SELECT 1",
                                      "CREATE VIEW v AS SELECT 'x"};
    cp_view *view = NULL;
    cp_error err = {0};
    (void)state;
    assert_int_equal(cp_view_parse(&view, "v.sql", text, strlen(text), &err), CP_OK);
    assert_string_equal(view->name, "v");
    assert_int_equal(view->read_count, 3);
    assert_string_equal(view->reads[1], "u v");
    assert_string_equal(view->reads[2], "w");
    char *statement = cp_view_statement(view, "d", "c", true);
    assert_memory_equal(statement, "CREATE OR REPLACE VIEW `d`.`v` ON CLUSTER `c` AS\nWITH x", 51);
    cp_drifts drifts = {0};
    const cp_drift_target target = {"d", NULL, false};
    cp_drift_view(&drifts, &target, view, statement);
    assert_int_equal(drifts.count, 0);
    cp_drift_view(&drifts, &target, view, "CREATE VIEW d.v AS SELECT 1");
    assert_string_equal(drifts.items[0].what, "view differs");
    cp_drifts_clear(&drifts);
    free(statement);
    cp_view_free(view);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(cp_view_parse(&view, "v.sql", bad[i], strlen(bad[i]), &err) < 0);
        assert_null(view);
        assert_memory_equal(err.text, "v.sql:1:", 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions),
        cmocka_unit_test(codecs),
        cmocka_unit_test(ttls),
        cmocka_unit_test(types),
        cmocka_unit_test(cluster_texts),
        cmocka_unit_test(no_engine_in_a_cluster),
        cmocka_unit_test(shipped_tables_in_a_cluster),
        cmocka_unit_test(views),
        cmocka_unit_test(a_column_in_a_cluster),
        cmocka_unit_test(the_order_of_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
