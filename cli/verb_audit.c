/* `coldpath audit [TABLE]`: the ledger, held against ClickHouse itself; see audit.h for what is compared.
 *
 * One line per table; under a table that differs one line per ring that does: how many rows are missing, there twice or unknown,
 * and between which positions. Rows that are not delivered yet are no difference. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/audit.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "recorder/config_apply.h"
#include "schema/suggest.h"
#include "shm/sigbus_guard.h"

typedef struct audit_args {
    cp_common common;
    const char *table; /* NULL: all */
} audit_args;

typedef struct audit_run {
    const audit_args *args;
    cp_config *config;
    cp_observer observer;
    cp_audit *audits; /* of count tables */
    uint32_t count;
    bool unknown_table;
    bool unasked; /* ClickHouse refused to answer about some table */
} audit_run;

static json_object *ring_json(const cp_audit_ring *ring)
{
    json_object *item = json_object_new_object();
    cp_json_add_uint(item, "slot", ring->slot);
    cp_json_add_uint(item, "epoch", ring->epoch);
    cp_json_add_uint(item, "delivered_position", ring->position);
    cp_json_add_uint(item, "rows_delivered", ring->rows);
    cp_json_add_bool(item, "exact", ring->exact);
    cp_json_add_uint(item, "rows_held", ring->held);
    cp_json_add_uint(item, "rows_distinct", ring->distinct);
    cp_json_add_uint(item, "rows_held_before_position", ring->held_before);
    cp_json_add_uint(item, "lowest", ring->lowest);
    cp_json_add_uint(item, "highest", ring->highest);
    cp_json_add_uint(item, "missing", ring->missing);
    cp_json_add_uint(item, "twice", ring->twice);
    cp_json_add_uint(item, "unknown", ring->unknown);
    json_object *range = NULL;
    if (ring->ranged) {
        range = json_object_new_object();
        cp_json_add_uint(range, "begin", ring->range.begin);
        cp_json_add_uint(range, "end", ring->range.end);
        cp_json_add_uint(range, "rows", ring->range.rows);
        cp_json_add_uint(range, "rows_held", ring->held_range.rows);
        cp_json_add_bool(range, "equal", !ring->checksum_differs);
    }
    cp_json_add(item, "checksum", range);
    if (ring->suspect_begin != ring->suspect_end) {
        json_object *suspect = json_object_new_array();
        json_object_array_add(suspect, json_object_new_uint64(ring->suspect_begin));
        json_object_array_add(suspect, json_object_new_uint64(ring->suspect_end));
        cp_json_add(item, "between", suspect);
    }
    return item;
}

static json_object *table_json(const cp_audit *audit)
{
    json_object *item = json_object_new_object();
    json_object *rings = json_object_new_array();
    cp_json_add_string(item, "table", audit->name);
    cp_json_add_string(item, "class", audit->critical ? "critical" : "lossy");
    cp_json_add_bool(item, "absent", audit->absent);
    cp_json_add_bool(item, "provenance", audit->provenance);
    cp_json_add_bool(item, "equal", !cp_audit_differs(audit));
    cp_json_add_uint(item, "rows_delivered", audit->delivered);
    cp_json_add_uint(item, "rows_held", audit->held);
    cp_json_add_uint(item, "rows_of_others", audit->others);
    cp_json_add_uint(item, "missing", audit->missing);
    cp_json_add_uint(item, "twice", audit->twice);
    cp_json_add_uint(item, "unknown", audit->unknown);
    for (uint32_t i = 0; i < audit->ring_count; i++) {
        if (audit->rings[i].rows || audit->rings[i].held)
            json_object_array_add(rings, ring_json(&audit->rings[i]));
    }
    cp_json_add(item, "rings", rings);
    return item;
}

static void ring_print(const cp_audit *audit, const cp_audit_ring *ring)
{
    if (!cp_audit_ring_differs(ring))
        return;
    printf("%s, slot %u", audit->name, ring->slot);
    if (ring->missing)
        printf(", %" PRIu64 " missing", ring->missing);
    if (ring->twice)
        printf(", %" PRIu64 " too many", ring->twice);
    if (ring->unknown)
        printf(", %" PRIu64 " unknown to the ledger", ring->unknown);
    if (ring->checksum_differs)
        printf(", checksum differs");
    if (ring->suspect_begin != ring->suspect_end)
        printf(", positions %" PRIu64 " to %" PRIu64, ring->suspect_begin, ring->suspect_end);
    printf(" (_cp_epoch %" PRIu64 ")%s\n", ring->epoch,
           audit->merges && ring->missing ? "; the table's engine or TTL may have removed them" : "");
}

static const char *verdict(const cp_audit *audit)
{
    if (audit->absent)
        return "NO SUCH TABLE in ClickHouse";
    if (cp_audit_differs(audit))
        return "DIFFERS";
    return audit->provenance ? "equal" : "enough rows (no provenance columns: counted only)";
}

static int audit_text(const audit_run *run)
{
    cp_text_table *text =
        cp_text_table_new("table\tclass\tdelivered\tin ClickHouse\tmissing\ttwice\tunknown\trings by "
                          "checksum\tof others\tverdict",
                          "llrrrrrrrl");
    for (uint32_t i = 0; i < run->count; i++) {
        const cp_audit *audit = &run->audits[i];
        char cells[6][CP_HUMAN_TEXT];
        cp_text_table_row(text, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%u\t%s\t%s", audit->name,
                          audit->critical ? "critical" : "lossy", cp_human_count(cells[0], audit->delivered),
                          cp_human_count(cells[1], audit->held), cp_human_count(cells[2], audit->missing),
                          audit->provenance ? cp_human_count(cells[3], audit->twice) : "?",
                          audit->provenance ? cp_human_count(cells[4], audit->unknown) : "?",
                          audit->rings_checked, cp_human_count(cells[5], audit->others), verdict(audit));
    }
    cp_text_table_print(text, stdout);
    for (uint32_t i = 0; i < run->count; i++) {
        for (uint32_t k = 0; k < run->audits[i].ring_count; k++)
            ring_print(&run->audits[i], &run->audits[i].rings[k]);
    }
    return cp_output_finish();
}

static int audit_json(const audit_run *run, bool equal)
{
    json_object *answer = cp_json_begin("audit");
    json_object *tables = json_object_new_array();
    for (uint32_t i = 0; i < run->count; i++)
        json_object_array_add(tables, table_json(&run->audits[i]));
    cp_json_add_bool(answer, "equal", equal);
    cp_json_add_bool(answer, "complete", !run->unasked);
    cp_json_add(answer, "tables", tables);
    return cp_json_end(answer);
}

static int unknown_table(audit_run *run, cp_error *err)
{
    cp_suggestion meant = {.word = run->args->table, .len = strlen(run->args->table)};
    for (uint32_t i = 0; i < run->observer.control.table_count; i++)
        cp_suggest_offer(&meant, run->observer.control.directory[i].name);
    run->unknown_table = true;
    return cp_error_set(err, CP_E_INVAL, "the region has no table '%s'%s%s%s", run->args->table,
                        meant.best ? "; did you mean '" : "", meant.best ? meant.best : "",
                        meant.best ? "'?" : "");
}

static int audit_open(audit_run *run, cp_error *err)
{
    char path[PATH_MAX];
    int rc = cp_place_config(&run->args->common, &run->config, err);
    if (rc == CP_OK)
        rc = cp_place_region_of(&run->args->common, run->config, path, err);
    if (rc == CP_OK)
        rc = cp_observer_open(&run->observer, path, err);
    if (rc == CP_OK && cp_observer_look(&run->observer) < 0)
        rc = cp_error_set(err, CP_E_RETIRED, "%s: the region was just replaced; try again", path);
    if (rc == CP_OK && run->args->table && cp_control_find(&run->observer.control, run->args->table) < 0)
        rc = unknown_table(run, err);
    if (rc < 0)
        return rc;
    run->audits = calloc(run->observer.control.table_count + 1u, sizeof *run->audits);
    return run->audits ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for the audit");
}

static int audit_tables(audit_run *run, cp_error *err)
{
    cp_sink_config sink;
    cp_place_reachable(run->config);
    cp_config_sink(run->config, &sink);
    int rc = CP_OK;
    for (uint32_t i = 0; rc == CP_OK && i < run->observer.control.table_count; i++) {
        const char *name = run->observer.control.directory[i].name;
        if (run->args->table && strcmp(run->args->table, name) != 0)
            continue;
        rc = cp_audit_table(&run->audits[run->count], &run->observer, i, &sink, run->config->database, err);
        if (rc < 0)
            cp_error_prefix(err, "table %s", name);
        if (rc == CP_E_SERVER) { /* about this table: go on with the others */
            cp_message("%s", err->text);
            run->unasked = true;
            rc = CP_OK;
        } else {
            run->count += rc == CP_OK;
        }
    }
    return rc;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t audit_parse(int key, char *arg, struct argp_state *state)
{
    audit_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case ARGP_KEY_ARG:
        if (args->table)
            argp_error(state, "one table at a time");
        args->table = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int audit_report(const audit_run *run)
{
    bool equal = true;
    for (uint32_t i = 0; i < run->count; i++)
        equal = equal && !cp_audit_differs(&run->audits[i]);
    const int printed = run->args->common.json ? audit_json(run, equal) : audit_text(run);
    if (printed != CP_EXIT_OK)
        return printed;
    return !equal ? CP_EXIT_UNHEALTHY : run->unasked ? CP_EXIT_FAILED : CP_EXIT_OK;
}

int cp_verb_audit(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = audit_parse,
        .args_doc = "[TABLE]",
        .doc = "Holds the ledger against what ClickHouse has, ring by ring.\v"
               "Works beside a running recorder and without one. Rows that are not delivered yet are no "
               "difference. Tables "
               "need the columns _cp_epoch, _cp_slot and _cp_position; of others only the number of rows is "
               "compared. Exit codes: 0 equal, 1 ClickHouse cannot be asked, 2 a difference (which ring, how "
               "many rows, "
               "between which positions) or a table that ClickHouse does not have, 69 there is no region.",
        .children = children};
    audit_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    audit_run run = {.args = &args};
    cp_error err = {0};
    int rc = audit_open(&run, &err);
    if (rc == CP_OK)
        rc = audit_tables(&run, &err);
    int status = rc < 0 ? cp_fail(&err) : audit_report(&run);
    if (run.unknown_table)
        status = CP_EXIT_USAGE;
    free(run.audits);
    cp_observer_close(&run.observer);
    cp_config_free(run.config);
    return status;
}
