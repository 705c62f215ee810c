/* The segments of a log as they are known in memory, and their way through life.
 *
 *   (maintenance) ──► READY ──► ACTIVE ──► SEALED ──► READY    delivered, old enough: the slot is used again in place
 *                                              └────► DEAD     of another size, or its device failed: unlinked
 *
 * The table is shared by the log's threads under the log's mutex; it is never held over a system call. */
#ifndef CP_WAL_SEGMENT_H
#define CP_WAL_SEGMENT_H

#include "wal/cursor.h"

enum {
    CP_WAL_MAX_SEGMENTS = 16384, /* 1 TiB in segments of 64 MiB */
    CP_WAL_SEGMENT_NAME = 16     /* "000000.seg" and its NUL */
};

typedef enum cp_wal_segment_state {
    CP_SEGMENT_READY,
    CP_SEGMENT_ACTIVE,
    CP_SEGMENT_SEALED,
    CP_SEGMENT_DEAD
} cp_wal_segment_state;

typedef struct cp_wal_segment {
    cp_wal_segment_state state;
    uint32_t slot;        /* the number in its file name */
    uint64_t file_size;   /* on disk; less than origin.size when it was cut */
    cp_wal_origin origin; /* of its latest activation; id 0: none */
    uint64_t epoch;
    uint64_t previous_id;
    uint64_t previous_end;
    uint32_t previous_crc;
    uint64_t activated_ns;
    /* of a sealed one */
    uint64_t end_lsn; /* base_lsn - 1: holds nothing */
    uint64_t end;     /* offset behind its last valid frame */
    uint32_t end_crc;
    uint64_t sealed_ns;
    bool repaired; /* written by repair */
    bool poisoned; /* its device failed, or its headers differ: not to be used again */
    uint32_t pins; /* readers inside */
} cp_wal_segment;

typedef struct cp_wal_segments {
    cp_wal_segment *items;
    uint32_t count;
    uint32_t capacity;
} cp_wal_segments;

int cp_wal_segments_init(cp_wal_segments *segments, uint32_t capacity);
void cp_wal_segments_destroy(cp_wal_segments *segments);

/* Adds an empty entry; NULL when the table is full. */
cp_wal_segment *cp_wal_segments_add(cp_wal_segments *segments, uint32_t slot);
void cp_wal_segments_remove(cp_wal_segments *segments, cp_wal_segment *segment);

cp_wal_segment *cp_wal_segments_by_id(const cp_wal_segments *segments, uint64_t id);
cp_wal_segment *cp_wal_segments_by_slot(const cp_wal_segments *segments, uint32_t slot);
/* The sealed or active segment that holds lsn, or would hold it next. */
cp_wal_segment *cp_wal_segments_by_lsn(const cp_wal_segments *segments, uint64_t lsn);
/* The one in this state with the lowest slot number, or the lowest segment id. */
cp_wal_segment *cp_wal_segments_first(const cp_wal_segments *segments, cp_wal_segment_state state);
cp_wal_segment *cp_wal_segments_oldest(const cp_wal_segments *segments, cp_wal_segment_state state);
uint32_t cp_wal_segments_count(const cp_wal_segments *segments, cp_wal_segment_state state);
uint64_t cp_wal_segments_bytes(const cp_wal_segments *segments);

/* "000012.seg" */
void cp_wal_segment_name(char out[CP_WAL_SEGMENT_NAME], uint32_t slot);
/* The slot number of such a name. */
bool cp_wal_segment_name_parse(const char *name, uint32_t *slot);

#endif
