/* Rough figures of the log beside those of the bare device, in one run on one file system: bench_wal DIR [seconds each]
 *
 *   raw     write and sync of one preallocated file through the same backend, one at a time
 *   commit  one record at a time through the log
 *   stream  as many records as the log takes
 *   backlog a gigabyte is left in the log: opening it again, reading it back, against reading the same files bare */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "wal/io.h"
#include "wal/log.h"
#include "wal/reader.h"

enum { MOST = 256 * 1024, RAW_FILE = 64 * 1024 * 1024, SAMPLES = 200 * 1000, BACKLOG_MB = 1024 };

static uint64_t samples[SAMPLES];

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, uint32_t size, uint32_t count, uint64_t bytes, uint64_t ns)
{
    qsort(samples, count, sizeof samples[0], compare);
    const uint64_t p50 = count ? samples[count / 2] : 0;
    const uint64_t p99 = count ? samples[(uint64_t)count * 99 / 100] : 0;
    printf("%-16s %4u KiB  p50 %6.1f us  p99 %7.1f us  %8.1f MB/s\n", what, size / 1024, (double)p50 / 1e3,
           (double)p99 / 1e3, (double)bytes * 1e3 / (double)ns);
}

static int64_t one(cp_io *io)
{
    cp_io_done done;
    while (io->ops->reap(io, &done, 1, 0) == 0) {
    }
    return done.result;
}

static void raw_run(const char *dir, uint32_t size, bool dsync, uint64_t length_ns)
{
    cp_io *io = NULL;
    cp_error err = {0};
    if (cp_io_uring_create(&io, dir, &err) != CP_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    static _Alignas(CP_IO_BLOCK) uint8_t data[MOST];
    io->ops->unlink(io, "raw");
    const int file = io->ops->open(io, "raw", CP_IO_CREATE);
    for (uint64_t at = 0; at < RAW_FILE; at += MOST)
        io->ops->write(io, file, data, MOST, at);
    io->ops->sync(io, file);
    memset(data, 7, sizeof data);
    const struct iovec buffer = {.iov_base = data, .iov_len = sizeof data};
    io->ops->use_buffers(io, &buffer, 1);
    io->ops->use_file(io, file);
    const uint64_t began = cp_boottime_ns();
    uint64_t now = began;
    uint64_t at = 0;
    uint64_t bytes = 0;
    uint32_t count = 0;
    while (now < began + length_ns && count < SAMPLES) {
        io->ops->submit_write(io, file, data, size, at, dsync, 1);
        if (one(io) != size || (!dsync && (io->ops->submit_sync(io, file, 2) != 0 || one(io) != 0)))
            exit(1);
        at = (at + size) % RAW_FILE;
        bytes += size;
        const uint64_t end = cp_boottime_ns();
        samples[count++] = end - now;
        now = end;
    }
    report(dsync ? "raw dsync" : "raw fdatasync", size, count, bytes, now - began);
    io->ops->close(io, file);
    io->ops->unlink(io, "raw");
    io->ops->destroy(io);
}

static cp_wal *log_open(const char *dir, cp_wal_backend backend)
{
    char path[512];
    cp_wal *wal = NULL;
    cp_error err = {0};
    snprintf(path, sizeof path, "%s/log-%d", dir, (int)getpid());
    const cp_wal_config config = {.dir = path, .max_chunk_bytes = MOST, .backend = backend};
    if (cp_wal_open(&wal, &config, &err) != CP_OK || cp_wal_start(wal, &err) != CP_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return wal;
}

static void log_run(const char *dir, cp_wal_backend backend, uint32_t size, bool stream, uint64_t length_ns)
{
    cp_wal *wal = log_open(dir, backend);
    static uint8_t data[MOST];
    cp_chunk chunk = {.data = data, .byte_count = size - 128, .epoch = 1};
    uint32_t count = 0;
    const uint64_t began = cp_boottime_ns();
    const uint64_t from = cp_wal_durable(wal);
    uint64_t now = began;
    uint64_t released = began;
    cp_error err;
    while (now < began + length_ns && count < SAMPLES) {
        uint64_t lsn = 0;
        chunk.end = chunk.begin + chunk.byte_count;
        const int code = cp_wal_append(wal, &chunk, &lsn);
        if (code == CP_OK)
            chunk.begin = chunk.end;
        cp_wal_step(wal, now);
        while (!stream && code == CP_OK && cp_wal_durable(wal) < lsn)
            cp_wal_step(wal, now);
        const uint64_t end = cp_boottime_ns();
        if (!stream && code == CP_OK)
            samples[count++] = end - now;
        now = end;
        if (now > released + 100 * (uint64_t)CP_NS_PER_MS) { /* what ClickHouse would do */
            if (cp_wal_checkpoint_write(wal, cp_wal_durable(wal), NULL, 0, &err) == CP_OK)
                cp_wal_release(wal, cp_wal_durable(wal));
            released = cp_boottime_ns();
        }
    }
    cp_wal_status status;
    cp_wal_status_read(wal, &status);
    char what[64];
    snprintf(what, sizeof what, "%s %s", stream ? "stream" : "commit", status.backend);
    report(what, size, count, (cp_wal_durable(wal) - from) * chunk.byte_count, now - began);
    printf("    %s, registered %d, %" PRIu64 " commits, device/payload %.3f, state %d %s\n", status.sync,
           status.registered, status.commits, (double)status.device_bytes / (double)status.payload_bytes,
           (int)status.state, status.error);
    cp_wal_close(wal, cp_boottime_ns() + CP_NS_PER_S);
}

static uint64_t bare_read(const char *dir)
{
    cp_io *io = NULL;
    if (cp_io_posix_create(&io, dir, NULL) != CP_OK)
        exit(1);
    uint8_t *data = aligned_alloc(CP_IO_BLOCK, RAW_FILE / 16);
    uint64_t bytes = 0;
    const uint64_t began = cp_boottime_ns();
    for (unsigned slot = 0; slot < BACKLOG_MB / 64 && data; slot++) {
        char name[32];
        snprintf(name, sizeof name, "%06u.seg", slot);
        const int file = io->ops->open(io, name, CP_IO_READ_ONLY);
        for (uint64_t at = 0; file >= 0 && at < RAW_FILE; at += RAW_FILE / 16)
            bytes += (uint64_t)io->ops->read(io, file, data, RAW_FILE / 16, at);
        if (file >= 0)
            io->ops->close(io, file);
    }
    free(data);
    io->ops->destroy(io);
    return bytes * 1000 / (cp_boottime_ns() - began); /* MB/s */
}

static void backlog_run(const char *dir)
{
    static uint8_t data[MOST];
    static uint32_t rows[MOST / 128];
    const uint32_t row = 120;
    for (uint32_t at = 0; at < MOST; at += row + CP_RECORD_HEADER)
        memcpy(data + at, &row, sizeof row);
    cp_chunk chunk = {.data = data, .byte_count = MOST, .row_count = MOST / 128, .epoch = 1};
    for (uint32_t i = 0; i < MOST / 128; i++)
        rows[i] = i * 128 + CP_RECORD_HEADER;
    chunk.row_at = rows;
    chunk.row_capacity = MOST / 128;
    chunk.data_capacity = MOST;
    cp_wal *wal = log_open(dir, CP_WAL_AUTO);
    const uint64_t first = cp_wal_durable(wal) + 1;
    uint64_t lsn = 0;
    for (uint64_t bytes = 0; bytes < (uint64_t)BACKLOG_MB * 1000 * 1000; cp_wal_step(wal, cp_boottime_ns())) {
        chunk.end = chunk.begin + MOST;
        if (cp_wal_append(wal, &chunk, &lsn) != CP_OK)
            continue;
        chunk.begin = chunk.end;
        bytes += MOST;
    }
    cp_wal_close(wal, cp_boottime_ns() + CP_NS_PER_S);
    uint64_t began = cp_boottime_ns();
    wal = log_open(dir, CP_WAL_AUTO);
    const uint64_t opened = cp_boottime_ns() - began;
    cp_wal_reader *reader = NULL;
    cp_error err = {0};
    uint64_t bytes = 0;
    began = cp_boottime_ns();
    int code = cp_wal_reader_create(&reader, wal, first, &err);
    while (code == CP_OK && (code = cp_wal_reader_next(reader, &chunk, &lsn, &err)) == CP_OK)
        bytes += chunk.byte_count;
    const uint64_t read_ns = cp_boottime_ns() - began;
    cp_wal_reader_free(reader);
    cp_wal_close(wal, 0);
    char path[512];
    snprintf(path, sizeof path, "%s/log-%d", dir, (int)getpid());
    printf("backlog: opened in %.1f ms; read back at %" PRIu64 " MB/s (%" PRIu64 " MB), bare %" PRIu64
           " MB/s\n",
           (double)opened / 1e6, bytes * 1000 / read_ns, bytes / 1000000, bare_read(path));
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {4096, 16 * 1024, 256 * 1024};
    const char *dir = argc > 1 ? argv[1] : ".";
    const uint64_t length_ns = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * (uint64_t)CP_NS_PER_S;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        raw_run(dir, sizes[i], false, length_ns);
        raw_run(dir, sizes[i], true, length_ns);
        log_run(dir, CP_WAL_AUTO, sizes[i], false, length_ns);
        log_run(dir, CP_WAL_POSIX, sizes[i], false, length_ns);
        log_run(dir, CP_WAL_AUTO, sizes[i], true, length_ns);
    }
    backlog_run(dir);
    return 0;
}
