#include "tests/wal/sim_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/wal/chunks.h"
#include "tests/wal/sim_disk.h"
#include "wal/log_private.h"
#include "wal/reader.h"

enum {
    MAX_LSN = 4096, /* a run starts anew before it gets there */
    SLOTS = 3,
    GENERATION_ACTIONS = 120, /* of the workload before the power really fails */
    SHORT_ACTIONS = 30,
    GENERATIONS = 12, /* crashes in the life of one log */
    BATCH_ROWS = 100, /* of every intent */
    OUTCOMES = 3,     /* random ones per operation */
    EXHAUSTIVE = 3    /* all 3^n outcomes up to so many undecided sectors */
};

typedef struct model_record {
    uint64_t seed;
    uint16_t slot;
    uint64_t epoch;
    uint64_t begin;
    uint64_t end;
} model_record;

typedef struct model_checkpoint {
    uint64_t delivered;
    uint64_t durable;
    bool intent;
    uint64_t lo, hi;
    uint32_t piece_first, piece_rows;
} model_checkpoint;

typedef struct simulation {
    const sim_options *options;
    sim_result *result;
    sim_rng rng;
    sim_disk *disk, *after, *hurt;
    cp_wal *wal; /* on disk; NULL between lives */
    uint64_t now_ns;
    model_record records[MAX_LSN + 1];
    uint64_t appended;
    uint64_t acknowledged; /* by an earlier life */
    uint64_t stated;
    model_checkpoint stored;    /* the last that was reported durable */
    model_checkpoint attempted; /* the one under way, or failed since */
    model_checkpoint
        earlier; /* one that a crash interrupted, since when none was stored: torn, a later torn write may
                                   complete it; nothing was built on it, so that this does no harm */
    bool retry;  /* the attempted one failed */
    uint64_t ring_end[SLOTS];
    uint64_t ring_epoch[SLOTS];
    cp_chunk chunk, read; /* buffers */
    bool inside;
} simulation;

static void violate(simulation *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void violate(simulation *sim, const char *fmt, ...)
{
    char text[sizeof sim->result->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (sim->result->violated)
        return; /* the first one counts */
    sim->result->violated = true;
    memcpy(sim->result->text, text, sizeof text);
}

/* The chunk of a record. */
static void chunk_make(cp_chunk *chunk, const model_record *record)
{
    test_chunk_make(chunk, record->seed, record->slot, record->epoch, record->begin, TEST_CHUNK);
}

/* ---- opening ---- */

static int log_open(simulation *sim, sim_disk *disk, cp_wal **wal, cp_error *err)
{
    const cp_wal_config config = {.dir = "simulated",
                                  .segment_size = SIM_FILE_SIZE,
                                  .limit = 6 * (uint64_t)SIM_FILE_SIZE,
                                  .mark_ns = 50,
                                  .max_chunk_bytes = TEST_CHUNK,
                                  .frame_bytes = 16 * 1024,
                                  .sync = sim->options->seed % 2 ? CP_WAL_DSYNC : CP_WAL_FDATASYNC};
    const cp_wal_seams seams = {.io_create = sim_io_create,
                                .ctx = disk,
                                .unsafe = sim->options->unsafe,
                                .reader_window = CP_WAL_BLOCK, /* records lie across its edges */
                                .no_thread = true,
                                .random_state = sim_random(&sim->rng) | 1};
    sim->result->recoveries++;
    return cp_wal_open_with(wal, &config, &seams, err);
}

static void log_drop(sim_disk *disk, cp_wal *wal)
{
    disk->dead = true; /* nothing is written any more */
    cp_wal_close(wal, 0);
    disk->dead = false;
    memset(disk->queue, 0, sizeof disk->queue);
}

/* ---- comparing a recovered log with the model ---- */

static cp_wal_intent intent_make(const model_checkpoint *checkpoint)
{
    cp_wal_intent intent = {.lo = checkpoint->lo,
                            .hi = checkpoint->hi,
                            .rows = BATCH_ROWS,
                            .piece_first = checkpoint->piece_first,
                            .piece_rows = checkpoint->piece_rows};
    snprintf(intent.token, sizeof intent.token, "token-%llu", (unsigned long long)checkpoint->lo);
    return intent;
}

static bool checkpoint_is(const cp_wal *wal, const model_checkpoint *expected)
{
    const cp_wal_intent *intents;
    const uint32_t count = cp_wal_intents(wal, &intents);
    const cp_wal_intent intent = intent_make(expected);
    return cp_wal_delivered(wal) == expected->delivered && count == (uint32_t)expected->intent &&
           (count == 0 || memcmp(&intents[0], &intent, sizeof intent) == 0);
}

/* What is due at the least: everything acknowledged; after damage, what was also stated to be, and when a whole file is gone,
 * what was stated outside of it. */
static uint64_t records_due(const simulation *sim, const char *damage)
{
    const bool damaged = damage != NULL;
    const uint64_t live = sim->wal ? cp_wal_durable(sim->wal) : 0;
    uint64_t stated = sim->wal ? sim->wal->stated : 0;
    const uint64_t acknowledged = live > sim->acknowledged ? live : sim->acknowledged;
    if (sim->stated > stated)
        stated = sim->stated;
    if (sim->stored.durable > stated)
        stated = sim->stored.durable;
    if (damaged && strstr(damage, "file"))
        return sim->stored.durable;
    return damaged ? stated : acknowledged;
}

/* After damage, records behind the acknowledged ones may be of an earlier life: when just the header is gone that cut them off,
 * of a segment in which nothing was acknowledged yet. They are rows that were put, and that would have come again from their
 * ring under the same positions. */
static bool record_free(const simulation *sim, const char *damage, uint64_t lsn)
{
    return damage && lsn > records_due(sim, NULL);
}

static bool records_compare(simulation *sim, cp_wal *wal, const char *damage)
{
    cp_error err = {0};
    cp_wal_reader *reader = NULL;
    const uint64_t end = cp_wal_durable(wal);
    int code = cp_wal_reader_create(&reader, wal, cp_wal_delivered(wal) + 1, &err);
    for (uint64_t lsn = cp_wal_delivered(wal) + 1; lsn <= end && code == CP_OK; lsn++) {
        uint64_t got = 0;
        code = cp_wal_reader_next(reader, &sim->read, &got, &err);
        if (code != CP_OK)
            break;
        chunk_make(&sim->chunk, &sim->records[lsn]);
        sim->result->records_compared++;
        if (got != lsn || (!test_chunk_equal(&sim->chunk, &sim->read) && !record_free(sim, damage, lsn)))
            violate(sim, "record %llu is not what was appended (%s)", (unsigned long long)lsn,
                    damage ? damage : "no damage");
    }
    if (code == CP_OK && reader &&
        cp_wal_reader_next(reader, &sim->read, &(uint64_t){0}, &err) != CP_E_ABSENT)
        violate(sim, "there is a record behind the end");
    cp_wal_reader_free(reader);
    if (code != CP_OK && !(damage && code == CP_E_CORRUPT))
        violate(sim, "reading back: %s", err.text);
    if (code != CP_OK)
        sim->result->corrupt_read++;
    return code == CP_OK;
}

static void rings_compare(simulation *sim, const cp_wal *wal)
{
    const uint64_t end = cp_wal_durable(wal);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        uint64_t last = 0;
        for (uint64_t lsn = 1; lsn <= end; lsn++)
            last = sim->records[lsn].slot == slot ? lsn : last;
        uint64_t position = 0;
        const bool found = last && cp_wal_ring_end(wal, slot, sim->records[last].epoch, &position);
        if (last && (!found || position != sim->records[last].end))
            violate(sim, "ring %u is at %llu, record %llu ended at %llu", slot, (unsigned long long)position,
                    (unsigned long long)last, (unsigned long long)sim->records[last].end);
    }
}

/* True when the log on this disk is as it must be, or said that it is not. */
static void state_check(simulation *sim, sim_disk *disk, const char *damage, uint64_t *end)
{
    cp_error err = {0};
    cp_wal *wal = NULL;
    const int code = log_open(sim, disk, &wal, &err);
    if (code != CP_OK) {
        if (damage && code == CP_E_CORRUPT)
            sim->result->refused++;
        else
            violate(sim, "recovery refuses (%s): %s", damage ? damage : "no damage", err.text);
        return;
    }
    *end = cp_wal_durable(wal);
    if (*end > sim->appended)
        violate(sim, "recovered up to %llu, appended were %llu", (unsigned long long)*end,
                (unsigned long long)sim->appended);
    if (cp_wal_checkpoint_lost(wal) ||
        !(checkpoint_is(wal, &sim->stored) || checkpoint_is(wal, &sim->attempted) ||
          checkpoint_is(wal, &sim->earlier)))
        violate(sim, "checkpoint (%s): delivered %llu, stored was %llu", damage ? damage : "no damage",
                (unsigned long long)cp_wal_delivered(wal), (unsigned long long)sim->stored.delivered);
    if (*end < records_due(sim, damage))
        violate(sim, "%s: recovered up to %llu, acknowledged were %llu", damage ? damage : "no damage",
                (unsigned long long)*end, (unsigned long long)records_due(sim, damage));
    else if (!sim->result->violated && records_compare(sim, wal, damage) && damage) {
        if (*end < records_due(sim, NULL))
            sim->result->tail_lost++;
        else
            sim->result->unharmed++;
    }
    if (!sim->result->violated && !damage)
        rings_compare(sim, wal);
    log_drop(disk, wal);
}

static void outcome_check(simulation *sim, uint64_t outcome)
{
    uint64_t end = 0;
    uint64_t again = 0;
    sim_disk_crash(sim->disk, sim->after, &sim->rng, outcome);
    sim->result->states++;
    state_check(sim, sim->after, NULL, &end);
    if (!sim->result->violated && sim_chance(&sim->rng, 250)) {
        state_check(sim, sim->after, NULL, &again);
        if (again != end)
            violate(sim, "a second recovery ends at %llu, the first at %llu", (unsigned long long)again,
                    (unsigned long long)end);
    }
    /* One fault at a time: not while a checkpoint block is old, because its write is under way or failed. */
    if (sim->wal && !(sim->wal->checkpoint.newest[0] && sim->wal->checkpoint.newest[1]))
        return;
    if (sim->result->violated || !sim->wal || !sim->options->damage || !sim_chance(&sim->rng, 300))
        return;
    sim_disk_copy(sim->after, sim->hurt);
    const char *damage = sim_disk_damage(sim->hurt, &sim->rng, sim_chance(&sim->rng, 50));
    if (!damage)
        return;
    sim->result->states++;
    sim->result->damaged++;
    state_check(sim, sim->hurt, damage, &again);
}

/* Before each operation of the disk: what if the power failed now? */
static void operation_cut(void *ctx)
{
    simulation *sim = ctx;
    if (sim->inside || sim->result->violated)
        return;
    sim->inside = true;
    sim->result->operations++;
    const uint32_t undecided = sim_disk_undecided(sim->disk);
    if (undecided > 0 && undecided <= EXHAUSTIVE) {
        uint64_t outcomes = 1;
        for (uint32_t i = 0; i < undecided; i++)
            outcomes *= 3;
        for (uint64_t i = 0; i < outcomes && !sim->result->violated; i++)
            outcome_check(sim, i);
        sim->result->exhaustive++;
    } else {
        const int outcomes = undecided ? OUTCOMES : 1;
        for (int i = 0; i < outcomes && !sim->result->violated; i++)
            outcome_check(sim, UINT64_MAX);
    }
    sim->inside = false;
}

/* ---- the workload ---- */

static void act_append(simulation *sim)
{
    if (sim->appended == MAX_LSN)
        return;
    model_record *record = &sim->records[sim->appended + 1];
    record->slot = (uint16_t)sim_below(&sim->rng, SLOTS);
    record->seed = sim_random(&sim->rng);
    if (sim_chance(&sim->rng, 5)) { /* the ring was made anew */
        sim->ring_epoch[record->slot] += 1;
        sim->ring_end[record->slot] = 0;
    }
    record->epoch = sim->ring_epoch[record->slot];
    record->begin = sim->ring_end[record->slot];
    chunk_make(&sim->chunk, record);
    record->end = sim->chunk.end;
    uint64_t lsn = 0;
    const int code = cp_wal_append(sim->wal, &sim->chunk, &lsn);
    if (code == CP_FULL)
        return;
    if (code != CP_OK || lsn != sim->appended + 1)
        violate(sim, "append gave %d and LSN %llu", code, (unsigned long long)lsn);
    sim->appended = lsn;
    sim->ring_end[record->slot] = record->end;
}

static void act_step(simulation *sim)
{
    const uint64_t steps = 1 + sim_below(&sim->rng, 6);
    for (uint64_t i = 0; i < steps; i++)
        cp_wal_step(sim->wal, sim->now_ns += 10);
    if (sim_chance(&sim->rng, 20))
        sim->now_ns += CP_NS_PER_S + 1;
}

/* The next piece of the batch that is under way; false: that was the last. */
static bool piece_next(simulation *sim, model_checkpoint *checkpoint)
{
    const uint32_t first = checkpoint->piece_first + checkpoint->piece_rows;
    if (checkpoint->piece_rows == 0 || first == BATCH_ROWS)
        return false;
    checkpoint->piece_first = first;
    checkpoint->piece_rows = 1 + (uint32_t)sim_below(&sim->rng, BATCH_ROWS - first);
    return true;
}

/* The flusher: an intent, whole or in pieces, then its delivery. */
static void act_checkpoint(simulation *sim)
{
    const uint64_t durable = cp_wal_durable(sim->wal);
    model_checkpoint next = sim->stored;
    if (sim->retry) { /* the same again, as the one that failed may be on the disk */
        next = sim->attempted;
    } else if (next.intent && piece_next(sim, &next)) {
        /* more of the same batch */
    } else if (next.intent) {
        next.delivered = next.hi;
        next.intent = false;
        if (sim_chance(&sim->rng,
                       300)) /* too early: the log must not believe it before the checkpoint does */
            cp_wal_release(sim->wal, next.delivered);
        if (sim_chance(&sim->rng, 300))
            cp_wal_maintain(sim->wal, sim->now_ns);
    } else if (durable > next.delivered) {
        next.intent = true;
        next.lo = next.delivered + 1;
        next.hi = next.lo + sim_below(&sim->rng, durable - next.delivered);
        next.piece_first = 0;
        next.piece_rows = sim_chance(&sim->rng, 300) ? 1 + (uint32_t)sim_below(&sim->rng, BATCH_ROWS) : 0;
    } else {
        return;
    }
    next.durable = durable;
    sim->attempted = next;
    const cp_wal_intent intent = intent_make(&next);
    cp_error err;
    sim->retry = cp_wal_checkpoint_write(sim->wal, next.delivered, &intent, next.intent, &err) != CP_OK;
    if (!sim->retry)
        sim->earlier = sim->stored = next;
    else
        sim->result->faults_reported++;
}

/* Reads what is durable of the running log. */
static void act_read(simulation *sim)
{
    const uint64_t from = cp_wal_delivered(sim->wal) + 1;
    const uint64_t end = cp_wal_durable(sim->wal);
    cp_wal_reader *reader = NULL;
    cp_error err = {0};
    if (from > end)
        return;
    const uint64_t start = from + sim_below(&sim->rng, end - from + 1);
    int code = cp_wal_reader_create(&reader, sim->wal, start, &err);
    for (uint64_t lsn = start, got = 0; lsn <= end && code == CP_OK; lsn++) {
        code = cp_wal_reader_next(reader, &sim->read, &got, &err);
        chunk_make(&sim->chunk, &sim->records[lsn]);
        if (code == CP_OK && (got != lsn || !test_chunk_equal(&sim->chunk, &sim->read)))
            violate(sim, "live: record %llu is not what was appended", (unsigned long long)lsn);
    }
    cp_wal_reader_free(reader);
    if (code != CP_OK)
        violate(sim, "live: reading %llu of %llu: %s", (unsigned long long)start, (unsigned long long)end,
                err.text);
}

static void act(simulation *sim)
{
    const uint64_t dice = sim_below(&sim->rng, 100);
    if (dice < 40)
        act_append(sim);
    else if (dice < 76)
        act_step(sim);
    else if (dice < 88)
        act_checkpoint(sim);
    else if (dice < 92)
        cp_wal_release(sim->wal, cp_wal_delivered(sim->wal));
    else if (dice < 97)
        cp_wal_maintain(sim->wal, sim->now_ns);
    else
        act_read(sim);
    if (cp_wal_durable(sim->wal) > sim->appended)
        violate(sim, "acknowledged more than was appended");
    if (sim->disk->buffer_touched)
        violate(sim, "a buffer changed while it was being written");
}

static void life_faults(simulation *sim)
{
    sim->disk->faults = (sim_faults){0};
    if (!sim->options->faults)
        return;
    if (sim_chance(&sim->rng, 300))
        sim->disk->faults = (sim_faults){.short_write = 150, .busy = 150};
    else if (sim_chance(&sim->rng, 400))
        sim->disk->faults = (sim_faults){.write_error = 60, .sync_error = 60, .no_space = 200};
    else if (sim_chance(&sim->rng, 300))
        sim->disk->faults = (sim_faults){.sync_error = 250};
}

/* One life: open, work, die. */
static void life_run(simulation *sim)
{
    cp_error err = {0};
    const uint64_t actions =
        sim_below(&sim->rng, sim->options->short_lives ? SHORT_ACTIONS : GENERATION_ACTIONS);
    cp_wal *wal = NULL;
    if (log_open(sim, sim->disk, &wal, &err) != CP_OK) {
        violate(sim, "opening: %s", err.text);
        return;
    }
    if (cp_wal_start(wal, &err) != CP_OK)
        abort();
    sim->appended = cp_wal_durable(wal);
    if (checkpoint_is(wal, &sim->earlier))
        sim->stored = sim->earlier;
    if (checkpoint_is(wal, &sim->attempted))
        sim->stored = sim->attempted;
    else
        sim->earlier = sim->attempted;
    sim->attempted = sim->stored;
    sim->retry = false;
    memset(sim->ring_end, 0, sizeof sim->ring_end);
    for (uint64_t lsn = 1; lsn <= sim->appended; lsn++) {
        sim->ring_end[sim->records[lsn].slot] = sim->records[lsn].end;
        sim->ring_epoch[sim->records[lsn].slot] = sim->records[lsn].epoch;
    }
    sim->wal = wal;
    life_faults(sim);
    cp_wal_maintain(wal, sim->now_ns);
    for (uint64_t i = 0;
         i < actions && !sim->result->violated && cp_boottime_ns() < sim->options->deadline_ns; i++)
        act(sim);
    sim->acknowledged = records_due(sim, NULL);
    sim->stated = records_due(sim, "any");
    sim->result->given_up += atomic_load(&wal->given_up);
    sim->result->retries += atomic_load(&wal->retries);
    sim->wal = NULL;
    sim->disk->faults = (sim_faults){0};
    sim_disk_crash(sim->disk, sim->after, &sim->rng, UINT64_MAX);
    log_drop(sim->disk, wal);
    sim_disk_copy(sim->after, sim->disk);
}

static void log_begin(simulation *sim)
{
    sim_disk_reset(sim->disk);
    sim->disk->before = operation_cut;
    sim->disk->before_ctx = sim;
    sim->appended = 0;
    sim->acknowledged = 0;
    sim->stated = 0;
    memset(&sim->stored, 0, sizeof sim->stored);
    memset(&sim->attempted, 0, sizeof sim->attempted);
    memset(&sim->earlier, 0, sizeof sim->earlier);
    memset(sim->ring_end, 0, sizeof sim->ring_end);
    for (int slot = 0; slot < SLOTS; slot++)
        sim->ring_epoch[slot] = 1;
}

void sim_run(const sim_options *options, sim_result *result)
{
    simulation *sim = calloc(1, sizeof *sim);
    if (!sim)
        abort();
    sim_options current = *options;
    memset(result, 0, sizeof *result);
    sim->options = &current;
    sim->result = result;
    sim->rng.state = options->seed;
    sim->disk = sim_disk_new(sim_random(&sim->rng));
    sim->after = sim_disk_new(sim_random(&sim->rng));
    sim->hurt = sim_disk_new(sim_random(&sim->rng));
    test_chunk_alloc(&sim->chunk, TEST_CHUNK);
    test_chunk_alloc(&sim->read, TEST_CHUNK);
    while (!result->violated && result->states < options->max_states &&
           cp_boottime_ns() < options->deadline_ns) {
        log_begin(sim);
        for (int i = 0; i < GENERATIONS && !result->violated && result->states < options->max_states; i++)
            life_run(sim);
        result->workloads++;
        result->acknowledged += sim->acknowledged;
        current.seed++; /* both ways to sync in turn */
    }
    sim_disk_free(sim->disk);
    sim_disk_free(sim->after);
    sim_disk_free(sim->hurt);
    test_chunk_free(&sim->chunk);
    test_chunk_free(&sim->read);
    free(sim);
}
