/* Fuzz target: the bytes of a region's files, control file and ring, as programs find them that look at it, put rows into it, or take them
 * out. Sound files are made once, with rows in the ring; the input changes them, four bytes at a time:
 *
 *   byte 0          which file, and whether a whole word or one byte is changed
 *   bytes 1, 2, 3   where, and the new value; in the ring mostly in its two header pages
 *
 * Whatever is in the files, opening gives an error with a text, or what was opened can be used: every table's statement be parsed,
 * the counters looked at, a row put and rows copied, without a byte outside of the mappings. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <coldpath/coldpath.h>

#include "shm/ack.h"
#include "shm/observer.h"
#include "shm/ring_reader.h"
#include "shm/sigbus_guard.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/region_fixture.h"

#define DDL "CREATE TABLE t (a Int64, s String) ENGINE = MergeTree ORDER BY a"

enum {
    FILE_MOST = 64 * 1024,
    RING_SIZE = 64 * 1024,
    SLOTS = 2,
    ROW_MAX = 1024,
    ROW_SIZE = 16, /* a and the reference to an empty s */
    ROWS = 50,
    IN_RING = 0x80,
    WORD = 0x40,
    RING_CHANGED = 16 * 1024 /* from the beginning on: headers and the first records */
};

typedef struct sound_file {
    char path[CP_MAX_REGION_PATH];
    uint8_t bytes[FILE_MOST];
    size_t size; /* what is changed, and written anew for each input */
} sound_file;

static region_fixture fixture;
static sound_file control;
static sound_file ring;

static void region_remove(void)
{
    region_fixture_remove(&fixture);
}

static void rows_put(cp_ring *to, unsigned count)
{
    const uint8_t row[ROW_SIZE] = {1};
    for (unsigned i = 0; i < count; i++)
        (void)cp_put(to, row, sizeof row);
}

static void sound_read(sound_file *file, size_t most)
{
    FILE *from = fopen(file->path, "rb");
    file->size = from ? fread(file->bytes, 1, most, from) : 0;
    if (file->size == 0)
        abort();
    fclose(from);
}

static void sound_make(void)
{
    cp_region *region;
    cp_ring *put;
    cp_error err = {0};
    region_fixture_make(&fixture, DDL, RING_SIZE, SLOTS, ROW_MAX);
    atexit(region_remove);
    if (cp_attach(&region, fixture.dir, &err) < 0 || cp_ring_open(&put, region, "t", 0, "sound", &err) < 0)
        abort();
    rows_put(put, ROWS);
    cp_ring_close(put);
    cp_detach(region);
    snprintf(control.path, sizeof control.path, "%s/control", fixture.dir);
    if (cp_ring_path(ring.path, fixture.dir, "t", 0, &err) < 0)
        abort();
    sound_read(&control, sizeof control.bytes);
    sound_read(&ring, RING_CHANGED);
    cp_sigbus_install();
}

static void file_write(const sound_file *file, const uint8_t *bytes)
{
    const int fd = open(file->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, bytes, file->size, 0) != (ssize_t)file->size || close(fd) < 0)
        abort();
}

static void files_change(const uint8_t *data, size_t size)
{
    static uint8_t control_bytes[FILE_MOST];
    static uint8_t ring_bytes[FILE_MOST];
    memcpy(control_bytes, control.bytes, control.size);
    memcpy(ring_bytes, ring.bytes, ring.size);
    for (; size >= 4; data += 4, size -= 4) {
        const bool in_ring = data[0] & IN_RING;
        uint8_t *bytes = in_ring ? ring_bytes : control_bytes;
        const size_t most = in_ring ? ring.size : control.size;
        const size_t at = ((size_t)data[1] << 8 | data[2]) % most;
        const uint64_t word = data[3] & 0x80 ? ~(uint64_t)(data[3] & 0x7f) : UINT64_C(1) << (data[3] & 0x3f);
        if (data[0] & WORD && (at & ~(size_t)7) + sizeof word <= most)
            memcpy(bytes + (at & ~(size_t)7), &word, sizeof word);
        else
            bytes[at] = data[3];
    }
    file_write(&control, control_bytes);
    file_write(&ring, ring_bytes);
}

static void control_try(void)
{
    cp_control opened;
    cp_ring_reader reader;
    cp_abi_ack ack;
    cp_error err = {0};
    if (cp_control_open(&opened, fixture.dir, false, &err) < 0) {
        if (!err.text[0])
            abort();
        return;
    }
    for (uint32_t i = 0; i < opened.table_count; i++) {
        cp_table *table = NULL;
        if (cp_control_parse_table(&opened, i, &table, &err) == CP_OK)
            cp_table_free(table);
        cp_ack_read(cp_control_ack(&opened, i, 0), &ack);
        if (cp_ring_reader_open(&reader, fixture.dir, &opened.directory[i], 0, &ack, &err) < 0)
            continue;
        static uint8_t copy[RING_SIZE];
        const uint64_t pending = cp_ring_reader_pending(&reader);
        if (pending > opened.directory[i].ring_size ||
            (pending > 0 && cp_ring_reader_copy(&reader, copy, sizeof copy, pending) > sizeof copy))
            abort();
        cp_ring_reader_close(&reader);
    }
    cp_control_close(&opened);
}

static void observer_try(void)
{
    cp_observer observer;
    cp_error err = {0};
    if (cp_observer_open(&observer, fixture.dir, &err) < 0)
        return;
    (void)cp_observer_look(&observer);
    observer.glance = true;
    (void)cp_observer_look(&observer);
    cp_observer_close(&observer);
}

static void producer_try(void)
{
    cp_region *region;
    cp_ring *put;
    cp_error err = {0};
    if (cp_attach(&region, fixture.dir, &err) < 0)
        return;
    if (cp_ring_open(&put, region, "t", 0, "fuzz", &err) == CP_OK) {
        cp_ring_stats stats;
        rows_put(put, 1);
        cp_ring_get_stats(put, &stats);
        (void)cp_position(put, CP_DELIVERED);
        cp_ring_close(put);
    }
    cp_detach(region);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ring.size)
        sound_make();
    files_change(data, size);
    control_try();
    observer_try();
    producer_try();
    return 0;
}
