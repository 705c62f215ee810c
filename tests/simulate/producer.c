#include "tests/simulate/producer.h"

#include <coldpath/coldpath.h>
#include <stdio.h>
#include <string.h>

#include "rows/sim_orders.h"
#include "tests/simulate/host.h"
#include "tests/simulate/life.h"
#include "tests/simulate/process.h"
#include "tests/simulate/rows.h"

enum {
    PRODUCERS = SIM_TABLES * SIM_SLOTS,
    BURST = 48,   /* rows put in one step, at most */
    NOTE = 512,   /* bytes of the text of a row, at most */
    KEYS = 8,     /* so few that the ladder's rules find something to leave out */
    REPEATS = 40, /* permille of rows, with unique keys: a row is put again */
    LEAVES = 4,   /* permille of its steps */
    IS_KILLED = 4
};

typedef struct producer {
    cp_region *region;
    cp_ring *ring;  /* NULL: it does not run */
    uint32_t known; /* the model's name of the ring */
} producer;

static producer producers[PRODUCERS];
static const char *region;

void sim_producers_begin(const char *region_dir)
{
    memset(producers, 0, sizeof producers);
    region = region_dir;
}

static uint32_t table_of(const producer *one)
{
    return (uint32_t)(one - producers) / SIM_SLOTS;
}

static int process_of(const producer *one)
{
    return SIM_PRODUCERS + (int)(one - producers);
}

static bool begin(producer *one)
{
    cp_error err = {0};
    const char *table = sim_tables[table_of(one)].name;
    int rc = cp_attach(&one->region, region, &err);
    if (rc < 0)
        return false; /* no recorder has made it yet */
    rc = cp_ring_open(&one->ring, one->region, table, 0, "simulated", &err);
    if (rc < 0) {
        sim_fail("a producer cannot open a ring of %s: %s", table, err.text);
        return false;
    }
    cp_ring_stats stats;
    cp_ring_get_stats(one->ring, &stats);
    sim_process_now = SIM_NOBODY;
    one->known = sim_ring_find(table_of(one), stats.slot, stats.epoch);
    sim_process_now = process_of(one);
    sim_trace("producer %d opens slot %u of %s", (int)(one - producers), stats.slot, table);
    return true;
}

static void leave(producer *one)
{
    cp_ring_close(one->ring);
    cp_detach(one->region);
    one->ring = NULL;
    one->region = NULL;
    sim_trace("producer %d leaves", (int)(one - producers));
}

static void kill_one(producer *one)
{
    if (!one->region)
        return;
    if (one->ring && sim_luck(500))
        (void)cp_claim(one->ring, 64); /* in the middle of a row */
    sim_process_kill(process_of(one));
    one->ring = NULL;
    one->region = NULL;
    sim_trace("producer %d is killed", (int)(one - producers));
}

/* ---- putting ---- */

/* Of all tables alike: what tells rows apart is filled in by the recorder. */
typedef struct any_row {
    sim_orders_row row;
    uint8_t tail[NOTE + 16];
} any_row;

/* original: its own number, or that of an earlier row, of which it has the key. */
static uint32_t row_make(any_row *put, uint32_t number, bool critical, uint32_t original, bool poison)
{
    char note[NOTE];
    const uint32_t length = (uint32_t)(sim_luck(700) ? sim_pick(24) : sim_pick(NOTE));
    memset(note, 'a' + (int)(number % 26), length);
    memset(put, 0, sizeof *put);
    put->row = (sim_orders_row){.number = number, .poison = poison};
    put->row.key = critical ? original / KEYS : (uint32_t)sim_pick(KEYS);
    put->row.value = critical ? original : (uint32_t)sim_pick(3);
    cp_tail tail = cp_tail_begin(put, sizeof put->row, sizeof *put);
    cp_tail_put(&tail, &put->row.note, note, length);
    return tail.used;
}

static void put_burst(producer *one, unsigned poison)
{
    static any_row put;
    const uint32_t rows = 1 + (uint32_t)sim_pick(BURST);
    uint32_t done = 0;
    while (done < rows && sim_rows_room(1)) {
        const bool bad = sim_luck(poison);
        const uint64_t position = one->ring->write;
        const uint32_t number = sim_rows_next();
        const bool critical = sim_tables[table_of(one)].critical;
        const bool repeats = critical && sim_life_unique() && sim_luck(REPEATS);
        const uint32_t original = repeats ? sim_rows_recent(table_of(one)) : number;
        const uint32_t bytes = row_make(&put, number, critical, original, bad);
        const int rc = cp_put(one->ring, &put, bytes);
        if (rc == CP_FULL)
            sim_total.full++;
        else if (rc == CP_E_RETIRED) /* the region has been made anew: it attaches again */
            leave(one);
        else if (rc != CP_OK)
            sim_fail("a put says: %s", cp_strerror(rc));
        if (rc != CP_OK)
            break;
        sim_process_now = SIM_NOBODY;
        sim_row_put(one->known, position, bad, original);
        sim_process_now = process_of(one);
        done++;
    }
    sim_trace("producer %d puts %u rows of %s", (int)(one - producers), done, sim_tables[table_of(one)].name);
}

bool sim_producers_step(unsigned poison)
{
    producer *one = &producers[sim_pick(PRODUCERS)];
    bool there = true;
    sim_process_now = process_of(one);
    if (!one->ring)
        there = begin(one);
    else if (sim_luck(LEAVES))
        leave(one);
    else if (sim_luck(IS_KILLED))
        kill_one(one);
    else
        put_burst(one, poison);
    sim_process_now = SIM_NOBODY;
    if (!there && one->region)
        sim_process_kill(process_of(one));
    return there;
}

void sim_producers_kill(void)
{
    for (int i = 0; i < PRODUCERS; i++)
        kill_one(&producers[i]);
}
