/* Work whose instructions test_instructions.py counts: counted WHAT DIRECTORY COUNT
 *
 *     put     COUNT rows of 120 bytes into a ring                                  WORK put_rows
 *     drain   one turn of the drain over as many, the test in the flusher's place       drain_turn
 *     idle    COUNT turns over one table whose ring is empty                            idle_turns
 *     idle200 the same over 200                                                         idle_turns
 *     encode  COUNT rows of the order book of `coldpath bench encode` to Native         encode_rows
 *
 * Each has the work in a function of its own, which is what valgrind collects; all that prepares it is outside. A region is made in
 * DIRECTORY, which belongs to the caller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/bench/rows.h"
#include "flush/native.h"
#include "ingest/drain.h"
#include "shm/region.h"

#define WORK __attribute__((noinline, noclone))

enum {
    TABLES_MOST = 200,
    RING_SIZE = 1 << 20,
    RING_SMALL = 64 << 10, /* of many tables */
    ROW_MAX = 4096,
    KEPT_MOST = 64, /* chunks that a full ring makes at most */
    INTERVAL_NS = 1000,
    NOW_NS = 1000 * INTERVAL_NS
};

/* Thirteen numbers and a text of 8 bytes: 120 bytes with its tail. */
typedef struct wide_row {
    uint64_t number[13];
    cp_ref text;
    char tail[8];
} wide_row;

typedef struct world {
    cp_table *tables[TABLES_MOST];
    uint32_t table_count;
    cp_region_owner owner;
    cp_region *region;
    cp_ring *ring; /* of the first table */
    cp_drain *drain;
    cp_chunk *kept[KEPT_MOST];
    uint32_t kept_count;
    uint64_t rows;
} world;

static _Noreturn void fail(const char *what, const cp_error *err)
{
    fprintf(stderr, "counted: %s: %s\n", what, err ? err->text : "not as it should be");
    exit(1);
}

/* ---- the drain's owner ------------------------------------------------------------------------------------------ */

static cp_submit_result on_submit(void *ctx, uint32_t table, cp_chunk *chunk)
{
    world *w = ctx;
    (void)table;
    if (w->kept_count == KEPT_MOST)
        return CP_SUBMIT_REFUSED;
    w->kept[w->kept_count++] = chunk;
    w->rows += chunk->row_count;
    return CP_SUBMIT_TAKEN;
}

static void on_fault(void *ctx, uint32_t table, uint32_t slot, cp_ring_fault fault, const char *reason)
{
    (void)ctx;
    (void)table;
    (void)slot;
    (void)fault;
    fail(reason, NULL);
}

static void on_rejected(void *ctx, uint32_t table, uint32_t slot, uint32_t rows, const char *reason)
{
    (void)ctx;
    (void)table;
    (void)slot;
    (void)rows;
    fail(reason, NULL);
}

/* ---- the work --------------------------------------------------------------------------------------------------- */

static WORK void put_rows(cp_ring *ring, uint32_t count)
{
    wide_row row = {.text = {offsetof(wide_row, tail), sizeof row.tail}};
    for (uint32_t i = 0; i < count; i++) {
        row.number[0] = i;
        if (cp_put(ring, &row, sizeof row) != CP_OK)
            fail("put", NULL);
    }
}

static WORK void drain_turn(cp_drain *drain)
{
    cp_drain_turn(drain, NOW_NS);
}

static WORK void idle_turns(cp_drain *drain, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cp_drain_turn(drain, NOW_NS + i);
}

static WORK int encode_rows(cp_native *native, cp_arena *arena, const cp_bench_rows *rows,
                            cp_native_block *block)
{
    return cp_native_encode(native, arena, rows->chunks, rows->chunk_count, SIZE_MAX, block);
}

/* ---- before and after it ---------------------------------------------------------------------------------------- */

static void table_parse(world *w, uint32_t index)
{
    char ddl[512];
    cp_error err = {0};
    int used = snprintf(ddl, sizeof ddl, "CREATE TABLE t%u (", index);
    for (int i = 0; i < 13; i++)
        used += snprintf(ddl + used, sizeof ddl - (size_t)used, "n%d UInt64, ", i);
    used += snprintf(ddl + used, sizeof ddl - (size_t)used, "s String) ENGINE = MergeTree ORDER BY n0");
    if (cp_table_parse(&w->tables[index], "counted.sql", ddl, (size_t)used, &err) < 0)
        fail("table", &err);
}

static void world_make(world *w, const char *directory, uint32_t tables)
{
    static cp_control_table specs[TABLES_MOST];
    static uint64_t intervals[TABLES_MOST];
    const cp_drain_events events = {w, on_submit, on_fault, on_rejected};
    const cp_region_spec spec = {directory, "counted", NULL, 0600, specs, tables};
    cp_error err = {0};
    w->table_count = tables;
    for (uint32_t i = 0; i < tables; i++) {
        table_parse(w, i);
        specs[i] = (cp_control_table){w->tables[i], tables > 1 ? RING_SMALL : RING_SIZE, 1, ROW_MAX, false};
        intervals[i] = INTERVAL_NS;
    }
    if (cp_region_own(&w->owner, &spec, &err) < 0)
        fail("region", &err);
    const cp_table *const *descriptors = (const cp_table *const *)w->tables;
    const uint64_t memory = tables > 1 ? 512 << 20 : 16 << 20; /* a little more than the reserves of all */
    if (cp_drain_create(&w->drain, &w->owner, descriptors, intervals, memory, &events, &err) < 0)
        fail("drain", &err);
    if (cp_attach(&w->region, directory, &err) < 0 ||
        cp_ring_open(&w->ring, w->region, "t0", w->tables[0]->schema_hash, "counted", &err) < 0)
        fail("attach", &err);
}

static void world_end(world *w)
{
    cp_ring_close(w->ring);
    cp_detach(w->region);
    while (w->kept_count > 0)
        cp_drain_release(w->drain, w->kept[--w->kept_count]);
    cp_drain_free(w->drain);
    cp_region_release(&w->owner);
    for (uint32_t i = 0; i < w->table_count; i++)
        cp_table_free(w->tables[i]);
}

static void run_rings(const char *what, const char *directory, uint32_t count)
{
    static world w;
    world_make(&w, directory, strcmp(what, "idle200") == 0 ? TABLES_MOST : 1);
    if (strncmp(what, "idle", 4) == 0) {
        idle_turns(w.drain, count);
    } else {
        put_rows(w.ring, count);
        cp_drain_set_urgent(w.drain, true);
        drain_turn(w.drain);
        if (w.rows != count)
            fail("rows drained", NULL);
    }
    world_end(&w);
}

static void run_encode(uint32_t count)
{
    cp_bench_rows rows = {0};
    cp_native *native;
    cp_native_block block;
    cp_arena arena = {0};
    cp_error err = {0};
    if (cp_bench_rows_synthetic(&rows, count, &err) < 0 || cp_native_create(&native, rows.table, &err) < 0)
        fail("rows", &err);
    if (cp_arena_map(&arena, 8 * rows.bytes + (64 << 20)) < 0 ||
        encode_rows(native, &arena, &rows, &block) < 0 || block.rows != count)
        fail("encode", NULL);
    cp_arena_unmap(&arena);
    cp_native_free(native);
    cp_bench_rows_free(&rows);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: counted put|drain|idle|idle200|encode DIRECTORY COUNT\n");
        return 64;
    }
    const uint32_t count = (uint32_t)strtoul(argv[3], NULL, 10);
    if (strcmp(argv[1], "encode") == 0)
        run_encode(count);
    else
        run_rings(argv[1], argv[2], count);
    return 0;
}
