#include "cli/bench/durable.h"

#include <coldpath/coldpath.h>
#include <coldpath/row.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench/child.h"
#include "cli/bench/figure.h"
#include "wal/inspect.h"

enum {
    START_MS = 10000,
    STEP_MS = 20,
    ROW_HEAD = 8, /* the String's reference */
    RING_MIB = 8,
    LIMIT_MIB = 2048
};

struct cp_bench_durable {
    char region[PATH_MAX];
    pid_t recorder;
    cp_region *attached;
    cp_ring *rings[CP_BENCH_DURABLE_SIZES];
    uint32_t sizes[CP_BENCH_DURABLE_SIZES];
    uint32_t count;
    bool (*cancelled)(void);
    uint8_t *row;
};

/* One table per size, and the configuration that names them. */
static int configuration_write(const cp_bench_durable *d, const char *dir, char config[PATH_MAX],
                               cp_error *err)
{
    char text[4096];
    char path[PATH_MAX];
    int length = snprintf(text, sizeof text,
                          "namespace: bench\nregion: {dir: %s}\nclickhouse: {url: \"http://127.0.0.1:9\"}\n"
                          "schema: {dir: %s}\nwal: {dir: %s/put}\ntables:\n",
                          d->region, dir, dir);
    int rc = CP_OK;
    for (uint32_t i = 0; i < d->count && rc == CP_OK && length < (int)sizeof text; i++) {
        char ddl[128];
        length += snprintf(
            text + length, sizeof text - (size_t)length,
            "  size%u: {class: critical, slots: 1, ring_size: %dMiB, row_max: 1MiB, wal_limit: %dMiB}\n", i,
            RING_MIB, LIMIT_MIB);
        snprintf(ddl, sizeof ddl, "CREATE TABLE size%u (a String) ENGINE = MergeTree ORDER BY a", i);
        snprintf(path, sizeof path, "%s/size%u.sql", dir, i);
        rc = cp_bench_file_write(path, ddl, err);
    }
    if (length >= (int)sizeof text)
        return cp_error_set(err, CP_E_TOO_BIG, "the directory's name is too long");
    snprintf(config, PATH_MAX, "%s/coldpath.yaml", dir);
    return rc == CP_OK ? cp_bench_file_write(config, text, err) : rc;
}

static int producer_attach(cp_bench_durable *d, cp_error *err)
{
    char region[PATH_MAX + 8];
    snprintf(region, sizeof region, "%s/bench", d->region);
    int rc = CP_E_ABSENT;
    for (int ms = 0; ms < START_MS && rc != CP_OK && !d->cancelled(); ms += STEP_MS) {
        rc = cp_attach(&d->attached, region, err);
        if (rc != CP_OK)
            usleep(STEP_MS * 1000);
        if (!cp_bench_child_runs(&d->recorder))
            return cp_error_set(err, CP_E_ABSENT, "coldpathd ended at once: its log may not open there");
    }
    for (uint32_t i = 0; rc == CP_OK && i < d->count; i++) {
        char table[16];
        snprintf(table, sizeof table, "size%u", i);
        rc = cp_ring_open(&d->rings[i], d->attached, table, 0, "bench", err);
    }
    return rc;
}

/* Until the recorder has its segments ready: writing them full of zeros is not to be measured, here or beside it. */
static void segments_wait(const cp_bench_durable *d, const char *dir)
{
    uint32_t ready = 0;
    for (int ms = 0; ms < START_MS && ready < d->count && !d->cancelled(); ms += STEP_MS) {
        ready = 0;
        for (uint32_t i = 0; i < d->count; i++) {
            char log[PATH_MAX + 32];
            cp_wal_view *view = NULL;
            snprintf(log, sizeof log, "%s/put/bench/size%u", dir, i);
            if (cp_wal_inspect(&view, log, CP_WAL_HEADERS, NULL) == CP_OK &&
                view->segment_count > CP_WAL_READY)
                ready++;
            cp_wal_view_free(view);
        }
        if (ready < d->count)
            usleep(STEP_MS * 1000);
    }
}

int cp_bench_durable_open(cp_bench_durable **out, const char *dir, const uint32_t *sizes, uint32_t count,
                          bool (*cancelled)(void), cp_error *err)
{
    char config[PATH_MAX];
    *out = NULL;
    cp_bench_durable *d = calloc(1, sizeof *d);
    if (!d || count > CP_BENCH_DURABLE_SIZES) {
        free(d);
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    }
    uint32_t most = 0;
    d->count = count;
    d->cancelled = cancelled;
    for (uint32_t i = 0; i < count; i++) {
        d->sizes[i] = sizes[i];
        most = sizes[i] > most ? sizes[i] : most;
    }
    snprintf(d->region, sizeof d->region, "/dev/shm/coldpath-bench-XXXXXX");
    d->row = aligned_alloc(4096, ((size_t)most + 4095) / 4096 * 4096);
    int rc =
        d->row && mkdtemp(d->region) ? CP_OK : cp_error_set(err, CP_E_IO, "cannot make a region in /dev/shm");
    if (rc != CP_OK)
        d->region[0] = 0;
    else
        rc = configuration_write(d, dir, config, err);
    const char *const argv[] = {"coldpathd", "--config", config, NULL};
    if (rc == CP_OK)
        rc = cp_bench_child_start(&d->recorder, argv[0], argv, NULL, err);
    if (rc == CP_OK)
        rc = producer_attach(d, err);
    if (rc != CP_OK) {
        cp_bench_durable_close(d);
        return rc;
    }
    /* A row each, so that the first segment is in use and its successors get ready. */
    uint64_t ns;
    for (uint32_t i = 0; i < count; i++)
        (void)cp_bench_durable_measure(d, i, CP_NS_PER_S, &ns, 1);
    segments_wait(d, dir);
    *out = d;
    return CP_OK;
}

uint32_t cp_bench_durable_measure(cp_bench_durable *d, uint32_t size, uint64_t length_ns, uint64_t *ns,
                                  uint32_t most)
{
    cp_ring *ring = d->rings[size];
    const cp_ref text = {.offset = ROW_HEAD, .length = d->sizes[size] - ROW_HEAD};
    uint32_t count = 0;
    memset(d->row, 'a', d->sizes[size]);
    memcpy(d->row, &text, sizeof text);
    const uint64_t began = cp_boottime_ns();
    uint64_t now = began;
    while (now < began + length_ns && count < most && !d->cancelled()) {
        const uint64_t from = cp_boottime_ns();
        void *row = cp_claim(ring, d->sizes[size]);
        if (!row)
            break; /* the log's limit is reached */
        memcpy(row, d->row, d->sizes[size]);
        const uint64_t position = cp_commit(ring);
        while (cp_position(ring, CP_DURABLE) < position) {
            if (now >= began + 2 * length_ns + CP_NS_PER_S || d->cancelled())
                return count; /* of this row it is not known how long it takes */
            now = cp_boottime_ns();
            __builtin_ia32_pause();
        }
        now = cp_boottime_ns();
        ns[count++] = now - from;
    }
    return count;
}

void cp_bench_durable_close(cp_bench_durable *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->count; i++)
        cp_ring_close(d->rings[i]);
    cp_detach(d->attached);
    cp_bench_child_end(&d->recorder, SIGKILL); /* its rows are nobody's: no need to wait for ClickHouse */
    cp_bench_remove(d->region);
    free(d->row);
    free(d);
}
