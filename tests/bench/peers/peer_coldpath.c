/* Ours: cp_put into a region; the recorder's drain empties it in another process, and acknowledges as delivery would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ingest/drain.h"
#include "peer.h"
#include "shm/ack.h"
#include "shm/sigbus_guard.h"

enum { POOL = 64 * 1024 * 1024 };

static char dir[64];
static cp_table *table;
static cp_region_owner owner;
static cp_region *region;
static cp_ring *ring;
static int consumer;

static cp_submit_result take(void *ctx, uint32_t index, cp_chunk *chunk)
{
    (void)ctx;
    cp_abi_ack *shared = cp_control_ack(&owner.control, index, chunk->slot);
    cp_abi_ack ack;
    cp_ack_read(shared, &ack);
    ack.consumed = ack.durable = ack.delivered = chunk->end;
    ack.consumed_rows += chunk->row_count;
    ack.delivered_rows += chunk->row_count;
    cp_ack_write(shared, &ack);
    return CP_SUBMIT_COPIED;
}

static void fault(void *ctx, uint32_t index, uint32_t slot, cp_ring_fault what, const char *reason)
{
    (void)ctx, (void)index, (void)slot, (void)what;
    fprintf(stderr, "peers: coldpath: %s\n", reason);
    abort();
}

static void rejected(void *ctx, uint32_t index, uint32_t slot, uint32_t rows, const char *reason)
{
    (void)rows;
    fault(ctx, index, slot, CP_RING_BAD_RECORD, reason);
}

static void drain_run(void)
{
    const uint64_t interval = PEER_INTERVAL_NS;
    const cp_table *tables[1] = {table};
    const cp_drain_events events = {.submit = take, .fault = fault, .rejected = rejected};
    const struct timespec nap = {.tv_nsec = PEER_NAP_NS};
    cp_drain *drain;
    cp_error err;
    cp_sigbus_install();
    if (cp_drain_create(&drain, &owner, tables, &interval, POOL, &events, &err) < 0) {
        fprintf(stderr, "peers: coldpath: %s\n", err.text);
        return;
    }
    for (;;) {
        if (cp_drain_turn(drain, cp_boottime_ns()) == 0)
            nanosleep(&nap, NULL);
    }
}

static bool failed(const cp_error *err)
{
    fprintf(stderr, "peers: coldpath: %s\n", err->text);
    return false;
}

static bool coldpath_open(int consumer_cpu)
{
    static const char ddl[] = "CREATE TABLE peers (a FixedString(120)) ENGINE = Null";
    cp_error err = {0};
    snprintf(dir, sizeof dir, "/dev/shm/coldpath-peers-XXXXXX");
    if (!mkdtemp(dir) || cp_table_parse(&table, "peers", ddl, strlen(ddl), &err) < 0)
        return failed(&err);
    const cp_control_table tables[1] = {{table, PEER_RING_BYTES, 1, 4096, false}};
    const cp_region_spec spec = {dir, "peers", NULL, 0600, tables, 1};
    if (cp_region_own(&owner, &spec, &err) < 0 || cp_attach(&region, dir, &err) < 0 ||
        cp_ring_open(&ring, region, "peers", 0, "peers", &err) < 0)
        return failed(&err);
    consumer = peer_fork(consumer_cpu, drain_run);
    return consumer > 0;
}

static bool coldpath_put(const void *row)
{
    return cp_put(ring, row, PEER_ROW) == CP_OK;
}

static void coldpath_settle(void)
{
    const struct timespec nap = {.tv_nsec = CP_NS_PER_MS};
    while (cp_position(ring, CP_CONSUMED) != ring->write)
        nanosleep(&nap, NULL);
}

static void coldpath_close(void)
{
    char command[128];
    peer_reap(consumer);
    cp_ring_close(ring);
    cp_detach(region);
    cp_region_release(&owner);
    cp_table_free(table);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        fprintf(stderr, "peers: %s stays\n", dir);
}

const peer peer_coldpath = {"coldpath",
                            "cp_put; the recorder's drain in another process",
                            1,
                            coldpath_open,
                            coldpath_put,
                            coldpath_settle,
                            coldpath_close};
