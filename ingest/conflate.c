#include "ingest/conflate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum {
    LOAD_PARTS = 4,  /* one of so many places of the table stays empty */
    WORTH_PARTS = 4, /* squeezing has to free one of so many parts, or the window is full */
    POSITION_UNIT = CP_RECORD_ALIGN
};

/* Positions in a window are 32-bit numbers of records' alignment. */
static const uint64_t window_range_max = (uint64_t)UINT32_MAX * POSITION_UNIT;

typedef struct key_entry { /* a cache line */
    XXH128_hash_t key;
    XXH128_hash_t value; /* of its last row, if trusted is current */
    uint64_t interval;   /* in which the last of its rows that stayed came, */
    uint32_t window;     /*   in which window, */
    uint32_t position;   /*   and where in it, in units */
    uint32_t life;       /* of the table when it was entered; another: the place is empty */
    uint32_t trusted;
    uint32_t chunk; /* that was thinned last with a row of it, */
    uint32_t index; /*   the latest of which stands there */
} key_entry;

typedef struct window {
    cp_chunk *chunk; /* NULL: there is none */
    uint64_t opened_ns;
    uint32_t number;
    uint64_t interval;    /* number of the one under way; 0: rows are not conflated */
    uint64_t interval_ns; /* when it began */
    uint32_t final_rows;  /* rows of earlier intervals */
    uint32_t replaced;    /* rows behind them that newer ones replaced */
    uint32_t fill;        /* bytes of data in use, left-out rows included */
} window;

struct cp_conflater {
    const cp_table *table;
    cp_column_list key;
    cp_column_list value;
    key_entry *entries;
    uint64_t mask;
    uint64_t entry_count;
    uint64_t entry_max;
    uint32_t life;
    uint32_t trusted;
    uint64_t intervals; /* begun, of all slots */
    uint32_t opened;    /* windows */
    uint32_t thinned;   /* chunks */
    uint64_t unkeyed;
    uint32_t slots;
    window windows[];
};

/* ---- making ---------------------------------------------------------------------------------------------------- */

int cp_conflater_create(cp_conflater **out, const cp_table *table, uint32_t slots, const cp_column_list *key,
                        const cp_column_list *value, uint32_t max_keys, cp_error *err)
{
    uint64_t places = 16;
    while (places - places / LOAD_PARTS < max_keys)
        places *= 2;
    cp_conflater *conflater = calloc(1, sizeof *conflater + slots * sizeof(window));
    *out = conflater;
    if (conflater)
        conflater->entries = calloc(places, sizeof *conflater->entries);
    if (!conflater || !conflater->entries) {
        free(conflater);
        *out = NULL;
        return cp_error_set(err, CP_E_NOMEM, "table %s: no memory for %u keys", table->name, max_keys);
    }
    conflater->table = table;
    conflater->slots = slots;
    conflater->key = *key;
    conflater->value = *value;
    conflater->mask = places - 1;
    conflater->entry_max = max_keys;
    conflater->life = 1;
    conflater->trusted = 1;
    return CP_OK;
}

void cp_conflater_free(cp_conflater *conflater)
{
    if (!conflater)
        return;
    free(conflater->entries);
    free(conflater);
}

static XXH128_hash_t columns_hash(const cp_conflater *conflater, const cp_column_list *list, uint32_t slot,
                                  const uint8_t *row)
{
    return cp_row_hash(conflater->table, list, slot, row);
}

/* ---- the table of keys ----------------------------------------------------------------------------------------- */

/* The key's entry, or where it would be (its life is then another). */
static key_entry *entry_find(const cp_conflater *conflater, const XXH128_hash_t *key)
{
    for (uint64_t at = key->low64;; at++) {
        key_entry *entry = &conflater->entries[at & conflater->mask];
        if (entry->life != conflater->life || XXH128_isEqual(entry->key, *key))
            return entry;
    }
}

/* Likewise, and makes one; NULL when there is no place left. */
static key_entry *entry_get(cp_conflater *conflater, const XXH128_hash_t *key)
{
    key_entry *entry = entry_find(conflater, key);
    if (entry->life == conflater->life)
        return entry;
    if (conflater->entry_count == conflater->entry_max)
        return NULL;
    conflater->entry_count++;
    *entry = (key_entry){.key = *key, .life = conflater->life};
    return entry;
}

void cp_conflater_mistrust(cp_conflater *conflater)
{
    conflater->trusted++;
}

void cp_conflater_clear(cp_conflater *conflater)
{
    conflater->life++;
    conflater->entry_count = 0;
}

uint64_t cp_conflater_unkeyed(const cp_conflater *conflater)
{
    return conflater->unkeyed;
}

/* ---- thinning a chunk ------------------------------------------------------------------------------------------ */

/* True when the row's values are those of its key's last one, which it becomes. */
static bool value_is_known(const cp_conflater *conflater, key_entry *entry, const cp_chunk *chunk,
                           const uint8_t *row)
{
    if (conflater->value.count == 0)
        return false;
    const XXH128_hash_t value = columns_hash(conflater, &conflater->value, chunk->slot, row);
    const bool known = entry->trusted == conflater->trusted && XXH128_isEqual(entry->value, value);
    entry->value = value;
    entry->trusted = conflater->trusted;
    return known;
}

/* Closes the gaps (0) in a chunk's index. */
static void index_close(cp_chunk *chunk)
{
    const uint32_t count = chunk->row_count;
    chunk->row_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (chunk->row_at[i])
            chunk->row_at[chunk->row_count++] = chunk->row_at[i];
    }
}

uint32_t cp_conflater_thin(cp_conflater *conflater, cp_chunk *chunk, bool suppress, bool conflate)
{
    const uint32_t stamp = ++conflater->thinned;
    const uint32_t count = chunk->row_count;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *row = cp_chunk_row(chunk, i);
        const XXH128_hash_t key = columns_hash(conflater, &conflater->key, chunk->slot, row);
        key_entry *entry = entry_get(conflater, &key);
        if (!entry)
            continue;
        if (value_is_known(conflater, entry, chunk, row) && suppress) {
            chunk->row_at[i] = 0;
            continue;
        }
        if (conflate && entry->chunk == stamp)
            chunk->row_at[entry->index] = 0;
        entry->chunk = stamp;
        entry->index = i;
    }
    index_close(chunk);
    return count - chunk->row_count;
}

/* ---- the window ------------------------------------------------------------------------------------------------ */

static uint32_t record_size(const cp_chunk *chunk, uint32_t row_at)
{
    const uint32_t size = *(const uint32_t *)(const void *)(chunk->data + row_at - CP_RECORD_HEADER);
    return (size + CP_RECORD_HEADER + CP_RECORD_ALIGN - 1) & ~(uint32_t)(CP_RECORD_ALIGN - 1);
}

/* True for a row that a newer one of its key replaced in this interval. */
static bool row_is_replaced(const cp_conflater *conflater, const window *w, uint32_t index)
{
    const cp_chunk *chunk = w->chunk;
    const XXH128_hash_t key =
        columns_hash(conflater, &conflater->key, chunk->slot, cp_chunk_row(chunk, index));
    const key_entry *entry = entry_find(conflater, &key);
    return entry->life == conflater->life && entry->interval == w->interval &&
           cp_chunk_row_position(chunk, index) != chunk->begin + (uint64_t)entry->position * POSITION_UNIT;
}

/* Takes replaced rows out of the index. */
static void window_settle(const cp_conflater *conflater, window *w)
{
    cp_chunk *chunk = w->chunk;
    uint32_t kept = w->final_rows;
    if (w->replaced == 0)
        return;
    for (uint32_t i = w->final_rows; i < chunk->row_count; i++) {
        if (!row_is_replaced(conflater, w, i))
            chunk->row_at[kept++] = chunk->row_at[i];
    }
    assert(chunk->row_count - kept == w->replaced);
    chunk->row_count = kept;
    w->replaced = 0;
}

/* Moves the rows together; their places in the ring stand in their headers. */
static void window_squeeze(window *w)
{
    cp_chunk *chunk = w->chunk;
    uint32_t to = 0;
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        const uint32_t from = chunk->row_at[i] - CP_RECORD_HEADER;
        const uint32_t size = record_size(chunk, chunk->row_at[i]);
        if (from != to)
            memmove(chunk->data + to, chunk->data + from, size);
        chunk->row_at[i] = to + CP_RECORD_HEADER;
        to += size;
    }
    w->fill = to;
}

/* Leaves the latest row of each key alone. Returns how many went. */
static uint32_t window_collapse(const cp_conflater *conflater, window *w)
{
    cp_chunk *chunk = w->chunk;
    const uint32_t rows = chunk->row_count;
    const uint32_t final_rows = w->final_rows;
    chunk->row_count = 0;
    for (uint32_t i = 0; i < rows; i++) {
        if (i == final_rows)
            w->final_rows = chunk->row_count;
        const XXH128_hash_t key =
            columns_hash(conflater, &conflater->key, chunk->slot, cp_chunk_row(chunk, i));
        const key_entry *entry = entry_find(conflater, &key);
        const bool known = entry->life == conflater->life && entry->window == w->number;
        if (!known ||
            cp_chunk_row_position(chunk, i) == chunk->begin + (uint64_t)entry->position * POSITION_UNIT)
            chunk->row_at[chunk->row_count++] = chunk->row_at[i];
    }
    if (final_rows == rows)
        w->final_rows = chunk->row_count;
    return rows - chunk->row_count;
}

/* Bytes of the chunk's rows. */
static uint32_t chunk_bytes(const cp_chunk *chunk)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < chunk->row_count; i++)
        bytes += record_size(chunk, chunk->row_at[i]);
    return bytes;
}

static bool window_has_room(const window *w, const cp_chunk *chunk, uint32_t bytes)
{
    return bytes <= w->chunk->data_capacity - w->fill &&
           chunk->row_count <= w->chunk->row_capacity - w->chunk->row_count;
}

/* Makes room for a chunk in a window that has one; false when it is full. */
static bool window_make_room(const cp_conflater *conflater, window *w, const cp_chunk *chunk, bool collapse,
                             uint64_t *suppressed)
{
    if (w->chunk->epoch != chunk->epoch || w->chunk->end != chunk->begin ||
        chunk->end - w->chunk->begin > window_range_max)
        return false;
    const uint32_t bytes = chunk_bytes(chunk);
    if (window_has_room(w, chunk, bytes))
        return true;
    window_settle(conflater, w);
    if (collapse)
        *suppressed += window_collapse(conflater, w);
    window_squeeze(w);
    const uint32_t room = w->chunk->data_capacity - w->fill;
    return (collapse || room >= w->chunk->data_capacity / WORTH_PARTS) && window_has_room(w, chunk, bytes);
}

/* Begins the next interval when it is time, or ends conflation. */
static void window_turn(cp_conflater *conflater, window *w, bool conflate, uint64_t interval_ns,
                        uint64_t now_ns)
{
    if (conflate && w->interval && now_ns - w->interval_ns < interval_ns)
        return;
    if (!conflate && !w->interval)
        return;
    if (w->chunk) {
        window_settle(conflater, w);
        w->final_rows = w->chunk->row_count;
    }
    w->interval = conflate ? ++conflater->intervals : 0;
    w->interval_ns = now_ns;
}

/* Notes where a key's row lies now, in the window and in its record's header. */
static void row_note(cp_conflater *conflater, window *w, uint32_t row_at, uint32_t position,
                     uint64_t *replaced)
{
    cp_chunk *chunk = w->chunk;
    const XXH128_hash_t key = columns_hash(conflater, &conflater->key, chunk->slot, chunk->data + row_at);
    key_entry *entry = entry_find(conflater, &key);
    memcpy(chunk->data + row_at - sizeof position, &position, sizeof position);
    if (entry->life != conflater->life) {
        conflater->unkeyed++;
        return;
    }
    const bool replaces = w->interval && entry->interval == w->interval;
    w->replaced += replaces;
    *replaced += replaces;
    entry->interval = w->interval;
    entry->window = w->number;
    entry->position = position;
}

/* The chunk becomes the window. */
static void window_open(cp_conflater *conflater, window *w, cp_chunk *chunk, uint64_t now_ns,
                        uint64_t *suppressed)
{
    w->chunk = chunk;
    w->number = ++conflater->opened;
    w->opened_ns = now_ns;
    w->final_rows = 0;
    w->replaced = 0;
    w->fill = chunk->byte_count;
    chunk->packed = true;
    chunk->pressing = false;
    for (uint32_t i = 0; i < chunk->row_count; i++)
        row_note(conflater, w, chunk->row_at[i], (chunk->row_at[i] - CP_RECORD_HEADER) / POSITION_UNIT,
                 suppressed);
}

static void window_append(cp_conflater *conflater, window *w, const cp_chunk *chunk, uint64_t *suppressed)
{
    cp_chunk *to = w->chunk;
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        const uint32_t size = record_size(chunk, chunk->row_at[i]);
        const uint32_t at = w->fill + CP_RECORD_HEADER;
        memcpy(to->data + w->fill, chunk->data + chunk->row_at[i] - CP_RECORD_HEADER, size);
        row_note(conflater, w, at, (uint32_t)((cp_chunk_row_position(chunk, i) - to->begin) / POSITION_UNIT),
                 suppressed);
        to->row_at[to->row_count++] = at;
        w->fill += size;
    }
    to->end = chunk->end;
    to->rejected += chunk->rejected;
}

cp_window_result cp_conflater_add(cp_conflater *conflater, cp_chunk *chunk, bool conflate,
                                  uint64_t interval_ns, uint64_t now_ns, uint64_t *suppressed)
{
    window *w = &conflater->windows[chunk->slot];
    if (w->chunk && !window_make_room(conflater, w, chunk, chunk->scarce && conflate, suppressed))
        return CP_WINDOW_FULL;
    window_turn(conflater, w, conflate, interval_ns, now_ns);
    if (w->chunk) {
        window_append(conflater, w, chunk, suppressed);
        return CP_WINDOW_ADDED;
    }
    window_open(conflater, w, chunk, now_ns, suppressed);
    return CP_WINDOW_OPENED;
}

/* ---- handing on ------------------------------------------------------------------------------------------------ */

bool cp_conflater_holds(const cp_conflater *conflater, uint32_t slot)
{
    return conflater->windows[slot].chunk != NULL;
}

uint64_t cp_conflater_opened_ns(const cp_conflater *conflater, uint32_t slot)
{
    return conflater->windows[slot].opened_ns;
}

cp_chunk *cp_conflater_finish(cp_conflater *conflater, uint32_t slot)
{
    window *w = &conflater->windows[slot];
    if (!w->chunk)
        return NULL;
    window_settle(conflater, w);
    window_squeeze(w); /* who keeps the chunk keeps byte_count bytes of it */
    w->chunk->byte_count = w->fill;
    return w->chunk;
}

void cp_conflater_forget(cp_conflater *conflater, uint32_t slot)
{
    window *w = &conflater->windows[slot];
    w->chunk = NULL;
    w->interval = 0; /* its rows are gone: none of them can be replaced */
}
