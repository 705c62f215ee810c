/* Looking at a log from outside, and giving up of it exactly what is damaged: bytes are flipped, blocks zeroed and files removed at
 * random; then inspection must name the damage, repair must keep everything else, and the log must open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/wal/scratch.h"
#include "wal/log_private.h"
#include "wal/repair.h"

enum { RECORDS = 150, ROUNDS = 60, DELIVERED = 20, SEGMENTS_MOST = 64 };

static uint64_t rng;

static uint64_t random_below(uint64_t bound)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % bound;
}

static void log_make(scratch *s, bool deliver)
{
    cp_error err = {0};
    scratch_init(s, CP_WAL_POSIX);
    scratch_open(s);
    assert_true(scratch_append(s, 1, RECORDS));
    assert_true(scratch_wait(s, RECORDS));
    if (deliver)
        assert_int_equal(cp_wal_checkpoint_write(s->wal, DELIVERED, NULL, 0, &err), CP_OK);
    scratch_close(s);
}

static void kept_remove(const scratch *s, const char *name)
{
    char kept[300];
    snprintf(kept, sizeof kept, "%s/%s", s->dir, name);
    DIR *dir = opendir(kept);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", kept, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(kept);
}

static void log_remove(scratch *s)
{
    kept_remove(s, "damaged");
    kept_remove(s, "trash");
    scratch_destroy(s);
}

static cp_wal_view *look(const scratch *s)
{
    cp_error err = {0};
    cp_wal_view *view = NULL;
    if (cp_wal_inspect(&view, s->dir, CP_WAL_ALL, &err) != CP_OK)
        fail_msg("%s", err.text);
    return view;
}

static void repair(const scratch *s, bool lost[RECORDS + 2])
{
    cp_error err = {0};
    cp_wal_repair *repair = NULL;
    if (cp_wal_repair_begin(&repair, s->dir, &s->config.known, &err) != CP_OK)
        fail_msg("%s", err.text);
    const cp_wal_view *view = cp_wal_repair_view(repair);
    for (uint32_t n = 0; n < view->fault_count; n++) {
        const cp_wal_fault *fault = &view->faults[n];
        print_message("  %" PRIu64 "-%" PRIu64 " segment %" PRIu64 " at %" PRIu64 ": %s\n", fault->lo,
                      fault->hi, fault->segment_id, fault->offset, fault->text);
        for (uint64_t lsn = fault->lo; lsn <= fault->hi; lsn++) {
            assert_in_range(lsn, 1, RECORDS);
            lost[lsn] = true;
        }
    }
    if (cp_wal_repair_run(repair, &err) != CP_OK)
        fail_msg("%s", err.text);
    cp_wal_repair_end(repair);
}

/* Every record from `first` on is what was written, or empty and known to be lost. */
static void expect(scratch *s, uint64_t first, const bool lost[RECORDS + 2])
{
    cp_error err = {0};
    cp_wal_reader *reader = NULL;
    if (cp_wal_open(&s->wal, &s->config, &err) != CP_OK)
        fail_msg("%s", err.text);
    assert_int_equal(cp_wal_durable(s->wal), RECORDS);
    if (cp_wal_reader_create(&reader, s->wal, first, &err) != CP_OK)
        fail_msg("%s", err.text);
    for (uint64_t lsn = first; lsn <= RECORDS; lsn++) {
        uint64_t got = 0;
        if (cp_wal_reader_next(reader, &s->read, &got, &err) != CP_OK)
            fail_msg("%" PRIu64 ": %s", lsn, err.text);
        assert_int_equal(got, lsn);
        assert_int_equal(s->read.byte_count == 0, lost[lsn]);
        test_chunk_make(&s->chunk, lsn, 3, 9, s->read.begin, SCRATCH_CHUNK);
        assert_true(lost[lsn] || test_chunk_equal(&s->chunk, &s->read));
    }
    cp_wal_reader_free(reader);
    cp_wal_close(s->wal, cp_boottime_ns() + CP_NS_PER_S);
}

static void expect_sound(const scratch *s)
{
    cp_wal_view *view = look(s);
    if (view->fault_count)
        fail_msg("%u faults, the first: segment %" PRIu64 ", %s", view->fault_count,
                 view->faults[0].segment_id, view->faults[0].text);
    assert_int_equal(view->durable_lsn, RECORDS);
    assert_int_equal(view->end_lsn, RECORDS);
    cp_wal_view_free(view);
}

static void test_sound(void **state)
{
    (void)state;
    scratch s;
    log_make(&s, true);
    expect_sound(&s);
    scratch_open(&s);
    assert_true(scratch_append(&s, RECORDS + 1, RECORDS + 30));
    assert_true(scratch_wait(&s, RECORDS + 30));
    cp_wal_view *view = look(&s);
    uint64_t records = 0;
    uint64_t waiting = 0;
    assert_true(view->in_use);
    assert_int_equal(view->holder, getpid());
    assert_int_equal(view->fault_count, 0);
    assert_int_equal(view->delivered_lsn, DELIVERED);
    assert_int_equal(view->end_lsn, RECORDS + 30);
    for (uint32_t n = 0; n < view->segment_count; n++) {
        records += view->segments[n].records;
        waiting += view->segments[n].waiting_records;
    }
    assert_int_equal(records, RECORDS + 30);
    assert_int_equal(waiting, RECORDS + 30 - DELIVERED);
    assert_int_equal(view->rings[3].end, s.position);
    cp_wal_view_free(view);
    cp_wal_repair *repair = NULL;
    cp_error err = {0};
    assert_int_equal(cp_wal_repair_begin(&repair, s.dir, NULL, &err), CP_E_BUSY);
    print_message("%s\n", err.text);
    scratch_close(&s);
    log_remove(&s);
}

/* While a writer appends, delivers and recycles, an observer never sees damage. */
static void test_beside_writer(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    scratch_init(&s, CP_WAL_POSIX);
    scratch_open(&s);
    uint64_t lsn = 0;
    const uint64_t until = cp_boottime_ns() + 2 * (uint64_t)CP_NS_PER_S;
    while (cp_boottime_ns() < until) {
        assert_true(scratch_append(&s, lsn + 1, lsn + 20));
        lsn += 20;
        const uint64_t durable = cp_wal_durable(s.wal);
        if (durable > 40)
            assert_int_equal(cp_wal_checkpoint_write(s.wal, durable - 40, NULL, 0, &err), CP_OK);
        cp_wal_release(s.wal, durable > 40 ? durable - 40 : 0);
        cp_wal_view *view = look(&s); /* with frames under way */
        if (view->fault_count)
            fail_msg("%" PRIu64 "-%" PRIu64 ": %s", view->faults[0].lo, view->faults[0].hi,
                     view->faults[0].text);
        cp_wal_view_free(view);
    }
    scratch_close(&s);
    log_remove(&s);
}

static void test_random_damage(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        scratch s;
        bool lost[RECORDS + 2] = {false};
        log_make(&s, round % 2);
        cp_wal_view *view = look(&s);
        print_message("round %d\n", round);
        for (uint64_t n = 1 + random_below(4); n > 0; n--) {
            const cp_wal_view_segment *segment = &view->segments[random_below(view->segment_count)];
            char path[300];
            snprintf(path, sizeof path, "%s/%06u.seg", s.dir, segment->slot);
            if (random_below(8) == 0)
                unlink(path);
            else if (access(path, F_OK) == 0)
                scratch_flip(path,
                             CP_WAL_FIRST_FRAME + random_below(segment->end > CP_WAL_FIRST_FRAME
                                                                   ? segment->end - CP_WAL_FIRST_FRAME
                                                                   : SCRATCH_SEGMENT - CP_WAL_FIRST_FRAME));
        }
        cp_wal_view_free(view);
        repair(&s, lost);
        expect_sound(&s);
        expect(&s, round % 2 ? DELIVERED + 1 : 1, lost);
        expect(&s, round % 2 ? DELIVERED + 1 : 1, lost);
        log_remove(&s);
    }
}

/* One flipped bit in one payload costs one record, and its file is kept. */
static void test_one_record(void **state)
{
    (void)state;
    scratch s;
    bool lost[RECORDS + 2] = {false};
    char path[300];
    log_make(&s, false);
    scratch_segment(&s, 2, path);
    scratch_flip(path, CP_WAL_FIRST_FRAME + CP_WAL_RECORD_HEADER + 3);
    cp_wal_view *view = look(&s);
    assert_int_equal(view->fault_count, 1);
    assert_int_equal(view->faults[0].lo, view->faults[0].hi);
    assert_false(view->faults[0].delivered);
    assert_int_equal(cp_wal_view_lost(view), 1);
    cp_wal_view_free(view);
    repair(&s, lost);
    expect_sound(&s);
    expect(&s, 1, lost);
    snprintf(path, sizeof path, "%s/damaged", s.dir);
    assert_int_equal(access(path, F_OK), 0);
    log_remove(&s);
}

/* Everything gone but the checkpoint. */
static void test_all_missing(void **state)
{
    (void)state;
    scratch s;
    bool lost[RECORDS + 2] = {false};
    log_make(&s, true);
    for (unsigned slot = 0; slot < 100; slot++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%06u.seg", s.dir, slot);
        unlink(path);
    }
    repair(&s, lost);
    for (uint64_t lsn = 1; lsn <= RECORDS; lsn++)
        assert_int_equal(lost[lsn], lsn > DELIVERED);
    expect_sound(&s);
    expect(&s, DELIVERED + 1, lost);
    log_remove(&s);
}

/* A frame a record, until a segment is full to its last byte and another one has begun, which is then removed: its records are
 * made good behind the full one's, for which the file must become longer. */
static void test_missing_behind_full(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    uint64_t lsn = 0;
    uint64_t first = 0;
    static uint8_t checkpoint[2 * CP_WAL_BLOCK];
    char path[300];
    char checkpoint_path[300];
    scratch_init(&s, CP_WAL_POSIX);
    s.config.limit = SEGMENTS_MOST * (uint64_t)SCRATCH_SEGMENT;
    scratch_open(&s);
    while (!first) {
        lsn++;
        assert_true(scratch_append(&s, lsn, lsn));
        assert_true(scratch_wait(&s, lsn));
        cp_wal_view *view = look(&s);
        const cp_wal_view_segment *newest = &view->segments[view->segment_count - 1];
        if (newest->previous_end == SCRATCH_SEGMENT && newest->records == 1) {
            first = newest->origin.base_lsn;
            scratch_segment(&s, newest->origin.id, path);
        }
        cp_wal_view_free(view);
    }
    const cp_wal_known known = {cp_wal_id(s.wal), lsn};
    snprintf(checkpoint_path, sizeof checkpoint_path, "%s/" CP_WAL_CHECKPOINT_FILE, s.dir);
    const int fd = open(checkpoint_path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, checkpoint, sizeof checkpoint, 0), sizeof checkpoint);
    scratch_close(&s);
    assert_int_equal(pwrite(fd, checkpoint, sizeof checkpoint, 0), sizeof checkpoint);
    close(fd);
    assert_int_equal(unlink(path), 0);
    cp_wal_repair *repair = NULL;
    assert_int_equal(cp_wal_repair_begin(&repair, s.dir, &known, &err), CP_OK);
    assert_int_equal(cp_wal_repair_run(repair, &err), CP_OK);
    cp_wal_repair_end(repair);
    cp_wal_view *view = look(&s);
    print_message("  %" PRIu64 " records, from %" PRIu64 " on made good\n", lsn, first);
    assert_int_equal(view->fault_count, 0);
    assert_int_equal(view->end_lsn, lsn);
    cp_wal_view_free(view);
    log_remove(&s);
}

/* The newest segment gone, and no checkpoint since that would tell: nothing on the disk does, memory does. */
static void test_newest_missing(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    bool lost[RECORDS + 2] = {false};
    static uint8_t checkpoint[2 * CP_WAL_BLOCK];
    char path[300];
    scratch_init(&s, CP_WAL_POSIX);
    scratch_open(&s);
    assert_true(scratch_append(&s, 1, RECORDS));
    assert_true(scratch_wait(&s, RECORDS));
    const cp_wal_known known = {cp_wal_id(s.wal), RECORDS};
    snprintf(path, sizeof path, "%s/" CP_WAL_CHECKPOINT_FILE, s.dir);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, checkpoint, sizeof checkpoint, 0), sizeof checkpoint);
    scratch_close(&s);
    assert_int_equal(pwrite(fd, checkpoint, sizeof checkpoint, 0),
                     sizeof checkpoint); /* as a killed one leaves it */
    close(fd);
    cp_wal_view *view = look(&s);
    scratch_segment(&s, view->segments[view->segment_count - 1].origin.id, path);
    const uint64_t first = view->segments[view->segment_count - 1].origin.base_lsn;
    cp_wal_view_free(view);
    assert_int_equal(unlink(path), 0);
    s.config.known = (cp_wal_known){known.id + 1, RECORDS}; /* another log's: says nothing */
    assert_int_equal(cp_wal_open(&s.wal, &s.config, &err), CP_OK);
    cp_wal_close(s.wal, 0);
    s.config.known = known;
    assert_int_equal(cp_wal_open(&s.wal, &s.config, &err), CP_E_CORRUPT);
    assert_non_null(strstr(err.text, "were acknowledged and are damaged or missing"));
    repair(&s, lost);
    for (uint64_t lsn = 1; lsn <= RECORDS; lsn++)
        assert_int_equal(lost[lsn], lsn >= first);
    view = look(&s);
    assert_int_equal(view->fault_count, 0);
    assert_int_equal(view->end_lsn, RECORDS);
    cp_wal_view_free(view);
    expect(&s, 1, lost);
    log_remove(&s);
}

static unsigned files_in(const scratch *s, const char *name)
{
    char path[300];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static int purge(const scratch *s, uint64_t lo, uint64_t hi, cp_error *err)
{
    cp_wal_repair *repair = NULL;
    *err = (cp_error){0};
    if (cp_wal_repair_begin(&repair, s->dir, &s->config.known, err) != CP_OK)
        fail_msg("%s", err->text);
    const int rc = cp_wal_repair_purge(repair, lo, hi, err);
    cp_wal_repair_end(repair);
    return rc;
}

/* Sound records are given up because somebody wants to: exactly those, over the edges of segments, and only what is there, undelivered
 * and in no batch. */
static void test_purge(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    bool lost[RECORDS + 2] = {false};
    log_make(&s, true);
    /* A batch that was under way, and records that were delivered ahead. */
    static const cp_wal_intent intents[] = {
        {.lo = DELIVERED + 1, .hi = DELIVERED + 5, .rows = 9, .token = "token"},
        {.lo = RECORDS - 4, .hi = RECORDS - 3}};
    scratch_open(&s);
    assert_int_equal(cp_wal_checkpoint_write(s.wal, DELIVERED, intents, 2, &err), CP_OK);
    cp_wal_repair *busy = NULL;
    assert_int_equal(cp_wal_repair_begin(&busy, s.dir, &s.config.known, &err), CP_E_BUSY);
    scratch_close(&s);
    assert_int_equal(purge(&s, DELIVERED, RECORDS, &err), CP_E_INVAL);
    assert_non_null(strstr(err.text, "21 to 150 are there and not delivered"));
    assert_int_equal(purge(&s, DELIVERED + 10, RECORDS + 1, &err), CP_E_INVAL);
    assert_int_equal(purge(&s, DELIVERED + 5, DELIVERED + 9, &err), CP_E_BUSY);
    assert_non_null(strstr(err.text, "a batch under way"));
    assert_int_equal(purge(&s, RECORDS - 3, RECORDS, &err), CP_E_BUSY);
    assert_non_null(strstr(err.text, "delivered ahead"));
    assert_int_equal(files_in(&s, "trash"), 0);
    const uint64_t lo = DELIVERED + 6;
    const uint64_t hi = RECORDS - 5 - random_below(20);
    cp_wal_view *view = look(&s);
    unsigned touched = 0;
    for (uint32_t n = 0; n < view->segment_count; n++)
        touched += (view->segments[n].state == CP_WAL_VIEW_SEALED ||
                    view->segments[n].state == CP_WAL_VIEW_NEWEST) &&
                   view->segments[n].origin.base_lsn <= hi && view->segments[n].end_lsn >= lo;
    cp_wal_view_free(view);
    assert_true(touched > 1);
    assert_int_equal(purge(&s, lo, hi, &err), CP_OK);
    for (uint64_t lsn = lo; lsn <= hi; lsn++)
        lost[lsn] = true;
    assert_int_equal(files_in(&s, "trash"), touched);
    assert_int_equal(files_in(&s, "damaged"), 0);
    assert_int_equal(purge(&s, lo, hi, &err), CP_OK); /* as after one that was killed */
    view = look(&s);
    assert_int_equal(view->fault_count, 0);
    assert_int_equal(view->end_lsn, RECORDS);
    cp_wal_view_free(view);
    expect(&s, DELIVERED + 1, lost);
    log_remove(&s);
}

/* A damaged log is repaired first. */
static void test_purge_of_damage(void **state)
{
    (void)state;
    scratch s;
    cp_error err = {0};
    char path[300];
    log_make(&s, false);
    cp_wal_view *view = look(&s);
    scratch_segment(&s, view->segments[view->segment_count - 1].origin.id, path);
    cp_wal_view_free(view);
    scratch_flip(path, CP_WAL_FIRST_FRAME + CP_WAL_RECORD_HEADER + 100);
    assert_int_equal(purge(&s, 1, 2, &err), CP_E_CORRUPT);
    assert_non_null(strstr(err.text, "coldpath wal repair"));
    log_remove(&s);
}

int main(void)
{
    const char *seed = getenv("CP_SEED");
    rng = seed ? strtoull(seed, NULL, 10) : cp_realtime_ns();
    rng = rng ? rng : 1;
    printf("CP_SEED=%" PRIu64 "\n", rng);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),           cmocka_unit_test(test_beside_writer),
        cmocka_unit_test(test_one_record),      cmocka_unit_test(test_all_missing),
        cmocka_unit_test(test_random_damage),   cmocka_unit_test(test_missing_behind_full),
        cmocka_unit_test(test_newest_missing),  cmocka_unit_test(test_purge),
        cmocka_unit_test(test_purge_of_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
