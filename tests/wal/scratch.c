#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/wal/scratch.h"

#define PATIENCE_NS (30 * (uint64_t)CP_NS_PER_S) /* a busy disk, of others */

static void durable_note(void *ctx, const cp_wal_durable_event *event)
{
    scratch *s = ctx;
    s->out_of_order |= event->lsn != s->reported + 1;
    s->reported = event->lsn;
}

void scratch_init(scratch *s, cp_wal_backend backend)
{
    memset(s, 0, sizeof *s);
    mkdir(WAL_SCRATCH, 0755);
    snprintf(s->dir, sizeof s->dir, "%s/XXXXXX", WAL_SCRATCH);
    assert_non_null(mkdtemp(s->dir));
    s->config = (cp_wal_config){.dir = s->dir,
                                .schema_hash = SCRATCH_SCHEMA,
                                .segment_size = SCRATCH_SEGMENT,
                                .limit = SCRATCH_LIMIT,
                                .max_chunk_bytes = SCRATCH_CHUNK,
                                .frame_bytes = 2 * SCRATCH_CHUNK,
                                .backend = backend,
                                .events = {.ctx = s, .durable = durable_note}};
    test_chunk_alloc(&s->chunk, SCRATCH_CHUNK);
    test_chunk_alloc(&s->read, SCRATCH_CHUNK);
}

void scratch_destroy(scratch *s)
{
    DIR *dir = opendir(s->dir);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", s->dir, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(s->dir);
    test_chunk_free(&s->chunk);
    test_chunk_free(&s->read);
}

void scratch_open(scratch *s)
{
    cp_error err = {0};
    if (cp_wal_open(&s->wal, &s->config, &err) != CP_OK || cp_wal_start(s->wal, &err) != CP_OK)
        fail_msg("%s", err.text);
    s->reported = cp_wal_durable(s->wal);
    s->position = 0;
    cp_wal_ring_end(s->wal, 3, 9, &s->position);
}

void scratch_close(scratch *s)
{
    cp_wal_close(s->wal, cp_boottime_ns() + PATIENCE_NS);
    s->wal = NULL;
}

bool scratch_append(scratch *s, uint64_t first, uint64_t last)
{
    const uint64_t until = cp_boottime_ns() + PATIENCE_NS;
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        uint64_t got = 0;
        int code;
        test_chunk_make(&s->chunk, lsn, 3, 9, s->position, SCRATCH_CHUNK);
        while ((code = cp_wal_append(s->wal, &s->chunk, &got)) == CP_FULL) {
            cp_wal_step_wait(s->wal, cp_boottime_ns(), CP_NS_PER_MS);
            if (cp_boottime_ns() > until)
                return false;
        }
        assert_int_equal(code, CP_OK);
        assert_int_equal(got, lsn);
        s->position = s->chunk.end;
        cp_wal_step(s->wal, cp_boottime_ns());
    }
    return true;
}

bool scratch_wait(scratch *s, uint64_t lsn)
{
    const uint64_t until = cp_boottime_ns() + PATIENCE_NS;
    while (cp_wal_durable(s->wal) < lsn) {
        if (cp_boottime_ns() > until)
            return false;
        cp_wal_step_wait(s->wal, cp_boottime_ns(), CP_NS_PER_MS);
    }
    return true;
}

int scratch_read(scratch *s, uint64_t first, uint64_t last, cp_error *err)
{
    cp_wal_reader *reader = NULL;
    int code = cp_wal_reader_create(&reader, s->wal, first, err);
    uint64_t got = 0;
    for (uint64_t lsn = first; lsn <= last && code == CP_OK; lsn++) {
        code = cp_wal_reader_next(reader, &s->read, &got, err);
        if (code != CP_OK)
            break;
        assert_int_equal(got, lsn);
        test_chunk_make(&s->chunk, lsn, 3, 9, s->read.begin, SCRATCH_CHUNK);
        assert_true(test_chunk_equal(&s->chunk, &s->read));
    }
    cp_wal_reader_free(reader);
    return code;
}

void scratch_segment(const scratch *s, uint64_t id, char out[300])
{
    out[0] = 0;
    for (unsigned slot = 0; slot < 100; slot++) {
        static cp_wal_segment_header header;
        char path[300];
        snprintf(path, sizeof path, "%s/%06u.seg", s->dir, slot);
        FILE *file = fopen(path, "rb");
        if (!file)
            continue;
        const size_t got = fread(&header, sizeof header, 1, file);
        fclose(file);
        if (got == 1 && cp_wal_segment_header_check(&header, 0) == CP_OK && header.id == id)
            snprintf(out, 300, "%s", path);
    }
    assert_true(out[0] != 0);
}

void scratch_flip(const char *path, uint64_t offset)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    assert_int_equal(fsync(fd), 0);
    close(fd);
}
