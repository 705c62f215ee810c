/* `coldpath-market`: market data into l2_updates, quotes and trades.
 *
 *   captures ─► merge by time of receipt ─┐
 *                                         ├─► pacer ─► typed row ─► cp_put, timed
 *   synthetic generator ──────────────────┘
 *
 * Replays captures (CSV, plain or gzip) at the recorded pace, N times it, or flat out; or makes data up. At the end, or
 * on SIGINT or SIGTERM, it says what was put, and how long puts took. */
#include <argp.h>
#include <inttypes.h>
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
#include "feeds/market_merge.h"
#include "feeds/market_rows.h"
#include "feeds/market_synthetic.h"
#include "feeds/pacer.h"

enum {
    OPTION_L2 = 0x1000,
    OPTION_QUOTES,
    OPTION_TRADES,
    OPTION_SPEED,
    OPTION_LOOP,
    OPTION_SYNTHETIC,
    OPTION_SEED,
    OPTION_RATE,
    OPTION_START,
    OPTION_SECONDS,
    OPTION_ON_FULL,
    OPTION_TIMEOUT,
    OPTION_MAX_GAP,
    OPTION_REGION,
    OPTION_JSON
};

enum {
    ERRORS_SHOWN = 20,
    CLOCK_STEP = 1024, /* events between looks at the clock when flat out */
    DEFAULT_RATE = 10000
};

typedef struct market_file {
    const char *path;
    cp_event_kind kind; /* CP_EVENT_KINDS: by the header */
} market_file;

typedef struct market_args {
    market_file files[CP_MERGE_FILES];
    int file_count;
    const char *region;
    double speed;   /* 0: flat out */
    uint64_t loops; /* 0: until stopped */
    bool synthetic;
    bool json;
    uint64_t seed;
    double rate; /* 0: flat out */
    uint64_t start_ns;
    uint64_t duration_ns; /* 0: until the end */
    uint64_t max_gap_ns;
    cp_on_full on_full;
    uint64_t timeout_ns;
} market_args;

typedef struct market_run {
    const market_args *args;
    cp_feed_policy policy;
    cp_put_timer timer;
    cp_feed feeds[CP_EVENT_KINDS];
    cp_pacer pacer;
    uint64_t started_ns;
    uint64_t rejected;
    uint64_t events;
    const volatile sig_atomic_t *stopped;
} market_run;

static const struct argp_option options[] = {
    {"l2", OPTION_L2, "FILE", 0, "A capture of L2 updates", 1},
    {"quotes", OPTION_QUOTES, "FILE", 0, "A capture of best quotes", 1},
    {"trades", OPTION_TRADES, "FILE", 0, "A capture of trades", 1},
    {"speed", OPTION_SPEED, "N", 0, "1: the recorded pace (default); N: N times it; max: flat out", 1},
    {"loop", OPTION_LOOP, "N", 0, "Replay N times (default 1); 0: until stopped", 1},
    {"max-gap", OPTION_MAX_GAP, "TIME", 0, "Longer silences in a capture are shortened to this (default 10s)",
     1},
    {"synthetic", OPTION_SYNTHETIC, NULL, 0, "Make data up; its venue is \"synthetic\"", 2},
    {"seed", OPTION_SEED, "N", 0, "Of the made-up data (default 1); the same seed gives the same rows", 2},
    {"rate", OPTION_RATE, "N", 0, "Rows per second (default 10000), or max: flat out", 2},
    {"start", OPTION_START, "NS", 0, "Time of the first row, nanoseconds since 1970 (default: now)", 2},
    {"seconds", OPTION_SECONDS, "N", 0, "Stop after that long", 3},
    {"on-full", OPTION_ON_FULL, "wait|drop", 0, "What to do when a ring is full (default wait)", 3},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "How long to wait for room (default 30s)", 3},
    {"region", OPTION_REGION, "PATH", 0, "Region directory, or a namespace (default: coldpath)", 3},
    {"json", OPTION_JSON, NULL, 0, "The summary as one line of JSON on standard output", 3},
    {0},
};

static void file_add(market_args *args, const char *path, cp_event_kind kind, const struct argp_state *state)
{
    if (args->file_count == CP_MERGE_FILES)
        argp_error(state, "more than %d files", CP_MERGE_FILES);
    else
        args->files[args->file_count++] = (market_file){path, kind};
}

/* A positive number, or "max", which gives 0. */
static double number_or_max(const char *text, const char *option, const struct argp_state *state)
{
    char *end;
    const double value = strtod(text, &end);
    if (strcmp(text, "max") == 0)
        return 0;
    if (*end || end == text || !(value > 0 && value < 1e12))
        argp_error(state, "%s: '%s' is neither a positive number nor max", option, text);
    return value;
}

static uint64_t whole_number(const char *text, const char *option, const struct argp_state *state)
{
    char *end;
    const uint64_t value = strtoull(text, &end, 10);
    if (*end || *text < '0' || *text > '9')
        argp_error(state, "%s: '%s' is not a whole number", option, text);
    return value;
}

static uint64_t duration(const char *text, const char *option, const struct argp_state *state)
{
    uint64_t ns = 0;
    if (!cp_duration_parse(text, &ns))
        argp_error(state, "%s: '%s' is not a time; write 10s or 250ms", option, text);
    return ns;
}

static void args_end(const market_args *args, const struct argp_state *state)
{
    if (args->synthetic && args->file_count > 0)
        argp_error(state, "either --synthetic or files");
    if (!args->synthetic && args->file_count == 0)
        argp_error(state, "no files; give captures, or --synthetic");
}

static void on_full_set(market_args *args, const char *text, const struct argp_state *state)
{
    if (strcmp(text, "wait") != 0 && strcmp(text, "drop") != 0)
        argp_error(state, "--on-full: '%s' is neither wait nor drop", text);
    args->on_full = strcmp(text, "drop") == 0 ? CP_ON_FULL_DROP : CP_ON_FULL_WAIT;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    market_args *args = state->input;
    switch (key) {
    case OPTION_L2:
    case OPTION_QUOTES:
    case OPTION_TRADES:
        file_add(args, arg, (cp_event_kind)(key - OPTION_L2), state);
        break;
    case ARGP_KEY_ARG:
        file_add(args, arg, CP_EVENT_KINDS, state);
        break;
    case OPTION_SPEED:
        args->speed = number_or_max(arg, "--speed", state);
        break;
    case OPTION_LOOP:
        args->loops = whole_number(arg, "--loop", state);
        break;
    case OPTION_MAX_GAP:
        args->max_gap_ns = duration(arg, "--max-gap", state);
        break;
    case OPTION_SYNTHETIC:
        args->synthetic = true;
        break;
    case OPTION_SEED:
        args->seed = whole_number(arg, "--seed", state);
        break;
    case OPTION_RATE:
        args->rate = number_or_max(arg, "--rate", state);
        break;
    case OPTION_START:
        args->start_ns = whole_number(arg, "--start", state);
        break;
    case OPTION_SECONDS:
        args->duration_ns = duration(arg, "--seconds", state);
        break;
    case OPTION_ON_FULL:
        on_full_set(args, arg, state);
        break;
    case OPTION_TIMEOUT:
        args->timeout_ns = duration(arg, "--timeout", state);
        break;
    case OPTION_REGION:
        args->region = arg;
        break;
    case OPTION_JSON:
        args->json = true;
        break;
    case ARGP_KEY_END:
        args_end(args, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void reject_show(void *ctx, const cp_error *err)
{
    market_run *run = ctx;
    if (run->rejected < ERRORS_SHOWN)
        fprintf(stderr, "%s\n", err->text);
    else if (run->rejected == ERRORS_SHOWN)
        fputs("… further messages are only counted\n", stderr);
    run->rejected++;
}

static int feed_need(market_run *run, cp_event_kind kind, cp_error *err)
{
    if (cp_feed_was_open(&run->feeds[kind]))
        return CP_OK;
    return cp_feed_open(&run->feeds[kind], &run->policy, cp_market_tables[kind].name,
                        cp_market_tables[kind].schema_hash, err);
}

/* True when the time given is over, or a signal came. The clock is not asked for every row. */
static bool is_over(const market_run *run)
{
    if (*run->stopped)
        return true;
    if (run->args->duration_ns == 0 || (run->pacer.speed <= 0 && run->events % CLOCK_STEP != 0))
        return false;
    return cp_boottime_ns() - run->started_ns >= run->args->duration_ns;
}

static int event_put(market_run *run, const cp_event *event, cp_error *err)
{
    cp_market_row row;
    cp_pacer_wait(&run->pacer, event->recv_ts_ns, run->stopped);
    if (*run->stopped)
        return CP_OK;
    run->events++;
    const uint32_t bytes = cp_market_row_fill(&row, event);
    return cp_feed_put(&run->feeds[event->kind], &row, bytes, err);
}

/* What an error of a file is called, so that it is not taken for one of the region. */
static int file_code(int rc)
{
    return rc == CP_E_ABSENT ? CP_E_IO : rc == CP_E_CORRUPT ? CP_E_INVAL : rc;
}

static int replay_once(market_run *run, cp_error *err)
{
    cp_market_merge *merge = NULL;
    int rc = cp_market_merge_new(&merge, reject_show, run, err);
    for (int i = 0; i < run->args->file_count && rc == CP_OK; i++) {
        cp_event_kind kind = CP_EVENT_L2;
        rc = cp_market_merge_add(merge, run->args->files[i].path, run->args->files[i].kind, &kind, err);
        rc = file_code(rc);
        if (rc == CP_OK)
            rc = feed_need(run, kind, err);
    }
    cp_event event;
    while (rc == CP_OK && !is_over(run) && (rc = file_code(cp_market_merge_next(merge, &event, err))) == 1)
        rc = event_put(run, &event, err);
    cp_market_merge_free(merge);
    return *run->stopped ? CP_OK : rc; /* a signal may have ended a read */
}

static int run_files(market_run *run, cp_error *err)
{
    int rc = CP_OK;
    cp_pacer_init(&run->pacer, run->args->speed, (int64_t)run->args->max_gap_ns);
    for (uint64_t i = 0; rc == CP_OK && !is_over(run) && (run->args->loops == 0 || i < run->args->loops); i++)
        rc = replay_once(run, err);
    return rc;
}

static int run_synthetic(market_run *run, cp_error *err)
{
    const double rate = run->args->rate > 0 ? run->args->rate : DEFAULT_RATE;
    const uint64_t start = run->args->start_ns ? run->args->start_ns : cp_realtime_ns();
    cp_synthetic synthetic;
    int rc = CP_OK;
    cp_synthetic_init(&synthetic, run->args->seed, (int64_t)start, rate);
    cp_pacer_init(&run->pacer, run->args->rate > 0 ? 1 : 0, INT64_MAX);
    for (cp_event_kind kind = 0; kind < CP_EVENT_KINDS && rc == CP_OK; kind++)
        rc = feed_need(run, kind, err);
    while (rc == CP_OK && !is_over(run)) {
        cp_event event;
        cp_synthetic_next(&synthetic, &event);
        rc = event_put(run, &event, err);
    }
    return rc;
}

typedef struct market_totals {
    uint64_t rows;
    uint64_t waits;
    uint64_t dropped;
    double seconds;
} market_totals;

static market_totals totals_of(const market_run *run, uint64_t ended_ns)
{
    market_totals totals = {.seconds = (double)(ended_ns - run->started_ns) / 1e9};
    for (int i = 0; i < CP_EVENT_KINDS; i++) {
        totals.rows += run->feeds[i].rows;
        totals.waits += run->feeds[i].waits;
        totals.dropped += run->feeds[i].dropped;
    }
    return totals;
}

static void report_json(market_run *run, const market_totals *totals)
{
    const char *separator = "";
    printf("{\"schema_version\":1,\"program\":\"coldpath-market\",\"source\":\"%s\",\"seconds\":%.3f,\"rows_"
           "put\":%" PRIu64 ",\"rows_per_s\":%.0f,\"rejected\":%" PRIu64 ",\"dropped\":%" PRIu64
           ",\"waits\":%" PRIu64 ",\"interrupted\":%s,",
           run->args->synthetic ? "synthetic" : "files", totals->seconds, totals->rows,
           totals->seconds > 0 ? (double)totals->rows / totals->seconds : 0, run->rejected, totals->dropped,
           totals->waits, *run->stopped ? "true" : "false");
    cp_feed_times_json(&run->timer, stdout);
    fputs(",\"tables\":[", stdout);
    for (int i = 0; i < CP_EVENT_KINDS; i++) {
        if (!cp_feed_was_open(&run->feeds[i]))
            continue;
        fputs(separator, stdout);
        cp_feed_json(&run->feeds[i], stdout);
        separator = ",";
    }
    fputs("]}\n", stdout);
}

static void report_text(const market_run *run, const market_totals *totals)
{
    cp_put_times times;
    cp_put_timer_read(&run->timer, &times);
    printf("%s data: %" PRIu64 " rows put in %.1f s (%.0f rows/s), %" PRIu64 " lines rejected, %" PRIu64
           " rows dropped, %" PRIu64 " waits\n",
           run->args->synthetic ? "synthetic" : "recorded", totals->rows, totals->seconds,
           totals->seconds > 0 ? (double)totals->rows / totals->seconds : 0, run->rejected, totals->dropped,
           totals->waits);
    for (int i = 0; i < CP_EVENT_KINDS; i++) {
        if (cp_feed_was_open(&run->feeds[i]))
            printf("  %-12s %" PRIu64 "\n", run->feeds[i].producer.table, run->feeds[i].rows);
    }
    printf("put: p50 %.0f ns, p99 %.0f ns, p99.9 %.0f ns, max %.0f ns\n", times.p50_ns, times.p99_ns,
           times.p999_ns, times.max_ns);
}

/* Says what was put; nothing when the run failed (rc) before anything happened: figures of nothing would mislead. */
static void report(market_run *run, int rc)
{
    const market_totals totals = totals_of(run, cp_boottime_ns());
    if (rc < 0 && totals.rows + totals.dropped + run->rejected == 0)
        return;
    if (run->args->json)
        report_json(run, &totals);
    else
        report_text(run, &totals);
}

/* Whether there is a region is asked first, before any file is read. */
static int region_check(const market_run *run, cp_error *err)
{
    cp_region *region = NULL;
    const int rc = cp_attach(&region, run->args->region, err);
    cp_detach(region);
    return rc;
}

static int run_all(market_run *run)
{
    cp_error err = {0};
    int rc = region_check(run, &err);
    run->started_ns = cp_boottime_ns();
    cp_put_timer_init(&run->timer);
    if (rc == CP_OK)
        rc = run->args->synthetic ? run_synthetic(run, &err) : run_files(run, &err);
    if (rc < 0)
        fprintf(stderr, "coldpath-market: %s\n", err.text);
    report(run, rc);
    for (int i = 0; i < CP_EVENT_KINDS; i++)
        cp_feed_close(&run->feeds[i]);
    if (fflush(stdout) != 0 && rc == CP_OK)
        rc = CP_E_IO;
    return rc == CP_OK && run->rejected > 0 ? EXIT_FAILURE : cp_exit_of(rc);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[FILE...]",
        .doc = "Puts market data into the tables l2_updates, quotes and trades.\v"
               "FILEs are CSV with a header, plain or gzip; what they hold is told by the header. Exit "
               "codes: 0 every row "
               "was put, 1 lines were rejected or putting failed, 64 usage, 69 no region that can be used, "
               "74 input/output."};
    static market_run run; /* the timer's histogram is large */
    market_args args = {.region = "coldpath",
                        .speed = 1,
                        .loops = 1,
                        .seed = 1,
                        .rate = DEFAULT_RATE,
                        .max_gap_ns = 10 * (uint64_t)CP_NS_PER_S,
                        .timeout_ns = 30 * (uint64_t)CP_NS_PER_S};
    if (!cp_secret_arguments_check(argc, argv))
        return EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    run.args = &args;
    run.stopped = cp_feed_catch_signals();
    run.policy = (cp_feed_policy){.on_full = args.on_full,
                                  .region = args.region,
                                  .producer = "coldpath-market",
                                  .timeout_ns = args.timeout_ns,
                                  .stopped = run.stopped,
                                  .timer = &run.timer};
    return run_all(&run);
}
