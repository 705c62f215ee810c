/* `coldpath bench put|encode|ship|e2e|wal|recover`: what a put, an insert's body, an insert, the whole path, a durable commit and
 * reading a log back cost on this host. put.h, encode.h, ship.h, end_to_end.h, wal.h and recover.h say what is measured and how. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/bench/encode.h"
#include "cli/bench/end_to_end.h"
#include "cli/bench/host.h"
#include "cli/bench/put.h"
#include "cli/bench/recover.h"
#include "cli/bench/server.h"
#include "cli/bench/ship.h"
#include "cli/bench/wal.h"
#include "cli/cli.h"
#include "cli/verb.h"

enum {
    OPTION_ROUNDS = 0x2100,
    OPTION_PACE,
    OPTION_RING,
    OPTION_CPUS,
    OPTION_SIZE,
    OPTION_ROWS,
    OPTION_LEVEL,
    OPTION_DDL,
    OPTION_DATA,
    OPTION_URL,
    OPTION_BATCH,
    OPTION_COMPRESSION
};

enum {
    PUT_SECONDS = 6,
    PUT_ROUNDS = 9,
    ENCODE_SECONDS = 5,
    ENCODE_ROUNDS = 9,
    ENCODE_ROWS = 100000,
    SHIP_ROWS = 1000000,
    SHIP_ROUNDS = 5,
    SHIP_BATCH = 200000, /* a recorder's max_rows */
    WAL_SECONDS = 20,
    WAL_ROUNDS = 5,
    RECOVER_ROUNDS = 5,
    RECOVER_MIB = 512
};

typedef struct bench_args {
    cp_common common;
    cp_bench_put_options put;
    uint64_t total_ns; /* 0: the benchmark's own */
    uint32_t rounds;   /* likewise */
    uint64_t bytes;
    uint32_t rows;  /* 0: likewise */
    uint32_t batch; /* ship, e2e: rows */
    int level;
    const char *compression; /* as in a configuration, and */
    cp_compression way;      /*   what it means */
    const char *url;
    const char *ddl; /* encode: rows of a file instead of synthetic ones */
    const char *data;
    const char *dir;
    const char *what;
    cp_bench_host host;
} bench_args;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

static bool is_cancelled(void)
{
    return interrupted != 0;
}

static void show_progress(uint32_t round, uint32_t rounds)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\rround %u of %u ", round + 1, rounds);
    else if (round == 0)
        fprintf(stderr, "coldpath: bench: %u rounds\n", rounds);
}

static const struct argp_option bench_options[] = {
    {"seconds", 's', "N", 0, "put, encode, wal: how long to measure, about (default 6, 5, 20)", 0},
    {"rounds", OPTION_ROUNDS, "N", 0,
     "Interleaved rounds, of which the median is shown (default 9; ship, e2e, wal, recover: 5)", 0},
    {"pace", OPTION_PACE, "TIME", 0, "put: between paced puts (default 1us)", 0},
    {"ring-size", OPTION_RING, "BYTES", 0, "put: of the ring, a power of two (default 4194304)", 0},
    {"cpus", OPTION_CPUS, "A,B", 0, "put: CPUs of producer and consumer (default: the first and the last)",
     0},
    {"dir", 'd', "DIR", 0, "wal, recover: on the file system to be measured (default: this directory)", 0},
    {"size", OPTION_SIZE, "MIB", 0, "recover: of the log that is read back (default 512)", 0},
    {"rows", OPTION_ROWS, "N", 0, "encode: of a batch (default 100000); ship, e2e: in all (default 1000000)",
     0},
    {"level", OPTION_LEVEL, "N", 0, "encode, ship, e2e: of zstd (default 1)", 0},
    {"data", OPTION_DATA, "FILE", 0,
     "encode, ship, e2e: rows (CSV or TSV with a header, JSONEachRow, also .gz) instead of synthetic ones",
     0},
    {"ddl", OPTION_DDL, "FILE", 0, "encode, ship, e2e: the CREATE TABLE that --data's rows are of", 0},
    {"url", OPTION_URL, "URL", 0,
     "ship, e2e: a ClickHouse without credentials; one with them is named by --config (default: an embedded "
     "one, "
     "for this run)",
     0},
    {"batch", OPTION_BATCH, "ROWS", 0, "ship, e2e: of an insert, at most (default 200000)", 0},
    {"compression", OPTION_COMPRESSION, "HOW", 0, "ship, e2e: zstd, none or auto (default zstd)", 0},
    {0},
};

static int bench_put(bench_args *args);
static int bench_encode(bench_args *args);
static int bench_ship(bench_args *args);
static int bench_e2e(bench_args *args);
static int bench_wal(bench_args *args);
static int bench_recover(bench_args *args);

/* What there is to measure, in the order of help. */
static const struct {
    const char *name;
    int (*run)(bench_args *args);
} benches[] = {{"put", bench_put}, {"encode", bench_encode}, {"ship", bench_ship},
               {"e2e", bench_e2e}, {"wal", bench_wal},       {"recover", bench_recover}};

/* NULL: there is none of that name. */
static int (*bench_find(const char *name))(bench_args *args)
{
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++) {
        if (strcmp(benches[i].name, name) == 0)
            return benches[i].run;
    }
    return NULL;
}

static bool parse_pace(const char *text, uint64_t *ns)
{
    return cp_duration_parse(text, ns) && *ns >= 200 && *ns <= CP_NS_PER_MS;
}

static bool cpus_parse(const char *text, cp_bench_put_options *options)
{
    char first[16];
    uint64_t producer = 0;
    uint64_t consumer = 0;
    const size_t length = strcspn(text, ",");
    if (text[length] != ',' || length >= sizeof first)
        return false;
    memcpy(first, text, length);
    first[length] = '\0';
    if (!cp_number_parse(first, 0, CPU_SETSIZE - 1, &producer) ||
        !cp_number_parse(text + length + 1, 0, CPU_SETSIZE - 1, &consumer))
        return false;
    options->producer_cpu = (int)producer;
    options->consumer_cpu = (int)consumer;
    return true;
}

static bool compression_find(const char *name, cp_compression *way)
{
    static const char *const names[] = {
        [CP_COMPRESS_NONE] = "none", [CP_COMPRESS_ZSTD] = "zstd", [CP_COMPRESS_AUTO] = "auto"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        *way = (cp_compression)i;
        return true;
    }
    return false;
}

/* The options that say which rows, and where they go. */
static error_t rows_parse(int key, char *value, struct argp_state *state)
{
    bench_args *args = state->input;
    uint64_t number = 0;
    switch (key) {
    case OPTION_ROWS:
        if (!cp_number_parse(value, 1, 1000000, &number))
            argp_error(state, "--rows '%s': a number from 1 to 1000000 is wanted", value);
        args->rows = (uint32_t)number;
        return 0;
    case OPTION_LEVEL:
        if (!cp_number_parse(value, 1, 22, &number))
            argp_error(state, "--level '%s': a number from 1 to 22 is wanted", value);
        args->level = (int)number;
        return 0;
    case OPTION_DATA:
        args->data = value;
        return 0;
    case OPTION_DDL:
        args->ddl = value;
        return 0;
    case OPTION_URL:
        args->url = value;
        return 0;
    case OPTION_BATCH:
        if (!cp_number_parse(value, 1, CP_MAX_BATCH_ROWS, &number))
            argp_error(state, "--batch '%s': a number from 1 to %d is wanted", value, CP_MAX_BATCH_ROWS);
        args->batch = (uint32_t)number;
        return 0;
    case OPTION_COMPRESSION:
        if (!compression_find(value, &args->way))
            argp_error(state, "--compression '%s': zstd, none or auto is wanted", value);
        args->compression = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t bench_parse(int key, char *value, struct argp_state *state)
{
    bench_args *args = state->input;
    uint64_t number = 0;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 's':
        if (!cp_number_parse(value, 1, 3600, &number))
            argp_error(state, "--seconds '%s': a number from 1 to 3600 is wanted", value);
        args->total_ns = number * CP_NS_PER_S;
        return 0;
    case OPTION_ROUNDS:
        if (!cp_number_parse(value, 1, CP_BENCH_MAX_ROUNDS, &number))
            argp_error(state, "--rounds '%s': a number from 1 to %d is wanted", value, CP_BENCH_MAX_ROUNDS);
        args->rounds = (uint32_t)number;
        return 0;
    case OPTION_PACE:
        if (!parse_pace(value, &args->put.pace_ns))
            argp_error(state, "--pace '%s': 0.2us to 1ms is wanted", value);
        return 0;
    case OPTION_RING:
        if (!cp_number_parse(value, 1 << 16, 1 << 30, &number) || (number & (number - 1)) != 0)
            argp_error(state, "--ring-size '%s': a power of two from 65536 to 1073741824 is wanted", value);
        args->put.ring_size = number;
        return 0;
    case OPTION_CPUS:
        if (!cpus_parse(value, &args->put))
            argp_error(state, "--cpus '%s': two numbers, as in 0,1, are wanted", value);
        return 0;
    case 'd':
        args->dir = value;
        return 0;
    case OPTION_SIZE:
        if (!cp_number_parse(value, 64, 1 << 20, &number))
            argp_error(state, "--size '%s': 64 to 1048576 MiB are wanted", value);
        args->bytes = number << 20;
        return 0;
    case ARGP_KEY_ARG:
        if (*args->what || !bench_find(value))
            argp_error(state, "unknown benchmark '%s': there are put, encode, ship, e2e, wal and recover",
                       value);
        args->what = value;
        return 0;
    case ARGP_KEY_END:
        if (!*args->what)
            argp_error(state, "which benchmark? There are put, encode, ship, e2e, wal and recover");
        return 0;
    default:
        return rows_parse(key, value, state);
    }
}

/* The first and the last CPU that this process may use. */
static void default_cpus(cp_bench_put_options *options)
{
    cpu_set_t set;
    options->producer_cpu = options->consumer_cpu = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return;
    bool first = true;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &set))
            continue;
        if (first)
            options->producer_cpu = cpu;
        first = false;
        options->consumer_cpu = cpu;
    }
}

static json_object *size_json(const cp_bench_put_result *result)
{
    json_object *item = json_object_new_object();
    json_object *paced = json_object_new_object();
    json_object *spread = json_object_new_object();
    cp_json_add_uint(item, "bytes", result->bytes);
    cp_json_add_double(item, "floor_ns", result->floor_ns.median);
    cp_json_add_double(item, "floor_paced_ns", result->floor_paced_ns.median);
    cp_json_add_double(paced, "p50", result->p50_ns.median);
    cp_json_add_double(paced, "p99", result->p99_ns.median);
    cp_json_add_double(paced, "p999", result->p999_ns.median);
    cp_json_add_double(paced, "max", result->max_ns.high);
    cp_json_add(item, "paced", paced);
    cp_json_add_double(item, "saturated_ns", result->saturated_ns.median);
    cp_json_add_double(item, "drain_ns", result->drain_ns.median);
    cp_json_add_double(item, "paced_p50_over_floor", result->p50_over_floor.median);
    cp_json_add_double(item, "paced_p999_over_pingpong", result->p999_over_pingpong.median);
    cp_json_add_double(item, "saturated_over_floor", result->saturated_over_floor.median);
    cp_json_add_double(item, "drain_over_floor", result->drain_over_floor.median);
    cp_json_add_uint(item, "puts", result->puts);
    cp_bench_figure_add(spread, "floor_ns", &result->floor_ns);
    cp_bench_figure_add(spread, "floor_paced_ns", &result->floor_paced_ns);
    cp_bench_figure_add(spread, "paced_p50_ns", &result->p50_ns);
    cp_bench_figure_add(spread, "paced_p99_ns", &result->p99_ns);
    cp_bench_figure_add(spread, "paced_p999_ns", &result->p999_ns);
    cp_bench_figure_add(spread, "saturated_ns", &result->saturated_ns);
    cp_bench_figure_add(spread, "drain_ns", &result->drain_ns);
    cp_bench_figure_add(spread, "paced_p50_over_floor", &result->p50_over_floor);
    cp_bench_figure_add(spread, "paced_p999_over_pingpong", &result->p999_over_pingpong);
    cp_bench_figure_add(spread, "saturated_over_floor", &result->saturated_over_floor);
    cp_bench_figure_add(spread, "drain_over_floor", &result->drain_over_floor);
    cp_json_add(item, "spread", spread);
    return item;
}

static int print_json(const bench_args *args, const cp_bench_put_report *report)
{
    json_object *answer = cp_json_begin("bench put");
    json_object *sizes = json_object_new_array();
    cp_bench_host_add(answer, &args->host);
    cp_json_add_uint(answer, "producer_cpu", (uint64_t)args->put.producer_cpu);
    cp_json_add_uint(answer, "consumer_cpu", (uint64_t)args->put.consumer_cpu);
    cp_json_add_uint(answer, "rounds", report->rounds);
    cp_json_add_uint(answer, "ring_size", args->put.ring_size);
    cp_json_add_uint(answer, "pace_ns", args->put.pace_ns);
    cp_json_add_double(answer, "timer_ns", report->timer_ns);
    cp_json_add_double(answer, "timer_step_ns", report->step_ns);
    cp_json_add_double(answer, "pingpong_ns", report->pingpong_ns.median);
    for (uint32_t i = 0; i < CP_BENCH_SIZES; i++)
        json_object_array_add(sizes, size_json(&report->sizes[i]));
    cp_json_add(answer, "sizes", sizes);
    return cp_json_end(answer);
}

static int print_table(const bench_args *args, const cp_bench_put_report *report)
{
    printf("%-6s | %7s %7s %6s | %6s %6s %9s | %7s %8s %6s | %6s %6s\n", "row", "floor", "p50", "ratio",
           "p99", "p99.9", "max", "floor", "flat out", "ratio", "drain", "ratio");
    for (uint32_t i = 0; i < CP_BENCH_SIZES; i++) {
        const cp_bench_put_result *r = &report->sizes[i];
        printf("%-4u B | %7.2f %7.2f %6.2f | %6.1f %6.1f %9.0f | %7.2f %8.1f %6.2f | %6.1f %6.2f\n", r->bytes,
               r->floor_paced_ns.median, r->p50_ns.median, r->p50_over_floor.median, r->p99_ns.median,
               r->p999_ns.median, r->max_ns.high, r->floor_ns.median, r->saturated_ns.median,
               r->saturated_over_floor.median, r->drain_ns.median, r->drain_over_floor.median);
    }
    printf("ns per put; floor: memcpy of the row; drain: ns per row out of its ring; medians of %u rounds, "
           "as are the "
           "ratios\n"
           "one cache line between the CPUs: %.0f ns; timer: %.1f ns taken off, steps of %.1f ns, within "
           "which is "
           "interpolated\n",
           report->rounds, report->pingpong_ns.median, report->timer_ns, report->step_ns);
    cp_bench_host_print(&args->host);
    return cp_output_finish();
}

/* After the last round: the line of progress ends, and what the host did meanwhile is known. */
static int bench_ended(bench_args *args, int rc, uint32_t rounds, const cp_error *err)
{
    cp_bench_host_end(&args->host);
    if (isatty(STDERR_FILENO))
        fputc('\n', stderr);
    if (rc < 0)
        return cp_fail(err);
    return rounds == 0 ? CP_EXIT_FAILED : CP_EXIT_OK;
}

static int bench_put(bench_args *args)
{
    cp_error err = {0};
    if (args->put.producer_cpu == args->put.consumer_cpu) {
        cp_error_set(&err, CP_E_INVAL, "bench put needs two CPUs; both are %d", args->put.producer_cpu);
        return cp_fail(&err);
    }
    const uint64_t total_ns = args->total_ns ? args->total_ns : PUT_SECONDS * (uint64_t)CP_NS_PER_S;
    args->put.rounds = args->rounds ? args->rounds : PUT_ROUNDS;
    /* A third of a round each for the floor, the bursts and the single puts of a size. */
    args->put.round_ns = total_ns / args->put.rounds / CP_BENCH_SIZES / 3;
    args->put.cancelled = is_cancelled;
    args->put.progress = show_progress;
    cp_bench_put_report report;
    const int rc = cp_bench_put_run(&args->put, &report, &err);
    const int status = bench_ended(args, rc, report.rounds, &err);
    if (status != CP_EXIT_OK)
        return status;
    return args->common.json ? print_json(args, &report) : print_table(args, &report);
}

static const char *rows_name(const bench_args *args)
{
    return args->data ? args->data : "a synthetic order book";
}

/* The rows that encode, ship and e2e take. */
static int rows_make(const bench_args *args, uint32_t otherwise, cp_bench_rows *rows, cp_error *err)
{
    const uint32_t count = args->rows ? args->rows : otherwise;
    if (!args->data != !args->ddl)
        return cp_error_set(err, CP_E_INVAL, "bench %s: --data and --ddl go together: rows and their table",
                            args->what);
    return args->data ? cp_bench_rows_read(rows, args->ddl, args->data, count, err)
                      : cp_bench_rows_synthetic(rows, count, err);
}

static int bench_encode(bench_args *args)
{
    cp_error err = {0};
    cp_bench_rows rows = {0};
    cp_bench_encode_report report = {0};
    const cp_bench_encode_options options = {
        .rows = &rows,
        .level = args->level,
        .rounds = args->rounds ? args->rounds : ENCODE_ROUNDS,
        .total_ns = args->total_ns ? args->total_ns : ENCODE_SECONDS * (uint64_t)CP_NS_PER_S,
        .cancelled = is_cancelled,
        .progress = show_progress};
    int rc = rows_make(args, ENCODE_ROWS, &rows, &err);
    if (rc == CP_OK)
        rc = cp_bench_encode_run(&options, &report, &err);
    int status = bench_ended(args, rc, report.rounds, &err);
    if (status == CP_EXIT_OK)
        status = cp_bench_encode_print(&report, rows_name(args), &args->host, args->common.json);
    cp_bench_rows_free(&rows);
    return status;
}

static int bench_ship(bench_args *args)
{
    cp_error err = {0};
    cp_bench_rows rows = {0};
    cp_bench_server server = {0};
    cp_bench_ship_report report = {0};
    const cp_bench_ship_options options = {.rows = &rows,
                                           .server = &server,
                                           .compression = args->way,
                                           .compression_name = args->compression,
                                           .level = args->level,
                                           .batch_rows = args->batch,
                                           .rounds = args->rounds ? args->rounds : SHIP_ROUNDS,
                                           .cancelled = is_cancelled,
                                           .progress = show_progress};
    cp_log_set_level(CP_LOG_ERROR); /* the flusher's */
    int rc = rows_make(args, SHIP_ROWS, &rows, &err);
    if (rc == CP_OK)
        rc = cp_bench_server_open(&server, &args->common, args->url, &err);
    if (rc == CP_OK)
        rc = cp_bench_ship_run(&options, &report, &err);
    cp_bench_server_close(&server);
    int status = bench_ended(args, rc, report.rounds, &err);
    if (status == CP_EXIT_OK)
        status = cp_bench_ship_print(&report, &options, rows_name(args), &args->host, args->common.json);
    cp_bench_rows_free(&rows);
    return status;
}

static int bench_e2e(bench_args *args)
{
    cp_error err = {0};
    cp_bench_rows rows = {0};
    cp_bench_server server = {0};
    cp_bench_e2e_report report = {0};
    const cp_bench_e2e_options options = {.rows = &rows,
                                          .server = &server,
                                          .compression = args->compression,
                                          .level = args->level,
                                          .batch_rows = args->batch,
                                          .rounds = args->rounds ? args->rounds : SHIP_ROUNDS,
                                          .cancelled = is_cancelled,
                                          .progress = show_progress};
    int rc = rows_make(args, SHIP_ROWS, &rows, &err);
    if (rc == CP_OK)
        rc = cp_bench_server_open(&server, &args->common, args->url, &err);
    if (rc == CP_OK)
        rc = cp_bench_e2e_run(&options, &report, &err);
    cp_bench_server_close(&server);
    int status = bench_ended(args, rc, report.rounds, &err);
    if (status == CP_EXIT_OK)
        status = cp_bench_e2e_print(&report, &options, rows_name(args), &args->host, args->common.json);
    cp_bench_rows_free(&rows);
    return status;
}

static int bench_wal(bench_args *args)
{
    cp_error err = {0};
    cp_bench_wal_report report;
    const cp_bench_wal_options options = {.dir = args->dir,
                                          .rounds = args->rounds ? args->rounds : WAL_ROUNDS,
                                          .total_ns = args->total_ns ? args->total_ns
                                                                     : WAL_SECONDS * (uint64_t)CP_NS_PER_S,
                                          .cancelled = is_cancelled,
                                          .progress = show_progress};
    const int rc = cp_bench_wal_run(&options, &report, &err);
    const int status = bench_ended(args, rc, report.rounds, &err);
    return status == CP_EXIT_OK ? cp_bench_wal_print(&report, &args->host, args->common.json) : status;
}

static int bench_recover(bench_args *args)
{
    cp_error err = {0};
    cp_bench_recover_report report;
    const cp_bench_recover_options options = {.dir = args->dir,
                                              .rounds = args->rounds ? args->rounds : RECOVER_ROUNDS,
                                              .bytes = args->bytes,
                                              .cancelled = is_cancelled,
                                              .progress = show_progress};
    const int rc = cp_bench_recover_run(&options, &report, &err);
    const int status = bench_ended(args, rc, report.rounds, &err);
    return status == CP_EXIT_OK ? cp_bench_recover_print(&report, &args->host, args->common.json) : status;
}

int cp_verb_bench(int argc, char **argv)
{
    bench_args args = {.put = {.pace_ns = 1000, .ring_size = 4 << 20},
                       .bytes = (uint64_t)RECOVER_MIB << 20,
                       .batch = SHIP_BATCH,
                       .level = 1,
                       .compression = "zstd",
                       .way = CP_COMPRESS_ZSTD,
                       .dir = ".",
                       .what = ""};
    const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    const struct argp parser = {
        .options = bench_options,
        .parser = bench_parse,
        .args_doc = "put\nencode\nship\ne2e\nwal\nrecover",
        .doc = "Measures on this host what a put costs; what it costs to make an insert's body, beside "
               "JSONEachRow; how fast rows in memory get into ClickHouse, beside the engine's own INSERT and "
               "JSONEachRow; the same from put to visible, through a recorder; what a durable commit costs, "
               "beside fio if that is installed; or how fast a log "
               "is read back, beside bare reads.",
        .children = children};
    default_cpus(&args.put);
    argp_parse(&parser, argc, argv, 0, NULL, &args);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    cp_bench_host_begin(&args.host);
    return bench_find(args.what)(&args);
}
