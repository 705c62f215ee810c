/* `coldpath-hoststats`: samples this host into system_stats, ten times a second by default. */
#include <argp.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "base/exit_code.h"
#include "base/secret_name.h"
#include "feeds/feed.h"
#include "feeds/pacer.h"
#include "feeds/proc_sampler.h"
#include "rows/system_stats.h"

enum { OPTION_INTERVAL = 0x1000, OPTION_SECONDS, OPTION_IFACE, OPTION_ON_FULL, OPTION_REGION, OPTION_JSON };

enum { HOST_MAX = HOST_NAME_MAX + 1, WAIT_SECONDS = 30 };

typedef struct stats_args {
    const char *region;
    const char *iface;
    uint64_t interval_ns;
    uint64_t duration_ns; /* 0: until stopped */
    cp_on_full on_full;
    bool json;
} stats_args;

typedef struct stats_row {
    system_stats_row row;
    uint8_t tail[CP_PROC_IFACE + HOST_MAX + 8 + CP_PROC_CPUS * sizeof(float)];
} stats_row;

typedef struct stats_run {
    const stats_args *args;
    const volatile sig_atomic_t *stopped;
    cp_feed feed;
    cp_feed_policy policy;
    cp_put_timer timer;
    cp_proc_sampler *sampler;
    cp_proc_sample sample;
    char host[HOST_MAX];
    uint64_t started_ns;
} stats_run;

static const struct argp_option options[] = {
    {"interval", OPTION_INTERVAL, "TIME", 0, "Between samples (default 100ms)", 0},
    {"seconds", OPTION_SECONDS, "N", 0, "Stop after that long (default: run until stopped)", 0},
    {"iface", OPTION_IFACE, "NAME", 0,
     "Network interface (default: the one with the most traffic since boot)", 0},
    {"on-full", OPTION_ON_FULL, "wait|drop", 0, "What to do when the ring is full (default drop)", 0},
    {"region", OPTION_REGION, "PATH", 0, "Region directory, or a namespace (default: coldpath)", 0},
    {"json", OPTION_JSON, NULL, 0, "The summary as one line of JSON on standard output", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    stats_args *args = state->input;
    switch (key) {
    case OPTION_INTERVAL:
        if (!cp_duration_parse(arg, &args->interval_ns) || args->interval_ns < CP_NS_PER_MS)
            argp_error(state, "--interval: '%s' is not a time from 1ms on", arg);
        break;
    case OPTION_SECONDS:
        if (!cp_duration_parse(arg, &args->duration_ns))
            argp_error(state, "--seconds: '%s' is not a time", arg);
        break;
    case OPTION_IFACE:
        args->iface = arg;
        break;
    case OPTION_ON_FULL:
        if (strcmp(arg, "wait") != 0 && strcmp(arg, "drop") != 0)
            argp_error(state, "--on-full: '%s' is neither wait nor drop", arg);
        args->on_full = strcmp(arg, "wait") == 0 ? CP_ON_FULL_WAIT : CP_ON_FULL_DROP;
        break;
    case OPTION_REGION:
        args->region = arg;
        break;
    case OPTION_JSON:
        args->json = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Returns the size of the row with its tail. */
static uint32_t row_fill(stats_row *out, const stats_run *run)
{
    const cp_proc_sample *sample = &run->sample;
    system_stats_row *row = &out->row;
    *row = (system_stats_row){.ts = (int64_t)(cp_realtime_ns() / CP_NS_PER_MS),
                              .mem_used_gb = (float)sample->mem_used_gb,
                              .mem_available_gb = (float)sample->mem_available_gb,
                              .mem_pct = (float)sample->mem_pct,
                              .load_1m = (float)sample->load[0],
                              .load_5m = (float)sample->load[1],
                              .load_15m = (float)sample->load[2],
                              .net_rx_mb_s = (float)sample->net_rx_mb_s,
                              .net_tx_mb_s = (float)sample->net_tx_mb_s};
    cp_tail tail = cp_tail_begin(row, sizeof *row, sizeof *out);
    cp_tail_put(&tail, &row->net_iface, sample->iface, (uint32_t)strlen(sample->iface));
    cp_tail_put(&tail, &row->host, run->host, (uint32_t)strlen(run->host));
    float *busy =
        cp_tail_array(&tail, &row->cpu_busy_pct, sample->cpu_count, sizeof(float), _Alignof(float), false);
    if (busy)
        memcpy(busy, sample->cpu_busy_pct, sample->cpu_count * sizeof(float));
    return tail.used;
}

static int sample_take(stats_run *run, cp_error *err)
{
    const int rc = cp_proc_sampler_take(run->sampler, cp_boottime_ns(), &run->sample, err);
    return rc == CP_E_CORRUPT ? CP_E_INVAL : rc; /* of /proc, not of the region */
}

static int sample_put(stats_run *run, cp_error *err)
{
    static stats_row row;
    const int rc = sample_take(run, err);
    if (rc < 0)
        return rc;
    return cp_feed_put(&run->feed, &row, row_fill(&row, run), err);
}

static int run_loop(stats_run *run, cp_error *err)
{
    const uint64_t interval = run->args->interval_ns;
    uint64_t due = cp_clock_ns_(CLOCK_MONOTONIC);
    int rc = sample_take(run, err); /* so that rates have a start */
    while (rc == CP_OK) {
        const uint64_t now = cp_clock_ns_(CLOCK_MONOTONIC);
        due += interval;
        if (due < now) /* late, or the machine slept: the beat starts again */
            due = now + interval;
        cp_sleep_until((int64_t)due, run->stopped);
        if (*run->stopped || (run->args->duration_ns &&
                              cp_boottime_ns() - run->started_ns > run->args->duration_ns + interval / 2))
            break;
        rc = sample_put(run, err);
    }
    return rc;
}

static int run_open(stats_run *run, cp_error *err)
{
    if (gethostname(run->host, sizeof run->host - 1) != 0)
        run->host[0] = '\0';
    int rc = cp_proc_sampler_open(&run->sampler, "/proc", run->args->iface, err);
    if (rc == CP_E_ABSENT || rc == CP_E_CORRUPT) /* of the interface or /proc, not of the region */
        return CP_E_INVAL;
    if (rc == CP_OK)
        rc = cp_feed_open(&run->feed, &run->policy, SYSTEM_STATS_TABLE, SYSTEM_STATS_SCHEMA_HASH, err);
    return rc;
}

static void report(stats_run *run)
{
    const double seconds = (double)(cp_boottime_ns() - run->started_ns) / 1e9;
    cp_put_times times;
    cp_put_timer_read(&run->timer, &times);
    if (!run->args->json) {
        printf("%" PRIu64 " samples of %s put in %.1f s, %" PRIu64 " dropped; put p50 %.0f ns, max %.0f ns\n",
               run->feed.rows, run->host, seconds, run->feed.dropped, times.p50_ns, times.max_ns);
        return;
    }
    printf("{\"schema_version\":1,\"program\":\"coldpath-hoststats\",\"seconds\":%.3f,\"rows_put\":%" PRIu64
           ",\"dropped\":%" PRIu64 ",\"waits\":%" PRIu64 ",\"interrupted\":%s,",
           seconds, run->feed.rows, run->feed.dropped, run->feed.waits, *run->stopped ? "true" : "false");
    cp_feed_times_json(&run->timer, stdout);
    fputs(",\"tables\":[", stdout);
    cp_feed_json(&run->feed, stdout);
    fputs("]}\n", stdout);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Samples this host into the table system_stats: memory, load, network, and each processor's "
               "share of time "
               "not idle.\vExit codes: 0 ok, 1 failed, 64 usage, 69 no region that can be used, 74 "
               "input/output."};
    static stats_run run; /* the timer's histogram is large */
    stats_args args = {
        .region = "coldpath", .interval_ns = (uint64_t)100 * CP_NS_PER_MS, .on_full = CP_ON_FULL_DROP};
    if (!cp_secret_arguments_check(argc, argv))
        return EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    run.args = &args;
    run.stopped = cp_feed_catch_signals();
    run.policy = (cp_feed_policy){.on_full = args.on_full,
                                  .region = args.region,
                                  .producer = "coldpath-hoststats",
                                  .timeout_ns = (uint64_t)WAIT_SECONDS * CP_NS_PER_S,
                                  .stopped = run.stopped,
                                  .timer = &run.timer};
    cp_error err = {0};
    cp_put_timer_init(&run.timer);
    run.started_ns = cp_boottime_ns();
    int rc = run_open(&run, &err);
    if (rc == CP_OK)
        rc = run_loop(&run, &err);
    if (rc < 0)
        fprintf(stderr, "coldpath-hoststats: %s\n", err.text);
    if (rc == CP_OK || run.feed.rows + run.feed.dropped > 0) /* else there is nothing to say */
        report(&run);
    cp_feed_close(&run.feed);
    cp_proc_sampler_close(run.sampler);
    if (fflush(stdout) != 0 && rc == CP_OK)
        rc = CP_E_IO;
    return cp_exit_of(rc);
}
