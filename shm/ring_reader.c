#include "shm/ring_reader.h"

#include <string.h>

#include "base/error.h"

int cp_ring_reader_open(cp_ring_reader *reader, const char *dir, const cp_abi_table *table, uint32_t slot,
                        const cp_abi_ack *ack, cp_error *err)
{
    memset(reader, 0, sizeof *reader);
    reader->row_max = table->row_max;
    const int rc = cp_ring_map_open(&reader->map, dir, table, slot, CP_RING_READ, err);
    if (rc == CP_E_CORRUPT || rc == CP_E_ABI || rc == CP_E_ABSENT || rc == CP_E_PERM) {
        reader->fault = CP_RING_BAD_HEADER;
        return CP_OK;
    }
    if (rc < 0)
        return rc;
    if (ack->epoch != reader->map.epoch) {
        cp_error_set(err, CP_E_CORRUPT,
                     "the file has another epoch than the control file knows: it was replaced by hand");
        reader->fault = CP_RING_BAD_HEADER;
    }
    reader->cursor = ack->consumed;
    return CP_OK;
}

void cp_ring_reader_close(cp_ring_reader *reader)
{
    cp_ring_map_close(&reader->map);
}

uint64_t cp_ring_reader_pending(cp_ring_reader *reader)
{
    if (reader->fault != CP_RING_SOUND)
        return 0;
    const uint64_t published = __atomic_load_n(&reader->map.hot->published, __ATOMIC_ACQUIRE);
    const uint64_t pending = published - reader->cursor;
    if (pending > reader->map.data_size || pending % CP_RECORD_PREFIX != 0) {
        reader->fault = CP_RING_BAD_POSITION;
        return 0;
    }
    return pending;
}

uint64_t cp_ring_reader_copy(const cp_ring_reader *reader, void *data, uint64_t capacity, uint64_t pending)
{
    const uint64_t count = pending < capacity ? pending : capacity;
    memcpy(data, reader->map.data + (reader->cursor & (reader->map.data_size - 1)), count);
    return count;
}
