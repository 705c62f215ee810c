/* `coldpath tail TABLE`: rows as they pass through the rings, with or without a recorder. Only reads: no cursor is moved, nobody waits.
 *
 *     ├─ may be written over ─┤··· seen ···│ cursor ──► copied, checked, shown │ published
 *
 * What is published behind the cursor is copied; then the published position is looked at again, and when the producer may have come round
 * into the copy meanwhile, the copy is thrown away and the next rows are shown from where the producer is by then. How many were missed
 * tell the row numbers: of the next row, or, when none follows, of where the producer is, which is what was given back and the records
 * behind it, counted. Nothing in the copy is believed before it is checked, as the drain does it (ingest/record.h). */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/verb.h"
#include "ingest/record.h"
#include "schema/row_text.h"
#include "shm/ack.h"
#include "shm/observer.h"
#include "shm/sigbus_guard.h"

enum {
    OPTION_ROWS = 'n',
    OPTION_WAITING = 'w',
    COPY = 2 * 1024 * 1024, /* more than the largest row */
    POLL_NS = 10 * CP_NS_PER_MS,
    OPEN_EVERY = 50, /* polls; looking for new rings opens files */
    COUNT_TRIES = 5  /* at the rows of a ring that moves */
};

typedef struct tail_args {
    cp_common common;
    const char *table;
    uint64_t rows; /* 0: until a signal */
    bool waiting;
} tail_args;

typedef struct tail_ring {
    cp_ring_map map; /* fd -1: not there */
    uint64_t cursor;
    uint32_t next_number; /* of the row behind the last one shown, or of where it began */
    bool number_known;
    bool jumped; /* the cursor, over rows that were not shown, since then; ... */
    bool jump_known;
    uint32_t jump_number; /* ... to the row of this number */
} tail_ring;

typedef struct tail_run {
    const tail_args *args;
    char dir[PATH_MAX];
    cp_control control;
    uint32_t index;
    const cp_abi_table *entry;
    cp_table *table;
    tail_ring *rings; /* one per slot */
    cp_chunk chunk;   /* room for a copy */
    uint64_t shown;
    uint64_t missed;
    bool named; /* the line of names is written */
} tail_run;

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static bool is_enough(const tail_run *run)
{
    return (run->args->rows && run->shown >= run->args->rows) || stop_signal || cp_output_closed();
}

/* ---- showing ---------------------------------------------------------------------------------------------------- */

static char *row_json(const cp_table *table, const uint8_t *row)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    cp_row_print(out, table, row, CP_ROW_JSON);
    return fclose(out) == 0 ? text : NULL;
}

static void line_json(uint32_t slot, uint64_t position, uint32_t number, uint64_t missed, char *row)
{
    json_object *answer = cp_json_begin("tail");
    cp_json_add_uint(answer, "slot", slot);
    cp_json_add_uint(answer, "position", position);
    cp_json_add_uint(answer, "number", number);
    cp_json_add_uint(answer, "missed", missed);
    cp_json_add_made(answer, "row", row);
    (void)cp_json_end(answer);
}

static void row_show(tail_run *run, uint32_t slot, uint32_t i, uint64_t missed)
{
    const uint8_t *row = cp_chunk_row(&run->chunk, i);
    const uint64_t position = cp_chunk_row_position(&run->chunk, i);
    uint32_t number;
    memcpy(&number, row - sizeof number, sizeof number);
    if (run->args->common.json) {
        line_json(slot, position, number, missed, row_json(run->table, row));
    } else {
        if (!run->named) {
            cp_row_print_names(stdout, run->table);
            putchar('\n');
        }
        run->named = true;
        cp_row_print(stdout, run->table, row, CP_ROW_TSV);
        putchar('\n');
    }
    run->shown++;
}

static void missed_say(tail_run *run, uint32_t slot, uint64_t missed)
{
    char count[CP_HUMAN_TEXT];
    run->missed += missed;
    fflush(stdout);
    if (!run->args->common.json)
        cp_message("slot %" PRIu32 ": %s rows passed unseen", slot, cp_human_count(count, missed));
}

/* Behind the last row. */
static void end_json(uint32_t slot, const tail_ring *ring, uint64_t missed)
{
    json_object *answer = cp_json_begin("tail");
    cp_json_add_uint(answer, "slot", slot);
    cp_json_add_uint(answer, "position", ring->cursor);
    cp_json_add_uint(answer, "number", (uint32_t)(ring->next_number + missed));
    cp_json_add_uint(answer, "missed", missed);
    cp_json_add_made(answer, "row", NULL);
    (void)cp_json_end(answer);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* True when the rows from position on still belong to the recorder. */
static bool is_kept(const tail_run *run, uint32_t slot, uint64_t position)
{
    cp_abi_ack ack;
    return cp_ack_read(cp_control_ack(&run->control, run->index, slot), &ack) &&
           (int64_t)(position - ack.consumed) >= 0;
}

/* True when nobody has written over what lies behind position, now that published is: the producer may be writing a row behind what it has
 * published; but not over what was not given back to it. */
static bool is_intact(const tail_run *run, uint32_t slot, uint64_t position, uint64_t published)
{
    const uint64_t ahead = published - position + cp_record_size_(run->entry->row_max);
    return ahead <= run->rings[slot].map.data_size || is_kept(run, slot, position);
}

/* Records between two positions. False: they do not add up, or the file became shorter. */
static bool rows_count(const cp_ring_map *map, uint64_t from, uint64_t to, uint64_t *rows)
{
    if (!cp_sigbus_enter())
        return false;
    const bool sound =
        to - from <= map->data_size && cp_ring_count_rows(map->data, map->data_size, from, to, rows);
    cp_sigbus_leave();
    return sound;
}

static bool published_read(const cp_ring_map *map, uint64_t *published)
{
    if (!cp_sigbus_enter())
        return false;
    *published = __atomic_load_n(&map->hot->published, __ATOMIC_ACQUIRE);
    cp_sigbus_leave();
    return true;
}

/* Where the producer is now, and the number of the row that it writes next: what was given back, of which the rows are known, and the
 * records behind that. False: it moved too fast to count; then only the position is right. */
static bool place_find(const tail_run *run, uint32_t slot, uint64_t *position, uint32_t *number)
{
    const cp_ring_map *map = &run->rings[slot].map;
    for (int i = 0; i < COUNT_TRIES; i++) {
        cp_abi_ack ack;
        uint64_t rows = 0;
        const bool known = cp_ack_read(cp_control_ack(&run->control, run->index, slot), &ack);
        if (!published_read(map, position))
            return false;
        const bool counted = known && rows_count(map, ack.consumed, *position, &rows);
        uint64_t published = 0;
        if (counted && published_read(map, &published) && is_intact(run, slot, ack.consumed, published)) {
            *number = (uint32_t)(ack.consumed_rows + rows);
            return true;
        }
    }
    return false;
}

/* Maps a ring that is there, or there anew. It begins where it is published, or given back, now. */
static void ring_open(tail_run *run, uint32_t slot)
{
    tail_ring *ring = &run->rings[slot];
    cp_abi_ack ack;
    cp_ack_read(cp_control_ack(&run->control, run->index, slot), &ack);
    if (ring->map.fd >= 0 && ring->map.epoch == ack.epoch)
        return;
    if (ring->map.fd >= 0)
        cp_ring_map_close(&ring->map);
    ring->map.fd = -1;
    if (cp_ring_map_open(&ring->map, run->dir, run->entry, slot, CP_RING_READ, NULL) < 0) {
        ring->map.fd = -1;
        return;
    }
    ring->jumped = false;
    ring->number_known = run->args->waiting;
    ring->cursor = ack.consumed;
    ring->next_number = (uint32_t)ack.consumed_rows;
    if (!run->args->waiting)
        ring->number_known = place_find(run, slot, &ring->cursor, &ring->next_number);
}

static void rings_open(tail_run *run)
{
    if (!cp_sigbus_enter())
        return;
    cp_sigbus_leave();
    for (uint32_t slot = 0; slot < run->entry->slots; slot++)
        ring_open(run, slot);
}

typedef enum copy_result { COPY_NOTHING, COPY_WHOLE, COPY_OVERTAKEN } copy_result;

/* Copies what is published behind the cursor, as far as there is room. *published: as of the end of it; *last: nothing was behind. */
static copy_result ring_copy(const tail_run *run, uint32_t slot, uint64_t *copied, uint64_t *published,
                             bool *last)
{
    const tail_ring *ring = &run->rings[slot];
    const uint64_t size = ring->map.data_size;
    if (!cp_sigbus_enter())
        return COPY_NOTHING;
    *published = __atomic_load_n(&ring->map.hot->published, __ATOMIC_ACQUIRE);
    const uint64_t pending = *published - ring->cursor;
    *copied = pending < run->chunk.data_capacity ? pending : run->chunk.data_capacity;
    *last = *copied == pending;
    const bool fits = pending <= size;
    if (fits && pending > 0) {
        memcpy(run->chunk.data, ring->map.data + (ring->cursor & (size - 1)), *copied);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        *published = __atomic_load_n(&ring->map.hot->published, __ATOMIC_ACQUIRE);
    }
    cp_sigbus_leave();
    if (pending == 0)
        return COPY_NOTHING;
    return fits && is_intact(run, slot, ring->cursor, *published) ? COPY_WHOLE : COPY_OVERTAKEN;
}

/* Rows that were not seen before one of this number. */
static uint64_t missed_before(tail_ring *ring, uint32_t number)
{
    const uint64_t missed = ring->number_known ? number - ring->next_number : 0;
    ring->next_number = number + 1;
    ring->number_known = true;
    ring->jumped = false;
    return missed;
}

static void chunk_show(tail_run *run, tail_ring *ring, uint32_t slot)
{
    for (uint32_t i = 0; i < run->chunk.row_count && !is_enough(run); i++) {
        uint32_t number;
        memcpy(&number, cp_chunk_row(&run->chunk, i) - sizeof number, sizeof number);
        const uint64_t missed = missed_before(ring, number);
        if (missed)
            missed_say(run, slot, missed);
        row_show(run, slot, i, missed);
    }
}

/* True when something was there. */
static bool ring_follow(tail_run *run, uint32_t slot)
{
    tail_ring *ring = &run->rings[slot];
    cp_chunk *chunk = &run->chunk;
    uint64_t copied;
    uint64_t published;
    bool last;
    const copy_result result =
        ring->map.fd >= 0 ? ring_copy(run, slot, &copied, &published, &last) : COPY_NOTHING;
    if (result == COPY_NOTHING)
        return false;
    if (result == COPY_OVERTAKEN) {
        ring->jumped = true;
        ring->cursor = published;
        ring->jump_known = place_find(run, slot, &ring->cursor, &ring->jump_number);
        return true;
    }
    chunk->slot = (uint16_t)slot;
    chunk->begin = ring->cursor;
    const cp_parse_result parsed =
        cp_records_parse(chunk, run->table, run->entry->row_max, copied, last, NULL, NULL);
    chunk_show(run, ring, slot);
    /* What breaks the protocol, or a position that never was one of a row, is passed over. */
    ring->cursor = parsed == CP_PARSE_BROKEN || chunk->byte_count == 0 ? published : chunk->end;
    return true;
}

/* Rows that passed behind the last one shown: up to now, or, when no more were asked for, as far as the cursor jumped. */
static void ring_end(tail_run *run, uint32_t slot)
{
    tail_ring *ring = &run->rings[slot];
    const bool asked = run->args->rows && run->shown >= run->args->rows;
    if (ring->map.fd < 0 || (asked && !ring->jumped))
        return;
    if (!asked)
        ring->jump_known = place_find(run, slot, &ring->cursor, &ring->jump_number);
    if (!ring->jump_known || !ring->number_known) {
        cp_message("slot %" PRIu32 ": rows that passed at the end could not be counted, they are too fast",
                   slot);
        return;
    }
    const uint64_t missed = ring->jump_number - ring->next_number;
    if (missed == 0)
        return;
    missed_say(run, slot, missed);
    if (run->args->common.json)
        end_json(slot, ring, missed);
}

static void rings_end(tail_run *run)
{
    char shown[CP_HUMAN_TEXT];
    char missed[CP_HUMAN_TEXT];
    for (uint32_t slot = 0; run->rings && slot < run->entry->slots; slot++)
        ring_end(run, slot);
    if (run->missed && !run->args->common.json)
        cp_message("%s rows shown, %s passed unseen", cp_human_count(shown, run->shown),
                   cp_human_count(missed, run->missed));
}

static int rings_follow(tail_run *run, cp_error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    for (uint32_t polls = 0; !is_enough(run); polls++) {
        bool any = false;
        if (cp_control_state(&run->control) == CP_RECORDER_RETIRED)
            return cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; try again", run->dir);
        if (polls % OPEN_EVERY == 0)
            rings_open(run);
        for (uint32_t slot = 0; slot < run->entry->slots && !is_enough(run); slot++)
            any |= ring_follow(run, slot);
        fflush(stdout);
        if (!any)
            nanosleep(&pause, NULL);
    }
    return CP_OK;
}

/* ---- the verb --------------------------------------------------------------------------------------------------- */

static int tail_open(tail_run *run, cp_error *err)
{
    int rc = cp_place_region(&run->args->common, run->dir, err);
    if (rc == CP_OK)
        rc = cp_control_open(&run->control, run->dir, false, err);
    if (rc < 0)
        return rc;
    const int index = cp_control_find(&run->control, run->args->table);
    if (index < 0)
        return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; `coldpath tables` lists them",
                            run->args->table);
    run->index = (uint32_t)index;
    run->entry = &run->control.directory[index];
    rc = cp_control_parse_table(&run->control, run->index, &run->table, err);
    if (rc < 0)
        return rc;
    run->rings = calloc(run->entry->slots, sizeof *run->rings);
    run->chunk.data = aligned_alloc(CP_CACHE_LINE, COPY);
    run->chunk.data_capacity = COPY;
    run->chunk.row_capacity = COPY / CP_RECORD_HEADER;
    run->chunk.row_at = malloc(run->chunk.row_capacity * sizeof *run->chunk.row_at);
    if (!run->rings || !run->chunk.data || !run->chunk.row_at)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a copy of rows");
    for (uint32_t slot = 0; slot < run->entry->slots; slot++)
        run->rings[slot].map.fd = -1;
    return CP_OK;
}

static void tail_close(tail_run *run)
{
    for (uint32_t slot = 0; run->rings && slot < run->entry->slots; slot++) {
        if (run->rings[slot].map.fd >= 0)
            cp_ring_map_close(&run->rings[slot].map);
    }
    free(run->rings);
    free(run->chunk.data);
    free(run->chunk.row_at);
    cp_table_free(run->table);
    cp_control_close(&run->control);
}

static const struct argp_option tail_options[] = {
    {"rows", OPTION_ROWS, "N", 0, "End after so many rows (default: until a signal)", 0},
    {"waiting", OPTION_WAITING, NULL, 0, "First the rows that are in the rings and not given back", 0},
    {0},
};

static error_t tail_parse(int key, char *arg, struct argp_state *state)
{
    tail_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_ROWS:
        if (!cp_number_parse(arg, 1, UINT64_MAX, &args->rows))
            argp_error(state, "--rows: '%s' is not a number of rows", arg);
        return 0;
    case OPTION_WAITING:
        args->waiting = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one TABLE at a time");
        args->table = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->table)
            argp_error(state, "of which TABLE?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_tail(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = tail_options,
        .parser = tail_parse,
        .args_doc = "TABLE",
        .doc = "Shows a table's rows as they pass through shared memory, with or without a recorder.\v"
               "As TSV under a line of names, or with --json one object per row. Moves nothing and holds up "
               "nobody: where "
               "producers are faster it is overtaken, and says by how many rows (missed: before this row, in "
               "its ring; with row null: at the end, behind the last one shown). Control characters are "
               "shown as "
               "escapes; bytes that are no UTF-8 as \\xff, with --json as U+FFFD.",
        .children = children};
    tail_args args = {0};
    static tail_run run;
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    run.args = &args;
    cp_sigbus_install();
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int rc = tail_open(&run, &err);
    if (rc == CP_OK)
        rc = rings_follow(&run, &err);
    if (rc == CP_OK)
        rings_end(&run);
    tail_close(&run);
    const int output = cp_output_finish();
    return rc < 0 ? cp_fail(&err) : output;
}
