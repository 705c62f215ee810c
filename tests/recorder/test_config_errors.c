/* What a wrong configuration says, word by word: position, line, caret, remedy; everything at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_fixture.h"

/* Loads text and compares everything that is shown with want. Returns err's text in a static buffer. */
static const char *shows(const char *text, const char *want)
{
    static cp_error err;
    cp_config *config = NULL;
    char *report = NULL;
    err.text[0] = '\0';
    const int rc = fixture_load(&config, text, &report, &err);
    if (rc == CP_OK)
        fail_msg("taken: %s", text);
    assert_int_equal(rc, CP_E_CONFIG);
    assert_null(config);
    if (strcmp(report, want) != 0) /* cmocka cuts long texts */
        fprintf(stderr, "--- shown:\n%s--- wanted:\n%s---\n", report, want);
    const bool same = strcmp(report, want) == 0;
    free(report);
    assert_true(same);
    return err.text;
}

static void report_of(const char *text, char **report)
{
    cp_config *config = NULL;
    cp_error err;
    assert_int_equal(fixture_load(&config, text, report, &err), CP_E_CONFIG);
}

static void holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void everything_at_once(void **state)
{
    (void)state;
    const char *first = shows("namespace: de mo\n"
                              "regoin: {dir: /x}\n"
                              "recorder:\n"
                              "  memory_limit: 12 apples\n"
                              "clickhouse:\n"
                              "\tcompression: zstd\n",
                              "coldpath.yaml:6:1: error: YAML: tab character may not be used as indentation\n"
                              "     6 | \tcompression: zstd\n"
                              "       | ^\n");
    assert_string_equal(first, "coldpath.yaml:6:1: YAML: tab character may not be used as indentation");
    first = shows("namespace: de mo\n"
                  "regoin: {dir: /x}\n"
                  "recorder:\n"
                  "  memory_limit: 12 apples\n"
                  "clickhouse:\n"
                  "  compression: zsdt\n"
                  "  retry_min: 20s\n"
                  "tables: {}\n",
                  "coldpath.yaml:1:12: error: namespace: \"de mo\" cannot be a name\n"
                  "     1 | namespace: de mo\n"
                  "       |            ^~~~~\n"
                  "       = letters, digits, _ and, not first, -\n"
                  "coldpath.yaml:2:1: error: unknown key \"regoin\"\n"
                  "     2 | regoin: {dir: /x}\n"
                  "       | ^~~~~~\n"
                  "       = did you mean \"region\"?\n"
                  "coldpath.yaml:4:17: error: recorder.memory_limit: \"12 apples\" is not a size\n"
                  "     4 |   memory_limit: 12 apples\n"
                  "       |                 ^~~~~~~~~\n"
                  "       = write a whole number of bytes, or one with KiB, MiB or GiB (64MiB)\n"
                  "coldpath.yaml:6:16: error: clickhouse.compression: \"zsdt\" is not known here\n"
                  "     6 |   compression: zsdt\n"
                  "       |                ^~~~\n"
                  "       = did you mean \"zstd\"?\n"
                  "coldpath.yaml:7:14: error: clickhouse.retry_max is smaller than clickhouse.retry_min\n"
                  "     7 |   retry_min: 20s\n"
                  "       |              ^~~\n"
                  "       = retry_min has to be at most retry_max\n");
    assert_string_equal(
        first, "coldpath.yaml:1:12: namespace: \"de mo\" cannot be a name; letters, digits, _ and, not "
               "first, - (and 4 more)");
}

static void pressure_and_its_rules(void **state)
{
    (void)state;
    shows("namespace: demo\n"
          "tables:\n"
          "  quotes:\n"
          "    pressure:\n"
          "      rungs: [suppress, konflate]\n"
          "      key: [symbol, venu]\n"
          "      early_up: 75\n"
          "      early_down: 80%\n"
          "      drop: {pool_up: 40%, pool_upp: 1%}\n"
          "  trades: {pressure: {rungs: conflate, early_release: off, interval_min: 20s}}\n"
          "  system_stats: {pressure: {rungs: [suppress], key: host, value: [cpu_busy_pct]}}\n"
          "  l2_updates: {class: critical, pressure: {rungs: [[drop]]}}\n",
          "coldpath.yaml:5:14: error: pressure.rungs: \"konflate\" is not known here\n"
          "     5 |       rungs: [suppress, konflate]\n"
          "       |              ^\n"
          "       = did you mean \"conflate\"?\n"
          "coldpath.yaml:6:12: error: table quotes: pressure.key: the rows have no column \"venu\"\n"
          "     6 |       key: [symbol, venu]\n"
          "       |            ^\n"
          "       = did you mean \"venue\"?\n"
          "coldpath.yaml:7:17: error: pressure.early_up: \"75\" is not a percentage\n"
          "     7 |       early_up: 75\n"
          "       |                 ^~\n"
          "       = write a whole number and the sign: 75%\n"
          "coldpath.yaml:8:19: error: table quotes: pressure.early_down 80% is more than pressure.early_up "
          "75%\n"
          "     8 |       early_down: 80%\n"
          "       |                   ^~~\n"
          "       = lower the first, or raise the second\n"
          "coldpath.yaml:9:23: error: table quotes: pressure.drop.pool_down 60% is not below "
          "pressure.drop.pool_up 40%\n"
          "     9 |       drop: {pool_up: 40%, pool_upp: 1%}\n"
          "       |                       ^~~\n"
          "       = lower the first, or raise the second\n"
          "coldpath.yaml:9:28: error: unknown key \"pool_upp\" in tables.quotes.pressure.drop\n"
          "     9 |       drop: {pool_up: 40%, pool_upp: 1%}\n"
          "       |                            ^~~~~~~~\n"
          "       = did you mean \"pool_up\"?\n"
          "coldpath.yaml:10:30: error: table trades: rungs work on rows that were taken out of their rings "
          "early\n"
          "    10 |   trades: {pressure: {rungs: conflate, early_release: off, interval_min: 20s}}\n"
          "       |                              ^~~~~~~~\n"
          "       = write pressure.early_release: on, or no rungs\n"
          "coldpath.yaml:10:30: error: table trades: suppress and conflate need pressure.key\n"
          "    10 |   trades: {pressure: {rungs: conflate, early_release: off, interval_min: 20s}}\n"
          "       |                              ^~~~~~~~\n"
          "       = name the columns: pressure: {key: [symbol, venue]}\n"
          "coldpath.yaml:10:74: error: table trades: pressure.interval_min 20s is more than "
          "pressure.interval_max 10s\n"
          "    10 |   trades: {pressure: {rungs: conflate, early_release: off, interval_min: 20s}}\n"
          "       |                                                                          ^~~\n"
          "       = lower the first, or raise the second\n"
          "coldpath.yaml:11:66: error: table system_stats: pressure.value: an Array cannot be compared, it "
          "is column \"cpu_busy_pct\"\n"
          "    11 |   system_stats: {pressure: {rungs: [suppress], key: host, value: [cpu_busy_pct]}}\n"
          "       |                                                                  ^\n"
          "coldpath.yaml:12:51: error: pressure.rungs takes a list of names\n"
          "    12 |   l2_updates: {class: critical, pressure: {rungs: [[drop]]}}\n"
          "       |                                                   ^\n"
          "       = write [a, b]\n");
}

static void tables_and_their_rules(void **state)
{
    (void)state;
    shows(
        "namespace: demo\n"
        "table_defaults: {ddl: x.sql}\n"
        "tables:\n"
        "  quotes:\n"
        "    ring_size: 3MiB\n"
        "    ring_sise: 16MiB\n"
        "    rows: 5\n"
        "    row_max: 1MiB\n"
        "    ring_size: 1MiB\n"
        "  trades: {flush: {rows: 300000, intervall: 3s}, ring_size: 128KiB, row_max: 64KiB}\n"
        "  \"bad name\": {}\n"
        "  l2_updates: 5\n",
        "coldpath.yaml:2:23: error: ddl belongs to one table, it has no default\n"
        "     2 | table_defaults: {ddl: x.sql}\n"
        "       |                       ^~~~~\n"
        "       = write it under tables.<name>, or use schema.dir\n"
        "coldpath.yaml:5:16: error: ring_size: 3MiB is not a power of two\n"
        "     5 |     ring_size: 3MiB\n"
        "       |                ^~~~\n"
        "       = the nearest are 2MiB and 4MiB\n"
        "coldpath.yaml:6:5: error: unknown key \"ring_sise\" in tables.quotes\n"
        "     6 |     ring_sise: 16MiB\n"
        "       |     ^~~~~~~~~\n"
        "       = did you mean \"ring_size\"?\n"
        "coldpath.yaml:7:5: error: unknown key \"rows\" in tables.quotes\n"
        "     7 |     rows: 5\n"
        "       |     ^~~~\n"
        "       = did you mean \"flush.rows\"?\n"
        "coldpath.yaml:9:5: error: duplicate key \"ring_size\"\n"
        "     9 |     ring_size: 1MiB\n"
        "       |     ^~~~~~~~~\n"
        "       = it was given in line 5 already; keep one\n"
        "coldpath.yaml:10:26: error: table trades: flush.rows 300000 is more than flush.max_rows 200000\n"
        "    10 |   trades: {flush: {rows: 300000, intervall: 3s}, ring_size: 128KiB, row_max: 64KiB}\n"
        "       |                          ^~~~~~\n"
        "       = flush.rows of at most 200000, or a larger flush.max_rows\n"
        "coldpath.yaml:10:34: error: unknown key \"intervall\" in tables.trades.flush\n"
        "    10 |   trades: {flush: {rows: 300000, intervall: 3s}, ring_size: 128KiB, row_max: 64KiB}\n"
        "       |                                  ^~~~~~~~~\n"
        "       = did you mean \"interval\"?\n"
        "coldpath.yaml:10:78: error: table trades: row_max 64KiB is more than a quarter of ring_size 128KiB\n"
        "    10 |   trades: {flush: {rows: 300000, intervall: 3s}, ring_size: 128KiB, row_max: 64KiB}\n"
        "       |                                                                              ^~~~~\n"
        "       = row_max of at most 32KiB, or a larger ring_size\n"
        "coldpath.yaml:11:4: error: \"bad name\" cannot name a table here\n"
        "    11 |   \"bad name\": {}\n"
        "       |    ^~~~~~~~\n"
        "       = letters, digits and _, at most 63, no digit first\n"
        "coldpath.yaml:12:15: error: tables.l2_updates has to be a section with keys of its own\n"
        "    12 |   l2_updates: 5\n"
        "       |               ^\n"
        "       = write its keys below it, each on a line, indented\n");
}

static void files_that_are_empty_or_odd(void **state)
{
    char *report = NULL;
    (void)state;
    shows("", "coldpath.yaml: error: namespace is missing\n"
              "       = add a line: namespace: NAME\n"
              "coldpath.yaml: error: no tables are configured\n"
              "       = add: tables: { quotes: {} }\n");
    shows("- a\n- b\n", "coldpath.yaml:1:1: error: the configuration has to be keys with values\n"
                        "     1 | - a\n"
                        "       | ^\n"
                        "       = begin with namespace: NAME\n");
    shows("namespace: [a]\n", "coldpath.yaml:1:12: error: namespace takes a single value\n"
                              "     1 | namespace: [a]\n"
                              "       |            ^\n"
                              "       = write one value behind the colon\n");
    report_of("namespace: demo\nclickhouse: {url: []}\ntables: {quotes: {}}\n", &report);
    holds(report, "coldpath.yaml:2:19: error: clickhouse.url is an empty list\n");
    holds(report, "name at least one");
    free(report);
    shows("namespace: !secret x\n", "coldpath.yaml:1:20: error: tags are not supported\n"
                                    "     1 | namespace: !secret x\n"
                                    "       |                    ^\n"
                                    "       = leave the tag (!…) out\n");
    shows("a: *b\n", "coldpath.yaml:1:5: error: no such anchor\n"
                     "     1 | a: *b\n"
                     "       |     ^\n"
                     "       = an anchor (&name) has to come before its alias (*name)\n");
    report_of("namespace: demo\n---\nnamespace: b\n", &report);
    holds(report, "a second document");
    free(report);
    report_of("namespace: \xff\xfe\n", &report);
    holds(report, "coldpath.yaml:1:12: error: byte 0xff is not text\n     1 | namespace: ");
    free(report);
    report_of("{{a: b}: c}\n", &report);
    holds(report, "a key has to be plain text");
    free(report);
}

static void ddl_problems(void **state)
{
    char text[8192], *report = NULL;
    (void)state;
    snprintf(text, sizeof text, "namespace: demo\n%stables: {quotse: {}, walrus: {}}\n", fixture_schema());
    report_of(text, &report);
    holds(report, "coldpath.yaml:3:10: error: table quotse: there is no file ");
    holds(report, "= did you mean \"quotes\"? Else write its CREATE TABLE there, or name it with ddl:\n");
    holds(report, "= write its CREATE TABLE there, or name it with ddl:; there are: ");
    free(report);
    snprintf(text, sizeof text, "namespace: demo\n%stables: {market_data: {}}\n", fixture_schema());
    report_of(text, &report);
    holds(report, "= write schema.set with the set that is meant: ");
    free(report);
    fixture_write("a.sql", "CREATE TABLE b (n UInt64) ENGINE = MergeTree ORDER BY n", 0600);
    fixture_write("c.sql", "CREATE TABLE c (\n  n Uint64\n) ENGINE = MergeTree ORDER BY n", 0600);
    report_of("namespace: demo\ntables: {a: {ddl: a.sql}, c: {ddl: c.sql}}\n", &report);
    holds(report, "coldpath.yaml:2:19: error: a.sql creates table \"b\", not \"a\"\n");
    holds(report, "c.sql:2:5: ");
    holds(report, "= for coldpath.yaml:2:36\n");
    free(report);
    snprintf(text, sizeof text, "namespace: demo\n%stables: {quotes: {row_max: 64}}\n", fixture_schema());
    report_of(text, &report);
    holds(report, "coldpath.yaml:3:28: error: table quotes: row_max 64 is less than its row's fixed part, ");
    free(report);
    snprintf(text, sizeof text, "namespace: demo\n%stables: {quotes: {class: critical, wal_limit: 128MiB}}\n",
             fixture_schema());
    report_of(text, &report);
    holds(report, "coldpath.yaml:3:47: error: table quotes: wal_limit is 128 MiB, and its log has 4 to 16384 "
                  "segments of 64 MiB "
                  "(wal.segment_size)\n");
    holds(report, "= raise wal_limit, or lower wal.segment_size\n");
    free(report);
}

static void variables(void **state)
{
    char text[8192], *report = NULL;
    (void)state;
    setenv("COLDPATH_CLICKHOUSE__ULR", "http://h", 1);
    setenv("COLDPATH_TABLES__QUOTS__SLOTS", "2", 1);
    setenv("COLDPATH_TABLES__QUOTES__SLOTS", "0", 1);
    setenv("CH_URL", "http://u:s3cret@h", 1);
    setenv("CH_FLUSH_INTERVAL_S", "soon", 1);
    snprintf(text, sizeof text, "namespace: demo\n%stables: {quotes: {}}\n", fixture_schema());
    report_of(text, &report);
    holds(report, "$CH_URL: error: clickhouse.url has a user or password in it\n");
    holds(report, "$CH_FLUSH_INTERVAL_S: error: flush.interval: \"soon\" is not a time\n");
    holds(report, "$COLDPATH_CLICKHOUSE__ULR: error: there is no key \"clickhouse.ulr\"\n       = did you "
                  "mean \"url\"?\n");
    holds(report, "$COLDPATH_TABLES__QUOTS__SLOTS: error: no table \"quots\" is configured\n");
    holds(report, "$COLDPATH_TABLES__QUOTES__SLOTS: error: slots: 0 is too small\n");
    assert_null(strstr(report, "s3cret"));
    free(report);
}

/* Whatever is wrong with a password or a line that has one, the password is not shown. */
static void secrets_stay_secret(void **state)
{
    static const char *const texts[] = {
        "clickhouse:\n  password: [hunter2]\n",
        "clickhouse:\n  password: hunter2\n  password: hunter2\n",
        "clickhouse:\n  passwort: hunter2\n",
        "clickhouse:\n  PASSWORD: hunter2\n",
        "clickhouse: {url: 'http://u:hunter2@h', database: a b}\n",
        "clickhouse:\n  url: u:hunter2@host\n",
        "clickhouse:\n  url: http://host:8123/?user=u&password=hunter2\n",
        "clickhouse:\n  password: \"hunter2\\a\"\n",
        "clickhouse:\n  password: \"hunter2\n",
        "clickhouse:\n  password:\n    \"\\ahunter2\"\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *report = NULL;
        report_of(texts[i], &report);
        if (strstr(report, "hunter2"))
            fail_msg("shown:\n%s", report);
        free(report);
    }
}

static void a_ca_file_has_to_be_there(void **state)
{
    (void)state;
    shows("namespace: demo\nclickhouse: {url: 'https://h', ca_file: /nowhere/ca.pem}\ntables: {quotes: {}}\n",
          "coldpath.yaml:2:41: error: clickhouse.ca_file: /nowhere/ca.pem: No such file or directory\n"
          "     2 | clickhouse: {url: 'https://h', ca_file: /nowhere/ca.pem}\n"
          "       |                                         ^~~~~~~~~~~~~~~\n"
          "       = name a PEM file that the recorder's user can read\n");
}

static void rights_of_password_files(void **state)
{
    char *report = NULL;
    cp_error err = {0, ""};
    cp_config *config = NULL;
    (void)state;
    fixture_write("pw", "hunter2\n", 0644);
    fixture_write("empty", "\n", 0600);
    report_of("namespace: demo\nclickhouse: {password_file: pw}\ntables: {quotes: {}}\n", &report);
    holds(report, "coldpath.yaml:2:29: error: password_file: pw cannot be used\n");
    holds(report, "= everyone can read it: chmod o= it, and change the password\n");
    free(report);
    report_of("namespace: demo\nclickhouse: {password_file: empty}\ntables: {quotes: {}}\n", &report);
    holds(report, "its first line is empty");
    free(report);
    report_of("namespace: demo\nclickhouse: {password_file: /nowhere/pw}\ntables: {quotes: {}}\n", &report);
    holds(report, "password_file: /nowhere/pw: No such file or directory\n");
    free(report);
    report_of("namespace: demo\nclickhouse: {password_file: pw, password: a}\ntables: {quotes: {}}\n",
              &report);
    holds(report, "clickhouse.password and clickhouse.password_file are both given\n");
    free(report);
    fixture_write("open.yaml", "namespace: demo\nclickhouse: {password: hunter2}\ntables: {quotes: {}}\n",
                  0644);
    assert_int_equal(cp_config_load(&config, "open.yaml", NULL, &err), CP_E_CONFIG);
    holds(err.text,
          "open.yaml:2:24: clickhouse.password stands in a file that everyone can read; chmod o= the file");
}

static void files_that_cannot_be_read(void **state)
{
    cp_error err = {0, ""};
    cp_config *config = NULL;
    (void)state;
    assert_int_equal(cp_config_load(&config, "none.yaml", NULL, &err), CP_E_ABSENT);
    assert_string_equal(err.text, "configuration: none.yaml: No such file or directory");
    assert_int_equal(mkdir("dir.yaml", 0700), 0);
    assert_int_equal(cp_config_load(&config, "dir.yaml", NULL, &err), CP_E_IO);
    assert_string_equal(err.text, "configuration: dir.yaml is not a regular file");
    assert_int_equal(mkfifo("pipe.yaml", 0600), 0);
    assert_int_equal(cp_config_load(&config, "pipe.yaml", NULL, &err), CP_E_IO); /* and does not hang */
    fixture_write("huge.yaml", "", 0600);
    assert_int_equal(truncate("huge.yaml", CP_MAX_CONFIG_BYTES + 1), 0);
    assert_int_equal(cp_config_load(&config, "huge.yaml", NULL, &err), CP_E_CONFIG);
    holds(err.text, "huge.yaml is longer than 4194304 bytes");
    assert_null(config);
}

/* Many problems, many tables, deep nesting, bombs: all bounded, and said in words. */
static void limits(void **state)
{
    static char text[512 * 1024];
    char *report = NULL;
    size_t used = (size_t)snprintf(text, sizeof text, "namespace: demo\ntables:\n");
    (void)state;
    for (int i = 0; i < 300; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "  t%d: {slots: 99}\n", i);
    report_of(text, &report);
    holds(report, "only the first 100 problems are shown, of ");
    free(report);
    memset(text, '[', 4000);
    text[4000] = '\0';
    report_of(text, &report);
    holds(report, "error: nested too deeply\n");
    free(report);
    used = (size_t)snprintf(text, sizeof text, "a0: &a0 {x: 1}\n");
    for (int i = 1; i < 40; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "a%d: &a%d {l: *a%d, m: *a%d, <<: *a%d}\n",
                                 i, i, i - 1, i - 1, i - 1);
    report_of(text, &report); /* doubles forty times if aliases were copied */
    holds(report, "unknown key \"a39\"");
    free(report);
    used = (size_t)snprintf(text, sizeof text, "a: &a {");
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "k%d: 1, ", i);
    used += (size_t)snprintf(text + used, sizeof text - used, "}\n");
    for (int i = 0; i < 20; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "b%d: {<<: *a}\n", i);
    report_of(text, &report);
    holds(report, "too many merged keys");
    free(report);
}

static void long_lines_are_cut_around_the_caret(void **state)
{
    char text[2048], *report = NULL;
    (void)state;
    snprintf(text, sizeof text, "namespace: demo\nlog: {%0700d: 1, levle: info}\n", 0);
    report_of(text, &report);
    holds(report, "coldpath.yaml:2:712: error: unknown key \"levle\" in log\n");
    for (const char *line = report; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        assert_true(strcspn(line, "\n") < 200);
    free(report);
    report_of("namespace: demo\nlog: {level: \"\x1b[31m\"}\n", &report);
    assert_null(strchr(report, '\x1b'));
    free(report);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_enter, fixture_leave)
    const struct CMUnitTest tests[] = {
        CASE(everything_at_once),
        CASE(tables_and_their_rules),
        CASE(pressure_and_its_rules),
        CASE(files_that_are_empty_or_odd),
        CASE(ddl_problems),
        CASE(variables),
        CASE(secrets_stay_secret),
        CASE(a_ca_file_has_to_be_there),
        CASE(rights_of_password_files),
        CASE(files_that_cannot_be_read),
        CASE(limits),
        CASE(long_lines_are_cut_around_the_caret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
