/* A flusher that runs is given another configuration: what was under way ends as it began, the next goes where and as the new one
 * says, and a configuration that cannot be taken changes nothing. Two fake servers, one table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"
#include "flush/http.h"
#include "flush_fixture.h"

#define DDL "CREATE TABLE quotes (id UInt32, name LowCardinality(String)) ENGINE = MergeTree ORDER BY id"

enum { REQUEST_MS = 1500 };

typedef struct fixture {
    flush_fixture sends;
    fake_server *old;
    fake_server *new;
} fixture;

static fixture *start(const fake_step *steps, unsigned count)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->old = fake_server_start(steps, count, "24.8.1.1", NULL);
    f->new = fake_server_start(NULL, 0, "24.8.1.1", NULL);
    f->sends.config = (cp_sink_config){.url = fake_server_url(f->old),
                                       .user = "writer",
                                       .password = "secret",
                                       .database = "market",
                                       .instance = "test:1",
                                       .compression = CP_COMPRESS_ZSTD,
                                       .compression_level = 1,
                                       .connect_timeout_ms = 500,
                                       .request_timeout_ms = REQUEST_MS,
                                       .retry_min_ms = 10,
                                       .retry_max_ms = 60000};
    flush_fixture_start(&f->sends, DDL);
    return f;
}

static void end(fixture *f)
{
    flush_fixture_stop(&f->sends);
    fake_server_stop(f->old);
    fake_server_stop(f->new);
    free(f);
}

static cp_sink_config moved(const fixture *f)
{
    cp_sink_config config = f->sends.config;
    config.url = fake_server_url(f->new);
    config.user = "other";
    config.password = "word";
    config.compression = CP_COMPRESS_NONE;
    return config;
}

static void test_to_another_server(void **state)
{
    (void)state;
    fixture *f = start(NULL, 0);
    cp_error err = {0};
    flush_fixture_submit(&f->sends, 10);
    flush_wait_delivered(&f->sends, 10);
    const cp_sink_config config = moved(f);
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_OK);
    flush_fixture_submit(&f->sends, 20);
    flush_wait_delivered(&f->sends, 30);
    assert_int_equal(fake_server_inserts(f->old), 1);
    assert_int_equal(fake_server_inserts(f->new), 1);
    const fake_insert before = fake_server_insert(f->old, 0);
    const fake_insert after = fake_server_insert(f->new, 0);
    assert_string_equal(before.user, "writer");
    assert_string_equal(before.key, "secret");
    assert_true(before.zstd);
    assert_string_equal(after.user, "other");
    assert_string_equal(after.key, "word");
    assert_false(after.zstd);
    assert_non_null(strstr(after.target, "database=market"));
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &f->sends.config, &flush_eager, &err),
                     CP_OK); /* and back */
    flush_fixture_submit(&f->sends, 5);
    flush_wait_delivered(&f->sends, 35);
    assert_int_equal(fake_server_inserts(f->old), 2);
    assert_string_equal(fake_server_insert(f->old, 1).key, "secret");
    end(f);
}

/* The old server has taken a batch and does not answer: it is not cut off, nor waited for by the reload. It may have stored the
 * batch, which therefore goes to the new one only when the old one is said not to come back. */
static void test_under_way(void **state)
{
    (void)state;
    static const fake_step silent[] = {{.act = FAKE_SILENT}};
    fixture *f = start(silent, 1);
    cp_error err = {0};
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(fake_server_inserts(f->old) > 0);
    const uint64_t begin = cp_boottime_ns();
    cp_sink_config config = moved(f);
    config.abandoned[0] = fake_server_url(f->old);
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_OK);
    assert_true(cp_boottime_ns() - begin < REQUEST_MS * (uint64_t)CP_NS_PER_MS / 2);
    flush_wait_delivered(&f->sends, 10);
    assert_true(cp_boottime_ns() - begin > REQUEST_MS * (uint64_t)CP_NS_PER_MS / 2);
    assert_int_equal(fake_server_inserts(f->old), 1);
    assert_int_equal(fake_server_inserts(f->new), 1);
    assert_string_equal(fake_server_insert(f->old, 0).token, fake_server_insert(f->new, 0).token);
    assert_int_equal(fake_server_insert(f->old, 0).body_hash, fake_server_insert(f->new, 0).body_hash);
    end(f);
}

/* A batch that may have been stored at an endpoint keeps it: a configuration without it is refused, and says what to do. */
static void test_in_doubt(void **state)
{
    (void)state;
    static const fake_step silent[] = {{.act = FAKE_SILENT}};
    fixture *f = start(silent, 1);
    cp_error err = {0};
    cp_sink_config config = f->sends.config;
    config.retry_min_ms = 60000; /* it is not sent again meanwhile */
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_OK);
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(atomic_load(&f->sends.attempts) > 0);
    const cp_sink_config other = moved(f);
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &other, &flush_eager, &err), CP_E_CONFIG);
    assert_non_null(strstr(err.text, fake_server_url(f->old)));
    assert_non_null(strstr(err.text, "clickhouse.abandoned"));
    config.others[0] = fake_server_url(f->new); /* another one beside it is no trouble */
    config.password = "mended";
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_OK);
    flush_wait_delivered(&f->sends, 10); /* where it was sent */
    assert_int_equal(fake_server_inserts(f->old), 2);
    assert_int_equal(fake_server_inserts(f->new), 0);
    end(f);
}

/* A batch waits out a long pause after a refusal: another password ends the pause. */
static void test_a_pause_ends(void **state)
{
    (void)state;
    static const fake_step refused[] = {
        {.act = FAKE_REPLY,
         .status = 403,
         .headers = "X-ClickHouse-Exception-Code: 516\r\n",
         .body = "Code: 516. DB::Exception: writer: Authentication failed"},
    };
    fixture *f = start(refused, 1);
    cp_error err = {0};
    cp_sink_config config = f->sends.config;
    config.retry_min_ms = 60000; /* from here on every pause is a minute */
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_OK);
    flush_fixture_submit(&f->sends, 10);
    FLUSH_WAIT_FOR(fake_server_inserts(f->old) > 0);
    usleep(200000);
    assert_int_equal(fake_server_inserts(f->old), 1);
    config.password = "right";
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_OK);
    flush_wait_delivered(&f->sends, 10);
    assert_string_equal(fake_server_insert(f->old, 1).key, "right");
    end(f);
}

static void test_refused(void **state)
{
    (void)state;
    static char long_word[2000];
    memset(long_word, 'x', sizeof long_word - 1);
    fixture *f = start(NULL, 0);
    cp_error err = {0};
    cp_sink_config config = moved(f);
    config.url = "ftp://nowhere";
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_E_INVAL);
    config = moved(f);
    config.password = long_word;
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &flush_eager, &err), CP_E_NOMEM);
    config = moved(f);
    cp_batch_policy large = flush_eager;
    large.max_bytes++;
    assert_int_equal(cp_flusher_configure(f->sends.flusher, &config, &large, &err), CP_E_INVAL);
    flush_fixture_submit(&f->sends, 10);
    flush_wait_delivered(&f->sends, 10);
    assert_int_equal(fake_server_inserts(f->old), 1);
    assert_string_equal(fake_server_insert(f->old, 0).user, "writer");
    end(f);
}

/* What is no address of a server is not repeated where it may hold a password. */
static void test_urls_are_not_repeated(void **state)
{
    static const char *const urls[] = {"http://h:8123/?user=u&password=hunter2", "h?password=hunter2",
                                       "http://u:hunter2@h", "ftp://h#hunter2"};
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        cp_error err = {0};
        char base[256];
        assert_int_equal(cp_http_check_url(urls[i], base, sizeof base, &err), CP_E_INVAL);
        assert_null(strstr(err.text, "hunter2"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_another_server), cmocka_unit_test(test_under_way),
        cmocka_unit_test(test_in_doubt),          cmocka_unit_test(test_a_pause_ends),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_urls_are_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
