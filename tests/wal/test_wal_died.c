/* A log whose process died while its host went on, on the simulated disk: what the caches still hold is no promise. And a reader that
 * has had its turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "tests/wal/chunks.h"
#include "tests/wal/sim_disk.h"
#include "wal/log_private.h"
#include "wal/reader.h"

enum { STEPS = 200, SEGMENTS = 6, FRAME = 16 * 1024 };

typedef struct log_on_disk {
    sim_disk *disk;
    cp_wal *wal;
    cp_chunk chunk;
    uint64_t position;
    uint64_t now_ns;
    uint32_t moves; /* of the disk, until its process dies; 0: it does not */
} log_on_disk;

static void disk_moves(void *ctx)
{
    log_on_disk *log = ctx;
    if (log->moves > 0 && --log->moves == 0)
        log->disk->dead = true;
}

static int log_try(log_on_disk *log, const cp_wal_known *known, cp_error *err)
{
    cp_wal_config config = {.dir = "simulated",
                            .segment_size = SIM_FILE_SIZE,
                            .limit = SEGMENTS * (uint64_t)SIM_FILE_SIZE,
                            .max_chunk_bytes = TEST_CHUNK,
                            .frame_bytes = FRAME,
                            .sync = CP_WAL_FDATASYNC};
    const cp_wal_seams seams = {
        .io_create = sim_io_create, .ctx = log->disk, .no_thread = true, .random_state = 7};
    if (known)
        config.known = *known;
    return cp_wal_open_with(&log->wal, &config, &seams, err);
}

static void log_open(log_on_disk *log, const cp_wal_known *known)
{
    cp_error err = {0};
    if (log_try(log, known, &err) != CP_OK)
        fail_msg("%s", err.text);
    assert_int_equal(cp_wal_start(log->wal, &err), CP_OK);
    while (cp_wal_maintain(log->wal, log->now_ns)) {
    }
}

static void log_append(log_on_disk *log, uint64_t seed)
{
    uint64_t lsn = 0;
    test_chunk_make(&log->chunk, seed, 0, 1, log->position, TEST_CHUNK);
    assert_int_equal(cp_wal_append(log->wal, &log->chunk, &lsn), CP_OK);
    log->position = log->chunk.end;
}

static void log_step(log_on_disk *log)
{
    for (int i = 0; i < STEPS; i++) {
        log->now_ns += CP_NS_PER_MS;
        cp_wal_step(log->wal, log->now_ns);
        cp_wal_maintain(log->wal, log->now_ns);
    }
}

/* The process is gone, its files and their caches are not. */
static void log_dies(log_on_disk *log)
{
    sim_disk_orphan(log->disk);
    log->disk->dead = true;
    cp_wal_close(log->wal, 0);
    log->disk->dead = false;
    memset(log->disk->queue, 0, sizeof log->disk->queue);
}

static int log_make(void **state)
{
    static log_on_disk log;
    log = (log_on_disk){.disk = sim_disk_new(3), .now_ns = CP_NS_PER_S};
    log.disk->before = disk_moves;
    log.disk->before_ctx = &log;
    test_chunk_alloc(&log.chunk, TEST_CHUNK);
    *state = &log;
    return 0;
}

static int log_end(void **state)
{
    log_on_disk *log = *state;
    cp_wal_close(log->wal, 0);
    sim_disk_free(log->disk);
    test_chunk_free(&log->chunk);
    return 0;
}

static void test_what_was_not_acknowledged_is_not_believed(void **state)
{
    log_on_disk *log = *state;
    log_open(log, NULL);
    log_append(log, 1);
    log_step(log);
    assert_int_equal(cp_wal_durable(log->wal), 1);
    const cp_wal_known known = {.id = cp_wal_id(log->wal), .durable_lsn = 1};
    const uint64_t position = log->position;
    log->disk->faults.sync_error = 1000;
    log_append(log, 2);
    log_step(log);
    assert_int_equal(cp_wal_durable(log->wal), 1);
    log_dies(log);
    log->disk->faults.sync_error = 0;
    log->position = position; /* the row is in its ring still */
    log_open(log, &known);
    assert_int_equal(cp_wal_durable(log->wal), 1);
    log_append(log, 3);
    log_step(log);
    assert_int_equal(cp_wal_durable(log->wal), 2);

    sim_rng rng = {5};
    sim_disk *after = sim_disk_new(4);
    sim_disk_crash(log->disk, after, &rng, UINT64_MAX);
    log_dies(log);
    sim_disk_copy(after, log->disk);
    sim_disk_free(after);
    log_open(log, NULL);
    assert_true(cp_wal_durable(log->wal) >= 2);
    cp_wal_reader *reader = NULL;
    cp_chunk read = {0};
    uint64_t lsn = 0;
    cp_error err = {0};
    test_chunk_alloc(&read, TEST_CHUNK);
    assert_int_equal(cp_wal_reader_create(&reader, log->wal, 2, &err), CP_OK);
    assert_int_equal(cp_wal_reader_next(reader, &read, &lsn, &err), CP_OK);
    assert_true(test_chunk_equal(&log->chunk, &read));
    cp_wal_reader_free(reader);
    test_chunk_free(&read);
}

static void intent_is_there(const log_on_disk *log)
{
    const cp_wal_intent *intents = NULL;
    assert_int_equal(cp_wal_intents(log->wal, &intents), 1);
    assert_string_equal(intents[0].token, "token");
}

/* A process dies before its checkpoint is synced, the next one's sync fails and forgets it: what the cache shows from then on is
 * no promise either, until it is written again. */
static void test_a_checkpoint_is_durable_before_it_is_believed(void **state)
{
    log_on_disk *log = *state;
    const cp_wal_intent intent = {.lo = 1, .hi = 1, .rows = 1, .token = "token"};
    cp_error err = {0};
    log_open(log, NULL);
    log_append(log, 1);
    log_step(log);
    const cp_wal_known known = {.id = cp_wal_id(log->wal), .durable_lsn = 1};
    log->moves = 2; /* it writes, and does not sync */
    assert_int_equal(cp_wal_checkpoint_write(log->wal, 0, &intent, 1, &err), CP_E_IO);
    log_dies(log);
    log->disk->faults.sync_error = 1000;
    assert_int_equal(log_try(log, &known, &err), CP_E_IO);
    log->disk->faults = (sim_faults){.write_error = 1000};
    log->wal = NULL;
    assert_int_equal(log_try(log, &known, &err), CP_E_IO);
    assert_non_null(strstr(err.text, "simulated: cannot write checkpoint"));
    log->disk->faults = (sim_faults){0};
    log_open(log, &known);
    intent_is_there(log);
    log_dies(log);
    log_open(log, &known);
    intent_is_there(log);
}

static uint32_t segments_ready(const log_on_disk *log)
{
    cp_wal_status status;
    cp_wal_status_read(log->wal, &status);
    return status.segments_ready;
}

static void test_a_reader_that_rests_keeps_no_segment(void **state)
{
    log_on_disk *log = *state;
    cp_wal_reader *reader = NULL;
    cp_error err = {0};
    cp_chunk read = {0};
    uint64_t lsn = 0;
    log_open(log, NULL);
    test_chunk_alloc(&read, TEST_CHUNK);
    log_append(log, 1);
    log_step(log);
    assert_int_equal(cp_wal_reader_create(&reader, log->wal, 1, &err), CP_OK);
    assert_int_equal(cp_wal_reader_next(reader, &read, &lsn, &err), CP_OK);
    for (uint64_t seed = 2; segments_ready(log) > 0; seed++) {
        log_append(log, seed);
        log_step(log);
    }
    assert_int_equal(cp_wal_checkpoint_write(log->wal, cp_wal_durable(log->wal), NULL, 0, &err), CP_OK);
    cp_wal_release(log->wal, cp_wal_durable(log->wal));
    assert_int_equal(segments_ready(log), 0);
    cp_wal_reader_rest(reader);
    cp_wal_release(log->wal, cp_wal_durable(log->wal));
    assert_true(segments_ready(log) > 0);
    cp_wal_reader_free(reader);
    test_chunk_free(&read);
}

/* A segment that holds no record, but was durable, stays the newest: the one before it may be gone, and files that wait for another
 * life carry the headers of their last one. */
static void test_a_segment_without_records(void **state)
{
    log_on_disk *log = *state;
    cp_error err = {0};
    log_open(log, NULL);
    const uint64_t id = cp_wal_id(log->wal);
    for (uint64_t seed = 1; log->wal->active.id < 3; seed++) {
        log_append(log, seed);
        log_step(log);
    }
    log_append(log, 1);
    for (const uint64_t before = cp_wal_durable(log->wal); cp_wal_durable(log->wal) == before;)
        cp_wal_step(log->wal, log->now_ns += CP_NS_PER_MS);
    const uint64_t filled = log->wal->active.id;
    /* Of the mark behind the last record: it is written again, in another segment. */
    log->disk->faults.sync_error = 1000;
    while (log->wal->active.id == filled) {
        cp_wal_step(log->wal, log->now_ns += CP_NS_PER_MS);
        cp_wal_maintain(log->wal, log->now_ns);
    }
    log->disk->faults.sync_error = 0;
    log_step(log);
    assert_int_equal(log->wal->tail.segment_id, log->wal->active.id);
    const cp_wal_known known = {.id = id, .durable_lsn = cp_wal_durable(log->wal)};
    assert_int_equal(log->wal->active.base_lsn, known.durable_lsn + 1);
    assert_int_equal(cp_wal_checkpoint_write(log->wal, known.durable_lsn, NULL, 0, &err), CP_OK);
    cp_wal_release(log->wal, known.durable_lsn);
    log_step(log);
    for (int life = 0; life < 3; life++) {
        log_dies(log);
        log_open(log, &known);
        assert_int_equal(cp_wal_durable(log->wal), known.durable_lsn);
    }
    log_append(log, 2);
    log_step(log);
    assert_int_equal(cp_wal_durable(log->wal), known.durable_lsn + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_not_acknowledged_is_not_believed, log_make, log_end),
        cmocka_unit_test_setup_teardown(test_a_segment_without_records, log_make, log_end),
        cmocka_unit_test_setup_teardown(test_a_checkpoint_is_durable_before_it_is_believed, log_make,
                                        log_end),
        cmocka_unit_test_setup_teardown(test_a_reader_that_rests_keeps_no_segment, log_make, log_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
