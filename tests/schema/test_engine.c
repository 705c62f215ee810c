/* The real ClickHouse as the judge: the shipped tables and every type are created in the embedded engine, and
 * system.columns must show the names and types of the descriptor; the engine's own texts of dates, times and floats must
 * read back as the same values. Skipped where the engine's library is not. */
#include <glob.h>
#include <unistd.h>

#include "embedded/engine.h"
#include "schema/cluster.h"
#include "schema/drift.h"
#include "schema/expression.h"
#include "schema/sql_write.h"
#include "tests/schema/fixture.h"

static cp_engine *engine;
static cp_engine_conn *conn;
static char directory[] = "/tmp/coldpath-schema-XXXXXX";

static const char *library(void)
{
    const char *path = getenv("COLDPATH_CHDB_LIB");
    return path ? path : CP_BUILD_DIR "/npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";
}

/* Runs a statement; its result as TSVRaw, malloc'd. */
static char *engine_ask(const char *text)
{
    const cp_engine_sql sql = {.text = text, .length = strlen(text), .format = "TSVRaw"};
    cp_engine_chunk chunk = {0};
    cp_engine_stats stats = {0};
    cp_fault fault = {0, NULL};
    if (cp_engine_query(conn, &sql, &chunk, &stats, &fault) != 0)
        fail_msg("%.300s: %s", text, fault.text);
    char *copy = malloc(chunk.length + 1);
    assert_non_null(copy);
    if (chunk.length)
        memcpy(copy, chunk.data, chunk.length);
    copy[chunk.length] = '\0';
    cp_engine_chunk_free(conn, &chunk);
    return copy;
}

static void engine_run(const char *text)
{
    free(engine_ask(text));
}

/* Creates the table as its DDL says, and compares. Columns of the server alone must not be among them. */
static void table_agrees(const cp_table *table)
{
    char query[512];
    engine_run("DROP DATABASE IF EXISTS judge");
    engine_run("CREATE DATABASE judge");
    engine_run("USE judge");
    engine_run(table->create);
    snprintf(query, sizeof query,
             "SELECT name, type FROM system.columns WHERE database = 'judge' AND table = '%s' AND "
             "default_kind IN ('', "
             "'DEFAULT') ORDER BY position",
             table->name);
    char *shown = engine_ask(query);
    char *mine = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&mine, &len);
    for (uint32_t i = 0; i < table->column_count; i++)
        fprintf(out, "%s\t%s\n", table->columns[i].name, table->columns[i].type.text);
    fclose(out);
    assert_string_equal(mine, shown);
    free(mine);
    free(shown);
}

static void shipped_tables_agree(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("schema/ddl/*.sql", 0, NULL, &found), 0);
    assert_int_equal(glob("schema/ddl/*/*.sql", GLOB_APPEND, NULL, &found), 0);
    assert_true(found.gl_pathc >= 33);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        cp_table *table = table_load(found.gl_pathv[i]);
        assert_null(table->database);
        table_agrees(table);
        char query[256];
        snprintf(query, sizeof query,
                 "SELECT engine_full LIKE '%%non_replicated_deduplication_window = 10000%%' FROM "
                 "system.tables WHERE database = 'judge' AND name = '%s'",
                 table->name);
        char *kept = engine_ask(query);
        assert_string_equal(kept, "1\n");
        free(kept);
        cp_table_free(table);
    }
    globfree(&found);
}

/* A statement as the engine writes it, having parsed it. */
static char *engine_format(const char *statement)
{
    char *query = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&query, &len);
    fputs("SELECT formatQuery(", out);
    cp_sql_write_text(out, statement);
    putc(')', out);
    fclose(out);
    char *text = engine_ask(query);
    free(query);
    return text;
}

/* What a cluster is told: the engine writes it back as the same. */
static void table_agrees_in_a_cluster(const cp_table *table)
{
    static const cp_drift_target target = {"d", "c", true};
    char *local = cp_cluster_create(table, "d", "c");
    char *front = cp_cluster_distributed(table, "d", "c");
    char *wanted = cp_cluster_engine(table, "d", "c");
    char *written = engine_format(local);
    cp_table *again = table_of(written);
    cp_drifts drifts = {0};
    cp_drift_table(&drifts, &target, table, again);
    assert_int_equal(drifts.count, 0);
    assert_string_equal(again->database, "d");
    assert_memory_equal(again->engine, "Replicated", strlen("Replicated"));
    free(written);
    written = engine_format(front);
    const char *held = strstr(written, "ENGINE = ");
    assert_non_null(strstr(written, " ON CLUSTER c AS d."));
    assert_non_null(held);
    assert_true(cp_expression_equal(held + strlen("ENGINE = "), wanted));
    cp_drifts_clear(&drifts);
    cp_table_free(again);
    free(written);
    free(wanted);
    free(front);
    free(local);
}

static void shipped_tables_in_a_cluster_agree(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("schema/ddl/*.sql", 0, NULL, &found), 0);
    assert_int_equal(glob("schema/ddl/*/*.sql", GLOB_APPEND, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        cp_table *table = table_load(found.gl_pathv[i]);
        table_agrees_in_a_cluster(table);
        cp_table_free(table);
    }
    globfree(&found);
}

static void every_type_agrees(void **state)
{
    (void)state;
    cp_table *table = table_load("tests/schema/every_type.sql");
    table_agrees(table);
    cp_table_free(table);
}

static void the_whole_grammar_agrees(void **state)
{
    (void)state;
    cp_table *table = table_of(
        "CREATE TABLE IF NOT EXISTS judge.`a ``table` (\n"
        "  ts DateTime64(6,'UTC') default now64(6) comment 'it''s \\'when\\'' codec(DoubleDelta, ZSTD(3)) /* "
        "here */,\n"
        "  `b\\`c` String ttl toDateTime(ts) + interval 1 day, n Int32 NULL default 5, k bigint unsigned not "
        "null,\n"
        "  e Enum('z', 'a'), e2 Enum8('b' = 5, 'a' = -3), e3 Enum8('q' = 3, 'p', 'r'), e4 "
        "Enum('it''s\\n\\tx\\\\' = 300),\n"
        "  d DEC, d2 Decimal32(4), d3 numeric(20), f DOUBLE PRECISION, g float(3), h binary(3), i "
        "timestamp(6),\n"
        "  m UInt8 materialized k % 7, al String alias toString(k), ep UInt8 ephemeral,\n"
        "  arr Array(LowCardinality(Nullable(String))) default ['a', 'b)'], t text(10), y year, bo boolean,\n"
        "  index i1 (k, n) type minmax granularity 4, constraint c1 check k > 3,\n"
        "  projection p1 (select k, sum(n) group by k),\n"
        ") engine MergeTree order by (k, ts) partition by toDate(ts) primary key k settings "
        "index_granularity = 1024,\n"
        "  non_replicated_deduplication_window = 7 comment 'x ; y'");
    table_agrees(table);
    cp_table_free(table);
}

/* Asks for lines "text<TAB>number", reads each text as the type and compares the bytes. Returns the lines. */
static unsigned texts_read_back(const char *type, const char *query)
{
    char ddl[128];
    _Alignas(8) uint8_t bytes[64];
    cp_row row;
    cp_error err = {0, ""};
    snprintf(ddl, sizeof ddl, "CREATE TABLE t (v %s)", type);
    cp_table *table = table_of(ddl);
    char *lines = engine_ask(query);
    unsigned count = 0;
    char *save = NULL;
    for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save), count++) {
        char *tab = strchr(line, '\t');
        assert_non_null(tab);
        const int64_t wanted = strtoll(tab + 1, NULL, 10);
        assert_int_equal(cp_row_begin(&row, table, bytes, sizeof bytes), CP_OK);
        if (cp_row_set_text(&row, 0, line, (size_t)(tab - line), &err) < 0)
            fail_msg("%s", err.text);
        if (memcmp(bytes, &wanted, table->columns[0].type.value_size) != 0)
            fail_msg("%s: '%s' is not what ClickHouse means by it", type, line);
    }
    free(lines);
    cp_table_free(table);
    return count;
}

static void every_day_reads_back(void **state)
{
    (void)state;
    assert_int_equal(
        texts_read_back("Date32", "SELECT toString(toDate32(toInt32(number - 25567))), number - 25567 FROM "
                                  "numbers(146097)"),
        146097);
    assert_int_equal(
        texts_read_back("Date", "SELECT toString(toDate(toUInt16(number))), number FROM numbers(65536)"),
        65536);
}

static void random_values_read_back(void **state)
{
    (void)state;
    char query[512];
    uint64_t random = random_start();
    const uint32_t salt = (uint32_t)random_next(&random);
    snprintf(query, sizeof query,
             "SELECT toString(toDateTime(toUInt32(cityHash64(number, %u)), 'UTC')), "
             "toUInt32(cityHash64(number, %u)) FROM numbers(20000)",
             salt, salt);
    assert_int_equal(texts_read_back("DateTime", query), 20000);
    snprintf(query, sizeof query,
             "SELECT toString(fromUnixTimestamp64Nano(n, 'UTC')), n FROM (SELECT toInt64(cityHash64(number, "
             "%u) %% "
             "11000000000000000000 - 2200000000000000000) AS n FROM numbers(20000)) WHERE n > "
             "-2208988800000000000",
             salt);
    assert_true(texts_read_back("DateTime64(9, 'UTC')", query) > 10000);
    snprintf(
        query, sizeof query,
        "SELECT toString(reinterpret(n, 'Decimal(18, 8)')), n FROM (SELECT toInt64(cityHash64(number, %u) %% "
        "1999999999999999999 - 999999999999999999) AS n FROM numbers(20000))",
        salt);
    assert_int_equal(texts_read_back("Decimal(18, 8)", query), 20000);
    snprintf(query, sizeof query,
             "SELECT toString(f), reinterpretAsUInt32(f) FROM (SELECT "
             "reinterpretAsFloat32(toUInt32(cityHash64(number, "
             "%u))) AS f FROM numbers(20000)) WHERE NOT isNaN(f)",
             salt);
    assert_true(texts_read_back("Float32", query) > 10000);
    snprintf(query, sizeof query,
             "SELECT toString(f), reinterpretAsInt64(f) FROM (SELECT reinterpretAsFloat64(cityHash64(number, "
             "%u)) AS f "
             "FROM numbers(20000)) WHERE NOT isNaN(f)",
             salt);
    assert_true(texts_read_back("Float64", query) > 10000);
    snprintf(query, sizeof query,
             "SELECT toString(IPv4NumToString(n)), n FROM (SELECT toUInt32(cityHash64(number, %u)) AS n FROM "
             "numbers(5000))",
             salt);
    assert_int_equal(texts_read_back("IPv4", query), 5000);
}

/* Times in the forms that other programs write: read with best effort, they are what parseDateTime64BestEffort says. */
static void best_effort_agrees(void **state)
{
    static const char *const texts[] = {"2026-06-11 10:00:00",
                                        "2026-06-11T10:00:00Z",
                                        "2026-06-11T10:00:00.123456789+02:00",
                                        "2026-06-11 10:00:00 +0530",
                                        "20260611T100000Z",
                                        "20260611",
                                        "20260611235959",
                                        "2026/06/11 10:00:00",
                                        "11 Jun 2026 10:00:00",
                                        "11 June 2026 10:00:00 GMT",
                                        "Jun 11 2026 10:00:00",
                                        "Thu, 11 Jun 2026 10:00:00 GMT",
                                        "11/06/2026 10:00:00",
                                        "Jun 11, 2026 05:00:00 PM",
                                        "1781172000",
                                        "1781172000.25",
                                        "1781172000123"};
    cp_error err = {0, ""};
    _Alignas(8) uint8_t bytes[8];
    cp_row row;
    (void)state;
    cp_table *table = table_of("CREATE TABLE t (v DateTime64(9, 'UTC'))");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char query[256];
        int64_t value;
        snprintf(query, sizeof query,
                 "SELECT toUnixTimestamp64Nano(parseDateTime64BestEffort('%s', 9, 'UTC'))", texts[i]);
        char *shown = engine_ask(query);
        assert_int_equal(cp_row_begin(&row, table, bytes, sizeof bytes), CP_OK);
        row.best_effort = true;
        if (cp_row_set_text(&row, 0, texts[i], strlen(texts[i]), &err) < 0)
            fail_msg("%s", err.text);
        memcpy(&value, bytes, sizeof value);
        if (value != strtoll(shown, NULL, 10))
            fail_msg("%s is %lld here, %s there", texts[i], (long long)value, shown);
        free(shown);
    }
    cp_table_free(table);
}

static int engine_start(void **state)
{
    (void)state;
    cp_error err = {0, ""};
    cp_fault fault = {0};
    if (!mkdtemp(directory))
        return -1;
    const cp_engine_options options = {
        .library = library(), .directory = directory, .max_statements = 2, .wait_seconds = 5};
    if (cp_engine_open(&options, &engine, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    return cp_engine_connect(engine, &conn, &fault) == 0 ? 0 : -1;
}

static int engine_stop(void **state)
{
    (void)state;
    cp_engine_disconnect(conn);
    cp_engine_close(engine);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_tables_agree), cmocka_unit_test(shipped_tables_in_a_cluster_agree),
        cmocka_unit_test(every_type_agrees),    cmocka_unit_test(the_whole_grammar_agrees),
        cmocka_unit_test(every_day_reads_back), cmocka_unit_test(random_values_read_back),
        cmocka_unit_test(best_effort_agrees),
    };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    puts("skipped: the engine cannot live in a process with a sanitizer (embedded/CMakeLists.txt)");
    return 77;
#endif
    if (access(library(), R_OK) != 0) {
        printf("skipped: no engine at %s; make it with cmake --build <build> --target chdb-engine\n",
               library());
        return 77;
    }
    const int failed = cmocka_run_group_tests(tests, engine_start, engine_stop);
    fflush(NULL);
    _exit(failed ? 1 : 0); /* the engine's destructors abort */
}
