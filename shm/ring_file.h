/* A ring's file: creating it, and mapping it with the data area twice back to back. See abi.h for the bytes. */
#ifndef CP_SHM_RING_FILE_H
#define CP_SHM_RING_FILE_H

#include "shm/control.h"

typedef struct cp_ring_map {
    int fd; /* holds the producer's lock when mapped for writing */
    cp_abi_ring *header;
    struct cp_ring_hot *hot;
    cp_abi_ring_counters *counters;
    uint8_t *data;      /* data_size bytes, and the same again behind them */
    uint64_t data_size; /* from the directory, not from the file */
    uint64_t epoch;     /* as read at mapping time */
    size_t map_size;
    void *
        reserved; /* addresses: the mappings, and around them what it takes that they begin on a boundary of huge pages */
    size_t reserved_size;
} cp_ring_map;

typedef enum cp_ring_access { CP_RING_READ, CP_RING_WRITE } cp_ring_access;

/* Writes "<dir>/<table>.<slot>.ring" into path. CP_E_INVAL when it does not fit. */
int cp_ring_path(char path[CP_MAX_REGION_PATH], const char *dir, const char *table, uint32_t slot,
                 cp_error *err);

/* Makes a sparse ring file with a new random epoch, which it returns; replaces what stood there under that name. */
int cp_ring_create(const char *dir, const cp_abi_table *table, uint32_t slot, unsigned mode, unsigned gid,
                   uint64_t *epoch, cp_error *err);

/* Takes the lock of the slot whose file at path was opened for writing as fd: who holds it puts into that ring, or replaces it, and
 * nobody else does. CP_E_BUSY: another process has it. CP_E_RETIRED: between opening and locking the file was replaced or removed,
 * and nobody reads what is put there. CP_E_IO. */
int cp_ring_lock(int fd, const char *path, cp_error *err);

/* Maps a ring. For writing, also takes the slot's lock (cp_ring_lock), allocates all of the file
 * and faults every page in, without changing a byte. For reading, maps only. The file's header is checked against
 * the directory entry: CP_E_CORRUPT, CP_E_ABI. Also CP_E_ABSENT, CP_E_PERM, CP_E_NOMEM, CP_E_IO. */
int cp_ring_map_open(cp_ring_map *map, const char *dir, const cp_abi_table *table, uint32_t slot,
                     cp_ring_access access, cp_error *err);

void cp_ring_map_close(cp_ring_map *map);

/* Counts the whole records between two positions of a mapped ring, which must be at most data_size apart. Lengths are
 * untrusted: false when they do not add up; *rows then holds how many did. Run it inside a SIGBUS guard when the file
 * belongs to another process. */
bool cp_ring_count_rows(const uint8_t *data, uint64_t data_size, uint64_t from, uint64_t to, uint64_t *rows);

#endif
