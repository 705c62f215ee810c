/* `coldpath replay`: brings to ClickHouse what critical tables' logs hold, with or without coldpathd.
 *
 * Beside a recorder in mode wal_first: a lock is taken (recorder/gate.h), and while it is held the recorder ships from its logs;
 * until all that waited at the call is delivered, or with --follow until a signal. The kernel drops the lock of a process that
 * is killed; and as the recorder alone sends, keeps the checkpoint and counts, no kill of either can lose or repeat a row.
 *
 * Without a recorder, --offline:
 *
 *   without --range   a recorder is run inside this process until all that waited at the call is delivered: under the tokens and
 *                     checkpoints it always uses, so that each row arrives once, whatever is killed. It ships what it finds
 *                     in rings, too, and takes rows of producers meanwhile, as coldpathd would.
 *   with --range      delivered records are sent once more (recorder/resend.h).
 *
 * A recorder in mode direct replays by itself, and has the logs: then there is nothing to do here. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/verb.h"
#include "recorder/gate.h"
#include "recorder/recorder.h"
#include "recorder/resend.h"
#include "schema/suggest.h"
#include "shm/lock.h"
#include "shm/observer.h"
#include "shm/region.h"
#include "shm/sigbus_guard.h"

enum { OPTION_TABLE = 't', OPTION_RANGE = 'r', OPTION_OFFLINE = 'o', OPTION_FOLLOW = 'f' };

enum { POLL_NS = 20 * CP_NS_PER_MS, SHOW_EVERY_NS = 500 * CP_NS_PER_MS };
static const uint64_t tell_every_ns = 10 * (uint64_t)CP_NS_PER_S; /* of rows that --follow saw delivered */

typedef struct replay_args {
    cp_common common;
    const char *table;
    bool offline;
    bool follow;
    bool ranged;
    uint64_t lo;
    uint64_t hi;
} replay_args;

typedef struct replay_run {
    const replay_args *args;
    cp_config *config;
    int table; /* index; -1: all critical ones */
    uint64_t
        rows; /* delivered; without --range as the region's account has them: rows of a lost region are in none */
    uint64_t records;      /* to send */
    uint64_t records_sent; /* of them, acknowledged */
    uint64_t started_ns;
    uint64_t shown_ns;
    bool done;
    bool asks; /* a recorder ships */
} replay_run;

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static bool in_a_hurry(void)
{
    return stop_signal != 0;
}

static void progress_show(replay_run *run)
{
    const uint64_t now = cp_boottime_ns();
    if (now - run->shown_ns < SHOW_EVERY_NS || run->records_sent == 0 || run->records == 0)
        return;
    run->shown_ns = now;
    const double seconds = (double)(now - run->started_ns) / 1e9;
    const double rate = (double)run->records_sent / seconds;
    char sent[CP_HUMAN_TEXT];
    char all[CP_HUMAN_TEXT];
    cp_message("%s of %s log records (%.1f %%), %.0f per second, %.0f s left",
               cp_human_count(sent, run->records_sent), cp_human_count(all, run->records),
               100.0 * (double)run->records_sent / (double)run->records, rate,
               (double)(run->records - run->records_sent) / rate);
}

static void pause_a_moment(void)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    nanosleep(&pause, NULL);
}

/* ---- once more -------------------------------------------------------------------------------------------------- */

static int range_run(replay_run *run, cp_error *err)
{
    cp_resend *resend = NULL;
    cp_resend_progress progress = {0};
    const replay_args *args = run->args;
    const int rc = cp_resend_start(&resend, run->config, (uint32_t)run->table, args->lo, args->hi, err);
    if (rc < 0)
        return rc;
    run->records = args->hi - args->lo + 1;
    while (!progress.done && !progress.failed && !stop_signal) {
        cp_resend_look(resend, &progress);
        run->records_sent = progress.next - args->lo;
        run->rows = progress.rows;
        progress_show(run);
        if (!progress.done)
            pause_a_moment();
    }
    run->done = progress.done;
    cp_resend_stop(resend);
    if (progress.done)
        return CP_OK;
    return cp_error_set(err, progress.failed ? CP_E_IO : CP_E_TIMEOUT,
                        "records from %" PRIu64 " on are not sent%s%s", progress.next,
                        progress.text[0] ? ": " : "", progress.text);
}

/* ---- what was never delivered ----------------------------------------------------------------------------------- */

typedef struct replay_target {
    uint64_t first; /* LSNs */
    uint64_t last;
} replay_target;

static bool is_wanted(const replay_run *run, uint32_t table)
{
    return run->config->tables[table].critical && (run->table < 0 || (uint32_t)run->table == table);
}

static bool rings_delivered(const replay_run *run, const cp_observer *observer, const uint64_t *published)
{
    for (uint32_t t = 0; t < observer->control.table_count; t++) {
        const cp_table_view *table = &observer->tables[t];
        for (uint32_t slot = 0; is_wanted(run, t) && slot < table->entry->slots; slot++) {
            const cp_abi_ack *ack = &table->rings[slot].ack;
            if (ack->fault == CP_RING_SOUND &&
                (int64_t)(ack->delivered - published[table->entry->first_ring + slot]) < 0)
                return false;
        }
    }
    return true;
}

static bool logs_delivered(replay_run *run, const cp_recorder *recorder, const replay_target *targets)
{
    run->records_sent = 0;
    for (uint32_t t = 0; t < run->config->table_count; t++) {
        uint64_t next;
        uint64_t durable;
        if (!is_wanted(run, t) || !cp_recorder_log_position(recorder, t, &next, &durable))
            continue;
        const uint64_t end = next > targets[t].last ? targets[t].last + 1 : next;
        run->records_sent += end > targets[t].first ? end - targets[t].first : 0;
    }
    return run->records_sent == run->records;
}

static void targets_note(replay_run *run, const cp_recorder *recorder, replay_target *targets)
{
    for (uint32_t t = 0; t < run->config->table_count; t++) {
        uint64_t next;
        uint64_t durable;
        if (!is_wanted(run, t) || !cp_recorder_log_position(recorder, t, &next, &durable))
            continue;
        targets[t] = (replay_target){next, durable};
        run->records += durable + 1 - next;
    }
}

static uint64_t rows_delivered(const replay_run *run, const cp_observer *observer)
{
    uint64_t rows = 0;
    for (uint32_t t = 0; t < observer->control.table_count; t++)
        rows += is_wanted(run, t) ? observer->tables[t].delivered : 0;
    return rows;
}

/* Waits until what there is now is delivered. observer: looked at. */
static int recorder_watch(replay_run *run, const cp_recorder *recorder, cp_observer *observer,
                          replay_target *targets, uint64_t *published, uint64_t rows_before, cp_error *err)
{
    for (uint32_t i = 0; i < observer->control.ring_count; i++)
        published[i] =
            observer->rings[i].readable ? observer->rings[i].published : observer->rings[i].ack.delivered;
    while (!run->done && !stop_signal) {
        if (cp_observer_look(observer) < 0)
            return cp_error_set(err, CP_E_RETIRED, "the region was replaced");
        run->done = logs_delivered(run, recorder, targets) && rings_delivered(run, observer, published);
        run->rows = rows_delivered(run, observer) - rows_before;
        progress_show(run);
        if (!run->done)
            pause_a_moment();
    }
    return run->done ? CP_OK
                     : cp_error_set(err, CP_E_TIMEOUT, "stopped by a signal; what is not delivered waits on");
}

static int recorder_run(replay_run *run, cp_recorder *recorder, replay_target *targets, cp_error *err)
{
    cp_observer observer = {0};
    uint64_t *published = NULL;
    int rc = cp_observer_open(&observer, run->config->region_dir, err);
    if (rc < 0)
        return rc;
    cp_observer_look(&observer);
    const uint64_t rows_before = rows_delivered(run, &observer);
    published = calloc(observer.control.ring_count + 1u, sizeof *published);
    targets_note(run, recorder, targets);
    rc = published ? cp_recorder_start(recorder, err) : cp_error_set(err, CP_E_NOMEM, "no memory");
    if (rc == CP_OK) {
        cp_stop_report report;
        rc = recorder_watch(run, recorder, &observer, targets, published, rows_before, err);
        cp_recorder_stop(recorder, in_a_hurry, &report);
    }
    free(published);
    cp_observer_close(&observer);
    return rc;
}

static int undelivered_run(replay_run *run, cp_error *err)
{
    cp_recorder *recorder = NULL;
    replay_target *targets = calloc(run->config->table_count + 1u, sizeof *targets);
    if (!targets)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u tables", run->config->table_count);
    int rc = cp_recorder_create(&recorder, run->config, err);
    if (rc == CP_OK)
        rc = recorder_run(run, recorder, targets, err);
    cp_recorder_free(recorder);
    free(targets);
    return rc;
}

/* ---- letting a recorder do it ------------------------------------------------------------------------------------ */

static int asked_lock(const char *dir, int *fd, cp_error *err)
{
    char path[CP_MAX_REGION_PATH + sizeof CP_REPLAY_LOCK];
    snprintf(path, sizeof path, "%s/%s", dir, CP_REPLAY_LOCK);
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno,
                              "open %s (run it as the recorder's user)", path);
    const int rc = cp_lock_take(*fd);
    if (rc == -EAGAIN)
        return cp_error_set(err, CP_E_BUSY, "another `coldpath replay` runs on %s", dir);
    return rc < 0 ? cp_error_errno(err, CP_E_IO, -rc, "lock %s", path) : CP_OK;
}

/* A look at the region, or at the one that has replaced it. */
static int asked_look(const replay_run *run, cp_observer *observer, cp_error *err)
{
    if (observer->control.header && cp_observer_look(observer) == CP_OK)
        return CP_OK;
    if (observer->control.header)
        cp_observer_close(observer);
    *observer = (cp_observer){.glance = true};
    const int rc = cp_observer_open(observer, run->config->region_dir, err);
    if (rc == CP_OK && cp_observer_look(observer) < 0)
        return cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; try again", observer->dir);
    return rc;
}

static void asked_tell(replay_run *run, const cp_observer *observer, uint64_t *told_rows)
{
    const uint64_t now = cp_boottime_ns();
    uint64_t waiting = 0;
    char rows[CP_HUMAN_TEXT];
    char left[CP_HUMAN_TEXT];
    if (now - run->shown_ns < tell_every_ns || run->rows == *told_rows)
        return;
    for (uint32_t t = 0; t < observer->control.table_count; t++)
        waiting += observer->tables[t].in_log;
    run->shown_ns = now;
    *told_rows = run->rows;
    cp_message("%s rows delivered, %s wait in the logs", cp_human_count(rows, run->rows),
               cp_human_count(left, waiting));
}

static uint64_t critical_delivered(const cp_observer *observer)
{
    uint64_t rows = 0;
    for (uint32_t t = 0; t < observer->control.table_count; t++)
        rows += observer->tables[t].entry->critical ? observer->tables[t].delivered : 0;
    return rows;
}

static bool logs_empty(const cp_observer *observer)
{
    uint64_t waiting = 0;
    for (uint32_t t = 0; t < observer->control.table_count; t++)
        waiting += observer->tables[t].entry->critical
                       ? observer->tables[t].in_log + observer->tables[t].in_ring
                       : 0;
    return waiting == 0;
}

/* Until everything is delivered, or with --follow until a signal, whatever becomes of the recorder. */
static int asked_watch(replay_run *run, cp_observer *observer, cp_error *err)
{
    uint64_t rows_before = critical_delivered(observer);
    uint64_t told_rows = 0;
    int rc = CP_OK;
    while (rc == CP_OK && !run->done && !stop_signal) {
        pause_a_moment();
        rc = asked_look(run, observer, err);
        if (rc < 0)
            break;
        const uint64_t now = critical_delivered(observer);
        rows_before = now < rows_before ? 0 : rows_before; /* the region was made anew */
        run->rows = now - rows_before;
        asked_tell(run, observer, &told_rows);
        run->done = !run->args->follow && logs_empty(observer);
        if (!run->done && !run->args->follow && !observer->recorder_alive)
            rc = cp_error_set(err, CP_E_ABSENT, "the recorder has ended; what is not delivered waits on");
    }
    if (rc < 0 || run->done)
        return rc;
    run->done = run->args->follow;
    return run->done ? CP_OK
                     : cp_error_set(err, CP_E_TIMEOUT, "stopped by a signal; what is not delivered waits on");
}

static int asked_run(replay_run *run, cp_error *err)
{
    cp_observer observer = {.glance = true};
    int fd = -1;
    int rc = asked_look(run, &observer, err);
    if (rc == CP_OK)
        rc = asked_lock(run->config->region_dir, &fd, err);
    if (rc == CP_OK)
        rc = asked_watch(run, &observer, err);
    if (fd >= 0)
        close(fd);
    cp_observer_close(&observer);
    return rc;
}

/* Whether the recorder that runs waits to be asked. */
static int asked_check(replay_run *run, cp_error *err)
{
    cp_observer observer = {.glance = true};
    const char *dir = run->config->region_dir;
    int rc = cp_observer_open(&observer, dir, err);
    if (rc < 0)
        return rc;
    const uint32_t mode = __atomic_load_n(&observer.control.header->mode, __ATOMIC_RELAXED);
    cp_observer_close(&observer);
    if (run->args->offline || run->args->ranged || mode == CP_MODE_DIRECT)
        return cp_error_set(
            err, CP_E_BUSY,
            "a recorder runs on %s: it %s (`coldpath status`), and has the logs; end it first if you must",
            dir,
            mode == CP_MODE_DIRECT ? "replays what is not delivered by itself"
                                   : "replays what is not delivered when `coldpath replay` asks it");
    if (mode == CP_MODE_DISABLED)
        return cp_error_set(
            err, CP_E_BUSY,
            "the recorder on %s sends nothing: set mode to wal_first or direct, then `coldpath reload`", dir);
    if (run->table >= 0)
        return cp_error_set(err, CP_E_INVAL, "a recorder replays all its critical tables: leave --table out");
    run->asks = true;
    return CP_OK;
}

/* ---- the verb --------------------------------------------------------------------------------------------------- */

static int table_find(replay_run *run, cp_error *err)
{
    const char *name = run->args->table;
    run->table = -1;
    cp_suggestion meant = {.word = name, .len = name ? strlen(name) : 0};
    for (uint32_t i = 0; i < run->config->table_count; i++) {
        const cp_table_config *table = &run->config->tables[i];
        if (name && table->critical && strcmp(table->name, name) == 0)
            run->table = (int)i;
        if (name && table->critical)
            cp_suggest_offer(&meant, table->name);
    }
    if (name && run->table < 0)
        return cp_error_set(err, CP_E_INVAL, "there is no critical table '%s'%s%s%s", name,
                            meant.best ? "; did you mean '" : "", meant.best ? meant.best : "",
                            meant.best ? "'?" : "");
    return CP_OK;
}

static int replay_check(replay_run *run, cp_error *err)
{
    int rc = cp_place_config(&run->args->common, &run->config, err);
    if (rc == CP_OK)
        rc = table_find(run, err);
    if (rc < 0)
        return rc;
    const char *dir = run->config->region_dir;
    if (cp_region_is_owned(dir))
        return asked_check(run, err);
    if (run->args->follow)
        return cp_error_set(err, CP_E_ABSENT,
                            "no recorder runs on %s: start coldpathd in mode wal_first, then follow", dir);
    if (!run->args->offline)
        return cp_error_set(
            err, CP_E_ABSENT,
            "no recorder runs on %s: start coldpathd, which replays by itself, or give --offline to do it "
            "here",
            dir);
    return CP_OK;
}

static int replay_report(const replay_run *run, int rc, const cp_error *err)
{
    const double seconds = (double)(cp_boottime_ns() - run->started_ns) / 1e9;
    if (run->args->common.json) {
        json_object *answer = cp_json_begin("replay");
        cp_json_add_bool(answer, "again", run->args->ranged);
        cp_json_add_bool(answer, "by_recorder", run->asks);
        if (!run->asks) {
            cp_json_add_uint(answer, "records", run->records);
            cp_json_add_uint(answer, "records_delivered", run->records_sent);
        }
        cp_json_add_uint(answer, "rows_delivered", run->rows);
        cp_json_add_bool(answer, "done", run->done);
        cp_json_add_double(answer, "seconds", seconds);
        cp_json_add_string(answer, "error", rc < 0 ? err->text : NULL);
        return cp_json_end(answer);
    }
    char rows[CP_HUMAN_TEXT];
    char records[CP_HUMAN_TEXT];
    if (run->asks) {
        cp_message("%s rows delivered by the recorder, %.1f s", cp_human_count(rows, run->rows), seconds);
        return CP_EXIT_OK;
    }
    cp_message("%s log records sent%s, %s rows%s, %.1f s", cp_human_count(records, run->records_sent),
               run->args->ranged ? " once more" : "", cp_human_count(rows, run->rows),
               run->args->ranged ? "" : " added to the account of this region", seconds);
    return CP_EXIT_OK;
}

/* "LO-HI" or "LSN" */
static bool range_parse(const char *text, replay_args *args)
{
    char lo[32];
    const char *dash = strchr(text, '-');
    const size_t len = dash ? (size_t)(dash - text) : strlen(text);
    if (len >= sizeof lo)
        return false;
    memcpy(lo, text, len);
    lo[len] = '\0';
    args->ranged = true;
    return cp_number_parse(lo, 1, UINT64_MAX - 1, &args->lo) &&
           cp_number_parse(dash ? dash + 1 : lo, args->lo, UINT64_MAX - 1, &args->hi);
}

static const struct argp_option replay_options[] = {
    {"table", OPTION_TABLE, "NAME", 0, "This critical table only (default: all)", 0},
    {"range", OPTION_RANGE, "LO-HI", 0, "Send these delivered log records of --table once more", 0},
    {"offline", OPTION_OFFLINE, NULL, 0, "Here, without a recorder", 0},
    {"follow", OPTION_FOLLOW, NULL, 0, "Have the recorder ship what comes, too, until a signal", 0},
    {0},
};

static error_t replay_parse(int key, char *arg, struct argp_state *state)
{
    replay_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_TABLE:
        args->table = arg;
        return 0;
    case OPTION_RANGE:
        if (!range_parse(arg, args))
            argp_error(state, "--range: '%s' is no range of records; write 100-200", arg);
        return 0;
    case OPTION_OFFLINE:
        args->offline = true;
        return 0;
    case OPTION_FOLLOW:
        args->follow = true;
        return 0;
    case ARGP_KEY_END:
        if (args->follow && (args->ranged || args->offline))
            argp_error(state, "--follow is for a recorder in mode wal_first: no --range, no --offline");
        if (args->ranged && !args->table)
            argp_error(state, "--range needs --table: each table has a log of its own");
        if (args->common.region)
            argp_error(state, "the region is the configuration's here: give --config");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_replay(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = replay_options,
        .parser = replay_parse,
        .doc =
            "Brings to ClickHouse what critical tables' logs hold.\v"
            "Beside a recorder in mode wal_first: has it deliver what waits; with --follow, what comes until "
            "a "
            "signal, too, however often the recorder is restarted meanwhile. A recorder in mode direct "
            "replays "
            "by itself. Without a recorder, --offline: everything that is not delivered, each row once; what "
            "lies in rings goes along. With --range: delivered records once more, under deduplication tokens "
            "made of log and range; rows that ClickHouse still has are then there twice, but the same range "
            "given again within the table's deduplication window adds nothing. Exit codes: 0 all delivered, "
            "or "
            "a signal ended --follow, 1 not all, 69 a recorder runs that does not wait for this, or none and "
            "no "
            "--offline, or the log does not hold the records.",
        .children = children};
    replay_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    cp_sigbus_install();
    cp_log_set_level(CP_LOG_WARN);
    replay_run run = {.args = &args, .started_ns = cp_boottime_ns()};
    run.shown_ns = run.started_ns;
    cp_error err = {0};
    int rc = replay_check(&run, &err);
    const bool begun = rc == CP_OK;
    if (rc == CP_OK)
        rc = run.asks      ? asked_run(&run, &err)
             : args.ranged ? range_run(&run, &err)
                           : undelivered_run(&run, &err);
    int status = rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
    if (begun) {
        const int reported = replay_report(&run, rc, &err);
        status = status != CP_EXIT_OK ? status : reported;
    }
    cp_config_free(run.config);
    return status;
}
