/* Concurrency Kit's ck_ring: pointers to rows in shared memory, taken by another process, greedily or lazily. */
#include <ck_ring.h>
#include <string.h>

#include "peer.h"

enum { SLOTS = PEER_RING_BYTES / 128 };

typedef struct ck_area {
    ck_ring_t ring;
    ck_ring_buffer_t buffer[SLOTS];
    uint8_t rows[SLOTS][128];
} ck_area;

static ck_area *area;
static uint64_t next;
static int consumer;

static void take(uint8_t row[PEER_ROW])
{
    void *from;
    if (ck_ring_dequeue_spsc(&area->ring, area->buffer, (void *)&from)) {
        memcpy(row, from, PEER_ROW);
        __asm__ volatile("" : : "r"(row) : "memory");
    }
}

static void take_greedily(void)
{
    uint8_t row[PEER_ROW];
    for (;;)
        take(row);
}

static uint32_t waiting(void)
{
    return ck_ring_size(&area->ring);
}

static void take_lazily(void)
{
    static uint8_t lump[PEER_LUMP_ROWS][PEER_ROW];
    uint32_t next = 0;
    for (;;)
        for (uint32_t left = peer_gather(waiting); left > 0; left--)
            take(lump[next++ % PEER_LUMP_ROWS]);
}

static bool ck_open(int consumer_cpu, void (*run)(void))
{
    area = peer_share(sizeof *area);
    if (!area)
        return false;
    ck_ring_init(&area->ring, SLOTS);
    next = 0;
    consumer = peer_fork(consumer_cpu, run);
    return consumer > 0;
}

static bool ck_open_greedy(int consumer_cpu)
{
    return ck_open(consumer_cpu, take_greedily);
}

static bool ck_open_lazy(int consumer_cpu)
{
    return ck_open(consumer_cpu, take_lazily);
}

/* The slot before the ring's: its row was taken, since the ring holds one less than it has places. */
static bool ck_put(const void *row)
{
    if (ck_ring_size(&area->ring) >= SLOTS - 2)
        return false;
    uint8_t *to = area->rows[next & (SLOTS - 1)];
    memcpy(to, row, PEER_ROW);
    next++;
    return ck_ring_enqueue_spsc(&area->ring, area->buffer, to);
}

static void ck_settle(void)
{
    while (ck_ring_size(&area->ring) != 0)
        ;
}

static void ck_close(void)
{
    peer_reap(consumer);
}

const peer peer_ck = {"ck_ring", "Concurrency Kit, spsc, popped greedily by another process",
                      1,         ck_open_greedy,
                      ck_put,    ck_settle,
                      ck_close};
const peer peer_ck_lazy = {
    "ck_ring, lazy",
    "Concurrency Kit, spsc, emptied by another process in lumps, as by the recorder's drain",
    1,
    ck_open_lazy,
    ck_put,
    ck_settle,
    ck_close};
