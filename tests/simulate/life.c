#include "tests/simulate/life.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "recorder/lane.h"
#include "recorder/recorder.h"
#include "tests/simulate/host.h"
#include "tests/simulate/network.h"
#include "tests/simulate/process.h"
#include "tests/simulate/producer.h"
#include "tests/simulate/rows.h"
#include "tests/simulate/steer.h"
#include "tests/simulate/thread.h"
#include "wal/log_private.h"

enum {
    LOGS = 2,
    PATH = 256,
    SEGMENTS = 8,           /* of a log: its limit */
    CHUNK_MOST = 72 * 1024, /* a ring's whole content */
    FRAME = 80 * 1024,
    POLL_MS = 2,          /* as main.c */
    DEAL_OPERATIONS = 60, /* of the disk, until an armed kill */
    DEAL_PASSES = 12,     /* of a named place */
    OTHER = 150,          /* permille of starts with another configuration */
    CONFIGS = 2
};

typedef struct life {
    char dir[PATH], region[PATH], quarantine[PATH], wal[PATH];
    cp_config *configs[CONFIGS];
    unsigned config;   /* that holds */
    unsigned misnamed; /* starts in a row that were refused for what it says */
    uint32_t sinks;    /* servers that are configured, of those that there are */
    unsigned max_rows; /* of both: a batch under way must fit what holds after the next start */
    unsigned unsafe;
    bool unique;  /* keys */
    bool remakes; /* one configuration has other tables than the other */
    sim_disk *disks[LOGS];
    sim_disk *after[LOGS];
    sim_faults faults;
    bool on;
    bool ended; /* by itself */
    bool stop, flush, reload;
    bool running; /* the recorder has started */
    cp_recorder *recorder;
    cp_control control;
    bool mapped;
    bool armed;
    bool power;          /* it is the host that dies */
    uint32_t operations; /* of the disk, until then; 0: it is a named place's turn */
    uint32_t passes;
} life;

sim_life_totals sim_life_total;

static life the;

void *__real_malloc(size_t size);

/* ---- the world's furniture ---- */

static sim_disk *disk_make(void)
{
    sim_disk *disk = sim_disk_new(sim_random(&sim.rng));
    for (int i = 0; i < SIM_FILES; i++) { /* while nobody runs: it is the world's, not a process's */
        disk->files[i].live = malloc((size_t)3 * SIM_FILE_SIZE);
        if (!disk->files[i].live)
            abort();
        disk->files[i].durable = disk->files[i].live + SIM_FILE_SIZE;
        disk->files[i].stale = disk->files[i].durable + SIM_FILE_SIZE;
    }
    return disk;
}

static const char table_keys[] =
    "table_defaults:\n"
    "  ring_size: 64KiB\n"
    "  slots: 2\n"
    "  row_max: 2KiB\n"
    "  flush: {rows: %u, bytes: 16KiB, interval: %ums, max_rows: %u, max_bytes: 256KiB}\n"
    "tables:\n";

/* In an order of their own, and one more among them: who starts with it makes the region anew, where rows wait. */
static void tables_write(FILE *file, bool anew)
{
    static const char *const rungs[] = {"", "drop", "suppress, conflate, drop", "conflate"};
    const char *unique = the.unique ? ", unique_key: [key, value], unique_window: 8192" : "";
    for (uint32_t i = 0; i < SIM_TABLES; i++) {
        const sim_table *table = &sim_tables[anew ? SIM_TABLES - 1 - i : i];
        if (anew && i == 1)
            fprintf(file, "  sim_more: {}\n");
        if (table->critical)
            fprintf(file, "  %s: {class: critical%s}\n", table->name, unique);
        else if (table->sheds)
            fprintf(file,
                    "  %s:\n    pressure: {rungs: [%s], key: [key], value: [value], early_up: 50%%, "
                    "early_down: 25%%, calm: 1s}\n",
                    table->name, rungs[sim_pick(4)]);
        else
            fprintf(file, "  %s:\n    pressure: {early_release: off}\n", table->name);
    }
}

/* Some of the servers, in some order. */
static void urls_make(char *text, size_t room, bool all)
{
    uint32_t order[SIM_SINKS];
    size_t used = 0;
    for (uint32_t i = 0; i < the.sinks; i++) {
        const uint32_t at = (uint32_t)sim_pick(i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    const uint32_t count = the.sinks > 2 && !all && sim_luck(300) ? 2 : the.sinks;
    for (uint32_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used, "%s'http://sim%u:8123'", i ? ", " : "", order[i]);
}

/* first: the configuration that a world may end with. */
static cp_config *config_make(const char *ddl_dir, bool first)
{
    static const char *const syncs[] = {"auto", "fdatasync", "dsync"};
    char path[PATH + 16];
    char urls[SIM_SINKS * 32];
    const char *mode = sim_luck(250) ? "wal_first" : !first && sim_luck(200) ? "disabled" : "direct";
    const char *budget = sim_luck(850) ? "0" : sim_luck(500) ? "64KiB" : "1MiB";
    char error[CP_ERROR_TEXT];
    cp_config *config = NULL;
    cp_error err = {0};
    snprintf(path, sizeof path, "%s/coldpath.yaml", the.dir);
    FILE *file = fopen(path, "w");
    if (!file)
        abort();
    urls_make(urls, sizeof urls, first);
    fprintf(file,
            "namespace: sim\nregion: {dir: %s/shm}\nwal: {dir: %s/wal, sync: %s, keep: %us}\n"
            "quarantine: {dir: %s/quarantine}\nschema: {dir: %s}\n"
            "recorder: {memory_limit: 24MiB, confine: off, stop_timeout: 10s}\n"
            "mode: %s\nlimits: {daily_bytes: %s}\n"
            "clickhouse: {url: [%s], failback_after: %us, compression: %s, request_timeout: %us}\n",
            the.dir, the.dir, syncs[sim_pick(3)], (unsigned)sim_pick(2), the.dir, ddl_dir, mode, budget, urls,
            1 + (unsigned)sim_pick(60), sim_luck(300) ? "zstd" : "none", 2 + (unsigned)sim_pick(28));
    const unsigned rows = 1 + (unsigned)sim_pick(the.max_rows);
    fprintf(file, table_keys, rows, 10 + (unsigned)sim_pick(1000), the.max_rows);
    tables_write(file, !first && the.remakes);
    fclose(file);
    if (cp_config_load(&config, path, stderr, &err) < 0) {
        snprintf(error, sizeof error, "%s", err.text);
        fprintf(stderr, "the simulation's configuration: %s\n", error);
        abort();
    }
    return config;
}

void sim_life_begin(const char *dir, const char *ddl_dir, unsigned unsafe)
{
    memset(&the, 0, sizeof the);
    memset(&sim_life_total, 0, sizeof sim_life_total);
    the.unsafe = unsafe;
    snprintf(the.dir, sizeof the.dir, "%s", dir);
    snprintf(the.region, sizeof the.region, "%.200s/shm/sim", dir);
    snprintf(the.quarantine, sizeof the.quarantine, "%.200s/quarantine/sim", dir);
    for (int i = 0; i < LOGS; i++) {
        the.disks[i] = disk_make();
        the.after[i] = disk_make();
    }
    the.unique = sim_luck(400);
    the.remakes = sim_luck(400);
    the.sinks = 1 + (uint32_t)sim_pick(SIM_SINKS);
    the.max_rows = 4 + (unsigned)sim_span(1000);
    for (int i = 0; i < CONFIGS; i++)
        the.configs[i] = config_make(ddl_dir, i == 0);
}

static void region_unmap(void)
{
    if (the.mapped)
        cp_control_close(&the.control);
    the.mapped = false;
}

void sim_life_end(void)
{
    region_unmap();
    for (int i = 0; i < CONFIGS; i++)
        cp_config_free(the.configs[i]);
    for (int i = 0; i < LOGS; i++) {
        sim_disk_free(the.disks[i]);
        sim_disk_free(the.after[i]);
    }
}

const char *sim_life_region(void)
{
    return the.region;
}

const char *sim_life_quarantine(void)
{
    return the.quarantine;
}

const cp_control *sim_life_control(void)
{
    if (!the.mapped)
        the.mapped = cp_control_open(&the.control, the.region, false, NULL) == CP_OK;
    return the.mapped ? &the.control : NULL;
}

/* ---- where the product meets the simulated disk ---- */

int __wrap_cp_wal_open(cp_wal **out, const cp_wal_config *config, cp_error *err);
void __wrap_cp_failpoint_hit_(void);

/* A moment of the disk: an armed kill may be due. */
static void disk_moment(void *ctx)
{
    (void)ctx;
    if (!the.armed || the.operations == 0 || !sim_in_thread() || --the.operations > 0)
        return;
    sim_life_total.kills_inside++;
    sim_thread_kill_here();
}

static void disk_wait(void *ctx, uint64_t wait_ns)
{
    (void)ctx;
    sim_wait(NULL, sim.now_ns + wait_ns);
}

int __wrap_cp_wal_open(cp_wal **out, const cp_wal_config *config, cp_error *err)
{
    sim_disk *disk = the.disks[strstr(config->dir, sim_tables[1].name) != NULL];
    cp_wal_config small = *config;
    const cp_wal_seams seams = {.io_create = sim_io_create,
                                .ctx = disk,
                                .unsafe = the.unsafe,
                                .reader_window = CP_WAL_BLOCK,
                                .random_state = sim_random(&sim.rng) | 1};
    small.segment_size = SIM_FILE_SIZE;
    small.limit = SEGMENTS * (uint64_t)SIM_FILE_SIZE;
    small.max_chunk_bytes = CHUNK_MOST;
    small.frame_bytes = FRAME;
    disk->before = disk_moment;
    disk->wait = disk_wait;
    return cp_wal_open_with(out, &small, &seams, err);
}

void __wrap_cp_failpoint_hit_(void)
{
    if (!the.armed || the.operations > 0 || --the.passes > 0 || !sim_in_thread())
        return;
    sim_life_total.kills_inside++;
    sim_thread_kill_here();
}

uint64_t __real_cp_lane_book_lost(cp_lane *lane);
uint64_t __wrap_cp_lane_book_lost(cp_lane *lane);

/* A stop whose time is over gives up batches on the wire, as a kill does. */
uint64_t __wrap_cp_lane_book_lost(cp_lane *lane)
{
    if (the.mapped)
        sim_rows_recorder_died(&the.control);
    return __real_cp_lane_book_lost(lane);
}

void sim_life_disks(const sim_faults *faults)
{
    the.faults = *faults;
    for (int i = 0; i < LOGS; i++)
        the.disks[i]->faults = *faults;
}

void sim_life_arm(void)
{
    the.armed = true;
    the.power = sim_luck(300);
    the.operations = sim_luck(400) ? 1 + (uint32_t)sim_pick(DEAL_OPERATIONS) : 0;
    the.passes = 1 + (uint32_t)sim_pick(DEAL_PASSES);
    cp_failpoint_armed_ = the.operations ? -1 : (int)sim_pick(CP_FAILPOINT_COUNT);
}

void sim_life_disarm(void)
{
    the.armed = false;
    cp_failpoint_armed_ = -1;
}

/* ---- running ---- */

static bool never_hurries(void)
{
    return false;
}

static void stop(void)
{
    cp_stop_report report;
    sim_trace("recorder: stops");
    cp_recorder_stop(the.recorder, never_hurries, &report);
    sim_trace("recorder: stopped, %llu rows left, %llu in logs, %llu lost%s",
              (unsigned long long)report.rows_left, (unsigned long long)report.rows_in_logs,
              (unsigned long long)report.rows_lost, report.clean ? ", clean" : "");
    cp_recorder_free(the.recorder);
    sim_life_total.stops++;
}

static bool config_sends(const cp_config *config)
{
    return config->mode != CP_MODE_DISABLED;
}

static void reload(void)
{
    cp_error err = {0};
    const unsigned next = (the.config + 1) % CONFIGS;
    cp_recorder_reload_begins(the.recorder);
    const int rc = cp_recorder_configure(the.recorder, the.configs[next], &err);
    if (rc < 0 && rc != CP_E_CONFIG) /* that may be: the next one names fewer endpoints */
        sim_fail("a reload is refused: %s", err.text);
    cp_recorder_reload_ended(the.recorder, rc < 0 ? CP_RELOAD_REFUSED : CP_RELOAD_APPLIED, err.text);
    sim_trace("recorder: reload %s %s", rc < 0 ? "refused:" : "done", err.text);
    if (rc < 0) {
        sim_life_total.reloads_refused++;
        return;
    }
    the.config = next;
    sim_life_total.reloads++;
}

/* The region may be another one than before. */
static void remade_look(void)
{
    const uint64_t before = the.mapped ? the.control.generation : 0;
    sim_process_now = SIM_NOBODY;
    region_unmap();
    const cp_control *now = sim_life_control();
    sim_process_now = SIM_RECORDER;
    sim_life_total.remade += before && now && now->generation != before;
}

static void *recorder_main(void *argument)
{
    cp_error err = {0};
    (void)argument;
    int rc = cp_recorder_create(&the.recorder, the.configs[the.config], &err);
    if (rc == CP_OK) {
        rc = cp_recorder_start(the.recorder, &err);
        if (rc < 0)
            cp_recorder_free(the.recorder);
    }
    if (rc < 0) {
        sim_trace("recorder: does not start: %s", err.text);
        sim_life_total.refused_starts++;
        if (rc == CP_E_CONFIG && ++the.misnamed < CONFIGS) /* its remedy: name the endpoint again */
            the.config = (the.config + 1) % CONFIGS;
        else if (rc != CP_E_IO)
            sim_fail("the recorder does not start: %s", err.text);
        the.ended = true;
        return NULL;
    }
    remade_look();
    the.running = true;
    the.misnamed = 0;
    while (!the.stop) {
        sim_steer_obey(the.recorder);
        if (the.flush)
            cp_recorder_flush(the.recorder);
        if (the.reload)
            reload();
        the.flush = the.reload = false;
        const bool flushing = cp_recorder_is_flushing(the.recorder);
        sim_wait(&the, flushing ? sim.now_ns + POLL_MS * (uint64_t)CP_NS_PER_MS : UINT64_MAX);
    }
    the.running = false;
    stop();
    the.ended = true;
    return NULL;
}

bool sim_life_unique(void)
{
    return the.unique;
}

uint32_t sim_life_sinks(void)
{
    return the.sinks;
}

bool sim_life_is_on(void)
{
    return the.on;
}

bool sim_life_logs_empty(void)
{
    for (uint32_t i = 0; the.running && sim_life_control() && i < SIM_TABLES; i++) {
        uint64_t next = 0;
        uint64_t durable = 0;
        const int index = cp_control_find(&the.control, sim_tables[i].name);
        if (sim_tables[i].critical &&
            cp_recorder_log_position(the.recorder, (uint32_t)index, &next, &durable) && next <= durable)
            return false;
    }
    return the.running;
}

void sim_life_start(void)
{
    the.on = true;
    the.ended = the.stop = the.flush = the.reload = false;
    the.recorder = NULL;
    if (the.misnamed == 0 && sim_luck(OTHER)) /* somebody has edited the configuration meanwhile */
        the.config = (the.config + 1) % CONFIGS;
    sim_life_total.lives++;
    sim_life_disks(&the.faults);
    sim_trace("recorder: starts");
    sim_process_now = SIM_RECORDER;
    sim_thread_start(recorder_main, NULL, "main");
    sim_process_now = SIM_NOBODY;
}

void sim_life_ask_stop(void)
{
    the.stop = true;
    sim_tell(&the);
}

void sim_life_ask_flush(void)
{
    the.flush = true;
    sim_life_total.flushes++;
    sim_tell(&the);
}

void sim_life_ask_command(void)
{
    sim_steer_ask();
    sim_tell(&the);
}

void sim_life_ask_fair(void)
{
    sim_steer_ask_back();
    the.reload |= !config_sends(the.configs[the.config]);
    sim_tell(&the);
}

void sim_life_ask_reload(void)
{
    the.reload = true;
    sim_tell(&the);
}

/* ---- ending ---- */

static void process_end(void)
{
    const cp_control *control = sim_life_control();
    if (control)
        sim_rows_recorder_died(control);
    sim_threads_drop();
    sim_network_drop();
    sim_process_kill(SIM_RECORDER);
    sim_life_disarm();
    the.on = the.running = false;
    the.recorder = NULL;
}

void sim_life_kill(void)
{
    sim_trace("recorder: killed");
    sim_life_total.kills++;
    for (int i = 0; i < LOGS; i++)
        sim_disk_orphan(the.disks[i]);
    process_end();
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void sim_life_power_failure(void)
{
    sim_trace("host: the power fails");
    sim_life_total.power_failures++;
    const cp_control *control = sim_life_control();
    if (control)
        sim_rows_check(control);
    for (int i = 0; i < LOGS; i++) {
        sim_disk_crash(the.disks[i], the.after[i], &sim.rng, UINT64_MAX);
        sim_disk_copy(the.after[i], the.disks[i]);
    }
    process_end();
    sim_producers_kill();
    sim_steer_replay(false);
    region_unmap();
    nftw(the.region, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    sim_rows_host_died();
    sim_host_boot();
}

void sim_life_look(void)
{
    if (!the.on)
        return;
    if (sim_thread_killed()) {
        if (the.power)
            sim_life_power_failure();
        else
            sim_life_kill();
    } else if (the.ended) {
        if (sim_process_holds(SIM_RECORDER) > 0)
            sim_trace("recorder: left %zu things behind at its end", sim_process_holds(SIM_RECORDER));
        process_end();
    }
}
