/* The log on the real file system, by both backends: what is appended comes back, across restarts, kills and full limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/wal/scratch.h"
#include "wal/log_private.h"

enum { RECORDS = 150, KILLS = 8, LAST_WORDS = 5 };

#define PATIENCE_NS (10 * (uint64_t)CP_NS_PER_S)

static cp_wal_backend backend_of(void **state)
{
    return *(const cp_wal_backend *)*state;
}

static void test_round_trip(void **state)
{
    scratch s;
    cp_error err = {0};
    uint64_t position = 0;
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    assert_int_equal(cp_wal_durable(s.wal), 0);
    assert_false(cp_wal_ring_end(s.wal, 3, 9, &position));
    assert_true(scratch_append(&s, 1, RECORDS));
    assert_true(scratch_wait(&s, RECORDS));
    assert_false(s.out_of_order);
    assert_int_equal(s.reported, RECORDS);
    assert_int_equal(scratch_read(&s, 1, RECORDS, &err), CP_OK);
    assert_int_equal(scratch_read(&s, RECORDS / 2, RECORDS, &err), CP_OK);
    const uint64_t end = s.position;
    cp_wal_status status;
    cp_wal_status_read(s.wal, &status);
    print_message(
        "%s, %s (calibrated: fdatasync %llu ns, dsync %llu ns), registered %d, %llu commits, %llu of %llu "
        "bytes payload\n",
        status.backend, status.sync, (unsigned long long)status.calibrated_fdatasync_ns,
        (unsigned long long)status.calibrated_dsync_ns, status.registered, (unsigned long long)status.commits,
        (unsigned long long)status.payload_bytes, (unsigned long long)status.device_bytes);
    assert_int_equal(status.state, CP_WAL_RUNNING);
    assert_string_equal(status.error, "");
    if (strcmp(status.backend, "posix") == 0) { /* io_uring has the choice only where the device has FUA */
        assert_true(status.calibrated_fdatasync_ns > 0);
        assert_true(status.calibrated_dsync_ns > 0);
    }
    scratch_close(&s);
    scratch_open(&s);
    assert_int_equal(cp_wal_durable(s.wal), RECORDS);
    assert_true(cp_wal_ring_end(s.wal, 3, 9, &position));
    assert_int_equal(position, end);
    assert_false(cp_wal_ring_end(s.wal, 3, 10, &position));
    assert_int_equal(scratch_read(&s, 1, RECORDS, &err), CP_OK);
    assert_true(scratch_append(&s, RECORDS + 1, RECORDS + 5));
    assert_true(scratch_wait(&s, RECORDS + 5));
    assert_int_equal(scratch_read(&s, 1, RECORDS + 5, &err), CP_OK);
    scratch_close(&s);
    scratch_destroy(&s);
}

static void test_a_reader_follows(void **state)
{
    scratch s;
    cp_error err = {0};
    cp_wal_reader *reader = NULL;
    uint64_t lsn = 0;
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    assert_int_equal(cp_wal_reader_create(&reader, s.wal, 1, &err), CP_OK);
    for (uint64_t next = 1; next <= RECORDS; next++) {
        assert_int_equal(cp_wal_reader_next(reader, &s.read, &lsn, &err), CP_E_ABSENT);
        assert_true(scratch_append(&s, next, next));
        assert_true(scratch_wait(&s, next));
        assert_int_equal(cp_wal_reader_next(reader, &s.read, &lsn, &err), CP_OK);
        assert_int_equal(lsn, next);
    }
    assert_int_equal(cp_wal_reader_seek(reader, 10, &err), CP_OK);
    assert_int_equal(cp_wal_reader_next(reader, &s.read, &lsn, &err), CP_OK);
    assert_int_equal(lsn, 10);
    cp_wal_reader_free(reader);
    scratch_close(&s);
    scratch_destroy(&s);
}

/* Many times its limit goes through the log, as it is delivered and released. */
static int64_t (*real_read)(cp_io *io, int file, void *data, uint64_t size, uint64_t offset);
static int plain_reads;

static int64_t counting_read(cp_io *io, int file, void *data, uint64_t size, uint64_t offset)
{
    plain_reads++;
    return real_read(io, file, data, size, offset);
}

/* Only the first window of a segment is waited for from its beginning; records across the edges come whole. */
static void test_reading_ahead(void **state)
{
    scratch s;
    cp_error err = {0};
    cp_io *io = NULL;
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    assert_true(scratch_append(&s, 1, RECORDS));
    assert_true(scratch_wait(&s, RECORDS));
    scratch_close(&s);
    scratch_open(&s);
    const cp_wal_segment *segment = cp_wal_segments_by_lsn(&s.wal->segments, 1);
    char name[CP_WAL_SEGMENT_NAME];
    cp_wal_segment_name(name, segment->slot);
    assert_int_equal(cp_io_posix_create(&io, s.dir, &err), CP_OK);
    cp_io_ops counting = *io->ops;
    real_read = counting.read;
    counting.read = counting_read;
    io->ops = &counting;
    plain_reads = 0;
    cp_wal_cursor cursor = {.max_payload = SCRATCH_CHUNK};
    assert_int_equal(cp_wal_window_init(&cursor.window, SCRATCH_CHUNK, CP_WAL_BLOCK, true), CP_OK);
    const int file = io->ops->open(io, name, CP_IO_READ_ONLY);
    cp_wal_cursor_begin(&cursor, &segment->origin, io, file);
    cursor.written = segment->end;
    while (cursor.next_lsn <= segment->end_lsn) {
        const cp_wal_record *record;
        const uint8_t *payload;
        assert_int_equal(cp_wal_cursor_next(&cursor, &record, &payload, &err), CP_OK);
    }
    assert_true(segment->end > 4 * cursor.window.capacity);
    assert_int_equal(plain_reads, 1);
    cp_wal_cursor_forget(&cursor);
    cp_wal_window_destroy(&cursor.window);
    io->ops->close(io, file);
    io->ops->destroy(io);
    scratch_close(&s);
    scratch_destroy(&s);
}

/* What memory knows spares recovery the search behind the last record; what it cannot know, or says of more than there is,
 * does not. */
static void test_known_end(void **state)
{
    scratch s;
    cp_error err = {0};
    char path[300];
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    assert_true(scratch_append(&s, 1, 3));
    assert_true(scratch_wait(&s, 3));
    const uint64_t id = cp_wal_id(s.wal);
    assert_true(scratch_append(&s, 4, 4)); /* states that the others are durable */
    assert_true(scratch_wait(&s, 4));
    scratch_close(&s);
    s.config.known.id = id;
    s.config.known.durable_lsn = 4;
    scratch_open(&s);
    assert_int_equal(cp_wal_durable(s.wal), 4);
    assert_int_equal(cp_wal_id(s.wal), id);
    assert_true(scratch_append(&s, 5, 8));
    assert_true(scratch_wait(&s, 8));
    scratch_close(&s);
    scratch_segment(&s, 2, path);
    scratch_flip(path, CP_WAL_FIRST_FRAME + 8);
    s.config.known.durable_lsn = 8;
    assert_int_equal(cp_wal_open(&s.wal, &s.config, &err), CP_E_CORRUPT);
    scratch_destroy(&s);
}

static void test_segments_are_used_again(void **state)
{
    scratch s;
    cp_error err = {0};
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    for (uint64_t lsn = 1; lsn < 3000; lsn += 100) {
        assert_true(scratch_append(&s, lsn, lsn + 99));
        assert_true(scratch_wait(&s, lsn + 99));
        assert_int_equal(cp_wal_checkpoint_write(s.wal, lsn + 49, NULL, 0, &err), CP_OK);
        cp_wal_release(s.wal, lsn + 49);
        assert_int_equal(scratch_read(&s, lsn + 50, lsn + 99, &err), CP_OK);
    }
    cp_wal_status status;
    cp_wal_status_read(s.wal, &status);
    assert_true(status.bytes <= SCRATCH_LIMIT);
    assert_true(status.payload_bytes > 2 * (uint64_t)SCRATCH_LIMIT);
    scratch_close(&s);
    scratch_open(&s);
    assert_int_equal(cp_wal_durable(s.wal), 3000);
    assert_int_equal(cp_wal_delivered(s.wal), 2950);
    assert_int_equal(scratch_read(&s, 2951, 3000, &err), CP_OK);
    scratch_close(&s);
    scratch_destroy(&s);
}

static void test_the_limit_stops_and_release_goes_on(void **state)
{
    scratch s;
    cp_error err = {0};
    cp_wal_status status;
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    uint64_t lsn = 1;
    uint64_t got = 0;
    cp_wal_status_read(s.wal, &status);
    for (; status.state != CP_WAL_STALLED && lsn < 10000; lsn++) {
        test_chunk_make(&s.chunk, lsn, 3, 9, s.position, SCRATCH_CHUNK);
        const uint64_t until = cp_boottime_ns() + 2 * (uint64_t)CP_NS_PER_S;
        int code;
        while ((code = cp_wal_append(s.wal, &s.chunk, &got)) == CP_FULL && cp_boottime_ns() < until)
            cp_wal_step_wait(s.wal, cp_boottime_ns(), CP_NS_PER_MS);
        if (code == CP_FULL)
            break;
        s.position = s.chunk.end;
        cp_wal_step(s.wal, cp_boottime_ns());
    }
    cp_wal_status_read(s.wal, &status);
    assert_int_equal(status.state, CP_WAL_STALLED);
    assert_non_null(strstr(status.error, "no segment is free"));
    assert_true(status.bytes <= SCRATCH_LIMIT);
    const uint64_t durable = cp_wal_durable(s.wal);
    assert_true(durable > 0 && durable < lsn);
    assert_int_equal(scratch_read(&s, 1, durable, &err), CP_OK);
    assert_int_equal(cp_wal_checkpoint_write(s.wal, durable, NULL, 0, &err), CP_OK);
    cp_wal_release(s.wal, durable);
    assert_true(scratch_wait(&s, lsn - 1));
    cp_wal_status_read(s.wal, &status);
    assert_int_equal(status.state, CP_WAL_RUNNING);
    scratch_close(&s);
    scratch_destroy(&s);
}

static void test_intents(void **state)
{
    scratch s;
    cp_error err = {0};
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    assert_true(scratch_append(&s, 1, 10));
    assert_true(scratch_wait(&s, 10));
    const cp_wal_intent intents[] = {
        {.lo = 3, .hi = 5, .rows = 40, .token = "first"},
        {.lo = 6, .hi = 10, .rows = 70, .token = "second", .piece_first = 30, .piece_rows = 40}};
    cp_wal_intent beyond = intents[1];
    beyond.piece_rows = 41;
    assert_int_equal(cp_wal_checkpoint_write(s.wal, 2, &beyond, 1, &err), CP_E_INVAL);
    assert_int_equal(cp_wal_checkpoint_write(s.wal, 3, intents, 2, &err), CP_E_INVAL);
    assert_int_equal(cp_wal_checkpoint_write(s.wal, 11, NULL, 0, &err), CP_E_INVAL);
    assert_int_equal(cp_wal_checkpoint_write(s.wal, 2, intents, 2, &err), CP_OK);
    assert_int_equal(cp_wal_checkpoint_write(s.wal, 1, NULL, 0, &err), CP_E_INVAL);
    scratch_close(&s);
    scratch_open(&s);
    const cp_wal_intent *found;
    assert_int_equal(cp_wal_delivered(s.wal), 2);
    assert_int_equal(cp_wal_intents(s.wal, &found), 2);
    assert_memory_equal(found, intents, sizeof intents);
    scratch_close(&s);
    scratch_destroy(&s);
}

/* The child appends and says what is durable; it is killed in the midst of it. */
static void child_append(scratch *s, int out)
{
    scratch_open(s);
    for (uint64_t lsn = cp_wal_durable(s->wal) + 1;; lsn++) {
        scratch_append(s, lsn, lsn);
        if (cp_wal_durable(s->wal) + 100 < lsn)
            continue;
        const uint64_t durable = cp_wal_durable(s->wal);
        if (write(out, &durable, sizeof durable) != sizeof durable)
            _exit(1);
    }
}

static void test_kill(void **state)
{
    scratch s;
    cp_error err = {0};
    uint64_t said = 0;
    scratch_init(&s, backend_of(state));
    s.config.limit = 64 * (uint64_t)SCRATCH_SEGMENT;
    for (int i = 0; i < KILLS; i++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(pipes[0]);
            child_append(&s, pipes[1]);
        }
        close(pipes[1]);
        for (int n = 0; n < 20 + i * 7; n++)
            assert_int_equal(read(pipes[0], &said, sizeof said), sizeof said);
        kill(pid, SIGKILL);
        while (read(pipes[0], &said, sizeof said) == sizeof said) {
        }
        close(pipes[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        const uint64_t began = cp_boottime_ns();
        scratch_open(&s);
        print_message("opened again after %llu us\n", (unsigned long long)(cp_boottime_ns() - began) / 1000);
        assert_true(cp_wal_durable(s.wal) >= said);
        assert_int_equal(scratch_read(&s, 1, cp_wal_durable(s.wal), &err), CP_OK);
        scratch_close(&s);
    }
    scratch_destroy(&s);
}

static uint64_t newest_id(scratch *s)
{
    return s->wal->active.id;
}

/* On request the next record opens a segment, once; what is asked while there is none ready waits, and stalls nothing. */
static void test_rotation(void **state)
{
    scratch s;
    cp_error err = {0};
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    cp_wal_rotate(s.wal); /* nothing is in use yet: the first record opens one anyway */
    assert_true(scratch_append(&s, 1, 1) && scratch_wait(&s, 1));
    const uint64_t first = newest_id(&s);
    assert_true(scratch_append(&s, 2, 2) && scratch_wait(&s, 2));
    assert_int_equal(newest_id(&s), first);
    uint64_t lsn = 2;
    for (uint64_t turn = 1; turn <= 3; turn++) {
        const uint64_t before = newest_id(&s);
        cp_wal_rotate(s.wal);
        cp_wal_rotate(s.wal);
        /* As soon as maintenance has one ready. */
        for (int i = 0; i < 1000 && newest_id(&s) == before; i++) {
            lsn++;
            assert_true(scratch_append(&s, lsn, lsn) && scratch_wait(&s, lsn));
            const struct timespec pause = {.tv_nsec = 10 * CP_NS_PER_MS};
            nanosleep(&pause, NULL);
        }
        assert_int_equal(newest_id(&s), before + 1);
        lsn++;
        assert_true(scratch_append(&s, lsn, lsn) && scratch_wait(&s, lsn));
        assert_int_equal(newest_id(&s), before + 1);
    }
    assert_int_equal(scratch_read(&s, 1, lsn, &err), CP_OK);
    scratch_close(&s);
    scratch_open(&s);
    assert_int_equal(cp_wal_durable(s.wal), lsn);
    assert_int_equal(scratch_read(&s, 1, lsn, &err), CP_OK);
    scratch_close(&s);
    scratch_destroy(&s);
}

/* At its limit a log that is to rotate goes on in the segment it has, as far as that reaches. */
static void test_rotation_at_the_limit(void **state)
{
    scratch s;
    cp_error err = {0};
    scratch_init(&s, backend_of(state));
    s.config.limit = CP_WAL_MIN_SEGMENTS * (uint64_t)SCRATCH_SEGMENT;
    scratch_open(&s);
    uint64_t lsn = 0;
    while (s.wal->segments.count < CP_WAL_MIN_SEGMENTS ||
           cp_wal_segments_first(&s.wal->segments, CP_SEGMENT_READY)) {
        lsn++;
        assert_true(scratch_append(&s, lsn, lsn) && scratch_wait(&s, lsn));
        assert_true(lsn < 100000);
    }
    const uint64_t before = newest_id(&s);
    cp_wal_rotate(s.wal);
    lsn++;
    assert_true(scratch_append(&s, lsn, lsn) && scratch_wait(&s, lsn));
    assert_int_equal(newest_id(&s), before);
    assert_int_equal(scratch_read(&s, 1, lsn, &err), CP_OK);
    scratch_close(&s);
    scratch_destroy(&s);
}

static void test_two_recorders(void **state)
{
    scratch s;
    cp_error err = {0};
    cp_wal *second = NULL;
    scratch_init(&s, backend_of(state));
    scratch_open(&s);
    assert_int_equal(cp_wal_open(&second, &s.config, &err), CP_E_BUSY);
    assert_non_null(strstr(err.text, "in use by another recorder"));
    scratch_close(&s);
    scratch_destroy(&s);
}

/* A drain thread's life. */
static void *write_and_finish(void *argument)
{
    scratch *s = argument;
    cp_error err = {0};
    if (cp_wal_start(s->wal, &err) == CP_OK && scratch_append(s, 1, LAST_WORDS))
        cp_wal_finish(s->wal, cp_boottime_ns() + PATIENCE_NS);
    return NULL;
}

/* What is under way when the writer is told to end becomes durable; whoever closes the log later need not be its thread. */
static void test_the_writer_finishes(void **state)
{
    scratch s;
    cp_error err = {0};
    pthread_t writer;
    scratch_init(&s, backend_of(state));
    assert_int_equal(cp_wal_open(&s.wal, &s.config, &err), CP_OK);
    assert_int_equal(pthread_create(&writer, NULL, write_and_finish, &s), 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(cp_wal_durable(s.wal), LAST_WORDS);
    assert_int_equal(s.reported, LAST_WORDS);
    scratch_close(&s);
    scratch_open(&s);
    assert_int_equal(scratch_read(&s, 1, LAST_WORDS, &err), CP_OK);
    scratch_close(&s);
    scratch_destroy(&s);
}

int main(void)
{
    static cp_wal_backend backends[] = {CP_WAL_IO_URING, CP_WAL_POSIX};
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(test_round_trip, &backends[i]),
            cmocka_unit_test_prestate(test_a_reader_follows, &backends[i]),
            cmocka_unit_test_prestate(test_reading_ahead, &backends[i]),
            cmocka_unit_test_prestate(test_known_end, &backends[i]),
            cmocka_unit_test_prestate(test_segments_are_used_again, &backends[i]),
            cmocka_unit_test_prestate(test_the_limit_stops_and_release_goes_on, &backends[i]),
            cmocka_unit_test_prestate(test_intents, &backends[i]),
            cmocka_unit_test_prestate(test_kill, &backends[i]),
            cmocka_unit_test_prestate(test_rotation, &backends[i]),
            cmocka_unit_test_prestate(test_rotation_at_the_limit, &backends[i]),
            cmocka_unit_test_prestate(test_two_recorders, &backends[i]),
            cmocka_unit_test_prestate(test_the_writer_finishes, &backends[i]),
        };
        print_message("backend: %s\n", i ? "posix" : "io_uring");
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
