/* Every call that delivery makes of the system and of its libraries, and every allocation, fails in its turn: of files, what was
 * durable is there and nothing else is; of batches, each row is delivered, set aside or in the quarantine, once, when the trouble is over.
 *
 * The servers are processes of their own, so that only the flusher's calls fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "fake_server.h"
#include "flush/held.h"
#include "flush/quarantine.h"
#include "flush/quarantine_retry.h"
#include "flush_fixture.h"
#include "row_maker.h"
#include "tests/support/failing.h"

#define DDL                                                                                                  \
    "CREATE TABLE orders (id UInt32, name LowCardinality(String), _cp_epoch UInt64, _cp_slot UInt16, "       \
    "_cp_position UInt64) ENGINE = MergeTree ORDER BY id"
#define REFUSED                                                                                              \
    {                                                                                                        \
        NULL, FAKE_REPLY, 500, "X-ClickHouse-Exception-Code: 469\r\n",                                       \
            "Code: 469. DB::Exception: Constraint `sound` is violated. (VIOLATED_CONSTRAINT)\n"              \
    }

enum {
    DEPTH = 5,   /* of failing.h */
    SHALLOW = 2, /* where a turn takes long: the place and who asked for it */
    ROWS = 8,
    GRACE_NS = 30 * CP_NS_PER_MS, /* for which all calls go on failing, once the flusher runs */
    LIMIT = 1 << 20
};

static char dir[64];
static cp_error err;

#define CHECK(condition) FAILING_CHECK(condition, err.text)

static int checked(int rc)
{
    CHECK(rc >= 0 || err.text[0]);
    return rc;
}

static int setup(void **state)
{
    (void)state;
    cp_log_set_level(getenv("CP_FAILING")
                         ? CP_LOG_INFO
                         : CP_LOG_ERROR + 1); /* thousands of lines; what fails says so here */
    snprintf(dir, sizeof dir, "/dev/shm/coldpath-flush-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    return at->level == 0 ? 0 : remove(path);
}

static int teardown(void **state)
{
    (void)state;
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return rmdir(dir);
}

static void begin(void)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    err = (cp_error){0};
}

static const failing_mode modes[] = {FAILING_ONCE, FAILING_ON, FAILING_SHORT};
enum { MODES = sizeof modes / sizeof modes[0] };

/* ---- quarantine files --------------------------------------------------------------------------------------------- */

static cp_quarantine_row row_of(uint64_t position)
{
    static const uint64_t bytes[5] = {1, 2, 3, 4, 5};
    return (cp_quarantine_row){.schema_hash = 7,
                               .epoch = 1,
                               .position = position,
                               .refused_ns = 1000 + position,
                               .slot = 3,
                               .code = 469,
                               .together = 1,
                               .size = 33,
                               .bytes = (const uint8_t *)bytes,
                               .message = "Code: 469. refused"};
}

/* True when the row is durable. */
static bool quarantine_put(cp_quarantine *quarantine, uint64_t position)
{
    const cp_quarantine_row row = row_of(position);
    int rc = checked(cp_quarantine_begin(quarantine, &err));
    if (rc == CP_OK && (rc = checked(cp_quarantine_add(quarantine, &row, &err))) == CP_OK)
        rc = checked(cp_quarantine_commit(quarantine, &err));
    else
        cp_quarantine_abort(quarantine);
    return rc == CP_OK;
}

static uint64_t quarantine_count(unsigned which, bool surely)
{
    cp_quarantine_list list = {0};
    cp_quarantine_row row;
    uint8_t *buffer = NULL;
    const int rc = checked(cp_quarantine_load(&list, dir, "t", which, &err));
    CHECK(rc == CP_OK || !surely);
    const uint64_t count = rc == CP_OK ? list.count : 0;
    for (uint64_t i = 0; i < count; i++) {
        const bool read = checked(cp_quarantine_read(&list, &list.entries[i], &buffer, &row, &err)) == CP_OK;
        CHECK(read || !surely);
        CHECK(!read || (row.size == 33 && row.code == 469 && strcmp(row.message, "Code: 469. refused") == 0));
    }
    free(buffer);
    if (rc == CP_OK)
        cp_quarantine_list_free(&list);
    return count;
}

static void test_quarantine_files(void **state)
{
    (void)state;
    enum { EVERYWHERE = CP_QUARANTINE_ROWS | CP_QUARANTINE_RETRYING | CP_QUARANTINE_TRASH };
    unsigned turns = 0;
    for (int i = 0; i < MODES; i++) {
        FAILING_SWEEP(modes[i], DEPTH)
        {
            cp_quarantine quarantine;
            bool put[3];
            bool moved = false;
            begin();
            assert_int_equal(cp_quarantine_init(&quarantine, dir, "t", LIMIT, &err), CP_OK);
            const int files = failing_open_files();
            failing_begin();
            put[0] = quarantine_put(&quarantine, 64);
            put[1] = quarantine_put(&quarantine, 128);
            (void)quarantine_count(EVERYWHERE, false);
            (void)checked(cp_quarantine_at_rest(&quarantine, &err));
            if (checked(cp_quarantine_lock(&quarantine, &err)) == CP_OK) {
                (void)checked(cp_quarantine_begin_retry(&quarantine, &moved, &err));
                cp_quarantine_unlock(&quarantine);
            }
            put[2] = quarantine_put(&quarantine, 192);
            if (checked(cp_quarantine_lock(&quarantine, &err)) == CP_OK) {
                if (moved) /* a second one would write over the first */
                    CHECK(checked(cp_quarantine_begin_retry(&quarantine, &moved, &err)) < 0 && !moved);
                (void)checked(cp_quarantine_trash(&quarantine, true, "once", &moved, &err));
                cp_quarantine_unlock(&quarantine);
            }
            (void)quarantine_count(EVERYWHERE, false);
            failing_end();
            CHECK(failing_open_files() == files);
            CHECK(failing_happened() || (put[0] && put[1] && put[2]));
            const uint64_t promised = (uint64_t)put[0] + put[1] + put[2];
            const uint64_t found = quarantine_count(EVERYWHERE, true);
            CHECK(found >= promised && found <= 3);
            CHECK(quarantine_put(&quarantine, 256));
            CHECK(quarantine_count(EVERYWHERE, true) == found + 1);
            turns++;
        }
    }
    print_message("%u turns\n", turns);
    assert_true(turns > 60);
}

/* ---- batches set aside -------------------------------------------------------------------------------------------- */

/* first: of the piece; or, when it may be, the last. */
static bool held_is_whole(const char *path, uint32_t first, uint32_t last)
{
    cp_held held;
    if (checked(cp_held_open(&held, path, &err)) != CP_OK)
        return false;
    CHECK(held.header->rows == 2 && held.header->piece_first >= first && held.header->piece_first <= last &&
          held.header->chunk_count == 1);
    CHECK(held.chunks[0].byte_count == 48 && memcmp(held.chunks[0].data + 8, "a row of bytes", 15) == 0);
    cp_held_close(&held);
    return true;
}

static void test_held_files(void **state)
{
    (void)state;
    static _Alignas(8) uint8_t data[64] = {16,  [8] = 'a', ' ', 'r', 'o', 'w', ' ', 'o',
                                           'f', ' ',       'b', 'y', 't', 'e', 's', [24] = 16};
    static uint32_t row_at[2] = {8, 32};
    cp_chunk chunk = {.data = data,
                      .row_at = row_at,
                      .data_capacity = sizeof data,
                      .row_capacity = 2,
                      .byte_count = 48,
                      .row_count = 2,
                      .slot = 3,
                      .epoch = 9,
                      .end = 48};
    cp_chunk *const chunks[] = {&chunk};
    const cp_batch_piece piece = {1, 1};
    char path[CP_HELD_PATH];
    char below[80];
    unsigned turns = 0;
    for (int i = 0; i < MODES; i++) {
        FAILING_SWEEP(modes[i], DEPTH)
        {
            begin();
            snprintf(below, sizeof below, "%s/held", dir);
            assert_true(cp_held_path(path, below, "t", "token"));
            cp_held_header header = {
                .endpoint = 5, .schema_hash = 7, .rows = 2, .table = "t", .token = "token"};
            const int files = failing_open_files();
            failing_begin();
            const bool written = checked(cp_held_write(path, below, &header, chunks, 1, &err)) == CP_OK;
            const bool read = written && held_is_whole(path, 0, 0);
            const bool set = written && checked(cp_held_set_piece(path, piece, &err)) == CP_OK;
            failing_end();
            CHECK(failing_open_files() == files);
            CHECK(failing_happened() || (written && read && set));
            if (written)
                CHECK(held_is_whole(path, set ? 1 : 0, 1));
            else
                CHECK(cp_held_write(path, below, &header, chunks, 1, &err) == CP_OK &&
                      held_is_whole(path, 0, 0));
            CHECK(cp_held_remove(path, below, &err) == CP_OK && access(path, F_OK) != 0);
            turns++;
        }
        FAILING_SWEEP(modes[i], DEPTH)
        {
            begin();
            cp_held_header header = {
                .endpoint = 5, .schema_hash = 7, .rows = 2, .table = "t", .token = "token"};
            assert_int_equal(cp_held_write(path, below, &header, chunks, 1, &err), CP_OK);
            failing_begin();
            (void)checked(cp_held_remove(path, below, &err));
            failing_end();
            CHECK(cp_held_remove(path, below, &err) == CP_OK && access(path, F_OK) != 0);
            turns++;
        }
    }
    print_message("%u turns\n", turns);
    assert_true(turns > 40);
}

/* ---- batches ------------------------------------------------------------------------------------------------------ */

typedef struct server {
    pid_t pid;
    int tell; /* a byte: be there again */
    char url[64];
} server;

static void server_start(server *s, const fake_step *steps, unsigned count, const fake_count *counts,
                         unsigned counts_count)
{
    int told[2];
    int url[2];
    assert_int_equal(pipe(told), 0);
    assert_int_equal(pipe(url), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fake_server *fake = fake_server_start(steps, count, "26.7.1.1", NULL);
        fake_server_set_counts(fake, counts, counts_count);
        (void)!write(url[1], fake_server_url(fake), strlen(fake_server_url(fake)) + 1);
        while (read(told[0], &byte, 1) == 1)
            fake_server_set_away(fake, false);
        for (;;)
            pause();
    }
    close(told[0]);
    close(url[1]);
    s->tell = told[1];
    assert_true(read(url[0], s->url, sizeof s->url) > 0);
    close(url[0]);
}

static void server_stop(server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    close(s->tell);
}

typedef struct scenario {
    const fake_step *steps;
    unsigned step_count;
    const fake_count *counts;
    unsigned count_count;
    bool two;             /* endpoints, of which the first is the one with the script */
    unsigned quarantined; /* rows at last */
    bool late;            /* calls fail from the first batch on only: those before are another scenario's */
} scenario;

static flush_fixture f;

#define WAIT_NS (FLUSH_WAIT_S * (uint64_t)CP_NS_PER_S)

static uint64_t settled(void)
{
    return atomic_load(&f.delivered) + atomic_load(&f.quarantined) + atomic_load(&f.held);
}

static void config_make(const server *first, const server *second)
{
    f.config = (cp_sink_config){.url = first->url,
                                .others = {second ? second->url : NULL},
                                .failback_ns = CP_NS_PER_S,
                                .user = "writer",
                                .password = "secret",
                                .database = "market",
                                .instance = "test:1",
                                .compression = CP_COMPRESS_ZSTD,
                                .compression_level = 1,
                                .connect_timeout_ms = 2000,
                                .request_timeout_ms =
                                    5000, /* a slow machine is no server that is away: its count says 0 */
                                .retry_min_ms = 2,
                                .retry_max_ms = 10,
                                .quarantine_dir = dir,
                                .quarantine_limit = LIMIT};
}

/* What failed is tried again after a while, or when somebody asks, as here now and then. */
static void wait_a_little(unsigned *turn)
{
    usleep(500);
    if (++*turn % 40 == 0)
        cp_flusher_set_urgent(f.flusher, *turn % 80 == 0);
}

/* With calls failing, as long as that lasts; what was not made in spite of it is made after. */
static void run(const scenario *what, failing_mode mode)
{
    unsigned turn = 0;
    cp_chunk *chunk = flush_fixture_chunk(&f, ROWS);
    if (!what->late)
        failing_begin();
    if (checked(flush_fixture_try(&f, &err)) < 0) {
        failing_end();
        CHECK(flush_fixture_try(&f, &err) == CP_OK);
    }
    const uint64_t since_ns = cp_boottime_ns();
    if (what->late) {
        while (cp_flusher_guarantee(f.flusher, 0) == CP_GUARANTEE_UNKNOWN &&
               cp_boottime_ns() - since_ns < WAIT_NS)
            usleep(500); /* else it is chance whether asking the server counts */
        failing_begin();
    }
    flush_fixture_give(&f, chunk);
    while (settled() < ROWS && cp_boottime_ns() - since_ns < (mode == FAILING_ON ? GRACE_NS : WAIT_NS))
        wait_a_little(&turn);
    if (mode == FAILING_ON)
        failing_end();
    while (settled() < ROWS && cp_boottime_ns() - since_ns < WAIT_NS)
        wait_a_little(&turn);
    CHECK(settled() == ROWS);
}

static void settle(const scenario *what, const server *first, const server *second, failing_mode mode)
{
    memset(&f, 0, sizeof f);
    config_make(first, second);
    f.table = flush_table_parse(DDL);
    run(what, mode);
    if (atomic_load(&f.held)) {
        unsigned turn = 0;
        const uint64_t since_ns = cp_boottime_ns();
        assert_int_equal(syscall(SYS_write, first->tell, "!", 1), 1); /* which does not fail */
        while (atomic_load(&f.unheld) < ROWS && cp_boottime_ns() - since_ns < WAIT_NS)
            wait_a_little(&turn);
        CHECK(atomic_load(&f.unheld) == ROWS);
    }
    failing_end();
    flush_fixture_stop(&f);
    cp_quarantine_list list;
    CHECK(cp_quarantine_load(&list, dir, "orders", CP_QUARANTINE_ROWS, &err) == CP_OK);
    CHECK(list.count == atomic_load(&f.quarantined));
    /* A row that the quarantine did not take is sent again, and the script knows no more of it. */
    CHECK(list.count == what->quarantined || (list.count < what->quarantined && failing_happened()));
    cp_quarantine_list_free(&list);
}

static void sweep(const scenario *what, failing_mode mode, unsigned least)
{
    unsigned turns = 0;
    FAILING_SWEEP(mode, SHALLOW)
    {
        server first;
        server second;
        begin();
        server_start(&first, what->steps, what->step_count, what->counts, what->count_count);
        if (what->two)
            server_start(&second, NULL, 0, NULL, 0);
        const int files = failing_open_files();
        settle(what, &first, what->two ? &second : NULL, mode);
        CHECK(failing_open_files() == files);
        server_stop(&first);
        if (what->two)
            server_stop(&second);
        turns++;
    }
    print_message("%u calls had their turn\n", turns - 1);
    assert_true(turns > least);
}

static const fake_step refused[] = {REFUSED, REFUSED, REFUSED, REFUSED};
static const fake_count counted[] = {{1, "8\t8\n"}};

static void test_a_batch(void **state)
{
    (void)state;
    static const scenario plain = {0};
    sweep(&plain, FAILING_ONCE, 40);
    sweep(&plain, FAILING_ON, 40);
}

/* The batch, its halves, and the first row are refused. */
static void test_a_refused_row(void **state)
{
    (void)state;
    static const scenario one = {.steps = refused, .step_count = 4, .quarantined = 1, .late = true};
    sweep(&one, FAILING_ONCE, 10);
}

/* The reply is lost: the rows are counted, and there. */
static void test_a_batch_in_doubt(void **state)
{
    (void)state;
    static const fake_step lost[] = {{.act = FAKE_RESET}};
    static const scenario doubt = {
        .steps = lost, .step_count = 1, .counts = counted, .count_count = 1, .late = true};
    sweep(&doubt, FAILING_ONCE, 2);
}

/* The server takes the batch and is away: set aside, until it is back. */
static void test_a_batch_set_aside(void **state)
{
    (void)state;
    static const fake_step dies[] = {{.act = FAKE_DIES}};
    static const scenario aside = {
        .steps = dies, .step_count = 1, .counts = counted, .count_count = 1, .two = true, .late = true};
    sweep(&aside, FAILING_ONCE, 20);
}

/* ---- sending quarantined rows again ------------------------------------------------------------------------------- */

static void quarantine_fill(const cp_table *table)
{
    cp_quarantine quarantine;
    row_maker maker = {.table = table, .random = 1, .distinct = 10, .longest = 100};
    cp_chunk *chunk = chunk_make(1 << 16, ROWS, 3, 9, 0);
    for (int i = 0; i < ROWS; i++)
        assert_true(row_make(&maker, chunk));
    assert_int_equal(cp_quarantine_init(&quarantine, dir, table->name, LIMIT, &err), CP_OK);
    assert_int_equal(cp_quarantine_begin(&quarantine, &err), CP_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        cp_quarantine_row row = row_of(64 * i);
        const uint8_t *bytes = chunk->data + chunk->row_at[i];
        row.schema_hash = i == 5 ? 7 : table->schema_hash; /* one of another schema, which is kept */
        memcpy(&row.size, bytes - CP_RECORD_HEADER, sizeof row.size);
        row.bytes = bytes;
        assert_int_equal(cp_quarantine_add(&quarantine, &row, &err), CP_OK);
    }
    assert_int_equal(cp_quarantine_commit(&quarantine, &err), CP_OK);
    chunk_free(chunk);
}

/* A retry, until it is done, or says that it is stuck or cannot be started. */
static bool retry_run(const cp_table *table, cp_quarantine_result *result)
{
    cp_quarantine_retry *retry = NULL;
    *result = (cp_quarantine_result){0};
    if (checked(cp_quarantine_retry_start(&retry, &f.config, table, &err)) < 0)
        return false;
    const uint64_t since_ns = cp_boottime_ns();
    do {
        usleep(500);
        cp_quarantine_retry_look(retry, result);
    } while (!result->done && !result->stuck && cp_boottime_ns() - since_ns < WAIT_NS);
    cp_quarantine_retry_stop(retry);
    CHECK(result->done || result->stuck);
    CHECK(result->done || result->text[0]);
    return result->done;
}

static void test_a_retry(void **state)
{
    (void)state;
    unsigned turns = 0;
    FAILING_SWEEP(FAILING_ONCE, SHALLOW)
    {
        server first;
        cp_quarantine_result result;
        cp_quarantine_list list;
        begin();
        server_start(&first, NULL, 0, NULL, 0);
        config_make(&first, NULL);
        cp_table *table = flush_table_parse(DDL);
        quarantine_fill(table);
        const int files = failing_open_files();
        failing_begin();
        const bool done = retry_run(table, &result);
        failing_end();
        CHECK(failing_open_files() == files);
        CHECK(done || failing_happened());
        for (int i = 0; !result.done && i < 2;
             i++) /* all done but the end of it: the second one says that there is none */
            (void)retry_run(table, &result);
        CHECK(cp_quarantine_load(&list, dir, "orders", CP_QUARANTINE_RETRYING, &err) == CP_OK);
        CHECK(list.count == 0);
        cp_quarantine_list_free(&list);
        CHECK(cp_quarantine_load(&list, dir, "orders", CP_QUARANTINE_ROWS, &err) == CP_OK);
        CHECK(list.count == 1 && list.entries[0].schema_hash == 7);
        cp_quarantine_list_free(&list);
        CHECK(!result.done || result.delivered == 0 || result.delivered == ROWS - 1);
        cp_table_free(table);
        server_stop(&first);
        turns++;
    }
    print_message("%u calls had their turn\n", turns - 1);
    assert_true(turns > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quarantine_files), cmocka_unit_test(test_held_files),
        cmocka_unit_test(test_a_batch),          cmocka_unit_test(test_a_refused_row),
        cmocka_unit_test(test_a_batch_in_doubt), cmocka_unit_test(test_a_batch_set_aside),
        cmocka_unit_test(test_a_retry),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
