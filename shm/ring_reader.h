/* The recorder's side of one ring: a private cursor, and copying spans out. Nothing in the ring file is believed:
 * geometry comes from the control file, the published position is bounded, and record lengths are looked at in the
 * copy alone. The functions that touch the file must run inside a SIGBUS guard. */
#ifndef CP_SHM_RING_READER_H
#define CP_SHM_RING_READER_H

#include "shm/ring_file.h"

typedef struct cp_ring_reader {
    cp_ring_map map;
    uint64_t cursor; /* everything before it has been copied out */
    uint32_t row_max;
    uint32_t fault; /* cp_ring_fault; once not 0 the ring is not read any more */
} cp_ring_reader;

/* Maps the ring and starts at the acknowledged position. A ring whose header or epoch is wrong, or that may not be read, comes
 * back with fault set, and CP_OK: it is that ring's trouble only. Other errors as cp_ring_map_open. */
int cp_ring_reader_open(cp_ring_reader *reader, const char *dir, const cp_abi_table *table, uint32_t slot,
                        const cp_abi_ack *ack, cp_error *err);

void cp_ring_reader_close(cp_ring_reader *reader);

/* Bytes published behind the cursor, 0 when there are none or the position is impossible (fault is then set). */
uint64_t cp_ring_reader_pending(cp_ring_reader *reader);

/* Copies up to capacity bytes from the cursor on, at most `pending` of them, into data; the cursor stays. Returns the
 * bytes copied. */
uint64_t cp_ring_reader_copy(const cp_ring_reader *reader, void *data, uint64_t capacity, uint64_t pending);

#endif
