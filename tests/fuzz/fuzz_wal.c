/* Fuzzing the decoder: any bytes as a log's files. Records, checkpoint and headers are made, mutated, and opened; the outcome is
 * an error or a log, never a crash, a hang or a row outside of its chunk. Half of the runs check no CRCs, so that mutations
 * get past them. The first byte says that; then five bytes are a change. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wal/chunks.h"
#include "tests/wal/sim_disk.h"
#include "wal/log_private.h"
#include "wal/reader.h"

enum { RECORDS_MOST = 40 };

static sim_disk *base; /* a good log */
static sim_disk *disk;
static cp_chunk chunk;

static int open_on(sim_disk *on, unsigned unsafe, cp_wal **wal)
{
    const cp_wal_config config = {.dir = "simulated",
                                  .segment_size = SIM_FILE_SIZE,
                                  .limit = 6 * (uint64_t)SIM_FILE_SIZE,
                                  .max_chunk_bytes = TEST_CHUNK,
                                  .frame_bytes = 16 * 1024,
                                  .sync = CP_WAL_FDATASYNC};
    const cp_wal_seams seams = {
        .io_create = sim_io_create, .ctx = on, .no_thread = true, .random_state = 1, .unsafe = unsafe};
    cp_error err;
    return cp_wal_open_with(wal, &config, &seams, &err);
}

static void base_make(void)
{
    cp_wal *wal = NULL;
    cp_error err;
    uint64_t position = 0;
    base = sim_disk_new(1);
    disk = sim_disk_new(2);
    test_chunk_alloc(&chunk, TEST_CHUNK);
    if (open_on(base, 0, &wal) != CP_OK || cp_wal_start(wal, &err) != CP_OK)
        abort();
    cp_wal_maintain(wal, 0);
    cp_wal_maintain(wal, 0);
    for (uint64_t i = 1; i <= RECORDS_MOST; i++) {
        uint64_t lsn;
        test_chunk_make(&chunk, i, 1, 1, position, TEST_CHUNK);
        while (cp_wal_append(wal, &chunk, &lsn) == CP_FULL)
            cp_wal_step(wal, i);
        position = chunk.end;
        for (int n = 0; n < 20; n++)
            cp_wal_step(wal, i);
    }
    const cp_wal_intent intent = {.lo = 3, .hi = 8, .rows = 1, .token = "t"};
    if (cp_wal_checkpoint_write(wal, 2, &intent, 1, &err) != CP_OK)
        abort();
    cp_wal_close(wal, cp_boottime_ns() + CP_NS_PER_S);
}

/* Five bytes are a change: which file, where (in the written parts, mostly), what. */
static void changes_apply(const uint8_t *data, size_t size)
{
    for (; size >= 5; data += 5, size -= 5) {
        sim_name *entry = &disk->live[data[0] % 8];
        if (entry->file < 0)
            continue;
        sim_file *file = &disk->files[entry->file];
        const uint64_t at = ((uint64_t)data[1] << 8 | data[2]) % SIM_FILE_SIZE;
        if (data[0] & 0x80 && at + 4 <= SIM_FILE_SIZE)
            memset(file->live + at, data[4], 4); /* a length or count */
        else
            file->live[at] ^= data[4];
        if (data[0] == 0x7f)
            file->size = at;
    }
}

static void log_read(unsigned unsafe)
{
    cp_wal *wal = NULL;
    if (open_on(disk, unsafe, &wal) != CP_OK)
        return;
    cp_wal_reader *reader = NULL;
    cp_error err;
    uint64_t lsn = 0;
    int code = cp_wal_reader_create(&reader, wal, cp_wal_delivered(wal) + 1, &err);
    for (int i = 0; i < 10 * RECORDS_MOST && code == CP_OK; i++) {
        code = cp_wal_reader_next(reader, &chunk, &lsn, &err);
        for (uint32_t row = 0; code == CP_OK && row < chunk.row_count; row++) {
            if ((uint64_t)chunk.row_at[row] + cp_chunk_row_size(&chunk, row) > chunk.byte_count)
                abort();
        }
    }
    cp_wal_reader_free(reader);
    disk->dead = true;
    cp_wal_close(wal, 0);
    disk->dead = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!base)
        base_make();
    if (size < 1)
        return 0;
    sim_disk_copy(base, disk);
    changes_apply(data + 1, size - 1);
    log_read(data[0] & 1 ? CP_UNSAFE_HEADER_CRC | CP_UNSAFE_PAYLOAD_CRC | CP_UNSAFE_BLOCK_CRC : 0);
    return 0;
}
