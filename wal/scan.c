#include "wal/scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum {
    SEARCH = 1024 * 1024, /* bytes searched at a time */
    RECORD_ALIGN = 8
};

/* What a search wants to know. */
typedef struct scan_quest {
    uint64_t from; /* offset */
    uint64_t
        next_lsn; /* a record that has this one, or a later one, behind it or in it; 0: none, look at all */
    uint64_t stated;   /* highest durable LSN of the sound headers looked at */
    uint64_t found_at; /* 0: not found */
    cp_wal_record found;
} scan_quest;

int cp_wal_scan_init(cp_wal_scan *scan, cp_error *err)
{
    memset(scan, 0, sizeof *scan);
    scan->cursor.max_payload = CP_WAL_SCAN_PAYLOAD;
    scan->search = aligned_alloc(CP_IO_BLOCK, SEARCH + CP_WAL_BLOCK);
    if (!scan->search ||
        cp_wal_window_init(&scan->cursor.window, CP_WAL_SCAN_PAYLOAD, CP_WAL_WINDOW, false) != CP_OK) {
        cp_wal_scan_destroy(scan);
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    }
    return CP_OK;
}

void cp_wal_scan_destroy(cp_wal_scan *scan)
{
    cp_wal_window_destroy(&scan->cursor.window);
    free(scan->search);
    scan->search = NULL;
}

/* The LSN that follows a record. */
static uint64_t record_next(const cp_wal_record *record)
{
    return record->lsn + 1; /* a mark's lsn is that of the record before it */
}

/* True when the search is over. */
static bool quest_look(const cp_wal_scan *scan, scan_quest *quest, const uint8_t *at, uint64_t offset)
{
    cp_wal_record record;
    memcpy(&record, at, sizeof record);
    if (!cp_wal_record_sound(&record, scan->cursor.segment_id, scan->cursor.salt, 0))
        return false;
    if (record.durable_lsn > quest->stated)
        quest->stated = record.durable_lsn;
    const uint64_t least = quest->next_lsn + (record.kind == CP_WAL_CHUNK);
    if (quest->next_lsn == 0 || record_next(&record) < least)
        return false;
    quest->found_at = offset;
    quest->found = record;
    return true;
}

/* Looks at every place where a record may begin. */
static int segment_search(cp_wal_scan *scan, scan_quest *quest, cp_error *err)
{
    const cp_wal_cursor *cursor = &scan->cursor;
    const uint32_t magic = CP_WAL_RECORD_MAGIC;
    for (uint64_t base = quest->from / CP_WAL_BLOCK * CP_WAL_BLOCK; base < cursor->size; base += SEARCH) {
        const int64_t got =
            cursor->io->ops->read(cursor->io, cursor->file, scan->search, SEARCH + CP_WAL_BLOCK, base);
        if (got < 0)
            return cp_error_errno(err, CP_E_IO, (int)-got, "cannot read at offset %llu",
                                  (unsigned long long)base);
        uint64_t at = quest->from > base ? quest->from - base : 0;
        for (; at < SEARCH && at + CP_WAL_RECORD_HEADER <= (uint64_t)got; at += RECORD_ALIGN) {
            if (memcmp(scan->search + at, &magic, sizeof magic) == 0 &&
                quest_look(scan, quest, scan->search + at, base + at))
                return CP_OK;
        }
        if (got < SEARCH)
            break;
    }
    return CP_OK;
}

/* The record at the cursor, read again once when it was not sound: it may have been written in between. */
static int record_read(cp_wal_scan *scan, const cp_wal_record **record, const uint8_t **payload,
                       cp_error *err)
{
    cp_wal_cursor *cursor = &scan->cursor;
    int code = cp_wal_cursor_next(cursor, record, payload, err);
    if (code != CP_E_CORRUPT)
        return code;
    const bool ends = scan->last_lsn == 0 && cursor->next_lsn > scan->stated;
    if (ends) {
        scan_quest all = {.from = cursor->offset};
        cp_error read_err;
        if (segment_search(scan, &all, &read_err) != CP_OK)
            return cp_error_set(err, read_err.code, "%s", read_err.text);
        if (all.stated > scan->stated)
            scan->stated = all.stated;
        if (cursor->next_lsn > scan->stated)
            return CP_E_CORRUPT; /* nobody was told of it: the end */
    }
    cp_wal_cursor_forget(cursor);
    return cp_wal_cursor_next(cursor, record, payload, err);
}

/* Places the cursor on what is sound behind the damage. CP_E_ABSENT: nothing is. */
static int damage_pass(cp_wal_scan *scan, const char *what, cp_error *err)
{
    cp_wal_cursor *cursor = &scan->cursor;
    const uint64_t lo = cursor->next_lsn;
    const uint64_t offset = cursor->offset;
    scan_quest next = {.from = offset + RECORD_ALIGN, .next_lsn = lo};
    const int code = segment_search(scan, &next, err);
    if (code != CP_OK)
        return code;
    uint64_t hi = scan->last_lsn ? scan->last_lsn : scan->stated;
    const uint64_t begins = next.found.lsn + (next.found.kind == CP_WAL_MARK);
    if (scan->open_end && (!next.found_at || begins > hi + 1))
        return CP_E_ABSENT;
    if (next.found_at) {
        if (begins - 1 < hi)
            hi = begins - 1;
        cursor->offset = next.found_at;
        cursor->next_lsn = begins;
        cursor->previous_crc = next.found.previous_crc;
        cp_wal_cursor_forget(cursor);
    } else {
        cursor->next_lsn = hi + 1;
    }
    const int told = scan->gap ? scan->gap(scan->ctx, offset, lo, hi, what) : CP_OK;
    return told == CP_OK && !next.found_at ? CP_E_ABSENT : told;
}

/* The marks between the last record and the end: the successor's link counts them in. */
static int marks_pass(cp_wal_scan *scan, cp_error *err)
{
    cp_wal_cursor *cursor = &scan->cursor;
    const uint64_t last = cursor->next_lsn - 1;
    while (cursor->offset < scan->last_end) {
        const cp_wal_record *record = NULL;
        const uint8_t *payload = NULL;
        cp_error bad = {0};
        const int code = cp_wal_cursor_next(cursor, &record, &payload, &bad);
        if (code == CP_E_CORRUPT || (code == CP_OK && record->kind != CP_WAL_MARK))
            return scan->gap ? scan->gap(scan->ctx, cursor->offset, last + 1, last, "a damaged mark") : CP_OK;
        if (code != CP_OK)
            return cp_error_set(err, code, "%s", bad.text);
        scan->end = cp_wal_block_up(cursor->offset);
        scan->end_crc = cursor->previous_crc;
    }
    return CP_OK;
}

int cp_wal_scan_run(cp_wal_scan *scan, const cp_wal_origin *origin, cp_io *io, int file, cp_error *err)
{
    cp_wal_cursor *cursor = &scan->cursor;
    cp_wal_cursor_begin(cursor, origin, io, file);
    scan->end = CP_WAL_FIRST_FRAME;
    scan->end_crc = cursor->previous_crc;
    int code = CP_OK;
    while (code == CP_OK && (scan->last_lsn == 0 || cursor->next_lsn <= scan->last_lsn)) {
        const cp_wal_record *record = NULL;
        const uint8_t *payload = NULL;
        cp_error bad = {0};
        code = record_read(scan, &record, &payload, &bad);
        if (code == CP_OK) {
            scan->end = cp_wal_block_up(cursor->offset);
            scan->end_crc = cursor->previous_crc;
            if (record->durable_lsn > scan->stated)
                scan->stated = record->durable_lsn;
            if (record->kind == CP_WAL_CHUNK && scan->record)
                code = scan->record(scan->ctx, record, payload);
        } else if (code != CP_E_CORRUPT) {
            return cp_error_set(err, code, "%s", bad.text);
        } else if (scan->last_lsn == 0 && cursor->next_lsn > scan->stated) {
            code = CP_E_ABSENT;
        } else {
            code = damage_pass(scan, bad.text, err);
        }
    }
    scan->end_lsn = cursor->next_lsn - 1;
    if (code == CP_OK && scan->last_end)
        return marks_pass(scan, err);
    return code == CP_E_ABSENT ? CP_OK : code;
}
