/* `coldpath wal`: the logs of critical tables, looked at (ls, dump, verify) beside a recorder or without one, and repaired without
 * one. See wal/inspect.h and wal/repair.h for what is checked and what repair does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "cli/wal/view_json.h"
#include "recorder/log_open.h"
#include "schema/row.h"
#include "schema/row_text.h"
#include "shm/control.h"
#include "shm/sigbus_guard.h"
#include "wal/repair.h"

enum { OPTION_RANGE = 0x2200, OPTION_ROWS, OPTION_YES, OPTION_TSV };

typedef struct wal_args {
    cp_common common;
    const char *action;
    const char *table;
    uint64_t lo;
    uint64_t hi;
    uint64_t rows; /* of dump; 0: records only */
    bool range;
    bool tsv;
    bool yes;
} wal_args;

/* A critical table of the configuration and its log's directory. */
typedef struct wal_place {
    const cp_table_config *table;
    char dir[PATH_MAX];
    cp_wal_known known; /* by the region */
} wal_place;

/* ---- which logs ------------------------------------------------------------------------------------------------ */

static int place_of(const cp_config *config, const cp_table_config *table, wal_place *place, cp_error *err)
{
    place->table = table;
    if (snprintf(place->dir, sizeof place->dir, "%s/%s", config->wal_dir, table->name) >=
        (int)sizeof place->dir)
        return cp_error_set(err, CP_E_CONFIG, "wal.dir is longer than %zu bytes", sizeof place->dir);
    return CP_OK;
}

/* What the region says of a table's log; nothing when there is none. */
static void known_find(const cp_config *config, wal_place *place)
{
    cp_control control;
    if (cp_control_open(&control, config->region_dir, false, NULL) < 0)
        return;
    const int index = cp_control_find(&control, place->table->name);
    if (index >= 0 && cp_sigbus_enter()) {
        place->known = cp_log_known(&control.counters[index]);
        cp_sigbus_leave();
    }
    cp_control_close(&control);
}

/* The one named; without a name, all. *count of them at *places, to be freed. */
static int places_find(const cp_config *config, const char *name, wal_place **places, uint32_t *count,
                       cp_error *err)
{
    *count = 0;
    *places = calloc(config->table_count + 1u, sizeof **places);
    if (!*places)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < config->table_count; i++) {
        const cp_table_config *table = &config->tables[i];
        if (name && strcmp(name, table->name) != 0)
            continue;
        if (name && !table->critical)
            return cp_error_set(err, CP_E_INVAL, "table '%s' is of class lossy: it has no log", name);
        if (!table->critical)
            continue;
        const int rc = place_of(config, table, &(*places)[*count], err);
        if (rc < 0)
            return rc;
        known_find(config, &(*places)[*count]);
        ++*count;
    }
    if (name && *count == 0)
        return cp_error_set(err, CP_E_INVAL, "the configuration has no table '%s'", name);
    return CP_OK;
}

/* ---- ls -------------------------------------------------------------------------------------------------------- */

static void ls_row(cp_text_table *text, const wal_place *place, const cp_wal_view *view)
{
    char bytes[CP_HUMAN_TEXT];
    char waiting[CP_HUMAN_TEXT];
    char age[CP_HUMAN_TEXT] = "-";
    char holder[CP_HUMAN_TEXT] = "-";
    const cp_wal_sums sums = cp_wal_view_sum(view);
    if (sums.since_ns)
        cp_human_ns(age, (uint64_t)(cp_wal_waited_s(&sums) * 1e9));
    if (view->holder)
        snprintf(holder, sizeof holder, "%ld", (long)view->holder);
    cp_text_table_row(
        text, "%s\t%u of %u\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s",
        place->table->name, sums.used, view->segment_count, cp_human_bytes(bytes, view->bytes), sums.records,
        sums.rows, cp_human_bytes(waiting, sums.bytes), age, view->delivered_lsn, view->end_lsn, holder,
        view->fault_count                       ? "damaged"
        : view->checkpoint_lost && !view->empty ? "no checkpoint"
                                                : "ok");
}

static void segments_text(const cp_wal_view *view)
{
    cp_text_table *text = cp_text_table_new("file\tstate\tid\tepoch\tfirst LSN\tlast LSN\tbytes", "llrrrrr");
    for (uint32_t n = 0; n < view->segment_count; n++) {
        const cp_wal_view_segment *segment = &view->segments[n];
        char name[CP_WAL_SEGMENT_NAME];
        char bytes[CP_HUMAN_TEXT];
        const bool used = segment->state != CP_WAL_VIEW_FREE && segment->state != CP_WAL_VIEW_UNSOUND;
        cp_wal_segment_name(name, segment->slot);
        cp_text_table_row(text, "%s\t%s%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s",
                          segment->state == CP_WAL_VIEW_MISSING ? "-" : name,
                          cp_wal_view_state_name(segment->state), segment->repaired ? ", repaired" : "",
                          segment->origin.id, segment->epoch, used ? segment->origin.base_lsn : 0,
                          used ? segment->end_lsn : 0, cp_human_bytes(bytes, segment->bytes));
    }
    putchar('\n');
    cp_text_table_print(text, stdout);
    for (uint32_t n = 0; n < view->checkpoint.intent_count; n++) {
        const cp_wal_intent *intent = &view->checkpoint.intents[n];
        printf("%s: records %" PRIu64 " to %" PRIu64,
               intent->token[0] ? "batch under way" : "delivered ahead of the backlog", intent->lo,
               intent->hi);
        if (intent->piece_rows)
            printf(", its rows %" PRIu32 " to %" PRIu32 " of %" PRIu64, intent->piece_first + 1,
                   intent->piece_first + intent->piece_rows, intent->rows);
        printf("%s%s\n", intent->token[0] ? ", token " : "", intent->token);
    }
}

static int wal_ls(const wal_args *args, const wal_place *places, uint32_t count, cp_error *err)
{
    json_object *answer = args->common.json ? cp_json_begin("wal ls") : NULL;
    json_object *tables = json_object_new_array();
    cp_text_table *text =
        answer ? NULL
               : cp_text_table_new("table\tsegments\tbytes\trecords waiting\trows waiting\tbytes "
                                   "waiting\toldest\tdelivered\tend\tin use by\tstate",
                                   "lrrrrrrrrrl");
    int rc = CP_OK;
    cp_wal_view *view = NULL;
    for (uint32_t i = 0; i < count && rc == CP_OK; i++) {
        cp_wal_view_free(view);
        view = NULL;
        rc = cp_wal_inspect_known(&view, places[i].dir, CP_WAL_WAITING, &places[i].known, err);
        if (rc == CP_E_ABSENT && !args->table) {
            rc = CP_OK; /* no recorder has run with this table yet */
        } else if (rc == CP_OK && answer) {
            json_object_array_add(tables, cp_wal_view_json(places[i].table, view));
        } else if (rc == CP_OK) {
            ls_row(text, &places[i], view);
        }
    }
    if (text)
        cp_text_table_print(text, stdout);
    if (text && rc == CP_OK && args->table)
        segments_text(view);
    cp_wal_view_free(view);
    if (!answer) {
        json_object_put(tables);
        return rc;
    }
    cp_json_add(answer, "tables", tables);
    const int status = cp_json_end(answer);
    return rc == CP_OK ? status : rc;
}

/* ---- verify ---------------------------------------------------------------------------------------------------- */

static void fault_text(const cp_wal_view *view, const cp_wal_fault *fault)
{
    if (fault->file)
        printf("  %s/%06u.seg, segment %" PRIu64 ", offset %" PRIu64 ": %s\n", view->dir, fault->slot,
               fault->segment_id, fault->offset, fault->text);
    else
        printf("  %s: %s\n", view->dir, fault->text);
    if (fault->lo > fault->hi)
        printf("    no record is lost\n");
    else
        printf("    records %" PRIu64 " to %" PRIu64 ": acknowledged, %s\n", fault->lo, fault->hi,
               fault->delivered ? "and in ClickHouse already: only a replay misses them"
                                : "not known to be in ClickHouse");
}

static void verify_text(const wal_place *place, const cp_wal_view *view)
{
    const cp_wal_sums sums = cp_wal_view_sum(view);
    printf("%s: %s: records %" PRIu64 " to %" PRIu64 " verified (%" PRIu64 "), delivered to %" PRIu64
           ", acknowledged to %" PRIu64 "%s\n",
           place->table->name, view->fault_count ? "DAMAGED" : "sound", view->oldest_lsn, view->end_lsn,
           sums.scanned, view->delivered_lsn, view->durable_lsn, view->in_use ? ", in use" : "");
    for (uint32_t n = 0; n < view->fault_count && n < CP_WAL_FAULTS; n++)
        fault_text(view, &view->faults[n]);
    if (view->checkpoint_lost && !view->empty)
        printf("  the checkpoint is lost: the recorder will send everything that is left again\n");
    if (view->fault_count)
        printf("  restore the files, or see what `coldpath wal repair %s` would give up\n",
               place->table->name);
}

static int wal_verify(const wal_args *args, const wal_place *places, uint32_t count, cp_error *err)
{
    json_object *answer = args->common.json ? cp_json_begin("wal verify") : NULL;
    json_object *tables = json_object_new_array();
    bool sound = true;
    int rc = CP_OK;
    for (uint32_t i = 0; i < count && rc == CP_OK; i++) {
        cp_wal_view *view = NULL;
        rc = cp_wal_inspect_known(&view, places[i].dir, CP_WAL_ALL, &places[i].known, err);
        if (rc == CP_E_ABSENT && !args->table) {
            rc = CP_OK;
            continue;
        }
        if (rc != CP_OK)
            break;
        sound = sound && view->fault_count == 0 && (!view->checkpoint_lost || view->empty);
        if (answer)
            json_object_array_add(tables, cp_wal_view_json(places[i].table, view));
        else
            verify_text(&places[i], view);
        cp_wal_view_free(view);
    }
    if (answer && rc == CP_OK) {
        cp_json_add_bool(answer, "sound", sound);
        cp_json_add(answer, "tables", tables);
        (void)cp_json_end(answer);
    } else {
        json_object_put(tables);
        json_object_put(answer);
    }
    return rc != CP_OK ? rc : sound ? CP_EXIT_OK : CP_EXIT_UNHEALTHY;
}

/* ---- dump ------------------------------------------------------------------------------------------------------ */

typedef struct dump {
    const wal_args *args;
    const cp_table *table;
    uint64_t rows_left;
    uint8_t *row; /* aligned copy */
    uint64_t row_capacity;
    const char *trouble; /* rows that could not be shown, and why */
} dump;

static void dump_row(dump *d, const uint8_t *at, uint32_t size, bool *first)
{
    cp_error bad = {0};
    memcpy(d->row, at, size);
    if (cp_row_check(d->table, d->row, size, &bad) != CP_OK) {
        d->trouble = "some rows do not fit the table's columns; they are left out";
        return;
    }
    if (d->args->common.json && !*first)
        putchar(',');
    *first = false;
    cp_row_print(stdout, d->table, d->row,
                 d->args->tsv           ? CP_ROW_TSV
                 : d->args->common.json ? CP_ROW_JSON
                                        : CP_ROW_JSON_RAW);
    if (!d->args->common.json)
        putchar('\n');
    d->rows_left--;
}

/* The rows of a record, as the log holds them: length, 4 bytes of the producer's, row, padding; rejected ones are marked. */
static void dump_rows(dump *d, const cp_wal_record *record, const uint8_t *payload)
{
    bool first = true;
    if (record->schema_hash != d->table->schema_hash) {
        d->trouble = "some records were written for other columns; their rows are left out";
        return;
    }
    for (uint64_t at = 0; at + CP_RECORD_HEADER <= record->size && d->rows_left > 0;) {
        uint32_t size;
        memcpy(&size, payload + at, sizeof size);
        const bool rejected = size & CP_WAL_ROW_REJECTED;
        size &= ~CP_WAL_ROW_REJECTED;
        const uint64_t end = at + CP_RECORD_HEADER + size;
        if (size == 0 || end > record->size || size > d->row_capacity)
            return;
        if (!rejected)
            dump_row(d, payload + at + CP_RECORD_HEADER, size, &first);
        at = (end + CP_RECORD_ALIGN - 1) / CP_RECORD_ALIGN * CP_RECORD_ALIGN;
    }
}

static int dump_record(void *ctx, const cp_wal_record *record, const uint8_t *payload)
{
    dump *d = ctx;
    if (cp_output_closed())
        return CP_E_ABSENT;
    if (d->args->common.json) {
        printf("{\"schema_version\":%d,\"verb\":\"wal dump\",\"lsn\":%" PRIu64 ",\"segment\":%" PRIu64
               ",\"slot\":%u,\"epoch\":%" PRIu64 ",\"begin\":%" PRIu64 ",\"end\":%" PRIu64
               ",\"row_count\":%u,\"rejected\":%u,\"bytes\":%u,\"seen_ns\":%" PRIu64
               ",\"schema_hash\":\"%016" PRIx64 "\",\"rows\":[",
               CP_JSON_SCHEMA_VERSION, record->lsn, record->segment_id, record->ring_slot, record->ring_epoch,
               record->ring_begin, record->ring_end, record->rows, record->rejected, record->size,
               record->seen_ns, record->schema_hash);
        dump_rows(d, record, payload);
        puts("]}");
        return CP_OK;
    }
    if (d->args->rows) {
        dump_rows(d, record, payload);
        return d->rows_left == 0 ? CP_E_ABSENT : CP_OK;
    }
    printf("%" PRIu64 "\t%" PRIu64 "\t%u\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%u\t%u\t%u\n", record->lsn,
           record->segment_id, record->ring_slot, record->ring_epoch, record->ring_begin, record->ring_end,
           record->rows, record->rejected, record->size);
    return CP_OK;
}

static int wal_dump(const wal_args *args, const wal_place *place, cp_error *err)
{
    cp_wal_view *view = NULL;
    int rc = cp_wal_inspect(&view, place->dir, CP_WAL_HEADERS, err);
    dump d = {.args = args,
              .table = place->table->table,
              .rows_left = args->rows,
              .row_capacity = CP_MAX_ROW + CP_WAL_BLOCK};
    d.row = aligned_alloc(CP_IO_BLOCK, d.row_capacity);
    if (rc == CP_OK && !d.row)
        rc = cp_error_set(err, CP_E_NOMEM, "out of memory");
    if (rc == CP_OK && !args->common.json && !args->rows)
        puts("lsn\tsegment\tslot\tepoch\tbegin\tend\trows\trejected\tbytes");
    if (rc == CP_OK && !args->common.json && args->rows && args->tsv) {
        cp_row_print_names(stdout, d.table);
        putchar('\n');
    }
    const uint64_t lo = args->range || rc != CP_OK ? args->lo : view->delivered_lsn + 1;
    if (rc == CP_OK)
        rc = cp_wal_view_records(view, lo, args->hi, dump_record, &d, err);
    if (rc == CP_OK && d.trouble)
        cp_message("%s: %s", place->table->name, d.trouble);
    cp_wal_view_free(view);
    free(d.row);
    return rc;
}

/* ---- repair ---------------------------------------------------------------------------------------------------- */

static void plan_text(const wal_place *place, const cp_wal_view *view, bool yes)
{
    if (view->fault_count == 0) {
        printf("%s: sound, nothing to repair\n", place->table->name);
        return;
    }
    printf("%s: %s:\n", place->table->name, yes ? "given up" : "this would be given up");
    for (uint32_t n = 0; n < view->fault_count && n < CP_WAL_FAULTS; n++)
        fault_text(view, &view->faults[n]);
    printf("  %" PRIu64 " records are lost that ClickHouse is not known to have; all others stay\n"
           "  damaged files are kept in %s/" CP_WAL_DAMAGED_DIR "\n",
           cp_wal_view_lost(view), view->dir);
    if (!yes)
        printf("  nothing was changed; `coldpath wal repair %s --yes` does it\n", place->table->name);
}

static int wal_repair(const wal_args *args, const wal_place *place, cp_error *err)
{
    cp_wal_repair *repair = NULL;
    int rc = cp_wal_repair_begin(&repair, place->dir, &place->known, err);
    if (rc != CP_OK)
        return rc;
    const cp_wal_view *view = cp_wal_repair_view(repair);
    json_object *answer = args->common.json ? cp_json_begin("wal repair") : NULL;
    const bool needed = view->fault_count > 0;
    if (answer) {
        cp_json_add_string(answer, "table", place->table->name);
        cp_json_add(answer, "given_up", cp_wal_faults_json(view));
        cp_json_add_uint(answer, "lost_records", cp_wal_view_lost(view));
    }
    if (needed && args->yes)
        rc = cp_wal_repair_run(repair, err);
    if (answer && rc == CP_OK) {
        cp_json_add_bool(answer, "done", needed && args->yes);
        (void)cp_json_end(answer);
    } else if (rc == CP_OK) {
        plan_text(place, view, args->yes);
    } else {
        json_object_put(answer);
    }
    cp_wal_repair_end(repair);
    return rc != CP_OK ? rc : needed && !args->yes ? CP_EXIT_UNHEALTHY : CP_EXIT_OK;
}

/* ---- the verb -------------------------------------------------------------------------------------------------- */

static const struct argp_option wal_options[] = {
    {"range", OPTION_RANGE, "LO-HI", 0, "dump: these LSNs (default: what ClickHouse does not have)", 0},
    {"rows", OPTION_ROWS, "N", 0, "dump: up to N rows, as JSONEachRow, instead of the list of records", 0},
    {"tsv", OPTION_TSV, NULL, 0, "dump: rows as TSV, under a line of names", 0},
    {"yes", OPTION_YES, NULL, 0, "repair: do it, instead of only saying what would be done", 0},
    {0},
};

static bool range_parse(wal_args *args, char *text)
{
    char *dash = strchr(text, '-');
    if (!dash)
        return false;
    *dash = 0;
    args->range = true;
    const bool lo = cp_number_parse(text, 1, UINT64_MAX, &args->lo);
    const bool hi = dash[1] == 0 || cp_number_parse(dash + 1, 1, UINT64_MAX, &args->hi);
    *dash = '-';
    return lo && hi && args->lo <= args->hi;
}

static bool action_known(const char *text)
{
    static const char *const actions[] = {"ls", "dump", "verify", "repair"};
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(text, actions[i]) == 0)
            return true;
    }
    return false;
}

static error_t wal_parse(int key, char *arg, struct argp_state *state)
{
    wal_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_RANGE:
        if (!range_parse(args, arg))
            argp_error(state, "--range '%s': write it as 10-20, or 10- for all from there on", arg);
        return 0;
    case OPTION_ROWS:
        if (!cp_number_parse(arg, 1, UINT64_MAX, &args->rows))
            argp_error(state, "--rows '%s': a number from 1 on is wanted", arg);
        return 0;
    case OPTION_TSV:
        args->tsv = true;
        return 0;
    case OPTION_YES:
        args->yes = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "one TABLE at a time");
        if (state->arg_num == 0 && !action_known(arg))
            argp_error(state, "'%s' is none of ls, dump, verify, repair", arg);
        *(state->arg_num == 0 ? &args->action : &args->table) = arg;
        return 0;
    case ARGP_KEY_END:
        if (!*args->action)
            argp_error(state, "ls, dump, verify or repair?");
        if (!args->table && (strcmp(args->action, "dump") == 0 || strcmp(args->action, "repair") == 0))
            argp_error(state, "%s: which TABLE?", args->action);
        if (args->common.region)
            argp_error(state, "the region is the configuration's here: give --config");
        if (args->common.json && args->tsv)
            argp_error(state, "--json or --tsv, not both");
        if (args->tsv && !args->rows)
            args->rows = UINT64_MAX;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int wal_run(const wal_args *args, const wal_place *places, uint32_t count, cp_error *err)
{
    if (strcmp(args->action, "ls") == 0)
        return wal_ls(args, places, count, err);
    if (strcmp(args->action, "verify") == 0)
        return wal_verify(args, places, count, err);
    if (!places[0].table) /* argp has seen to it that one is named */
        return cp_error_set(err, CP_E_INVAL, "which table?");
    if (strcmp(args->action, "dump") == 0)
        return wal_dump(args, &places[0], err);
    return wal_repair(args, &places[0], err);
}

int cp_verb_wal(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = wal_options,
        .parser = wal_parse,
        .args_doc = "ls [TABLE]\ndump TABLE\nverify [TABLE]\nrepair TABLE",
        .doc = "Looks at the logs of critical tables, or repairs one.\v"
               "ls, dump and verify lock and change nothing and work beside a recorder. verify checks every "
               "record that "
               "is still there; it ends with 0 when all are sound, with 2 when there is damage. repair works "
               "only without a recorder: it gives up exactly the records that are damaged or missing and "
               "keeps all others; without --yes it only says which, and ends with 2 when there are any.",
        .children = children};
    wal_args args = {.action = "", .lo = 1, .hi = UINT64_MAX};
    cp_config *config = NULL;
    wal_place *places = NULL;
    uint32_t count = 0;
    cp_error err = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    int rc = cp_place_config(&args.common, &config, &err);
    if (rc == CP_OK)
        rc = places_find(config, args.table, &places, &count, &err);
    if (rc == CP_OK)
        rc = wal_run(&args, places, count, &err);
    free(places);
    cp_config_free(config);
    const int output = cp_output_finish();
    if (rc < 0) {
        const int status = cp_fail(&err);
        return rc == CP_E_CORRUPT ? CP_EXIT_UNHEALTHY : status;
    }
    return rc == CP_EXIT_OK ? output : rc;
}
