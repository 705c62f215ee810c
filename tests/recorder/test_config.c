/* Loading: the minimal file, the example file, precedence of the sources, secrets, merge keys, printing. */
#include "recorder/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "config_fixture.h"
#include "recorder/config/key.h"

static char *with_schema(const char *text)
{
    static char joined[16384];
    snprintf(joined, sizeof joined, "%s%s", fixture_schema(), text);
    return joined;
}

static char *printed(const cp_config *config, bool origin, bool json)
{
    char *text = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&text, &len);
    assert_non_null(stream);
    cp_config_print(config, stream, origin, json);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void minimal_file_is_enough(void **state)
{
    (void)state;
    cp_config *config =
        fixture_load_good("namespace: demo-1\ntables: {quotes: {}}\n"); /* finds the shipped tables */
    assert_string_equal(config->namespace_name, "demo-1");
    assert_string_equal(config->region_dir, "/dev/shm/coldpath/demo-1");
    assert_string_equal(config->database, "demo_1");
    assert_string_equal(config->url, "http://127.0.0.1:8123");
    assert_null(config->user);
    assert_null(config->password);
    assert_int_equal(config->region_mode, 0600);
    assert_int_equal(config->drain_cpu, -1);
    assert_int_equal(config->poll, CP_POLL_ADAPTIVE);
    assert_int_equal(config->compression, CP_COMPRESS_ZSTD);
    assert_int_equal(config->table_count, 1);
    const cp_table_config *quotes = &config->tables[0];
    assert_string_equal(quotes->table->name, "quotes");
    assert_false(quotes->critical);
    assert_int_equal(quotes->batch.rows, 5000);
    assert_int_equal(quotes->batch.interval_ns, 500 * CP_NS_PER_MS);
    assert_true(quotes->row_max <= quotes->ring_size / 4);
    cp_config_free(config);
}

static void class_sets_the_defaults(void **state)
{
    (void)state;
    cp_config *config = fixture_load_good(
        with_schema("namespace: demo\ntable_defaults: {class: critical, flush: {bytes: 1MiB}}\n"
                    "tables:\n  quotes: {class: lossy}\n  trades: {flush: {rows: 7}}\n"
                    "  l2_updates: {ring_size: 64KiB}\n"));
    assert_int_equal(config->tables[0].batch.rows, 5000);
    assert_int_equal(config->tables[1].batch.rows, 7);
    assert_int_equal(config->tables[1].batch.interval_ns, 250 * CP_NS_PER_MS);
    assert_true(config->tables[1].critical);
    assert_int_equal(config->tables[2].batch.rows, 500);
    assert_int_equal(config->tables[2].batch.bytes, 1 << 20);
    assert_int_equal(config->tables[2].row_max, 16384); /* follows a small ring */
    cp_config_free(config);
}

/* defaults < older variables < file < conf.d by name < COLDPATH_ */
static void sources_in_their_order(void **state)
{
    (void)state;
    setenv("CH_URL", "http://older:1", 1);
    setenv("CH_DB", "older", 1);
    setenv("CH_USER", "older", 1);
    setenv("CH_FLUSH_INTERVAL_S", "0.25", 1);
    setenv("CH_BATCH_SIZE", "123", 1);
    assert_int_equal(mkdir("conf.d", 0700), 0);
    fixture_write("conf.d/20.yaml", "recorder: {poll: busy}\nlog: {level: warn}\n", 0600);
    fixture_write("conf.d/10.yaml", "recorder: {poll: adaptive, drain_cpu: 0}\nlog: {level: warn}\n", 0600);
    fixture_write("conf.d/30.yml", "log: {level: nonsense}\n", 0600);
    fixture_write("conf.d/.40.yaml", "log: {level: nonsense}\n", 0600);
    setenv("COLDPATH_LOG__LEVEL", "error", 1);
    setenv("COLDPATH_TABLES__QUOTES__FLUSH__MAX_ROWS", "9000", 1);
    setenv("COLDPATH_TABLE_DEFAULTS__SLOTS", "3", 1);
    setenv("COLDPATH_REGION_DIR", "/dev/shm/other", 1);
    cp_config *config =
        fixture_load_good(with_schema("namespace: demo\nclickhouse: {url: 'http://file:2/', user: }\n"
                                      "recorder: {drain_cpu: 1, flush_cpu: 1}\n"
                                      "tables: {quotes: {}}\n"));
    assert_string_equal(config->url, "http://file:2");
    assert_string_equal(config->database, "older");
    assert_null(config->user); /* an empty value takes the default back */
    assert_int_equal(config->poll, CP_POLL_BUSY);
    assert_int_equal(config->drain_cpu, 0);
    assert_int_equal(config->flush_cpu, 1);
    assert_string_equal(config->log_level, "error");
    assert_string_equal(config->region_dir, "/dev/shm/other/demo");
    assert_int_equal(config->tables[0].batch.rows, 123);
    assert_int_equal(config->tables[0].batch.interval_ns, 250 * CP_NS_PER_MS);
    assert_int_equal(config->tables[0].batch.max_rows, 9000);
    assert_int_equal(config->tables[0].slots, 3);
    char *text = printed(config, true, false);
    holds(text, "# coldpath.yaml:3:20");
    holds(text, "poll: busy                                # conf.d/20.yaml:1:18");
    holds(text, "level: error                              # $COLDPATH_LOG__LEVEL");
    holds(text, "database: older                           # $CH_DB");
    holds(text, "rows: 123                             # $CH_BATCH_SIZE");
    free(text);
    cp_config_free(config);
}

static void host_of_an_older_recorder(void **state)
{
    (void)state;
    setenv("HFT_CLICKHOUSE_HOST", "db7", 1);
    cp_config *config = fixture_load_good(with_schema("namespace: demo\ntables: {quotes: }\n"));
    assert_string_equal(config->url, "http://db7:8123");
    cp_config_free(config);
}

static void password_from(const char *text, const char *want)
{
    cp_config *config = fixture_load_good(with_schema(text));
    assert_string_equal(config->password, want);
    for (int json = 0; json < 2; json++) {
        char *shown = printed(config, true, json);
        assert_null(strstr(shown, want));
        free(shown);
    }
    cp_config_free(config);
}

static void passwords_and_their_order(void **state)
{
    static const char with_file[] =
        "namespace: demo\nclickhouse: {password_file: pw}\ntables: {quotes: {}}\n";
    char cwd[4096];
    (void)state;
    fixture_write("pw", "s3cret-file\nsecond line\n", 0640);
    password_from("namespace: demo\nclickhouse: {password: s3cret-inline}\ntables: {quotes: {}}\n",
                  "s3cret-inline");
    password_from(with_file, "s3cret-file");
    setenv("CH_PASS", "s3cret-older", 1);
    password_from(with_file, "s3cret-file");
    password_from("namespace: demo\ntables: {quotes: {}}\n", "s3cret-older");
    fixture_write("clickhouse_password", "s3cret-systemd", 0400);
    setenv("CREDENTIALS_DIRECTORY", getcwd(cwd, sizeof cwd), 1);
    password_from(with_file, "s3cret-systemd");
    setenv("COLDPATH_CLICKHOUSE__PASSWORD", "s3cret-variable", 1);
    password_from(with_file, "s3cret-variable");
}

static void anchors_and_merge_keys(void **state)
{
    (void)state;
    cp_config *config = fixture_load_good(with_schema("namespace: demo\ntables:\n"
                                                      "  quotes: &fast {slots: 2, flush: {rows: 9}}\n"
                                                      "  trades: {<<: *fast, slots: 5}\n"
                                                      "  l2_updates: *fast\n"));
    assert_int_equal(config->tables[1].slots, 5);
    assert_int_equal(config->tables[1].batch.rows, 9);
    assert_int_equal(config->tables[2].slots, 2);
    cp_config_free(config);
}

static void relative_paths_begin_at_the_file(void **state)
{
    (void)state;
    assert_int_equal(mkdir("etc", 0700), 0);
    fixture_write("etc/mine.sql",
                  "CREATE TABLE mine (`ts` DateTime64(9, 'UTC'), `n` UInt64) ENGINE = MergeTree ORDER BY ts;",
                  0600);
    fixture_write("etc/c.yaml", "namespace: demo\ntables: {mine: {ddl: mine.sql}}\n", 0600);
    cp_config *config = NULL;
    cp_error err = {0, ""};
    if (cp_config_load(&config, "etc/c.yaml", stderr, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(config->tables[0].ddl, "etc/mine.sql");
    cp_config_free(config);
    setenv("COLDPATH_CONFIG", "etc/c.yaml", 1);
    assert_int_equal(cp_config_load(&config, NULL, stderr, &err), CP_OK);
    cp_config_free(config);
}

static void print_reads_back(void **state)
{
    (void)state;
    cp_config *config =
        fixture_load_good(with_schema("namespace: demo\nregion: {mode: 0660, group: \"my-group\"}\n"
                                      "clickhouse: {user: 'a \"b\": #c'}\n"
                                      "tables: {quotes: {class: critical}, trades: {}}\n"));
    char *first = printed(config, false, false);
    cp_config_free(config);
    config = fixture_load_good(first);
    char *second = printed(config, false, false);
    assert_string_equal(config->user, "a \"b\": #c");
    assert_string_equal(first, second);
    cp_config_free(config);
    free(first);
    free(second);
}

/* The shipped example shows every key, and is valid. */
static void example_shows_every_key(void **state)
{
    char path[4200], *end, *text;
    (void)state;
    snprintf(path, sizeof path, "%s", strchr(fixture_schema(), '/'));
    end = strstr(path, "/schema/ddl");
    assert_non_null(end);
    strcpy(end, "/deploy/coldpath.yaml");
    cp_config *config = NULL;
    cp_error err = {0, ""};
    if (cp_config_load(&config, path, stderr, &err) < 0)
        fail_msg("%s", err.text);
    cp_config_free(config);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    for (int i = 0; i < CP_KEY_COUNT + CP_TKEY_COUNT; i++) {
        const char *key =
            i < CP_KEY_COUNT ? cp_config_keys[i].path : cp_config_table_keys[i - CP_KEY_COUNT].path;
        char wanted[64];
        snprintf(wanted, sizeof wanted, " %s:", strrchr(key, '.') ? strrchr(key, '.') + 1 : key);
        if (!strstr(text, i == CP_KEY_NAMESPACE ? wanted + 1 : wanted))
            fail_msg("%s does not show %s", path, key);
    }
    free(text);
}

/* A set's tables first, then those of the directory; without a set, a table that one folder alone has. */
static void tables_of_a_set(void **state)
{
    (void)state;
    cp_config *config = fixture_load_good(with_schema(
        "namespace: demo\ntables: {fills: {}, trade_events: {}, quotes: {}, system_stats: {}}\n"));
    assert_non_null(strstr(config->tables[0].ddl, "/ddl/trading/fills.sql"));
    assert_non_null(strstr(config->tables[1].ddl, "/ddl/dolphin/trade_events.sql"));
    assert_non_null(strstr(config->tables[2].ddl, "/ddl/quotes.sql"));
    assert_non_null(strstr(config->tables[3].ddl, "/ddl/system_stats.sql"));
    cp_config_free(config);
    setenv("COLDPATH_SCHEMA__SET", "dolphin", 1);
    config = fixture_load_good(with_schema("namespace: demo\ntables: {quotes: {}, system_stats: {}}\n"));
    assert_non_null(strstr(config->tables[0].ddl, "/ddl/quotes.sql"));
    assert_non_null(strstr(config->tables[1].ddl, "/ddl/dolphin/system_stats.sql"));
    cp_config_free(config);
    unsetenv("COLDPATH_SCHEMA__SET");
}

/* A version goes by its key; its rows go to the table that its DDL names, of which it is the latest declaration. */
static void versions_of_a_table(void **state)
{
    (void)state;
    fixture_write("t.sql", "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", 0600);
    fixture_write("t2.sql", "CREATE TABLE t (n UInt64, m UInt8) ENGINE = MergeTree ORDER BY n", 0600);
    cp_config *config = fixture_load_good("namespace: demo\ntables:\n  t: {ddl: t.sql}\n"
                                          "  t_v2: {version_of: t, ddl: t2.sql}\n");
    assert_string_equal(config->tables[0].table->name, "t");
    assert_string_equal(cp_table_target(config->tables[0].table), "t");
    assert_string_equal(config->tables[1].table->name, "t_v2");
    assert_string_equal(cp_table_target(config->tables[1].table), "t");
    assert_false(cp_config_is_latest(config, 0));
    assert_true(cp_config_is_latest(config, 1));
    cp_config_free(config);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_enter, fixture_leave)
    const struct CMUnitTest tests[] = {
        CASE(minimal_file_is_enough),
        CASE(class_sets_the_defaults),
        CASE(sources_in_their_order),
        CASE(host_of_an_older_recorder),
        CASE(passwords_and_their_order),
        CASE(anchors_and_merge_keys),
        CASE(relative_paths_begin_at_the_file),
        CASE(print_reads_back),
        CASE(example_shows_every_key),
        CASE(tables_of_a_set),
        CASE(versions_of_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
