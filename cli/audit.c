#include "cli/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/sql_text.h"
#include "flush/query.h"
#include "shm/ack.h"
#include "shm/intent.h"
#include "shm/sigbus_guard.h"

enum {
    SLICE_ROWS =
        1
        << 23, /* looked at in one query: telling their positions apart costs ClickHouse half a GB at most */
    ANSWER = 64 * 1024, /* bytes: CP_REGION_MAX_SLOTS lines of a dozen numbers */
    SETTLE_TRIES = 20,
    SETTLE_NS = 5 * CP_NS_PER_MS
};

typedef struct answer {
    size_t used;
    char text[ANSWER];
} answer;

static int answer_take(void *ctx, const void *data, size_t size)
{
    answer *to = ctx;
    if (size >= sizeof to->text - to->used)
        return -1;
    memcpy(to->text + to->used, data, size);
    to->used += size;
    to->text[to->used] = '\0';
    return 0;
}

/* ---- the ledger's side ------------------------------------------------------------------------------------------ */

/* Walks the records of [begin, end); false when they do not add up. Inside a SIGBUS guard. */
static bool range_walk(const cp_ring_map *map, cp_audit_range *range)
{
    range->rows = range->sum = range->squares = 0;
    for (uint64_t at = range->begin; at != range->end;) {
        uint32_t size;
        memcpy(&size, map->data + (at & (map->data_size - 1)), sizeof size);
        const uint64_t need = cp_record_size_(size);
        if (size == 0 || need > range->end - at)
            return false;
        range->rows++;
        range->sum += at;
        range->squares += at * at;
        at += need;
    }
    return true;
}

/* True when no producer can have written over begin by now: one writes at most a row beyond what is published. */
static bool range_stands(const cp_ring_map *map, const cp_abi_table *entry, uint64_t begin)
{
    const uint64_t published = __atomic_load_n(&map->hot->published, __ATOMIC_ACQUIRE);
    return published - begin <= map->data_size - cp_record_size_(entry->row_max);
}

/* Where a record begins from which the ring's bytes still stand: the ring's beginning, or the last batch's. */
static bool range_begin(const cp_observer *observer, uint32_t index, const cp_audit_ring *ring,
                        uint64_t *begin)
{
    const cp_abi_table *entry = &observer->control.directory[index];
    const cp_ring_map *map = &observer->maps[entry->first_ring + ring->slot];
    *begin = 0;
    if (range_stands(map, entry, 0))
        return true;
    const cp_abi_intent *intent = &observer->control.intents[index];
    if (__atomic_load_n(&intent->state, __ATOMIC_ACQUIRE) != CP_INTENT_ENDED)
        return false;
    bool found = false;
    for (uint32_t i = 0; !found && i < CP_REGION_MAX_SLOTS && i < intent->span_count; i++) {
        const cp_abi_intent_span span = intent->spans[i];
        found = span.slot == ring->slot && span.epoch == ring->epoch && span.begin % CP_RECORD_ALIGN == 0 &&
                span.begin < ring->position;
        *begin = span.begin;
    }
    /* The next batch may be moving in: then this was none. */
    return found && __atomic_load_n(&intent->state, __ATOMIC_ACQUIRE) == CP_INTENT_ENDED &&
           range_stands(map, entry, *begin);
}

static void ring_range(const cp_observer *observer, uint32_t index, cp_audit_ring *ring)
{
    const cp_abi_table *entry = &observer->control.directory[index];
    const cp_ring_map *map = &observer->maps[entry->first_ring + ring->slot];
    if (map->fd < 0 || map->epoch != ring->epoch || ring->position == 0 || !cp_sigbus_enter())
        return;
    ring->range.end = ring->position;
    ring->ranged = range_begin(observer, index, ring, &ring->range.begin) && range_walk(map, &ring->range) &&
                   range_stands(map, entry, ring->range.begin);
    cp_sigbus_leave();
}

static void ring_note(const cp_observer *observer, uint32_t index, uint32_t slot, cp_audit_ring *ring)
{
    cp_abi_ack ack;
    const bool sound = cp_ack_read(cp_control_ack(&observer->control, index, slot), &ack);
    *ring = (cp_audit_ring){
        .slot = slot, .epoch = ack.epoch, .position = ack.delivered, .rows = ack.delivered_rows};
    ring->exact = sound && ack.consumed == ack.delivered && ack.consumed_rows == cp_ack_settled_rows(&ack);
    ring->left_out = cp_ack_settled_rows(&ack) - ack.delivered_rows;
    ring->retried_most = ack.quarantined_rows + ack.doubtful_rows + ack.held_rows;
}

/* Of a critical table, rows become durable, then delivered, in steps: looks for a moment at which the books are closed. */
static void ring_note_settled(const cp_observer *observer, uint32_t index, uint32_t slot, cp_audit_ring *ring)
{
    const struct timespec pause = {.tv_nsec = SETTLE_NS};
    ring_note(observer, index, slot, ring);
    for (int tries = 0; !ring->exact && tries < SETTLE_TRIES; tries++) {
        nanosleep(&pause, NULL);
        ring_note(observer, index, slot, ring);
    }
    if (ring->left_out == 0) /* such a row is in the ring, but not in ClickHouse */
        ring_range(observer, index, ring);
}

static void ring_note_after(const cp_ring_view *view, cp_audit_ring *ring)
{
    ring->published = view->readable ? view->published : view->ack.consumed;
    ring->rows_most = view->rows - (cp_ack_settled_rows(&view->ack) - view->ack.delivered_rows) +
                      view->ack.quarantined_rows + view->ack.held_rows;
}

/* ---- ClickHouse's side ------------------------------------------------------------------------------------------ */

/* transform(_cp_slot, [slots], [values], 0): a ring's own value of the field at offset. */
static void sql_per_ring(FILE *sql, const cp_audit *audit, size_t offset)
{
    fputs("transform(_cp_slot, [", sql);
    for (uint32_t i = 0; i < audit->ring_count; i++)
        fprintf(sql, "%s%u", i ? "," : "", audit->rings[i].slot);
    fputs("], [", sql);
    for (uint32_t i = 0; i < audit->ring_count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&audit->rings[i] + offset, sizeof value);
        fprintf(sql, "%stoUInt64(%" PRIu64 ")", i ? "," : "", value);
    }
    fputs("], toUInt64(0))", sql);
}

/* The rows whose position falls into one of count slices. */
typedef struct slices {
    uint64_t at;
    uint64_t count;
} slices;

static char *sql_rings(const cp_audit *audit, slices slice)
{
    char *text = NULL;
    size_t size = 0;
    FILE *sql = open_memstream(&text, &size);
    if (!sql)
        return NULL;
    fputs("WITH ", sql);
    sql_per_ring(sql, audit, offsetof(cp_audit_ring, position));
    fputs(" AS settled, _cp_position >= ", sql);
    sql_per_ring(sql, audit, offsetof(cp_audit_ring, range.begin));
    fputs(" AND _cp_position < ", sql);
    sql_per_ring(sql, audit, offsetof(cp_audit_ring, range.end));
    fprintf(sql,
            " AS ranged SELECT _cp_slot, count(), uniqExact(_cp_position), countIf(_cp_position < settled),"
            " uniqExactIf(_cp_position, _cp_position < settled), min(_cp_position), max(_cp_position),"
            " countIf(_cp_position %% 8 != 0), countIf(ranged), sumIf(_cp_position, ranged),"
            " sumIf(_cp_position * _cp_position, ranged) FROM %s WHERE (_cp_epoch, _cp_slot) IN (",
            audit->place);
    for (uint32_t i = 0; i < audit->ring_count; i++)
        fprintf(sql, "%s(%" PRIu64 ",%u)", i ? "," : "", audit->rings[i].epoch, audit->rings[i].slot);
    fprintf(sql,
            ") AND intHash32(_cp_position) %% %" PRIu64 " = %" PRIu64
            " GROUP BY _cp_epoch, _cp_slot FORMAT TSV",
            slice.count, slice.at);
    if (fclose(sql) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static cp_audit_ring *ring_of_slot(cp_audit *audit, uint64_t slot)
{
    for (uint32_t i = 0; i < audit->ring_count; i++) {
        if (audit->rings[i].slot == slot)
            return &audit->rings[i];
    }
    return NULL;
}

/* Adds what one slice has of a ring. */
static bool line_read(cp_audit *audit, const char *line)
{
    uint64_t slot;
    cp_audit_ring got = {0};
    const int fields = sscanf(line,
                              "%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64
                              "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64,
                              &slot, &got.held, &got.distinct, &got.held_before, &got.distinct_before,
                              &got.lowest, &got.highest, &got.misplaced, &got.held_range.rows,
                              &got.held_range.sum, &got.held_range.squares);
    cp_audit_ring *ring = fields == 11 ? ring_of_slot(audit, slot) : NULL;
    if (!ring)
        return false;
    const bool first = ring->held == 0;
    ring->lowest = first || got.lowest < ring->lowest ? got.lowest : ring->lowest;
    ring->highest = got.highest > ring->highest ? got.highest : ring->highest;
    ring->held += got.held;
    ring->distinct += got.distinct;
    ring->held_before += got.held_before;
    ring->distinct_before += got.distinct_before;
    ring->misplaced += got.misplaced;
    ring->held_range.rows += got.held_range.rows;
    ring->held_range.sum += got.held_range.sum;
    ring->held_range.squares += got.held_range.squares;
    return true;
}

static int slice_ask(cp_audit *audit, const cp_sink_config *sink, slices slice, answer *into, cp_error *err)
{
    char *sql = sql_rings(audit, slice);
    if (!sql)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a query");
    into->used = 0;
    into->text[0] = '\0';
    int rc = cp_query_run(sink, NULL, sql, answer_take, into, err);
    free(sql);
    char *rest = NULL;
    for (char *line = strtok_r(into->text, "\n", &rest); rc == CP_OK && line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (!line_read(audit, line))
            rc = cp_error_set(err, CP_E_SERVER,
                              "%s: ClickHouse answered something else than was asked: \"%.100s\"",
                              audit->place, line);
    }
    return rc;
}

/* total: the table's rows. In slices, so that ClickHouse needs no more memory for a large table than for a small one. */
static int rings_ask(cp_audit *audit, const cp_sink_config *sink, uint64_t total, answer *into, cp_error *err)
{
    int rc = CP_OK;
    slices slice = {.count = 1 + total / SLICE_ROWS};
    for (; rc == CP_OK && slice.at < slice.count; slice.at++)
        rc = slice_ask(audit, sink, slice, into, err);
    return rc;
}

/* Up to three numbers; CP_E_SERVER when there are none. */
static int numbers_ask(const cp_sink_config *sink, const char *sql, answer *into, uint64_t out[3],
                       cp_error *err)
{
    into->used = 0;
    into->text[0] = '\0';
    const int rc = cp_query_run(sink, NULL, sql, answer_take, into, err);
    if (rc < 0)
        return rc;
    if (sscanf(into->text, "%" SCNu64 "\t%" SCNu64 "\t%" SCNu64, &out[0], &out[1], &out[2]) < 1)
        return cp_error_set(err, CP_E_SERVER, "ClickHouse answered \"%.100s\" to %.200s", into->text, sql);
    return CP_OK;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------ */

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void ring_judge(cp_audit_ring *ring)
{
    ring->twice = ring->held - ring->distinct;
    ring->missing = above(ring->rows, ring->exact ? ring->distinct_before : ring->distinct);
    ring->unknown = ring->exact ? above(ring->distinct_before, ring->rows + ring->retried_most)
                                : above(ring->distinct, ring->rows_most);
    if (ring->misplaced > ring->unknown)
        ring->unknown = ring->misplaced;
    if (ring->unknown == 0 && ring->held > 0 && ring->highest >= ring->published)
        ring->unknown = 1; /* at least the one */
    ring->checksum_differs = ring->ranged && (ring->range.rows != ring->held_range.rows ||
                                              ring->range.sum != ring->held_range.sum ||
                                              ring->range.squares != ring->held_range.squares);
    if (ring->checksum_differs) {
        ring->suspect_begin = ring->range.begin;
        ring->suspect_end = ring->range.end;
    }
}

/* Where rows are there twice: from the first such position to the last. Where rows are missing: the widest gap. A server without
 * window functions leaves the place unknown. */
static int ring_locate(const cp_audit *audit, cp_audit_ring *ring, const cp_sink_config *sink, answer *into,
                       cp_error *err)
{
    enum { SQL = CP_AUDIT_PLACE + 1024 };
    char sql[SQL];
    uint64_t got[3] = {0};
    char where[256];
    snprintf(where, sizeof where, " WHERE _cp_epoch = %" PRIu64 " AND _cp_slot = %u", ring->epoch,
             ring->slot);
    if (ring->twice)
        snprintf(
            sql, sizeof sql,
            "SELECT min(p), max(p) FROM (SELECT _cp_position AS p FROM %s%s GROUP BY p HAVING count() > 1)"
            " FORMAT TSV",
            audit->place, where);
    else
        snprintf(
            sql, sizeof sql,
            "SELECT p - d, p FROM (SELECT p, p - lagInFrame(p, 1, toUInt64(0)) OVER (ORDER BY p ROWS BETWEEN"
            " UNBOUNDED PRECEDING AND CURRENT ROW) AS d FROM (SELECT _cp_position AS p FROM %s%s AND"
            " _cp_position < %" PRIu64 " UNION ALL SELECT toUInt64(%" PRIu64 "))) ORDER BY d DESC, p LIMIT 1"
            " FORMAT TSV",
            audit->place, where, ring->position, ring->position);
    const int rc = numbers_ask(sink, sql, into, got, err);
    if (rc < 0)
        return rc == CP_E_SERVER ? CP_OK : rc;
    ring->suspect_begin = got[0];
    ring->suspect_end = got[1] + (ring->twice != 0); /* behind the last one */
    return CP_OK;
}

bool cp_audit_ring_differs(const cp_audit_ring *ring)
{
    return ring->missing || ring->twice || ring->unknown || ring->checksum_differs;
}

bool cp_audit_differs(const cp_audit *audit)
{
    bool differs = audit->absent || audit->missing > 0; /* without provenance that is all there is */
    for (uint32_t i = 0; i < audit->ring_count; i++)
        differs = differs || cp_audit_ring_differs(&audit->rings[i]);
    return differs;
}

static int rings_judge(cp_audit *audit, const cp_sink_config *sink, answer *into, cp_error *err)
{
    int rc = CP_OK;
    for (uint32_t i = 0; rc == CP_OK && i < audit->ring_count; i++) {
        cp_audit_ring *ring = &audit->rings[i];
        ring_judge(ring);
        if (ring->twice || (ring->missing && ring->exact))
            rc = ring_locate(audit, ring, sink, into, err);
        audit->delivered += ring->rows;
        audit->held += ring->held;
        audit->missing += ring->missing;
        audit->twice += ring->twice;
        audit->unknown += ring->unknown;
        audit->rings_checked += ring->ranged;
    }
    return rc;
}

/* ---- a table ---------------------------------------------------------------------------------------------------- */

static int total_ask(const cp_audit *audit, const cp_sink_config *sink, answer *into, uint64_t *total,
                     cp_error *err)
{
    char sql[CP_AUDIT_PLACE + 64];
    uint64_t got[3] = {0};
    snprintf(sql, sizeof sql, "SELECT count() FROM %s FORMAT TSV", audit->place);
    const int rc = numbers_ask(sink, sql, into, got, err);
    *total = got[0];
    return rc;
}

static int audit_rings(cp_audit *audit, cp_observer *observer, uint32_t index, const cp_sink_config *sink,
                       answer *into, cp_error *err)
{
    const cp_table_view *view = &observer->tables[index];
    for (uint32_t slot = 0; slot < view->entry->slots; slot++)
        ring_note_settled(observer, index, slot, &audit->rings[audit->ring_count++]);
    uint64_t total = 0;
    int rc = total_ask(audit, sink, into, &total, err);
    if (rc == CP_OK)
        rc = rings_ask(audit, sink, total, into, err);
    if (rc == CP_OK && cp_observer_look(observer) < 0)
        rc = cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; try again", observer->dir);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < audit->ring_count; i++)
        ring_note_after(&view->rings[audit->rings[i].slot], &audit->rings[i]);
    rc = rings_judge(audit, sink, into, err);
    audit->others = above(total, audit->held);
    return rc;
}

static int audit_total(cp_audit *audit, const cp_observer *observer, uint32_t index,
                       const cp_sink_config *sink, answer *into, cp_error *err)
{
    audit->delivered = observer->tables[index].delivered;
    const int rc = total_ask(audit, sink, into, &audit->held, err);
    audit->missing = above(audit->delivered, audit->held);
    return rc;
}

static bool has_provenance(const cp_table *table)
{
    unsigned seen = 0;
    for (uint32_t i = 0; i < table->column_count; i++)
        seen |= 1u << table->columns[i].provenance;
    return (seen & 1u << CP_PROV_EPOCH) && (seen & 1u << CP_PROV_SLOT) && (seen & 1u << CP_PROV_POSITION);
}

/* Engines other than these two keep fewer rows than they are given. */
static bool merges_rows(const cp_table *table)
{
    return table->ttl || !table->engine ||
           (strncmp(table->engine, "MergeTree", 9) != 0 &&
            strncmp(table->engine, "ReplicatedMergeTree", 19) != 0);
}

static int audit_place(cp_audit *audit, const cp_table *table, const char *database, cp_error *err)
{
    char quoted[2][CP_AUDIT_PLACE / 2];
    const char *of = table->database ? table->database : database;
    if (!cp_sql_quote_name(quoted[0], sizeof quoted[0], of) ||
        !cp_sql_quote_name(quoted[1], sizeof quoted[1], table->name))
        return cp_error_set(err, CP_E_TOO_BIG, "the name %s.%s is too long", of, table->name);
    snprintf(audit->place, sizeof audit->place, "%.*s.%.*s", (int)sizeof quoted[0] - 1, quoted[0],
             (int)sizeof quoted[1] - 1, quoted[1]);
    return CP_OK;
}

static bool table_is_absent(const cp_audit *audit, const cp_sink_config *sink, answer *into)
{
    char sql[CP_AUDIT_PLACE + 64];
    uint64_t there[3] = {1};
    snprintf(sql, sizeof sql, "EXISTS TABLE %s FORMAT TSV", audit->place);
    return numbers_ask(sink, sql, into, there, NULL) == CP_OK && there[0] == 0;
}

static void audit_absent(cp_audit *audit, const cp_observer *observer, uint32_t index)
{
    audit->absent = true;
    audit->ring_count = 0;
    audit->delivered = audit->missing = observer->tables[index].delivered;
}

int cp_audit_table(cp_audit *audit, cp_observer *observer, uint32_t index, const cp_sink_config *sink,
                   const char *database, cp_error *err)
{
    cp_table *table = NULL;
    *audit = (cp_audit){.name = observer->control.directory[index].name,
                        .critical = observer->control.directory[index].critical != 0};
    answer *into = malloc(sizeof *into);
    int rc = into ? cp_control_parse_table(&observer->control, index, &table, err)
                  : cp_error_set(err, CP_E_NOMEM, "no memory for an answer");
    if (rc == CP_OK)
        rc = audit_place(audit, table, database, err);
    if (rc == CP_OK) {
        audit->provenance = has_provenance(table);
        audit->merges = merges_rows(table);
        rc = audit->provenance ? audit_rings(audit, observer, index, sink, into, err)
                               : audit_total(audit, observer, index, sink, into, err);
        if (rc == CP_E_SERVER && table_is_absent(audit, sink, into)) {
            audit_absent(audit, observer, index);
            rc = CP_OK;
        }
    }
    cp_table_free(table);
    free(into);
    return rc;
}
