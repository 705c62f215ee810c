/* The control file, mapped: the table directory, the acknowledgement blocks, the recorder's counters.
 *
 * Opening copies the geometry into private memory and checks it there: every offset and count used afterwards is the
 * private one, whatever the file says later. See abi.h for the bytes. */
#ifndef CP_SHM_CONTROL_H
#define CP_SHM_CONTROL_H

#include <stdbool.h>

#include "schema/table.h"
#include "shm/abi.h"

enum { CP_MAX_REGION_PATH = 3072 };

typedef struct cp_control {
    cp_abi_control *header; /* the mapping; read-only unless opened writable */
    size_t size;
    bool writable;
    uint64_t device; /* which file it is: stat(2) */
    uint64_t inode;
    /* private, checked copies */
    uint64_t generation;
    uint32_t table_count;
    uint32_t ring_count;
    cp_abi_table *directory; /* allocated copy, names terminated */
    cp_abi_pressure *pressure;
    cp_abi_counters *counters;
    cp_abi_ack *acks;
    cp_abi_intent *intents;
    cp_abi_measures *measures;  /* NULL: the file was made before there were any */
    cp_abi_latency *latency;    /* likewise */
    cp_abi_endpoint *endpoints; /* likewise; CP_ABI_ENDPOINTS of them */
    cp_abi_canary *canary;      /* likewise */
    const char *text;
    uint64_t text_size;
} cp_control;

/* Opens <dir>/control. CP_E_ABSENT, CP_E_PERM, CP_E_ABI, CP_E_CORRUPT, CP_E_NOMEM, CP_E_IO. */
int cp_control_open(cp_control *control, const char *dir, bool writable, cp_error *err);

/* Unmaps. Safe on a zeroed struct. */
void cp_control_close(cp_control *control);

/* False when the file that was opened in dir is not the one there any more: removed, or removed and made anew. One system call. */
bool cp_control_in_place(const cp_control *control, const char *dir);

/* The directory index of a table, or -1. */
int cp_control_find(const cp_control *control, const char *table);

/* Parses the DDL of table index into a new descriptor and checks it against the directory's hash and row size. */
int cp_control_parse_table(const cp_control *control, uint32_t index, cp_table **out, cp_error *err);

/* The acknowledgement block of a ring; slot < directory[table].slots. */
static inline cp_abi_ack *cp_control_ack(const cp_control *control, uint32_t table, uint32_t slot)
{
    return &control->acks[control->directory[table].first_ring + slot];
}

static inline uint32_t cp_control_state(const cp_control *control)
{
    return __atomic_load_n(&control->header->state, __ATOMIC_ACQUIRE);
}

/* What a new control file is to hold, one per table. */
typedef struct cp_control_table {
    const cp_table *table;
    uint64_t ring_size;
    uint32_t slots;
    uint32_t row_max;
    bool critical;
} cp_control_table;

/* Writes a complete control file for these tables, magic last, as <dir>/<name>, mode and group as given (gid -1: keep).
 * acks and counters are zero. On success it is open and writable in *control. */
int cp_control_create(cp_control *control, const char *dir, const char *name, const char *namespace_name,
                      const cp_control_table *tables, uint32_t table_count, unsigned mode, unsigned gid,
                      cp_error *err);

/* True when the open control file describes exactly these tables with this geometry. */
bool cp_control_matches(const cp_control *control, const cp_control_table *tables, uint32_t table_count);

#endif
