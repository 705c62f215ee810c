/* `coldpath flush`: asks the running recorder to ship now, without waiting for batch sizes and intervals.
 *
 *   note every ring's published position ──► command to the recorder ──► with --wait: until delivered ≥ noted, ring by ring
 *
 * The recorder reads the positions itself when the command comes, so its target is never before ours. It stays urgent until
 * they are delivered, no longer than recorder.stop_timeout, and goes back to batches as configured. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/recorder_call.h"
#include "cli/verb.h"
#include "recorder/config/config.h"
#include "shm/observer.h"
#include "shm/region.h"
#include "shm/sigbus_guard.h"

enum { OPTION_WAIT = 'w', OPTION_TIMEOUT = 't' };

enum {
    DEFAULT_TIMEOUT_S = 60,
    CALL_TIMEOUT_S = 30, /* it may be reading its configuration */
    POLL_NS = 2 * CP_NS_PER_MS,
    ALIVE_EVERY = 50 /* polls; looking for the lock opens a file */
};

typedef struct flush_args {
    cp_common common;
    bool wait;
    uint64_t timeout_ns;
} flush_args;

typedef struct flush_target {
    uint64_t epoch;
    uint64_t position;
    bool broken; /* nothing of it is read any more */
} flush_target;

typedef struct flush_run {
    const flush_args *args;
    cp_observer observer;
    flush_target *targets; /* per ring */
    uint64_t rows;         /* that were not delivered at the call */
    uint64_t started_ns;
    uint32_t pid;
    bool delivered;
} flush_run;

static int targets_note(flush_run *run, cp_error *err)
{
    const cp_observer *observer = &run->observer;
    run->targets = calloc(observer->control.ring_count + 1u, sizeof *run->targets);
    if (!run->targets)
        return cp_error_set(err, CP_E_NOMEM, "no memory for %u rings", observer->control.ring_count);
    for (uint32_t i = 0; i < observer->control.ring_count; i++) {
        const cp_ring_view *ring = &observer->rings[i];
        run->targets[i] =
            (flush_target){ring->ack.epoch, ring->readable ? ring->published : ring->ack.delivered,
                           ring->ack.fault != CP_RING_SOUND};
    }
    for (uint32_t i = 0; i < observer->control.table_count; i++)
        run->rows += observer->tables[i].in_ring + observer->tables[i].in_log;
    return CP_OK;
}

static bool ring_reached(const flush_run *run, uint32_t ring)
{
    const flush_target *target = &run->targets[ring];
    cp_abi_ack ack;
    cp_ack_read(&run->observer.control.acks[ring], &ack);
    /* Another epoch: the ring was replaced, which is done to empty rings only. */
    return ack.epoch != target->epoch || (int64_t)(ack.delivered - target->position) >= 0;
}

/* The first ring that has not come to its target, broken ones apart or alone; -1: none. */
static int ring_behind(const flush_run *run, bool broken)
{
    for (uint32_t i = 0; i < run->observer.control.ring_count; i++) {
        if (run->targets[i].broken == broken && !ring_reached(run, i))
            return (int)i;
    }
    return -1;
}

static const char *table_of_ring(const cp_control *control, uint32_t ring, uint32_t *slot)
{
    for (uint32_t i = 0; i < control->table_count; i++) {
        const cp_abi_table *entry = &control->directory[i];
        if (ring >= entry->first_ring && ring < entry->first_ring + entry->slots) {
            *slot = ring - entry->first_ring;
            return entry->name;
        }
    }
    *slot = 0;
    return "?";
}

static int recorder_gone(const flush_run *run, cp_error *err)
{
    if (cp_control_state(&run->observer.control) == CP_RECORDER_RETIRED)
        return cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; try again",
                            run->observer.dir);
    if (!cp_region_is_owned(run->observer.dir))
        return cp_error_set(err, CP_E_ABSENT,
                            "the recorder has ended; rows wait where they are: start coldpathd");
    return CP_OK;
}

static int timed_out(const flush_run *run, int ring, cp_error *err)
{
    uint32_t slot;
    char text[CP_HUMAN_TEXT];
    const cp_control *control = &run->observer.control;
    const char *table = table_of_ring(control, (uint32_t)ring, &slot);
    const cp_abi_counters *counters = &control->counters[cp_control_find(control, table)];
    const bool held = __atomic_load_n(&control->header->mode, __ATOMIC_RELAXED) != CP_MODE_DIRECT;
    const char *reason = held                    ? "the recorder's mode is not direct"
                         : counters->retry_at_ns ? counters->last_error
                                                 : "coldpath status says why";
    return cp_error_set(
        err, CP_E_TIMEOUT, "not all is delivered after %s (--timeout): table %s, slot %u: %.*s",
        cp_human_ns(text, run->args->timeout_ns), table, slot, (int)CP_ABI_ERROR_TEXT - 1, reason);
}

static int wait_delivered(flush_run *run, cp_error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    int rc = CP_OK;
    for (uint32_t polls = 1; rc == CP_OK; polls++) {
        const int behind = ring_behind(run, false);
        if (behind < 0)
            break;
        if (cp_boottime_ns() - run->started_ns >= run->args->timeout_ns)
            return timed_out(run, behind, err);
        if (polls % ALIVE_EVERY == 0)
            rc = recorder_gone(run, err);
        nanosleep(&pause, NULL);
    }
    if (rc < 0)
        return rc;
    const int lost = ring_behind(run, true);
    if (lost >= 0) {
        uint32_t slot;
        const char *table = table_of_ring(&run->observer.control, (uint32_t)lost, &slot);
        return cp_error_set(
            err, CP_E_INVAL,
            "all else is delivered, but table %s, slot %u broke the protocol: its rows stay in the ring",
            table, slot);
    }
    run->delivered = true;
    return CP_OK;
}

static int flush_start(flush_run *run, cp_error *err)
{
    char path[PATH_MAX];
    int rc = cp_place_region(&run->args->common, path, err);
    if (rc == CP_OK)
        rc = cp_observer_open(&run->observer, path, err);
    if (rc == CP_OK && cp_observer_look(&run->observer) < 0)
        rc = cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; try again", path);
    if (rc < 0)
        return rc;
    if (!run->observer.recorder_alive)
        return cp_error_set(err, CP_E_ABSENT,
                            "no recorder runs on %s: rows wait where they are; start coldpathd", path);
    rc = targets_note(run, err);
    if (rc < 0)
        return rc;
    run->pid = __atomic_load_n(&run->observer.control.header->recorder_pid, __ATOMIC_RELAXED);
    cp_command command;
    cp_command_reply reply;
    cp_command_make(&command, CP_COMMAND_FLUSH, NULL);
    uint64_t patience_ns = CALL_TIMEOUT_S * (uint64_t)CP_NS_PER_S;
    if (run->args->wait &&
        run->args->timeout_ns < patience_ns) /* --timeout is for all of it: it may be stuck */
        patience_ns = run->args->timeout_ns;
    return cp_recorder_call(path, &command, patience_ns, &reply, err);
}

static int flush_report(const flush_run *run, int rc, const cp_error *err)
{
    const double seconds = (double)(cp_boottime_ns() - run->started_ns) / 1e9;
    if (run->args->common.json) {
        json_object *answer = cp_json_begin("flush");
        cp_json_add_uint(answer, "recorder_pid", run->pid);
        cp_json_add_uint(answer, "rows_waiting", run->rows);
        cp_json_add_bool(answer, "waited", run->args->wait);
        cp_json_add_bool(answer, "delivered", run->delivered);
        cp_json_add_double(answer, "seconds", seconds);
        cp_json_add_string(answer, "error", rc < 0 ? err->text : NULL);
        return cp_json_end(answer);
    }
    char rows[CP_HUMAN_TEXT];
    if (rc == CP_OK)
        cp_message("%s rows %s", cp_human_count(rows, run->rows),
                   run->delivered ? "delivered" : "are on their way; --wait waits for them");
    return CP_EXIT_OK;
}

static const struct argp_option flush_options[] = {
    {"wait", OPTION_WAIT, NULL, 0, "Until every row that was put before the call is delivered", 0},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "With --wait: for how long (60s)", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t flush_parse(int key, char *arg, struct argp_state *state)
{
    flush_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_WAIT:
        args->wait = true;
        return 0;
    case OPTION_TIMEOUT:
        if (!cp_duration_parse(arg, &args->timeout_ns))
            argp_error(state, "--timeout: '%s' is not a time; write 30s or 250ms", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_flush(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = flush_options,
        .parser = flush_parse,
        .doc = "Asks the running recorder to ship now, without waiting for batch sizes and intervals.\v"
               "Run it as the recorder's user, root, or a member of recorder.control_group. Exit codes: 0 "
               "asked, with --wait delivered; 1 not "
               "delivered within the time; 69 no recorder runs.",
        .children = children};
    flush_args args = {.timeout_ns = (uint64_t)DEFAULT_TIMEOUT_S * CP_NS_PER_S};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    flush_run run = {.args = &args, .started_ns = cp_boottime_ns()};
    cp_error err = {0};
    int rc = flush_start(&run, &err);
    if (rc == CP_OK && args.wait)
        rc = wait_delivered(&run, &err);
    const int status = rc < 0 ? cp_fail(&err) : CP_EXIT_OK;
    const int reported = run.targets ? flush_report(&run, rc, &err) : CP_EXIT_OK;
    free(run.targets);
    cp_observer_close(&run.observer);
    return status != CP_EXIT_OK ? status : reported;
}
