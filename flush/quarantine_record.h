/* The bytes of a quarantine record; see quarantine.h. */
#ifndef CP_FLUSH_QUARANTINE_RECORD_H
#define CP_FLUSH_QUARANTINE_RECORD_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "flush/quarantine.h"
#include "schema/table.h"

#define CP_QUARANTINE_MAGIC 0x31304e5251504c43ull /* "CLPQRN01" */

typedef struct cp_quarantine_header {
    uint64_t magic;
    uint64_t checksum; /* XXH3 of the whole record with this field 0 */
    uint64_t schema_hash;
    uint64_t epoch;
    uint64_t position;
    uint64_t refused_ns;
    uint32_t slot;
    int32_t code;
    uint32_t together;
    uint32_t row_size;
    uint32_t message_size; /* with the NUL */
    uint8_t reserved[60];
    char table[128];
} cp_quarantine_header;
static_assert(sizeof(cp_quarantine_header) == 256, "record header");

static inline uint32_t cp_quarantine_pad(uint32_t size)
{
    return (size + 7u) & ~7u;
}

static inline uint64_t cp_quarantine_record_size(const cp_quarantine_header *header)
{
    return sizeof *header + cp_quarantine_pad(header->row_size) + cp_quarantine_pad(header->message_size);
}

/* True when a header can be one, so that its sizes may be believed. */
static inline bool cp_quarantine_header_plausible(const cp_quarantine_header *header)
{
    return header->magic == CP_QUARANTINE_MAGIC && header->row_size <= CP_MAX_ROW &&
           header->message_size >= 1 && header->message_size <= CP_QUARANTINE_MESSAGE &&
           header->table[sizeof header->table - 1] == '\0';
}

/* The checksum of a record: its header, the row, and the message with its padding. */
static inline uint64_t cp_quarantine_checksum(const cp_quarantine_header *header, const uint8_t *row,
                                              const char *message)
{
    cp_quarantine_header copy = *header;
    copy.checksum = 0;
    const uint64_t head = XXH3_64bits(&copy, sizeof copy);
    const uint64_t body = XXH3_64bits_withSeed(row, header->row_size, head);
    return XXH3_64bits_withSeed(message, cp_quarantine_pad(header->message_size), body);
}

/* Walks a file from its beginning; see quarantine_list.c. */
typedef struct cp_quarantine_walk {
    int fd;
    uint64_t size;    /* of the file at open */
    uint64_t at;      /* behind the last record */
    uint64_t sound;   /* behind the last sound one */
    uint64_t damaged; /* bytes skipped */
    uint8_t *window;  /* a part of the file, */
    uint64_t from;    /*   from here on */
    uint64_t filled;
} cp_quarantine_walk;

/* fd stays the caller's. CP_E_NOMEM, CP_E_IO. */
int cp_quarantine_walk_begin(cp_quarantine_walk *walk, int fd, cp_error *err);

/* The next sound record: 1, its header, with the payload behind it; 0 at the end; CP_E_IO. *offset: where it lies. */
int cp_quarantine_walk_next(cp_quarantine_walk *walk, const cp_quarantine_header **header, uint64_t *offset,
                            cp_error *err);
void cp_quarantine_walk_end(cp_quarantine_walk *walk);

#endif
