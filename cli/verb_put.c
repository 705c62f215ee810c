/* `coldpath put TABLE [FILE]`: rows from a file or standard input into a ring.
 *
 *   row_source ─► row ─► cp_put ─ full? ─► cp_put_wait, up to --timeout
 *        └─ bad line ─► message (the first few), count, reject file
 *
 * A bad line costs that line alone. What was put is never taken back: after a full ring or a signal the
 * summary says how many rows went in and at which line it stopped. */
#include <coldpath/coldpath.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/row_source.h"
#include "cli/verb.h"
#include "feeds/producer.h"
#include "schema/suggest.h"

enum {
    DEFAULT_ERRORS_SHOWN = 20,
    DEFAULT_TIMEOUT_S = 30,
    PROGRESS_STEP = 4096, /* rows between looks at the clock */
    WAIT_SLICE_MS = 100   /* of a wait, between looks at signals */
};

enum {
    OPTION_HEADER = 0x2000,
    OPTION_SKIP_UNKNOWN,
    OPTION_BEST_EFFORT,
    OPTION_ERRORS_SHOWN,
    OPTION_REJECT_FILE,
    OPTION_TIMEOUT,
    OPTION_WAIT,
    OPTION_PRODUCER
};

typedef struct put_args {
    cp_common common;
    const char *table;
    const char *producer;
    const char *reject_path;
    cp_row_source_options source;
    bool format_given;
    bool header;
    bool wait;
    uint64_t errors_shown;
    uint64_t timeout_ns;
} put_args;

typedef struct put_run {
    const put_args *args;
    cp_region *region; /* for looking: table is a part of it */
    cp_producer producer;
    const cp_table *table;
    char region_path[PATH_MAX];
    cp_row_source *source;
    FILE *rejects;
    void *buffer;
    uint32_t buffer_size;
    uint64_t rows;
    uint64_t rejected;
    uint64_t waits;
    uint64_t waited_ns;
    uint64_t started_ns;
    uint64_t progress_ns; /* when the last progress line was written */
    uint64_t done_line;   /* where the last row that was put or rejected begins */
    bool delivered;
    bool usage_wrong; /* what failed is the command line */
} put_run;

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static const struct argp_option put_options[] = {
    {"format", 'f', "FORMAT", 0,
     "JSONEachRow, CSV, TSV, CSVWithNames or TSVWithNames (default: by FILE's name, else JSONEachRow)", 0},
    {"header", OPTION_HEADER, NULL, 0, "The first line of CSV or TSV names the columns", 0},
    {"skip-unknown", OPTION_SKIP_UNKNOWN, NULL, 0, "Skip fields that are no column of the table", 0},
    {"best-effort", OPTION_BEST_EFFORT, NULL, 0,
     "Dates and times also as 11 Jun 2026 10:00, 2026/6/11, 11/06/2026 (day first), counts of s, ms, µs, ns",
     0},
    {"max-errors-shown", OPTION_ERRORS_SHOWN, "N", 0, "Messages before the rest is only counted (20)", 0},
    {"reject-file", OPTION_REJECT_FILE, "FILE", 0, "Keep rejected lines, as they are, in FILE", 0},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "How long to wait for room in a full ring (30s)", 0},
    {"wait", OPTION_WAIT, NULL, 0, "Return when ClickHouse has acknowledged every row", 0},
    {"producer", OPTION_PRODUCER, "NAME", 0, "Name of this producer in status (coldpath-put)", 0},
    {0},
};

static void format_set(put_args *args, const char *name, const struct argp_state *state)
{
    bool with_names;
    if (cp_format_parse(name, &args->source.format, &with_names)) {
        args->format_given = true;
        args->header |= with_names;
        return;
    }
    cp_suggestion meant = {.word = name, .len = strlen(name)};
    for (size_t i = 0; cp_format_names[i]; i++)
        cp_suggest_offer(&meant, cp_format_names[i]);
    argp_error(state, "unknown format '%s'%s%s%s", name, meant.best ? "; did you mean '" : "",
               meant.best ? meant.best : "", meant.best ? "'?" : "");
}

static void put_args_end(put_args *args, const struct argp_state *state)
{
    if (!args->table)
        argp_error(state, "which TABLE?");
    if (!args->format_given)
        args->source.format = cp_format_of_path(args->source.path);
    if (args->header && args->source.format == CP_FORMAT_JSON_EACH_ROW)
        argp_error(state, "JSONEachRow has no header");
    args->source.header = args->header;
}

static error_t put_parse(int key, char *arg, struct argp_state *state)
{
    put_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'f':
        format_set(args, arg, state);
        return 0;
    case OPTION_HEADER:
        args->header = true;
        return 0;
    case OPTION_SKIP_UNKNOWN:
        args->source.skip_unknown = true;
        return 0;
    case OPTION_BEST_EFFORT:
        args->source.best_effort = true;
        return 0;
    case OPTION_ERRORS_SHOWN:
        if (!cp_number_parse(arg, 0, UINT64_MAX, &args->errors_shown))
            argp_error(state, "--max-errors-shown: '%s' is not a number", arg);
        return 0;
    case OPTION_REJECT_FILE:
        args->reject_path = arg;
        return 0;
    case OPTION_TIMEOUT:
        if (!cp_duration_parse(arg, &args->timeout_ns))
            argp_error(state, "--timeout: '%s' is not a time; write 30s or 250ms", arg);
        return 0;
    case OPTION_WAIT:
        args->wait = true;
        return 0;
    case OPTION_PRODUCER:
        args->producer = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "one FILE at a time");
        *(state->arg_num == 0 ? &args->table : &args->source.path) = arg;
        return 0;
    case ARGP_KEY_END:
        put_args_end(args, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int unknown_table(const cp_region *region, const char *name, cp_error *err)
{
    const uint32_t count = cp_region_table_count(region);
    cp_suggestion meant = {.word = name, .len = strlen(name)};
    for (uint32_t i = 0; i < count; i++)
        cp_suggest_offer(&meant, cp_region_table(region, i)->name);
    if (meant.best)
        return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; did you mean '%s'?", name,
                            meant.best);
    return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'; `coldpath tables` lists its %u", name,
                        count);
}

/* Something without contents of its own, such as a terminal, a pipe or /dev/null. */
static bool is_device(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && !S_ISREG(status.st_mode);
}

/* After the input is open, and not before it is known to be another file: this empties it. */
static int rejects_open(put_run *run, cp_error *err)
{
    const char *path = run->args->reject_path;
    if (!path)
        return CP_OK;
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && cp_row_source_reads(run->source, fd) && !is_device(fd)) {
        close(fd);
        run->usage_wrong = true;
        return cp_error_set(err, CP_E_INVAL,
                            "--reject-file %s is the input itself: it would be overwritten while it is read",
                            path);
    }
    const bool emptied = fd >= 0 && (is_device(fd) || ftruncate(fd, 0) == 0);
    run->rejects = emptied ? fdopen(fd, "w") : NULL;
    if (run->rejects) {
        cp_row_source_set_rejects(run->source, run->rejects, true);
        return CP_OK;
    }
    const int errnum = errno;
    if (fd >= 0)
        close(fd);
    return cp_error_errno(err, cp_error_code_of_errno(errnum) == CP_E_PERM ? CP_E_PERM : CP_E_IO, errnum,
                          "cannot write %s", path);
}

/* Attaches, finds the table, opens the input, and only then takes a producer slot. */
static int put_open(put_run *run, cp_error *err)
{
    const put_args *args = run->args;
    int rc = cp_place_region(&args->common, run->region_path, err);
    if (rc == CP_OK)
        rc = cp_attach(&run->region, run->region_path, err);
    if (rc != CP_OK)
        return rc;
    run->table = cp_region_find_table(run->region, args->table);
    if (!run->table)
        return unknown_table(run->region, args->table, err);
    rc = cp_row_source_open(&run->source, &args->source, run->table, err);
    if (rc == CP_E_ABSENT) /* of the file, not of the region */
        rc = err->code = CP_E_IO;
    if (rc == CP_OK)
        rc = rejects_open(run, err);
    run->producer = (cp_producer){.region_path = run->region_path,
                                  .table = args->table,
                                  .name = args->producer,
                                  .schema_hash = run->table->schema_hash};
    if (rc == CP_OK)
        rc = cp_producer_open(&run->producer, err);
    if (rc != CP_OK)
        return rc;
    run->buffer_size = run->producer.ring->row_max & ~7u;
    run->buffer = aligned_alloc(64, (run->buffer_size + 63u) & ~63u);
    return run->buffer ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for a row");
}

/* Rejected lines that cannot be kept are the only copy lost: no small matter. */
static int rejects_close(put_run *run)
{
    FILE *rejects = run->rejects;
    run->rejects = NULL;
    if (!rejects)
        return CP_EXIT_OK;
    cp_row_source_set_rejects(run->source, NULL, false);
    const bool failed = ferror(rejects) != 0; /* its errno is gone */
    if (fclose(rejects) == 0 && !failed)
        return CP_EXIT_OK;
    cp_message("cannot write all rejected lines to %s: %s", run->args->reject_path,
               failed ? "is its disk full?" : strerror(errno));
    return CP_EXIT_IO;
}

static void put_close(put_run *run)
{
    rejects_close(run);
    cp_row_source_close(run->source);
    cp_producer_free(&run->producer);
    cp_detach(run->region);
    free(run->buffer);
}

static void progress_show(put_run *run, uint64_t now)
{
    char count[CP_HUMAN_TEXT];
    if (run->progress_ns == 0)
        run->progress_ns = run->started_ns;
    if (now - run->progress_ns < CP_NS_PER_S || run->args->common.json || !isatty(STDERR_FILENO))
        return;
    run->progress_ns = now;
    fprintf(stderr, "\r%s rows put ", cp_human_count(count, run->rows));
    fflush(stderr);
}

static void reject_show(put_run *run, const cp_error *err)
{
    if (run->rejected < run->args->errors_shown)
        fprintf(stderr, "%s\n", err->text);
    else if (run->rejected == run->args->errors_shown)
        fprintf(stderr, "… further messages are only counted (--max-errors-shown)\n");
    run->rejected++;
}

/* The ring is full: waits in slices, so that a signal ends it. */
static int row_put_waiting(put_run *run, const cp_row *row, cp_error *err)
{
    const uint64_t begin = cp_boottime_ns();
    const uint64_t slice = (uint64_t)WAIT_SLICE_MS * CP_NS_PER_MS;
    int rc = CP_E_TIMEOUT;
    run->waits++;
    while (rc == CP_E_TIMEOUT && !stop_signal) {
        const uint64_t waited = cp_boottime_ns() - begin;
        const uint64_t left = waited < run->args->timeout_ns ? run->args->timeout_ns - waited : 0;
        rc = cp_put_wait(run->producer.ring, row->bytes, row->used, left < slice ? left : slice);
        if (left == 0)
            break;
    }
    run->waited_ns += cp_boottime_ns() - begin;
    if (rc == CP_E_TIMEOUT && !stop_signal) {
        char text[CP_HUMAN_TEXT];
        return cp_error_set(err, rc, "the ring is full and stayed so for %s%s; put again from line %" PRIu64,
                            cp_human_ns(text, run->args->timeout_ns),
                            cp_region_recorder_alive(run->region) ? ""
                                                                  : ": no recorder runs, start coldpathd",
                            cp_row_source_line(run->source));
    }
    return rc;
}

/* The region was replaced: attaches anew, as often as it takes within the timeout, and puts the same row. */
static int row_put_retired(put_run *run, const cp_row *row, cp_error *err)
{
    const uint64_t begin = cp_boottime_ns();
    int rc = CP_E_RETIRED;
    while (rc == CP_E_RETIRED && cp_boottime_ns() - begin <= run->args->timeout_ns) {
        rc = cp_producer_reopen(&run->producer, run->args->timeout_ns, &stop_signal, err);
        if (rc == CP_OK)
            rc = cp_put(run->producer.ring, row->bytes, row->used);
        else
            return cp_error_prefix(err, "put again from line %" PRIu64, cp_row_source_line(run->source));
        if (rc == CP_FULL)
            rc = row_put_waiting(run, row, err);
    }
    if (rc == CP_E_RETIRED)
        return cp_error_set(err, rc, "the region is replaced again and again; put again from line %" PRIu64,
                            cp_row_source_line(run->source));
    return rc;
}

/* CP_OK, CP_E_PARSE (the row is rejected), or the reason to stop. */
static int row_put(put_run *run, const cp_row *row, cp_error *err)
{
    int rc = cp_put(run->producer.ring, row->bytes, row->used);
    if (rc == CP_FULL)
        rc = row_put_waiting(run, row, err);
    if (rc == CP_E_RETIRED)
        rc = row_put_retired(run, row, err);
    if (rc == CP_E_TOO_BIG) {
        cp_error_set(err, CP_E_PARSE, "%s:%" PRIu64 ": the row has %u bytes; the table takes %u (row_max)",
                     strcmp(run->args->source.path, "-") == 0 ? "stdin" : run->args->source.path,
                     cp_row_source_line(run->source), row->used, run->producer.ring->row_max);
        return CP_E_PARSE;
    }
    if (rc == CP_OK)
        run->rows++;
    return rc;
}

static int put_rows(put_run *run, cp_error *err)
{
    run->started_ns = cp_boottime_ns();
    while (!stop_signal) {
        cp_row row;
        int rc = cp_row_source_next(run->source, &row, run->buffer, run->buffer_size, err);
        if (rc == 0)
            return CP_OK;
        if (rc == 1)
            rc = row_put(run, &row, err);
        if (rc == CP_E_CORRUPT) /* of the input, not of the region */
            rc = err->code = CP_E_INVAL;
        if (rc == CP_E_PARSE)
            reject_show(run, err);
        else if (rc < 0)
            return stop_signal ? CP_OK : rc;
        run->done_line = cp_row_source_line(run->source);
        if (run->rows % PROGRESS_STEP == 0)
            progress_show(run, cp_boottime_ns());
    }
    return CP_OK;
}

static int put_wait_delivered(put_run *run, cp_error *err)
{
    const uint64_t begin = cp_boottime_ns();
    const uint64_t slice = (uint64_t)WAIT_SLICE_MS * CP_NS_PER_MS;
    const uint64_t end = cp_producer_spans(&run->producer)[run->producer.span_count - 1].last;
    int rc = CP_E_TIMEOUT;
    while (rc == CP_E_TIMEOUT && !stop_signal && cp_boottime_ns() - begin < run->args->timeout_ns) {
        rc = cp_producer_is_whole(&run->producer) ? cp_wait(run->producer.ring, CP_DELIVERED, end, slice)
                                                  : CP_E_UNSUPPORTED;
        if (rc == CP_E_RETIRED) {
            rc = cp_producer_reopen(&run->producer, run->args->timeout_ns, &stop_signal, err);
            if (rc < 0)
                return rc;
            rc = CP_E_TIMEOUT;
        }
    }
    run->delivered = rc == CP_OK;
    if (rc == CP_E_TIMEOUT && stop_signal)
        return CP_OK; /* what is put stays; the summary says so */
    if (rc == CP_E_UNSUPPORTED)
        return cp_error_set(
            err, rc,
            "every row is in a ring, but the region was replaced meanwhile and they lie in more "
            "than one: `coldpath status` says when all are delivered");
    if (rc == CP_E_TIMEOUT)
        return cp_error_set(
            err, rc, "every row is in the ring, but not all were delivered in the time given (--timeout)%s",
            cp_region_recorder_alive(run->region) ? "" : ": no recorder runs, start coldpathd");
    return rc < 0 ? cp_error_set(err, rc, "%s while waiting for delivery", cp_strerror(rc)) : CP_OK;
}

static int put_report(const put_run *run, int rc, const cp_error *err)
{
    const double seconds = (double)(cp_boottime_ns() - run->started_ns) / 1e9;
    if (!run->args->common.json) {
        char stopped[64] = "";
        char rows[CP_HUMAN_TEXT];
        char rejected[CP_HUMAN_TEXT];
        if (stop_signal)
            snprintf(stopped, sizeof stopped, "; stopped by a signal behind line %" PRIu64, run->done_line);
        cp_message("%s rows put into %s, %s rejected, %" PRIu64 " waits (%.1f s) for room, %.1f s%s%s",
                   cp_human_count(rows, run->rows), run->table->name, cp_human_count(rejected, run->rejected),
                   run->waits, (double)run->waited_ns / 1e9, seconds, run->delivered ? ", delivered" : "",
                   stopped);
        return CP_EXIT_OK;
    }
    json_object *answer = cp_json_begin("put");
    cp_json_add_string(answer, "table", run->table->name);
    cp_json_add_uint(answer, "rows_put", run->rows);
    cp_json_add_uint(answer, "rows_rejected", run->rejected);
    cp_json_add_uint(answer, "waits", run->waits);
    cp_json_add_double(answer, "waited_seconds", (double)run->waited_ns / 1e9);
    cp_json_add_double(answer, "seconds", seconds);
    cp_json_add_uint(answer, "last_line", cp_row_source_line(run->source));
    cp_json_add_bool(answer, "delivered", run->delivered);
    cp_json_add_bool(answer, "interrupted", stop_signal != 0);
    cp_json_add_string(answer, "error", rc < 0 ? err->text : NULL);
    return cp_json_end(answer);
}

static int put_execute(put_run *run)
{
    cp_error err = {0};
    int rc = put_open(run, &err);
    if (rc != CP_OK) {
        const int status = cp_fail(&err);
        return run->usage_wrong ? CP_EXIT_USAGE : status;
    }
    rc = put_rows(run, &err);
    if (run->progress_ns > run->started_ns)
        fputc('\n', stderr);
    if (rc == CP_OK && run->args->wait && !stop_signal)
        rc = put_wait_delivered(run, &err);
    int status = rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
    const int kept = rejects_close(run);
    const int reported = put_report(run, rc, &err);
    if (status == CP_EXIT_OK)
        status = kept;
    if (status == CP_EXIT_OK)
        status = run->rejected > 0 || stop_signal ? CP_EXIT_FAILED : reported;
    return status;
}

int cp_verb_put(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = put_options,
        .parser = put_parse,
        .args_doc = "TABLE [FILE]",
        .doc = "Puts rows into TABLE's ring; FILE is - or left out for standard input.\v"
               "Plain or gzip, by content. A bad line is rejected with a message, all others are put; the "
               "exit code is "
               "then 1 (74 when --reject-file cannot be written). In CSV and TSV without a header the fields "
               "are the table's columns in order; in CSV "
               "an empty "
               "field, in JSON a missing one, gets the column's default; \\N is NULL.",
        .children = children};
    put_args args = {.producer = "coldpath-put",
                     .errors_shown = DEFAULT_ERRORS_SHOWN,
                     .timeout_ns = (uint64_t)DEFAULT_TIMEOUT_S * CP_NS_PER_S,
                     .source = {.path = "-", .stopped = &stop_signal}};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a signal ends a read */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    put_run run = {.args = &args};
    const int status = put_execute(&run);
    put_close(&run);
    return status;
}
